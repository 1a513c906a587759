"""The second copy of the truth: what is written can be read again, and leads to the same job."""

import json
from dataclasses import replace

import pytest

from pipeline import shipped, sidecars
from pipeline.events import apply
from pipeline.jobs import Job, Spec, State
from pipeline.validation import checker

SPEC = Spec(
    "café@dawn#3",
    3,
    {"model": "sora-2", "prompt": "A fox \u2028 \U0001f98a", "size": "1280x720", "seconds": "4", "metadata": {"a": 1}},
    "sub/cafe-t3.mp4",
    "videos/sub/cafe-t3.mp4",
    ("hero",),
    {"client": {"name": "é"}},
)
JOB = replace(
    Job.planned(SPEC),
    state=State.DONE,
    attempt=2,
    idempotency_key="key",
    base_url="https://host/v1",
    key_fingerprint="0badcafe",
    price=0.1,
    intended_at=1795375654.8685925,
    video_id="video_1",
    submitted_at=1795375655.25,
    status="completed",
    expires_at=None,
    sha256="0" * 64,
    bytes=123,
    path="videos/sub/cafe-t3.mp4",
    warnings=("the video is short",),
)


def begun_with(reference: object) -> Job:
    """The job, with this as its first frame: another request."""
    spec = replace(SPEC, request={**SPEC.request, "input_reference": reference})
    return replace(JOB, request=spec.request, request_hash=spec.request_hash)


def written(job: Job) -> bytes:
    assert job.path is not None
    return json.dumps(sidecars.record(job, job.path), ensure_ascii=False).encode()


def check(value: object) -> list[str]:
    return [finding.message for finding in checker(shipped.schema("sidecar"))(value)]


@pytest.mark.parametrize(
    "job",
    [
        JOB,
        replace(JOB, price=None, key_fingerprint=None),
        replace(JOB, attempt=1),
        replace(JOB, approvals=1, sunk=0.3),
        replace(JOB, approvals=3, attempt=7, sunk=0.7),
        replace(JOB, approvals=1, sunk=0.0, price=None),
        begun_with("https://example.com/fox.png"),
        begun_with({"sha256": "0" * 64, "media_type": "image/webp", "bytes": 123}),
    ],
)
def test_the_events_of_a_sidecar_lead_to_the_job_that_it_was_written_for(job: Job) -> None:
    found = sidecars.read(written(job), "videos/sub/cafe-t3.mp4", check)
    assert isinstance(found, sidecars.Sidecar), found
    again = Job.planned(found.spec)
    for event in sidecars.history(found):
        again = apply(again, event)
    assert again == job
    assert sidecars.differences(written(job), again, "videos/sub/cafe-t3.mp4") is None


def test_every_fact_is_compared_and_what_may_change_is_not() -> None:
    data = json.loads(written(JOB))
    assert sidecars.differences(written(JOB), JOB, JOB.path or "") is None
    for name in data:
        for value in ("other", ...):
            changed = {key: item for key, item in {**data, name: value}.items() if item is not ...}
            words = sidecars.differences(json.dumps(changed).encode(), JOB, JOB.path or "")
            assert (words is None) == (name in {"tags", "metadata"}), name
            assert words is None or name in words
    assert sidecars.differences(json.dumps({**data, "more": 1}).encode(), JOB, JOB.path or "") is not None
    assert sidecars.differences(b"[]", JOB, JOB.path or "") is not None


def test_a_bit_that_flips_anywhere_is_seen() -> None:
    """In every byte of the file, unless it says the same as before: in white space, in a digit that no float has."""
    record = {**sidecars.record(JOB, JOB.path or ""), "tags": [], "metadata": {}}
    whole, seen = json.dumps(record, indent=2).encode(), 0
    free = whole.index(b'"tags"'), whole.index(b'"request_hash"')  # the ledger's own, changed by a manifest
    for place in [*range(free[0]), *range(free[1], len(whole))]:
        flipped = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        try:
            same = json.loads(flipped) == record
        except ValueError:
            same = False
        assert same == (sidecars.differences(flipped, JOB, JOB.path or "") is None), flipped[place - 20 : place + 20]
        seen += not same
    assert seen > 700


def test_its_own_schema_accepts_it_and_nothing_else() -> None:
    data = json.loads(written(JOB))
    assert check(data) == []
    for name in data:
        assert check({key: value for key, value in data.items() if key != name}), f"without {name}"
    assert check({**data, "more": 1})
    for reference in ({"sha256": "../../fox", "media_type": "image/png", "bytes": 1}, {"bytes": 1}, 1):
        assert check({**data, "request": {**data["request"], "input_reference": reference}})

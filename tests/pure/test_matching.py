"""Which video of a list is whose: never a stranger's, never one twice, and never a guess."""

from dataclasses import replace

import pytest

from pipeline.evidence import Matched, NotThere, Unreadable
from pipeline.jobs import Job, State
from pipeline.listing import SKEW
from pipeline.matching import match
from pipeline.videos import Status, Video

REQUEST = {"model": "sora-2", "prompt": "A fox", "size": "1280x720", "seconds": "4"}
JOB = Job("n", "h", REQUEST, "o", state=State.IN_DOUBT, idempotency_key="mine", intended_at=1000.0)
VIDEO = Video(
    "v", "queued", Status.ACTIVE, created_at=1010.0, size="1280x720", seconds="4", prompt="A fox", model="sora-2"
)
LATEST = 300.0


def found(*videos: Video, claimed: frozenset[str] = frozenset(), offset: float = 0.0) -> object:
    return match(JOB, videos, claimed=claimed, offset=offset, latest=LATEST)


def test_a_video_of_the_same_request_in_the_window_is_the_jobs() -> None:
    assert found(VIDEO) == Matched(VIDEO, "its parameters")


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "A crow"},
        {"size": "720x1280"},
        {"seconds": "8"},
        {"model": "sora-2-pro"},
        {"reference": "somebody else's"},
    ],
)
def test_a_video_of_another_request_is_not(change: dict[str, object]) -> None:
    outcome = found(replace(VIDEO, **change))
    assert isinstance(outcome, NotThere)
    assert not outcome.alike


@pytest.mark.parametrize("size", ["1280x704", "1278x720"])
def test_a_size_that_a_server_may_have_rounded_proves_neither(size: str) -> None:
    assert isinstance(found(replace(VIDEO, size=size)), Unreadable), "absent is what is paid for again"


@pytest.mark.parametrize("change", [{"size": "640x640"}, {"seconds": "10"}])
def test_what_further_fields_may_have_set_proves_neither(change: dict[str, object]) -> None:
    job = replace(JOB, request={**REQUEST, "num_frames": 240})
    assert isinstance(match(job, [replace(VIDEO, **change)], claimed=(), offset=0, latest=LATEST), Unreadable)
    crow = replace(VIDEO, prompt="A crow", **change)
    assert isinstance(match(job, [crow], claimed=(), offset=0, latest=LATEST), NotThere)


@pytest.mark.parametrize("prompt", ["A fox", None])
@pytest.mark.parametrize("created_at", [1000.0 - SKEW - 1, 1000.0 + LATEST + SKEW + 1])
def test_a_video_of_another_time_is_not_and_is_named(created_at: float, prompt: str | None) -> None:
    outcome = found(replace(VIDEO, created_at=created_at, prompt=prompt))
    assert isinstance(outcome, NotThere)
    assert outcome.alike == ("v",)


def test_a_video_that_another_job_has_is_not() -> None:
    assert isinstance(found(VIDEO, claimed=frozenset({"v"})), NotThere)


@pytest.mark.parametrize("change", [{"prompt": None}, {"created_at": None}, {"size": None}, {"seconds": None}])
def test_a_list_that_does_not_show_enough_proves_nothing(change: dict[str, object]) -> None:
    assert isinstance(found(replace(VIDEO, **change)), Unreadable)


@pytest.mark.parametrize("reference", ["https://example.com/fox.png", {"sha256": "0" * 64}])
def test_a_job_with_an_image_is_known_by_our_reference_or_not_at_all(reference: object) -> None:
    job = replace(JOB, request={**REQUEST, "input_reference": reference})
    assert isinstance(match(job, [VIDEO], claimed=frozenset(), offset=0, latest=LATEST), Unreadable)
    ours = replace(VIDEO, reference="mine")
    assert match(job, [ours], claimed=frozenset(), offset=0, latest=LATEST) == Matched(ours, "its reference")
    other = replace(VIDEO, prompt="A crow")
    assert isinstance(match(job, [other], claimed=frozenset(), offset=0, latest=LATEST), NotThere)


def test_our_reference_is_believed_before_everything_else() -> None:
    ours = replace(VIDEO, id="w", reference="mine", prompt=None, created_at=None)
    assert found(VIDEO, ours) == Matched(ours, "its reference")


def test_of_several_the_earliest_is_taken_and_the_others_are_named() -> None:
    first = replace(VIDEO, id="first", created_at=1005.0)
    assert found(VIDEO, first) == Matched(first, "its parameters", ("v",))


def test_a_servers_clock_that_is_wrong_is_allowed_for() -> None:
    late = replace(VIDEO, created_at=1010.0 + 7200)
    assert isinstance(found(late), NotThere)
    assert isinstance(found(late, offset=7200.0), Matched)


def test_seconds_are_a_number_however_they_are_written() -> None:
    assert isinstance(found(replace(VIDEO, seconds="4.0")), Matched)


def test_a_gateway_may_name_its_upstream_before_the_model() -> None:
    assert isinstance(found(replace(VIDEO, model="openai/sora-2")), Matched)


@pytest.mark.parametrize(
    ("asked", "told", "is_mine"),
    [
        (None, "Wan2.2", True),
        ("Wan-AI/Wan2.2", "Wan-AI/Wan2.2", True),
        ("sora-2", "openai/sora-2", True),
        ("Wan-AI/Wan2.2", "Wan2.2", False),
        ("sora-2", "sora-2-pro", False),
    ],
)
def test_a_model_that_was_not_asked_for_tells_nothing_apart(asked: str | None, told: str, is_mine: bool) -> None:
    request = {name: value for name, value in JOB.request.items() if name != "model"}
    job = replace(JOB, request=request if asked is None else {**request, "model": asked})
    outcome = match(job, [replace(VIDEO, model=told)], claimed=(), offset=0.0, latest=LATEST)
    assert isinstance(outcome, Matched) is is_mine

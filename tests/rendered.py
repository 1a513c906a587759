"""A campaign whose videos are done, with its ledger and files, without a run; and what every export must be."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from pipeline import shipped
from pipeline.blocking import inline
from pipeline.events import Accepted, Completed, Event, Failed, Intended, Picked, Published, Verified
from pipeline.jobs import Failure, FailureKind, Spec, State
from pipeline.ledger.store import SqliteLedger
from pipeline.outputs import Outputs

EPOCH = 1_800_000_000.0
REFUSED = Failure(FailureKind.MODERATION_INPUT, "=not this\u202e prompt", "moderation_blocked")


def spec(name: str, prompt: str = "A fox", *, tags: Sequence[str] = (), **request: Any) -> Spec:
    """A video of a campaign. ``name`` has its take."""
    body = {"model": "sora-2", "prompt": prompt, "size": "64x48", "seconds": "4", **request}
    output = f"{name.replace('@', '__').replace('#', '-t')}.mp4"
    return Spec(name, int(name.rpartition("#")[2]), body, output, "m.yaml:1:1", tuple(tags), {"shot": len(name)})


async def render(
    campaign: Path,
    specs: Sequence[Spec],
    clip: bytes,
    *,
    failed: Sequence[str] = (),
    waiting: Sequence[str] = (),
    picked: Sequence[str] = (),
) -> None:
    """Have the videos of these jobs, and of no others, done; each has bytes of its own."""
    outputs = Outputs(campaign)
    outputs.make()
    outputs.videos.mkdir(exist_ok=True)
    ledger = SqliteLedger.create_or_open(campaign / "ledger.db", now=lambda: EPOCH, blocking=inline)
    with closing(ledger):
        await ledger.enrol(specs, settings={"name": "spring", "provider": "studio"})
        for planned in [job async for job in ledger.jobs({State.PLANNED})]:
            if planned.name in waiting:
                continue
            job = planned
            mark = job.request_hash.encode()
            made = clip + (8 + len(mark)).to_bytes(4, "big") + b"free" + mark
            sha256 = hashlib.sha256(made).hexdigest()
            for event in _events(job.request_hash, failed=job.name in failed):
                job = await ledger.record(job, event)
            if job.state is State.COMPLETED:
                with outputs.part(job) as part:
                    part.write(made)
                    part.sync()
                job = await ledger.record(job, Verified(sha256=sha256, bytes=len(made)))
                placed = outputs.place(job)
                assert not hasattr(placed, "failure"), placed
                job = await ledger.record(job, Published(path=placed.path))
            if job.name in picked:
                await ledger.record(job, Picked(picked=True))


def _events(request_hash: str, *, failed: bool) -> Sequence[Event]:
    sent: Mapping[str, Any] = {"base_url": "http://127.0.0.1:9/v1", "key_fingerprint": None, "intended_at": EPOCH}
    intended = Intended(attempt=1, idempotency_key=request_hash, price=0.1, **sent)
    accepted = Accepted(video_id=f"video_{request_hash[:32]}", submitted_at=EPOCH + 1, status="queued")
    end = Failed(status="failed", failure=REFUSED) if failed else Completed(status="completed", expires_at=None)
    return intended, accepted, end


def files(place: Path) -> dict[str, bytes]:
    """Everything in a folder, by its path."""
    return {path.relative_to(place).as_posix(): path.read_bytes() for path in place.rglob("*") if path.is_file()}


def lines(data: bytes) -> list[dict[str, Any]]:
    """The values of a file of JSON lines: a line ends with a line feed and nothing else."""
    assert data == b"" or data.endswith(b"\n")
    return [json.loads(line) for line in data.decode().split("\n")[:-1]]


def assert_whole(place: Path) -> dict[str, bytes]:
    """Every file is in SHA256SUMS with its hash, nothing else is there or beside it; returns them."""
    found = files(place)
    noted = [line.split("  ") for line in found["SHA256SUMS"].decode().splitlines()]
    assert len(noted) == len({path for _, path in noted})
    assert {path: sha256 for sha256, path in noted} == {
        path: hashlib.sha256(data).hexdigest() for path, data in found.items() if path != "SHA256SUMS"
    }
    assert [path for path in place.parent.iterdir() if "callsheet-" in path.name] == []
    return found


ROW = Draft202012Validator(shipped.schema("row"))

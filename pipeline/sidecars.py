"""The sidecar beside each video: what the ledger knows of it, as JSON. The second copy of the truth. Pure.

Written when a video gets its name; read again by ``verify``, which holds it against the ledger, and by ``rebuild``,
which makes a new ledger of nothing else. A sidecar that is read is foreign: anybody may have written it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from pipeline.events import Accepted, Completed, Doubted, Event, Intended, Published, Rejected, Resubmitted, Verified
from pipeline.jobs import Failure, FailureKind, Job, Spec, canonical_json
from pipeline.videos import parse_object

MAX_BYTES = 64 << 20
"""Bytes of a sidecar: a request may hold a reference image."""

FOLDER = "videos"
"""The folder of the campaign that holds the videos, each with its sidecar."""

REJECTED = "rejected"
"""The folder of the campaign that holds the videos of which a person wanted another take, each with its sidecar."""

Check = Callable[[Any], Sequence[str]]
"""Returns what in a value breaks ``schemas/sidecar.schema.json``, in words."""

#: The job's fields that a sidecar has under their own names; these never change once the job is done.
_FACTS = (
    "request_hash",
    "base_url",
    "key_fingerprint",
    "video_id",
    "attempt",
    "approvals",
    "sunk",
    "idempotency_key",
    "price",
    "intended_at",
    "submitted_at",
    "status",
    "expires_at",
    "sha256",
    "bytes",
)
#: Changed in the manifest, these change in the ledger, and nowhere else.
_MAY_DIFFER = frozenset({"tags", "metadata"})


@dataclass(frozen=True, slots=True)
class Sidecar:
    """A sidecar that agrees with itself: the job it speaks of, and what the file beside it must be.

    ``was`` is where the video of a rejected take lay before.
    """

    spec: Spec
    path: str
    facts: Mapping[str, Any]
    was: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What tells the job from all others of a ledger."""
        return self.spec.name, self.facts["request_hash"]


def record(job: Job, path: str, *, was: str | None = None) -> dict[str, Any]:
    """Return what a video's sidecar says. ``path`` is the video's, relative to the campaign.

    ``was`` is where it lay, if it was rejected.
    """
    return {
        "schema_version": 1,
        "job": job.name,
        "path": path,
        **({} if was is None else {"was": was}),
        "request": dict(job.request),
        "tags": list(job.tags),
        "metadata": dict(job.metadata),
        **{name: getattr(job, name) for name in _FACTS},
        "warnings": list(job.warnings),
    }


def differences(data: bytes, job: Job, path: str) -> str | None:
    """Return in words how a sidecar's bytes differ from what the ledger says; None where they do not."""
    found = parse_object(data, MAX_BYTES)
    if found is None:
        return "it is no JSON object"
    expected = record(job, path)
    names = sorted(
        name
        for name in {*found, *expected} - _MAY_DIFFER
        if not (name in found and name in expected and found[name] == expected[name])
    )
    return f"it differs from the ledger in {', '.join(names)}" if names else None


def read(data: bytes, path: str, check: Check) -> Sidecar | str:
    """Return what the sidecar of the video at ``path`` says, or in words why it is not to be believed."""
    found = parse_object(data, MAX_BYTES)
    if found is None:
        return "it is no JSON object"
    flaw = _flaw(found, path, check)
    if flaw is not None:
        return flaw
    was, folder = found.get("was"), PurePosixPath(path).parts[0]
    if (was is None) == (folder == REJECTED) or (was is not None and not _is_of_a_video(was)):
        return f"it does not speak of a video in {folder}/"
    output = str(PurePosixPath(was or path).relative_to(FOLDER))
    take = int(found["job"].rpartition("#")[2])
    spec = Spec(found["job"], take, found["request"], output, path, tuple(found["tags"]), found["metadata"])
    if spec.request_hash != found["request_hash"]:
        return "its request_hash is not that of its request and take"
    facts = {name: found.get(name) for name in _FACTS}
    return Sidecar(spec, path, {**facts, "warnings": tuple(found["warnings"])}, was)


def _is_of_a_video(path: str) -> bool:
    first, *rest = path.split("/")
    return first == FOLDER and path.endswith(".mp4") and not {"", ".", "..", ".mp4"} & {*rest}


def _flaw(found: Mapping[str, Any], path: str, check: Check) -> str | None:
    try:
        canonical_json(found).encode()
    except ValueError:
        return "it holds text or a number that no ledger can hold"
    broken = check(found)
    if broken:
        return broken[0]
    return None if found["path"] == path else f"it speaks of another file: {found['path']}"


def history(sidecar: Sidecar | None, rejected: Sequence[Sidecar] = ()) -> Iterator[Event]:
    """Yield the events that lead a planned job to where its sidecars say it is.

    ``rejected`` are those of its earlier takes; without a ``sidecar`` another one is still to be made. Of other
    attempts before the last one only their number and their cost are known.
    """
    takes = {one.facts["approvals"]: one for one in rejected}
    last = max(takes) + 1 if sidecar is None else sidecar.facts["approvals"]
    sunk = 0.0
    for number in range(last):
        take = takes.get(number)
        if take is not None:
            yield from _made(take)
            sunk += take.facts["price"] or 0.0
            kept = {"was": take.was or "", "kept": take.path, "kept_sha256": take.facts["sha256"]}
            yield Rejected(by="the sidecar", approvals=number + 1, sunk=sunk, **kept)
            continue
        later = takes[min(known for known in takes if known > number)] if max(takes, default=-1) > number else sidecar
        assert later is not None  # noqa: S101  # without a sidecar the last one is a take
        price = max(0.0, later.facts["sunk"] - sunk)
        yield Intended(**_sent(later), attempt=number + 1, price=price)
        yield Doubted(failure=Failure(FailureKind.AMBIGUOUS, "an earlier attempt; only its cost is known"))
        sunk += price
        yield Resubmitted(by="the sidecar", approvals=number + 1, sunk=sunk)
    if sidecar is not None:
        yield from _made(sidecar)


def _made(sidecar: Sidecar) -> Iterator[Event]:
    """Yield the events of the attempt that led to this video."""
    facts, word = sidecar.facts, sidecar.facts["status"] or ""
    yield Intended(**_sent(sidecar), attempt=facts["attempt"], price=facts["price"])
    yield Accepted(video_id=facts["video_id"], submitted_at=facts["submitted_at"], status=word)
    yield Completed(status=word, expires_at=facts["expires_at"])
    yield Verified(sha256=facts["sha256"], bytes=facts["bytes"], warnings=facts["warnings"])
    yield Published(path=sidecar.was or sidecar.path)


def _sent(sidecar: Sidecar) -> dict[str, Any]:
    return {name: sidecar.facts[name] for name in ("idempotency_key", "base_url", "key_fingerprint", "intended_at")}

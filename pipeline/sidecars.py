"""The sidecar beside each video: what the ledger knows of it, as JSON. The second copy of the truth. Pure.

Written when a video gets its name; read again by ``verify``, which holds it against the ledger, and by ``rebuild``,
which makes a new ledger of nothing else. A sidecar that is read is foreign: anybody may have written it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from pipeline.events import Accepted, Completed, Doubted, Event, Intended, Published, Resubmitted, Verified
from pipeline.jobs import Failure, FailureKind, Job, Spec, canonical_json
from pipeline.videos import parse_object

MAX_BYTES = 64 << 20
"""Bytes of a sidecar: a request may hold a reference image."""

FOLDER = "videos"
"""The folder of the campaign that holds the videos, each with its sidecar."""

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
    """A sidecar that agrees with itself: the job it speaks of, and what the file beside it must be."""

    spec: Spec
    path: str
    facts: Mapping[str, Any]

    @property
    def key(self) -> tuple[str, str]:
        """What tells the job from all others of a ledger."""
        return self.spec.name, self.facts["request_hash"]


def record(job: Job, path: str) -> dict[str, Any]:
    """Return what a video's sidecar says. ``path`` is the video's, relative to the campaign."""
    return {
        "schema_version": 1,
        "job": job.name,
        "path": path,
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
    output = str(PurePosixPath(path).relative_to(FOLDER))
    take = int(found["job"].rpartition("#")[2])
    spec = Spec(found["job"], take, found["request"], output, path, tuple(found["tags"]), found["metadata"])
    if spec.request_hash != found["request_hash"]:
        return "its request_hash is not that of its request and take"
    return Sidecar(spec, path, {**{name: found.get(name) for name in _FACTS}, "warnings": tuple(found["warnings"])})


def _flaw(found: Mapping[str, Any], path: str, check: Check) -> str | None:
    try:
        canonical_json(found).encode()
    except ValueError:
        return "it holds text or a number that no ledger can hold"
    broken = check(found)
    if broken:
        return broken[0]
    return None if found["path"] == path else f"it speaks of another file: {found['path']}"


def history(sidecar: Sidecar) -> Iterator[Event]:
    """Yield the events that lead a planned job to where the sidecar says it is.

    Of attempts before the last one only their number and their cost are known.
    """
    facts, path = sidecar.facts, sidecar.path
    sent = {name: facts[name] for name in ("idempotency_key", "base_url", "key_fingerprint", "intended_at")}
    for number in range(1, facts["approvals"] + 1):
        yield Intended(**sent, attempt=number, price=facts["sunk"] if number == 1 else 0.0)
        yield Doubted(failure=Failure(FailureKind.AMBIGUOUS, "an earlier attempt; only its cost is known"))
        yield Resubmitted(by="the sidecar", approvals=number, sunk=facts["sunk"])
    yield Intended(**sent, attempt=facts["attempt"], price=facts["price"])
    word = facts["status"] or ""
    yield Accepted(video_id=facts["video_id"], submitted_at=facts["submitted_at"], status=word)
    yield Completed(status=word, expires_at=facts["expires_at"])
    yield Verified(sha256=facts["sha256"], bytes=facts["bytes"], warnings=facts["warnings"])
    yield Published(path=path)

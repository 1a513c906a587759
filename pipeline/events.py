"""What can happen to a job, and the one table that says what follows. Pure.

Everything that decides which state may follow which lives here, so that the runner, the ledger's constraints,
``status`` and the diagram in the documentation cannot disagree.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import get_args

from pipeline.errors import IllegalTransition
from pipeline.jobs import OVER, Failure, Job, State, changed


@dataclass(frozen=True, slots=True, kw_only=True)
class _Event:
    """A fact about one job. A field named as one of the job's replaces it; ``raw`` is the server's answer, kept."""

    raw: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Intended(_Event):
    """A POST is about to be sent. On disk before its first byte."""

    attempt: int
    idempotency_key: str
    base_url: str
    key_fingerprint: str | None
    price: float | None
    intended_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned(_Event):
    """Certainly nothing was created, and not by the job's fault (never sent, rate limit, key, address): still to do."""

    failure: Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused(_Event):
    """The server refused this request without doubt. Nothing was created."""

    failure: Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubted(_Event):
    """The request may have been carried out, and there is no id."""

    failure: Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Held(_Event):
    """No proof either way is to be had: a person must decide."""

    failure: Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted(_Event):
    """The server gave an id: paid. ``request_id`` is its own name for that answer."""

    video_id: str
    submitted_at: float
    status: str
    request_id: str | None = None
    failure: None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted(_Event):
    """A video at the server was found to be this job's. ``by``: the list, or who said so. ``others`` would fit too."""

    video_id: str
    submitted_at: float
    status: str
    by: str
    others: tuple[str, ...] = ()
    failure: None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resubmitted(_Event):
    """``by`` said that it may be paid for once more, whatever became of the attempt before."""

    by: str
    approvals: int
    sunk: float
    picked: bool = False
    video_id: None = None
    submitted_at: None = None
    expires_at: None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Abandoned(_Event):
    """``by`` gave it up. It may have been paid."""

    by: str
    approvals: int
    failure: Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Reprieved(_Event):
    """The refusal was everybody's, so hardly this job's fault. Nothing was created: still to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried(_Event):
    """The manifest, or a person, allows one more attempt after this failure, or the profile says that it is free."""

    by: str
    approvals: int
    sunk: float
    failure: Failure
    picked: bool = False
    video_id: None = None
    submitted_at: None = None
    expires_at: None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Progressed(_Event):
    """The server uses another word for the job than before."""

    status: str
    failure: None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed(_Event):
    """The video can be downloaded, until ``expires_at`` where the server says so."""

    status: str
    expires_at: float | None
    failure: None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed(_Event):
    """The server accepted the job and could not, or would not, make the video. ``price``: 0 where it is not billed."""

    status: str
    price: float | None
    failure: Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Expired(_Event):
    """The video was made, paid, and is gone."""

    failure: Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost(_Event):
    """The server no longer knows an id that it gave."""

    failure: Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck(_Event):
    """The server has been rendering for longer than any render takes, or has said nothing about it for as long."""

    failure: Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified(_Event):
    """The whole file lies synced beside its final name, checked and hashed."""

    sha256: str
    bytes: int
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Published(_Event):
    """The file has its final name, and the folder's entry is synced. ``path`` is relative to the campaign."""

    path: str
    failure: None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing(_Event):
    """The file that the ledger knows is not on the disk any more, or is another."""

    failure: Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Picked(_Event):
    """A person chose this video, or took that back. A choice is of a video: one that is made anew is not chosen."""

    picked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected(_Event):
    """``by`` wants another take. The old video stays paid, and its file stays, as ``kept`` instead of ``was``.

    Both are relative to the campaign; ``kept_sha256`` is the file's hash.
    """

    by: str
    approvals: int
    sunk: float
    was: str
    kept: str
    kept_sha256: str
    picked: bool = False
    video_id: None = None
    submitted_at: None = None
    expires_at: None = None
    sha256: None = None
    bytes: None = None
    path: None = None
    failure: None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted(_Event):
    """``by`` had the file of a video deleted that nobody asks for any more, and its sidecar. ``was`` was its path."""

    by: str
    was: str
    picked: bool = False
    path: None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Renamed(_Event):
    """The manifest calls the same request by another name now."""

    name: str
    output: str
    path: str | None


Event = (
    Intended
    | Returned
    | Refused
    | Doubted
    | Held
    | Accepted
    | Adopted
    | Resubmitted
    | Abandoned
    | Reprieved
    | Retried
    | Progressed
    | Completed
    | Failed
    | Expired
    | Lost
    | Stuck
    | Verified
    | Published
    | Missing
    | Picked
    | Rejected
    | Deleted
    | Renamed
)

_S = State
_FOUND: Mapping[type[Event], State] = {Adopted: _S.SUBMITTED}
_BY_A_PERSON: Mapping[type[Event], State] = {Resubmitted: _S.PLANNED, Abandoned: _S.FAILED}
_PUT_BACK: Mapping[type[Event], State] = {Published: _S.DONE}
_ONCE_MORE: Mapping[type[Event], State] = {Retried: _S.PLANNED}
_SHOWN_AGAIN: Mapping[type[Event], State] = {
    Progressed: _S.SUBMITTED,
    Completed: _S.COMPLETED,
    Failed: _S.FAILED,
    Expired: _S.EXPIRED,
}
_MOVES: Mapping[State, Mapping[type[Event], State]] = {
    _S.PLANNED: {Intended: _S.SUBMITTING},
    _S.SUBMITTING: {
        Accepted: _S.SUBMITTED,
        Returned: _S.PLANNED,
        Refused: _S.FAILED,
        Doubted: _S.IN_DOUBT,
    },
    # No refusal here: after one ambiguous request a later "no" proves nothing about the first (doubt is sticky).
    _S.IN_DOUBT: {Accepted: _S.SUBMITTED, Doubted: _S.IN_DOUBT, Held: _S.HELD, **_FOUND, **_BY_A_PERSON},
    _S.HELD: {**_FOUND, **_BY_A_PERSON},
    _S.SUBMITTED: {
        Progressed: _S.SUBMITTED,
        Completed: _S.COMPLETED,
        Failed: _S.FAILED,
        Expired: _S.EXPIRED,
        Lost: _S.LOST,
        Stuck: _S.STUCK,
    },
    _S.COMPLETED: {Verified: _S.VERIFIED, Expired: _S.EXPIRED, Lost: _S.LOST, **_ONCE_MORE},
    _S.VERIFIED: {Published: _S.DONE, Missing: _S.COMPLETED},
    _S.DONE: {Missing: _S.COMPLETED, Picked: _S.DONE, Rejected: _S.PLANNED, Deleted: _S.DONE},
    # The file's triggers let back only what was refused; what may have been paid needs a word that it may be again.
    _S.FAILED: {Reprieved: _S.PLANNED, **_ONCE_MORE},
    # A file that was here before may come back to the disk.
    _S.EXPIRED: {**_PUT_BACK, **_ONCE_MORE},
    # Asked for once more by every run: a poll is free, and the video is paid.
    _S.LOST: {**_SHOWN_AGAIN, **_PUT_BACK, **_BY_A_PERSON, **_ONCE_MORE},
    _S.STUCK: {**_SHOWN_AGAIN, **_BY_A_PERSON},
}

#: The one table. Whatever is not in it cannot happen. A new name never changes where a job stands.
TRANSITIONS: Mapping[State, Mapping[type[Event], State]] = MappingProxyType(
    {state: MappingProxyType({**moves, Renamed: state}) for state, moves in _MOVES.items()}
)

#: Event classes by the word that the ledger stores for them.
KINDS: Mapping[str, type[Event]] = {event.__name__.lower(): event for event in get_args(Event)}

_JOB_FIELDS = frozenset(f.name for f in fields(Job))
#: The job's fields that each event class replaces.
CHANGES: Mapping[type[Event], tuple[str, ...]] = {
    event: tuple(f.name for f in fields(event) if f.name in _JOB_FIELDS) for event in KINDS.values()
}


def apply(job: Job, event: Event) -> Job:
    """Return the job after the event: the only way a job changes. Raises IllegalTransition, and that is a bug."""
    kind = type(event)
    after = TRANSITIONS[job.state].get(kind)
    if after is None:
        raise IllegalTransition(f"{job.name}: {kind.__name__} in state {job.state}")
    return changed(job, state=after, **{name: getattr(event, name) for name in CHANGES[kind]})


def diagram() -> str:
    """Return the table as a Mermaid state diagram. Renames, which lead nowhere, are left out."""
    lines = ["stateDiagram-v2", f"    [*] --> {State.PLANNED}"]
    for state, moves in _MOVES.items():
        lines += [f"    {state} --> {after}: {event.__name__}" for event, after in moves.items()]
        if state in OVER | {State.DONE}:
            lines.append(f"    {state} --> [*]")
    return "\n".join(lines) + "\n"

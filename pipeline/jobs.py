"""A job, its states, its events and the one table that joins them. Pure.

Everything that decides which state may follow which lives here, so that the runner, the ledger's constraints,
``status`` and the diagram in the documentation cannot disagree.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from functools import reduce
from types import MappingProxyType
from typing import Any, get_args

from pipeline.errors import IllegalTransition


class State(StrEnum):
    """Where a job stands. The value is the word in the ledger and in every JSON document."""

    PLANNED = "planned"
    SUBMITTING = "submitting"
    IN_DOUBT = "in_doubt"
    HELD = "held"
    SUBMITTED = "submitted"
    COMPLETED = "completed"
    VERIFIED = "verified"
    DONE = "done"
    FAILED = "failed"
    EXPIRED = "expired"
    LOST = "lost"
    STUCK = "stuck"


#: The server said no, or the video is gone: the job is over without a file. Exit code 1.
OVER = frozenset({State.FAILED, State.EXPIRED})
#: A person must decide. Exit code 3.
FOR_A_PERSON = frozenset({State.HELD, State.LOST, State.STUCK})
#: May have been billed, and nobody knows the id.
DOUBTFUL = frozenset({State.SUBMITTING, State.IN_DOUBT, State.HELD})
#: The server gave an id for it: paid, as far as anybody can know.
PAID = frozenset(State) - DOUBTFUL - {State.PLANNED, State.FAILED}


class FailureKind(StrEnum):
    """What kind of no it was; decides what happens next, so that no code reads an error's text twice."""

    INVALID_REQUEST = "invalid_request"
    MODERATION = "moderation"
    AUTH = "auth"
    QUOTA_EXHAUSTED = "quota_exhausted"
    RATE_LIMITED = "rate_limited"
    NOT_FOUND = "not_found"
    SERVER = "server"
    NOT_SENT = "not_sent"
    AMBIGUOUS = "ambiguous"
    EXPIRED = "expired"
    LOST = "lost"
    STUCK = "stuck"
    BAD_OUTPUT = "bad_output"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request or a job failed: a kind for the tables, the server's words for people.

    ``code`` and ``param`` are the server's own, ``request_id`` is what the gateway's support will ask for.
    """

    kind: FailureKind
    message: str
    code: str | None = None
    param: str | None = None
    http_status: int | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Spec:
    """One video that the manifest asks for, as it would be sent.

    ``request`` is the request in the API's words (model, prompt, size, seconds, metadata ...). ``output`` is the
    file's path below the campaign's ``videos/``. ``origin`` is ``file:line:column`` of the job in the manifest.
    """

    name: str
    take: int
    request: Mapping[str, Any]
    output: str
    origin: str
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def request_hash(self) -> str:
        """The job's identity: sha256 over all that affects pixels, and the take. Metadata is the user's, so outside."""
        identity = {key: value for key, value in self.request.items() if key != "metadata"} | {"take": self.take}
        return hashlib.sha256(canonical_json(identity).encode()).hexdigest()


def canonical_json(value: Any) -> str:
    """Return the one spelling of a JSON value: sorted keys, no spaces, text as it is."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


@dataclass(frozen=True, slots=True)
class Job:
    """A row of the ledger: what was asked, and how far it came. Changed only by ``apply``.

    Times are seconds since the epoch. ``price`` is None where nobody knows it, never zero instead.
    """

    name: str
    request_hash: str
    request: Mapping[str, Any]
    output: str
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    state: State = State.PLANNED
    attempt: int = 0
    idempotency_key: str | None = None
    base_url: str | None = None
    key_fingerprint: str | None = None
    price: float | None = None
    intended_at: float | None = None
    video_id: str | None = None
    submitted_at: float | None = None
    status: str | None = None
    expires_at: float | None = None
    sha256: str | None = None
    bytes: int | None = None
    path: str | None = None
    failure: Failure | None = None
    warnings: tuple[str, ...] = ()
    orphaned: bool = False

    @classmethod
    def planned(cls, spec: Spec) -> "Job":
        return cls(spec.name, spec.request_hash, spec.request, spec.output, spec.tags, spec.metadata)


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
    """The server gave an id: paid."""

    video_id: str
    submitted_at: float
    status: str
    failure: None = None


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
    """The server accepted the job and could not, or would not, make the video."""

    status: str
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
    """The server has been rendering for longer than any render takes."""

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
    | Progressed
    | Completed
    | Failed
    | Expired
    | Lost
    | Stuck
    | Verified
    | Published
    | Missing
    | Renamed
)

_S = State
_MOVES: Mapping[State, Mapping[type[Event], State]] = {
    _S.PLANNED: {Intended: _S.SUBMITTING},
    _S.SUBMITTING: {
        Accepted: _S.SUBMITTED,
        Returned: _S.PLANNED,
        Refused: _S.FAILED,
        Doubted: _S.IN_DOUBT,
    },
    # No refusal here: after one ambiguous request a later "no" proves nothing about the first (doubt is sticky).
    _S.IN_DOUBT: {Accepted: _S.SUBMITTED, Doubted: _S.IN_DOUBT, Held: _S.HELD},
    _S.HELD: {},
    _S.SUBMITTED: {
        Progressed: _S.SUBMITTED,
        Completed: _S.COMPLETED,
        Failed: _S.FAILED,
        Expired: _S.EXPIRED,
        Lost: _S.LOST,
        Stuck: _S.STUCK,
    },
    _S.COMPLETED: {Verified: _S.VERIFIED, Expired: _S.EXPIRED},
    _S.VERIFIED: {Published: _S.DONE, Missing: _S.COMPLETED},
    _S.DONE: {Missing: _S.COMPLETED},
    _S.FAILED: {},
    _S.EXPIRED: {},
    # Asked for once more by every run: a poll is free, and the video is paid.
    _S.LOST: {Progressed: _S.SUBMITTED, Completed: _S.COMPLETED, Failed: _S.FAILED, Expired: _S.EXPIRED},
    _S.STUCK: {Progressed: _S.SUBMITTED, Completed: _S.COMPLETED, Failed: _S.FAILED, Expired: _S.EXPIRED},
}

#: The one table. Whatever is not in it cannot happen. A new name never changes where a job stands.
TRANSITIONS: Mapping[State, Mapping[type[Event], State]] = MappingProxyType(
    {state: MappingProxyType({**moves, Renamed: state}) for state, moves in _MOVES.items()}
)

#: Event classes by the word that the ledger stores for them.
KINDS: Mapping[str, type[Event]] = {event.__name__.lower(): event for event in get_args(Event)}

_JOB_FIELDS = frozenset(f.name for f in fields(Job))
_CHANGES: Mapping[type[Event], tuple[str, ...]] = {
    event: tuple(f.name for f in fields(event) if f.name in _JOB_FIELDS) for event in KINDS.values()
}


def apply(job: Job, event: Event) -> Job:
    """Return the job after the event: the only way a job changes. Raises IllegalTransition, and that is a bug."""
    kind = type(event)
    after = TRANSITIONS[job.state].get(kind)
    if after is None:
        raise IllegalTransition(f"{job.name}: {kind.__name__} in state {job.state}")
    return replace(job, state=after, **{name: getattr(event, name) for name in _CHANGES[kind]})


def replay(job: Job, events: Iterable[Event]) -> Job:
    """Return the job after all the events, in their order."""
    return reduce(apply, events, job)


def diagram() -> str:
    """Return the table as a Mermaid state diagram. Renames, which lead nowhere, are left out."""
    lines = ["stateDiagram-v2", f"    [*] --> {State.PLANNED}"]
    for state, moves in _MOVES.items():
        lines += [f"    {state} --> {after}: {event.__name__}" for event, after in moves.items()]
        if state in OVER | {State.DONE}:
            lines.append(f"    {state} --> [*]")
    return "\n".join(lines) + "\n"

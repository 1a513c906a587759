"""A job: what was asked, where it stands, why it failed. Pure."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, make_dataclass
from enum import StrEnum
from operator import attrgetter
from typing import Any, cast


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

#: The server has the video no more. Where its file was here before, and is on the disk again, the next run takes it.
GONE = frozenset({State.EXPIRED, State.LOST})


class FailureKind(StrEnum):
    """What kind of no it was; decides what happens next, so that no code reads an error's text twice."""

    INVALID_REQUEST = "invalid_request"
    MODERATION_INPUT = "moderation_input"
    MODERATION_OUTPUT = "moderation_output"
    AUTH = "auth"
    QUOTA_EXHAUSTED = "quota_exhausted"
    RATE_LIMITED = "rate_limited"
    SERVER = "server"
    NOT_SENT = "not_sent"
    AMBIGUOUS = "ambiguous"
    EXPIRED = "expired"
    LOST = "lost"
    BAD_OUTPUT = "bad_output"
    NOT_FOUND = "not_found"
    STUCK = "stuck"
    ABANDONED = "abandoned"

    @classmethod
    def _missing_(cls, value: object) -> "FailureKind | None":
        return cls.MODERATION_OUTPUT if value == "moderation" else None  # of ledgers that did not tell the two apart


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
    file's path below the campaign's ``videos/``. ``origin`` is ``file:line:column`` of the job in the manifest, or of
    its row. One that is not ``enabled`` is never submitted.
    """

    name: str
    take: int
    request: Mapping[str, Any]
    output: str
    origin: str
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    enabled: bool = True

    @property
    def request_hash(self) -> str:
        """The job's identity: sha256 over all that affects pixels, and the take. Metadata is the user's, so outside."""
        identity = {key: value for key, value in self.request.items() if key != "metadata"} | {"take": self.take}
        return hashlib.sha256(canonical_json(identity).encode()).hexdigest()


def canonical_json(value: Any) -> str:
    """Return the one spelling of a JSON value: sorted keys, no spaces, text as it is."""
    return "".join(_pieces(value, 0))


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _spelling(make: Any) -> Callable[[Any, int], Iterable[str]]:
    """Return what spells a value as ``_ENCODER`` does, made once for all.

    ``encode`` lets ``make`` make it anew for each value, a third of the whole. That is undocumented: where it is
    another by now, ``encode`` itself serves. (It looks for no circles, which no manifest and no answer can have.)
    """
    try:
        made = make(None, _ENCODER.default, json.encoder.encode_basestring, None, ":", ",", True, False, False)
        return cast("Callable[[Any, int], Iterable[str]]", made)
    except TypeError:
        return lambda value, level: (_ENCODER.encode(value),)


_pieces = _spelling(getattr(json.encoder, "c_make_encoder", None))


@dataclass(frozen=True, slots=True)
class Job:
    """A row of the ledger: what was asked, and how far it came. Changed only by ``apply``.

    Times are seconds since the epoch. ``price`` is None where nobody knows it, never zero instead. ``approvals``
    counts how often a person said that it may be paid for once more, or given up; ``sunk`` is what the attempts
    before that cost. ``picked``: a person chose its video.
    """

    name: str
    request_hash: str
    request: Mapping[str, Any]
    output: str
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    state: State = State.PLANNED
    attempt: int = 0
    approvals: int = 0
    sunk: float = 0.0
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
    picked: bool = False

    @classmethod
    def planned(cls, spec: Spec) -> "Job":
        return cls(spec.name, spec.request_hash, spec.request, spec.output, spec.tags, spec.metadata)


_FIELDS = tuple(f.name for f in fields(Job))
_PLACES = {name: place for place, name in enumerate(_FIELDS)}
_values = attrgetter(*_FIELDS)
#: A job before it is frozen. A frozen one's own beginning takes eight times as long, and every event, and every row
#: that is read, makes one.
_Unfrozen = make_dataclass("_Unfrozen", _FIELDS, eq=False, repr=False, slots=True)


def made(values: Iterable[Any]) -> Job:
    """Return the job with these values of all its fields, in their order."""
    job: Any = _Unfrozen(*values)
    job.__class__ = Job
    return cast("Job", job)


def changed(job: Job, **changes: Any) -> Job:
    """Return the job with these fields. ``dataclasses.replace`` takes five times as long, and every event comes by."""
    values = list(_values(job))
    for name, value in changes.items():
        values[_PLACES[name]] = value
    return made(values)

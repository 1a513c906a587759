"""What can be learned about a job, from the ledger, the server or the disk. Pure values.

A piece of evidence says what is certain, and no more: whether a POST can have been carried out is the whole game.
"""

from dataclasses import dataclass

from pipeline.jobs import Failure
from pipeline.videos import Video

TOO_LONG = "too_long"
"""The code of a BadFile that is longer than our own limit allows: another one would be as long."""


@dataclass(frozen=True, slots=True)
class Found:
    """The job was read from the ledger when the run began."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """This run has just put the job's last event on disk."""


@dataclass(frozen=True, slots=True)
class Ready:
    """It is this job's turn to submit, with these particulars of the attempt."""

    idempotency_key: str
    base_url: str
    key_fingerprint: str | None
    price: float | None


@dataclass(frozen=True, slots=True)
class Closed:
    """This run submits nothing more."""


@dataclass(frozen=True, slots=True)
class NotSent:
    """No byte of the POST can have been acted upon."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class Refusal:
    """The server answered the POST with a clean no. ``retry_after`` in seconds."""

    failure: Failure
    retry_after: float | None = None
    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The server answered the POST with an id. ``request_id`` is its own name for this answer."""

    video: Video
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Ambiguity:
    """The POST may have been carried out: no answer, or one that proves nothing."""

    failure: Failure
    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class Matched:
    """The server's list shows a video that is this job's. ``by`` says how it was recognised; ``others`` fit as well."""

    video: Video
    by: str
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The server's list can neither show the job nor its absence."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class Seen:
    """The server showed the Video."""

    video: Video


@dataclass(frozen=True, slots=True)
class NotThere:
    """The server says that it has no such thing (or not yet).

    ``alike``: the ids of unclaimed videos in its list that are of an equal request, and of another time.
    """

    failure: Failure
    alike: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Silence:
    """No usable answer to a GET: asking again is free. ``retry_after`` in seconds."""

    failure: Failure
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Fetched:
    """The whole file lies synced in its part file."""

    sha256: str
    bytes: int
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BadFile:
    """What came down is no whole video."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class Placed:
    """The file has its name. ``path`` is relative to the campaign."""

    path: str


@dataclass(frozen=True, slots=True)
class NoFile:
    """The file that the ledger knows is not there, or not as recorded."""

    failure: Failure


PostOutcome = NotSent | Refusal | Acceptance | Ambiguity
PollOutcome = Seen | NotThere | Silence
LookupOutcome = Matched | NotThere | Unreadable | Silence
DownloadOutcome = Fetched | BadFile | NotThere | Silence
Outcome = PostOutcome | LookupOutcome | PollOutcome | DownloadOutcome | Placed | NoFile
Evidence = Found | Recorded | Ready | Closed | Outcome

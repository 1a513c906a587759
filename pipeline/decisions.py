"""What happens next to a job: one pure function over what the ledger says and what was just learned.

The runner carries out what ``next_action`` says and hands back what it learned, so the rules about money are here
and nowhere else. ``Do`` names work; an ``Event`` is to be recorded; None means that this run has nothing more to do
for the job. Doubt is sticky: once a POST may have been carried out, only an id ends the doubt.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from pipeline.actions import NOT_THE_JOBS_FAULT
from pipeline.events import (
    Accepted,
    Adopted,
    Completed,
    Doubted,
    Event,
    Expired,
    Failed,
    Held,
    Intended,
    Lost,
    Missing,
    Progressed,
    Published,
    Refused,
    Resubmitted,
    Retried,
    Returned,
    Stuck,
    Verified,
)
from pipeline.evidence import (
    TOO_LONG,
    Acceptance,
    Ambiguity,
    BadFile,
    Closed,
    Evidence,
    Fetched,
    Found,
    Matched,
    NoFile,
    NotSent,
    NotThere,
    Placed,
    Ready,
    Recorded,
    Refusal,
    Seen,
    Silence,
    Unreadable,
)
from pipeline.jobs import Failure, FailureKind, Job, State
from pipeline.policies import Policy
from pipeline.videos import Status, Video


class Do(Enum):
    """Work that the runner can carry out. Each ends in a piece of evidence."""

    PREPARE = auto()
    """Wait for a turn to send a POST; ends in Ready or Closed."""
    SUBMIT = auto()
    """Send the POST whose intent is on disk, with the key in it; ends in NotSent, Refusal, Acceptance or Ambiguity."""
    RECONCILE = auto()
    """Look for the job in the server's list; ends in Matched, NotThere, Unreadable or Silence."""
    POLL = auto()
    """Ask for the status when it is due; ends in Seen, NotThere or Silence."""
    DOWNLOAD = auto()
    """Fetch and check the file; ends in Fetched, NotThere, BadFile or Silence."""
    PLACE = auto()
    """Give the checked file its name; ends in Placed or NoFile."""


@dataclass(frozen=True, slots=True)
class Moment:
    """When the evidence came.

    ``tries``: how often in a row the same work has ended so, from 1. ``waited``: seconds since the first of these.
    """

    now: float
    tries: int = 1
    waited: float = 0.0


Action = Event | Do | None


def next_action(job: Job, evidence: Evidence, moment: Moment, policy: Policy) -> Action:
    """Return what to record or to do, given what was just learned about the job. KeyError is a bug."""
    return _DECISIONS[job.state, type(evidence)](job, evidence, moment, policy)


def _intend(job: Job, e: Ready, m: Moment, p: Policy) -> Action:
    return Intended(
        attempt=job.attempt + 1,
        idempotency_key=e.idempotency_key,
        base_url=e.base_url,
        key_fingerprint=e.key_fingerprint,
        price=e.price,
        intended_at=m.now,
    )


def _interrupted(job: Job, e: Found, m: Moment, p: Policy) -> Action:
    message = "the run ended between the intent and the answer; the request may have been carried out"
    return Doubted(failure=Failure(FailureKind.AMBIGUOUS, message))


def _refused(job: Job, e: Refusal, m: Moment, p: Policy) -> Action:
    if e.failure.kind in NOT_THE_JOBS_FAULT:
        return Returned(failure=e.failure, raw=e.raw)
    return Refused(failure=e.failure, raw=e.raw)


def _accepted(job: Job, e: Acceptance, m: Moment, p: Policy) -> Action:
    video = e.video
    return Accepted(video_id=video.id, status=video.word, submitted_at=m.now, request_id=e.request_id, raw=video.raw)


def _clear_doubt(job: Job, e: Evidence, m: Moment, p: Policy) -> Action:
    if _key_lives(job, m, p):
        return Do.PREPARE if m.tries < p.replays else None
    return _without_the_key(job, e, m, p)


def _replay(job: Job, e: Ready, m: Moment, p: Policy) -> Action:
    # Its turn may have come late.
    return Do.SUBMIT if _key_lives(job, m, p) else _without_the_key(job, e, m, p)


def _key_lives(job: Job, m: Moment, p: Policy) -> bool:
    return p.replay and -p.skew <= m.now - (job.intended_at or 0.0) < p.key_life


def _without_the_key(job: Job, e: Evidence, m: Moment, p: Policy) -> Action:
    if p.listing:
        return Do.RECONCILE
    return Held(failure=job.failure or Failure(FailureKind.AMBIGUOUS, "the server cannot be asked about it"))


def _look_again(job: Job, e: Found, m: Moment, p: Policy) -> Action:
    return Do.RECONCILE if p.listing else None


def _adopted(job: Job, e: Matched, m: Moment, p: Policy) -> Action:
    video = e.video
    return Adopted(video_id=video.id, status=video.word, submitted_at=m.now, by=e.by, others=e.others, raw=video.raw)


def _absent(job: Job, e: NotThere, m: Moment, p: Policy) -> Action:
    """Believe the lists when they have been watched for so long that the request cannot be under way any more."""
    if m.tries < 2 or m.waited < p.settle + 2 * p.between:
        return Do.RECONCILE
    if e.alike:
        told = f"{', '.join(e.alike[:5])}{', ...' if len(e.alike) > 5 else ''}"
        message = f"not in the server's lists, unless a clock was set meanwhile: then it could be {told}"
        return Held(failure=Failure(FailureKind.AMBIGUOUS, message))
    if p.resubmit_absent:
        return Resubmitted(by="--resubmit-absent", approvals=job.approvals + 1, sunk=job.sunk + (job.price or 0.0))
    message = "probably never created: two complete lists of the server do not show it"
    return Held(failure=Failure(FailureKind.AMBIGUOUS, message))


def _still_held(job: Job, e: NotThere, m: Moment, p: Policy) -> Action:
    return _absent(job, e, m, p) if p.resubmit_absent and not e.alike else None


def _doubt_remains(job: Job, e: Ambiguity | Refusal, m: Moment, p: Policy) -> Action:
    """Ask again, now or in the next run, where that is safe. A refusal of the repeated request proves nothing."""
    if isinstance(e, Refusal) and e.failure.kind is FailureKind.RATE_LIMITED:
        return Do.PREPARE
    if isinstance(e, Refusal) and e.failure.kind not in NOT_THE_JOBS_FAULT:
        return Held(failure=e.failure, raw=e.raw)
    return Do.PREPARE if m.tries < p.replays else None


def _seen(job: Job, e: Seen, m: Moment, p: Policy) -> Action:
    video = e.video
    match video.status:
        case Status.READY:
            kept = None if p.expiry is None else m.now + p.expiry
            expires_at = kept if video.expires_at is None else video.expires_at
            return Completed(status=video.word, expires_at=expires_at, raw=video.raw)
        case Status.FAILED:
            failure = video.failure or Failure(FailureKind.SERVER, video.word)
            price = 0.0 if failure.kind in p.unbilled else job.price
            return Failed(status=video.word, price=price, failure=failure, raw=video.raw)
        case Status.GONE:
            return Expired(failure=Failure(FailureKind.EXPIRED, f"the server says: {video.word}"), raw=video.raw)
        case Status.ACTIVE:
            return _still_active(job, video, m, p)


def _still_active(job: Job, video: Video, m: Moment, p: Policy) -> Action:
    age = m.now - (job.submitted_at or m.now)
    if job.state is State.STUCK:
        return None
    if age > p.stuck_after and job.state is State.SUBMITTED:
        message = f"{video.word or 'no status'} for {age / 3600:.0f} hours"
        return Stuck(failure=Failure(FailureKind.STUCK, message), raw=video.raw)
    if video.word != job.status or job.state is State.LOST:
        return Progressed(status=video.word, raw=video.raw)
    return Do.POLL


def may_be_sent_again(p: Policy, job: Job) -> bool:
    """Tell whether a job that is over may be sent once more, by the manifest's word or the profile's."""
    return job.failure is not None and _once_more(job, job.failure, p) is not None


def _try_again(job: Job, e: Evidence, m: Moment, p: Policy) -> Action:
    return _once_more(job, job.failure, p) if job.failure else None


def _once_more(job: Job, failure: Failure, p: Policy) -> Action:
    kind = failure.kind
    if kind not in p.again or job.approvals + 1 >= p.attempts:
        return None
    cost = 0.0 if job.video_id is None or kind in p.unbilled else job.price or 0.0
    by = "unbilled" if kind in p.unbilled else "retry"
    return Retried(by=f"{by}: {kind}", approvals=job.approvals + 1, sunk=job.sunk + cost, failure=failure)


def _bad_file(job: Job, e: BadFile, m: Moment, p: Policy) -> Action:
    """Fetch it again, and leave it to the next run. Paid for once more is only what stays bad for long: pages pass."""
    if m.tries < p.bad_files:
        return Do.DOWNLOAD
    again = None if e.failure.code == TOO_LONG else _once_more(job, e.failure, p)
    return Do.DOWNLOAD if again is not None and m.waited < p.content_after else again


def _unheard(job: Job, e: Silence, m: Moment, p: Policy) -> Action:
    """Ask again: it costs nothing. But some gateways hide every word about a job behind the same error, for ever."""
    if m.waited <= p.stuck_after:
        return Do.POLL
    message = f"no usable answer about it for {m.waited / 3600:.0f} hours: {e.failure.message}"
    return Stuck(failure=Failure(FailureKind.STUCK, message))


def _unknown_id(job: Job, e: NotThere, m: Moment, p: Policy) -> Action:
    if m.tries < p.lost_polls or m.waited < p.lost_after:
        return Do.POLL
    return Lost(failure=Failure(FailureKind.LOST, f"the server no longer knows it: {e.failure.message}"))


def _verified(job: Job, e: Fetched, m: Moment, p: Policy) -> Action:
    return Verified(sha256=e.sha256, bytes=e.bytes, warnings=e.warnings)


def _no_content(job: Job, e: NotThere, m: Moment, p: Policy) -> Action:
    """Wait for the content. Without the server's word that it is gone, it is lost, and asked for by the next run."""
    gone = e.failure.kind is FailureKind.EXPIRED
    if not gone and m.waited < p.content_after:
        return Do.DOWNLOAD
    if gone or (job.expires_at is not None and job.expires_at < m.now):
        return Expired(failure=Failure(FailureKind.EXPIRED, f"the video is gone: {e.failure.message}"))
    return Lost(failure=Failure(FailureKind.LOST, f"the server says completed, and has no video: {e.failure.message}"))


def _missing(job: Job, e: NoFile, m: Moment, p: Policy) -> Action:
    """Fetch it again, unless something on this machine takes every file away."""
    return Missing(failure=e.failure) if m.tries < p.bad_files else None


def _leave(job: Job, e: Evidence, m: Moment, p: Policy) -> Action:
    return None


def _always(action: Do) -> Callable[..., Action]:
    return lambda job, evidence, moment, policy: action


def _at_most(action: Do, limit: Callable[[Policy], int]) -> Callable[..., Action]:
    return lambda job, evidence, moment, policy: action if moment.tries < limit(policy) else None


_S = State
_DECISIONS: Mapping[tuple[State, type[Evidence]], Callable[..., Action]] = {
    **{(_S.PLANNED, kind): _always(Do.PREPARE) for kind in (Found, Recorded)},
    (_S.PLANNED, Ready): _intend,
    (_S.PLANNED, Closed): _leave,
    (_S.SUBMITTING, Found): _interrupted,
    (_S.SUBMITTING, Recorded): _always(Do.SUBMIT),
    (_S.SUBMITTING, NotSent): lambda job, e, m, p: Returned(failure=e.failure),
    (_S.SUBMITTING, Refusal): _refused,
    (_S.SUBMITTING, Acceptance): _accepted,
    (_S.SUBMITTING, Ambiguity): lambda job, e, m, p: Doubted(failure=e.failure, raw=e.raw),
    (_S.IN_DOUBT, Found): _clear_doubt,
    (_S.IN_DOUBT, Recorded): _clear_doubt,
    (_S.IN_DOUBT, Ready): _replay,
    (_S.IN_DOUBT, Closed): _leave,
    (_S.IN_DOUBT, NotSent): _always(Do.PREPARE),
    (_S.IN_DOUBT, Refusal): _doubt_remains,
    (_S.IN_DOUBT, Acceptance): _accepted,
    (_S.IN_DOUBT, Ambiguity): _doubt_remains,
    (_S.IN_DOUBT, Matched): _adopted,
    (_S.IN_DOUBT, NotThere): _absent,
    (_S.IN_DOUBT, Unreadable): lambda job, e, m, p: Held(failure=e.failure),
    (_S.IN_DOUBT, Silence): _at_most(Do.RECONCILE, lambda p: p.silences),
    (_S.HELD, Found): _look_again,
    (_S.HELD, Matched): _adopted,
    (_S.HELD, NotThere): _still_held,
    **{(_S.HELD, kind): _leave for kind in (Unreadable, Silence)},
    (_S.SUBMITTED, Found): _always(Do.POLL),
    (_S.SUBMITTED, Recorded): _always(Do.POLL),
    (_S.SUBMITTED, Seen): _seen,
    (_S.SUBMITTED, NotThere): _unknown_id,
    (_S.SUBMITTED, Silence): _unheard,
    (_S.COMPLETED, Found): _always(Do.DOWNLOAD),
    (_S.COMPLETED, Recorded): _always(Do.DOWNLOAD),
    (_S.COMPLETED, Fetched): _verified,
    (_S.COMPLETED, NotThere): _no_content,
    (_S.COMPLETED, BadFile): _bad_file,
    (_S.COMPLETED, Silence): _at_most(Do.DOWNLOAD, lambda p: p.silences),
    (_S.VERIFIED, Found): _always(Do.PLACE),
    (_S.VERIFIED, Recorded): _always(Do.PLACE),
    (_S.VERIFIED, Placed): lambda job, e, m, p: Published(path=e.path),
    (_S.VERIFIED, NoFile): _missing,
    (_S.DONE, NoFile): _missing,
    **{(state, Recorded): _leave for state in (_S.HELD, _S.STUCK, _S.DONE)},
    **{(state, Recorded): _try_again for state in (_S.FAILED, _S.EXPIRED, _S.LOST)},
    (_S.DONE, Found): _leave,
    (_S.FAILED, Found): _try_again,
    # A file that was here before may be again.
    (_S.EXPIRED, Found): lambda job, e, m, p: Do.PLACE if job.sha256 else _try_again(job, e, m, p),
    (_S.EXPIRED, Placed): lambda job, e, m, p: Published(path=e.path),
    (_S.EXPIRED, NoFile): _try_again,
    (_S.STUCK, Found): _always(Do.POLL),
    (_S.LOST, Found): lambda job, e, m, p: Do.PLACE if job.sha256 else Do.POLL,
    (_S.LOST, Placed): lambda job, e, m, p: Published(path=e.path),
    (_S.LOST, NoFile): _always(Do.POLL),
    **{(state, Seen): _seen for state in (_S.LOST, _S.STUCK)},
    (_S.LOST, NotThere): _try_again,
    (_S.STUCK, NotThere): _leave,
    **{(state, Silence): _leave for state in (_S.LOST, _S.STUCK)},
}

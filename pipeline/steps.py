"""How each piece of work is done: for every ``Do``, a coroutine that does it and returns what was learned.

Steps wait, ask and fetch; they decide nothing about a job. What concerns all jobs together (a rate limit, a dead key,
a silent server) is told to ``Signals``, which the runner listens to.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from random import Random

import anyio

from pipeline.blocking import Blocking
from pipeline.client import Received, VideosClient
from pipeline.decisions import Do, Moment
from pipeline.evidence import (
    Acceptance,
    Ambiguity,
    Closed,
    DownloadOutcome,
    Evidence,
    NoFile,
    NotSent,
    Placed,
    PollOutcome,
    PostOutcome,
    Ready,
    Refusal,
    Silence,
)
from pipeline.jobs import Failure, FailureKind, Job, State
from pipeline.limits import Contact, Gate, RateLimiter
from pipeline.outputs import Outputs, Part
from pipeline.profile import Profile
from pipeline.retrying import backoff, repeated


class Stop(Enum):
    """Why a run ends, or submits nothing more, before its work is done."""

    AUTH = "the server does not accept the key"
    QUOTA = "the account is empty"
    CONFIG = "the server has no such address"
    DOUBT = "too many submissions had no clear answer"
    UNREACHABLE = "the server cannot be reached"


class Signals:
    """What concerns the whole run. ``gate`` closes for submissions only; ``scope`` ends all that is not shielded."""

    def __init__(self, contact: Contact) -> None:
        self.gate = Gate()
        self.scope = anyio.CancelScope()
        self.contact = contact
        self.stop: Stop | None = None
        self.failure: Failure | None = None
        self.doubts = 0
        self.throttled = 0

    def no_more_submits(self, stop: Stop, failure: Failure) -> None:
        """Submit nothing more in this run; what is paid is still fetched."""
        if self.stop is None:
            self.stop, self.failure = stop, failure
        self.gate.close()

    def end(self, stop: Stop, failure: Failure) -> None:
        """End the run, but for what is between a POST and its record."""
        self.no_more_submits(stop, failure)
        self.scope.cancel()


@dataclass(frozen=True, slots=True)
class Tools:
    """What the steps work with. ``now`` is the wall clock, for stamps; waiting goes by the loop's clock."""

    client: VideosClient
    outputs: Outputs
    profile: Profile
    posts: anyio.Semaphore
    submits: RateLimiter
    polls: RateLimiter
    signals: Signals
    key_fingerprint: str | None
    now: Callable[[], float]
    rng: Random
    blocking: Blocking


DOUBTS_AT_MOST = 3
"""Unanswered POSTs of one run: a bad hour at a server must cost a person three decisions, not three thousand."""

Step = Callable[[Tools, Job, Moment], Awaitable[Evidence]]

_CLOSING = {
    FailureKind.AUTH: Stop.AUTH,
    FailureKind.QUOTA_EXHAUSTED: Stop.QUOTA,
    FailureKind.NOT_FOUND: Stop.CONFIG,
}


async def _prepare(tools: Tools, job: Job, moment: Moment) -> Ready | Closed:
    """Wait for a place among the POSTs under way, then for the turn. Who is Ready keeps the place."""
    gate = tools.signals.gate
    if job.state is State.IN_DOUBT:  # what was refused or not sent waits for the limiter alone
        await anyio.sleep(backoff(moment.tries, base=1, cap=60, rng=tools.rng))
    if not await gate.through(tools.posts.acquire):
        return Closed()
    if not await gate.through(tools.submits.acquire):
        tools.posts.release()
        return Closed()
    return Ready(
        idempotency_key=f"{tools.rng.getrandbits(128):032x}",
        base_url=tools.client.base_url,
        key_fingerprint=tools.key_fingerprint,
        price=tools.profile.cost(job.request),
    )


async def _submit(tools: Tools, job: Job, moment: Moment) -> PostOutcome:
    assert job.idempotency_key is not None  # noqa: S101  # the ledger's constraints say so too
    outcome = await tools.client.create(job.request, idempotency_key=job.idempotency_key)
    signals = tools.signals
    match outcome:
        case NotSent(failure):
            _unheard(tools, failure)
        case Refusal(failure):
            signals.contact.heard()
            _heed_refusal(tools, outcome)
        case Ambiguity(failure):
            signals.doubts += not tools.profile.abilities.idempotency
            if signals.doubts >= DOUBTS_AT_MOST:
                signals.no_more_submits(Stop.DOUBT, failure)
            _unheard(tools, failure)
        case Acceptance():
            signals.contact.heard()
            signals.throttled = 0
    return outcome


def _heed_refusal(tools: Tools, refusal: Refusal) -> None:
    kind, signals = refusal.failure.kind, tools.signals
    if kind in _CLOSING:
        signals.no_more_submits(_CLOSING[kind], refusal.failure)
    elif kind is FailureKind.RATE_LIMITED:
        signals.throttled += 1
        wait = backoff(signals.throttled, base=5, cap=120, rng=tools.rng)
        tools.submits.hold(anyio.current_time() + (wait if refusal.retry_after is None else refusal.retry_after))


async def _poll(tools: Tools, job: Job, moment: Moment) -> PollOutcome:
    assert job.video_id is not None  # noqa: S101  # the ledger's constraints say so too
    await anyio.sleep(_until_due(tools, job, moment))
    await tools.polls.acquire()
    outcome = await tools.client.retrieve(job.video_id)
    if not isinstance(outcome, Silence):
        tools.signals.contact.heard()
    elif outcome.failure.kind is FailureKind.AUTH:
        tools.signals.end(Stop.AUTH, outcome.failure)
    elif outcome.failure.kind is FailureKind.RATE_LIMITED:
        wait = backoff(moment.tries, base=2, cap=60, rng=tools.rng)
        tools.polls.hold(anyio.current_time() + (wait if outcome.retry_after is None else outcome.retry_after))
    else:
        _unheard(tools, outcome.failure)
    return outcome


def _until_due(tools: Tools, job: Job, moment: Moment) -> float:
    """Return seconds until the job's next poll. Old jobs are asked for less often; equal jobs drift apart."""
    pace = tools.profile.poll
    age = max(0.0, moment.now - (job.submitted_at or moment.now))  # the clock may have been set back
    if age < pace.first:
        return pace.first - age
    interval = min(max(pace.interval, age / 10), pace.slowest)
    return interval * tools.rng.uniform(0.0 if moment.tries == 1 else 0.8, 1.2)


async def _download(tools: Tools, job: Job, moment: Moment) -> DownloadOutcome:
    if moment.tries > 1:
        await anyio.sleep(backoff(moment.tries, base=2, cap=60, rng=tools.rng))
    again = repeated(lambda outcome: isinstance(outcome, Silence), attempts=3, base=1, cap=20, rng=tools.rng)
    outcome: DownloadOutcome = await again(_fetch, tools, job)
    if not isinstance(outcome, Silence):
        tools.signals.contact.heard()
    elif outcome.failure.http_status == 401:  # 403 may be a storage host's, which never had the key
        tools.signals.end(Stop.AUTH, outcome.failure)
    elif outcome.failure.kind is not FailureKind.RATE_LIMITED:
        _unheard(tools, outcome.failure)
    return outcome


async def _fetch(tools: Tools, job: Job) -> DownloadOutcome:
    assert job.video_id is not None  # noqa: S101  # the ledger's constraints say so too
    part: Part
    with await tools.blocking(lambda: tools.outputs.part(job)) as part:
        outcome = await tools.client.download(job.video_id, part.write)
        if isinstance(outcome, Received):
            return await tools.blocking(lambda: part.seal(job))
        part.path.unlink(missing_ok=True)
        return outcome


async def _place(tools: Tools, job: Job, moment: Moment) -> Placed | NoFile:
    return await tools.blocking(lambda: tools.outputs.place(job))


def _unheard(tools: Tools, failure: Failure) -> None:
    """Note that the server was silent: everybody pauses together, and in the end the run gives up."""
    contact, now = tools.signals.contact, anyio.current_time()
    if failure.http_status is not None or failure.kind is FailureKind.AMBIGUOUS:
        contact.reached()
    contact.unheard(now)
    if contact.lost(now):
        tools.signals.end(Stop.UNREACHABLE, failure)
    pause = now + backoff(contact.failures, base=1, cap=min(60, contact.patience / 4), rng=tools.rng)
    tools.submits.hold(pause)
    tools.polls.hold(pause)


STEPS: Mapping[Do, Step] = {
    Do.PREPARE: _prepare,
    Do.SUBMIT: _submit,
    Do.POLL: _poll,
    Do.DOWNLOAD: _download,
    Do.PLACE: _place,
}

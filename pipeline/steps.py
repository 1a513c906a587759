"""How each piece of work is done: for every ``Do``, a coroutine that does it and returns what was learned.

Steps wait, ask and fetch; they decide nothing about a job. What concerns all jobs together (a rate limit, a dead key,
a silent server) is told to ``Signals``, which the runner listens to.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from random import Random

import anyio

from pipeline.actions import ACTIONS, CLOSING
from pipeline.blocking import Blocking
from pipeline.bodies import Body, body, echoing
from pipeline.breakers import Signals, Stop
from pipeline.client import UNTRUSTED, Received, VideosClient
from pipeline.decisions import Do, Moment
from pipeline.errors import StorageError
from pipeline.evidence import (
    Acceptance,
    Ambiguity,
    Closed,
    DownloadOutcome,
    Evidence,
    Fetched,
    LookupOutcome,
    Matched,
    NoFile,
    NotSent,
    NotThere,
    Placed,
    PollOutcome,
    PostOutcome,
    Ready,
    Refusal,
    Silence,
)
from pipeline.inputs import Inputs
from pipeline.jobs import Failure, FailureKind, Job, State
from pipeline.limits import Adaptive, Places, RateLimiter
from pipeline.outputs import Outputs
from pipeline.parts import Part
from pipeline.polling import Poller
from pipeline.profile import Profile
from pipeline.reconciliation import Reconciler
from pipeline.retrying import LONGEST_HINT, backoff, repeated
from pipeline.videos import Page


@dataclass(frozen=True, slots=True)
class Tools:
    """What the steps work with. ``now`` is the wall clock, for stamps; waiting goes by the loop's clock."""

    client: VideosClient
    outputs: Outputs
    inputs: Inputs
    profile: Profile
    posts: anyio.Semaphore
    submits: RateLimiter
    pace: Adaptive
    polls: RateLimiter
    poller: Poller
    downloads: Places
    reconciler: Reconciler
    remember: Callable[..., Awaitable[None]]
    max_in_flight: int
    max_video_mib: int
    signals: Signals
    key_fingerprint: str | None
    now: Callable[[], float]
    rng: Random
    blocking: Blocking


PATIENCE = 3600.0
"""Seconds of nothing but rate limits, after which a run leaves rather than waits."""

EXPIRY_MARGIN = 120.0
"""Seconds that finished videos must have beyond twice the time that their downloads need."""

ROOM = 64 << 20
"""Bytes that stay free, beyond what jobs in flight will need: the ledger must never be without."""

Step = Callable[[Tools, Job, Moment], Awaitable[Evidence]]


async def _prepare(tools: Tools, job: Job, moment: Moment) -> Ready | Closed:
    """Wait for a place among the POSTs under way, then for the turn. Who is Ready keeps the place.

    Raises StorageError where the job's image is not in its place: before the intent it makes no doubt.
    """
    gate = tools.signals.gate
    if job.state is State.IN_DOUBT:  # what was refused or not sent waits for the limiter alone
        await anyio.sleep(backoff(moment.tries, base=1, cap=60, rng=tools.rng))
    if not await gate.through(tools.posts.acquire):
        return Closed()
    if not _has_room(tools):
        tools.posts.release()
        return Closed()
    if not await gate.through(partial(_submit_turn, tools)):
        tools.posts.release()
        return Closed()
    await _picture(tools, job)
    return Ready(
        idempotency_key=f"{tools.rng.getrandbits(128):032x}",
        base_url=tools.client.base_url,
        key_fingerprint=tools.key_fingerprint,
        price=tools.profile.cost(job.request),
    )


async def _submit_turn(tools: Tools) -> None:
    """Wait for a turn at which no finished video could expire while more are ordered."""
    await tools.submits.acquire()
    while _expiry_threatens(tools):
        await anyio.sleep(5)
        await tools.submits.acquire()


def _expiry_threatens(tools: Tools) -> bool:
    number, first = tools.downloads.waiting()
    needed = number * (tools.signals.download_seconds or 1.0) / tools.downloads.number
    return first - tools.now() < 2 * needed + EXPIRY_MARGIN


async def _submit(tools: Tools, job: Job, moment: Moment) -> PostOutcome:
    assert job.idempotency_key is not None  # noqa: S101  # the ledger's constraints say so too
    try:
        image = await _picture(tools, job)
    except StorageError as error:  # since it was looked at: nothing was sent, and the next look ends the run
        return NotSent(Failure(FailureKind.NOT_SENT, str(error)))
    outcome = await tools.client.create(_sent(tools, job, image), idempotency_key=job.idempotency_key)
    signals = tools.signals
    if isinstance(outcome, Refusal) and outcome.failure.kind is FailureKind.AUTH and outcome.failure.http_status == 403:
        outcome = await _confirmed(tools, outcome)
    match outcome:
        case NotSent(failure):
            _unheard(tools, failure)
        case Refusal(failure):
            signals.contact.heard()
            await _heed_refusal(tools, outcome)
        case Ambiguity(failure):
            if not tools.profile.abilities.idempotency:
                signals.doubted(job, failure)
            _unheard(tools, failure)
        case Acceptance():
            signals.contact.heard()
            signals.accepted()
            signals.throttled, signals.throttled_since = 0, None
            if tools.pace.went_well(anyio.current_time()):
                tools.submits.set_rate(tools.pace.rate)
    return outcome


async def _picture(tools: Tools, job: Job) -> bytes | None:
    """Return the bytes of the image that the job begins with, if there is one."""
    reference = job.request.get("input_reference")
    if not isinstance(reference, Mapping):
        return None
    return await tools.blocking(lambda: tools.inputs.read(reference))


def _sent(tools: Tools, job: Job, image: bytes | None) -> Body:
    """Return the request's body: what is asked for, with our reference in it where the server shows it again."""
    request = job.request
    if tools.profile.abilities.echo:
        request = echoing(request, job.idempotency_key)
    return body(request, tools.profile.request, image)


async def _confirmed(tools: Tools, refusal: Refusal) -> Refusal:
    """Ask with a GET whether it is the key, which a 403 leaves open. Where that passes, it was the job itself."""
    asked = await tools.client.retrieve("callsheet-asks-whether-this-key-is-known")
    if isinstance(asked, Silence):
        return refusal
    return replace(refusal, failure=replace(refusal.failure, kind=FailureKind.INVALID_REQUEST))


async def _heed_refusal(tools: Tools, refusal: Refusal) -> None:
    kind, signals = refusal.failure.kind, tools.signals
    if kind in CLOSING:
        signals.no_more_submits(CLOSING[kind], refusal.failure)
    elif ACTIONS[kind].pauses:
        await _slow_down(tools, refusal)


async def _slow_down(tools: Tools, refusal: Refusal) -> None:
    """Pause everybody for as long as the server asks, go slower from then on, and leave where that takes too long."""
    signals, now = tools.signals, anyio.current_time()
    signals.throttled += 1
    signals.throttled_since = now if signals.throttled_since is None else signals.throttled_since
    wait = backoff(signals.throttled, base=5, cap=120, rng=tools.rng)
    if refusal.retry_after is not None:
        wait = refusal.retry_after + tools.rng.uniform(0, refusal.retry_after / 10)
    if (refusal.retry_after or 0.0) > LONGEST_HINT or now - signals.throttled_since > PATIENCE:
        signals.no_more_submits(Stop.BUSY, refusal.failure)
    tools.submits.hold(now + min(wait, LONGEST_HINT))
    if tools.pace.throttled(now, now + wait):
        tools.submits.set_rate(tools.pace.rate)
        await tools.remember(learned_rate=tools.pace.rate)


def _has_room(tools: Tools) -> bool:
    """Tell whether the disk has room for what is at the server and one more; the spending ends where it has not."""
    signals = tools.signals
    needed = ROOM + int(1.5 * signals.largest) * (tools.max_in_flight + 1)
    free = tools.outputs.free()
    if free >= needed:
        return True
    message = f"{free >> 20} MiB are free, and {needed >> 20} MiB are wanted before more is paid for"
    signals.no_more_submits(Stop.DISK, Failure(FailureKind.BAD_OUTPUT, message))
    return False


async def _reconcile(tools: Tools, job: Job, moment: Moment) -> LookupOutcome:
    if moment.tries > 1:
        await anyio.sleep(tools.profile.doubt.between * tools.rng.uniform(1.0, 1.2))
    outcome = await tools.reconciler.look_for(job)
    if isinstance(outcome, Silence) and outcome.failure.kind is FailureKind.SERVER:
        _unheard(tools, outcome.failure)
        return outcome
    tools.signals.contact.heard()  # what it refuses concerns looking, and nothing else
    if isinstance(outcome, Matched):
        tools.signals.cleared(job)
    return outcome


async def _poll(tools: Tools, job: Job, moment: Moment) -> PollOutcome:
    assert job.video_id is not None  # noqa: S101  # the ledger's constraints say so too
    age = max(0.0, moment.now - (job.submitted_at or moment.now))  # the clock may have been set back
    outcome = await tools.poller.ask(job, age, again=moment.tries > 1, heard=partial(_heed_list, tools))
    if not isinstance(outcome, Silence):
        tools.signals.contact.heard()
        unknown = outcome.failure if isinstance(outcome, NotThere) else None
        tools.signals.polled(anyio.current_time(), job.video_id, unknown)
    else:
        _heed_silence(tools, outcome, moment)
    return outcome


def _heed_list(tools: Tools, page: Page | Silence) -> None:
    """Act on a list of many jobs, or on what came in its place. A no concerns the list, and nothing else."""
    if isinstance(page, Silence) and page.failure.kind is FailureKind.SERVER:
        _unheard(tools, page.failure)
    else:
        tools.signals.contact.heard()


def _heed_silence(tools: Tools, silence: Silence, moment: Moment) -> None:
    """Act on what the server said instead of a status: it concerns all who ask for one."""
    kind, signals = silence.failure.kind, tools.signals
    if kind in CLOSING:
        signals.end(CLOSING[kind], silence.failure)
    elif kind is not FailureKind.RATE_LIMITED:
        _unheard(tools, silence.failure)
    elif silence.retry_after is not None and silence.retry_after > LONGEST_HINT:
        signals.end(Stop.BUSY, silence.failure)
    else:
        signals.contact.heard()
        wait = backoff(moment.tries, base=2, cap=60, rng=tools.rng)
        tools.polls.hold(anyio.current_time() + (wait if silence.retry_after is None else silence.retry_after))


async def _download(tools: Tools, job: Job, moment: Moment) -> DownloadOutcome:
    if moment.tries > 1:
        await anyio.sleep(backoff(moment.tries, base=2, cap=60, rng=tools.rng))
    fetch = partial(_fetch, tools, job)
    outcome = await repeated(fetch, _is_silent, attempts=3, base=1, cap=20, rng=tools.rng)
    if isinstance(outcome, Fetched):
        tools.signals.largest = max(tools.signals.largest, outcome.bytes)
    if not isinstance(outcome, Silence):
        tools.signals.contact.heard()
    elif outcome.failure.http_status == 401:  # 403 may be a storage host's, which never had the key
        tools.signals.end(Stop.AUTH, outcome.failure)
    elif outcome.failure.kind is not FailureKind.RATE_LIMITED:
        _unheard(tools, outcome.failure)
    return outcome


def _is_silent(outcome: DownloadOutcome) -> bool:
    return isinstance(outcome, Silence)


async def _fetch(tools: Tools, job: Job) -> DownloadOutcome:
    assert job.video_id is not None  # noqa: S101  # the ledger's constraints say so too
    part: Part
    most = max(tools.max_video_mib << 20, 4 * tools.signals.largest)
    outcome: DownloadOutcome = Silence(Failure(FailureKind.NOT_SENT, "the run ended before the download did"))
    signals = tools.signals
    async with tools.downloads.place(inf if job.expires_at is None else job.expires_at):
        began = anyio.current_time()
        with signals.finishing(), tools.outputs.part(job) as part:
            received = await tools.client.download(job.video_id, partial(_keep, tools, part), most=most)
            if isinstance(received, Received):
                outcome = await tools.blocking(lambda: part.seal(job))
            else:
                part.path.unlink(missing_ok=True)
                outcome = received
        signals.downloaded(anyio.current_time() - began)
    return outcome


async def _keep(tools: Tools, part: Part, data: bytes) -> None:
    tools.signals.received += len(data)
    if part.write(data):
        await tools.blocking(part.flush)


async def _place(tools: Tools, job: Job, moment: Moment) -> Placed | NoFile:
    return await tools.blocking(lambda: tools.outputs.place(job))


def _unheard(tools: Tools, failure: Failure) -> None:
    """Note that the server was silent: everybody pauses together, and in the end the run gives up."""
    contact, now = tools.signals.contact, anyio.current_time()
    if failure.code == UNTRUSTED:
        tools.signals.end(Stop.UNTRUSTED, failure)
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
    Do.RECONCILE: _reconcile,
    Do.POLL: _poll,
    Do.DOWNLOAD: _download,
    Do.PLACE: _place,
}

"""The verbs: one function each, plain values in and out. The only place where everything is put together.

Real clocks, real randomness and the environment come in here, and for the person on call in ``resolving`` and
``aftercare``; nowhere else.
"""

import os
import signal
import time
from collections.abc import Callable, Collection
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import Random, SystemRandom

import anyio

from pipeline import providers, rejections, shipped
from pipeline.blocking import in_a_thread, in_threads
from pipeline.breakers import Signals, Stop
from pipeline.checking import checked
from pipeline.clearing import Cleared, check_address, clear, looked_again
from pipeline.client import POSTS_AT_ONCE, VideosClient
from pipeline.clock import steady
from pipeline.errors import CallsheetError
from pipeline.events import Renamed
from pipeline.files import Loaded, Source
from pipeline.instructions import Options
from pipeline.jobs import Failure, State
from pipeline.ledger import reading
from pipeline.ledger.lock import run_lock
from pipeline.ledger.rows import unfetched_setting
from pipeline.ledger.store import SqliteLedger
from pipeline.limits import Adaptive, Contact, Places, RateLimiter, Slots
from pipeline.onlookers import Begun, Progress
from pipeline.pacing import Pace
from pipeline.plan import Fate
from pipeline.policies import policy
from pipeline.polling import Poller
from pipeline.preparation import Prepared, prepare, wanted_images
from pipeline.reconciliation import Reconciler
from pipeline.residence import move_in, refuse_to_begin_anew
from pipeline.runner import Run
from pipeline.saved import carried_on
from pipeline.steps import Tools
from pipeline.summary import Status
from pipeline.supervision import Telling, apart, attended
from pipeline.surroundings import faults_of, rescue_folders, simulator, status_of
from pipeline.tally import Tally

_STRICT_RULES = "sora-request"
_EXITS = dict.fromkeys(Stop, 69) | {
    Stop.AUTH: 4,
    Stop.QUOTA: 4,
    Stop.BUDGET: 6,
    Stop.FAILURES: 6,
    Stop.CANARY: 6,
    Stop.DISK: 5,
}
_GRAVEST_FIRST = (5, 4, 6, 3, 69, 1, 0)
_SILENT = Progress()
# It goes on while the machine sleeps: on Linux by this name, on macOS by the other.
_SINCE_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended. ``stop`` and ``failure`` say why it ended early, ``signal`` that a signal ended it."""

    status: Status
    exit_code: int
    stop: Stop | None = None
    failure: Failure | None = None
    signal: int | None = None


@in_a_thread
def validate(manifest: Source, options: Options) -> Loaded:
    """Return the checked manifest, whole whatever is selected.

    Raises ManifestError with all of its problems, UsageError for a selection that fits no job.
    """
    return checked(manifest, options)


def nobody(prepared: Prepared) -> bool | None:
    """Is asked to confirm a spending where nobody can be."""
    return None


async def cleared(
    manifest: Source, options: Options, *, confirm: Callable[[Prepared], bool | None] = nobody
) -> Cleared:
    """Return a run that may spend; ``clearing.clear`` says what can refuse it. ``confirm`` holds up the event loop."""
    prepared = await in_a_thread(prepare)(manifest, options)
    return clear(prepared, options, os.environ, confirm=confirm)


async def run(cleared: Cleared, *, progress: Progress = _SILENT, ending: Collection[signal.Signals] = ()) -> Ended:
    """Carry out the plan, and whatever an earlier run left unfinished. Running again is resuming.

    The first of the ``ending`` signals ends it so that the next run goes on, a second one ends the process; a program
    of its own heeds its own. Cancelled, it submits nothing more, and waits for the answers to POSTs in flight; what
    ``progress`` raises ends it likewise, and is raised here. Raises CallsheetError, with everything paid on record,
    when another run holds the campaign, when unfinished jobs belong to another address or key, and when the disk or
    the ledger fails.
    """
    return await apart(partial(_run_alone, cleared, progress, ending))


async def _run_alone(cleared: Cleared, progress: Progress, ending: Collection[signal.Signals]) -> Ended:
    campaign = cleared.prepared.campaign
    campaign.outputs.make()
    with run_lock(campaign.lock) as lock:
        if not campaign.ledger.exists():
            refuse_to_begin_anew(campaign, lock)
        now = steady(time.time, lambda: time.clock_gettime(_SINCE_BOOT))
        ledger = SqliteLedger.create_or_open(
            campaign.ledger,
            now=now,
            blocking=in_threads(1),
            fallbacks=rescue_folders(campaign, os.environ),
            unchecked=True,
        )
        try:
            try:
                cleared = await in_a_thread(looked_again)(cleared)
            finally:  # what is amiss with a damaged file is that it is damaged
                await ledger.sound()
            rejections.finish(campaign)
            plan, saved = cleared.prepared.plan, cleared.options.plan
            moved = carried_on(saved, plan.items) if saved else None
            if moved is not None:
                progress.note(moved)
            work = plan.has_work
            warning = await move_in(ledger, campaign, lock, takeover=cleared.options.takeover, work=work)
            if warning is not None:
                progress.note(f"Taking over: {warning}.")
            end = await _run(cleared, ledger, now, progress, ending)
        except CallsheetError as error:
            progress.ended(error.exit_code, None, None, str(error))
            raise
        else:
            progress.ended(end.exit_code, end.stop, end.signal)
            return end
        finally:
            ledger.close()


def stopped(end: Ended, stop: Stop) -> Ended:
    """Return the end of a run after which no other one follows, for this reason."""
    return replace(end, exit_code=min(end.exit_code, _EXITS[stop], key=_GRAVEST_FIRST.index), stop=stop)


async def _run(
    cleared: Cleared,
    ledger: SqliteLedger,
    now: Callable[[], float],
    progress: Progress,
    ending: Collection[signal.Signals],
) -> Ended:
    prepared, campaign, key = cleared.prepared, cleared.prepared.campaign, cleared.key
    profile, limits = prepared.loaded.profile, prepared.loaded.limits
    if prepared.plan.has_work:
        able, same_account = profile.abilities, cleared.options.same_account
        check_address(prepared.plan, cleared.base_url, key, listing=able.list, same_account=same_account)
        campaign.outputs.probe()
    await _enrol(ledger, prepared, cleared)
    telling = Telling(_begun(prepared, now), progress)
    progress.started(telling.begun)
    signals = Signals(Contact(), cleared.options.tolerance, largest=prepared.record.sums.largest)
    if not prepared.plan.has_work:
        return _ended(status_of(campaign), signals, prepared.selected, None)
    rules = providers.request_schema(profile.request)
    bundled = simulator(campaign.simulator, rules, now=now) if cleared.url is None else nullcontext()
    with bundled as app:
        async with VideosClient(
            cleared.base_url,
            profile=profile,
            key=key,
            downloads=limits.downloads,
            app=app,
            network=cleared.options.network,
            heard=telling.heard if progress.hears else None,
        ) as client:
            work = Run(
                ledger=ledger,
                tools=_tools(cleared, ledger, client, signals, now),
                slots=Slots(limits.max_in_flight),
                policy=policy(
                    profile, retry=prepared.loaded.manifest.retry, resubmit_absent=cleared.options.resubmit_absent
                ),
                wanted=lambda job: job.name in prepared.selected,
                observe=telling.observe,
            )

            try:
                received = await attended(
                    work, signals, telling, gauges=work.gauges, grace=cleared.options.grace, ending=ending
                )
            finally:
                telling.at(work.gauges())
            await ledger.remember(unfetched=unfetched_setting(signals.unfetched))
    return _ended(status_of(campaign), signals, prepared.selected, received)


def _begun(prepared: Prepared, now: Callable[[], float]) -> Begun:
    campaign, submitted = prepared.campaign, prepared.plan.of(Fate.SUBMIT)
    with reading.opened(campaign.ledger) as connection:
        renders = [seconds for _, seconds in reversed(reading.render_times(connection))]
    wanted = sum(item.state in (None, State.PLANNED) for item in submitted)
    tally = Tally.begun(status_of(campaign), todo=wanted, renders=renders, now=now())
    return Begun(str(campaign.folder.absolute()), wanted, tally, now)


def _tools(
    cleared: Cleared, ledger: SqliteLedger, client: VideosClient, signals: Signals, now: Callable[[], float]
) -> Tools:
    prepared, key = cleared.prepared, cleared.key
    profile, limits = prepared.loaded.profile, prepared.loaded.limits
    with reading.opened(prepared.campaign.ledger) as connection:
        learned = reading.settings(connection).get("learned_rate")
    pace = Adaptive(limits.requests_per_minute / 60, learned)
    polls = RateLimiter(limits.polls_per_second)
    able, doubt = profile.abilities, profile.doubt
    return Tools(
        client=client,
        outputs=prepared.campaign.outputs,
        inputs=prepared.campaign.inputs,
        profile=profile,
        posts=anyio.Semaphore(POSTS_AT_ONCE, fast_acquire=True),
        submits=RateLimiter(pace.rate),
        pace=pace,
        polls=polls,
        poller=Poller(
            client,
            pace=Pace(profile.poll),
            turn=polls.acquire,
            lists=able.list and able.same_id,
            rng=Random(),  # noqa: S311  # when to poll is no secret
        ),
        downloads=Places(limits.downloads),
        reconciler=Reconciler(
            client,
            claimed=ledger.claimed,
            turn=polls.acquire,
            settle=doubt.settle,
            between=doubt.between,
            now=now,
        ),
        remember=ledger.remember,
        max_in_flight=limits.max_in_flight,
        max_video_mib=limits.max_video_mib,
        signals=signals,
        key_fingerprint=key.fingerprint if key else None,
        now=now,
        rng=SystemRandom(),  # keys that no other run may have
        blocking=in_threads(limits.downloads),
    )


async def simulate(
    *,
    port: int,
    state: Path | None,
    stock: bool,
    speed: float,
    dialect: str | None,
    faults: Path | None,
    started: Callable[[str], None],
) -> None:
    """Serve the simulator on a loopback port until a signal. ``started`` is called with its address.

    ``dialect`` names the server that it stands for, ``faults`` is the file of what goes wrong. Raises UsageError for a
    dialect that there is not, ManifestError for mistakes in the file.
    """
    rules, key = shipped.schema(_STRICT_RULES), os.environ.get("CALLSHEET_SIMULATOR_KEY") or None
    wrong = faults_of(faults) if faults else None
    with simulator(
        state or ":memory:", rules, now=time.time, stock=stock, speed=speed, dialect=dialect, faults=wrong, key=key
    ) as app:
        from pipeline.simulator.server import serve  # noqa: PLC0415  # an extra, and slow to import

        await serve(app, port=port, started=started, bytewise=bool(wrong and wrong.need_a_proxy))


async def _enrol(ledger: SqliteLedger, prepared: Prepared, cleared: Cleared) -> None:
    """Make the ledger hold what the manifest asks for, and the campaign its images, before anything is submitted.

    What only has a new name keeps its video.
    """
    loaded, outputs = prepared.loaded, prepared.campaign.outputs
    for renaming in prepared.plan.renamings:
        job, spec = renaming.job, renaming.spec
        path = outputs.rename(job, spec.name, spec.output)
        # A verified file waits under its old name's part file.
        output = job.output if job.state is State.VERIFIED else spec.output
        await ledger.record(job, Renamed(name=spec.name, output=output, path=path))
    inputs, blocking = prepared.campaign.inputs, in_threads(1)
    for image in wanted_images(prepared):
        await blocking(partial(inputs.stage, image))
    price = loaded.profile.price
    settings = {
        "name": loaded.manifest.name,
        "provider": loaded.profile.name,
        "currency": price.currency if price else prepared.record.settings.get("currency"),
        "vars": {**prepared.remembered, **cleared.options.variables},
        "agreed": list(cleared.agreed),
        "requests_per_minute": loaded.limits.requests_per_minute,
    }
    account = prepared.account
    await ledger.enrol(loaded.specs, settings=settings, max_cost=account.max_cost, max_videos=account.max_videos)


def _ended(status: Status, signals: Signals, selected: frozenset[str], received: int | None) -> Ended:
    code = status.exit_code(selected)
    # A last job that fails stops nothing.
    if signals.stop is not None and (signals.stop is not Stop.FAILURES or status.is_unfinished(selected)):
        code = min(code, _EXITS[signals.stop], key=_GRAVEST_FIRST.index)
    if received is not None:
        code = 128 + received
    return Ended(status, code, signals.stop, signals.failure, received)

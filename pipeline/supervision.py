"""How a run is attended: beats show it to people, and a signal ends it so that the next run can go on."""

import os
import signal
from collections.abc import Awaitable, Callable, Collection, Iterator
from dataclasses import dataclass

import anyio

from pipeline.breakers import Signals
from pipeline.errors import CallsheetError
from pipeline.events import Event
from pipeline.jobs import Job
from pipeline.onlookers import Begun, Progress
from pipeline.tally import Gauges


@dataclass(frozen=True, slots=True)
class Telling:
    """Tells of a run, with sums that are up to date before anybody hears of it."""

    begun: Begun
    progress: Progress

    def observe(self, before: Job, event: Event, after: Job) -> None:
        self.begun.tally.observe(before, event, after, self.begun.now())
        self.progress.observe(before, event, after)

    def at(self, gauges: Gauges) -> Gauges:
        """Take what the run is at, and return it."""
        self.begun.tally.beat(gauges, self.begun.now())
        return gauges


ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals that end a command."""


async def attended(
    work: Callable[[], Awaitable[None]],
    signals: Signals,
    progress: Progress,
    *,
    gauges: Callable[[], Gauges],
    grace: float,
    ending: Collection[signal.Signals],
) -> int | None:
    """Do the work; return the signal that ended it early, if one of the ``ending`` did.

    ``gauges`` says at each beat what it is at. ``grace``: seconds that POSTs and downloads in flight get after a
    signal. A POST that has no answer then is in doubt, and its intent is on disk.
    """
    received: list[int] = []
    try:
        async with anyio.create_task_group() as group:
            if ending:
                group.start_soon(_heed_signals, ending, signals, progress, received, grace)
            group.start_soon(_beat, progress, gauges)
            await work()
            group.cancel_scope.cancel()
    except BaseExceptionGroup as failures:
        raise _the_one(failures) from None
    return received[0] if received else None


def _the_one(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error that has a sentence for people, where there is nothing else; the group otherwise.

    It says what all of them say: one may name a paid id that is nowhere else.
    """
    known, others = failures.split(CallsheetError)
    if known is None or others is not None:
        return failures
    found = list(_leaves(known))
    return type(found[0])("; ".join(dict.fromkeys(map(str, found))))


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


async def _heed_signals(
    ending: Collection[signal.Signals], signals: Signals, progress: Progress, received: list[int], grace: float
) -> None:
    """On a signal, end the run but for POSTs in flight; on a second one, or after the grace, leave at once.

    Outside the scope that it cancels: a receiver inside would die with it, and the next Ctrl-C would kill a POST.
    """
    heeded = set(ending)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # nohup
        heeded.discard(signal.SIGHUP)
    with anyio.open_signal_receiver(*heeded) as numbers:
        iterator = aiter(numbers)
        received.append(await anext(iterator))
        progress.stopping(signals.leave(grace * 0.8))  # a download that is given up still has to tidy up
        with anyio.move_on_after(grace):
            await anext(iterator)
        progress.left()
        os._exit(128 + received[0])


async def _beat(progress: Progress, gauges: Callable[[], Gauges]) -> None:
    while True:
        progress.beat(gauges())
        await anyio.sleep(progress.interval)

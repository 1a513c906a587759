"""How a run is attended: beats show it to people, and a signal ends it so that the next run can go on."""

import os
import signal
from collections.abc import Awaitable, Callable, Collection, Iterator
from typing import ParamSpec, TypeVar

import anyio

from pipeline.breakers import Signals
from pipeline.errors import CallsheetError
from pipeline.events import Event
from pipeline.jobs import Job
from pipeline.onlookers import Begun, Exchange, Progress
from pipeline.tally import Gauges

P = ParamSpec("P")
T = TypeVar("T")


class Telling(Progress):
    """Tells of a run, with sums that are up to date before anybody hears of it.

    What a listener raises reaches back into nothing that may be paid: it is kept as ``error``, the ``scope`` of the
    work is cancelled, which lets answers that are under way be recorded, and the listener hears no more.
    """

    def __init__(self, begun: Begun, progress: Progress) -> None:
        self.begun = begun
        self.interval = progress.interval
        self.scope = anyio.CancelScope()
        self.error: Exception | None = None
        self._progress = progress

    def observe(self, before: Job, event: Event, after: Job) -> None:
        self.begun.tally.observe(before, event, after, self.begun.now())
        self._tell(self._progress.observe, before, event, after)

    def heard(self, exchange: Exchange) -> None:
        self._tell(self._progress.heard, exchange)

    def beat(self, gauges: Gauges) -> None:
        self.at(gauges)
        self._tell(self._progress.beat, gauges)

    def stopping(self, downloads: int) -> None:
        self._tell(self._progress.stopping, downloads)

    def left(self) -> None:
        self._tell(self._progress.left)

    def at(self, gauges: Gauges) -> None:
        """Take what the run is at."""
        self.begun.tally.beat(gauges, self.begun.now())

    def _tell(self, tell: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        if self.error is not None:
            return
        try:
            tell(*args, **kwargs)
        except Exception as error:  # noqa: BLE001  # whatever it is: a paid answer may be in the caller's hands
            self.error = error
            self.scope.cancel()


async def apart(work: Callable[[], Awaitable[T]]) -> T:
    """Do the work in a task of its own, and return what it returns.

    A cancellation by asyncio itself (``Task.cancel``, ``asyncio.timeout``) goes through every shield of the task that
    it is meant for. Here that one only waits, and the work is cancelled as anyio does it, which shields hold.
    """
    found: list[T] = []

    async def do() -> None:
        found.append(await work())

    try:
        async with anyio.create_task_group() as group:
            group.start_soon(do)
    except BaseExceptionGroup as failures:
        raise _the_one(failures) from None
    return found[0]


ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals that end a command."""


async def attended(
    work: Callable[[], Awaitable[None]],
    signals: Signals,
    telling: Telling,
    *,
    gauges: Callable[[], Gauges],
    grace: float,
    ending: Collection[signal.Signals],
) -> int | None:
    """Do the work; return the signal that ended it early, if one of the ``ending`` did.

    ``gauges`` says at each beat what it is at. ``grace``: seconds that POSTs and downloads in flight get after a
    signal. A POST that has no answer then is in doubt, and its intent is on disk. Raises what a listener has raised,
    when all is recorded.
    """
    received: list[int] = []
    try:
        with telling.scope:
            async with anyio.create_task_group() as group:
                if ending:
                    group.start_soon(_heed_signals, ending, signals, telling, received, grace)
                group.start_soon(_beat, telling, gauges)
                await work()
                group.cancel_scope.cancel()
    except BaseExceptionGroup as failures:
        raise _the_one(failures) from None
    if telling.error is not None:
        raise telling.error
    return received[0] if received else None


def _the_one(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the only error; the first that has a sentence for people, where there is nothing else; else the group.

    It says what all of them say: one may name a paid id that is nowhere else.
    """
    leaves = list(_leaves(failures))
    if len(leaves) == 1:
        return leaves[0]
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

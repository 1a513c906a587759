"""How often, how many, and whether at all. Arithmetic on the run's own clock; no limit knows what it limits."""

import heapq
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count

import anyio


class RateLimiter:
    """GCRA: at most ``rate`` turns a second, evenly spread, in the order of asking. ``burst`` turns may come at once.

    One limiter is shared by all who ask, so ``hold`` pauses all of them together.
    """

    def __init__(self, rate: float, *, burst: int = 1) -> None:
        self._burst = burst
        self._next = -math.inf
        self._held_until = -math.inf
        self._queue = anyio.Lock()
        self.set_rate(rate)

    def set_rate(self, rate: float) -> None:
        """Give ``rate`` turns a second from the next turn on."""
        self._interval = 1.0 / rate
        self._tolerance = self._interval * (self._burst - 1)

    def reserve(self, now: float) -> float:
        """Return the instant of the next turn, without taking it."""
        return max(now, self._next - self._tolerance, self._held_until)

    def take(self, now: float) -> None:
        """Take the turn that is due now."""
        self._next = max(self._next, now) + self._interval

    def held(self, now: float) -> float:
        """Return for how many seconds no turn is given."""
        return max(0.0, self._held_until - now)

    def hold(self, until: float) -> None:
        """Give no turn before this instant of ``anyio.current_time``. A shorter hold never ends a longer one."""
        self._held_until = max(self._held_until, until)

    async def acquire(self) -> None:
        """Wait for a turn and take it. A turn that was waited for in vain is not lost to others."""
        now = anyio.current_time()
        if not self._queue.locked() and self.reserve(now) <= now:  # a lock would cost a turn of the event loop
            self.take(now)
            return
        async with self._queue:
            # A hold may come while we sleep, so the turn is asked for again.
            while (turn := self.reserve(anyio.current_time())) > anyio.current_time():  # noqa: ASYNC110
                await anyio.sleep_until(turn)
            self.take(anyio.current_time())


class Adaptive:
    """A rate that a server teaches: halved when it says that we are too fast, raised a little with every good minute.

    Additive increase, multiplicative decrease, between one turn a minute and ``ceiling``; turns a second. Several
    complaints within CONGESTION seconds are one.
    """

    CONGESTION = 10.0
    STEP = 1 / 60  # one more a minute
    FLOOR = 1 / 60

    def __init__(self, ceiling: float, learned: float | None = None) -> None:
        self.ceiling = ceiling
        self._floor = min(self.FLOOR, ceiling)
        self.rate = ceiling if learned is None else min(max(learned, self._floor), ceiling)
        self._complaint = -math.inf
        self._good_since = math.inf

    def throttled(self, now: float, until: float) -> bool:
        """Note a complaint that asks for silence ``until`` then; True where the rate falls."""
        again = now < self._complaint + self.CONGESTION
        self._complaint = self._good_since = max(now, until)
        if not again:
            self.rate = max(self._floor, self.rate / 2)
        return not again

    def went_well(self, now: float) -> bool:
        """Note an answer without a complaint; True where the rate rises."""
        self._good_since = min(self._good_since, max(now, self._complaint))
        if self.rate >= self.ceiling or now < self._good_since + 60.0:
            return False
        self._good_since = now
        self.rate = min(self.ceiling, self.rate + self.STEP)
        return True


class Places:
    """A number of places, the most urgent of those who wait first."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._free = number
        self._order = count()
        self._waiting: list[tuple[float, int, anyio.Event]] = []

    @asynccontextmanager
    async def place(self, urgency: float) -> AsyncIterator[None]:
        """Wait for a place and keep it for the block. The smaller the number, the more urgent."""
        if self._free > 0:
            self._free -= 1
        else:
            await self._handed_over(urgency)
        try:
            yield
        finally:
            self._pass_on()

    def waiting(self) -> tuple[int, float]:
        """Return how many wait, and the urgency of the one that is next."""
        return len(self._waiting), self._waiting[0][0] if self._waiting else math.inf

    async def _handed_over(self, urgency: float) -> None:
        mine = (urgency, next(self._order), anyio.Event())
        heapq.heappush(self._waiting, mine)
        try:
            await mine[2].wait()
        except BaseException:
            if mine in self._waiting:
                self._waiting.remove(mine)
                heapq.heapify(self._waiting)
            else:
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        if self._waiting:
            heapq.heappop(self._waiting)[2].set()
        else:
            self._free += 1


class Slots:
    """How many jobs are at the server. Those that are there already may take a slot beyond the limit."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0
        self._changed = anyio.Event()

    def take(self) -> None:
        self.taken += 1

    def release(self) -> None:
        self.taken -= 1
        self._changed.set()
        self._changed = anyio.Event()

    @property
    def are_taken(self) -> bool:
        """Whether who wants one has to wait."""
        return self.taken >= self.limit

    async def free(self) -> None:
        """Return when a slot is free. Who waited takes it before anything else happens."""
        while self.are_taken:
            await self._changed.wait()


class Gate:
    """Whether a thing may be done at all. Once closed it stays closed, and lets those go who were waiting behind it."""

    def __init__(self) -> None:
        self.closed = False
        self._waiting: set[anyio.CancelScope] = set()

    def close(self) -> None:
        self.closed = True
        for scope in self._waiting:
            scope.cancel()

    async def through(self, wait: Callable[[], Awaitable[None]]) -> bool:
        """Wait as told; True when that is over and the gate is still open."""
        if self.closed:
            return False
        with anyio.CancelScope() as scope:
            self._waiting.add(scope)
            try:
                await wait()
            finally:
                self._waiting.discard(scope)
        return not self.closed


class Contact:
    """Whether the server can be spoken with. Patience in seconds; less of it before the first answer ever."""

    def __init__(self, *, patience: float = 600.0, first_patience: float = 10.0) -> None:
        self.patience = first_patience
        self._patience_once_heard = patience
        self._silent_since: float | None = None
        self.failures = 0

    def reached(self) -> None:
        """Note that there is a server, whatever it says."""
        self.patience = self._patience_once_heard

    def heard(self) -> None:
        """Note an answer that makes sense."""
        self.reached()
        self._silent_since = None
        self.failures = 0

    def unheard(self, now: float) -> None:
        """Note a request without one."""
        self._silent_since = now if self._silent_since is None else self._silent_since
        self.failures += 1

    def lost(self, now: float) -> bool:
        """Tell whether it has been silent for longer than patience allows. One failure alone is no silence."""
        return self.failures > 2 and self._silent_since is not None and now - self._silent_since >= self.patience

"""What a run comes to while it goes: folded from its events as they come, so that no beat looks at all jobs. Pure."""

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf
from statistics import median
from typing import NamedTuple

from pipeline.breakers import Stop
from pipeline.events import Accepted, Completed, Event, Intended
from pipeline.jobs import DOUBTFUL, FOR_A_PERSON, OVER, FailureKind, Job, State
from pipeline.summary import Status, costs_unknown, in_doubt_for, spent_on

RENDERS = 500
"""So many of the last renders tell how long the next ones take."""

_MINUTE = 60.0
_AT_LEAST = 5.0
_SPEED_OVER = 10.0
_AT_SERVER = DOUBTFUL - {State.HELD} | {State.SUBMITTED}
_TO_FETCH = (State.COMPLETED, State.VERIFIED)
_TROUBLE = OVER | FOR_A_PERSON


class Standing(NamedTuple):
    """What one job adds to the sums."""

    state: State
    spent: float
    in_doubt: float
    unknown: bool

    @classmethod
    def of(cls, job: Job) -> "Standing":
        return cls(job.state, spent_on(job), in_doubt_for(job), costs_unknown(job))


@dataclass(frozen=True, slots=True)
class Gauges:
    """What a run is at, at this instant.

    ``rate`` and ``most_rate`` are submits a minute: what the server has taught, and what the manifest allows.
    ``paused`` is for how many seconds nothing is submitted, because the server said so or said nothing; ``unheard``
    how many requests in a row had no answer that makes sense. ``received`` counts bytes of videos.
    """

    rate: float
    most_rate: float
    paused: float
    in_flight: int
    most_in_flight: int
    downloads: int
    most_downloads: int
    received: int
    unheard: int = 0
    stop: Stop | None = None


class Tally:
    """The sums of a campaign, and the speed of its run. Times are seconds since the epoch.

    ``todo`` are the planned jobs that the run may submit; ``failures`` and ``submits`` are those since it began.
    """

    def __init__(self, *, name: str, currency: str | None, budget: float | None, began: float, todo: int) -> None:
        self.name, self.currency, self.budget = name, currency, budget
        self.began, self.todo = began, todo
        self.counts: Counter[State] = Counter()
        self.spent = self.in_doubt = 0.0
        self.unknown_price_jobs = 0
        self.submits = 0
        self.failures: Counter[FailureKind] = Counter()
        self.renders: deque[float] = deque(maxlen=RENDERS)
        self.gauges: Gauges | None = None
        self._minute: deque[float] = deque()
        self._received: deque[tuple[float, int]] = deque()
        self._youngest = 0.0

    @classmethod
    def begun(cls, status: Status, *, todo: int, renders: Iterable[float], now: float) -> "Tally":
        """Return the sums as a run begins. ``renders``: seconds that earlier jobs took at the server, oldest first."""
        tally = cls(name=status.name, currency=status.currency, budget=status.budget, began=now, todo=todo)
        sums = status.sums
        tally.counts.update(sums.counts)
        tally.spent, tally.in_doubt, tally.unknown_price_jobs = sums.spent, sums.in_doubt, sums.unknown_price_jobs
        tally.renders.extend(renders)
        tally._youngest = sums.youngest
        return tally

    def enrol(self, standings: Mapping[Standing, int], youngest: float) -> None:
        """Add the jobs that there are already: how many add this. ``youngest`` is when the last one was accepted."""
        for adds, number in standings.items():
            self.counts[adds.state] += number
            self.spent += adds.spent * number
            self.in_doubt += adds.in_doubt * number
            self.unknown_price_jobs += adds.unknown * number
        self.todo, self._youngest = self.counts[State.PLANNED], youngest

    def seen(self, before: Standing | None, after: Job, ready: Iterable[float] = ()) -> Standing:
        """Add what somebody else has recorded of a job, and when it was ready. Return what it adds now."""
        standing = Standing.of(after)
        self.move(before, standing)
        self._youngest = max(self._youngest, after.submitted_at or 0.0)
        if after.submitted_at is not None:
            self.renders.extend(at - after.submitted_at for at in ready if at >= after.submitted_at)
        self.todo = self.counts[State.PLANNED]
        return standing

    def observe(self, before: Job, event: Event, after: Job, now: float) -> None:
        """Add what an event changes."""
        self.move(Standing.of(before), Standing.of(after))
        if after.state is not before.state:
            self.todo += (after.state is State.PLANNED) - (before.state is State.PLANNED)
        if isinstance(event, Intended):
            self.submitted(now)
        elif isinstance(event, Accepted):
            self._youngest = max(self._youngest, event.submitted_at)
        elif isinstance(event, Completed) and before.submitted_at is not None:
            self.renders.append(max(0.0, now - before.submitted_at))
        if after.failure is not None and after.state is not before.state and after.state in _TROUBLE:
            self.failures[after.failure.kind] += 1

    def move(self, before: Standing | None, after: Standing) -> None:
        """Change what one job adds to the sums."""
        if before is not None:
            self.counts[before.state] -= 1
            self.spent -= before.spent
            self.in_doubt -= before.in_doubt
            self.unknown_price_jobs -= before.unknown
        self.counts[after.state] += 1
        self.spent += after.spent
        self.in_doubt += after.in_doubt
        self.unknown_price_jobs += after.unknown

    def submitted(self, at: float) -> None:
        """Count a POST that is about to be sent."""
        self.submits += 1
        self._minute.append(at)

    def beat(self, gauges: Gauges, now: float) -> None:
        """Take what the run is at."""
        self.gauges = gauges
        self._received.append((now, gauges.received))
        while len(self._received) > 2 and self._received[1][0] <= now - _SPEED_OVER:
            self._received.popleft()

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def done(self) -> int:
        return self.counts[State.DONE]

    @property
    def render(self) -> float | None:
        """Seconds that half of the jobs take at the server; None until some have rendered."""
        return median(self.renders) if self.renders else None

    def submits_per_minute(self, now: float) -> float:
        """Return how fast jobs were submitted in the last minute."""
        while self._minute and self._minute[0] <= now - _MINUTE:
            self._minute.popleft()
        return len(self._minute) * _MINUTE / min(_MINUTE, max(_AT_LEAST, now - self.began))

    def bytes_per_second(self) -> float:
        """Return how fast videos came in the last seconds."""
        if len(self._received) < 2:
            return 0.0
        (began, before), (ended, after) = self._received[0], self._received[-1]
        return (after - before) / (ended - began) if ended > began else 0.0

    def remaining(self, now: float) -> float | None:
        """Return in how many seconds all will be here, about; None where nobody knows how long a render takes.

        What is to be submitted goes as fast as the rate allows, and the places at the server: each is taken for as
        long as half of the renders took. After the last one its render is waited for.
        """
        gauges, render = self.gauges, self.render
        todo = 0 if gauges is not None and gauges.stop else max(0, self.todo)
        if not (todo or self.is_rendering):
            return 0.0
        if render is None:
            return None
        if not todo:
            return max(0.0, self._youngest + render - now)
        # A watcher knows no limits, but what he sees.
        rate, paused = (gauges.rate, gauges.paused) if gauges else (self.submits_per_minute(now), 0.0)
        at_once = gauges.most_in_flight / render if gauges and render else inf
        slowest = min(rate / _MINUTE, at_once)
        return paused + todo / slowest + render if slowest else None

    @property
    def is_rendering(self) -> bool:
        """Whether something is at the server, as far as anybody knows."""
        return any(self.counts[state] for state in _AT_SERVER)

    @property
    def is_done(self) -> bool:
        """Whether a run would have nothing more to do, but for what waits for a person."""
        return not (self.todo or self.is_rendering or any(self.counts[state] for state in _TO_FETCH))

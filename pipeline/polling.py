"""Asking for the status of jobs: each when it is due, and many at once where the server lists them.

A page of the list costs what one status request costs, and speaks of a hundred jobs. It is believed in one thing: that
a job is still at work, which puts its next request off. Whatever else it shows of a job, or does not show, is asked
about with a request for that job alone, and what comes of a job is what that says: no list ends a job, and none is
recorded. Nor can a list put a job off for ever: each is asked for by itself now and then, whatever lists say.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from random import Random

import anyio

from pipeline.client import VideosClient
from pipeline.evidence import PollOutcome, Seen, Silence
from pipeline.jobs import FailureKind, Job
from pipeline.matching import fits
from pipeline.pacing import Pace
from pipeline.videos import Page, Status

LEAST = 3
"""Jobs that want an answer, for which a page is asked for."""

SPAN = 95
"""Jobs next to one another of which a page is expected to show all: a hundred, without some for a differing order."""

MARGIN = 5
"""Jobs that a page begins before the first one that is wanted: the server may have created them in another order."""

KNOWN = 100_000
"""Jobs of this run whose order is kept: pages begin at the newest, and nobody waits among the oldest."""

PUT_OFF = 1.25
"""Intervals for which a list puts a job off: meanwhile it is in the pages for its neighbours."""

ALONE, ALONE_SHARE = 120.0, 0.25
"""Seconds, and share of its age, after which a job is asked for by itself: the longer of the two."""

FRESH = 2.0
"""Seconds within which the answer to such a request may be held against a list that said that the job is at work."""

SLOW = 10.0
"""Seconds for a page. Meanwhile nobody is asked for, so there is no second one from a server that takes longer."""

STRIKES = 3
"""Wrongs of one kind without a right, after which lists are not asked for any more."""

_Heard = Callable[[Page | Silence], None]
_PASSING = frozenset({FailureKind.SERVER, FailureKind.RATE_LIMITED})


@dataclass(eq=False, slots=True)
class _Waiting:
    """Who waits for a request of its own, in seconds of the loop's clock.

    It is ``due`` then, unless a list says that it is at work, and asked for ``alone`` from then on whatever lists say.
    ``interval`` is between two looks at it. ``seen`` at work by a list; what shows anything else
    takes it out of the ``line`` of those that lists are asked for.
    """

    job: Job
    born: float
    due: float
    alone: float
    interval: float
    seen: float = -inf
    line: anyio.CancelScope = field(default_factory=anyio.CancelScope)

    @property
    def eager(self) -> float:
        """From when on it would take an answer."""
        return self.due - self.interval / 2

    @property
    def wanted(self) -> float:
        """When it is its turn to be asked for."""
        return min(self.due, self.alone)


class Poller:
    """Asks one server. ``turn`` waits for a request's turn; ``lists`` tells whether the server lists its jobs."""

    def __init__(
        self, client: VideosClient, *, pace: Pace, turn: Callable[[], Awaitable[None]], lists: bool, rng: Random
    ) -> None:
        self._client = client
        self._pace = pace
        self._turn = turn
        self._lists = lists
        self._rng = rng
        self._wrong = Counter[str]()
        self._at_work: dict[str, float] = {}
        self._singly: set[str] = set()
        self._waiting: dict[str, _Waiting] = {}
        self._order: list[tuple[float, str]] = []
        self._line = anyio.Lock()

    async def ask(self, job: Job, age: float, *, again: bool, heard: _Heard) -> PollOutcome:
        """Return the answer to a request for this job, when that is due.

        ``age`` is its age now, ``again`` whether it was asked before. ``heard`` is told of lists that came meanwhile.
        """
        assert job.video_id is not None  # noqa: S101  # the ledger's constraints say so too
        now = anyio.current_time()
        born, due = now - age, now + self._pace.until_due(age, again=again, rng=self._rng)
        waiting = None
        if not self._lists or job.video_id in self._singly:
            await anyio.sleep_until(due)
        else:
            begun = max(age, self._pace.first)
            alone = born + begun + max(ALONE, begun * ALONE_SHARE)
            waiting = _Waiting(job, born, due, alone, self._pace.interval(begun))
            await self._stand_in_line(waiting, heard)
        await self._turn()
        outcome = await self._client.retrieve(job.video_id)
        if isinstance(outcome, Seen):
            self._learn(job.video_id, born, waiting, at_work=outcome.video.status is Status.ACTIVE)
        else:
            self._singly.add(job.video_id)  # who is unclear is not asked about with others
        return outcome

    async def _stand_in_line(self, waiting: _Waiting, heard: _Heard) -> None:
        """Return when the job is to be asked for by itself. When its turn comes, a page may show that it is not."""
        video_id = waiting.job.video_id or ""
        place = (waiting.job.submitted_at or 0.0, video_id)
        self._keep(place)
        self._waiting[video_id] = waiting
        try:
            with waiting.line:
                while True:
                    await anyio.sleep_until(waiting.wanted)
                    async with self._line:
                        if anyio.current_time() < waiting.wanted:
                            continue
                        if not (page := self._page_with(place)):
                            return
                        await self._turn()
                        await self._read(page[0], waiting, heard)
                        if anyio.current_time() >= waiting.wanted:
                            return
        finally:
            del self._waiting[video_id]

    def _keep(self, place: tuple[float, str]) -> None:
        """Keep the job's place in the order of submission, where it stays when the job is over: lists show it there."""
        here = bisect_left(self._order, place)
        if self._order[here : here + 1] != [place]:
            self._order.insert(here, place)
        if len(self._order) > KNOWN:
            del self._order[: KNOWN // 2]

    def _page_with(self, place: tuple[float, str]) -> tuple[str | None] | None:
        """Return after which job a page begins that has the one of this place and many more, if there is one."""
        if not self._lists:
            return None
        now, order, here = anyio.current_time(), self._order, bisect_left(self._order, place)
        around = range(max(0, here - SPAN + 1), min(len(order), here + SPAN))
        found = ((index, self._waiting.get(order[index][1])) for index in around)
        eager = [index for index, waiting in found if waiting is not None and waiting.eager <= now]
        if sum(index > eager[-1] - SPAN for index in eager) < LEAST:
            return None
        newer = eager[-1] + MARGIN
        return (order[newer][1],) if newer < len(order) else (None,)

    async def _read(self, after: str | None, wanted: _Waiting, heard: _Heard) -> None:
        """Ask for a page on behalf of one, and heed what it says of all who wait."""
        page: Page | Silence | None = None
        with anyio.move_on_after(SLOW):
            page = await self._client.list_page(after)
        if page is None:
            self._lists = False
            return
        heard(page)
        if isinstance(page, Silence):
            self._lists = self._lists and page.failure.kind in _PASSING
            self._judge("page", right=False)
            return
        shown = self._heed(page)
        self._judge("page", right=len(shown) >= LEAST)
        if wanted not in shown:
            self._singly.add(wanted.job.video_id or "")

    def _heed(self, page: Page) -> Sequence[_Waiting]:
        """Put off who is at work, and wake for whom the page shows otherwise. Return of whom it speaks."""
        now = anyio.current_time()
        shown = [(waiting, video) for video in page.videos if (waiting := self._waiting.get(video.id))]
        for waiting, video in shown:
            if video.status is Status.ACTIVE and fits(waiting.job, video):
                self._at_work[video.id] = now - waiting.born
                waiting.interval, waiting.seen = self._pace.interval(now - waiting.born), now
                waiting.due = max(waiting.due, now + waiting.interval * PUT_OFF)
            else:
                waiting.line.cancel()
        return [waiting for waiting, _ in shown]

    def _learn(self, video_id: str, born: float, waiting: _Waiting | None, *, at_work: bool) -> None:
        """Learn from a job's own answer when to poll, and, where it was ``waiting`` in line, what lists are worth."""
        now, called, late = anyio.current_time(), False, False
        if waiting is not None:
            called = waiting.line.cancel_called
            late = waiting.seen > -inf and not called  # a list was, and we would be if we learned from it
            if called or (waiting.alone <= now and now - waiting.seen < FRESH):
                self._judge("word", right=at_work is not called)
        if at_work:
            self._at_work[video_id] = now - born
            if called:
                self._singly.add(video_id)
        else:
            last = self._at_work.pop(video_id, None)
            if not late:
                self._pace.over(last)

    def _judge(self, what: str, *, right: bool) -> None:
        """Note that a list was right in something or wrong; wrong too often, it is not asked for any more."""
        self._wrong[what] = 0 if right else self._wrong[what] + 1
        self._lists = self._lists and self._wrong[what] < STRIKES

"""Asking for the status of jobs: each when it is due, and many at once where the server lists them.

A page of the list costs what one status request costs, and answers for all who wait. It is believed where it says that
a job is at work, and that one is finished once its word for that was seen to be a status answer's. Whatever else it
says or does not say is asked about with a request for that job alone: no job fails or is lost by a list. A list that
refuses, shows nobody, is slow or contradicts the answers is not asked any more in this run.
"""

from bisect import bisect_left
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random

import anyio

from pipeline.client import VideosClient
from pipeline.evidence import PollOutcome, Seen, Silence
from pipeline.jobs import FailureKind, Job
from pipeline.matching import fits
from pipeline.pacing import Pace
from pipeline.videos import Status, Video

LEAST = 3
"""Jobs that want an answer, for which a page is asked for."""

SPAN = 95
"""Jobs next to one another of which a page is expected to show all: a hundred, without some for a differing order."""

MARGIN = 5
"""Jobs that a page begins before the first one that is wanted: the server may have created them in another order."""

KNOWN = 100_000
"""Jobs of this run whose order is kept: pages begin at the newest, and nobody waits among the oldest."""

LOOKED_INTO = 0.01
"""Share of what a list says that is asked about all the same."""

DOUBTED = 0.25
"""That share of a job that takes longer than nearly all others."""

AT_ONCE = 2.0
"""Seconds within which an answer may be held against the list's."""

SLOW = 10.0
"""Seconds for a page, from which on it serves nobody."""

STRIKES = 3
"""Wrongs without a right, after which a list is not asked any more."""


@dataclass(eq=False, slots=True)
class _Waiting:
    """Who waits for an answer. ``eager``: from when on it would take one; ``young`` ones not before, as they can hardly
    be finished. ``roused`` ends the waiting for the time when it is due, ``scope`` all of it. ``listed``: what a list
    said that is to be asked about, and when.
    """

    job: Job
    age: float
    eager: float
    young: bool
    roused: anyio.Event = field(default_factory=anyio.Event)
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    listed: tuple[Video, float] | None = None
    answer: Seen | None = None


class Poller:
    """Asks one server. ``turn`` waits for a request's turn; ``lists`` tells whether the server lists its jobs."""

    def __init__(
        self, client: VideosClient, *, pace: Pace, turn: Callable[[], Awaitable[None]], lists: bool, rng: Random
    ) -> None:
        self._client = client
        self._pace = pace
        self._turn = turn
        self._rng = rng
        self._strikes = 0 if lists else STRIKES
        self._dated: bool | None = None
        self._at_work: dict[str, float] = {}
        self._waiting: dict[str, _Waiting] = {}
        self._order: list[tuple[float, str]] = []
        self._line = anyio.Lock()

    async def ask(self, job: Job, age: float, *, again: bool, heed: Callable[[Silence], None]) -> PollOutcome:
        """Return the status of the job when that is due; ``age`` is its age now, ``again`` whether it was asked before.

        ``heed`` is told what the server said instead of a list.
        """
        assert job.video_id is not None  # noqa: S101  # the ledger's constraints say so too
        began, seconds = anyio.current_time(), self._pace.until_due(age, again=again, rng=self._rng)
        listed = None
        if self._strikes < STRIKES:
            waiting = await self._stand_in_line(job, age, seconds, heed)
            outcome: PollOutcome | None = waiting.answer
            listed = waiting.listed
        else:
            await anyio.sleep(seconds)
            await self._turn()
            outcome = None
        if outcome is None:
            outcome = await self._client.retrieve(job.video_id)
        if listed is not None:
            self._compare(*listed, outcome)
        if isinstance(outcome, Seen):
            self._learn(job.video_id, outcome.video, age + anyio.current_time() - began)
        return outcome

    def _learn(self, video_id: str, video: Video, age: float) -> None:
        if video.status is Status.ACTIVE:
            self._at_work[video_id] = age
        else:
            self._pace.over(self._at_work.pop(video_id, None))

    async def _stand_in_line(self, job: Job, age: float, seconds: float, heed: Callable[[Silence], None]) -> _Waiting:
        """Wait until the job has its answer, or its turn to be asked about.

        A young one that could come first on its own waits a little longer, for a page that others want.
        """
        assert job.video_id is not None  # noqa: S101
        place, young = (job.submitted_at or 0.0, job.video_id), age < self._pace.first
        interval = self._pace.interval(age + seconds)
        waiting = _Waiting(job, age, anyio.current_time() + seconds - interval / 2, young)
        self._keep(place)
        self._waiting[job.video_id] = waiting
        try:
            with waiting.scope:
                with anyio.move_on_after(seconds + interval if young and len(self._waiting) > LEAST else seconds):
                    await waiting.roused.wait()
                async with self._line:
                    await self._turn()
                    if waiting.listed is None and (page := self._page_with(place)):
                        await self._read(page[0], heed)
                        if waiting.answer is None:
                            await self._turn()
        finally:
            del self._waiting[job.video_id]
        return waiting

    def _keep(self, place: tuple[float, str]) -> None:
        """Keep the job's place in the order of submission, where it stays when the job is over: lists show it there."""
        here = bisect_left(self._order, place)
        if self._order[here : here + 1] != [place]:
            self._order.insert(here, place)
        if len(self._order) > KNOWN:
            del self._order[: KNOWN // 2]

    def _page_with(self, place: tuple[float, str]) -> tuple[str | None] | None:
        """Return after which job a page begins that has the one of this place and many more, if there is one."""
        if self._strikes >= STRIKES:
            return None
        now, order, here = anyio.current_time(), self._order, bisect_left(self._order, place)
        around = range(max(0, here - SPAN + 1), min(len(order), here + SPAN))
        found = ((index, self._waiting.get(order[index][1])) for index in around)
        eager = [index for index, waiting in found if waiting is not None and waiting.eager <= now]
        if sum(index > eager[-1] - SPAN for index in eager) < LEAST:
            return None
        newer = eager[-1] + MARGIN
        return (order[newer][1],) if newer < len(order) else (None,)

    async def _read(self, after: str | None, heed: Callable[[Silence], None]) -> None:
        """Ask for a page, and give the answers that are in it to those who wait for them."""
        began = anyio.current_time()
        page = await self._client.list_page(after)
        if isinstance(page, Silence):
            self._strikes = self._strikes + 1 if page.failure.kind is FailureKind.SERVER else STRIKES
            heed(page)
            return
        now, told = anyio.current_time(), dict[str, Video | None]()
        for video in page.videos:
            told[video.id] = video if video.id not in told else None
        answered = 0
        for video_id, listed in told.items():
            waiting = self._waiting.get(video_id)
            if waiting is None or waiting.answer is not None or listed is None or not fits(waiting.job, listed):
                continue
            answered += 1
            if waiting.young and listed.status is Status.ACTIVE and now < waiting.eager:
                continue
            if self._is_believed(waiting, listed):
                waiting.answer = Seen(listed)
                waiting.scope.cancel()
            else:
                waiting.listed = listed, now
                waiting.roused.set()
        if answered < LEAST - 1 or now - began > SLOW:
            self._strikes += 1

    def _is_believed(self, waiting: _Waiting, video: Video) -> bool:
        """Tell whether the list's word is enough; now and then it is not, whatever it says."""
        share = DOUBTED if waiting.age > self._pace.late else LOOKED_INTO
        if self._rng.random() < share:
            return False
        if video.status is Status.READY:
            return self._dated is (video.expires_at is not None)
        return video.status is Status.ACTIVE

    def _compare(self, listed: Video, at: float, outcome: PollOutcome) -> None:
        """Hold what a list said against the answer to a request for the job alone."""
        if isinstance(outcome, Silence) or (listed.status is Status.ACTIVE and anyio.current_time() > at + AT_ONCE):
            return
        if not isinstance(outcome, Seen) or outcome.video.status is not listed.status:
            self._strikes += 1
            return
        self._strikes = 0
        if listed.status is Status.READY:
            same = listed.expires_at == outcome.video.expires_at
            self._dated = (listed.expires_at is not None) if same else None

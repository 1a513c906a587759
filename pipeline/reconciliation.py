"""Looking for jobs in doubt in the server's list: whole lists only, and one for all who ask at the same time."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

import anyio

from pipeline import matching
from pipeline.client import SUBMIT_DEADLINE, VideosClient
from pipeline.evidence import LookupOutcome, Matched, NotThere, Silence
from pipeline.jobs import Failure, FailureKind, Job
from pipeline.listing import Listing, whole_list
from pipeline.videos import Page

LOOKBACK = 24 * 3600.0
"""Seconds before an intent from which the list is read: a clock may have been set since."""

RECENTLY = 600.0
"""Seconds since a job was looked for, after which nobody waits for it any more."""

Claimed = Callable[[Collection[str]], Awaitable[Collection[str]]]


@dataclass(frozen=True, slots=True)
class _Reading:
    """A whole list back to an instant. ``began``, by the loop's clock, and ``took`` are of the reading. Seconds."""

    began: float
    took: float
    since: float
    listing: Listing


class Reconciler:
    """Finds jobs in the list of one server. ``claimed`` tells which ids have an owner; ``turn`` waits for a request's
    turn; ``settle`` is how many seconds after its intent a job may still be created, beyond the POST's deadline. A list
    that takes longer than ``between`` proves no absence.
    """

    def __init__(
        self,
        client: VideosClient,
        *,
        claimed: Claimed,
        turn: Callable[[], Awaitable[None]],
        settle: float,
        between: float,
        now: Callable[[], float],
    ) -> None:
        self._client = client
        self._claimed = claimed
        self._turn = turn
        self._latest = SUBMIT_DEADLINE + settle
        self._between = between
        self._now = now
        self._one_at_a_time = anyio.Lock()
        self._last: _Reading | None = None
        self._not_before = 0.0
        self._given: set[str] = set()
        self._asking: dict[tuple[str, str], tuple[float, Job]] = {}

    async def look_for(self, job: Job) -> LookupOutcome:
        """Return what a list that was begun after this call says about the job."""
        asked, since = anyio.current_time(), (job.intended_at or 0.0) - LOOKBACK
        async with self._one_at_a_time:
            if self._last is None or self._last.began < asked or self._last.since > since:
                began = anyio.current_time()
                if began < self._not_before:
                    return _proves_nothing("the server does not want to be asked for its list yet")
                listing = await whole_list(self._page_after, since=since, now=self._now)
                if listing.incomplete:
                    self._not_before = anyio.current_time() + (listing.retry_after or 0.0)
                    return Silence(listing.incomplete)
                self._last = _Reading(began, anyio.current_time() - began, since, listing)
            listing = self._last.listing
            claimed = {*await self._claimed(list(listing.videos)), *self._given}
            videos = list(listing.videos.values())
            outcome = matching.match(job, videos, claimed=claimed, offset=listing.offset, latest=self._latest)
            self._asking[job.name, job.request_hash] = asked, job
            match outcome:
                case NotThere() if self._last.took > self._between:
                    return _proves_nothing("the server's list took so long that it was old when it came")
                case Matched(video, _, others) if video.reference is None and len(others) < self._older(job):
                    return _proves_nothing("an equal job that was sent earlier comes first")
                case Matched(video):
                    self._given.add(video.id)
                    del self._asking[job.name, job.request_hash]
            return outcome

    def _older(self, job: Job) -> int:
        """Return how many equal jobs with an earlier intent are being looked for: theirs are the first videos.

        Else the younger could take the older's, and the older's absence would be judged while the younger's request
        may still be under way.
        """
        now = anyio.current_time()
        return sum(
            now - asked < RECENTLY
            and other.request == job.request
            and (other.intended_at or 0) < (job.intended_at or 0)
            for asked, other in self._asking.values()
        )

    async def _page_after(self, video_id: str | None) -> Page | Silence:
        await self._turn()
        return await self._client.list_page(video_id)


def _proves_nothing(message: str) -> Silence:
    return Silence(Failure(FailureKind.AMBIGUOUS, message))

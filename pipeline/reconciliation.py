"""Looking for jobs in doubt in the server's list: whole lists only, and one for all who ask at the same time."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass

import anyio

from pipeline import matching
from pipeline.client import SUBMIT_DEADLINE, VideosClient
from pipeline.evidence import LookupOutcome, Matched, NotThere, Silence
from pipeline.jobs import Failure, FailureKind, Job
from pipeline.matching import SKEW
from pipeline.videos import Video

MOST_PAGES = 1000
"""Of a hundred jobs each. A list that is longer, or goes in circles, proves nothing."""

RECENTLY = 600.0
"""Seconds since a job was looked for, after which nobody waits for it any more."""

Claimed = Callable[[Collection[str]], Awaitable[Collection[str]]]


@dataclass(frozen=True, slots=True)
class _Listing:
    """A whole list back to an instant, the loop's clock when it ``began`` and how long it ``took``; ``offset`` is the
    server's clock minus ours. Seconds."""

    began: float
    took: float
    since: float
    videos: tuple[Video, ...]
    offset: float


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
        self._last: _Listing | None = None
        self._given: set[str] = set()
        self._asking: dict[tuple[str, str], tuple[float, Job]] = {}

    async def look_for(self, job: Job) -> LookupOutcome:
        """Return what a list that was begun after this call says about the job."""
        asked, since = anyio.current_time(), (job.intended_at or 0.0) - SKEW
        async with self._one_at_a_time:
            if self._last is None or self._last.began < asked or self._last.since > since:
                listing = await self._whole_list(since)
                if isinstance(listing, Silence):
                    return listing
                self._last = listing
            listing = self._last
            claimed = {*await self._claimed([video.id for video in listing.videos]), *self._given}
            outcome = matching.match(job, listing.videos, claimed=claimed, offset=listing.offset, latest=self._latest)
            self._asking[job.name, job.request_hash] = asked, job
            match outcome:
                case NotThere() if listing.took > self._between:
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

    async def _whole_list(self, since: float) -> _Listing | Silence:
        """Return every job that the server created since then; it may show older ones too."""
        began, videos, after, offset = anyio.current_time(), dict[str, Video](), None, 0.0
        for _ in range(MOST_PAGES):
            await self._turn()
            page = await self._client.list_page(after)
            if isinstance(page, Silence):
                return page
            if page.date is not None:
                offset = page.date - self._now()
            fresh = {video.id: video for video in page.videos if video.id not in videos}
            videos |= fresh
            if not page.has_more or _ends_before(page.videos, since + offset - SKEW):
                return _Listing(began, anyio.current_time() - began, since, tuple(videos.values()), offset)
            if not fresh or page.last_id is None:
                return _proves_nothing("the server's list goes in circles")
            after = page.last_id
        return _proves_nothing(f"the server's list has more than {MOST_PAGES} pages")


def _proves_nothing(message: str) -> Silence:
    return Silence(Failure(FailureKind.AMBIGUOUS, message))


def _ends_before(videos: Sequence[Video], instant: float) -> bool:
    """Tell whether whatever follows is older: where the page shows that it is newest first, as we asked."""
    times = [video.created_at for video in videos if video.created_at is not None]
    return bool(times) and times[-1] < instant and times[0] > times[-1] and times == sorted(times, reverse=True)

"""Looking for jobs in doubt in the server's list: whole lists only, and one for all who ask at the same time."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass

import anyio

from pipeline.client import SUBMIT_DEADLINE, VideosClient
from pipeline.evidence import LookupOutcome, Matched, Silence
from pipeline.jobs import Failure, FailureKind, Job
from pipeline.matching import SKEW, match
from pipeline.videos import Video

MOST_PAGES = 1000
"""Of a hundred jobs each. A list that is longer, or goes in circles, proves nothing."""

Claimed = Callable[[Collection[str]], Awaitable[Collection[str]]]


@dataclass(frozen=True, slots=True)
class _Listing:
    """A whole list back to an instant: ``began`` by the loop's clock, ``offset`` the server's clock minus ours."""

    began: float
    since: float
    videos: tuple[Video, ...]
    offset: float


class Reconciler:
    """Finds jobs in the list of one server. ``claimed`` tells which ids have an owner; ``turn`` waits for a request's
    turn; ``settle`` is how many seconds after its intent a job may still be created, beyond the POST's deadline.
    """

    def __init__(
        self,
        client: VideosClient,
        *,
        claimed: Claimed,
        turn: Callable[[], Awaitable[None]],
        settle: float,
        now: Callable[[], float],
    ) -> None:
        self._client = client
        self._claimed = claimed
        self._turn = turn
        self._latest = SUBMIT_DEADLINE + settle
        self._now = now
        self._one_at_a_time = anyio.Lock()
        self._last: _Listing | None = None
        self._given: set[str] = set()

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
            outcome = match(job, listing.videos, claimed=claimed, offset=listing.offset, latest=self._latest)
            if isinstance(outcome, Matched):
                self._given.add(outcome.video.id)
            return outcome

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
                return _Listing(began, since, tuple(videos.values()), offset)
            if not fresh or page.last_id is None:
                return Silence(Failure(FailureKind.SERVER, "the server's list goes in circles"))
            after = page.last_id
        return Silence(Failure(FailureKind.SERVER, f"the server's list has more than {MOST_PAGES} pages"))


def _ends_before(videos: Sequence[Video], instant: float) -> bool:
    """Tell whether whatever follows is older. Not where the page is not newest first: we asked for that, no more."""
    times = [video.created_at for video in videos if video.created_at is not None]
    return bool(times) and times[-1] < instant and times == sorted(times, reverse=True)

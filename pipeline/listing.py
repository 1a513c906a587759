"""Reading the server's list of an account's jobs, newest first, as far back as is needed. A list that is not whole
says so: only a whole one can show that something is not in it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import pairwise

from pipeline.evidence import Silence
from pipeline.jobs import Failure, FailureKind
from pipeline.videos import Page, Video

MOST_PAGES = 1000
"""Of a hundred jobs each. A list that is longer, or goes in circles, is not whole."""

SKEW = 60.0
"""Seconds that the server's stamps may be off, when its clock and ours have been compared."""


@dataclass(slots=True)
class Listing:
    """The server's list, at least back to an instant. ``offset``: the server's clock minus ours, in seconds.

    ``incomplete`` says why the list ended too early, ``retry_after`` for how many seconds it must not be asked for.
    """

    videos: dict[str, Video] = field(default_factory=dict)
    offset: float = 0.0
    incomplete: Failure | None = None
    retry_after: float | None = None


async def whole_list(
    page_after: Callable[[str | None], Awaitable[Page | Silence]], *, since: float, now: Callable[[], float]
) -> Listing:
    """Return every job that the server created since then, by our clock; older ones may be among them.

    ``page_after`` asks for the jobs that are older than the one of this id, or for the newest.
    """
    found, after, falling = Listing(), None, False
    for _ in range(MOST_PAGES):
        page = await page_after(after)
        if isinstance(page, Silence):
            found.incomplete, found.retry_after = page.failure, page.retry_after
            return found
        found.offset = found.offset if page.date is None else page.date - now()
        fresh = {video.id: video for video in page.videos if video.id not in found.videos}
        found.videos |= fresh
        falling = falling or _falls(page)
        if not page.has_more or (falling and _is_behind(page, since + found.offset - SKEW)):
            return found
        if not fresh or page.last_id is None:
            found.incomplete = Failure(FailureKind.AMBIGUOUS, "the server's list goes in circles")
            return found
        after = page.last_id
    found.incomplete = Failure(FailureKind.AMBIGUOUS, f"the server's list has more than {MOST_PAGES} pages")
    return found


def _falls(page: Page) -> bool:
    """Tell whether the page shows that the list begins with the newest job: not every server sorts as it is asked."""
    times = [video.created_at for video in page.videos if video.created_at is not None]
    return len(times) > 1 and times[0] > times[-1] and all(one >= other for one, other in pairwise(times))


def _is_behind(page: Page, instant: float) -> bool:
    times = [video.created_at for video in page.videos if video.created_at is not None]
    return bool(times) and len(times) == len(page.videos) and max(times) < instant

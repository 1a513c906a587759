"""Asking a server on a person's behalf: one video by its id, or the whole list. Only GETs; nothing here costs money."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import TypeVar

from pipeline.client import VideosClient
from pipeline.credential import Secret, find_key
from pipeline.errors import CredentialError, Unreachable, UsageError
from pipeline.evidence import NotThere, Seen, Silence
from pipeline.jobs import Failure, FailureKind, Job
from pipeline.preparation import Campaign, Options
from pipeline.profile import Profile
from pipeline.retrying import repeated
from pipeline.surroundings import destination, request_schema, simulator
from pipeline.videos import Page, Video

MOST_PAGES = 1000
"""Of a hundred jobs each. A list that is longer, or goes in circles, is not whole."""

_ATTEMPTS = 3
_SKEW = 60.0
_Of = TypeVar("_Of")
_Answer = TypeVar("_Answer")


@dataclass(slots=True)
class Listing:
    """The server's list, newest first, at least back to an instant. ``offset``: the server's clock minus ours.

    ``incomplete`` says why the list ended too early.
    """

    videos: dict[str, Video] = field(default_factory=dict)
    offset: float = 0.0
    incomplete: Failure | None = None


class Inquiry:
    """A server that can be asked. ``rng`` spreads repeated questions."""

    def __init__(self, client: VideosClient, key: Secret | None, rng: Random) -> None:
        self.base_url = client.base_url
        self.fingerprint = key.fingerprint if key else None
        self._client = client
        self._rng = rng

    def paid_for(self, job: Job) -> bool:
        """Tell whether the job's last attempt went to this address, with this key."""
        return (job.base_url, job.key_fingerprint) == (self.base_url, self.fingerprint)

    async def video(self, video_id: str) -> Video:
        """Return the video as it is now. Raises UsageError where the server has none of this id."""
        answer = await self._ask(self._client.retrieve, video_id)
        match answer:
            case NotThere(failure):
                raise UsageError(f"the server does not know {video_id}: {failure.message}")
            case Seen(video) if video.id != video_id:
                raise UsageError(f"asked for {video_id}, the server shows {video.id}")
            case Seen(video):
                return video
            case Silence(failure):
                raise Unreachable(f"the server does not say what {video_id} is: {failure.message}")

    async def whole_list(
        self, *, since: float, turn: Callable[[], Awaitable[None]], now: Callable[[], float]
    ) -> Listing:
        """Return the account's jobs that were created since then, by our clock; older ones may be among them.

        ``turn`` waits until one more page may be asked for. Raises Unreachable where there is no first page.
        """
        found, after, falling = Listing(), None, False
        for _ in range(MOST_PAGES):
            await turn()
            page = await self._ask(self._client.list_page, after)
            if isinstance(page, Silence):
                if not found.videos:
                    raise Unreachable(f"the server does not list its jobs: {page.failure.message}")
                found.incomplete = page.failure
                return found
            found.offset = found.offset if page.date is None else page.date - now()
            fresh = {video.id: video for video in page.videos if video.id not in found.videos}
            found.videos |= fresh
            falling = falling or _falls(page)
            if not page.has_more or (falling and _is_behind(page, since + found.offset - _SKEW)):
                return found
            if not fresh or page.last_id is None:
                found.incomplete = Failure(FailureKind.SERVER, "the server's list goes in circles")
                return found
            after = page.last_id
        found.incomplete = Failure(FailureKind.SERVER, f"the server's list has more than {MOST_PAGES} pages")
        return found

    async def _ask(self, question: Callable[[_Of], Awaitable[_Answer]], about: _Of) -> _Answer:
        """Ask, three times where there is no usable answer. Raises CredentialError where the key is not accepted."""
        again = repeated(_may_answer_yet, attempts=_ATTEMPTS, base=1, cap=20, rng=self._rng)
        answer: _Answer = await again(question, about)
        if isinstance(answer, Silence) and answer.failure.kind is FailureKind.AUTH:
            raise CredentialError(f"the server does not accept the key: {answer.failure.message}")
        return answer


@asynccontextmanager
async def asking(
    profile: Profile,
    options: Options,
    campaign: Campaign,
    *,
    environment: Mapping[str, str],
    now: Callable[[], float],
    rng: Random,
) -> AsyncIterator[Inquiry]:
    """Give the server of a profile, at the address and with the key that a run with these options would use.

    Raises UsageError for an address that must not be used, CredentialError where the key is missing.
    """
    url = destination(profile, options.base_url, environment, allow_http=options.allow_http)
    key = find_key(profile.auth, environment)
    if url is None and not campaign.simulator.exists():
        raise UsageError(f"{campaign.simulator} is gone, and with it the simulator's jobs")
    rules = request_schema(profile)
    with nullcontext() if url else simulator(campaign.simulator, rules, now=now) as app:
        async with VideosClient(url or profile.base_url, key=key, downloads=1, app=app) as client:
            yield Inquiry(client, key, rng)


def _may_answer_yet(answer: object) -> bool:
    return isinstance(answer, Silence) and answer.failure.kind is not FailureKind.AUTH


def _falls(page: Page) -> bool:
    """Tell whether the page shows that the list begins with the newest job: not every server sorts as it is asked."""
    times = [video.created_at for video in page.videos if video.created_at is not None]
    return len(times) > 1 and times[0] > times[-1] and all(one >= other for one, other in pairwise(times))


def _is_behind(page: Page, instant: float) -> bool:
    times = [video.created_at for video in page.videos if video.created_at is not None]
    return bool(times) and len(times) == len(page.videos) and max(times) < instant

"""Asking a server on a person's behalf: one video by its id, or the whole list. Only GETs; nothing here costs money."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from functools import partial
from random import Random
from typing import TypeVar

from pipeline import listing, providers
from pipeline.campaign import Campaign
from pipeline.client import VideosClient
from pipeline.credential import Secret, find_key
from pipeline.errors import CredentialError, Unreachable, UsageError
from pipeline.evidence import NotThere, Seen, Silence
from pipeline.instructions import Options
from pipeline.jobs import FailureKind, Job
from pipeline.listing import Listing
from pipeline.profile import Profile, address
from pipeline.retrying import repeated
from pipeline.surroundings import simulator
from pipeline.videos import Page, Video

_ATTEMPTS = 3
_Of = TypeVar("_Of")
_Answer = TypeVar("_Answer")


class Inquiry:
    """A server that can be asked. ``rng`` spreads repeated questions; with ``same_account`` any key is as good.

    Without ``same_id`` its answers show a job under another id than the one that is asked with, and its own model.
    """

    def __init__(
        self,
        client: VideosClient,
        key: Secret | None,
        rng: Random,
        *,
        same_account: bool = False,
        same_id: bool = True,
    ) -> None:
        self.base_url = client.base_url
        self.fingerprint = key.fingerprint if key else None
        self._same_account = same_account
        self._same_id = same_id
        self._client = client
        self._rng = rng

    def paid_for(self, job: Job) -> bool:
        """Tell whether the job's last attempt went to this address, with this key."""
        return job.base_url == self.base_url and (self._same_account or job.key_fingerprint == self.fingerprint)

    async def video(self, video_id: str) -> Video:
        """Return the video as it is now. Raises UsageError where the server has none of this id."""
        answer = await self._ask(self._client.retrieve, video_id)
        match answer:
            case NotThere(failure):
                raise UsageError(f"the server does not know {video_id}: {failure.message}")
            case Seen(video) if not self._same_id:
                return replace(video, id=video_id, model=None)
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

        async def page_after(video_id: str | None) -> Page | Silence:
            await turn()
            return await self._ask(self._client.list_page, video_id)

        found = await listing.whole_list(page_after, since=since, now=now)
        if found.incomplete and not found.videos:
            raise Unreachable(f"the server does not list its jobs: {found.incomplete.message}")
        return found

    async def _ask(self, question: Callable[[_Of], Awaitable[_Answer]], about: _Of) -> _Answer:
        """Ask, three times where there is no usable answer. Raises CredentialError where the key is not accepted."""
        ask = partial(question, about)
        answer: _Answer = await repeated(ask, _may_answer_yet, attempts=_ATTEMPTS, base=1, cap=20, rng=self._rng)
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

    Raises UsageError for an address, a proxy or certificates that must not or cannot be used, CredentialError where the
    key is missing.
    """
    url = address(profile, options.base_url, environment, allow_http=options.allow_http)
    key = find_key(profile.auth, environment)
    options.network.check(url, carries_key=key is not None and not options.allow_http)
    if url is None and not campaign.simulator.exists():
        raise UsageError(f"{campaign.simulator} is gone, and with it the simulator's jobs")
    rules = providers.request_schema(profile.request)
    with nullcontext() if url else simulator(campaign.simulator, rules, now=now) as app:
        async with VideosClient(
            url or profile.base_url or "", profile=profile, key=key, downloads=1, app=app, network=options.network
        ) as client:
            yield Inquiry(client, key, rng, same_account=options.same_account, same_id=profile.abilities.same_id)


def _may_answer_yet(answer: object) -> bool:
    return isinstance(answer, Silence) and answer.failure.kind is not FailureKind.AUTH

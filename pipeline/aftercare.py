"""The verbs for the person on call that change no job: what became of one, whether the files are as they were, a
ledger made anew where it was lost, and whether the server and the ledger have the same jobs.

They work on a campaign's folder, with its manifest or without. The clock, chance and the environment come in here.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import SystemRandom

from pipeline import answers, audits, folder, locks, sidecars
from pipeline.audits import Audit, Surplus
from pipeline.blocking import checkpoint, in_a_thread, in_threads
from pipeline.campaign import Campaign
from pipeline.custody import Custody, Fault, sidecar_path
from pipeline.errors import UsageError
from pipeline.inquiry import Inquiry, asking
from pipeline.instructions import Options
from pipeline.jobs import Job, State
from pipeline.ledger import reading
from pipeline.ledger.lock import run_lock
from pipeline.ledger.reading import Entry
from pipeline.limits import RateLimiter
from pipeline.listing import Listing
from pipeline.locks import Lock
from pipeline.pinning import Difference
from pipeline.profile import Profile
from pipeline.rebuilding import Rebuilt
from pipeline.rebuilding import rebuild as made_anew
from pipeline.resolving import no_such_job, waiting
from pipeline.surroundings import campaign_of, profile_of, rescue_folders, storable, title
from pipeline.videos import Status, Video

_IDS_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Story:
    """A job and all that happened to it. ``intact``: its file is there with the recorded length."""

    job: Job
    events: tuple[Entry, ...]
    intact: bool

    @property
    def request_ids(self) -> tuple[str, ...]:
        """The server's names for its answers to submissions, and for those that said no."""
        return answers.request_ids(entry.data for entry in self.events)


@dataclass(frozen=True, slots=True)
class Shown:
    """The stories of the jobs of one name: several where the request was changed after it had been sent."""

    name: str
    path: str
    currency: str | None
    stories: tuple[Story, ...]


@dataclass(frozen=True, slots=True)
class Verified:
    """What looking at every finished video found. ``unknown`` are files that no job has, which is no fault.

    ``ledger``: there is one. ``differences`` are what does not agree with the ``lock``, where there is one.
    """

    name: str
    path: str
    videos: int
    bytes: int
    faults: tuple[Fault, ...]
    unknown: tuple[str, ...]
    ledger: bool = True
    lock: Lock | None = None
    differences: tuple[Difference, ...] = ()

    @property
    def exit_code(self) -> int:
        return int(bool(self.faults or self.differences))


@in_a_thread
def show(target: Path, options: Options, word: str) -> Shown:
    """Return everything that the ledger knows of the jobs of this name, or of this request's hash.

    Raises UsageError, with near names, where there is none; LedgerError where there is no ledger.
    """
    campaign = campaign_of(target, options.output)
    with reading.opened(campaign.ledger) as connection:
        settings, jobs = reading.settings(connection), reading.named(connection, storable(word))
        if not jobs:
            raise no_such_job(word, reading.jobs(connection))
        intact = campaign.outputs.intact
        stories = tuple(Story(job, tuple(reading.events(connection, job)), intact(job)) for job in jobs)
    return Shown(*title(campaign, settings), stories)


@in_a_thread
def verify(target: Path, options: Options, file: Path | None = None) -> Verified:
    """Read every finished video again, and hold it and its sidecar against the ledger. Asks nobody.

    A manifest's lock, or the one in ``file``, is held against all three; with it, there need be no ledger. Raises
    LedgerError where there is neither, StorageError where the folder cannot be read, UsageError for what is no lock,
    ManifestError for a locked manifest with mistakes.
    """
    campaign, lock = campaign_of(target, options.output), locks.found(target, file)
    with Custody(campaign.folder) as custody, Custody(campaign.folder, sidecars.REJECTED) as kept:
        # The files first: what a run puts there meanwhile must not look like a stranger's.
        unknown = {*custody.files(), *kept.files()}
        found, jobs = Verified(*title(campaign, {})[:2], 0, 0, (), (), ledger=False), None
        if lock is None or campaign.ledger.exists():
            found, jobs = _by_the_ledger(campaign, custody, kept, unknown)
        if lock is not None:
            videos = [one["video"] for one in lock.content["jobs"] if one["video"] is not None]
            for video in videos:
                unknown -= {video["path"], sidecar_path(video["path"])}
            if jobs is None:
                size = sum(video["bytes"] for video in videos)
                found = replace(found, name=lock.content["name"], videos=len(videos), bytes=size)
            faults = (*found.faults, *locks.faults(lock, custody, jobs or ()))
            differences = locks.differences(lock, options, None if jobs is None else jobs.values())
            found = replace(found, faults=faults, lock=lock, differences=tuple(differences))
    return replace(found, unknown=tuple(sorted(unknown)))


def _by_the_ledger(
    campaign: Campaign, custody: Custody, kept: Custody, unknown: set[str]
) -> tuple[Verified, dict[tuple[str, str], Job]]:
    """Return what the ledger says of the files, and the jobs whose files these are by paths and hashes."""
    size, faults, jobs = 0, list[Fault](), dict[tuple[str, str], Job]()
    with reading.opened(campaign.ledger) as connection:
        name, path, _ = title(campaign, reading.settings(connection))
        for job in reading.jobs(connection, {State.VERIFIED, State.DONE}):
            checkpoint()
            if job.state is State.DONE and job.path is None:  # deleted, on a person's word
                continue
            place = job.path or f"{sidecars.FOLDER}/{job.output}"
            unknown -= {place, sidecar_path(place)}
            if job.state is State.DONE:
                size += job.bytes or 0
                faults += custody.faults(job)
                jobs[place, job.sha256 or ""] = job
        for one in reading.rejections(connection):
            unknown -= {one["kept"], sidecar_path(one["kept"])}
            different = kept.different(one["kept"], one["kept_sha256"])
            faults += [Fault(one["job"], one["kept"], *different)] if different else ()
    return Verified(name, path, len(jobs), size, tuple(faults), ()), jobs


async def rebuild(target: Path, options: Options) -> Rebuilt:
    """Make a ledger that is gone anew, of the sidecars; ``rebuilding`` says how, and what it raises.

    Raises LedgerLocked where a run holds the campaign.
    """
    campaign = campaign_of(target, options.output)
    if not campaign.outputs.videos.is_dir():  # a folder that is no campaign's stays as it is
        raise UsageError(f"{campaign.outputs.videos} is no folder with videos and their sidecars")
    name, path, _ = title(campaign, {})
    folders = rescue_folders(campaign, os.environ)
    with run_lock(campaign.lock):
        return await made_anew(
            Path(path),
            campaign.ledger,
            name=name,
            now=time.time,
            blocking=in_threads(1),
            rescue_folders=folders,
            profiles=options.profiles.sound(),
        )


async def audit(target: Path, options: Options, ids: Path | None) -> Audit:
    """Compare the ledger with the server's list, or with a file of ``ids``.

    Raises UsageError where there is neither, or where nothing of this campaign was sent to this server with this key;
    CredentialError and Unreachable where it gives no answer.
    """
    campaign = campaign_of(target, options.output)
    with reading.opened(campaign.ledger) as connection:
        settings, first = reading.settings(connection), reading.first_intent(connection)
    if first is None:
        raise UsageError("nothing of this campaign was ever sent: there is nothing to compare")
    if ids is not None:
        data = folder.bytes_of(ids, audits.MAX_IDS)
        found = {one: Video(one, "", Status.ACTIVE) for one in audits.ids_in(data, str(ids))}
        return _compared(campaign, _Seen(str(ids), Listing(found), time.time()))
    profile = profile_of(options.profiles, settings)
    if not profile.abilities.list:
        raise UsageError(
            f"the profile {profile.name} does not say that its server lists its jobs: export their ids from the "
            "provider's console, and give the file with --ids"
        )
    turn = RateLimiter(profile.limits.polls_per_second).acquire
    async with asking(profile, options, campaign, environment=os.environ, now=time.time, rng=SystemRandom()) as server:
        _refuse_a_strange_server(campaign, server)
        began = time.time()
        listing = await server.whole_list(since=first - audits.MARGIN, turn=turn, now=time.time)
    since = first - audits.MARGIN + listing.offset
    return _compared(campaign, _Seen(server.base_url, listing, began, since, server.paid_for, profile))


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the ledger is compared with: a list that was begun at an instant, and which jobs it may show."""

    source: str
    listing: Listing
    began: float
    since: float | None = None
    may_show: Callable[[Job], bool] = lambda job: True
    profile: Profile | None = None

    def cost(self, video: Video) -> float | None:
        """Return what the video cost, where the list and the profile say enough."""
        seconds = (video.seconds or "").removesuffix(".0")
        if self.profile is None or video.model is None or not seconds.isascii() or not seconds.isdigit():
            return None
        return self.profile.cost({"model": video.model, "size": video.size, "seconds": seconds})


def _refuse_a_strange_server(campaign: Campaign, server: Inquiry) -> None:
    with reading.opened(campaign.ledger) as connection:
        if not any(job.attempt > 0 and server.paid_for(job) for job in reading.jobs(connection)):
            raise UsageError(f"nothing of this campaign was sent to {server.base_url} with this key: see --base-url")


def _compared(campaign: Campaign, seen: _Seen) -> Audit:
    listing, price = seen.listing, seen.profile.price if seen.profile else None
    questions = waiting(campaign)[1]
    with reading.opened(campaign.ledger) as connection:
        name, path, currency = title(campaign, reading.settings(connection))
        claimed: set[str] = set()
        for ids in _portions(list(listing.videos)):
            claimed |= reading.claimed(connection, ids)
        missing, elsewhere, now = list[Job](), 0, time.time()
        for job in reading.jobs(connection):
            if not seen.may_show(job):
                elsewhere += job.video_id is not None
            elif audits.missing(job, listing.videos, began=seen.began, now=now) and not listing.incomplete:
                missing.append(job)
    surplus = tuple(
        Surplus(video, seen.cost(video), audits.could_be(video, questions, listing.offset))
        for video in listing.videos.values()
        if video.id not in claimed and audits.within(video, seen.since)
    )
    return Audit(
        name=name,
        path=path,
        source=seen.source,
        since=seen.since,
        seen=len(listing.videos),
        elsewhere=elsewhere,
        currency=price.currency if price else None,
        ledger_currency=currency,
        surplus=surplus,
        missing=tuple(missing),
        incomplete=listing.incomplete,
    )


def _portions(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(ids), _IDS_AT_ONCE):
        yield ids[first : first + _IDS_AT_ONCE]

"""What waits for a person's answer, and the answers, recorded as the person's. Sends no POST.

The clock, chance, the environment and the person's name come in here.
"""

import getpass
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from random import SystemRandom
from typing import Any

from pipeline import answers
from pipeline.answers import WAITING, Answer, Question
from pipeline.blocking import in_a_thread, in_threads
from pipeline.campaign import Campaign
from pipeline.client import SUBMIT_DEADLINE
from pipeline.decisions import Moment, next_action
from pipeline.errors import UsageError
from pipeline.events import Event
from pipeline.evidence import Found
from pipeline.inquiry import asking
from pipeline.instructions import Options
from pipeline.jobs import Job, State
from pipeline.ledger import reading
from pipeline.ledger.lock import run_lock
from pipeline.ledger.store import SqliteLedger
from pipeline.policies import Policy
from pipeline.surroundings import campaign_of, profile_of, rescue_folders, storable, title
from pipeline.videos import Video

_NAMES_AT_MOST = 5000


@dataclass(frozen=True, slots=True)
class Questions:
    """The jobs of a campaign that wait for a person. ``path`` is its absolute folder."""

    name: str
    path: str
    currency: str | None
    questions: tuple[Question, ...]


@dataclass(frozen=True, slots=True)
class Answered:
    """A job before and after a person's answer. ``video`` is the one that was adopted."""

    name: str
    path: str
    currency: str | None
    answer: Answer
    before: Job
    after: Job
    video: Video | None = None


@dataclass(frozen=True, slots=True)
class Spending:
    """What a person is asked to confirm: that this job is paid for once more. ``price`` is None where unknown."""

    job: Job
    price: float | None
    currency: str | None


@in_a_thread
def questions(target: Path, options: Options, word: str | None = None) -> Questions:
    """Return the jobs that wait for a person, or the one that this word names.

    Raises UsageError where that one does not wait, LedgerError where there is no ledger.
    """
    campaign = campaign_of(target, options.output)
    settings, asked = waiting(campaign)
    chosen = asked if word is None else (_the_one(campaign, asked, word),)
    return Questions(*title(campaign, settings), chosen)


async def resolve(
    target: Path,
    options: Options,
    word: str,
    answer: Answer,
    video_id: str | None,
    *,
    confirm: Callable[[Spending], bool],
) -> Answered:
    """Record a person's answer about the job that this word names. To adopt, the server is asked for the video.

    Raises UsageError for an answer that the job's state does not allow or that was not confirmed, and for a video that
    the server does not know, that another job has, or that is not what was asked for; LedgerLocked where a run holds
    the campaign; CredentialError and Unreachable where the server gives no answer.
    """
    campaign = campaign_of(target, options.output)
    waiting(campaign)  # a folder without a ledger stays as it is
    folders = rescue_folders(campaign, os.environ)
    with run_lock(campaign.lock):
        ledger = SqliteLedger.create_or_open(campaign.ledger, now=time.time, blocking=in_threads(1), fallbacks=folders)
        with closing(ledger):
            settings, asked = waiting(campaign)  # again: a rescued id may have come home
            question = _the_one(campaign, asked, word)
            job, video = question.job, None
            if answer not in question.answers:
                raise UsageError(f"{job.name} is {job.state}, which is answered with {' or '.join(question.answers)}")
            if answer is Answer.ADOPT:
                video = await _fitting_video(campaign, options, settings, job, video_id or "")
            elif answer is Answer.RESUBMIT and not (options.yes or confirm(_spending(options, settings, job))):
                raise UsageError("paying once more was not confirmed; nothing was changed. Confirm with --yes")
            after = await _recorded(ledger, job, answer, video)
    return Answered(*title(campaign, settings), answer, job, after, video)


def no_such_job(word: str, jobs: Iterable[Job]) -> UsageError:
    """Return the error for a word that names no job, with names that are near it."""
    names = [job.name for job in islice(jobs, _NAMES_AT_MOST)]
    near = [name for name in names if name.partition("#")[0] == word][:3] or get_close_matches(word[:100], names)
    return UsageError(f"there is no job {word!r}" + (f"; near it: {', '.join(near)}" if near else ""))


def waiting(campaign: Campaign) -> tuple[Mapping[str, Any], tuple[Question, ...]]:
    """Return the ledger's settings, and the jobs that wait for a person."""
    with reading.opened(campaign.ledger) as connection:
        settings, jobs = reading.settings(connection), list(reading.jobs(connection, WAITING))
        names = Counter(job.name for job in jobs)
        asked = tuple(
            answers.question(
                job,
                [entry.data for entry in reading.events(connection, job)],
                deadline=SUBMIT_DEADLINE,
                unique=names[job.name] == 1,
            )
            for job in jobs
        )
    return settings, asked


def _the_one(campaign: Campaign, asked: Sequence[Question], word: str) -> Question:
    """Return the question about the job of this name, or of this request's hash."""
    with reading.opened(campaign.ledger) as connection:
        jobs = reading.named(connection, storable(word))
        if not jobs:
            raise no_such_job(word, reading.jobs(connection))
    keys = {(job.name, job.request_hash) for job in jobs}
    found = [question for question in asked if (question.job.name, question.job.request_hash) in keys]
    if not found:
        raise UsageError(f"{jobs[0].name} does not wait for an answer: it is {jobs[-1].state}")
    if len(found) > 1:
        hashes = " or ".join(question.job.request_hash[:12] for question in found)
        raise UsageError(f"{len(found)} jobs that wait are called {word!r}, with different requests: write {hashes}")
    return found[0]


async def _fitting_video(
    campaign: Campaign, options: Options, settings: Mapping[str, Any], job: Job, video_id: str
) -> Video:
    """Return the video as the server shows it. Raises UsageError where it cannot be this job's."""
    if video_id != storable(video_id) or not video_id:
        raise UsageError(f"{video_id!r} is no id of a video")
    with reading.opened(campaign.ledger) as connection:
        if reading.claimed(connection, [video_id]):
            raise UsageError(f"{video_id} is, or was, the video of a job of this campaign")
    profile = profile_of(options.profiles, settings)
    async with asking(profile, options, campaign, environment=os.environ, now=time.time, rng=SystemRandom()) as server:
        if job.base_url != server.base_url:
            raise UsageError(f"{job.name} was submitted to {job.base_url}, not to {server.base_url}: see --base-url")
        if job.key_fingerprint != server.fingerprint and not options.same_account:
            raise UsageError(f"{job.name} was submitted with another key: ask with that one, or see --same-account")
        video = await server.video(video_id)
    different = answers.differences(job, video)
    if different:
        raise UsageError(f"{video_id} is not the video of {job.name}: {'; '.join(different)}")
    return video


def _spending(options: Options, settings: Mapping[str, Any], job: Job) -> Spending:
    """Return what one more attempt costs: by the profile, or what the last one did where that is not to be had."""
    if options.profiles.file is None and settings.get("provider") not in options.profiles.names:
        return Spending(job, job.price, settings.get("currency"))
    profile = profile_of(options.profiles, settings)
    return Spending(job, profile.cost(job.request), profile.price.currency if profile.price else None)


async def _recorded(ledger: SqliteLedger, job: Job, answer: Answer, video: Video | None) -> Job:
    if job.state is State.SUBMITTING:  # then no run is under way: the next one would doubt it too
        doubted = next_action(job, Found(), Moment(time.time()), Policy())
        assert isinstance(doubted, Event)  # noqa: S101  # the only thing that is decided about it
        job = await ledger.record(job, doubted)
    return await ledger.record(job, answers.event(answer, job, by=person(), now=time.time(), video=video))


def person() -> str:
    """Return who answers: user and machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a number without a name, as in containers
        user = str(os.getuid())
    return storable(f"{user}@{socket.gethostname()}")

"""What a person says of jobs that are over, recorded as theirs: ``retry``, ``reject`` and ``pick``; and ``clean``.

All of them mark, and none sends anything: what is to be made again is made, and paid for, by the next run. The clock,
the environment and the person's name come in here.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import choices, rejections
from pipeline.blocking import in_a_thread, in_threads
from pipeline.campaign import Campaign
from pipeline.choices import Choice, Verb
from pipeline.errors import UsageError
from pipeline.events import Deleted, Picked
from pipeline.instructions import Options
from pipeline.jobs import FOR_A_PERSON, GONE, FailureKind, Job, State
from pipeline.ledger import reading
from pipeline.ledger.lock import run_lock
from pipeline.ledger.store import SqliteLedger
from pipeline.plan import Fate
from pipeline.preparation import prepare
from pipeline.profile import Profile
from pipeline.resolving import no_such_job, person
from pipeline.surroundings import campaign_of, profile_of, rescue_folders, title


@dataclass(frozen=True, slots=True)
class Mark:
    """A job before and after a person's word. ``price`` is that of one more attempt, None where unknown or none is due.

    ``kept`` is where the file of a rejected take lies now.
    """

    before: Job
    after: Job
    price: float | None = None
    kept: str | None = None


@dataclass(frozen=True, slots=True)
class Marked:
    """What a person's word was recorded of. ``passed`` jobs were named too, and stay as they are.

    ``waiting`` jobs are not over: a person must answer for them.
    """

    verb: Verb
    name: str
    path: str
    currency: str | None
    marks: tuple[Mark, ...]
    passed: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Orphan:
    """A finished job that the manifest no longer asks for. ``there``: its file is, with the recorded length."""

    job: Job
    there: bool

    @property
    def bytes(self) -> int:
        return (self.job.bytes or 0) if self.there else 0


@dataclass(frozen=True, slots=True)
class Orphans:
    """What ``clean`` may delete. ``kept`` were picked, or their file is another job's too, or not the one recorded."""

    name: str
    path: str
    orphans: tuple[Orphan, ...]
    kept: tuple[Job, ...]
    deleted: bool = False

    @property
    def bytes(self) -> int:
        return sum(one.bytes for one in self.orphans)


@dataclass(frozen=True, slots=True)
class _Held:
    """A campaign that is held, with what its ledger says."""

    campaign: Campaign
    ledger: SqliteLedger
    settings: Mapping[str, Any]
    jobs: tuple[Job, ...]

    def marked(self, verb: Verb, choice: Choice, marks: Sequence[Mark], currency: str | None) -> Marked:
        name, path, known = title(self.campaign, self.settings)
        waiting = sum(job.state in FOR_A_PERSON for job in self.jobs)
        return Marked(verb, name, path, currency or known, tuple(marks), choice.passed, waiting)


async def retry(
    target: Path, options: Options, words: Sequence[str], kinds: Sequence[FailureKind], *, everything: bool
) -> Marked:
    """Mark failed jobs to be tried again: those named, those of a class, or all but the ones that a person gave up.

    Raises UsageError where nothing is named, or a job that is not over; LedgerLocked where a run holds the campaign.
    """
    if everything == bool(words or kinds):
        raise UsageError("say what to try again: jobs by their names, a class with --class, or --all")
    with _holding(target, options) as held:
        choice = _named(Verb.RETRY, held, words) if words else choices.failed(held.jobs, kinds)
        if words and kinds:
            fitting = tuple(job for job in choice.jobs if job.failure and job.failure.kind in kinds)
            choice = Choice(fitting, choice.passed + len(choice.jobs) - len(fitting))
        back = [job for job in choice.jobs if job.sha256 and held.campaign.outputs.intact(job)]
        if back and words:
            raise _back(back[0])
        choice = Choice(tuple(job for job in choice.jobs if job not in back), choice.passed + len(back))
        if not choice.jobs:
            return held.marked(Verb.RETRY, choice, (), None)
        profile = profile_of(options.profiles, held.settings)
        marks = []
        for job in choice.jobs:
            after = await held.ledger.record(job, choices.again(job, profile.unbilled))
            marks.append(Mark(job, after, _price(profile, job)))
    return held.marked(Verb.RETRY, choice, marks, profile.price.currency if profile.price else None)


def _price(profile: Profile | None, job: Job) -> float | None:
    """Return what another attempt costs: by the profile, or else what the last one did, by a price that was given."""
    known = None if profile is None else profile.cost(job.request)
    return (job.price or None) if known is None else known


def _back(job: Job) -> UsageError:
    help_ = "the next run takes it, and pays nothing"
    if job.state not in GONE:
        help_ = f"another attempt would be paid beside it. Move {job.path} away first, or keep it as it is"
    return UsageError(f"the file of {job.name} is on the disk again: {help_}; nothing was changed")


async def reject(target: Path, options: Options, words: Sequence[str]) -> Marked:
    """Send finished jobs back for another take, and keep their files in ``rejected/``.

    Raises UsageError for a job that is not done, or whose file is not there; LedgerLocked where a run holds the
    campaign.
    """
    with _holding(target, options) as held:
        choice, outputs = _named(Verb.REJECT, held, words), held.campaign.outputs
        for job in choice.jobs:  # all of them, before anything is done to the first
            if not outputs.has(job.path or "", job.sha256 or ""):
                raise _not_there(job)
        profile, marks, by = _profile(options, held.settings), [], person()
        for job in choice.jobs:
            path = outputs.keep(job)
            if path is None:  # it went in this moment
                raise _not_there(job)
            after = await held.ledger.record(job, choices.another(job, path, by=by))
            marks.append(Mark(job, after, _price(profile, job), path))
        rejections.finish(held.campaign)
    return held.marked(Verb.REJECT, choice, marks, profile.price.currency if profile and profile.price else None)


async def pick(target: Path, options: Options, words: Sequence[str], *, undo: bool) -> Marked:
    """Mark finished jobs as the ones chosen, or take that back.

    Raises UsageError for a job that is not done; LedgerLocked where a run holds the campaign.
    """
    with _holding(target, options) as held:
        choice, marks = _named(Verb.PICK, held, words), []
        for job in choice.jobs:
            changed = job if job.picked is not undo else await held.ledger.record(job, Picked(picked=not undo))
            marks.append(Mark(job, changed))
    return held.marked(Verb.PICK, choice, marks, None)


@in_a_thread
def orphans(manifest: Path, options: Options) -> Orphans:
    """Return the finished jobs that the manifest, as it is now, does not ask for, and what is there of their files.

    Raises ManifestError for a manifest with mistakes, LedgerError where there is no ledger.
    """
    prepared = prepare(manifest, options)
    campaign = prepared.campaign
    with reading.opened(campaign.ledger) as connection:
        name, path, _ = title(campaign, reading.settings(connection))
        jobs = list(reading.jobs(connection))
    left = prepared.plan.of(Fate.LEAVE)
    unasked = {_key(item.job) for item in left if item.spec is None and item.job is not None}
    done = [job for job in jobs if _key(job) in unasked and job.state is State.DONE and job.path is not None]
    wanted = {job.path for job in jobs if _key(job) not in unasked}
    found, kept, outputs = [], [], campaign.outputs
    for job in done:
        there = outputs.intact(job)
        if job.picked or job.path in wanted or (not there and outputs.is_there(job)):
            kept.append(job)
        else:
            found.append(Orphan(job, there))
    return Orphans(name, path, tuple(found), tuple(kept))


async def clean(manifest: Path, options: Options, *, confirm: Callable[[Orphans], bool]) -> Orphans:
    """Delete the files of orphans, and have the ledger know it. The jobs themselves stay: they were paid.

    Raises UsageError where it was not confirmed; LedgerLocked where a run holds the campaign.
    """
    found = await orphans(manifest, options)
    if not found.orphans:
        return found
    if not (options.yes or confirm(found)):
        raise UsageError("deleting was not confirmed; nothing was deleted. Confirm with --yes")
    with _holding(manifest, options) as held:
        now = await orphans(manifest, options)  # again: a run may have ended between
        confirmed = {_key(one.job) for one in found.orphans}
        gone, kept, outputs, by = [], list(now.kept), held.campaign.outputs, person()
        for one in now.orphans:
            job, path = one.job, one.job.path or ""
            if _key(job) not in confirmed:
                continue
            if not outputs.delete(path, job.sha256 or "") and outputs.is_there(job):
                kept.append(job)
                continue
            await held.ledger.record(job, Deleted(by=by, was=path))
            gone.append(one)
    return Orphans(now.name, now.path, tuple(gone), tuple(kept), deleted=True)


@contextmanager
def _holding(target: Path, options: Options) -> Iterator[_Held]:
    campaign = campaign_of(target, options.output)
    with reading.opened(campaign.ledger):
        pass  # a folder without a ledger stays as it is
    folders = rescue_folders(campaign, os.environ)
    with run_lock(campaign.lock):
        ledger = SqliteLedger.create_or_open(campaign.ledger, now=time.time, blocking=in_threads(1), fallbacks=folders)
        with closing(ledger):
            rejections.finish(campaign)
            with reading.opened(campaign.ledger) as connection:
                settings, jobs = reading.settings(connection), tuple(reading.jobs(connection))
            yield _Held(campaign, ledger, settings, jobs)


def _not_there(job: Job) -> UsageError:
    return UsageError(
        f"the file of {job.name} is not there as it was recorded: see `callsheet verify`. Where it is gone, a run "
        "fetches it again; nothing was changed"
    )


def _named(verb: Verb, held: _Held, words: Sequence[str]) -> Choice:
    return choices.chosen(verb, held.jobs, words, unknown=no_such_job)


def _profile(options: Options, settings: Mapping[str, Any]) -> Profile | None:
    """Return the profile of the ledger's last run, where it is to be had: it says what one more attempt costs."""
    if options.profiles.file is None and settings.get("provider") not in options.profiles.names:
        return None
    return profile_of(options.profiles, settings)


def _key(job: Job) -> tuple[str, str]:
    return job.name, job.request_hash

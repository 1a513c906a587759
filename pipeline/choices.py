"""What a person may say of jobs that are over: try it again, another take, this one. Pure.

Which states a verb takes is read from the one table of transitions. What a job of another state waits for is said
instead, for the person who named it.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from pipeline.errors import UsageError
from pipeline.events import TRANSITIONS, Event, Picked, Rejected, Retried
from pipeline.jobs import OVER, FailureKind, Job, State


class Verb(StrEnum):
    """The word on the command line."""

    RETRY = "retry"
    REJECT = "reject"
    PICK = "pick"


_EVENTS: Mapping[Verb, type[Event]] = {Verb.RETRY: Retried, Verb.REJECT: Rejected, Verb.PICK: Picked}
_ONLY: Mapping[Verb, str] = {
    Verb.RETRY: "only what has failed, or has expired, is tried again",
    Verb.REJECT: "another take is made only of a finished video",
    Verb.PICK: "only a finished video can be picked",
}
_RESOLVE = "`callsheet resolve` answers for it"
_INSTEAD: Mapping[State, str] = {
    State.PLANNED: "the next run submits it",
    State.SUBMITTING: _RESOLVE,
    State.IN_DOUBT: _RESOLVE,
    State.HELD: _RESOLVE,
    State.SUBMITTED: "the next run fetches it",
    State.COMPLETED: "the next run fetches it",
    State.VERIFIED: "the next run fetches it",
    State.DONE: "`callsheet reject` asks for another take",
    State.FAILED: "`callsheet retry` has it tried again",
    State.EXPIRED: "`callsheet retry` has it made again",
    State.LOST: _RESOLVE,
    State.STUCK: _RESOLVE,
}


@dataclass(frozen=True, slots=True)
class Choice:
    """The jobs that words name and that the verb takes, each once. ``passed`` fit too, and stay as they are."""

    jobs: tuple[Job, ...]
    passed: int


def fits(job: Job, word: str) -> bool:
    """Tell whether a word names the job: as ``--select`` does, or with eight digits or more of its request's hash."""
    kind, _, tag = word.partition(":")
    if kind == "tag":
        return tag in job.tags
    if len(word) >= 8 and job.request_hash.startswith(word):
        return True
    return fnmatchcase(job.name, word) or fnmatchcase(job.name.partition("#")[0], word)


def chosen(
    verb: Verb, jobs: Sequence[Job], words: Sequence[str], *, unknown: Callable[[str, Sequence[Job]], UsageError]
) -> Choice:
    """Return the jobs that the words name and that the verb takes.

    Raises UsageError for a word that names no job, by ``unknown``, and for one that names none that the verb takes.
    """
    found: dict[tuple[str, str], Job] = {}
    passed: set[tuple[str, str]] = set()
    for word in words:
        named = [job for job in jobs if fits(job, word)]
        if not named:
            raise unknown(word, jobs)
        refusals = {(job.name, job.request_hash): refusal(verb, job) for job in named}
        taken = {key: job for job in named if refusals[key := (job.name, job.request_hash)] is None}
        if not taken:
            # What was asked for before under the same name says less than what is asked for now.
            last = min(named, key=lambda job: job.orphaned)
            raise UsageError(f"{refusals[last.name, last.request_hash]}; nothing was changed")
        found |= taken
        passed |= refusals.keys()
    return Choice(tuple(found.values()), len(passed - found.keys()))


def failed(jobs: Sequence[Job], kinds: Collection[FailureKind]) -> Choice:
    """Return the failed jobs of these classes; of none in particular, all but those that a person gave up."""
    wanted = {*kinds} or {*FailureKind} - {FailureKind.ABANDONED}
    over = [job for job in jobs if job.state in OVER]
    taken = [job for job in over if refusal(Verb.RETRY, job) is None and job.failure and job.failure.kind in wanted]
    return Choice(tuple(taken), len(over) - len(taken))


def refusal(verb: Verb, job: Job) -> str | None:
    """Return in words why the verb does not take the job; None where it does."""
    if _EVENTS[verb] not in TRANSITIONS[job.state] or (verb is Verb.RETRY and job.state not in OVER):
        return f"{job.name} is {job.state}, and {_ONLY[verb]}: {_INSTEAD[job.state]}"
    if job.orphaned and verb is not Verb.PICK:
        return f"the manifest no longer asks for {job.name}: no run would make it again"
    if job.state is State.DONE and job.path is None:
        return f"the file of {job.name} was deleted"
    return None


def again(job: Job, unbilled: Collection[FailureKind]) -> Retried:
    """Return a person's word that a job that is over may be sent once more. ``unbilled``: failures that are free.

    What a person gave up without an id may have been paid.
    """
    failure = job.failure
    assert failure is not None  # noqa: S101  # what is over has one
    free = failure.kind in unbilled or (job.video_id is None and failure.kind is not FailureKind.ABANDONED)
    sunk = job.sunk + (0.0 if free else job.price or 0.0)
    return Retried(by="retry command", approvals=job.approvals + 1, sunk=sunk, failure=failure)


def another(job: Job, kept: str, *, by: str) -> Rejected:
    """Return a person's word that they want another take of a job that is done, whose file lies at ``kept`` too."""
    return Rejected(
        by=by,
        approvals=job.approvals + 1,
        sunk=job.sunk + (job.price or 0.0),
        was=job.path or "",
        kept=kept,
        kept_sha256=job.sha256 or "",
    )

"""The manifest's jobs held against the ledger's: what is to become of each, and why. Pure."""

from array import array
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from math import inf
from typing import Any

from pipeline.changes import changes, pixels
from pipeline.jobs import GONE, OVER, Job, Spec, State
from pipeline.plan import Fate, Item, Items, Judgement, Key, Last, Plan, Renaming, Some, Why

_REASONS: Mapping[State, tuple[Fate, Why, str]] = {
    State.PLANNED: (Fate.SUBMIT, Why.UNSENT, "not submitted yet"),
    State.SUBMITTING: (Fate.CONTINUE, Why.PAYING, "a run ended in the middle of its submission"),
    State.IN_DOUBT: (
        Fate.CONTINUE,
        Why.DOUBT,
        "its submission had no clear answer: it may have been paid for",
    ),
    State.HELD: (Fate.DECIDE, Why.HELD, "it may have been paid for, and nobody can tell: a person must decide"),
    State.SUBMITTED: (Fate.CONTINUE, Why.RENDERING, "rendering at the server"),
    State.COMPLETED: (Fate.CONTINUE, Why.READY, "to be downloaded"),
    State.VERIFIED: (Fate.CONTINUE, Why.READY, "to be put in its place"),
    State.DONE: (Fate.NOTHING, Why.DONE, "done"),
    State.FAILED: (Fate.NOTHING, Why.FAILED, "failed"),
    State.EXPIRED: (Fate.NOTHING, Why.FAILED, "expired before it was downloaded"),
    State.LOST: (Fate.DECIDE, Why.LOST, "the server no longer knows it; it is asked once more"),
    State.STUCK: (Fate.DECIDE, Why.STUCK, "rendering for far too long; the server is asked once more"),
}


_SENT_BACK: Mapping[str, tuple[Why, str]] = {
    "returned": (Why.RETURNED, "nothing was created the last time"),
    "reprieved": (Why.REPRIEVED, "refused with many others, hardly for its own sake"),
    "retried": (Why.RETRIED, "failed last time, and is tried once more"),
    "resubmitted": (Why.RESUBMITTED, "paid for once more"),
    "rejected": (Why.REJECTED, "rejected by a person: another one is rendered"),
}


@dataclass(frozen=True, slots=True)
class Findings:
    """What is known beside the manifest and the ledger's jobs.

    ``missing`` are jobs that are done and whose file is not on the disk, ``damaged`` those of which it has another
    length, ``back`` those that are expired or lost and whose file is there. ``last`` has the last events of planned
    jobs that were sent before.
    """

    missing: Collection[Key] = frozenset()
    damaged: Collection[Key] = frozenset()
    back: Collection[Key] = frozenset()
    last: Mapping[Key, Last] = field(default_factory=dict)


def compare(
    specs: Sequence[Spec],
    jobs: Iterable[Job],
    *,
    selected: frozenset[str],
    findings: Findings = Findings(),
    again: Callable[[Job], bool] = lambda job: False,
    listing: bool = False,
) -> Plan:
    """Return what a run would do.

    ``selected`` are the names that may be submitted; what is paid is continued whether selected or not. ``again``
    tells whether what failed may be sent once more. ``listing``: the server has a list, in which jobs that are held
    are looked for.
    """
    ledger = {(job.name, job.request_hash): job for job in jobs}
    keys = [(spec.name, spec.request_hash) for spec in specs] if ledger else ()  # each hash is made once
    asked = set(keys)
    orphans = [job for key, job in ledger.items() if key not in asked]
    new = ((spec, key[1]) for spec, key in zip(specs, keys, strict=False) if key not in ledger)
    renamings = _renamings(new, orphans)
    renamed = {renaming.spec.name: renaming.job for renaming in renamings}
    moved = {_key(job) for job in renamed.values()}
    past = _Past(ledger.values(), [job for job in orphans if _key(job) not in moved])

    def judged(spec: Spec, key: Key | None) -> Judgement:
        job = ledger.get(key, renamed.get(spec.name)) if key else None
        if job is None:
            return _left(past.new(spec), spec, selected)
        found = _known(job, findings)
        if job.state is State.PLANNED:
            found = _left(found, spec, selected)
        elif job.state in OVER and found.fate is Fate.NOTHING and spec.name in selected and again(job):
            told = f"{_REASONS[job.state][2]} ({job.failure.kind if job.failure else job.state}): tried once more"
            found = found._replace(fate=Fate.SUBMIT, why=Why.AGAIN, reason=told)
        return found if job.name == spec.name else found._replace(reason=f"{found.reason}; was called {job.name}")

    left = [job for job in orphans if _key(job) not in moved and job.attempt > 0]
    one: dict[tuple[Any, ...], Judgement] = {}
    judgements = [
        found if found.job or found.changes else one.setdefault(found, found)
        for found in map(judged, specs, keys or repeat(None))
    ]
    items = Items(specs, judgements, [_orphan(job) for job in left])
    looked_for = frozenset({State.HELD} if listing else ())
    return Plan(items, renamings, looked_for, Some(items, _in_order(judgements, ledger)))


def _in_order(judged: Sequence[Judgement], ledger: Iterable[Key]) -> "array[int]":
    """Return what is submitted, as the runner does: expired videos first, then by the order of their enrolment."""
    order = {key: number for number, key in enumerate(ledger)}

    def rank(number: int) -> tuple[bool, float]:
        job = judged[number].job
        return job is None or job.state is not State.EXPIRED, inf if job is None else order[_key(job)]

    submitted = array("I", (number for number, judgement in enumerate(judged) if judgement.fate is Fate.SUBMIT))
    return array("I", sorted(submitted, key=rank)) if order else submitted


def _known(job: Job, findings: Findings) -> Judgement:
    """Return what becomes of a job that the ledger has."""
    key = _key(job)
    fate, why, reason = _REASONS[job.state]
    if job.state is State.DONE and key in findings.damaged:
        fate, why, reason = Fate.CONTINUE, Why.DAMAGED, "its file is damaged, of another length: to be downloaded again"
    elif job.state is State.DONE and key in findings.missing:
        gone = "was deleted" if job.path is None else "is gone from the disk"
        told = f"its file {gone}: to be downloaded again, where the server still has it"
        fate, why, reason = Fate.CONTINUE, Why.MISSING, told
    elif job.state in GONE and key in findings.back:
        fate, why, reason = Fate.CONTINUE, Why.BACK, "its file is on the disk again"
    elif job.state is State.PLANNED and key in findings.last:
        last = findings.last[key]
        why, reason = _SENT_BACK.get(last.kind, (why, reason))
        why = Why.RESUBMITTED if why is Why.RETRIED and last.is_a_persons else why
        words = [job.failure.kind if job.failure else None, f"by {last.by}" if last.by else None]
        reason = f"{reason} ({', '.join(filter(None, words))})" if any(words) else reason
    elif job.state in OVER and job.failure is not None:
        reason = f"{reason}: {job.failure.kind}"
    return Judgement(fate, why, reason, job)


class _Past:
    """What was asked for before under a name, or under another take of it."""

    def __init__(self, jobs: Iterable[Job], orphans: Iterable[Job]) -> None:
        self._takes: dict[str, Job] = {}
        for job in jobs:
            if job.attempt > 0:
                self._takes.setdefault(_entry(job.name), job)
        self._before: dict[str, Job] = {}
        for job in orphans:
            known = self._before.get(job.name)
            if known is None or job.attempt > 0 or known.attempt == 0:
                self._before[job.name] = job

    def new(self, spec: Spec) -> Judgement:
        """Return what becomes of a job that the ledger lacks, held against what was there in its place."""
        before = self._before.get(spec.name)
        if before is not None:
            changed = changes(pixels(before.request), pixels(spec.request))
            what = ", ".join(change.field for change in changed)
            rendered = "changed" if before.attempt > 0 else "changed before it was submitted"
            return Judgement(Fate.SUBMIT, Why.CHANGED, f"{rendered}: {what}", None, changed)
        other = self._takes.get(_entry(spec.name)) if self._takes else None
        if other is not None and pixels(other.request) == pixels(spec.request):
            return Judgement(Fate.SUBMIT, Why.TAKE, "take added")
        return Judgement(Fate.SUBMIT, Why.NEW, "new")


def _left(found: Judgement, spec: Spec, selected: Collection[str]) -> Judgement:
    """Return the judgement, or, where it is not to be submitted, that it is left."""
    if spec.name in selected:
        return found
    why, reason = (Why.NOT_SELECTED, "not selected") if spec.enabled else (Why.NOT_ENABLED, "not enabled")
    return found._replace(fate=Fate.LEAVE, why=why, reason=reason)


def _orphan(job: Job) -> Item:
    fate, _, reason = _REASONS[job.state]
    if fate is Fate.SUBMIT or job.state in OVER | {State.DONE}:
        fate = Fate.LEAVE
    if job.state is State.DONE and job.path is None:
        reason = "its file was deleted"
    return Item(job.name, fate, Why.ORPHANED, f"not in the manifest any more; {reason}", None, job)


def _renamings(new: Iterable[tuple[Spec, str]], orphans: Iterable[Job]) -> tuple[Renaming, ...]:
    """Pair new names with sent jobs that nobody asks for any more and whose request is the same, in their order."""
    free: defaultdict[str, list[Job]] = defaultdict(list)
    for job in orphans:
        if job.attempt > 0:
            free[job.request_hash].append(job)
    return tuple(Renaming(free[hashed].pop(0), spec) for spec, hashed in new if free.get(hashed))


def _key(job: Job) -> Key:
    return job.name, job.request_hash


def _entry(name: str) -> str:
    return name.rpartition("#")[0]

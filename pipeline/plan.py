"""What a run would do, and why: the manifest's jobs held against the ledger's. Pure."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import inf
from typing import Any, NamedTuple

from pipeline.changes import Change, changes, pixels
from pipeline.jobs import GONE, OVER, Job, Spec, State

Key = tuple[str, str]
"""A job's name and its request's hash."""


class Fate(StrEnum):
    """What a run would do with a job. The value is the word in the plan's JSON document."""

    SUBMIT = "submit"
    CONTINUE = "continue"
    NOTHING = "nothing"
    DECIDE = "decide"
    LEAVE = "leave"


class Why(StrEnum):
    """Why it would do so. The value is the word in the plan's JSON document."""

    NEW = "new"
    CHANGED = "changed"
    TAKE = "take"
    UNSENT = "unsent"
    RETURNED = "returned"
    REPRIEVED = "reprieved"
    RETRIED = "retried"
    RESUBMITTED = "resubmitted"
    REJECTED = "rejected"
    AGAIN = "again"
    PAYING = "paying"
    DOUBT = "doubt"
    RENDERING = "rendering"
    READY = "ready"
    MISSING = "missing"
    DAMAGED = "damaged"
    BACK = "back"
    DONE = "done"
    FAILED = "failed"
    HELD = "held"
    LOST = "lost"
    STUCK = "stuck"
    NOT_SELECTED = "not_selected"
    NOT_ENABLED = "not_enabled"
    ORPHANED = "orphaned"


@dataclass(frozen=True, slots=True)
class Item:
    """One job of the plan: ``job`` as the ledger has it, ``spec`` as the manifest asks for it, where they do.

    ``changes`` are those of the request against the one that was rendered under the same name before.
    """

    name: str
    fate: Fate
    why: Why
    reason: str
    spec: Spec | None
    job: Job | None
    changes: tuple[Change, ...] = ()

    @property
    def request(self) -> Mapping[str, Any] | None:
        """What is, was or would be sent: a job that was sent once keeps its request, metadata and all."""
        if self.spec is None or (self.job is not None and self.job.attempt > 0):
            return self.job.request if self.job else None
        return self.spec.request


@dataclass(frozen=True, slots=True)
class Renaming:
    """A job of the ledger that the manifest asks for under another name: nothing is paid for it."""

    job: Job
    spec: Spec


@dataclass(frozen=True, slots=True)
class Plan:
    """``items`` stand in the manifest's order, ``submissions`` in that in which a run would submit them."""

    items: tuple[Item, ...]
    renamings: tuple[Renaming, ...]
    looked_for: frozenset[State] = frozenset()
    submissions: tuple[Item, ...] = ()

    def of(self, *fates: Fate) -> tuple[Item, ...]:
        return tuple(item for item in self.items if item.fate in fates)

    @property
    def has_work(self) -> bool:
        """Whether a run would make any request."""
        asked_about = _ASKED_ABOUT_AGAIN | self.looked_for
        return bool(self.of(Fate.SUBMIT, Fate.CONTINUE)) or any(
            item.job is not None and item.job.state in asked_about for item in self.of(Fate.DECIDE)
        )


_ASKED_ABOUT_AGAIN = frozenset({State.LOST, State.STUCK})

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


class Last(NamedTuple):
    """The last event of a job, by the ledger's word for it, and by whose word it was, where that is said."""

    kind: str
    by: str | None = None

    @property
    def is_a_persons(self) -> bool:
        """Whether a person, and no manifest or profile, had the job sent once more."""
        return self.kind in _ALWAYS_A_PERSONS or (
            self.kind == "retried" and (self.by or "").partition(":")[0] not in {"retry", "unbilled"}
        )


_ALWAYS_A_PERSONS = frozenset({"resubmitted", "rejected"})


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
    keys = [(spec.name, spec.request_hash) for spec in specs]  # each hash is made once: there may be many
    asked = set(keys)
    orphans = [job for key, job in ledger.items() if key not in asked]
    new = [(spec, key[1]) for spec, key in zip(specs, keys, strict=True) if key not in ledger]
    renamings = _renamings(new, orphans)
    renamed = {renaming.spec.name: renaming.job for renaming in renamings}
    moved = {_key(job) for job in renamed.values()}
    past = _Past(ledger.values(), [job for job in orphans if _key(job) not in moved])

    def item(spec: Spec, key: Key) -> Item:
        job = ledger.get(key, renamed.get(spec.name))
        if job is None:
            return _left(past.new(spec), selected)
        found = _known(spec, job, findings)
        if job.state is State.PLANNED:
            found = _left(found, selected)
        elif job.state in OVER and found.fate is Fate.NOTHING and spec.name in selected and again(job):
            told = f"{_REASONS[job.state][2]} ({job.failure.kind if job.failure else job.state}): tried once more"
            found = replace(found, fate=Fate.SUBMIT, why=Why.AGAIN, reason=told)
        return found if job.name == spec.name else replace(found, reason=f"{found.reason}; was called {job.name}")

    left = [job for job in orphans if _key(job) not in moved and job.attempt > 0]
    items = tuple(map(item, specs, keys)) + tuple(_orphan(job) for job in left)
    looked_for = frozenset({State.HELD} if listing else ())
    return Plan(items, renamings, looked_for, _in_order(items, ledger))


def _in_order(items: Iterable[Item], ledger: Iterable[Key]) -> tuple[Item, ...]:
    """Return what is submitted, as the runner does: expired videos first, then by the order of their enrolment."""
    order = {key: number for number, key in enumerate(ledger)}

    def rank(item: Item) -> tuple[bool, float]:
        job = item.job
        return job is None or job.state is not State.EXPIRED, inf if job is None else order[_key(job)]

    return tuple(sorted((item for item in items if item.fate is Fate.SUBMIT), key=rank))


def _known(spec: Spec, job: Job, findings: Findings) -> Item:
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
    return Item(spec.name, fate, why, reason, spec, job)


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

    def new(self, spec: Spec) -> Item:
        """Return a job that the ledger lacks, held against what was there in its place."""
        before, request = self._before.get(spec.name), pixels(spec.request)
        if before is not None:
            changed = changes(pixels(before.request), request)
            what = ", ".join(change.field for change in changed)
            rendered = "changed" if before.attempt > 0 else "changed before it was submitted"
            return Item(spec.name, Fate.SUBMIT, Why.CHANGED, f"{rendered}: {what}", spec, None, changed)
        other = self._takes.get(_entry(spec.name))
        if other is not None and pixels(other.request) == request:
            return Item(spec.name, Fate.SUBMIT, Why.TAKE, "take added", spec, None)
        return Item(spec.name, Fate.SUBMIT, Why.NEW, "new", spec, None)


def _left(item: Item, selected: Collection[str]) -> Item:
    """Return the item, or, where it is not to be submitted, that it is left."""
    if item.name in selected or item.spec is None:
        return item
    why, reason = (Why.NOT_SELECTED, "not selected") if item.spec.enabled else (Why.NOT_ENABLED, "not enabled")
    return replace(item, fate=Fate.LEAVE, why=why, reason=reason)


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

"""What a run would do, and why: the manifest's jobs held against the ledger's. Pure."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pipeline.jobs import OVER, Job, Spec, State


class Fate(StrEnum):
    """What a run would do with a job. The value is the word in the plan's JSON document."""

    SUBMIT = "submit"
    CONTINUE = "continue"
    NOTHING = "nothing"
    DECIDE = "decide"
    LEAVE = "leave"


@dataclass(frozen=True, slots=True)
class Item:
    """One job of the plan: ``job`` as the ledger has it, ``spec`` as the manifest asks for it, where they do."""

    name: str
    fate: Fate
    reason: str
    spec: Spec | None
    job: Job | None


@dataclass(frozen=True, slots=True)
class Renaming:
    """A job of the ledger that the manifest asks for under another name: nothing is paid for it."""

    job: Job
    spec: Spec


@dataclass(frozen=True, slots=True)
class Plan:
    items: tuple[Item, ...]
    renamings: tuple[Renaming, ...]
    looked_for: frozenset[State] = frozenset()

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

_REASONS: Mapping[State, tuple[Fate, str]] = {
    State.PLANNED: (Fate.SUBMIT, "not submitted yet"),
    State.SUBMITTING: (Fate.CONTINUE, "a run ended in the middle of its submission"),
    State.IN_DOUBT: (Fate.CONTINUE, "its submission had no clear answer: it may have been paid for"),
    State.HELD: (Fate.DECIDE, "it may have been paid for, and nobody can tell: a person must decide"),
    State.SUBMITTED: (Fate.CONTINUE, "rendering at the server"),
    State.COMPLETED: (Fate.CONTINUE, "to be downloaded"),
    State.VERIFIED: (Fate.CONTINUE, "to be put in its place"),
    State.DONE: (Fate.NOTHING, "done"),
    State.FAILED: (Fate.NOTHING, "failed"),
    State.EXPIRED: (Fate.NOTHING, "expired before it was downloaded"),
    State.LOST: (Fate.DECIDE, "the server no longer knows it; it is asked once more"),
    State.STUCK: (Fate.DECIDE, "rendering for far too long; the server is asked once more"),
}


def compare(
    specs: Sequence[Spec],
    jobs: Iterable[Job],
    *,
    selected: frozenset[str],
    missing: frozenset[tuple[str, str]] = frozenset(),
    back: frozenset[tuple[str, str]] = frozenset(),
    again: Callable[[Job], bool] = lambda job: False,
    listing: bool = False,
) -> Plan:
    """Return what a run would do.

    ``selected`` are the names that may be submitted; what is paid is continued whether selected or not. ``missing``
    are names and hashes of jobs that are done and whose file is not on the disk, ``back`` of jobs that are expired or
    lost and whose file is. ``again`` tells whether what failed may be sent once more. ``listing``: the server has a
    list, in which jobs that are held are looked for.
    """
    ledger = {(job.name, job.request_hash): job for job in jobs}
    asked = {(spec.name, spec.request_hash) for spec in specs}
    orphans = [job for key, job in ledger.items() if key not in asked]
    renamings = _renamings([spec for spec in specs if (spec.name, spec.request_hash) not in ledger], orphans)
    renamed = {renaming.spec.name: renaming.job for renaming in renamings}
    moved = {(job.name, job.request_hash) for job in renamed.values()}
    before = {job.name: job for job in orphans if job.attempt > 0}

    def item(spec: Spec) -> Item:
        job = ledger.get((spec.name, spec.request_hash), renamed.get(spec.name))
        if job is None:
            return _new(spec, before.get(spec.name), selected)
        fate, reason = _REASONS[job.state]
        if job.state is State.PLANNED and spec.name not in selected:
            fate, reason = Fate.LEAVE, _left(spec)
        elif job.state is State.PLANNED and job.approvals:
            kind = job.failure.kind if job.failure else None
            reason = f"tried once more, after {kind}" if kind else "another take: the last one was rejected"
        elif job.state is State.DONE and (job.name, job.request_hash) in missing:
            gone = "was deleted" if job.path is None else "is gone from the disk"
            fate, reason = Fate.CONTINUE, f"its file {gone}: to be downloaded again, where the server still has it"
        elif job.state in {State.EXPIRED, State.LOST} and (job.name, job.request_hash) in back:
            fate, reason = Fate.CONTINUE, "its file is on the disk again"
        elif job.state in OVER and spec.name in selected and again(job):
            fate, reason = Fate.SUBMIT, f"{reason} ({job.failure.kind if job.failure else job.state}): tried once more"
        elif job.name != spec.name:
            reason = f"{reason}; was called {job.name}"
        return Item(spec.name, fate, reason, spec, job)

    left = [job for job in orphans if (job.name, job.request_hash) not in moved and job.attempt > 0]
    items = tuple(item(spec) for spec in specs) + tuple(_orphan(job) for job in left)
    return Plan(items, renamings, frozenset({State.HELD} if listing else ()))


def _new(spec: Spec, before: Job | None, selected: frozenset[str]) -> Item:
    reason = "new"
    if before is not None:
        keys = sorted({*spec.request, *before.request} - {"metadata"})
        changed = [key for key in keys if spec.request.get(key) != before.request.get(key)]
        reason = f"changed: {', '.join(changed)}" if changed else "new take"
    if spec.name not in selected:
        return Item(spec.name, Fate.LEAVE, _left(spec), spec, None)
    return Item(spec.name, Fate.SUBMIT, reason, spec, None)


def _left(spec: Spec) -> str:
    return "not selected" if spec.enabled else "not enabled"


def _orphan(job: Job) -> Item:
    fate, reason = _REASONS[job.state]
    if fate is Fate.SUBMIT or job.state in OVER | {State.DONE}:
        fate = Fate.LEAVE
    if job.state is State.DONE and job.path is None:
        reason = "its file was deleted"
    return Item(job.name, fate, f"not in the manifest any more; {reason}", None, job)


def _renamings(new: Iterable[Spec], orphans: Iterable[Job]) -> tuple[Renaming, ...]:
    """Pair new names with sent jobs that nobody asks for any more and whose request is the same, in their order."""
    free: defaultdict[str, list[Job]] = defaultdict(list)
    for job in orphans:
        if job.attempt > 0:
            free[job.request_hash].append(job)
    return tuple(Renaming(free[spec.request_hash].pop(0), spec) for spec in new if free[spec.request_hash])

"""The manifest's jobs held against the ledger's: what is to become of each, and why. Pure."""

from array import array
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import starmap

from pipeline.changes import changes, pixels
from pipeline.jobs import GONE, OVER, Job, Spec, State
from pipeline.pairing import Enrolled, Pairs, Seen, entry, pair
from pipeline.plan import Fate, Items, Judgement, Key, Last, Noted, Plan, Renaming, Some, Why

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
    jobs: Enrolled,
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
    pairs, met, before = pair(specs, jobs), Noted(), Noted()
    plain = _plain(jobs, findings)
    for number in pairs.renamed:  # what is to be told of them is more than where they stand
        plain[pairs.places[number]] = _NOT_PLAIN

    def judged(number: int, spec: Spec) -> Judgement:
        place = pairs.places[number] if pairs.places else -1
        if place < 0:
            return _left(_new(number, spec, pairs, jobs, before), spec, selected)
        if plain[place] != _NOT_PLAIN:
            found = _PLAIN[plain[place]]
            return _left(found, spec, selected) if found.state is State.PLANNED else found
        job = met.add(number, jobs[place])
        found = _known(job, findings)
        if job.state is State.PLANNED:
            found = _left(found, spec, selected)
        elif job.state in OVER and found.fate is Fate.NOTHING and spec.name in selected and again(job):
            told = f"{_REASONS[job.state][2]} ({job.failure.kind if job.failure else job.state}): tried once more"
            found = found._replace(fate=Fate.SUBMIT, why=Why.AGAIN, reason=told)
        return found if job.name == spec.name else found._replace(reason=f"{found.reason}; was called {job.name}")

    one: dict[Judgement, Judgement] = {}
    judgements = [one.setdefault(found, found) for found in starmap(judged, enumerate(specs))]
    order = _in_order(judgements, pairs.places, len(plain))
    for number, place in enumerate(pairs.orphans, len(judgements)):
        found = _orphan(met.add(number, jobs[place]))
        judgements.append(one.setdefault(found, found))
    items = Items(specs, judgements, met=met, before=before)
    renamings = tuple(Renaming(jobs[pairs.places[number]], specs[number]) for number in pairs.renamed)
    return Plan(items, renamings, frozenset({State.HELD} if listing else ()), Some(items, order), selected)


def _in_order(judged: Sequence[Judgement], places: Sequence[int], enrolled: int) -> "array[int]":
    """Return what is submitted, as the runner does: expired videos first, then by the order of their enrolment."""

    def rank(number: int) -> int:
        place = places[number] if places[number] >= 0 else enrolled
        return place - enrolled if judged[number].state is State.EXPIRED else place

    submitted = array("I", (number for number, judgement in enumerate(judged) if judgement.fate is Fate.SUBMIT))
    return array("I", sorted(submitted, key=rank)) if places else submitted


_PLAIN = tuple(Judgement(*_REASONS[state], state) for state in (State.PLANNED, State.DONE))
_UNSENT, _DONE, _NOT_PLAIN = range(3)


def _plain(jobs: Iterable[Seen], findings: Findings) -> bytearray:
    """Tell of each job whether all that is to be told of it is where it stands: never sent, or done and whole."""
    told = frozenset().union(findings.missing, findings.damaged, findings.last)

    def kind(job: Seen) -> int:
        if job.approvals or (told and (job.name, job.request_hash) in told):
            return _NOT_PLAIN
        if job.state == State.PLANNED and job.attempt == 0:
            return _UNSENT
        return _DONE if job.state == State.DONE else _NOT_PLAIN

    return bytearray(map(kind, jobs))


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
    return Judgement(fate, why, reason, job.state)


def _new(number: int, spec: Spec, pairs: Pairs, jobs: Enrolled, before: Noted) -> Judgement:
    """Return what becomes of a job that the ledger lacks, held against what was there in its place: that is noted."""
    if number in pairs.before:
        return _changed(before.add(number, jobs[pairs.before[number]]), spec)
    other = pairs.takes.get(entry(spec.name)) if pairs.takes else None
    if other is not None and pixels(jobs[other].request) == pixels(spec.request):
        return Judgement(Fate.SUBMIT, Why.TAKE, "take added")
    return Judgement(Fate.SUBMIT, Why.NEW, "new")


def _changed(before: Job, spec: Spec) -> Judgement:
    what = ", ".join(change.field for change in changes(pixels(before.request), pixels(spec.request)))
    rendered = "changed" if before.attempt > 0 else "changed before it was submitted"
    return Judgement(Fate.SUBMIT, Why.CHANGED, f"{rendered}: {what}")


def _left(found: Judgement, spec: Spec, selected: Collection[str]) -> Judgement:
    """Return the judgement, or, where it is not to be submitted, that it is left."""
    if spec.name in selected:
        return found
    why, reason = (Why.NOT_SELECTED, "not selected") if spec.enabled else (Why.NOT_ENABLED, "not enabled")
    return found._replace(fate=Fate.LEAVE, why=why, reason=reason)


def _orphan(job: Job) -> Judgement:
    fate, _, reason = _REASONS[job.state]
    if fate is Fate.SUBMIT or job.state in OVER | {State.DONE}:
        fate = Fate.LEAVE
    if job.state is State.DONE and job.path is None:
        reason = "its file was deleted"
    return Judgement(fate, Why.ORPHANED, f"not in the manifest any more; {reason}", job.state)


def _key(job: Job) -> Key:
    return job.name, job.request_hash

"""What a run would do, and why, job by job. Pure."""

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from operator import lt
from typing import Any, NamedTuple, TypeVar, overload

from pipeline.changes import Change, changes, pixels
from pipeline.jobs import Job, Spec, State
from pipeline.packing import PackedJobs

T = TypeVar("T")
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
    """One job of the plan: ``spec`` as the manifest asks for it, ``state`` as it stands in the ledger, where they do.

    ``job`` is what the ledger says besides: None too of a job that was never sent, and of one that is done and whole.
    ``before`` is the job that the ledger has under the same name, with another request.
    """

    name: str
    fate: Fate
    why: Why
    reason: str
    spec: Spec | None
    job: Job | None
    before: Job | None = None
    state: State | None = None

    @property
    def changes(self) -> tuple[Change, ...]:
        """What of the request is another than before."""
        if self.spec is None or self.before is None:
            return ()
        return changes(pixels(self.before.request), pixels(self.spec.request))

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


class Judgement(NamedTuple):
    """What is to become of a job, and why; and where it stands. Many jobs share one."""

    fate: Fate
    why: Why
    reason: str
    state: State | None = None


class Noted:
    """Jobs of the ledger by the numbers of the items to which they belong: added in their order, best read in it."""

    def __init__(self) -> None:
        self.numbers = array("I")
        self._jobs = PackedJobs()

    def add(self, number: int, job: Job) -> Job:
        self.numbers.append(number)
        self._jobs.append(job)
        return job

    def get(self, number: int) -> Job | None:
        place = bisect_left(self.numbers, number)
        found = place < len(self.numbers) and self.numbers[place] == number
        return self._jobs[place] if found else None


class Items(Sequence[Item]):
    """The items of a plan. Equal judgements are one, and an item is made when it is asked for: there may be many."""

    def __init__(
        self,
        specs: Sequence[Spec] = (),
        judged: Sequence[Judgement] = (),
        *,
        met: Noted | None = None,
        before: Noted | None = None,
    ) -> None:
        """``judged`` are the judgements of the ``specs``, in their order, and then those of orphans.

        ``met`` are the jobs of which there is more to tell, ``before`` those that were in the place of changed ones.
        """
        self._specs, self.judged, self._met, self._before = specs, judged, met or Noted(), before or Noted()

    def __len__(self) -> int:
        return len(self.judged)

    def __iter__(self) -> Iterator[Item]:
        for number, spec in enumerate(self._specs):
            yield self._item(number, spec)
        for number in range(len(self._specs), len(self.judged)):
            yield self._item(number, None)

    def of(self, fates: Collection[Fate]) -> Iterator[Item]:
        """Yield the items with one of these fates."""
        for number, judgement in enumerate(self.judged):
            if judgement.fate in fates:
                yield self[number]

    @property
    def counts(self) -> Counter[Fate]:
        """How many items have which fate."""
        return Counter(one.fate for one in self.judged)

    @property
    def changed(self) -> Iterator[Item]:
        """Yield the items that have changes."""
        return (self[number] for number in self._before.numbers)

    def _item(self, number: int, spec: Spec | None) -> Item:
        fate, why, reason, state = self.judged[number]
        job, before = self._met.get(number), self._before.get(number)
        if spec is None:
            assert job is not None  # noqa: S101  # an orphan is a job of the ledger
            return Item(job.name, fate, why, reason, None, job, None, state)
        return Item(spec.name, fate, why, reason, spec, job, before, state)

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | Sequence[Item]:
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        return self._item(number, self._specs[number] if number < len(self._specs) else None)


class Some(Sequence[Item]):
    """Some of a plan's items, in an order of their own."""

    def __init__(self, items: Sequence[Item] = (), numbers: Sequence[int] = ()) -> None:
        self._items, self._numbers = items, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | Sequence[Item]:
        if isinstance(index, slice):
            return Some(self._items, self._numbers[index])
        return self._items[self._numbers[index]]

    def each(self, tell: Callable[[Item], T]) -> list[T]:
        """Return what is told of each, in their order; they are gone through in the plan's, as that is how they lie."""
        if all(map(lt, self._numbers, islice(self._numbers, 1, None))):
            return [*map(tell, self)]
        ranks = array("I", bytes(4 * len(self)))
        for rank, place in enumerate(sorted(range(len(self)), key=self._numbers.__getitem__)):
            ranks[place] = rank
        told = [tell(self._items[number]) for number in sorted(self._numbers)]
        return [told[rank] for rank in ranks]


@dataclass(frozen=True, slots=True)
class Plan:
    """``items`` stand in the manifest's order, ``submissions`` in that in which a run would submit them.

    It was made for the jobs that are ``selected``, by their names: for others it is another one.
    """

    items: Items
    renamings: tuple[Renaming, ...]
    looked_for: frozenset[State] = frozenset()
    submissions: Some = field(default_factory=Some)
    selected: frozenset[str] = frozenset()

    def of(self, *fates: Fate) -> Iterator[Item]:
        return self.items.of(fates)

    @property
    def has_work(self) -> bool:
        """Whether a run would make any request."""
        asked_about = _ASKED_ABOUT_AGAIN | self.looked_for
        counts = self.items.counts
        return counts[Fate.SUBMIT] + counts[Fate.CONTINUE] > 0 or any(
            one.fate is Fate.DECIDE and one.state in asked_about for one in self.items.judged
        )


_ASKED_ABOUT_AGAIN = frozenset({State.LOST, State.STUCK})


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

"""What a run would do, and why, job by job. Pure."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import Any, NamedTuple, overload

from pipeline.changes import Change
from pipeline.jobs import Job, Spec, State

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


class Judgement(NamedTuple):
    """What is to become of a job, and why: the plan's item of it but for its name and its spec."""

    fate: Fate
    why: Why
    reason: str
    job: Job | None = None
    changes: tuple[Change, ...] = ()


class Items(Sequence[Item]):
    """The items of a plan. Equal judgements are one, and an item is made when it is asked for: there may be many."""

    def __init__(
        self, specs: Sequence[Spec] = (), judged: Sequence[Judgement] = (), orphans: Sequence[Item] = ()
    ) -> None:
        """``judged`` are the judgements of the ``specs``, in their order."""
        self._specs, self.judged, self._orphans = specs, judged, orphans

    def __len__(self) -> int:
        return len(self.judged) + len(self._orphans)

    def __iter__(self) -> Iterator[Item]:
        for spec, (fate, why, reason, job, changed) in zip(self._specs, self.judged, strict=True):
            yield Item(spec.name, fate, why, reason, spec, job, changed)
        yield from self._orphans

    def of(self, fates: Collection[Fate]) -> Iterator[Item]:
        """Yield the items with one of these fates."""
        for number, judgement in enumerate(self.judged):
            if judgement.fate in fates:
                yield self[number]
        yield from (item for item in self._orphans if item.fate in fates)

    @property
    def counts(self) -> Counter[Fate]:
        """How many items have which fate."""
        return Counter(chain((one.fate for one in self.judged), (one.fate for one in self._orphans)))

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | Sequence[Item]:
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        if number >= len(self.judged):
            return self._orphans[number - len(self.judged)]
        spec, (fate, why, reason, job, changed) = self._specs[number], self.judged[number]
        return Item(spec.name, fate, why, reason, spec, job, changed)


class Some(Sequence[Item]):
    """Some of a plan's items, in an order of their own."""

    def __init__(self, items: Sequence[Item], numbers: Sequence[int]) -> None:
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


@dataclass(frozen=True, slots=True)
class Plan:
    """``items`` stand in the manifest's order, ``submissions`` in that in which a run would submit them."""

    items: Items
    renamings: tuple[Renaming, ...]
    looked_for: frozenset[State] = frozenset()
    submissions: Sequence[Item] = ()

    def of(self, *fates: Fate) -> Iterator[Item]:
        return self.items.of(fates)

    @property
    def has_work(self) -> bool:
        """Whether a run would make any request."""
        asked_about = _ASKED_ABOUT_AGAIN | self.looked_for
        counts = self.items.counts
        return counts[Fate.SUBMIT] + counts[Fate.CONTINUE] > 0 or any(
            item.job is not None and item.job.state in asked_about for item in self.of(Fate.DECIDE)
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

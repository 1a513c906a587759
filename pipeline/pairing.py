"""Which job of the ledger each job of the manifest is, and what was there in its place. Pure.

There may be a million on both sides: they are gone through one by one, and what is kept of each is a few numbers. The
place of a job is its number in the order of enrolment, from 0; the number of a spec is that in the manifest.
"""

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Protocol

from pipeline.jobs import Job, Spec


class Seen(Protocol):
    """What has to be known of every job of a ledger. ``state`` may be a ``State`` or the word for it."""

    @property
    def name(self) -> str: ...
    @property
    def request_hash(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def attempt(self) -> int: ...
    @property
    def approvals(self) -> int: ...


class Enrolled(Protocol):
    """The jobs of a ledger, in the order of their enrolment: all to be looked at, each to be had whole by its place."""

    def __iter__(self) -> Iterator[Seen]: ...
    def __getitem__(self, place: int, /) -> Job: ...


@dataclass(frozen=True, slots=True)
class Pairs:
    """``places`` of the ledger's jobs that the specs are, -1 where it has none; empty where it has no jobs at all.

    ``renamed`` are the numbers of specs that were asked for under another name. ``orphans`` are the places of jobs that
    were sent and that nobody asks for any more. ``before`` says what was asked for under the name of a new spec,
    ``takes`` what was sent under another take of it, by the name without the take.
    """

    places: Sequence[int] = ()
    renamed: Sequence[int] = ()
    orphans: Sequence[int] = ()
    before: Mapping[int, int] = field(default_factory=dict)
    takes: Mapping[str, int] = field(default_factory=dict)


def pair(specs: Sequence[Spec], jobs: Enrolled) -> Pairs:
    """Return what belongs together: by name and request; of what was sent then by the request alone, in their order."""
    known = {_key(job): place for place, job in enumerate(jobs)}
    if not known:
        return Pairs()
    places = array("q", (known.get(_key(spec), -1) for spec in specs))
    unasked = bytearray(b"\1") * len(known)
    known.clear()
    for place in places:
        if place >= 0:
            unasked[place] = False
    sent = array("q", (place for place, job in _those(jobs, unasked) if job.attempt > 0))
    renamed = _rename(specs, jobs, places, unasked) if sent and -1 in places else ()
    orphans = array("q", (place for place in sent if unasked[place]))
    new = {spec.name: number for number, spec in enumerate(specs) if places[number] < 0} if -1 in places else {}
    before = _before(new, jobs, unasked) if new else {}
    takes = _takes({entry(name) for name, number in new.items() if number not in before}, jobs)
    return Pairs(places, renamed, orphans, before, takes)


def entry(name: str) -> str:
    """Return the name without the number of the take."""
    return name.rpartition("#")[0]


def _key(one: Seen | Spec) -> int:
    """Return what a name and a request come to: a fifth of what they take, and as certain as any hash."""
    return int.from_bytes(blake2b(f"{one.name}\n{one.request_hash}".encode(), digest_size=15).digest())


def _asked(request_hash: str) -> int:
    return int(request_hash[:30], 16)


def _those(jobs: Iterable[Seen], flags: bytearray) -> Iterator[tuple[int, Seen]]:
    """Yield the jobs with a flag, and their places."""
    if any(flags):
        yield from ((place, job) for place, job in enumerate(jobs) if flags[place])


def _rename(specs: Sequence[Spec], jobs: Enrolled, places: "array[int]", unasked: bytearray) -> list[int]:
    """Pair new names with sent jobs that nobody asks for any more and whose request is the same, in their order."""
    free: defaultdict[int, list[int]] = defaultdict(list)
    for place, job in _those(jobs, unasked):
        if job.attempt > 0:
            free[_asked(job.request_hash)].append(place)
    renamed = []
    for number, spec in enumerate(specs):
        if places[number] < 0 and (same := free.get(_asked(spec.request_hash))):
            places[number] = same.pop(0)
            unasked[places[number]] = False
            renamed.append(number)
    return renamed


def _before(new: Mapping[str, int], jobs: Iterable[Seen], unasked: bytearray) -> dict[int, int]:
    """Return what was asked for last under each new name: what was sent goes before what was not."""
    found, sent = dict[int, int](), set[int]()
    for place, job in _those(jobs, unasked):
        number = new.get(job.name)
        if number is not None and (job.attempt > 0 or number not in sent):
            found[number] = place
            if job.attempt > 0:
                sent.add(number)
    return found


def _takes(entries: set[str], jobs: Iterable[Seen]) -> dict[str, int]:
    """Return what was first sent of each of these entries."""
    found: dict[str, int] = {}
    for place, job in enumerate(jobs) if entries else ():
        if job.attempt > 0 and entry(job.name) in entries:
            found.setdefault(entry(job.name), place)
    return found

"""Power cuts: what was not synced is gone, in every way that the model of a disk (``platter``) knows.

A log of what was done to a folder, a recording or a trace, is replayed on the model. After each operation the model
tells what a power cut could leave there, and a witness holds every such state against what was promised until then.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from disk.operations import Operation, Synced
from disk.platter import Disk, Signature, State, signature


class Witness(Protocol):
    """Knows what was promised, and looks at what is left."""

    def heed(self, operation: Operation) -> bool:
        """Hear what happens; return whether it changes what is promised."""
        ...

    def broken(self, state: State) -> Iterator[str]:
        """Yield each promise that this state breaks."""
        ...


@dataclass
class Findings:
    """How many states were looked at, and what was broken in them: by which operation, and how."""

    states: int = 0
    broken: list[tuple[int, str]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.broken)


def cut_everywhere(
    log: Sequence[Operation],
    disk: Disk,
    witness: Witness,
    *,
    without: Collection[int] = (),
    after: int = -1,
    until: Operation | None = None,
    first: bool = False,
) -> Findings:
    """Cut the power behind every operation of the log that comes ``after`` this one, in every way.

    ``without``: as if these operations had not been made. ``until``: stop at the next such operation. ``first``: stop
    at the first thing that is broken.
    """
    findings, seen = Findings(), set[Signature]()
    for number, operation in enumerate(log):
        if number in without:
            continue
        if witness.heed(operation):
            seen.clear()
        disk.apply(operation)
        if number <= after:
            continue
        for state in disk.states():
            mark = signature(state)
            if mark in seen:
                continue
            seen.add(mark)
            findings.states += 1
            findings.broken += [(number, said) for said in witness.broken(state)]
            if first and findings:
                return findings
        if operation == until:
            break
    return findings


def syncs(log: Sequence[Operation]) -> list[int]:
    """Return where in the log something is synced."""
    return [number for number, operation in enumerate(log) if isinstance(operation, Synced)]


def needed_syncs(
    log: Sequence[Operation], again: Callable[[], tuple[Disk, Witness]]
) -> tuple[Mapping[int, str], list[int]]:
    """Take the syncs out of the log, one by one; return what breaks without each, and those that are not missed.

    What is not missed stays out while the next one is tried: so of two that make each other superfluous one is
    needed, and without all of those that are not missed nothing breaks. ``again`` gives a disk and a witness as they
    were before the log.
    """
    needed, superfluous = dict[int, str](), list[int]()
    for number in syncs(log):
        without = {*superfluous, number}
        # The next sync of the same thing makes it good; what breaks must break before.
        found = cut_everywhere(log, *again(), without=without, after=number, until=log[number], first=True)
        if found:
            needed[number] = found.broken[0][1]
        else:
            superfluous.append(number)
    return needed, superfluous

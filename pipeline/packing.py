"""Many jobs, of a manifest or of a ledger, packed: as objects they take fifteen times the memory. Pure."""

import marshal
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import astuple, fields
from operator import attrgetter
from typing import Any, Generic, TypeVar, overload

from pipeline.jobs import Failure, FailureKind, Job, Spec, State

T = TypeVar("T")
_BLOCK = 512


class _Blocks(Sequence[T], Generic[T]):
    """Values in their order, to which others can be added. What is asked for is made anew, in its block of a few.

    ``apart`` takes one to pieces that ``marshal`` knows, ``whole`` makes it of them.
    """

    def __init__(self, apart: Callable[[T], Any], whole: Callable[..., T], values: Iterable[T]) -> None:
        self._apart, self._whole = apart, whole
        self._blocks: list[bytes] = []
        self._last: list[T] = []
        self._opened: tuple[int, Sequence[T]] = -1, ()
        for value in values:
            self.append(value)

    def append(self, value: T) -> None:
        self._last.append(value)
        if len(self._last) == _BLOCK:
            self._blocks.append(zlib.compress(marshal.dumps([*map(self._apart, self._last)]), 1))
            self._last = []

    def few(self) -> Sequence[T]:
        """Return them as a list where they are few, else these."""
        return self if self._blocks else self._last

    def __len__(self) -> int:
        return len(self._blocks) * _BLOCK + len(self._last)

    def __iter__(self) -> Iterator[T]:
        for block in self._blocks:
            yield from self._unpacked(block)
        yield from self._last

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        number, place = divmod(range(len(self))[index], _BLOCK)
        if number == len(self._blocks):
            return self._last[place]
        if self._opened[0] != number:
            self._opened = number, self._unpacked(self._blocks[number])
        return self._opened[1][place]

    def _unpacked(self, block: bytes) -> list[T]:
        rows: list[tuple[Any, ...]] = marshal.loads(zlib.decompress(block))  # noqa: S302  # our own, of a moment ago
        return [self._whole(*row) for row in rows]


class Packed(_Blocks[Spec]):
    """What a manifest asks for."""

    def __init__(self, specs: Iterable[Spec] = ()) -> None:
        super().__init__(attrgetter(*(field.name for field in fields(Spec))), Spec, specs)


class PackedJobs(_Blocks[Job]):
    """Jobs of a ledger."""

    def __init__(self, jobs: Iterable[Job] = ()) -> None:
        super().__init__(_job_apart, _job, jobs)


_JOB_FIELDS = tuple(field.name for field in fields(Job) if field.name not in {"state", "failure"})
_values = attrgetter(*_JOB_FIELDS)


def _job_apart(job: Job) -> tuple[Any, ...]:
    failure = job.failure and (job.failure.kind.value, *astuple(job.failure)[1:])
    return job.state.value, failure, *_values(job)


def _job(state: str, failure: tuple[Any, ...] | None, *values: Any) -> Job:
    told = failure and Failure(FailureKind(failure[0]), *failure[1:])
    return Job(**dict(zip(_JOB_FIELDS, values, strict=True)), state=State(state), failure=told or None)

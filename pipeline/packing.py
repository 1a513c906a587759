"""Many jobs of a manifest, packed: as objects they take fifteen times the memory. Pure."""

import marshal
import zlib
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Any, overload

from pipeline.jobs import Spec

_BLOCK = 512
_FIELDS = attrgetter("name", "take", "request", "output", "origin", "tags", "metadata", "enabled")


class Packed(Sequence[Spec]):
    """Specs in their order, to which others can be added. What is asked for is made anew, in its block of a few."""

    def __init__(self, specs: Iterable[Spec] = ()) -> None:
        self._blocks: list[bytes] = []
        self._last: list[Spec] = []
        self._opened: tuple[int, Sequence[Spec]] = -1, ()
        for spec in specs:
            self.append(spec)

    def append(self, spec: Spec) -> None:
        self._last.append(spec)
        if len(self._last) == _BLOCK:
            self._blocks.append(zlib.compress(marshal.dumps([_FIELDS(spec) for spec in self._last]), 1))
            self._last = []

    def few(self) -> Sequence[Spec]:
        """Return the specs as a list where they are few, else these."""
        return self if self._blocks else self._last

    def __len__(self) -> int:
        return len(self._blocks) * _BLOCK + len(self._last)

    def __iter__(self) -> Iterator[Spec]:
        for block in self._blocks:
            yield from _unpacked(block)
        yield from self._last

    @overload
    def __getitem__(self, index: int) -> Spec: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Spec]: ...
    def __getitem__(self, index: int | slice) -> Spec | Sequence[Spec]:
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        number, place = divmod(range(len(self))[index], _BLOCK)
        if number == len(self._blocks):
            return self._last[place]
        if self._opened[0] != number:
            self._opened = number, _unpacked(self._blocks[number])
        return self._opened[1][place]


def _unpacked(block: bytes) -> list[Spec]:
    rows: list[tuple[Any, ...]] = marshal.loads(zlib.decompress(block))  # noqa: S302  # our own, of a moment ago
    return [Spec(*row) for row in rows]

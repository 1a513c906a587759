"""The boxes of an MP4 file: where each begins and ends, and the numbers in them. Pure: reads the file it is handed.

Hostile files: boxes never overlap, so the work is at most linear in the file's size; the constants bound the rest.
"""

import struct
import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, NamedTuple

MAX_BOXES = 30_000
MAX_TABLE = 1 << 22
"""Bytes of one table, which are read at once: a million samples."""


class StructureError(Exception):
    """What the file says of itself cannot be. The reason is for people, and printable."""


class Box(NamedTuple):
    """A box, by where its payload lies in the file."""

    kind: bytes
    start: int
    end: int

    def __str__(self) -> str:
        return f"{name(self.kind)} at byte {self.start}"


Boxes = Mapping[bytes, Sequence[Box]]

_HEAD = struct.Struct(">I4s")
U32 = struct.Struct(">I")
_U64 = struct.Struct(">Q")


@dataclass(frozen=True, slots=True)
class Source:
    """The file, and how many boxes it may still have."""

    file: BinaryIO
    size: int
    tickets: Iterator[int] = field(default_factory=lambda: iter(range(MAX_BOXES)))

    def read(self, start: int, length: int) -> bytes:
        self.file.seek(start)
        data = self.file.read(length)
        if len(data) != length:
            raise StructureError("it became shorter while it was read")
        return data

    def unpack(self, box: Box, layout: struct.Struct, offset: int = 0) -> tuple[Any, ...]:
        if box.start + offset + layout.size > box.end:
            raise StructureError(f"{box} is too short")
        return layout.unpack(self.read(box.start + offset, layout.size))

    def versioned(self, box: Box, layouts: Sequence[struct.Struct]) -> tuple[Any, ...]:
        """Return the fields of a box whose layout depends on its first byte."""
        version = self.unpack(box, U32)[0] >> 24
        if version >= len(layouts):
            raise StructureError(f"{box} has the unknown version {version}")
        return self.unpack(box, layouts[version])

    def table(self, box: Box, offset: int, count: int, code: str = "I") -> "array[int]":
        """Return count big-endian numbers as wide as ``array`` makes those of this code."""
        numbers = array(code)
        length = count * numbers.itemsize
        if box.start + offset + length > box.end:
            raise StructureError(f"{box} announces more entries than it has room for")
        if length > MAX_TABLE:
            raise StructureError(f"{box} has {count} entries, more than any clip needs")
        numbers.frombytes(self.read(box.start + offset, length))
        if sys.byteorder == "little":
            numbers.byteswap()
        return numbers

    def children(self, parent: Box) -> Boxes:
        """Return the boxes directly inside by kind. Together they fill their parent exactly."""
        found: dict[bytes, list[Box]] = {}
        start = parent.start
        while start < parent.end:
            if next(self.tickets, None) is None:
                raise StructureError(f"it has more than {MAX_BOXES} boxes")
            box = self._box(start, parent.end)
            found.setdefault(box.kind, []).append(box)
            start = box.end
        return found

    def _box(self, start: int, end: int) -> Box:
        room, header = end - start, 8
        if room < 8:
            raise StructureError(f"it was cut, or has {room} stray bytes at byte {start}")
        size, kind = _HEAD.unpack(self.read(start, 8))
        if size == 1 and room >= 16:
            size, header = _U64.unpack(self.read(start + 8, 8))[0], 16
        elif size == 0:
            size = self.size - start
        box = Box(kind, start + header, start + size)
        if size < header:
            raise StructureError(f"{box} has the impossible size {size}")
        if box.end > end:
            raise StructureError(f"it was cut: {box} ends at byte {box.end}, the bytes at {end}")
        return box


def one(boxes: Boxes, *kinds: bytes) -> Box:
    found = [box for kind in kinds for box in boxes.get(kind, ())]
    if len(found) != 1:
        names = " or ".join(map(name, kinds))
        raise StructureError(f"it has {len(found) or 'no'} {names} where one belongs")
    return found[0]


def name(kind: bytes) -> str:
    return ascii(kind.decode("latin-1"))

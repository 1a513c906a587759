"""What downloaded bytes are: a whole MP4 and what it shows, or why not. Pure: reads the file it is handed.

A cut download, or an error page, can arrive with status 200 and the right length, so the bytes are asked.
Flipped bits inside the picture data cannot be seen here.

Fragmented files (``mvex``, ``moof``) are accepted. They last as long as their samples: ``mvhd`` may say 0.
One cut exactly between two fragments is whole by its structure: an index (``sidx``), a total (``mehd``) or its
duration in ``differences`` may tell.

Hostile files: only boxes on a fixed path are entered, so depth is bounded; boxes never overlap, so the work
is at most linear in the file's size; the constants bound the rest.
"""

import re
import struct
import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import SEEK_END
from typing import Any, BinaryIO

MAX_BOXES = 30_000
MAX_TABLE = 1 << 22
"""Bytes of one table, which are read at once: a million samples."""
MAX_QUOTE = 200


@dataclass(frozen=True, slots=True)
class Mp4:
    """A whole file. Pixels as shown, after the first video track's rotation; duration in seconds."""

    width: int
    height: int
    duration: float
    audio: bool = False
    fragmented: bool = False


@dataclass(frozen=True, slots=True)
class NotMp4:
    """Not a whole MP4. The reason is for people, and printable."""

    reason: str


def inspect(file: BinaryIO) -> Mp4 | NotMp4:
    """Return what the file holds, or why it is not a whole MP4. Raises only what reading raises."""
    source = _Source(file, file.seek(0, SEEK_END))
    try:
        head = source.read(0, min(source.size, 1024))
        return _movie(source) if head[4:8] == b"ftyp" else NotMp4(_something_else(head))
    except _StructureError as error:
        return NotMp4(str(error))


def differences(found: Mp4, *, size: str, seconds: str) -> tuple[str, ...]:
    """Return a sentence for each thing that is not as asked for. A word such as ``auto`` asks for nothing."""
    sentences = []
    shown = f"{found.width}x{found.height}"
    if re.fullmatch(r"[0-9]{1,9}x[0-9]{1,9}", size) and size != shown:
        sentences.append(f"the video is {shown}, {size} was asked for")
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", seconds) and _far(found.duration, float(seconds)):
        sentences.append(f"the video is {found.duration:.2f} s long, {seconds} s were asked for")
    return tuple(sentences)


def _far(found: float, asked: float) -> bool:
    return abs(found - asked) > max(0.75, asked / 10)


class _StructureError(Exception):
    """Carries a reason to ``inspect``; never leaves this module."""


@dataclass(frozen=True, slots=True)
class _Box:
    """A box, by where its payload lies in the file."""

    kind: bytes
    start: int
    end: int

    def __str__(self) -> str:
        return f"{_name(self.kind)} at byte {self.start}"


_Boxes = Mapping[bytes, Sequence[_Box]]

_HEAD = struct.Struct(">I4s")
_U32 = struct.Struct(">I")
_U64 = struct.Struct(">Q")
_PAIR = struct.Struct(">II")
_HDLR = struct.Struct(">8x4s")
_TREX = struct.Struct(">4xI4xII")
# By the version of the box: timescale, duration; track, matrix, width, height; first offset, entries; total.
_TIMES = (struct.Struct(">12xII"), struct.Struct(">20xIQ"))
_TKHD = (struct.Struct(">12xI24x9iII"), struct.Struct(">20xI28x9iII"))
_SIDX = (struct.Struct(">16xI2xH"), struct.Struct(">20xQ2xH"))
_MEHD = (struct.Struct(">4xI"), struct.Struct(">4xQ"))
_WIDTHS = {8: "B", 16: "H"}
_NO_DURATION = {0, (1 << 32) - 1, (1 << 64) - 1}


@dataclass(frozen=True, slots=True)
class _Source:
    """The file, and how many boxes it may still have."""

    file: BinaryIO
    size: int
    tickets: Iterator[int] = field(default_factory=lambda: iter(range(MAX_BOXES)))

    def read(self, start: int, length: int) -> bytes:
        self.file.seek(start)
        data = self.file.read(length)
        if len(data) != length:
            raise _StructureError("it became shorter while it was read")
        return data

    def unpack(self, box: _Box, layout: struct.Struct, offset: int = 0) -> tuple[Any, ...]:
        if box.start + offset + layout.size > box.end:
            raise _StructureError(f"{box} is too short")
        return layout.unpack(self.read(box.start + offset, layout.size))

    def versioned(self, box: _Box, layouts: Sequence[struct.Struct]) -> tuple[Any, ...]:
        """Return the fields of a box whose layout depends on its first byte."""
        version = self.unpack(box, _U32)[0] >> 24
        if version >= len(layouts):
            raise _StructureError(f"{box} has the unknown version {version}")
        return self.unpack(box, layouts[version])

    def table(self, box: _Box, offset: int, count: int, code: str = "I") -> "array[int]":
        """Return count big-endian numbers as wide as ``array`` makes those of this code."""
        numbers = array(code)
        length = count * numbers.itemsize
        if box.start + offset + length > box.end:
            raise _StructureError(f"{box} announces more entries than it has room for")
        if length > MAX_TABLE:
            raise _StructureError(f"{box} has {count} entries, more than any clip needs")
        numbers.frombytes(self.read(box.start + offset, length))
        if sys.byteorder == "little":
            numbers.byteswap()
        return numbers

    def children(self, parent: _Box) -> _Boxes:
        """Return the boxes directly inside by kind. Together they fill their parent exactly."""
        found: dict[bytes, list[_Box]] = {}
        start = parent.start
        while start < parent.end:
            if next(self.tickets, None) is None:
                raise _StructureError(f"it has more than {MAX_BOXES} boxes")
            box = self._box(start, parent.end)
            found.setdefault(box.kind, []).append(box)
            start = box.end
        return found

    def _box(self, start: int, end: int) -> _Box:
        head = self.read(start, min(16, end - start))
        if len(head) < 8:
            raise _StructureError(f"it was cut, or has {len(head)} stray bytes at byte {start}")
        size, kind = _HEAD.unpack_from(head)
        header = 8
        if size == 1 and len(head) == 16:
            size, header = _U64.unpack_from(head, 8)[0], 16
        elif size == 0:
            size = self.size - start
        box = _Box(kind, start + header, start + size)
        if size < header:
            raise _StructureError(f"{box} has the impossible size {size}")
        if box.end > end:
            raise _StructureError(f"it was cut: {box} ends at byte {box.end}, the bytes at {end}")
        return box


def _one(boxes: _Boxes, *kinds: bytes) -> _Box:
    found = [box for kind in kinds for box in boxes.get(kind, ())]
    if len(found) != 1:
        names = " or ".join(map(_name, kinds))
        raise _StructureError(f"it has {len(found) or 'no'} {names} where one belongs")
    return found[0]


@dataclass(frozen=True, slots=True)
class _Samples:
    """Samples of one track: how long they last, and how many bytes they are."""

    track: int
    ticks: int
    need: int


@dataclass(frozen=True, slots=True)
class _Track:
    """``reach`` is where its farthest chunk begins."""

    handler: bytes
    width: int
    height: int
    timescale: int
    reach: int
    samples: _Samples


def _movie(source: _Source) -> Mp4:
    top = source.children(_Box(b"file", 0, source.size))
    moov = source.children(_one(top, b"moov"))
    tracks = [_track(source, trak) for trak in moov.get(b"trak", ())]
    video = next((track for track in tracks if track.handler == b"vide"), None)
    if video is None:
        raise _StructureError("it has no video track")
    samples = [track.samples for track in tracks] + _fragments(source, top, moov)
    _check_bytes(source, top, tracks, samples)
    duration = sum(some.ticks for some in samples if some.track == video.samples.track) / video.timescale
    timescale, total = _times(source, _one(moov, b"mvhd"))
    if b"mvex" in moov:
        _check_promises(source, top, moov, duration, timescale)
    elif total not in _NO_DURATION:
        duration = total / timescale
    audio = any(track.handler == b"soun" for track in tracks)
    return Mp4(video.width, video.height, duration, audio, b"mvex" in moov)


def _track(source: _Source, trak: _Box) -> _Track:
    inside = source.children(trak)
    media = source.children(_one(inside, b"mdia"))
    table = source.children(_one(source.children(_one(media, b"minf")), b"stbl"))
    number, *matrix, width, height = source.versioned(_one(inside, b"tkhd"), _TKHD)
    if matrix[1] and not matrix[0]:  # a quarter turn
        width, height = height, width
    (handler,) = source.unpack(_one(media, b"hdlr"), _HDLR)
    timescale, _ = _times(source, _one(media, b"mdhd"))
    ticks, need = _ticks(source, _one(table, b"stts")), _need(source, _one(table, b"stsz", b"stz2"))
    reach = _reach(source, _one(table, b"stco", b"co64"))
    return _Track(handler, width >> 16, height >> 16, timescale, reach, _Samples(number, ticks, need))


def _times(source: _Source, box: _Box) -> tuple[int, int]:
    timescale, duration = source.versioned(box, _TIMES)
    if timescale == 0:
        raise _StructureError(f"{box} has the timescale 0")
    return timescale, duration


def _ticks(source: _Source, stts: _Box) -> int:
    (entries,) = source.unpack(stts, _U32, 4)
    table = source.table(stts, 8, 2 * entries)
    return sum(count * delta for count, delta in zip(table[::2], table[1::2], strict=True))


def _need(source: _Source, sizes: _Box) -> int:
    size, count = source.unpack(sizes, _PAIR, 4)
    if sizes.kind == b"stsz":
        return size * count if size else sum(source.table(sizes, 12, count))
    bits = size & 0xFF
    if bits == 4:
        return sum((pair >> 4) + (pair & 15) for pair in source.table(sizes, 12, (count + 1) // 2, "B"))
    if bits not in _WIDTHS:
        raise _StructureError(f"{sizes} has entries of {bits} bits")
    return sum(source.table(sizes, 12, count, _WIDTHS[bits]))


def _reach(source: _Source, chunks: _Box) -> int:
    (count,) = source.unpack(chunks, _U32, 4)
    return max(source.table(chunks, 8, count, "I" if chunks.kind == b"stco" else "Q"), default=0)


def _fragments(source: _Source, top: _Boxes, moov: _Boxes) -> list[_Samples]:
    defaults = {}
    for mvex in moov.get(b"mvex", ()):
        for trex in source.children(mvex).get(b"trex", ()):
            track, ticks, need = source.unpack(trex, _TREX)
            defaults[track] = ticks, need
    return [
        _fragment(source, traf, defaults)
        for moof in top.get(b"moof", ())
        for traf in source.children(moof).get(b"traf", ())
    ]


def _fragment(source: _Source, traf: _Box, defaults: Mapping[int, tuple[int, int]]) -> _Samples:
    inside = source.children(traf)
    tfhd = _one(inside, b"tfhd")
    flags, track = source.unpack(tfhd, _PAIR)
    ticks, need = defaults.get(track, (0, 0))
    place = 8 + 8 * bool(flags & 1) + 4 * bool(flags & 2)
    if flags & 8:
        (ticks,) = source.unpack(tfhd, _U32, place)
        place += 4
    if flags & 16:
        (need,) = source.unpack(tfhd, _U32, place)
    runs = [_run(source, trun, ticks, need) for trun in inside.get(b"trun", ())]
    return _Samples(track, sum(run[0] for run in runs), sum(run[1] for run in runs))


def _run(source: _Source, trun: _Box, ticks: int, need: int) -> tuple[int, int]:
    """Return duration and bytes of the run's samples, of which each has the columns that the flags name."""
    flags, count = source.unpack(trun, _PAIR)
    columns = [bit for bit in (0x100, 0x200, 0x400, 0x800) if flags & bit]
    table = source.table(trun, 8 + 4 * bool(flags & 1) + 4 * bool(flags & 4), count * len(columns))
    total = {bit: sum(table[place :: len(columns)]) for place, bit in enumerate(columns[:2])}
    return total.get(0x100, count * ticks), total.get(0x200, count * need)


def _check_bytes(source: _Source, top: _Boxes, tracks: Sequence[_Track], samples: Sequence[_Samples]) -> None:
    """Refuse a file whose tables speak of more bytes than it has."""
    there = sum(mdat.end - mdat.start for mdat in top.get(b"mdat", ()))
    need = sum(some.need for some in samples)
    if need > there:
        raise _StructureError(f"it was cut: its samples are {need} bytes, its 'mdat' holds {there}")
    if not need:
        raise _StructureError("it holds no samples")
    reach = max(track.reach for track in tracks)
    if reach >= source.size:
        raise _StructureError(f"it was cut: a chunk begins at byte {reach} of {source.size}")


def _check_promises(source: _Source, top: _Boxes, moov: _Boxes, duration: float, timescale: int) -> None:
    """Refuse a fragmented file that is shorter than its index or its header says."""
    for sidx in top.get(b"sidx", ()):
        offset, count = source.versioned(sidx, _SIDX)
        first = 24 if source.unpack(sidx, _U32)[0] >> 24 == 0 else 32
        end = sidx.end + offset + sum(size & 0x7FFFFFFF for size in source.table(sidx, first, 3 * count)[::3])
        if end > source.size:
            raise _StructureError(f"it was cut: its index reaches to byte {end}, the file has {source.size}")
    for mehd in source.children(_one(moov, b"mvex")).get(b"mehd", ()):
        total = source.versioned(mehd, _MEHD)[0] / timescale
        if total > duration and _far(duration, total):
            raise _StructureError(f"it was cut: it announces {total:.2f} s and holds {duration:.2f} s")


_TEXTS = {b"{": "JSON", b"[": "JSON", b"<": "HTML or XML"}


def _something_else(head: bytes) -> str:
    if not head:
        return "it is empty"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    language = _TEXTS.get(text[:1])
    if language is None:
        return f"it begins with {head[:12]!r}, not as an MP4"
    printable = "".join(c if c.isprintable() else " " for c in text.decode("utf-8", "replace"))
    return f"it is {language}: {' '.join(printable.split())[:MAX_QUOTE]}"


def _name(kind: bytes) -> str:
    return ascii(kind.decode("latin-1"))

"""What downloaded bytes are: a whole MP4 and what it shows, or why not. Pure: reads the file it is handed.

A cut download, or an error page, can arrive with status 200 and the right length, so the bytes are asked.
Flipped bits inside the picture data cannot be seen here.

Fragmented files (``mvex``, ``moof``) are accepted. They last as long as their samples: ``mvhd`` may say 0.
One cut exactly between two fragments is whole by its structure: an index (``sidx``), a total (``mehd``) or its
duration in ``differences`` may tell.

Hostile files: only boxes on a fixed path are entered, so depth is bounded; ``boxes`` bounds the rest.
"""

import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import SEEK_END
from typing import BinaryIO

from pipeline.boxes import U32, Box, Boxes, Source, StructureError, one

MAX_QUOTE = 200


@dataclass(frozen=True, slots=True)
class Mp4:
    """A whole file. Pixels as shown, after the first video track's rotation; duration in seconds.

    ``fps`` is the mean of the first video track, ``codec`` its name as FFmpeg has it, or the sample entry's own.
    """

    width: int
    height: int
    duration: float
    audio: bool = False
    fragmented: bool = False
    frames: int = 0
    fps: float = 0.0
    codec: str = ""


@dataclass(frozen=True, slots=True)
class NotMp4:
    """Not a whole MP4. The reason is for people, and printable."""

    reason: str


def inspect(file: BinaryIO) -> Mp4 | NotMp4:
    """Return what the file holds, or why it is not a whole MP4. Raises only what reading raises."""
    source = Source(file, file.seek(0, SEEK_END))
    try:
        head = source.read(0, min(source.size, 1024))
        return _movie(source) if head[4:8] == b"ftyp" else NotMp4(_something_else(head))
    except StructureError as error:
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


_PAIR = struct.Struct(">II")
_HDLR = struct.Struct(">8x4s")
_ENTRY = struct.Struct(">12x4s")
_TREX = struct.Struct(">4xI4xII")
# By the version of the box: timescale, duration; track, matrix, width, height; first offset, entries; total.
_TIMES = (struct.Struct(">12xII"), struct.Struct(">20xIQ"))
_TKHD = (struct.Struct(">12xI24x9iII"), struct.Struct(">20xI28x9iII"))
_SIDX = (struct.Struct(">16xI2xH"), struct.Struct(">20xQ2xH"))
_MEHD = (struct.Struct(">4xI"), struct.Struct(">4xQ"))
_WIDTHS = {8: "B", 16: "H"}
#: ISO/IEC 14496-15 and the registry of sample entries. The same stream may go by two of them.
_CODECS = {
    b"avc1": "h264",
    b"avc3": "h264",
    b"hvc1": "hevc",
    b"hev1": "hevc",
    b"av01": "av1",
    b"vp08": "vp8",
    b"vp09": "vp9",
    b"mp4v": "mpeg4",
}
_NO_DURATION = {0, (1 << 32) - 1, (1 << 64) - 1}


@dataclass(frozen=True, slots=True)
class _Samples:
    """Samples of one track: how many, how long they last, and how many bytes they are."""

    track: int
    count: int
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
    codec: str
    samples: _Samples


def _movie(source: Source) -> Mp4:
    top = source.children(Box(b"file", 0, source.size))
    moov = source.children(one(top, b"moov"))
    tracks = [_track(source, trak) for trak in moov.get(b"trak", ())]
    video = next((track for track in tracks if track.handler == b"vide"), None)
    if video is None:
        raise StructureError("it has no video track")
    fragments = _fragments(source, top, moov)
    _check_bytes(source, top, tracks, [track.samples for track in tracks] + fragments)
    shown = [video.samples, *(some for some in fragments if some.track == video.samples.track)]
    frames, ticks = sum(some.count for some in shown), sum(some.ticks for some in shown)
    duration, fps = ticks / video.timescale, frames * video.timescale / ticks if ticks else 0.0
    timescale, total = _times(source, one(moov, b"mvhd"))
    if b"mvex" in moov:
        _check_promises(source, top, moov, duration, timescale)
    elif total not in _NO_DURATION:
        duration = total / timescale
    audio = any(track.handler == b"soun" for track in tracks)
    return Mp4(video.width, video.height, duration, audio, b"mvex" in moov, frames, fps, video.codec)


def _track(source: Source, trak: Box) -> _Track:
    inside = source.children(trak)
    media = source.children(one(inside, b"mdia"))
    table = source.children(one(source.children(one(media, b"minf")), b"stbl"))
    number, *matrix, width, height = source.versioned(one(inside, b"tkhd"), _TKHD)
    if matrix[1] and not matrix[0]:  # a quarter turn
        width, height = height, width
    (handler,) = source.unpack(one(media, b"hdlr"), _HDLR)
    timescale, _ = _times(source, one(media, b"mdhd"))
    (count, ticks), need = _ticks(source, one(table, b"stts")), _need(source, one(table, b"stsz", b"stz2"))
    reach, codec = _reach(source, one(table, b"stco", b"co64")), _codec(source, table)
    samples = _Samples(number, count, ticks, need)
    return _Track(handler, width >> 16, height >> 16, timescale, reach, codec, samples)


def _codec(source: Source, table: Boxes) -> str:
    """Return the first sample entry's codec; nothing where the track names none that can be printed."""
    for entries in table.get(b"stsd", ())[:1]:
        if entries.end - entries.start >= 16:
            (kind,) = source.unpack(entries, _ENTRY)
            word = kind.decode("latin-1").strip()
            return _CODECS.get(kind) or (word if word.isascii() and word.isprintable() else "")
    return ""


def _times(source: Source, box: Box) -> tuple[int, int]:
    timescale, duration = source.versioned(box, _TIMES)
    if timescale == 0:
        raise StructureError(f"{box} has the timescale 0")
    return timescale, duration


def _ticks(source: Source, stts: Box) -> tuple[int, int]:
    """Return how many samples there are, and how long they last."""
    (entries,) = source.unpack(stts, U32, 4)
    table = source.table(stts, 8, 2 * entries)
    return sum(table[::2]), sum(count * delta for count, delta in zip(table[::2], table[1::2], strict=True))


def _need(source: Source, sizes: Box) -> int:
    size, count = source.unpack(sizes, _PAIR, 4)
    if sizes.kind == b"stsz":
        return size * count if size else sum(source.table(sizes, 12, count))
    bits = size & 0xFF
    if bits == 4:
        return sum((pair >> 4) + (pair & 15) for pair in source.table(sizes, 12, (count + 1) // 2, "B"))
    if bits not in _WIDTHS:
        raise StructureError(f"{sizes} has entries of {bits} bits")
    return sum(source.table(sizes, 12, count, _WIDTHS[bits]))


def _reach(source: Source, chunks: Box) -> int:
    (count,) = source.unpack(chunks, U32, 4)
    return max(source.table(chunks, 8, count, "I" if chunks.kind == b"stco" else "Q"), default=0)


def _fragments(source: Source, top: Boxes, moov: Boxes) -> list[_Samples]:
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


def _fragment(source: Source, traf: Box, defaults: Mapping[int, tuple[int, int]]) -> _Samples:
    inside = source.children(traf)
    tfhd = one(inside, b"tfhd")
    flags, track = source.unpack(tfhd, _PAIR)
    ticks, need = defaults.get(track, (0, 0))
    place = 8 + 8 * bool(flags & 1) + 4 * bool(flags & 2)
    if flags & 8:
        (ticks,) = source.unpack(tfhd, U32, place)
        place += 4
    if flags & 16:
        (need,) = source.unpack(tfhd, U32, place)
    runs = [_run(source, trun, ticks, need) for trun in inside.get(b"trun", ())]
    return _Samples(track, *(sum(run[place] for run in runs) for place in range(3)))


def _run(source: Source, trun: Box, ticks: int, need: int) -> tuple[int, int, int]:
    """Return number, duration and bytes of the run's samples, of which each has the columns that the flags name."""
    flags, count = source.unpack(trun, _PAIR)
    columns = [bit for bit in (0x100, 0x200, 0x400, 0x800) if flags & bit]
    table = source.table(trun, 8 + 4 * bool(flags & 1) + 4 * bool(flags & 4), count * len(columns))
    total = {bit: sum(table[place :: len(columns)]) for place, bit in enumerate(columns[:2])}
    return count, total.get(0x100, count * ticks), total.get(0x200, count * need)


def _check_bytes(source: Source, top: Boxes, tracks: Sequence[_Track], samples: Sequence[_Samples]) -> None:
    """Refuse a file whose tables speak of more bytes than it has."""
    there = sum(mdat.end - mdat.start for mdat in top.get(b"mdat", ()))
    need = sum(some.need for some in samples)
    if need > there:
        raise StructureError(f"it was cut: its samples are {need} bytes, its 'mdat' holds {there}")
    if not need:
        raise StructureError("it holds no samples")
    reach = max(track.reach for track in tracks)
    if reach >= source.size:
        raise StructureError(f"it was cut: a chunk begins at byte {reach} of {source.size}")


def _check_promises(source: Source, top: Boxes, moov: Boxes, duration: float, timescale: int) -> None:
    """Refuse a fragmented file that is shorter than its index or its header says."""
    for sidx in top.get(b"sidx", ()):
        offset, count = source.versioned(sidx, _SIDX)
        first = 24 if source.unpack(sidx, U32)[0] >> 24 == 0 else 32
        end = sidx.end + offset + sum(size & 0x7FFFFFFF for size in source.table(sidx, first, 3 * count)[::3])
        if end > source.size:
            raise StructureError(f"it was cut: its index reaches to byte {end}, the file has {source.size}")
    for mehd in source.children(one(moov, b"mvex")).get(b"mehd", ()):
        total = source.versioned(mehd, _MEHD)[0] / timescale
        if total > duration and _far(duration, total):
            raise StructureError(f"it was cut: it announces {total:.2f} s and holds {duration:.2f} s")


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

"""Bytes are a whole MP4 or they are not: real files, cut files, other things, and files made to hurt."""

import struct
import time
import tracemalloc
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from io import BytesIO
from pathlib import Path
from random import Random

import pytest

from pipeline.boxes import MAX_BOXES, MAX_TABLE
from pipeline.mp4 import MAX_QUOTE, Mp4, NotMp4, differences, inspect

UPRIGHT = (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
TURNED = (0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
UPSIDE_DOWN = (-1 << 16, 0, 0, 0, -1 << 16, 0, 0, 0, 1 << 30)
WHOLE = Mp4(1280, 720, 4.0, frames=4, fps=1.0)


def box(kind: str, *parts: bytes) -> bytes:
    payload = b"".join(parts)
    return struct.pack(">I4s", 8 + len(payload), kind.encode()) + payload


def wide(kind: str, payload: bytes) -> bytes:
    """A box whose size takes 64 bits."""
    return struct.pack(">I4sQ", 1, kind.encode(), 16 + len(payload)) + payload


def words(*values: int) -> bytes:
    return struct.pack(f">{len(values)}I", *(value & 0xFFFFFFFF for value in values))


def times(duration: int, *, timescale: int = 1000, version: int = 0) -> bytes:
    return words(version << 24, *[0] * (2 + 2 * version)) + struct.pack(
        ">IQ" if version else ">II", timescale, duration
    )


def tkhd(matrix: tuple[int, ...] = UPRIGHT, version: int = 0) -> bytes:
    before = words(version << 24, *[0] * (2 + 2 * version), 1, *[0] * (6 + version))
    return box("tkhd", before, words(*matrix, 1280 << 16, 720 << 16))


FTYP = box("ftyp", b"isom", words(512), b"isommp42")
MDAT = box("mdat", bytes(range(100)))
SIZES = box("stsz", words(0, 0, 4, 10, 20, 30, 40))
OFFSETS = box("stco", words(0, 1, 32))
STTS = box("stts", words(0, 1, 4, 1000))
MVHD = box("mvhd", times(4000))


def trak(*tables: bytes, handler: bytes = b"vide", head: bytes = b"") -> bytes:
    media = box("mdhd", times(0)) + box("hdlr", words(0, 0), handler, bytes(13))
    return box(
        "trak",
        head or tkhd(),
        box("mdia", media, box("minf", box("stbl", *(tables or (STTS, SIZES, OFFSETS))))),
    )


def moov(*parts: bytes) -> bytes:
    return box("moov", *(parts or (MVHD, trak())))


def file(*parts: bytes) -> bytes:
    """A file whose moov, behind its data, has these parts."""
    return FTYP + MDAT + moov(*parts)


def moof(*samples: int, flags: int = 0x301, duration: int = 1000) -> bytes:
    cells = [cell for sample in samples for cell in (duration, sample)]
    run = box("trun", words(flags, len(samples), 0, *cells))
    return box("moof", box("mfhd", words(0, 1)), box("traf", box("tfhd", words(0, 1)), run))


NO_SAMPLES = trak(box("stts", words(0, 0)), box("stsz", words(0, 0, 0)), box("stco", words(0, 0)))
TREX = box("trex", words(0, 1, 1, 500, 25, 0))


def fragmented(*fragments: bytes, mvex: bytes = TREX) -> bytes:
    return FTYP + box("moov", box("mvhd", times(0)), NO_SAMPLES, box("mvex", mvex)) + b"".join(fragments)


def look(data: bytes) -> Mp4 | NotMp4:
    return inspect(BytesIO(data))


def reason(data: bytes) -> str:
    found = look(data)
    assert isinstance(found, NotMp4), found
    assert found.reason.isprintable()
    assert len(found.reason) < MAX_QUOTE + 100
    return found.reason


def accepted_cuts(data: bytes) -> list[int]:
    return [end for end in range(len(data)) if isinstance(look(data[:end]), Mp4)]


# ---------------------------------------------------------------- real files


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., bytes]:
    """A real one-second film of 320x180, made by FFmpeg with these muxer flags."""
    pytest.importorskip("av", reason="PyAV, of the simulator extra, makes the real files")
    folder = tmp_path_factory.mktemp("films")

    @cache
    def make(movflags: str = "", *, sound: bool = False) -> bytes:
        path = folder / "film.mp4"
        shoot(path, {"movflags": movflags} if movflags else {}, sound=sound)
        return path.read_bytes()

    return make


def shoot(path: Path, options: dict[str, str], *, sound: bool) -> None:
    import av  # noqa: PLC0415  absent without the simulator extra

    with av.open(str(path), "w", options=options) as container:
        pictures = container.add_stream("libx264", rate=24, options={"preset": "ultrafast"})
        pictures.width, pictures.height, pictures.pix_fmt = 320, 180, "yuv420p"
        voice = container.add_stream("aac", rate=24_000) if sound else None
        for number in range(24):
            picture = av.VideoFrame(320, 180, "yuv420p")
            for plane in picture.planes:
                plane.update(bytes([number * 5]) * plane.buffer_size)
            container.mux(pictures.encode(picture))
            if voice is not None:
                silence = av.AudioFrame("fltp", "mono", 1000)
                silence.sample_rate = 24_000
                silence.planes[0].update(bytes(silence.planes[0].buffer_size))
                container.mux(voice.encode(silence))
        container.mux(pictures.encode(None))
        if voice is not None:
            container.mux(voice.encode(None))


FRAGMENTED = "frag_keyframe+empty_moov"


@pytest.mark.parametrize("movflags", ["", "faststart", FRAGMENTED, "frag_keyframe", "dash", "frag_every_frame"])
def test_a_real_file_is_whole(film: Callable[..., bytes], movflags: str) -> None:
    found = look(film(movflags))
    fragments = "frag" in movflags or movflags == "dash"
    assert found == Mp4(320, 180, 1.0, fragmented=fragments, frames=24, fps=24.0, codec="h264")
    assert isinstance(found, Mp4)
    assert differences(found, size="320x180", seconds="1") == ()


def test_the_sound_of_a_real_file_is_seen(film: Callable[..., bytes]) -> None:
    found = look(film(sound=True))
    assert isinstance(found, Mp4)
    assert found.audio
    assert found.duration == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("movflags", ["", "faststart"], ids=["moov last", "moov first"])
@pytest.mark.parametrize("sound", [False, True], ids=["silent", "sound"])
def test_a_real_file_cut_anywhere_is_refused(film: Callable[..., bytes], movflags: str, sound: bool) -> None:
    data = film(movflags, sound=sound)
    assert isinstance(look(data), Mp4)
    assert accepted_cuts(data) == []


def test_a_real_fragmented_file_may_only_lose_the_index_at_its_end(film: Callable[..., bytes]) -> None:
    data = film(FRAGMENTED)
    assert accepted_cuts(data) == [data.rindex(b"mfra") - 4]


def test_flipped_bytes_never_raise(film: Callable[..., bytes]) -> None:
    rng = Random(20261122)
    seeds = [film(), film("faststart", sound=True), film("dash"), FTYP + moov() + MDAT]
    for _ in range(20_000):
        data = bytearray(rng.choice(seeds))
        header = data.find(b"moov") if rng.random() < 0.8 else 0
        for _ in range(rng.choice((1, 1, 2, 8, 64))):
            data[rng.randrange(header, len(data))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        found = look(bytes(data))
        match found:
            case Mp4():
                assert found.width >= 0
                assert found.duration >= 0
                differences(found, size="1280x720", seconds="4")
            case NotMp4():
                assert found.reason.isprintable()


# ---------------------------------------------------------------- whole, as the standard allows it


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(FTYP + moov() + MDAT, WHOLE, id="moov first"),
        pytest.param(file(), WHOLE, id="moov last"),
        pytest.param(FTYP + wide("mdat", bytes(100)) + moov(), WHOLE, id="64-bit box size"),
        pytest.param(FTYP + moov() + words(0) + b"mdat" + bytes(100), WHOLE, id="mdat to the end"),
        pytest.param(FTYP + MDAT + box("free") + box("uuid", bytes(32)) + moov(), WHOLE, id="other boxes"),
        pytest.param(FTYP + box("mdat", bytes(60)) * 2 + moov(), WHOLE, id="two mdat"),
        pytest.param(
            file(box("mvhd", times(1 << 33, timescale=1 << 31, version=1)), trak(head=tkhd(version=1))),
            WHOLE,
            id="version 1 headers",
        ),
        pytest.param(file(MVHD, trak(head=tkhd(TURNED))), replace(WHOLE, width=720, height=1280), id="turned"),
        pytest.param(file(MVHD, trak(head=tkhd(UPSIDE_DOWN))), WHOLE, id="upside down"),
        pytest.param(
            file(MVHD, trak(handler=b"soun"), trak(STTS, box("stsz", words(0, 0, 0)), OFFSETS)),
            replace(WHOLE, audio=True),
            id="sound first",
        ),
        pytest.param(file(MVHD, trak(STTS, box("stsz", words(0, 25, 4)), OFFSETS)), WHOLE, id="equal sizes"),
        pytest.param(
            file(MVHD, trak(STTS, box("stz2", words(0, 8, 2), b"\x20\x40"), box("co64", words(0, 1, 0, 32)))),
            WHOLE,
            id="stz2 and co64",
        ),
        pytest.param(
            file(MVHD, trak(STTS, box("stz2", words(0, 4, 3), b"\xff\xf0"), OFFSETS)), WHOLE, id="stz2 nibbles"
        ),
        pytest.param(file(box("mvhd", times(0)), trak()), WHOLE, id="duration from the samples"),
        pytest.param(file(box("mvhd", times(-1 & 0xFFFFFFFF)), trak()), WHOLE, id="duration unknown"),
    ],
)
def test_whole(data: bytes, expected: Mp4) -> None:
    assert look(data) == expected


@pytest.mark.parametrize("tail", [MDAT, words(0) + b"mdat" + bytes(100)], ids=["mdat", "mdat to the end"])
def test_a_built_file_cut_anywhere_is_refused(tail: bytes) -> None:
    data = FTYP + moov() + tail
    assert isinstance(look(data), Mp4)
    assert accepted_cuts(data) == []


# ---------------------------------------------------------------- fragments

RUN = moof(10, 20) + box("mdat", bytes(30))


@pytest.mark.parametrize(
    ("fragments", "seconds", "frames"),
    [
        pytest.param((RUN, RUN), 4.0, 4, id="own durations and sizes"),
        pytest.param((moof(flags=0x1) + box("mdat", bytes(30)), RUN), 2.0, 2, id="an empty run"),
        pytest.param(
            (box("moof", box("traf", box("tfhd", words(0, 1)), box("trun", words(0, 4)))), MDAT), 2.0, 4, id="trex"
        ),
        pytest.param(
            (box("moof", box("traf", box("tfhd", words(0x1B, 1, 0, 0, 1, 750, 20)), box("trun", words(0, 4)))), MDAT),
            3.0,
            4,
            id="tfhd",
        ),
    ],
)
def test_a_fragmented_file_lasts_as_long_as_its_samples(
    fragments: tuple[bytes, ...], seconds: float, frames: int
) -> None:
    found = look(fragmented(*fragments))
    assert found == Mp4(1280, 720, seconds, fragmented=True, frames=frames, fps=frames / seconds)


def entry(kind: bytes) -> bytes:
    return box("stsd", words(0, 1), words(16), kind, bytes(8))


@pytest.mark.parametrize(
    ("stsd", "codec"),
    [
        pytest.param(entry(b"avc1"), "h264", id="h264"),
        pytest.param(entry(b"hev1"), "hevc", id="hevc"),
        pytest.param(entry(b"av01"), "av1", id="av1"),
        pytest.param(entry(b"ap4h"), "ap4h", id="a name that we do not know"),
        pytest.param(entry(b"\x1b[2J"), "", id="no name"),
        pytest.param(box("stsd", words(0, 0)), "", id="no entry"),
        pytest.param(box("stsd"), "", id="no number of entries"),
        pytest.param(b"", "", id="no stsd"),
    ],
)
def test_a_codec_is_named_where_the_file_names_it(stsd: bytes, codec: str) -> None:
    assert look(file(MVHD, trak(stsd, STTS, SIZES, OFFSETS))) == replace(WHOLE, codec=codec)


def test_a_fragmented_file_cut_between_fragments_is_told_by_its_duration() -> None:
    data = fragmented(RUN, RUN)
    assert accepted_cuts(data) == [len(data) - len(RUN)]
    found = look(data[: -len(RUN)])
    assert isinstance(found, Mp4)
    assert differences(found, size="1280x720", seconds="4") == ("the video is 2.00 s long, 4 s were asked for",)


@pytest.mark.parametrize("version", [0, 1])
def test_a_total_tells_of_a_lost_fragment(version: int) -> None:
    mehd = box("mehd", words(version << 24), struct.pack(">Q" if version else ">I", 4000))
    assert isinstance(look(fragmented(RUN, RUN, mvex=TREX + mehd)), Mp4)
    assert "announces 4.00 s and holds 2.00 s" in reason(fragmented(RUN, mvex=TREX + mehd))


@pytest.mark.parametrize("version", [0, 1])
def test_an_index_tells_of_a_lost_fragment(version: int) -> None:
    head = words(version << 24, 1, 1000, *[0] * (2 + 2 * version), 2)
    sidx = box("sidx", head, words(len(RUN), 2000, 0) * 2)
    assert isinstance(look(fragmented(sidx, RUN, RUN)), Mp4)
    assert "its index reaches to byte" in reason(fragmented(sidx, RUN))


# ---------------------------------------------------------------- not an MP4


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b"", "it is empty", id="empty"),
        pytest.param(b"\x00", "it begins with b'\\x00', not as an MP4", id="one byte"),
        pytest.param(b'{"error": {"message": "expired"}}', 'it is JSON: {"error": {"message": "expired"}}', id="JSON"),
        pytest.param(b"\xef\xbb\xbf\r\n [1]", "it is JSON: [1]", id="JSON behind a mark and spaces"),
        pytest.param(b"<!doctype html>\n<h1>502", "it is HTML or XML: <!doctype html> <h1>502", id="HTML"),
        pytest.param(b'{"\x1b[2J\xe2\x80\xae\xff"}', 'it is JSON: {" [2J \ufffd"}', id="JSON for a terminal"),
        pytest.param(b"\x1aE\xdf\xa3" + bytes(99), "it begins with b'\\x1aE\\xdf\\xa3\\x00", id="WebM"),
        pytest.param(MDAT + FTYP + moov(), "not as an MP4", id="ftyp is not first"),
        pytest.param(FTYP + MDAT, "no 'moov' where one belongs", id="no moov"),
        pytest.param(file() + moov(), "2 'moov' where one belongs", id="two moov"),
        pytest.param(FTYP + moov(), "it was cut: its samples are 100 bytes, its 'mdat' holds 0", id="no mdat"),
        pytest.param(FTYP + moov() + box("mdat", bytes(99)), "100 bytes, its 'mdat' holds 99", id="mdat too small"),
        pytest.param(file() + bytes(3), "3 stray bytes", id="stray bytes"),
        pytest.param(file(MVHD), "no video track", id="no track"),
        pytest.param(file(MVHD, trak(handler=b"soun")), "no video track", id="only sound"),
        pytest.param(file(MVHD, NO_SAMPLES), "it holds no samples", id="no samples"),
        pytest.param(file(trak()), "no 'mvhd'", id="no mvhd"),
        pytest.param(
            file(MVHD, trak(STTS, SIZES, box("stco", words(0, 1, 9999)))), "chunk begins at byte 9999", id="chunk"
        ),
        pytest.param(file(MVHD, trak(STTS, SIZES, SIZES, OFFSETS)), "2 'stsz' or 'stz2'", id="two tables"),
        pytest.param(file(MVHD, trak(STTS, box("stz2", words(0, 7, 1)), OFFSETS)), "entries of 7 bits", id="stz2"),
        pytest.param(file(box("mvhd", times(1, timescale=0)), trak()), "timescale 0", id="timescale 0"),
        pytest.param(file(box("mvhd", words(2 << 24, *[0] * 9)), trak()), "unknown version 2", id="version"),
        pytest.param(file(box("mvhd"), trak()), "is too short", id="short header"),
        pytest.param(FTYP + words(4) + b"mdat", "impossible size 4", id="size below its header"),
        pytest.param(FTYP + words(1) + b"mdat" + words(0, 15), "impossible size 15", id="wide size below its header"),
        pytest.param(FTYP + words(1) + b"mdat", "impossible size 1", id="wide size cut"),
        pytest.param(FTYP + words(1) + b"mdat" + words(-1, -1), "it was cut: 'mdat'", id="size 2**64-1"),
        pytest.param(FTYP + words(99) + b"\x1b[2J", "it was cut: '\\x1b[2J'", id="kind for a terminal"),
        pytest.param(FTYP + box("moov", words(99) + b"trak") + MDAT, "it was cut: 'trak'", id="child too long"),
        pytest.param(FTYP + box("moov", words(0) + b"trak") + MDAT, "it was cut: 'trak'", id="child to the end"),
    ],
)
def test_refused_with_a_reason(data: bytes, expected: str) -> None:
    assert expected in reason(data)


def test_a_long_body_is_quoted_in_part() -> None:
    assert len(reason(b"<" + b"p" * 100_000)) <= len("it is HTML or XML: ") + MAX_QUOTE


# ---------------------------------------------------------------- files made to hurt

ENDLESS_RUN = box("moof", box("traf", box("tfhd", words(0, 1)), box("trun", words(0xF00, -1))))
HOSTILE: Mapping[str, bytes] = {
    "a table of 2**32 entries": moov(MVHD, trak(STTS, box("stsz", words(0, 0, -1)), OFFSETS)),
    "a run of 2**32 entries": ENDLESS_RUN + moov(),
    "2**32 samples of 2**32 bytes": moov(MVHD, trak(STTS, box("stsz", words(0, -1, -1)), OFFSETS)),
    "a table that is there": moov(MVHD, trak(STTS, box("stsz", words(0, 0, 1 << 22), bytes(4 * MAX_TABLE)), OFFSETS)),
    "boxes without end": box("free") * (MAX_BOXES + 1),
    "boxes without end, inside": moov(MVHD, box("free") * MAX_BOXES),
    "tracks without end": moov(MVHD, trak() * (MAX_BOXES // 9)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_cost_little(name: str) -> None:
    file = BytesIO(FTYP + MDAT + HOSTILE[name])
    tracemalloc.start()
    began = time.process_time()
    try:
        assert isinstance(inspect(file), NotMp4)
        assert time.process_time() - began < 2
        assert tracemalloc.get_traced_memory()[1] < 24 << 20
    finally:
        tracemalloc.stop()


def test_depth_costs_nothing() -> None:
    nested = b""
    for _ in range(3000):
        nested = box("moov", nested)
    assert "no video track" in reason(FTYP + MDAT + nested)


def test_a_file_that_shrinks_is_a_value() -> None:
    class Shrinking(BytesIO):
        def seek(self, place: int, whence: int = 0) -> int:
            if whence == 0 and place > 40:
                self.truncate(40)
            return super().seek(place, whence)

    assert inspect(Shrinking(file())) == NotMp4("it became shorter while it was read")


# ---------------------------------------------------------------- what was asked for


@pytest.mark.parametrize(
    ("size", "seconds", "expected"),
    [
        ("1280x720", "4", ()),
        ("1280x720", "4.75", ()),
        ("1280x720", "3.25", ()),
        ("1280x720", "3.2", ("the video is 4.00 s long, 3.2 s were asked for",)),
        ("720x1280", "4", ("the video is 1280x720, 720x1280 was asked for",)),
        (
            "1792x1024",
            "8",
            ("the video is 1280x720, 1792x1024 was asked for", "the video is 4.00 s long, 8 s were asked for"),
        ),
        ("auto", "auto", ()),
        ("720p", "", ()),
        ("1280x720\n", "nan", ()),
    ],
)
def test_differences(size: str, seconds: str, expected: tuple[str, ...]) -> None:
    assert differences(WHOLE, size=size, seconds=seconds) == expected


def test_a_tenth_of_a_long_video_is_no_difference() -> None:
    assert differences(Mp4(1280, 720, 10.9), size="1280x720", seconds="12") == ()
    assert differences(Mp4(1280, 720, 10.7), size="1280x720", seconds="12") != ()

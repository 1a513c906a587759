"""What an image is, is told by its bytes; what is none is refused before anything is sent, whatever it calls itself."""

import base64
import hashlib
import io
import struct
import zlib
from random import Random

import pytest

from pipeline import shipped
from pipeline.images import MAX_BYTES, Image, examine, from_data_url
from pipeline.jobs import Spec
from pipeline.validation import findings

pillow = pytest.importorskip("PIL.Image", reason="Pillow is an extra: callsheet[simulator]")


def encoded(kind: str, mode: str = "RGB", **options: object) -> bytes:
    """A small picture that no encoder can make much smaller, of 31x17 pixels."""
    size = (31, 17)
    noise = Random(7).randbytes(size[0] * size[1] * len(mode))
    file = io.BytesIO()
    pillow.frombytes(mode, size, noise).save(file, kind, **options)
    return file.getvalue()


PNG, JPEG, WEBP = encoded("PNG"), encoded("JPEG", quality=90), encoded("WEBP", quality=90)
WHOLE = {
    "PNG": (PNG, "image/png"),
    "grey PNG": (encoded("PNG", "L"), "image/png"),
    "JPEG": (JPEG, "image/jpeg"),
    "progressive JPEG": (encoded("JPEG", progressive=True), "image/jpeg"),
    "JPEG with EXIF": (encoded("JPEG", exif=b"Exif\0\0" + bytes(3000)), "image/jpeg"),
    "WebP": (WEBP, "image/webp"),
    "lossless WebP": (encoded("WEBP", lossless=True), "image/webp"),
    "WebP with alpha": (encoded("WEBP", "RGBA"), "image/webp"),
}
each_whole = pytest.mark.parametrize(("data", "media_type"), WHOLE.values(), ids=WHOLE)


def chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def png(width: int, height: int) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def why_not(data: bytes) -> str:
    found = examine(data)
    assert isinstance(found, str)
    return found


@each_whole
def test_an_image_is_its_bytes_with_its_type_and_its_size(data: bytes, media_type: str) -> None:
    sha256 = hashlib.sha256(data).hexdigest()
    found = examine(data)
    assert found == Image(data, len(data), media_type, 31, 17, sha256)
    assert isinstance(found, Image)
    assert found.reference == {"sha256": sha256, "media_type": media_type, "bytes": len(data)}
    assert len(repr(found)) < 200, "no bytes in what is printed"


@each_whole
def test_an_image_that_was_cut_off_anywhere_is_none(data: bytes, media_type: str) -> None:
    for length in range(len(data) - 1):
        assert why_not(data[:length])
    assert "cut off" in why_not(data[: len(data) // 2])
    assert "cut off" in why_not(data[:-1]) or data[-1] == 0, "a WebP may end with a byte that only fills up"


@each_whole
def test_what_a_camera_writes_after_an_image_does_not_matter(data: bytes, media_type: str) -> None:
    found = examine(data + PNG + JPEG)
    assert isinstance(found, Image)
    assert (found.media_type, found.width, found.height) == (media_type, 31, 17)


def test_a_flipped_bit_in_a_png_is_found() -> None:
    for position in range(8, len(PNG)):
        assert why_not(PNG[:position] + bytes([PNG[position] ^ 1]) + PNG[position + 1 :])


@pytest.mark.parametrize(
    "data",
    [
        b"GIF89a" + PNG,
        b"%PDF-1.7\n" + JPEG,
        b"\n" + PNG,
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"RIFF",
        b"\xff",
    ],
)
def test_only_the_first_bytes_say_what_it_is(data: bytes) -> None:
    assert why_not(data) == "it is neither PNG nor JPEG nor WebP"


def test_nothing_is_no_image() -> None:
    assert why_not(b"") == "it is empty"


@pytest.mark.parametrize("head", [b"", PNG[:8], PNG[:33], JPEG[:3], JPEG[:20], WEBP[:12], WEBP[:20], WEBP[:30]])
def test_chance_is_no_image_and_nothing_breaks(head: bytes) -> None:
    rng = Random(11)
    for _ in range(2000):
        assert why_not(head + rng.randbytes(rng.randrange(100)))


@pytest.mark.parametrize("whole", [JPEG, WEBP, PNG], ids=["JPEG", "WebP", "PNG"])
def test_damage_anywhere_breaks_nothing(whole: bytes) -> None:
    rng = Random(13)
    for _ in range(2000):
        data = bytearray(whole)
        for _ in range(rng.randrange(1, 8)):
            data[rng.randrange(len(data))] = rng.choice([0, 1, 0x7F, 0x80, 0xFE, 0xFF])
        found = examine(bytes(data))
        assert isinstance(found, str) or (0 < found.width <= 65_535 and 0 < found.height <= 65_535)


@pytest.mark.parametrize(("width", "height"), [(0, 17), (31, 0), (65_536, 1), (1, 2**32 - 1)])
def test_a_size_that_no_picture_has_is_refused(width: int, height: int) -> None:
    assert f"{width}x{height}" in why_not(png(width, height))
    assert isinstance(examine(png(65_535, 1)), Image)


def test_the_bits_of_a_webp_that_scale_it_are_not_its_size() -> None:
    at = WEBP.index(b"\x9d\x01\x2a") + 4
    found = examine(WEBP[:at] + bytes([WEBP[at] | 0xC0]) + WEBP[at + 1 :])
    assert isinstance(found, Image)
    assert (found.width, found.height) == (31, 17)


@pytest.mark.parametrize("filler", [b"\xff", b"\xff\xd0", b"\xff\xe0\0\2", b"\xff\xe0\0\1", b"\xff\xe0\xff\xff"])
def test_long_rows_of_nothing_come_to_an_end(filler: bytes) -> None:
    assert why_not(b"\xff\xd8" + filler * ((1 << 20) // len(filler)))


LOSSLESS = WHOLE["lossless WebP"][0]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (PNG[:8] + chunk(b"tEXt", bytes(16)) + PNG[8:], "PNG, and is damaged"),
        (WEBP[:23] + b"\0" + WEBP[24:], "WebP, and is damaged"),
        (LOSSLESS[:20] + b"\0" + LOSSLESS[21:], "WebP, and is damaged"),
        (WEBP[:12] + b"ICCP" + WEBP[16:], "WebP, and is damaged"),
        (WEBP[:16] + struct.pack("<I", len(WEBP)) + WEBP[20:], "WebP, and ends too early"),
        (JPEG[:2] + JPEG[-2:] + JPEG[2:], "JPEG, and is damaged"),
        (JPEG[:2] + JPEG[JPEG.index(b"\xff\xda") :], "JPEG, and is damaged"),
        (JPEG[:2] + JPEG[2:].replace(b"\xff\xc4", b"\0\xc4"), "JPEG, and is damaged"),
    ],
)
def test_what_begins_well_and_goes_on_badly_is_damaged(data: bytes, told: str) -> None:
    assert told in why_not(data)


def data_url(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def test_a_png_without_a_picture_is_none() -> None:
    empty = PNG[:33] + chunk(b"IEND", b"")
    assert "no picture" in why_not(empty)


def test_twenty_mebibytes_are_an_image_and_one_byte_more_is_none() -> None:
    data = PNG + bytes(MAX_BYTES - len(PNG))
    assert isinstance(examine(data), Image)
    assert why_not(data + b"\0") == "it is larger than 20 MiB"
    assert isinstance(from_data_url(data_url(data)), Image)
    assert from_data_url(data_url(data + b"\0")) == "it is larger than 20 MiB"
    assert from_data_url(f"data:image/png;base64,{'!' * (MAX_BYTES * 2)}") == "it is larger than 20 MiB"


@each_whole
def test_a_data_url_is_the_same_image_as_the_file(data: bytes, media_type: str) -> None:
    assert from_data_url(f"data:{media_type};base64,{base64.b64encode(data).decode()}") == examine(data)


def test_a_data_url_that_says_another_type_than_it_is_is_refused() -> None:
    assert from_data_url(data_url(JPEG)) == "it says image/png, and is image/jpeg"


TEXT = base64.b64encode(PNG).decode()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"data:image/gif;base64,{TEXT}", "TYPE"),
        (f"data:image/png,{TEXT}", "TYPE"),
        (f"data:image/png;charset=utf-8;base64,{TEXT}", "TYPE"),
        (f"data:;base64,{TEXT}", "TYPE"),
        (f"DATA:image/png;base64,{TEXT}", "TYPE"),
        (f" data:image/png;base64,{TEXT}", "TYPE"),
        (TEXT, "TYPE"),
        (f"data:image/png;base64, {TEXT}", "not base64"),
        (f"data:image/png;base64,{TEXT}\n", "not base64"),
        (f"data:image/png;base64,{TEXT[:40]}\n{TEXT[40:]}", "not base64"),
        (f"data:image/png;base64,{TEXT}=", "not base64"),
        (f"data:image/png;base64,{TEXT}=AAAA", "not base64"),
        (f"data:image/png;base64,{TEXT[:-1]}", "not base64"),
        (f"data:image/png;base64,{TEXT[:40]}-_{TEXT[42:]}", "not base64"),
        (f"data:image/png;base64,{TEXT[:40]}é{TEXT[41:]}", "not base64"),
        (f"data:image/png;base64,{TEXT[:40]}\ud800{TEXT[41:]}", "not base64"),
        ("data:image/png;base64,", "empty"),
        (f"data:image/png;base64,{TEXT[:400]}", "cut off"),
        (f"data:image/png;base64,{base64.b64encode(b'hello').decode()}", "neither PNG"),
    ],
)
def test_a_data_url_has_one_form(text: str, told: str) -> None:
    found = from_data_url(text)
    assert isinstance(found, str)
    assert told in found


def request(reference: object) -> dict[str, object]:
    return {"model": "sora-2", "prompt": "A fox", "input_reference": reference}


@each_whole
def test_what_stands_for_an_image_keeps_to_the_rules_of_a_request(data: bytes, media_type: str) -> None:
    found = examine(data)
    assert isinstance(found, Image)
    assert findings(request(found.reference), shipped.schema("sora-request")) == []


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        (5, "input_reference must be text, not the number 5"),
        ("", "input_reference must have at least 1 character, not 0"),
        ({}, '"sha256" is missing'),
        ({"path": "fox.png"}, 'unknown key "path"'),
        ({"sha256": "../fox", "media_type": "image/png", "bytes": 1}, 'sha256 cannot be "../fox"'),
        ({"sha256": "0" * 64, "media_type": "image/gif", "bytes": 1}, "media_type must be one of"),
        ({"sha256": "0" * 64, "media_type": "image/png", "bytes": MAX_BYTES + 1}, "bytes must be at most 20,971,520"),
    ],
)
def test_a_reference_that_no_request_can_have_is_said_in_words(reference: object, told: str) -> None:
    found = findings(request(reference), shipped.schema("sora-request"))
    assert any(told in finding.message for finding in found), found


def test_the_bytes_tell_jobs_apart_and_their_way_into_the_manifest_does_not() -> None:
    images = [examine(PNG), from_data_url(data_url(PNG)), examine(PNG + b"\0")]
    hashes = [
        Spec("n#1", 1, request(image.reference), "o", "m:1:1").request_hash
        for image in images
        if isinstance(image, Image)
    ]
    assert hashes[0] == hashes[1] != hashes[2]

"""An image that a request refers to: what its bytes are, told by the bytes and not by a name. Pure.

The headers are read here and by no library. imagesize 2.0.1 was tried: it takes the bits of a WebP that say how to
scale it for a part of its width, it is content with a file that was cut off behind its header, which a server would
refuse after the request was sent, and it loads an HTTP client at every start. Nothing is decoded, so a picture that
claims to be huge costs nothing here. What follows an image's end is left as it is: cameras write it.
"""

import binascii
import re
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

MAX_BYTES = 20 << 20
"""Bytes of an image: what OpenAI takes."""

SUFFIXES: Mapping[str, str] = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp"}
"""The file's suffix of each media type that is taken."""


@dataclass(frozen=True, slots=True)
class Image:
    """A whole image. Width and height are those that its header gives, whatever its EXIF says about turning it.

    One that lies in a file has its path, and its data can be let go: a campaign may have thousands.
    """

    data: bytes | None = field(repr=False)
    length: int
    media_type: str
    width: int
    height: int
    sha256: str
    path: Path | None = None

    @property
    def reference(self) -> dict[str, Any]:
        """What stands for the image in a request: it names the bytes and has none, so a ledger stays small."""
        return {"sha256": self.sha256, "media_type": self.media_type, "bytes": self.length}


def examine(data: bytes) -> Image | str:
    """Return the image that the bytes are, or in words why they are none that can be sent."""
    if len(data) > MAX_BYTES:
        return _TOO_LARGE
    media_type = next((kind for kind, (magic, _) in _KINDS.items() if magic.match(data)), None)
    if media_type is None:
        return "it is neither PNG nor JPEG nor WebP" if data else "it is empty"
    try:
        width, height = _KINDS[media_type][1](data)
    except _Flaw as flaw:
        return f"it begins as {_NAMES[media_type]}, and {flaw}"
    except (struct.error, IndexError):
        return f"it begins as {_NAMES[media_type]}, and {_CUT_OFF}"
    if not (0 < width <= _LONGEST_SIDE and 0 < height <= _LONGEST_SIDE):
        return f"it says that it is {width}x{height} pixels large"
    return Image(data, len(data), media_type, width, height, sha256(data).hexdigest())


def from_data_url(text: str) -> Image | str:
    """Return the image in a data URL of the one form that is taken, or in words what is wrong with it."""
    head = _DATA_URL.match(text)
    if head is None:
        return f"it does not begin with data:TYPE;base64, where TYPE is one of {', '.join(SUFFIXES)}"
    if len(text) - head.end() > _LONGEST_BASE64:
        return _TOO_LARGE
    try:
        data = binascii.a2b_base64(text[head.end() :].encode("ascii"), strict_mode=True)
    except ValueError:  # binascii.Error and UnicodeEncodeError are such
        return "it is not base64: only A-Z a-z 0-9 + / and = at the end, without spaces or line breaks"
    image = examine(data)
    if isinstance(image, Image) and image.media_type != head[1]:
        return f"it says {head[1]}, and is {image.media_type}"
    return image


class _Flaw(Exception):
    """Says what is wrong with an image; never leaves this module."""


_LONGEST_SIDE = 65_535
"""Pixels. A JPEG cannot have more, and no API takes as many."""

_LONGEST_BASE64 = (MAX_BYTES + 2) // 3 * 4
_TOO_LARGE = f"it is larger than {MAX_BYTES >> 20} MiB"
_CUT_OFF = "ends too early: it was cut off"
_DAMAGED = "is damaged"
_DATA_URL = re.compile(rf"data:({'|'.join(SUFFIXES)});base64,")


def _png(data: bytes) -> tuple[int, int]:
    """Walk the chunks, each with its length before it and its checksum behind it, to the last one."""
    position, kinds = 8, set[bytes]()
    while b"IEND" not in kinds:
        length, kind = struct.unpack_from(">I4s", data, position)
        (checksum,) = struct.unpack_from(">I", data, position + 8 + length)
        if (not kinds and kind != b"IHDR") or zlib.crc32(data[position + 4 : position + 8 + length]) != checksum:
            raise _Flaw(_DAMAGED)
        kinds.add(kind)
        position += 12 + length
    if b"IDAT" not in kinds:
        raise _Flaw("has no picture in it")
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _jpeg(data: bytes) -> tuple[int, int]:
    """Walk the segments to the picture's data, which ends with a marker of its own."""
    position, size = 2, None
    while marker := _MARKER.match(data, position):
        kind, position = marker[1][0], marker.end()
        if kind in _STANDALONE:
            continue
        (length,) = struct.unpack_from(">H", data, position)
        if kind == _SCAN and size is not None:
            if data.find(_END, position + length) < 0:
                raise _Flaw(_CUT_OFF)
            return size
        if kind in _FRAMES:
            height, width = struct.unpack_from(">HH", data, position + 3)
            size = width, height
        if kind in {_SCAN, _END[1]}:
            raise _Flaw(_DAMAGED)
        position += length
    raise _Flaw(_CUT_OFF if position >= len(data) - 1 else _DAMAGED)


_MARKER = re.compile(rb"\xff+([^\xff\x00])", re.DOTALL)
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_SCAN, _END = 0xDA, b"\xff\xd9"


def _webp(data: bytes) -> tuple[int, int]:
    """Read the first chunk, which has the size in one of three forms; the file's length stands at its beginning."""
    (length,) = struct.unpack_from("<I", data, 4)
    kind, inner = struct.unpack_from("<4sI", data, 12)
    if len(data) < 8 + length or length < 12 + inner:
        raise _Flaw(_CUT_OFF)
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF  # the other two bits of each are a wish to scale it
    if kind == b"VP8L" and data[20] == 0x2F:
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X":
        width, height = (int.from_bytes(struct.unpack_from("3s", data, at)[0], "little") + 1 for at in (24, 27))
        return width, height
    raise _Flaw(_DAMAGED)


_KINDS: Mapping[str, tuple[re.Pattern[bytes], Callable[[bytes], tuple[int, int]]]] = {
    "image/png": (re.compile(rb"\x89PNG\r\n\x1a\n"), _png),
    "image/jpeg": (re.compile(rb"\xff\xd8\xff"), _jpeg),
    "image/webp": (re.compile(rb"RIFF....WEBP", re.DOTALL), _webp),
}
_NAMES = {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WebP"}

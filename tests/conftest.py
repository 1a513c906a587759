"""Fixtures that more than one folder uses."""

import os
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from warm import Warm


def box(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(payload), kind) + payload


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Let a process that has no test left take those of another: tests differ from a millisecond to minutes."""
    from xdist.scheduler import WorkStealingScheduling  # noqa: PLC0415  # asked for by it alone

    return WorkStealingScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes minutes, most of which it waits."""
    items.sort(key=lambda item: item.get_closest_marker("minutes") is None)


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    """What becomes the command in a process of its own, without the second that its imports take."""
    with Warm(os.environ) as warm:
        yield warm


@pytest.fixture(scope="session")
def clip() -> bytes:
    """A whole MP4 of 64x48 pixels and 4 seconds, with a payload that no decoder would like."""
    data = b"not really a picture" * 100
    ftyp = box(b"ftyp", b"isom\0\0\2\0isomiso2mp41")

    def moov(offset: int) -> bytes:
        mvhd = box(b"mvhd", struct.pack(">IIIII", 0, 0, 0, 1000, 4000) + bytes(80))
        matrix = struct.pack(">9I", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
        tkhd = box(
            b"tkhd",
            struct.pack(">IIIIII", 7, 0, 0, 1, 0, 4000) + bytes(16) + matrix + struct.pack(">II", 64 << 16, 48 << 16),
        )
        hdlr = box(b"hdlr", struct.pack(">II4s", 0, 0, b"vide") + bytes(13))
        mdhd = box(b"mdhd", struct.pack(">IIIIII", 0, 0, 0, 1000, 4000, 0))
        tables = [
            box(b"stsd", struct.pack(">II", 0, 0)),
            box(b"stts", struct.pack(">IIII", 0, 1, 1, 4000)),
            box(b"stsc", struct.pack(">IIIII", 0, 1, 1, 1, 1)),
            box(b"stsz", struct.pack(">IIII", 0, 0, 1, len(data))),
            box(b"stco", struct.pack(">III", 0, 1, offset)),
        ]
        mdia = box(b"mdia", mdhd + hdlr + box(b"minf", box(b"stbl", b"".join(tables))))
        return box(b"moov", mvhd + box(b"trak", tkhd + mdia))

    head = ftyp + moov(0)
    return ftyp + moov(len(head) + 8) + box(b"mdat", data)

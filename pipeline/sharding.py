"""How videos are dealt out to tar shards, and how a tar is written so that the same videos give the same bytes. Pure.

A shard is chosen by the hash of the job's name, so a video stays in its shard when others come or go.
"""

import hashlib
import tarfile

MOST = 65_536
"""Shards of a split."""
LONGEST = (1 << 33) - 1
"""Bytes of a member: USTAR has eleven octal digits for them."""
_GOAL = 1 << 30
"""Bytes of a shard, more or less: what is quick to fetch and long enough to read in one go."""
_BLOCK = 512
END = bytes(2 * _BLOCK)


def shards_for(size: int) -> int:
    """Return how many shards a dataset of so many bytes is dealt out to: a power of two, so that twice as many split
    each in two."""
    return min(MOST, 1 << max(0, -(-size // _GOAL) - 1).bit_length())


def shard_of(name: str, shards: int) -> int:
    """Return the number of the shard of the job of this name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") * shards >> 64


def header(member: str, size: int) -> bytes:
    """Return what stands in a tar before a file: of nobody, at no time. Raises ValueError where USTAR cannot say it."""
    about = tarfile.TarInfo(member)
    about.size, about.mode = size, 0o644
    return about.tobuf(tarfile.USTAR_FORMAT, "utf-8", "strict")


def padding(size: int) -> bytes:
    """Return what stands after a file of this length."""
    return bytes(-size % _BLOCK)

"""A download on its way to the disk: hidden beside its final name, hashed as it grows, and sealed when it is whole."""

import hashlib
import os
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

from pipeline import mp4
from pipeline.disk import create, storage_errors, sync_folder, write
from pipeline.evidence import BadFile, Fetched
from pipeline.jobs import Failure, FailureKind, Job

AT_ONCE = 1 << 20
"""Bytes that go to the disk at once, so a short video is written in one go, when it is sealed."""

# glibc gives what is freed back to the system, and each MiB would be 256 page faults, until it has seen a larger block.
bytes(4 * AT_ONCE)

Stamp = tuple[int, ...]


def stamp(found: os.stat_result) -> Stamp:
    """Return what the kernel changes when a file is written to, linked, renamed, or another one in its place."""
    return found.st_dev, found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns


class Seal(NamedTuple):
    """What a part is that is whole and synced."""

    sha256: str
    stamp: Stamp


class Part:
    """A download in progress. Close it.

    ``make`` makes its folder, when there is something to write. Its seal goes into ``sealed``.
    """

    def __init__(self, path: Path, mode: int, make: Callable[[Path], None], sealed: MutableMapping[Path, Seal]) -> None:
        self.path = path
        self.size = 0
        self._mode = mode
        self._make = make
        self._sealed = sealed
        self._hash = hashlib.sha256()
        self._taken: list[bytes] = []
        self._room = AT_ONCE
        self._descriptor: int | None = None

    def write(self, chunk: bytes) -> bool:
        """Take bytes, and tell whether there are so many by now that they should be flushed."""
        self._taken.append(chunk)  # a buffer of our own would be one more copy, and new memory for each MiB
        self.size += len(chunk)
        self._room -= len(chunk)
        return self._room <= 0

    def flush(self) -> int:
        """Write what was taken, and return the file's descriptor."""
        with storage_errors(self.path):
            if self._descriptor is None:
                self._make(self.path.parent)
                self._descriptor = create(self.path, 0o600)
            for chunk in self._taken:
                self._hash.update(chunk)
                write(self._descriptor, chunk)
        self._taken, self._room = [], AT_ONCE
        return self._descriptor

    def seal(self, job: Job) -> Fetched | BadFile:
        """Check that these bytes are a whole video, sync them, and tell what they are. A bad file is removed.

        That the video is not quite what was asked for is a warning: it is paid, and a person may want it.
        """
        descriptor = self.flush()
        with storage_errors(self.path):
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                file.seek(0)
                found = mp4.inspect(file)
            if isinstance(found, mp4.NotMp4):
                self.path.unlink(missing_ok=True)
                return BadFile(Failure(FailureKind.BAD_OUTPUT, f"what came is no whole video: {found.reason}"))
            self.sync()
            sync_folder(self.path.parent)
            sha256 = self._hash.hexdigest()
            self._sealed[self.path] = Seal(sha256, stamp(os.fstat(descriptor)))
        request = job.request
        warnings = mp4.differences(found, size=str(request["size"]), seconds=str(request["seconds"]))
        return Fetched(sha256, self.size, warnings)

    def sync(self) -> None:
        """Have the bytes on disk, with the mode of the finished file."""
        descriptor = self.flush()
        os.fchmod(descriptor, self._mode)
        os.fsync(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
        if error is not None:  # on a full disk others need the room
            with suppress(OSError):
                self.path.unlink(missing_ok=True)

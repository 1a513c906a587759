"""The campaign's ``videos/`` or ``rejected/``, looked at: what lies there, and whether it is still what was written.

Only reads. Paths come from ledgers and sidecars, which others may have written: whatever is opened lies in the folder,
and no link is followed. Everything is streamed, so a hundred thousand videos need no more memory than one.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from io import BufferedReader
from pathlib import Path
from typing import Self

from pipeline import mp4, sidecars
from pipeline.errors import StorageError
from pipeline.jobs import Job

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_PART = ".part"
_OTHER_BYTES = "its bytes are not those that were recorded: another sha256"


class Wrong(StrEnum):
    """How a file can differ from its record. The value is the word in the document."""

    MISSING = "missing"
    CHANGED = "changed"
    DAMAGED = "damaged"
    SIDECAR_MISSING = "sidecar missing"
    SIDECAR_DIFFERENT = "sidecar different"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is not as recorded. ``path`` is the file's, relative to the campaign."""

    job: str
    path: str
    wrong: Wrong
    message: str


@dataclass(frozen=True, slots=True)
class Clip:
    """A video that is as recorded, opened: close its file. ``path`` is where it was found, ``found`` what it is."""

    path: Path
    file: BufferedReader
    found: mp4.Mp4


class Custody:
    """The videos in one folder of a campaign, for reading. Use as a context manager; without the folder it is empty."""

    def __init__(self, campaign: Path, name: str = sidecars.FOLDER) -> None:
        self._name = name
        self._folder = campaign / name
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        try:
            self._descriptor = os.open(self._folder, _FOLDER)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise StorageError(f"{self._folder}: {error.strerror}") from error
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)

    def files(self) -> Iterator[str]:
        """Yield the path of every file, relative to the campaign, but for downloads in progress."""
        if self._descriptor is None:
            return
        for folder, _, names, _ in os.fwalk(".", dir_fd=self._descriptor, onerror=self._unreadable):
            for name in names:
                if not (name.startswith(".") and name.endswith(_PART)):
                    yield os.path.normpath(f"{self._name}/{folder}/{name}")

    def faults(self, job: Job) -> Iterator[Fault]:
        """Yield how the files of a job that is done differ from what the ledger says of them."""
        path = job.path or ""
        video = self.clip(job)
        if isinstance(video, Fault):
            yield video
        else:
            video.file.close()
        wrong, message = self._sidecar_fault(job, path)
        if wrong is not None:
            yield Fault(job.name, sidecar_path(path), wrong, message)

    def clip(self, job: Job, *, quick: bool = False) -> Clip | Fault:
        """Return the video of a job that is done, or what is wrong with it. ``quick``: its bytes are not hashed."""
        path = job.path or ""
        try:
            file = self._open(path)
        except OSError as error:
            return Fault(job.name, path, *_unopened(error, Wrong.MISSING))
        try:
            found = _as_recorded(file, job, quick=quick)
        except OSError as error:
            found = _unopened(error, Wrong.MISSING)
        except BaseException:
            file.close()
            raise
        if isinstance(found, mp4.Mp4):
            return Clip(self._folder.parent / path, file, found)
        file.close()
        return Fault(job.name, path, *found)

    def different(self, path: str, sha256: str, length: int | None = None) -> tuple[Wrong, str] | None:
        """Return how a file differs from these bytes; None where it does not."""
        try:
            found, size = self.digest(path)
        except OSError as error:
            return _unopened(error, Wrong.MISSING)
        if length is not None and size != length:
            return Wrong.CHANGED, f"it has {size:,} bytes, {length:,} were recorded"
        return None if found == sha256 else (Wrong.CHANGED, _OTHER_BYTES)

    def digest(self, path: str) -> tuple[str, int]:
        """Return the sha256 and the length of a regular file. Raises OSError."""
        with self._open(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest(), file.tell()

    def content(self, path: str) -> tuple[bytes, float]:
        """Return the bytes of a sidecar, and when it was written, in seconds since the epoch. Raises OSError."""
        with self._open(path) as file:
            return file.read(sidecars.MAX_BYTES + 1), os.fstat(file.fileno()).st_mtime

    def opened(self, path: str) -> BufferedReader:
        """Open a video to read it. Raises OSError for what is not there, or is no regular file."""
        return self._open(path)

    def _sidecar_fault(self, job: Job, path: str) -> tuple[Wrong | None, str]:
        try:
            data, _ = self.content(sidecar_path(path))
        except OSError as error:
            return _unopened(error, Wrong.SIDECAR_MISSING)
        different = sidecars.differences(data, job, path)
        return (Wrong.SIDECAR_DIFFERENT, different) if different else (None, "")

    def _open(self, path: str) -> BufferedReader:
        """Open a regular file below the folder, going down one folder at a time and following no link."""
        first, *folders, name = path.split("/") if path.count("/") else ("", path)
        if self._descriptor is None or first != self._name or {"", ".", ".."} & {*folders, name}:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        here = os.dup(self._descriptor)
        try:
            for folder in folders:
                below = os.open(folder, _FOLDER | os.O_NOFOLLOW, dir_fd=here)
                os.close(here)
                here = below
            descriptor = os.open(name, _READ, dir_fd=here)
        except ValueError:  # a NUL in the name
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from None
        finally:
            os.close(here)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(errno.ELOOP, "it is no regular file")
        return os.fdopen(descriptor, "rb")

    def _unreadable(self, error: OSError) -> None:
        raise StorageError(f"{self._folder}: {error.filename}: {error.strerror}") from error


def _as_recorded(file: BufferedReader, job: Job, *, quick: bool) -> mp4.Mp4 | tuple[Wrong, str]:
    size = os.fstat(file.fileno()).st_size
    if size != job.bytes:
        return Wrong.CHANGED, f"it has {size:,} bytes, {job.bytes:,} were recorded"
    if not quick and hashlib.file_digest(file, "sha256").hexdigest() != job.sha256:
        return Wrong.CHANGED, "its bytes are not those that were recorded: another sha256"
    found = mp4.inspect(file)
    return (Wrong.DAMAGED, f"it is no whole video: {found.reason}") if isinstance(found, mp4.NotMp4) else found


def sidecar_path(path: str) -> str:
    """Return where the sidecar of the video at ``path`` lies."""
    return f"{path.removesuffix('.mp4')}.json"


def _unopened(error: OSError, missing: Wrong) -> tuple[Wrong, str]:
    """Tell a file that is not there from one that the disk does not give."""
    if error.errno in {errno.ENOENT, errno.ENOTDIR}:
        return missing, "it is not there"
    if error.errno == errno.ELOOP:
        return missing, "it is no regular file"
    return Wrong.DAMAGED, f"it cannot be read: {error.strerror}"

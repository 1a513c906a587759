"""A folder that is made beside the place where it belongs, and put there at once when it is whole.

Whoever looks sees the old folder or the new one, each whole, whatever dies in between. What a process that died
leaves is removed by the next one.
"""

import ctypes
import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pipeline.custody import Clip
from pipeline.disk import storage_errors, sync_folder
from pipeline.errors import StorageError, UsageError

SUMS = "SHA256SUMS"
_NO_LINKS = frozenset({errno.EXDEV, errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS})
_CHUNK = 1 << 20
_EXCHANGE = 2
"""RENAME_EXCHANGE: renameat2(2)."""
_HERE = -100
"""AT_FDCWD: paths are as they are."""


def exchanged(one: Path, other: Path) -> bool:
    """Let two folders change their places at one instant; False where the system cannot."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False  # not Linux, or an old library
    if rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}:
        return False
    raise OSError(number, os.strerror(number), str(one))


@dataclass
class Stage:
    """A folder in the making. One that is not ``fit`` in the end is not put anywhere."""

    folder: Path
    fit: bool = True


@contextmanager
def staged(target: Path, exchange: Callable[[Path, Path], bool] = exchanged) -> Iterator[Stage]:
    """Give an empty folder, which is in the target's place when the block has ended without an error.

    What was in that place is removed then; before, it is left as it is. ``target`` is absolute, and no link.
    Raises UsageError where another process does the same, StorageError where the disk refuses.
    """
    new, old, lock = (target.with_name(f".{target.name}.callsheet-{word}") for word in ("new", "old", "lock"))
    with storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone(lock):
            if os.path.lexists(old) and not os.path.lexists(target):  # somebody died between two renames
                old.rename(target)
            for left in (new, old):
                _remove(left)
            new.mkdir()
            stage = Stage(new)
            try:
                yield stage
                if stage.fit:
                    for folder, _, _ in os.walk(new):
                        sync_folder(Path(folder))
                    _put(new, target, old, exchange)
                    sync_folder(target.parent)
            finally:
                _remove(new)  # the old folder, where the two were exchanged


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Be the only one who holds a lock, whose file is there only meanwhile."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        if not _held(descriptor, lock):
            raise UsageError(f"another export writes here ({lock}): let it end first")
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _held(descriptor: int, lock: Path) -> bool:
    """Take the lock. One whose file has gone, at the end of who had it, would keep nobody out."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(descriptor), lock.lstat())
    except (BlockingIOError, FileNotFoundError):
        return False


def _put(new: Path, target: Path, old: Path, exchange: Callable[[Path, Path], bool]) -> None:
    if not os.path.lexists(target) or not any(target.iterdir()):
        new.rename(target)  # over an empty folder too
    elif not exchange(new, target):
        target.rename(old)
        new.rename(target)
        _remove(old)


def _remove(folder: Path) -> None:
    """Remove a folder of ours with all that is in it, as far as the disk lets us: the next one looks again."""
    shutil.rmtree(folder, ignore_errors=True)


class Growing:
    """A file that is written from its beginning to its end, and hashed on its way. Holds no descriptor."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.hash = hashlib.sha256()
        self._waiting = bytearray()
        path.open("xb").close()

    def write(self, data: bytes) -> None:
        self._waiting += data
        if len(self._waiting) >= _CHUNK:
            self.flush()

    def copy(self, file: BinaryIO, size: int) -> None:
        """Write what another file of this length holds. Raises StorageError where it became shorter."""
        file.seek(0)
        while size:
            chunk = file.read(min(size, _CHUNK))
            if not chunk:
                raise StorageError(f"{self.path}: what is copied there became shorter meanwhile")
            self.write(chunk)
            size -= len(chunk)

    def flush(self, *, sync: bool = False) -> None:
        data = bytes(self._waiting)
        with self.path.open("ab") as file:
            file.write(data)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        self.hash.update(data)
        self.size += len(data)
        self._waiting.clear()


class Tree:
    """A folder of files that are all in its ``SHA256SUMS``, in the order in which they were finished."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.linked = self.copied = 0
        self._sums = Growing(folder / SUMS)

    def new(self, path: str) -> Growing:
        """Return a new file. ``path`` is relative to the folder; so it is in all of these."""
        place = self.folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        return Growing(place)

    def finish(self, file: Growing) -> None:
        """Have the file on disk, and note its hash."""
        file.flush(sync=True)
        self._note(file.path.relative_to(self.folder).as_posix(), file.hash.hexdigest())

    def text(self, path: str, text: str) -> str:
        """Write a small file, and return its hash."""
        file = self.new(path)
        file.write(text.encode())
        self.finish(file)
        return file.hash.hexdigest()

    def adopt(self, path: str) -> None:
        """Take up a file that something else has written into the folder."""
        with (self.folder / path).open("rb") as file:
            os.fsync(file.fileno())
            self._note(path, hashlib.file_digest(file, "sha256").hexdigest())

    def place(self, path: str, clip: Clip, sha256: str) -> bool:
        """Give a video a place here: by a hard link, or else by a copy. False for a copy that has another hash."""
        place = self.folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if _link(clip, place):
            self.linked += 1
        else:
            copy = Growing(place)
            copy.copy(clip.file, os.fstat(clip.file.fileno()).st_size)
            copy.flush(sync=True)
            if copy.hash.hexdigest() != sha256:
                place.unlink()
                return False
            self.copied += 1
        self._note(path, sha256)
        return True

    def close(self) -> None:
        """Have the sums on disk."""
        self._sums.flush(sync=True)

    def _note(self, path: str, sha256: str) -> None:
        self._sums.write(f"{sha256}  {path}\n".encode())


def _link(clip: Clip, place: Path) -> bool:
    """Give the opened file one more name; False where it can have none."""
    try:
        os.link(clip.path, place, follow_symlinks=False)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return False
    if os.path.samestat(place.lstat(), os.fstat(clip.file.fileno())):
        return True
    place.unlink()  # another file has its name by now
    return False


def sums(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield path and hash of every file that the folder's ``SHA256SUMS`` names."""
    with (folder / SUMS).open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            sha256, _, path = line.rstrip("\n").partition("  ")
            yield path, sha256

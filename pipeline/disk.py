"""What everybody who keeps files does: write whole, have a folder's names on disk, and say where a disk refused."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import StorageError

_NEW = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn OSError into StorageError, which says where."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror or error}") from error


def create(path: Path, mode: int) -> int:
    """Return the descriptor of a new, empty file, in place of what a run that died may have left there."""
    try:
        return os.open(path, os.O_RDWR | _NEW, mode)
    except FileExistsError:
        path.unlink(missing_ok=True)  # left by a run that died
        return os.open(path, os.O_RDWR | _NEW, mode)


def write(descriptor: int, data: bytes) -> None:
    """Write all of it."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_folder(folder: Path) -> None:
    """Have on disk which names the folder holds."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some file systems cannot sync a folder; none of them fails with EIO
            raise
    finally:
        os.close(descriptor)

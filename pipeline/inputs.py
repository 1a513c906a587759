"""The campaign's ``inputs/`` folder: the only module that writes images, and reads them again to send them.

An image is copied here before any job that needs it may be submitted, under the name of its own hash, and read only
from here: whatever happens to the original afterwards, a job is sent with the bytes that its identity names. A copy
that is not what its name says is never sent.
"""

import hashlib
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline.disk import storage_errors, sync_folder
from pipeline.errors import StorageError
from pipeline.images import MAX_BYTES, SUFFIXES, Image

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Inputs:
    """The images of one campaign. ``campaign`` is its folder, which is there."""

    def __init__(self, campaign: Path) -> None:
        self._folder = campaign / "inputs"

    def stage(self, image: Image) -> None:
        """Have the image here, whole and synced. Done again it changes nothing, and mends a copy that is damaged."""
        reference = image.reference
        path = self._path(reference)
        with storage_errors(path):
            self._make()
            if _content(path, reference) is None:
                _write(path, self._original(image))
            sync_folder(self._folder)  # also of a name that a killed run gave

    @staticmethod
    def _original(image: Image) -> bytes:
        data = image.data if image.path is None else _content(image.path, image.reference)
        if data is None:
            raise StorageError(f"{image.path} changed while it was about to be copied: nothing was sent, run again")
        return data

    def read(self, reference: Mapping[str, Any]) -> bytes:
        """Return the bytes of the image that a request refers to. Raises StorageError where they are not here."""
        path = self._path(reference)
        data = _content(path, reference)
        if data is None:
            raise StorageError(
                f"{path}: this copy of an image is gone or damaged, and nothing is sent without it: run again with the "
                "image where the manifest says it is, and it is copied anew"
            )
        return data

    def _path(self, reference: Mapping[str, Any]) -> Path:
        return self._folder / f"{reference['sha256']}{SUFFIXES[reference['media_type']]}"

    def _make(self) -> None:
        with suppress(FileExistsError):
            self._folder.mkdir(mode=0o700)
            sync_folder(self._folder.parent)
        if not stat.S_ISDIR(self._folder.lstat().st_mode):
            raise StorageError(f"{self._folder}: it is no folder: move it away")


def _content(path: Path, reference: Mapping[str, Any]) -> bytes | None:
    """Return what is in the file, or None where it is not there or is not what the reference says."""
    try:
        with os.fdopen(os.open(path, _READ), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_size != reference["bytes"] or found.st_size > MAX_BYTES:
                return None
            data = file.read()
    except OSError:  # a link, nothing, or nothing that can be read
        return None
    return data if hashlib.sha256(data).hexdigest() == reference["sha256"] else None


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)  # left by a run that died
    try:
        with os.fdopen(os.open(part, _NEW, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:  # on a full disk others need the room
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise

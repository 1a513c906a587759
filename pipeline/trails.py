"""Files beside a run that others read while it goes: lines that are added, and a text that is replaced as a whole.

Nothing that happens to such a file may harm the run. The first error is told, and the file is left alone from then on.
"""

import os
import re
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pipeline.errors import UsageError

Complain = Callable[[str], None]
_PEEKED = 1 << 16


def refuse_to_replace(path: Path, ours: re.Pattern[bytes]) -> None:
    """Raise UsageError where anything lies at the path but a file that is ``ours``, or an empty one."""
    if os.path.lexists(path) and not path.is_file():
        raise UsageError(f"{path} is no regular file, and cannot be replaced")
    refuse_a_strangers(path, ours)


def refuse_a_strangers(path: Path, ours: re.Pattern[bytes]) -> None:
    """Raise UsageError where a file lies at the path that has nothing in it that is ``ours``, and is not empty.

    A name in /dev is a file that somebody has opened for us.
    """
    try:
        if not path.is_file() or path.is_relative_to("/dev"):
            return
        with path.open("rb") as file:
            head = file.read(_PEEKED)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    if head and not ours.search(head):
        raise UsageError(f"{path} is something else, and stays as it is: choose another name")


class Trail:
    """A file to whose end lines are added, each at once. A pipe that nobody empties is given up, never waited for."""

    def __init__(self, path: Path, *, ours: re.Pattern[bytes], mode: int, complain: Complain) -> None:
        """Raises UsageError for a file that cannot be written, or has no line that is ``ours``.

        ``mode`` is that of a new file.
        """
        refuse_a_strangers(path, ours)
        self._path = path
        self._complain = complain
        self._descriptor: int | None = None
        try:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK, mode)
            if _ends_within_a_line(path, self._descriptor):
                self.add("")
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}") from error

    def add(self, line: str) -> None:
        """Add a line, which has no end of line in it."""
        if self._descriptor is None:
            return
        data = f"{line}\n".encode("utf-8", "backslashreplace")
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError as error:
            self.close()
            self._complain(f"{self._path} is not written any more: {error.strerror}. The run goes on without it")

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class Notice:
    """A file whose text is replaced as a whole: who reads it sees the text before, or the one after."""

    def __init__(self, path: Path, *, ours: re.Pattern[bytes], complain: Complain) -> None:
        """Raises UsageError for a folder that cannot be written to, and for a file that is not ``ours``."""
        refuse_to_replace(path, ours)
        self._path = path
        self._complain = complain
        self._broken = False
        # In the same folder, for a rename; with another suffix, so that nobody collects it.
        self._draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            self._draft.touch()
            self._draft.unlink()
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}") from error

    def put(self, text: str) -> None:
        """Replace the text."""
        if self._broken:
            return
        try:
            self._draft.write_text(text, "utf-8")
            self._draft.replace(self._path)
        except OSError as error:
            self._broken = True
            with suppress(OSError):
                self._draft.unlink(missing_ok=True)
            self._complain(f"{self._path} is not written any more: {error.strerror}. The run goes on without it")


def _ends_within_a_line(path: Path, descriptor: int) -> bool:
    """Tell whether the file ends within a line: an earlier run may have had no room for the rest of it."""
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or not found.st_size:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() != b"\n"

"""A disk that fails: the Nth time that something is written, with the error of a full, a broken or a read-only disk.

It fails once, or stays as it is. What is struck are the calls of ``os`` (``seam``), and the ledger's statements as
SQLite would report them: a BEGIN or a COMMIT that fails, and a COMMIT that fails when it has happened.
"""

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any
from unittest import mock

from disk.seam import watched

ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)
_BYTES = frozenset({"write", "pwrite", "fsync", "fdatasync", "posix_fallocate"})
_NAMES = frozenset({"open", "mkdir", "link", "symlink", "rename", "replace"})
#: What a full disk refuses: bytes alone, or new names too.
_ROOM = {errno.ENOSPC: _BYTES, errno.EDQUOT: _BYTES | _NAMES}
_write_really = os.pwrite
_WORDS = {
    errno.ENOSPC: "database or disk is full",
    errno.EDQUOT: "database or disk is full",
    errno.EIO: "disk I/O error",
    errno.EROFS: "attempt to write a readonly database",
}


@dataclass
class Fault:
    """Strikes the call of this number, and so many in all as it ``lasts``; only those count that can fail so."""

    number: int
    error: int
    lasts: float = 1
    calls: list[str] = field(default_factory=list)
    _turn: Lock = field(default_factory=Lock)

    @property
    def struck(self) -> str | None:
        """What it has struck first."""
        return self.calls[self.number - 1] if len(self.calls) >= self.number else None

    def strikes(self, call: str) -> bool:
        with self._turn:
            self.calls.append(call)
            return self.number <= len(self.calls) < self.number + self.lasts

    def __call__(self, name: str, path: Path, arguments: tuple[Any, ...], proceed: Callable[[], Any]) -> Any:
        if not self._can_fail(name, arguments) or not self.strikes(f"{name} {path.name}"):
            return proceed()
        if name == "write" and len(arguments[1]) > 1 and self.error in _ROOM:
            _write_really(arguments[0], bytes(arguments[1][: len(arguments[1]) // 2]), os.fstat(arguments[0]).st_size)
        raise OSError(self.error, os.strerror(self.error), str(path))

    def _can_fail(self, name: str, arguments: tuple[Any, ...]) -> bool:
        writes = name != "open" or arguments[1] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) != 0
        if self.error in _ROOM:
            return writes and name in _ROOM[self.error]
        return writes or self.error == errno.EIO


@contextmanager
def failing(folder: Path, fault: Fault) -> Iterator[None]:
    """Have the fault in this campaign's folder while the block runs."""
    original = sqlite3.connect

    class Connection(sqlite3.Connection):
        def execute(self, query: str, *values: Any) -> sqlite3.Cursor:
            word = query.split(maxsplit=1)[0]
            if word in {"BEGIN", "COMMIT"} and fault.strikes(word):
                raise sqlite3.OperationalError(_WORDS[fault.error])
            found = super().execute(query, *values)
            if word == "COMMIT" and fault.strikes("COMMIT, which happened"):
                raise sqlite3.OperationalError(_WORDS[fault.error])
            return found

    def connect(database: Any, **more: Any) -> sqlite3.Connection:
        ours = "ledger.db" in str(database) and "mode=ro" not in str(database)
        return original(database, **more, factory=Connection) if ours else original(database, **more)

    with watched(folder, fault), mock.patch.object(sqlite3, "connect", connect):
        yield


@contextmanager
def few_pages(count: int) -> Iterator[None]:
    """Have SQLite find the disk full when the ledger would have more pages than this."""
    original = sqlite3.connect

    def connect(database: Any, **more: Any) -> sqlite3.Connection:
        connection = original(database, **more)
        if Path(str(database)).name == "ledger.db":
            connection.execute(f"PRAGMA max_page_count = {count}")
        return connection

    with mock.patch.object(sqlite3, "connect", connect):
        yield

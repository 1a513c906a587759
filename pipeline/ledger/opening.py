"""How a ledger's file is made and opened: private to its owner, whole before it is named, checked before it is written,
always durable."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Thread

from pipeline.errors import LedgerError
from pipeline.ledger import schema

_LOG_PAGES = 4000
"""Pages of 4 KiB that the write-ahead log takes before they go into the file, with two more syncs: 16 MiB."""
_CACHE_KIB = 65536  # each row is looked for in every index, and ids are in no order


def identity(path: Path) -> tuple[int, int] | None:
    """Return which file this is: SQLite goes on committing into one that has no name any more."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def create(path: Path) -> None:
    """Make an empty ledger, whole and synced before it has its name: a crash leaves none or a good one."""
    unborn = path.with_name(f".{path.name}.new")
    try:
        unborn.unlink(missing_ok=True)
        os.close(os.open(unborn, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        connect(unborn, schema.create).close()
        unborn.rename(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise LedgerError(f"cannot make the ledger: {error.strerror}") from error


class Check:
    """The check of a whole file, in a thread and on a connection of its own: who only reads need not wait for it.

    It takes as long as there is to read, a few microseconds for each job. Nothing is written before it has passed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._error: Exception | None = None
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
        self._thread = Thread(target=self._look, name="ledger-check", daemon=True)
        self._thread.start()

    def passed(self) -> None:
        """Wait for the end of it. Raises LedgerError for a file that is damaged, or whose rules are not ours."""
        self._thread.join()
        if self._error is not None:
            raise LedgerError(f"{self._path}: {self._error}")

    def stop(self) -> None:
        """End it, whatever it would have found."""
        with suppress(sqlite3.ProgrammingError):  # it was stopped before
            self._connection.interrupt()
        self._thread.join()
        self._connection.close()

    def _look(self) -> None:
        try:
            self._connection.execute("PRAGMA trusted_schema = OFF")
            self._connection.execute("PRAGMA cell_size_check = ON")
            self._connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            schema.audit(self._connection)
        except Exception as error:  # noqa: BLE001  # whatever it was, the file has not passed
            self._error = error


def connect(path: Path, prepare: Callable[[sqlite3.Connection], object]) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
        connection.execute("PRAGMA recursive_triggers = ON")  # else REPLACE would delete behind their back
        prepare(connection)
        connection.execute("PRAGMA foreign_keys = ON")
        _use_wal(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _use_wal(connection: sqlite3.Connection) -> None:
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise LedgerError(f"this file system cannot hold a ledger (journal mode {mode}); use a local disk")

"""The ledger that a run writes: one connection, group commit, nothing acknowledged before it is on disk.

WAL with ``synchronous=FULL``: NORMAL loses acknowledged commits at a power cut, and a lost id is a second payment.
Whoever waits while a commit runs is in the next one together, so durability costs one fsync for many jobs.
"""

import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import anyio

from pipeline.blocking import Blocking, T
from pipeline.errors import LedgerError
from pipeline.events import CHANGES, Event, apply
from pipeline.jobs import Job, Spec, State, canonical_json
from pipeline.ledger import DuplicateVideo, reading, schema
from pipeline.ledger.rows import COLUMNS, event_data, to_column


@dataclass(slots=True)
class _Waiting:
    job: Job
    event: Event
    done: bool = False
    error: Exception | None = None


class SqliteLedger:
    """A Ledger in one SQLite file. Made by ``create_or_open``; the caller holds the run lock."""

    def __init__(
        self, path: Path, connection: sqlite3.Connection, now: Callable[[], float], blocking: Blocking
    ) -> None:
        self._path = path
        self._file = _identity(path)
        self._connection = connection
        self._now = now
        self._blocking = blocking
        self._turn = anyio.Lock()
        self._waiting: list[_Waiting] = []
        self._broken = False

    @classmethod
    def create_or_open(cls, path: Path, *, now: Callable[[], float], blocking: Blocking) -> Self:
        """Open the ledger, or make it, readable by its owner only and synced with its folder.

        Raises LedgerError for a file that is foreign, newer or damaged; nothing is changed then.
        """
        with reading.translated(path):
            if not path.exists():
                _create(path)
            connection = _connect(path, schema.migrate)
        return cls(path, connection, now, blocking)

    def close(self) -> None:
        self._connection.close()

    async def enrol(self, specs: Sequence[Spec], *, settings: Mapping[str, Any]) -> None:
        """Make the ledger hold what the manifest asks for, in one commit, and remember the settings.

        Known jobs stay as they are, but for their tags and metadata. Jobs that are not asked for any more are
        marked as orphaned, or dropped where nothing was ever sent for them.
        """
        await self._transaction(lambda: self._enrol(specs, settings))

    async def record(self, job: Job, event: Event) -> Job:
        after = apply(job, event)
        waiting = _Waiting(job, event)
        self._waiting.append(waiting)
        with anyio.CancelScope(shield=True):
            async with self._turn:
                if not waiting.done:
                    await self._commit_waiting()
        if waiting.error is not None:
            raise waiting.error
        return after

    async def jobs(self, states: Collection[State]) -> AsyncIterator[Job]:
        after: int | None = 0
        while after is not None:
            async with self._turn:
                rows, after = await self._guarded(partial(reading.page, self._connection, states, after))
            for job in rows:
                yield job

    async def _commit_waiting(self) -> None:
        batch, self._waiting = self._waiting, []
        try:
            await self._guarded(lambda: self._write(batch))
        except BaseException as error:
            for waiting in batch:
                waiting.error = waiting.error or LedgerError(f"{self._path}: not recorded: {error!r}")
            if not isinstance(error, LedgerError):
                raise
        finally:
            for waiting in batch:
                waiting.done = True

    async def _transaction(self, work: Callable[[], None]) -> None:
        def committed() -> None:
            self._connection.execute("BEGIN IMMEDIATE")
            work()
            self._connection.execute("COMMIT")

        with anyio.CancelScope(shield=True):
            async with self._turn:
                await self._guarded(committed)

    async def _guarded(self, call: Callable[[], T]) -> T:
        """Make the call, once. After any error what is on disk is unknown, so this connection is used no more."""
        if self._broken:
            raise LedgerError(f"{self._path}: an earlier write failed")
        try:
            with reading.translated(self._path):
                return await self._blocking(call)
        except BaseException:
            self._broken = True
            raise

    def _write(self, batch: Iterable[_Waiting]) -> None:
        if _identity(self._path) != self._file:
            raise LedgerError("the ledger was moved or deleted while it was in use")
        self._connection.execute("BEGIN IMMEDIATE")
        for waiting in batch:
            try:
                self._update(waiting.job, waiting.event)
            except DuplicateVideo as error:
                waiting.error = error
        self._connection.execute("COMMIT")

    def _update(self, job: Job, event: Event) -> None:
        after = apply(job, event)
        changed = CHANGES[type(event)]
        values = [to_column(name, getattr(after, name)) for name in changed]
        try:
            row = self._connection.execute(
                _UPDATE[type(event)],
                (*values, after.state, job.name, job.request_hash, job.state, job.attempt),
            ).fetchone()
        except sqlite3.IntegrityError as error:
            if "jobs.video_id" in str(error):
                raise DuplicateVideo(after.video_id) from error
            raise
        if row is None:
            raise LedgerError(f"{job.name} is not as this run left it: another program has written the ledger")
        self._connection.execute(
            "INSERT INTO events (job, at, kind, state, data, raw) VALUES (?, ?, ?, ?, ?, ?)",
            (row[0], self._now(), type(event).__name__.lower(), after.state, event_data(event), event.raw),
        )

    def _enrol(self, specs: Sequence[Spec], settings: Mapping[str, Any]) -> None:
        execute = self._connection.execute
        execute("CREATE TEMP TABLE asked (name TEXT, request_hash TEXT, PRIMARY KEY (name, request_hash))")
        for spec in specs:
            job = Job.planned(spec)
            execute("INSERT INTO asked VALUES (?, ?)", (job.name, job.request_hash))
            execute(_ENROL, tuple(to_column(name, getattr(job, name)) for name in COLUMNS))
        missing = "(name, request_hash) NOT IN (SELECT name, request_hash FROM asked)"
        execute(f"DELETE FROM jobs WHERE attempt = 0 AND {missing}")  # noqa: S608  # no input in it
        execute(f"UPDATE jobs SET orphaned = {missing}")  # noqa: S608
        execute("DROP TABLE asked")
        for key, value in settings.items():
            execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (key, canonical_json(value)))


_UPDATE = {
    event: f"UPDATE jobs SET {''.join(f'{name} = ?, ' for name in changed)}state = ?"  # noqa: S608  # our own names
    " WHERE name = ? AND request_hash = ? AND state = ? AND attempt = ? RETURNING id"
    for event, changed in CHANGES.items()
}
# What was never sent is as the manifest says now; what was sent keeps the request and the file name it has.
_ENROL = f"""INSERT INTO jobs ({", ".join(COLUMNS)}) VALUES ({", ".join("?" * len(COLUMNS))})
    ON CONFLICT (name, request_hash) DO UPDATE SET tags = excluded.tags, metadata = excluded.metadata,
    request = CASE attempt WHEN 0 THEN excluded.request ELSE request END,
    output = CASE attempt WHEN 0 THEN excluded.output ELSE output END"""  # noqa: S608  # our own names


def _identity(path: Path) -> tuple[int, int] | None:
    """Return which file this is: SQLite goes on committing into one that has no name any more."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _create(path: Path) -> None:
    """Make an empty ledger, whole and synced before it has its name: a crash leaves none or a good one."""
    unborn = path.with_name(f".{path.name}.new")
    try:
        unborn.unlink(missing_ok=True)
        os.close(os.open(unborn, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        _connect(unborn, schema.create).close()
        unborn.rename(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise LedgerError(f"cannot make the ledger: {error.strerror}") from error


def _connect(path: Path, prepare: Callable[[sqlite3.Connection], None]) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        prepare(connection)
        _use_wal(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _use_wal(connection: sqlite3.Connection) -> None:
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise LedgerError(f"this file system cannot hold a ledger (journal mode {mode}); use a local disk")

"""What the simulator must not forget: videos, their bytes, and the bill. SQLite, one file.

The bill is the witness in tests about money: a line is written in the transaction that creates the job, before the
answer, and nothing ever changes or removes one. WAL with ``synchronous=NORMAL`` survives a SIGKILL at any time; after a
power cut the last jobs may be missing, together with their lines.
"""

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Literal, Self

from pipeline.errors import StorageError
from pipeline.jobs import canonical_json
from pipeline.simulator.pace import Life

MEMORY = ":memory:"

_APPLICATION_ID = 0x43534D53  # CSMS
_SCHEMA = """
CREATE TABLE bill (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    video_id TEXT NOT NULL UNIQUE,
    billed_at REAL NOT NULL,
    model TEXT NOT NULL,
    size TEXT NOT NULL,
    seconds TEXT NOT NULL,
    idempotency_key TEXT UNIQUE,
    request TEXT NOT NULL
) STRICT;
CREATE TRIGGER bill_is_never_changed BEFORE UPDATE ON bill BEGIN SELECT RAISE(ABORT, 'a bill is never changed'); END;
CREATE TRIGGER bill_is_never_cut BEFORE DELETE ON bill BEGIN SELECT RAISE(ABORT, 'a bill is never cut'); END;
CREATE TABLE videos (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    created_at REAL NOT NULL,
    started_at REAL NOT NULL,
    ended_at REAL NOT NULL,
    model TEXT NOT NULL,
    prompt TEXT NOT NULL,
    size TEXT NOT NULL,
    seconds TEXT NOT NULL,
    metadata TEXT,
    failure TEXT,
    deleted INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE clips (name TEXT PRIMARY KEY, data BLOB NOT NULL) STRICT, WITHOUT ROWID;
"""
_PAGES: Mapping[str, str] = {
    "asc": "SELECT * FROM videos WHERE deleted = 0 AND position >"
    " coalesce((SELECT position FROM videos WHERE id = ?), 0) ORDER BY position LIMIT ?",
    "desc": "SELECT * FROM videos WHERE deleted = 0 AND position <"
    " coalesce((SELECT position FROM videos WHERE id = ?), 1 << 62) ORDER BY position DESC LIMIT ?",
}


@dataclass(frozen=True, slots=True)
class Record:
    """A created video. ``failure`` is the code that it ends with instead of a picture."""

    id: str
    life: Life
    model: str
    prompt: str
    size: str
    seconds: str
    metadata: Mapping[str, Any] | None = None
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class BillLine:
    """One job that a paid server would have charged for. ``request`` is its body as canonical JSON."""

    number: int
    video_id: str
    billed_at: float
    model: str
    size: str
    seconds: str
    idempotency_key: str | None
    request: str


class Store:
    """The file, open in one thread. Raises StorageError for whatever SQLite or the disk refuses."""

    def __init__(self, connection: sqlite3.Connection, path: str | Path) -> None:
        self._connection, self._path = connection, path

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open the store at ``path``, or make a new one that only its owner may read. ``":memory:"`` keeps nothing."""
        try:
            if str(path) != MEMORY:
                os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
            connection = sqlite3.connect(path, isolation_level=None, timeout=10)
        except (OSError, sqlite3.Error) as error:
            raise StorageError(f"{path} cannot be the simulator's store: {error}") from error
        store = cls(connection, path)
        try:
            store._prepare()
        except StorageError:
            store.close()
            raise
        return store

    def _prepare(self) -> None:
        self._run("PRAGMA journal_mode=WAL")
        self._run("PRAGMA synchronous=NORMAL")
        with self.transaction():
            (owner,) = self._run("PRAGMA application_id").fetchone()
            if owner != _APPLICATION_ID:
                if self._run("SELECT 1 FROM sqlite_schema").fetchone() or owner:
                    raise StorageError(f"{self._path} is no store of the simulator")
                for statement in _SCHEMA.split(";\n"):
                    self._run(statement)
                self._run(f"PRAGMA application_id = {_APPLICATION_ID}")

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, and no other writer in between."""
        self._run("BEGIN IMMEDIATE")
        try:
            yield
            self._run("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.rollback()
            raise

    def add(self, record: Record, *, request: str, idempotency_key: str | None) -> None:
        """Create the video and its line on the bill. Inside a transaction."""
        life, facts = record.life, (record.size, record.seconds)
        line = record.id, life.created_at, record.model, *facts, idempotency_key, request
        self._run("INSERT INTO bill VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)", *line)
        metadata = None if record.metadata is None else canonical_json(record.metadata)
        row = record.id, *astuple(life), record.model, record.prompt, *facts, metadata, record.failure
        self._run("INSERT INTO videos VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)", *row)

    def video(self, video_id: str, *, deleted: bool = False) -> Record | None:
        """Return the video, a deleted one only if asked for."""
        row = self._run("SELECT * FROM videos WHERE id = ? AND deleted <= ?", video_id, int(deleted)).fetchone()
        return None if row is None else _record(row)

    def videos(self, *, after: str | None, order: Literal["asc", "desc"], limit: int) -> list[Record]:
        """Return up to ``limit`` videos that are not deleted, by creation, beginning behind ``after``."""
        return [_record(row) for row in self._run(_PAGES[order], after, limit)]

    def delete(self, video_id: str) -> None:
        """Forget the video's bytes and answer for it no more. Its line on the bill stays, and so does its key."""
        with self.transaction():
            self._run("UPDATE videos SET deleted = 1 WHERE id = ?", video_id)
            self._run("DELETE FROM clips WHERE name = ?", video_id)

    def forget(self) -> None:
        """Forget every video, as a server does that has them in its memory. The bill stays, and no id comes again."""
        with self.transaction():
            self._run("DELETE FROM videos")
            self._run("DELETE FROM clips")

    def bill(self) -> list[BillLine]:
        """Return all lines, in the order in which they were written."""
        return [BillLine(*row) for row in self._run("SELECT * FROM bill ORDER BY number")]

    def billed(self) -> int:
        """Return how many lines the bill has."""
        (count,) = self._run("SELECT coalesce(max(number), 0) FROM bill").fetchone()
        return int(count)

    def billed_as(self, idempotency_key: str) -> BillLine | None:
        """Return the line that was written for this key."""
        row = self._run("SELECT * FROM bill WHERE idempotency_key = ?", idempotency_key).fetchone()
        return None if row is None else BillLine(*row)

    def clip(self, name: str) -> bytes | None:
        """Return the bytes that are kept under the name."""
        row = self._run("SELECT data FROM clips WHERE name = ?", name).fetchone()
        return None if row is None else row[0]

    def keep(self, name: str, data: bytes) -> bytes:
        """Keep the bytes and return them; or, where there are some already, return those."""
        self._run("INSERT INTO clips (name, data) VALUES (?, ?) ON CONFLICT DO NOTHING", name, data)
        return self.clip(name) or data

    def _run(self, query: str, *values: Any) -> sqlite3.Cursor:
        try:
            return self._connection.execute(query, values)
        except sqlite3.Error as error:
            raise StorageError(f"the simulator's store {self._path}: {error}") from error


def _record(row: tuple[Any, ...]) -> Record:
    _, video_id, created_at, started_at, ended_at, model, prompt, size, seconds, metadata, failure, _ = row
    life = Life(created_at, started_at, ended_at)
    told = None if metadata is None else json.loads(metadata)
    return Record(video_id, life, model, prompt, size, seconds, told, failure)

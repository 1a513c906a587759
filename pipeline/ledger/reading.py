"""Reading a ledger, while a run writes it or long after. Never writes, never takes the run's lock."""

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.errors import LedgerError
from pipeline.jobs import Job, State, canonical_json
from pipeline.ledger import schema
from pipeline.ledger.rows import COLUMNS, job_from

_PAGE = 1000
_SELECT = f"SELECT id, {', '.join(COLUMNS)} FROM jobs"  # noqa: S608  # column names of our own


class Entry(NamedTuple):
    """An event as stored. ``at`` in seconds since the epoch; ``data`` its fields; ``raw`` the server's answer."""

    at: float
    kind: str
    state: State
    data: dict[str, Any]
    raw: bytes


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a ledger to read it. Raises LedgerError for a file that is missing, foreign, newer or damaged."""
    if not path.is_file():
        raise LedgerError(f"there is no ledger at {path}")
    with (
        translated(path),
        closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection,
    ):
        connection.execute("PRAGMA trusted_schema = OFF")
        if schema.check(connection) == len(schema.MIGRATIONS):
            yield connection
            return
        # An older format is lifted in memory: only a run changes the file.
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as lifted:
            connection.backup(lifted)
            schema.migrate(lifted)
            yield lifted


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into LedgerError, which says which file."""
    try:
        yield
    except LedgerError as error:
        raise LedgerError(f"{path}: {error}" if str(path) not in str(error) else str(error)) from error.__cause__
    except (sqlite3.Error, UnicodeDecodeError) as error:  # a flipped bit may hit the rules' own text
        raise LedgerError(f"{path}: {error}") from error


def jobs(connection: sqlite3.Connection, states: Collection[State] = tuple(State)) -> Iterator[Job]:
    """Yield the jobs in one of the states, in the order of their enrolment."""
    after: int | None = 0
    while after is not None:
        rows, after = page(connection, states, after)
        yield from rows


def page(connection: sqlite3.Connection, states: Collection[State], after: int) -> tuple[list[Job], int | None]:
    """Return the next jobs, and what to go on ``after``: None at the end."""
    marks = ", ".join("?" * len(states))
    query = f"{_SELECT} WHERE state IN ({marks}) AND id > ? ORDER BY id LIMIT {_PAGE}"
    rows = connection.execute(query, (*states, after)).fetchall()
    return [job_from(row[1:]) for row in rows], rows[-1][0] if len(rows) == _PAGE else None


def named(connection: sqlite3.Connection, word: str) -> list[Job]:
    """Return the jobs of this name, or those whose request's hash begins with it: with eight digits at least."""
    beginning = "length(?1) >= 8 AND substr(request_hash, 1, length(?1)) = ?1"
    rows = connection.execute(f"{_SELECT} WHERE name = ?1 OR ({beginning}) ORDER BY id", (word,))
    return [job_from(row[1:]) for row in rows]


def claimed(connection: sqlite3.Connection, ids: Collection[str]) -> set[str]:
    """Return those of the ids that a job has, or has had."""
    query = "SELECT video_id FROM claims WHERE video_id IN (SELECT value FROM json_each(?))"
    return {video_id for (video_id,) in connection.execute(query, (canonical_json(list(ids)),))}


def first_intent(connection: sqlite3.Connection) -> float | None:
    """Return when the first POST was about to be sent, in seconds since the epoch; None where none ever was."""
    query = "SELECT min(at) FROM (SELECT at FROM events WHERE kind = 'intended' UNION ALL SELECT intended_at FROM jobs)"
    (first,) = connection.execute(query).fetchone()
    return None if first is None else float(first)


def events(connection: sqlite3.Connection, job: Job) -> list[Entry]:
    """Return all that happened to the job, oldest first."""
    rows = connection.execute(
        "SELECT e.at, e.kind, e.state, e.data, e.raw FROM events e JOIN jobs j ON j.id = e.job"
        " WHERE j.name = ? AND j.request_hash = ? ORDER BY e.id",
        (job.name, job.request_hash),
    )
    return [Entry(at, kind, State(state), json.loads(data), raw) for at, kind, state, data, raw in rows]


def histories(connection: sqlite3.Connection) -> Iterator[tuple[Job, tuple[Entry, ...]]]:
    """Yield every job with all that happened to it, as they stood at one instant, without the server's answers."""
    connection.execute("BEGIN")
    try:
        rows = connection.execute("SELECT job, at, kind, state, data FROM events ORDER BY job, id")
        happened = groupby(rows, key=lambda row: int(row[0]))
        upcoming = next(happened, None)
        for number, *columns in connection.execute(f"{_SELECT} ORDER BY id"):
            entries: tuple[Entry, ...] = ()
            if upcoming is not None and upcoming[0] == number:
                entries = tuple(
                    Entry(at, kind, State(state), json.loads(data), b"") for _, at, kind, state, data in upcoming[1]
                )
                upcoming = next(happened, None)
            yield job_from(tuple(columns)), entries
    finally:
        connection.execute("ROLLBACK")


def _told(_: int, at: float, kind: str, state: str, data: str) -> Entry:
    return Entry(at, kind, State(state), json.loads(data), b"")


def budget(connection: sqlite3.Connection) -> float | None:
    """Return what the campaign may cost, or None where nobody said."""
    (most,) = connection.execute("SELECT max_cost FROM account").fetchone()
    return None if most is None else float(most)


def settings(connection: sqlite3.Connection) -> Mapping[str, Any]:
    """Return what the ledger remembers of the last run: its name, profile and variables."""
    return {key: json.loads(value) for key, value in connection.execute("SELECT key, value FROM settings")}

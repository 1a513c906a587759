"""Reading a ledger, while a run writes it or long after. Never writes, never takes the run's lock."""

import json
import sqlite3
from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.costs import Account, Kind
from pipeline.errors import LedgerError
from pipeline.jobs import OVER, Failure, Job, State, canonical_json
from pipeline.ledger import schema
from pipeline.ledger.rows import COLUMNS, failure_from, job_from
from pipeline.plan import Last

_PAGE = 1000
_RECENT = 20_000  # events
_RENDERS = 1000
_LINES = "SELECT id, name, request_hash, state, attempt, approvals, orphaned, output, path, bytes FROM jobs"
SELECT = f"SELECT id, {', '.join(COLUMNS)} FROM jobs"  # noqa: S608  # column names of our own

Mark = tuple[tuple[int, ...], ...]


class Line(NamedTuple):
    """A job's row without its request: what a plan needs of a million. ``number`` is the place in the ledger.

    ``state`` is the word of a ``State``; ``path`` and ``bytes`` are those of its video.
    """

    number: int
    name: str
    request_hash: str
    state: str
    attempt: int
    approvals: int
    orphaned: int
    output: str
    path: str | None
    bytes: int | None


class Entry(NamedTuple):
    """An event as stored. ``at`` in seconds since the epoch; ``data`` its fields; ``raw`` the server's answer."""

    at: float
    kind: str
    state: State
    data: dict[str, Any]
    raw: bytes


def mark(path: Path) -> Mark:
    """Return what becomes another when something is written to a ledger: the kernel's stamps of the file and its log.

    Take it before reading. (A log that is not there is as good as an empty one, which whoever opens it may leave.)
    """
    marks, file = [], path.resolve()  # of a link, the log lies beside what it leads to
    for part in (file, file.with_name(f"{file.name}-wal")):
        with suppress(OSError):
            found = part.stat()
            if found.st_size:
                marks.append((found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns))
    return tuple(marks)


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a ledger to read it. Raises LedgerError for a file that is missing, foreign, newer or damaged."""
    if not path.is_file():
        raise LedgerError(f"there is no ledger at {path}: nothing was run there, or it is gone")
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


def numbered(connection: sqlite3.Connection, numbers: Sequence[int]) -> Iterator[Job]:
    """Yield the jobs with these numbers, in the order of their enrolment, in which the numbers are too."""
    for first in range(0, len(numbers), _PAGE):
        some = canonical_json(list(numbers[first : first + _PAGE]))
        rows = connection.execute(f"{SELECT} WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id", (some,))  # noqa: S608  # our own words
        yield from [job_from(row[1:]) for row in rows]


def by_name(connection: sqlite3.Connection) -> Iterator[tuple[Job, float | None]]:
    """Yield all jobs by name, each with the time when it was last heard to be completed.

    One query, so all are as they were at one instant, and the order does not tell how the ledger came to be. Until
    it has been read to its end, a run's log only grows.
    """
    heard = "SELECT max(at) FROM events WHERE job = jobs.id AND kind = 'completed'"
    query = f"SELECT ({heard}), {', '.join(COLUMNS)} FROM jobs ORDER BY name, request_hash"  # noqa: S608  # our own words
    for row in connection.execute(query):
        yield job_from(row[1:]), row[0]


def shared_paths(connection: sqlite3.Connection) -> frozenset[str]:
    """Return the paths that more than one job's video has, or had: at the most one of these is there."""
    rows = connection.execute("SELECT path FROM jobs WHERE path IS NOT NULL GROUP BY path HAVING count(*) > 1")
    return frozenset(path for (path,) in rows)


def page(connection: sqlite3.Connection, states: Collection[State], after: int) -> tuple[list[Job], int | None]:
    """Return the next jobs, and what to go on ``after``: None at the end."""
    # Each state's by its index, merged as far as the page goes: `state IN` would have all that is left sorted.
    number = len(states) + 1
    found = (f"SELECT id FROM jobs WHERE state = ?{one} AND id > ?{number}" for one in range(1, number))  # noqa: S608
    query = f"{SELECT} WHERE id IN ({' UNION ALL '.join(found)} ORDER BY id LIMIT {_PAGE}) ORDER BY id"
    rows = connection.execute(query, (*states, after)).fetchall()
    return [job_from(row[1:]) for row in rows], rows[-1][0] if len(rows) == _PAGE else None


def lines(connection: sqlite3.Connection) -> Iterator[Line]:
    """Yield every job's line, in the order of their enrolment, as they stand at one instant: read it to its end."""
    return map(Line._make, connection.execute(f"{_LINES} ORDER BY id"))


class Instant:
    """All jobs as they stand at one instant, in the order of their enrolment: as lines, and whole by their place."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._numbers = array("q", (number for (number,) in connection.execute("SELECT id FROM jobs ORDER BY id")))

    def __iter__(self) -> Iterator[Line]:
        return lines(self._connection)

    def __getitem__(self, place: int) -> Job:
        row = self._connection.execute(f"{SELECT} WHERE id = ?", (self._numbers[place],)).fetchone()
        return job_from(row[1:])


@contextmanager
def at_one_instant(connection: sqlite3.Connection) -> Iterator[Instant]:
    """Read what others may change meanwhile. Be quick: until it is over, the log of a run only grows."""
    connection.execute("BEGIN")
    try:
        yield Instant(connection)
    finally:
        connection.execute("ROLLBACK")


def lines_among(connection: sqlite3.Connection, states: Collection[State]) -> Iterator[Line]:
    """Yield those in these states, one state after the other, each in the order of their enrolment."""
    marks = ", ".join("?" * len(states))
    return map(Line._make, connection.execute(f"{_LINES} WHERE state IN ({marks}) ORDER BY state, id", tuple(states)))


def named(connection: sqlite3.Connection, word: str) -> list[Job]:
    """Return the jobs of this name, or those whose request's hash begins with it: with eight digits at least."""
    beginning = "length(?1) >= 8 AND substr(request_hash, 1, length(?1)) = ?1"
    rows = connection.execute(f"{SELECT} WHERE name = ?1 OR ({beginning}) ORDER BY id", (word,))
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
        for number, *facts in connection.execute(f"{SELECT} ORDER BY id"):
            entries: tuple[Entry, ...] = ()
            if upcoming is not None and upcoming[0] == number:
                entries = tuple(
                    Entry(at, kind, State(state), json.loads(data), b"") for _, at, kind, state, data in upcoming[1]
                )
                upcoming = next(happened, None)
            yield job_from(tuple(facts)), entries
    finally:
        connection.execute("ROLLBACK")


def rejections(connection: sqlite3.Connection, states: Collection[State] = tuple(State)) -> Iterator[dict[str, Any]]:
    """Yield what was rejected of jobs in one of the states, oldest first: the event's data, and ``job``, their name."""
    marks = ", ".join("?" * len(states))
    rows = connection.execute(
        "SELECT j.name, e.data FROM jobs j JOIN events e ON e.job = j.id"  # noqa: S608  # our own names
        f" WHERE j.state IN ({marks}) AND j.approvals > 0 AND e.kind = 'rejected' ORDER BY e.id",
        tuple(states),
    )
    for name, data in rows:
        yield {**json.loads(data), "job": name}


def is_a_jobs(connection: sqlite3.Connection, path: str) -> bool:
    """Tell whether a job has its file at the path, which is relative to the campaign."""
    return connection.execute("SELECT 1 FROM jobs WHERE path = ? LIMIT 1", (path,)).fetchone() is not None


def failures_before(connection: sqlite3.Connection, numbers: Sequence[int]) -> dict[tuple[str, str], Failure]:
    """Return, by name and request's hash, why jobs failed that are being tried once more and have no end yet.

    They are looked for among these numbers: of a million planned jobs hardly one was tried before.
    """
    states = frozenset(State) - OVER - {State.DONE}
    rows = connection.execute(
        "SELECT name, request_hash, (SELECT data FROM events WHERE job = jobs.id AND kind = 'retried' AND id >"  # noqa: S608
        " coalesce((SELECT max(id) FROM events WHERE job = jobs.id AND kind = 'published'), 0)"
        " ORDER BY id DESC LIMIT 1) AS data FROM jobs WHERE id IN (SELECT value FROM json_each(?))"
        f" AND approvals > 0 AND data IS NOT NULL AND state IN ({', '.join('?' * len(states))})",
        (canonical_json(list(numbers)), *states),
    )
    found = {(name, request_hash): json.loads(data)["failure"] for name, request_hash, data in rows}
    return {key: told for key, data in found.items() if (told := failure_from(canonical_json(data)))}


def last_events(connection: sqlite3.Connection) -> Mapping[tuple[str, str], Last]:
    """Return the last event, but for new names, of each planned job that was sent before, by its name and hash."""
    rows = connection.execute(
        "SELECT j.name, j.request_hash, e.kind, json_extract(e.data, '$.by') FROM jobs j JOIN events e ON e.id ="
        " (SELECT max(id) FROM events WHERE job = j.id AND kind <> 'renamed')"
        " WHERE j.state = 'planned' AND j.attempt > 0"
    )
    return {(name, request_hash): Last(kind, by) for name, request_hash, kind, by in rows}


def words_of_people(connection: sqlite3.Connection) -> Mapping[tuple[str, str], int]:
    """Return how many approvals a job had when a person last had it sent once more, by its name and hash."""
    rows = connection.execute(
        "SELECT j.name, j.request_hash, e.kind, json_extract(e.data, '$.by'), json_extract(e.data, '$.approvals')"
        " FROM jobs j JOIN events e ON e.job = j.id WHERE j.approvals > 0"
        " AND e.kind IN ('retried', 'resubmitted', 'rejected') ORDER BY e.id"
    )
    told = ((name, key, Last(kind, by), approvals) for name, key, kind, by, approvals in rows)
    return {(name, key): approvals for name, key, last, approvals in told if last.is_a_persons}


def render_times(connection: sqlite3.Connection) -> list[tuple[Kind, float]]:
    """Return how long the last renders took, in seconds from acceptance to completion, and of which kind they were.

    Newest first, and some of a long history: only so much of it is read.
    """
    rows = connection.execute(
        "SELECT j.request, e.at - j.submitted_at FROM (SELECT job, at FROM events WHERE kind = 'completed'"
        " AND id > (SELECT max(id) FROM events) - ? ORDER BY id DESC LIMIT ?) e"
        " JOIN jobs j ON j.id = e.job WHERE e.at >= j.submitted_at",
        (_RECENT, _RENDERS),
    )
    return [(Kind.of(json.loads(request)), seconds) for request, seconds in rows]


def account(connection: sqlite3.Connection) -> Account:
    """Return what the campaign has promised, and what it may."""
    return Account(*connection.execute("SELECT reserved, videos, max_cost, max_videos FROM account").fetchone())


def recorded_bytes(connection: sqlite3.Connection) -> int:
    """Return the length of all finished videos that the manifest asks for."""
    query = "SELECT coalesce(sum(bytes), 0) FROM jobs WHERE state = 'done' AND NOT orphaned"
    return int(connection.execute(query).fetchone()[0])


def settings(connection: sqlite3.Connection) -> Mapping[str, Any]:
    """Return what the ledger remembers of the last run: its name, profile and variables."""
    return {key: json.loads(value) for key, value in connection.execute("SELECT key, value FROM settings")}

"""The ledger file's format: tables, the constraints that make paying twice impossible, and how old files are lifted.

A bug in Python must not be able to pay twice, so the table of transitions is in the file too: a state can only
change as TRANSITIONS allows, an id belongs to one job and never changes, events are only ever added.
"""

import sqlite3
from collections.abc import Callable

from pipeline.errors import LedgerError
from pipeline.events import TRANSITIONS
from pipeline.jobs import DOUBTFUL, PAID, State

APPLICATION_ID = 0x43414C4C  # "CALL"; file(1) and we recognise a ledger by it
OLDEST_SQLITE = (3, 37, 0)  # STRICT tables


def _words(states: frozenset[State]) -> str:
    return ", ".join(f"'{state}'" for state in State if state in states)


def _version_1(connection: sqlite3.Connection) -> None:
    for statement in (
        "CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",
        "CREATE TABLE transitions (before TEXT, after TEXT, PRIMARY KEY (before, after)) STRICT, WITHOUT ROWID",
        f"""CREATE TABLE jobs (
            id INTEGER PRIMARY KEY,
            name TEXT NOT NULL,
            request_hash TEXT NOT NULL,
            request TEXT NOT NULL,
            output TEXT NOT NULL,
            tags TEXT NOT NULL,
            metadata TEXT NOT NULL,
            state TEXT NOT NULL CHECK (state IN ({_words(frozenset(State))})),
            attempt INTEGER NOT NULL,
            idempotency_key TEXT,
            base_url TEXT,
            key_fingerprint TEXT,
            price REAL CHECK (price >= 0),
            intended_at REAL,
            video_id TEXT UNIQUE,
            submitted_at REAL,
            status TEXT,
            expires_at REAL,
            sha256 TEXT,
            bytes INTEGER,
            path TEXT,
            failure TEXT,
            warnings TEXT NOT NULL,
            orphaned INTEGER NOT NULL,
            UNIQUE (name, request_hash),
            CHECK (state NOT IN ({_words(PAID)}) OR video_id IS NOT NULL),
            CHECK (state NOT IN ({_words(DOUBTFUL)}) OR (idempotency_key IS NOT NULL AND video_id IS NULL)),
            CHECK (state NOT IN ('{State.VERIFIED}', '{State.DONE}') OR sha256 IS NOT NULL)
        ) STRICT""",
        "CREATE INDEX jobs_by_state ON jobs (state)",
        """CREATE TABLE events (
            id INTEGER PRIMARY KEY,
            job INTEGER NOT NULL REFERENCES jobs (id),
            at REAL NOT NULL,
            kind TEXT NOT NULL,
            state TEXT NOT NULL,
            data TEXT NOT NULL,
            raw BLOB NOT NULL
        ) STRICT""",
        "CREATE INDEX events_of_job ON events (job)",
        """CREATE TRIGGER only_known_moves BEFORE UPDATE OF state ON jobs
            WHEN NEW.state <> OLD.state
                AND NOT EXISTS (SELECT 1 FROM transitions WHERE before = OLD.state AND after = NEW.state)
            BEGIN SELECT RAISE(ABORT, 'no such transition'); END""",
        """CREATE TRIGGER an_id_is_kept BEFORE UPDATE OF video_id ON jobs
            WHEN OLD.video_id IS NOT NULL AND NEW.video_id IS NOT OLD.video_id
            BEGIN SELECT RAISE(ABORT, 'a paid id never changes'); END""",
        """CREATE TRIGGER a_paid_job_is_kept BEFORE DELETE ON jobs WHEN OLD.attempt > 0
            BEGIN SELECT RAISE(ABORT, 'a job that was sent is never forgotten'); END""",
        "CREATE TRIGGER events_stay BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'events stay'); END",
        "CREATE TRIGGER events_are_facts BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'events are facts'); END",
    ):
        connection.execute(statement)
    moves = sorted({(before, after) for before, events in TRANSITIONS.items() for after in events.values()})
    connection.executemany("INSERT INTO transitions VALUES (?, ?)", moves)


#: One function a version; the file's ``user_version`` says how many have been applied.
MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (_version_1,)


def check(connection: sqlite3.Connection) -> int:
    """Return the file's version. Raises LedgerError for what is no ledger, an empty file, or a newer one."""
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise LedgerError(f"SQLite {sqlite3.sqlite_version} is too old for a ledger: 3.37 or newer is needed")
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if (application, version) == (0, 0) and _is_empty(connection):
        raise LedgerError("the ledger is empty")
    if application != APPLICATION_ID:
        raise LedgerError("this file is not a ledger")
    if version > len(MIGRATIONS):
        raise LedgerError(
            f"the ledger was written by a newer Callsheet (format {version}); this one knows {len(MIGRATIONS)}"
        )
    return int(version)


def create(connection: sqlite3.Connection) -> None:
    """Make an empty file a ledger."""
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    migrate(connection)


def migrate(connection: sqlite3.Connection) -> None:
    """Lift the file to the newest version, or leave it as it was. One transaction."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        done = check(connection)
        for number, migration in enumerate(MIGRATIONS[done:], done + 1):
            migration(connection)
            connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _is_empty(connection: sqlite3.Connection) -> bool:
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return bool(tables == 0)

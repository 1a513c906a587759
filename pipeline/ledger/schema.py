"""The ledger file's format: tables, the constraints that make paying twice impossible, and how old files are lifted.

A bug in Python must not be able to pay twice, so the rules are in the file too: a state can only change as TRANSITIONS
allows, an id belongs to one job for ever, a job has one id and one more for each word of a person, a doubt is ended
by an id or a person, what is promised stays within the budget, events are only ever added.
"""

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing

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


def _version_2(connection: sqlite3.Connection) -> None:
    person = "NEW.approvals = OLD.approvals + 1"
    for statement in (
        "ALTER TABLE jobs ADD COLUMN approvals INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE jobs ADD COLUMN sunk REAL NOT NULL DEFAULT 0",
        """CREATE TABLE claims (
            video_id TEXT PRIMARY KEY,
            job INTEGER NOT NULL REFERENCES jobs (id),
            approvals INTEGER NOT NULL,
            UNIQUE (job, approvals)
        ) STRICT, WITHOUT ROWID""",
        "INSERT INTO claims SELECT video_id, id, 0 FROM jobs WHERE video_id IS NOT NULL",
        """CREATE TRIGGER an_id_is_claimed AFTER UPDATE OF video_id ON jobs
            WHEN NEW.video_id IS NOT NULL AND OLD.video_id IS NULL
            BEGIN INSERT INTO claims VALUES (NEW.video_id, NEW.id, NEW.approvals); END""",
        "CREATE TRIGGER claims_stay BEFORE DELETE ON claims BEGIN SELECT RAISE(ABORT, 'claims stay'); END",
        "CREATE TRIGGER claims_are_facts BEFORE UPDATE ON claims BEGIN SELECT RAISE(ABORT, 'claims are facts'); END",
        "DROP TRIGGER an_id_is_kept",
        f"""CREATE TRIGGER an_id_is_kept BEFORE UPDATE OF video_id ON jobs
            WHEN OLD.video_id IS NOT NULL AND NEW.video_id IS NOT OLD.video_id
                AND NOT (NEW.video_id IS NULL AND NEW.state = 'planned' AND {person})
            BEGIN SELECT RAISE(ABORT, 'a paid id never changes'); END""",
        """CREATE TRIGGER a_key_belongs_to_its_attempt BEFORE UPDATE OF idempotency_key ON jobs
            WHEN OLD.state <> 'planned' AND NEW.idempotency_key IS NOT OLD.idempotency_key
            BEGIN SELECT RAISE(ABORT, 'a key belongs to its attempt'); END""",
        f"""CREATE TRIGGER doubt_is_sticky BEFORE UPDATE OF state ON jobs
            WHEN OLD.state IN ('in_doubt', 'held') AND NEW.state IN ('planned', 'failed') AND NOT ({person})
            BEGIN SELECT RAISE(ABORT, 'only an id or a person ends a doubt'); END""",
        f"""CREATE TRIGGER only_a_person_pays_again BEFORE UPDATE OF state ON jobs
            WHEN OLD.state IN ('lost', 'stuck') AND NEW.state = 'planned' AND NOT ({person})
            BEGIN SELECT RAISE(ABORT, 'only a person pays again'); END""",
        """CREATE TRIGGER only_the_refused_come_back BEFORE UPDATE OF state ON jobs
            WHEN OLD.state = 'failed' AND NEW.state = 'planned' AND (OLD.video_id IS NOT NULL
                OR (SELECT kind FROM events WHERE job = OLD.id ORDER BY id DESC LIMIT 1) <> 'refused')
            BEGIN SELECT RAISE(ABORT, 'what may have been paid is not sent again'); END""",
        "CREATE TABLE account (id INTEGER PRIMARY KEY CHECK (id = 1), reserved REAL NOT NULL, max_cost REAL) STRICT",
        f"""INSERT INTO account SELECT 1, coalesce(sum(price), 0), NULL FROM jobs
            WHERE state IN ({_words(PAID | DOUBTFUL)}) OR video_id IS NOT NULL""",  # noqa: S608  # our own words
        """CREATE TRIGGER the_budget_holds BEFORE UPDATE OF state ON jobs
            WHEN NEW.state = 'submitting' AND OLD.state = 'planned' AND EXISTS (SELECT 1 FROM account
                WHERE max_cost IS NOT NULL AND (NEW.price IS NULL OR reserved + NEW.price > max_cost + 1e-9))
            BEGIN SELECT RAISE(ABORT, 'beyond the budget'); END""",
        """CREATE TRIGGER an_intent_is_reserved AFTER UPDATE OF state ON jobs
            WHEN NEW.state = 'submitting' AND OLD.state = 'planned'
            BEGIN UPDATE account SET reserved = reserved + coalesce(NEW.price, 0); END""",
        """CREATE TRIGGER what_was_not_created_is_free AFTER UPDATE OF state ON jobs
            WHEN OLD.state = 'submitting' AND NEW.state IN ('planned', 'failed')
            BEGIN UPDATE account SET reserved = reserved - coalesce(OLD.price, 0); END""",
    ):
        connection.execute(statement)
    _fill_transitions(connection)


def _version_4(connection: sqlite3.Connection) -> None:
    """Jobs that failed may be sent again by the manifest's word. What is paid for again is counted like a person's."""
    word = "NEW.approvals = OLD.approvals + 1"
    for statement in (
        "DROP TRIGGER only_a_person_pays_again",
        f"""CREATE TRIGGER only_a_person_pays_again BEFORE UPDATE OF state ON jobs
            WHEN OLD.state IN ('lost', 'stuck', 'expired', 'completed') AND NEW.state = 'planned' AND NOT ({word})
            BEGIN SELECT RAISE(ABORT, 'only a person, or a manifest''s word, pays again'); END""",
        "DROP TRIGGER only_the_refused_come_back",
        f"""CREATE TRIGGER only_the_refused_come_back BEFORE UPDATE OF state ON jobs
            WHEN OLD.state = 'failed' AND NEW.state = 'planned' AND NOT ({word}) AND (OLD.video_id IS NOT NULL
                OR (SELECT kind FROM events WHERE job = OLD.id ORDER BY id DESC LIMIT 1) <> 'refused')
            BEGIN SELECT RAISE(ABORT, 'what may have been paid is not sent again'); END""",  # noqa: S608  # our own words
        """CREATE TRIGGER what_was_not_billed_is_free AFTER UPDATE OF state ON jobs
            WHEN OLD.video_id IS NOT NULL AND NEW.state = 'planned' AND NEW.sunk = OLD.sunk
            BEGIN UPDATE account SET reserved = reserved - coalesce(OLD.price, 0); END""",
    ):
        connection.execute(statement)
    _fill_transitions(connection)


def _version_5(connection: sqlite3.Connection) -> None:
    """A person may choose a finished video, or want another, which costs what the first one did.

    Videos are counted like money, and what failed without being billed is given back when it fails. Where no price is
    known, only a failure that says that it cost nothing is taken off the count, and where all is free, none is: the
    count never says less than may be billed.
    """
    word = "NEW.approvals = OLD.approvals + 1"
    for statement in (
        "ALTER TABLE jobs ADD COLUMN picked INTEGER NOT NULL DEFAULT 0 CHECK (picked IN (0, 1))",
        "DROP TRIGGER only_a_person_pays_again",
        f"""CREATE TRIGGER only_a_person_pays_again BEFORE UPDATE OF state ON jobs
            WHEN OLD.state IN ('lost', 'stuck', 'expired', 'completed', 'done') AND NEW.state = 'planned'
                AND NOT ({word})
            BEGIN SELECT RAISE(ABORT, 'only a person, or a manifest''s word, pays again'); END""",
        """CREATE TRIGGER a_finished_video_stays_paid BEFORE UPDATE OF state ON jobs
            WHEN OLD.state = 'done' AND NEW.state = 'planned'
                AND abs(NEW.sunk - OLD.sunk - coalesce(OLD.price, 0)) > 1e-9
            BEGIN SELECT RAISE(ABORT, 'a finished video stays paid'); END""",
        "DROP TRIGGER what_was_not_billed_is_free",
        """CREATE TRIGGER what_was_not_billed_is_free AFTER UPDATE OF state ON jobs
            WHEN OLD.video_id IS NOT NULL AND NEW.state = 'planned' AND OLD.state <> 'done' AND NEW.sunk = OLD.sunk
            BEGIN UPDATE account SET reserved = reserved - coalesce(OLD.price, 0); END""",
        "ALTER TABLE account ADD COLUMN videos INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE account ADD COLUMN max_videos INTEGER",
        """UPDATE account SET videos = (SELECT count(*) FROM events WHERE kind = 'intended')
            - (SELECT count(*) FROM events WHERE kind IN ('returned', 'refused'))
            - (SELECT count(*) FROM events e WHERE kind = 'retried' AND json_extract(data, '$.by') LIKE 'unbilled:%'
                AND (SELECT kind FROM events WHERE job = e.job AND id < e.id AND kind <> 'renamed'
                    ORDER BY id DESC LIMIT 1) <> 'refused')""",
        """CREATE TRIGGER the_videos_are_counted BEFORE UPDATE OF state ON jobs
            WHEN NEW.state = 'submitting' AND OLD.state = 'planned'
                AND EXISTS (SELECT 1 FROM account WHERE videos + 1 > max_videos)
            BEGIN SELECT RAISE(ABORT, 'beyond the budget'); END""",
        """CREATE TRIGGER an_intent_is_counted AFTER UPDATE OF state ON jobs
            WHEN NEW.state = 'submitting' AND OLD.state = 'planned'
            BEGIN UPDATE account SET videos = videos + 1; END""",
        """CREATE TRIGGER what_was_not_created_is_not_counted AFTER UPDATE OF state ON jobs
            WHEN OLD.state = 'submitting' AND NEW.state IN ('planned', 'failed')
            BEGIN UPDATE account SET videos = videos - 1; END""",
        """CREATE TRIGGER a_failure_that_is_not_billed_is_free AFTER UPDATE OF state ON jobs
            WHEN OLD.video_id IS NOT NULL AND OLD.state <> 'failed' AND NEW.state = 'failed' AND NEW.price = 0
                AND OLD.price IS NOT 0
            BEGIN UPDATE account SET reserved = reserved - coalesce(OLD.price, 0), videos = videos - 1; END""",
        """CREATE TRIGGER what_was_not_billed_is_not_counted AFTER UPDATE OF state ON jobs
            WHEN OLD.video_id IS NOT NULL AND OLD.state <> 'done' AND NEW.state = 'planned' AND NEW.sunk = OLD.sunk
                AND OLD.price > 0
            BEGIN UPDATE account SET videos = videos - 1; END""",
    ):
        connection.execute(statement)
    _fill_transitions(connection)


def _version_6(connection: sqlite3.Connection) -> None:
    """The same rules, with each word compared by itself: of ``IN`` and more than two words SQLite makes a table, for
    every statement, and that was half of what a transition cost. A check can only be changed with its table."""
    texts = "SELECT sql FROM sqlite_schema WHERE tbl_name = 'jobs' AND sql IS NOT NULL ORDER BY type = 'table' DESC"
    table, *rules = (_word_by_word(sql) for (sql,) in connection.execute(texts).fetchall())
    connection.execute(table.replace("TABLE jobs", "TABLE new_jobs", 1))
    connection.execute("INSERT INTO new_jobs SELECT * FROM jobs")
    connection.execute("DROP TABLE jobs")
    connection.execute("ALTER TABLE new_jobs RENAME TO jobs")
    for rule in rules:
        connection.execute(rule)


def _word_by_word(sql: str) -> str:
    def compared(found: re.Match[str]) -> str:
        equals, joined = (" <> ", " AND ") if found["no"] else (" = ", " OR ")
        return f"({joined.join(found['of'] + equals + word for word in found['words'].split(', '))})"

    return re.sub(r"(?P<of>(NEW\.|OLD\.)?state) (?P<no>NOT )?IN \((?P<words>[^)]*)\)", compared, sql)


def _fill_transitions(connection: sqlite3.Connection) -> None:
    moves = sorted({(before, after) for before, events in TRANSITIONS.items() for after in events.values()})
    connection.execute("DELETE FROM transitions")
    connection.executemany("INSERT INTO transitions VALUES (?, ?)", moves)


#: One function a version; the file's ``user_version`` says how many have been applied. A new move needs a new version.
MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (
    _version_1,
    _version_2,
    _fill_transitions,
    _version_4,
    _version_5,
    _version_6,
)


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


def audit(connection: sqlite3.Connection) -> None:
    """Raise LedgerError for a file that is damaged, or whose rules are not ours: without them it could pay twice.

    The whole check, indexes too: a flipped bit in a job's name would make it look like one that was never sent.
    """
    (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        raise LedgerError(f"the ledger is damaged: {verdict}")
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
        create(fresh)
        for query in (_RULES, "SELECT before, after FROM transitions ORDER BY before, after"):
            if connection.execute(query).fetchall() != fresh.execute(query).fetchall():
                raise LedgerError("the ledger's own rules were changed: it cannot be trusted not to pay twice")


_RULES = "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY type, name"


def create(connection: sqlite3.Connection) -> None:
    """Make an empty file a ledger."""
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    migrate(connection)


def migrate(connection: sqlite3.Connection) -> None:
    """Lift the file to the newest version, or leave it as it was. One transaction.

    What refers to a table that is made anew refers to the new one: foreign keys are only looked at afterwards.
    """
    connection.execute("PRAGMA foreign_keys = OFF")
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

"""Following a ledger that a run writes: what is new since a mark. Each look is a short reading of its own, so that it
never keeps the run from tidying its write-ahead log, and it costs what has changed, not what there is."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from pipeline.jobs import FOR_A_PERSON, OVER, Job, State
from pipeline.ledger import keeping
from pipeline.ledger.reading import SELECT
from pipeline.ledger.rows import job_from
from pipeline.tally import Standing

TROUBLE = OVER | FOR_A_PERSON | {State.IN_DOUBT}
"""The states in which something is wrong with a job."""

_SHOWN = 5


class Mark(NamedTuple):
    """How far a look has seen: the last event, how many jobs, and the last of them."""

    event: int
    jobs: int
    last_job: int


class Happened(NamedTuple):
    """An event, without what it changed. ``at`` in seconds since the epoch."""

    at: float
    kind: str
    job: int


@dataclass(frozen=True, slots=True)
class News:
    """What is new: jobs by their number, and events.

    ``anew`` is there where all has to be learned, whatever was known before: what each job adds to the sums, and when
    the last one was accepted; ``jobs`` are then a few of those with which something is wrong.
    """

    mark: Mark
    jobs: Iterator[tuple[int, Job]]
    events: Iterator[Happened]
    anew: Iterator[tuple[int, Standing]] | None = None
    youngest: float = 0.0


def news(connection: sqlite3.Connection, since: Mark | None) -> News | None:
    """Return what is new since the mark, all of it without one, or None. Read it before the connection is closed."""
    row = connection.execute(
        "SELECT (SELECT coalesce(max(id), 0) FROM events), count(*), coalesce(max(id), 0) FROM jobs"
    ).fetchone()
    mark = Mark(*row)
    if mark == since:
        return None
    # Jobs come and go with a manifest, without an event; and the file may be another one by now.
    if since is None or since[1:] != mark[1:] or mark.event < since.event:
        recent = connection.execute(f"{_EVENTS} WHERE id > ? ORDER BY id", (mark.event - _RECENT,))
        (youngest,) = connection.execute("SELECT coalesce(max(submitted_at), 0.0) FROM jobs").fetchone()
        troubled = _numbered(connection.execute(_TROUBLED))
        return News(mark, troubled, map(Happened._make, recent), keeping.standings(connection), youngest)
    jobs = connection.execute(_CHANGED, (since.event,))
    events = connection.execute(f"{_EVENTS} WHERE id > ? ORDER BY id", (since.event,))
    return News(mark, _numbered(jobs), map(Happened._make, events))


def _numbered(rows: sqlite3.Cursor) -> Iterator[tuple[int, Job]]:
    return ((row[0], job_from(row[1:])) for row in rows)


_EVENTS = "SELECT at, kind, job FROM events"
_CHANGED = f"{SELECT} WHERE id IN (SELECT job FROM events WHERE id > ?)"  # noqa: S608  # names of our own
_TROUBLED = f"""{SELECT} WHERE id IN (SELECT id FROM jobs WHERE NOT orphaned AND state IN
    ({", ".join(f"'{state}'" for state in State if state in TROUBLE)}) ORDER BY id DESC LIMIT {_SHOWN}) ORDER BY id"""  # noqa: S608
_RECENT = 5_000

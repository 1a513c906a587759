"""A move of a job in the file: its row as it is now, and the event. What the file's own rules refuse is raised."""

import sqlite3

from pipeline.errors import LedgerError
from pipeline.events import CHANGES, KINDS, Event
from pipeline.jobs import Job
from pipeline.ledger import BudgetReached, DuplicateVideo
from pipeline.ledger.rows import event_data, to_columns


def write(connection: sqlite3.Connection, job: Job, event: Event, after: Job, at: float) -> None:
    """Write that the event has led the job to what it is ``after``. Raises as ``Ledger.record`` says."""
    kind = type(event)
    where = (job.name, job.request_hash, job.state, job.attempt)
    try:
        found = connection.execute(_UPDATE[kind], (*to_columns(event, CHANGES[kind]), after.state, *where)).rowcount
    except sqlite3.IntegrityError as error:
        if "video_id" in str(error):
            raise DuplicateVideo(after.video_id) from error
        if "budget" in str(error):
            raise BudgetReached(job.name) from error
        raise
    if not found:
        raise LedgerError(f"{job.name} is not as this run left it: another program has written the ledger")
    what = (at, _WORDS[kind], after.state, event_data(event), event.raw)
    connection.execute(_NOTE, (after.name, after.request_hash, *what))


_WORDS = {event: word for word, event in KINDS.items()}
_UPDATE = {
    event: f"UPDATE jobs SET {''.join(f'{name} = ?, ' for name in changed)}state = ?"  # noqa: S608  # our own names
    " WHERE name = ? AND request_hash = ? AND state = ? AND attempt = ?"
    for event, changed in CHANGES.items()
}
_NOTE = """INSERT INTO events (job, at, kind, state, data, raw)
    VALUES ((SELECT id FROM jobs WHERE name = ? AND request_hash = ?), ?, ?, ?, ?, ?)"""

"""The ledger: what was asked, what was paid, what came of it. Survives everything but the loss of its disk.

The only package that touches SQLite. ``store`` writes, ``reading`` reads, ``schema`` is the file's format and its
constraints, ``rows`` turns values into columns, ``lock`` keeps a second run out.
"""

from collections.abc import AsyncGenerator, Collection
from typing import Protocol

from pipeline.events import Event
from pipeline.jobs import Job, State


class DuplicateVideo(Exception):
    """The server gave an id that another job of this ledger already has. Nothing was recorded."""


class BudgetReached(Exception):
    """The intent would spend more than is allowed, or nobody knows how much. Nothing was recorded."""


class Ledger(Protocol):
    """What a run needs of a store. A returned ``record`` is on disk; an error means unknown: end the run."""

    async def record(self, job: Job, event: Event) -> Job:
        """Put the event on disk and return the job after it.

        Raises DuplicateVideo when the event claims an id that another job has, BudgetReached for an intent beyond the
        budget, LedgerError for anything else that goes wrong, IllegalTransition where the table has no such move.
        """
        ...

    async def claimed(self, ids: Collection[str]) -> Collection[str]:
        """Return those of the ids that a job has, or has had."""
        ...

    def jobs(self, states: Collection[State]) -> AsyncGenerator[Job, None]:
        """Yield the jobs that are in one of the states, in the order in which they were first enrolled.

        A job that changes meanwhile may be met in its old state, in its new one, in both or in neither.
        """
        ...

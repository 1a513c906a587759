"""What a ledger's jobs come to, added up inside of the file: of a million, none is made a job of to be counted."""

import json
import sqlite3
from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from pipeline.jobs import DOUBTFUL, Failure, FailureKind, Job, State
from pipeline.ledger import reading
from pipeline.summary import Kept, Sums
from pipeline.tally import Standing

# The file keeps that what is paid has an id, and that a doubt has none: so an id says that the server accepted it.
_IN_DOUBT = f"""(state IN ({", ".join(f"'{state}'" for state in State if state in DOUBTFUL)})
    OR (state = 'failed' AND video_id IS NULL AND json_extract(failure, '$.kind') = '{FailureKind.ABANDONED}'))"""
_UNKNOWN = f"(price IS NULL AND (video_id IS NOT NULL OR approvals > 0 OR {_IN_DOUBT}))"
_LEFT_OVER = "orphaned AND path IS NOT NULL AND state = 'done'"
_TELLING = """(failure IS NOT NULL OR warnings <> '[]' OR state = 'completed'
    OR (approvals > 0 AND state NOT IN ('done', 'failed', 'expired')))"""
_SUMS = f"""SELECT state, count(*), count(*) FILTER (WHERE orphaned),
    total(sunk) + total(price) FILTER (WHERE video_id IS NOT NULL),
    total(price) FILTER (WHERE video_id IS NULL AND {_IN_DOUBT}),
    count(*) FILTER (WHERE {_UNKNOWN}),
    count(*) FILTER (WHERE picked), count(*) FILTER (WHERE {_LEFT_OVER}),
    coalesce(sum(bytes) FILTER (WHERE {_LEFT_OVER}), 0), coalesce(max(submitted_at), 0.0), coalesce(max(bytes), 0),
    json_group_array(id) FILTER (WHERE {_TELLING})
    FROM jobs GROUP BY state"""  # noqa: S608  # our own words

_STANDINGS = f"""SELECT id, state, sunk + CASE WHEN video_id IS NULL THEN 0.0 ELSE coalesce(price, 0.0) END,
    CASE WHEN video_id IS NULL AND {_IN_DOUBT} THEN coalesce(price, 0.0) ELSE 0.0 END, {_UNKNOWN} FROM jobs"""  # noqa: S608
_STATES = {state.value: state for state in State}


def sums(connection: sqlite3.Connection) -> tuple[Sums, Sequence[int]]:
    """Return what the jobs come to, and the numbers of those of which there may be something to tell.

    Both in one pass: of a million finished jobs, a second one takes as long as the first.
    """
    rows = {State(word): facts for word, *facts in connection.execute(_SUMS)}
    counts, orphaned = ({state: facts[column] for state, facts in rows.items() if facts[column]} for column in (0, 1))
    spent, in_doubt, unknown, picked, left_over, size = (
        sum(facts[column] for facts in rows.values()) for column in range(2, 8)
    )
    youngest, largest = (max((facts[column] for facts in rows.values()), default=0) for column in (8, 9))
    telling = array("q", sorted(chain.from_iterable(json.loads(facts[10]) for facts in rows.values())))
    return Sums(counts, orphaned, spent, in_doubt, unknown, picked, left_over, size, youngest, largest), telling


def standings(connection: sqlite3.Connection) -> Iterator[tuple[int, Standing]]:
    """Yield what each job adds to the sums, by its number."""
    for number, state, spent, in_doubt, unknown in connection.execute(_STANDINGS):
        yield number, Standing(_STATES[state], spent, in_doubt, bool(unknown))


class KeptJobs(Kept):
    """The jobs of the ledger at the path. ``left`` says why finished videos were left to a later run.

    ``telling`` are the numbers of those of which there may be something to tell, where they are known.
    """

    def __init__(
        self,
        path: Path,
        sums: Sums,
        left: Mapping[tuple[str, str], Failure | None],
        telling: Sequence[int] | None = None,
    ) -> None:
        self.sums = sums
        self._path = path
        self._left = left
        self._telling = telling

    def __iter__(self) -> Iterator[Job]:
        return self._read(tuple(State))  # a run may have brought jobs into other states meanwhile

    def among(self, states: Collection[State], *, telling: bool = False) -> Iterator[Job]:
        if telling and self._telling is not None:
            return self._numbered(self._telling, states)
        return self._read([state for state in states if self.sums.counts.get(state)])

    def _read(self, states: Collection[State]) -> Iterator[Job]:
        if states:
            with reading.opened(self._path) as connection:
                yield from map(self._with_reason, reading.jobs(connection, states))

    def _numbered(self, numbers: Sequence[int], states: Collection[State]) -> Iterator[Job]:
        if numbers:
            with reading.opened(self._path) as connection:
                jobs = (job for job in reading.numbered(connection, numbers) if job.state in states)
                yield from map(self._with_reason, jobs)

    def names(self, state: State) -> Iterator[str]:
        with reading.opened(self._path) as connection:
            for line in reading.lines_among(connection, {state}):
                if not line.orphaned:
                    yield line.name

    def _with_reason(self, job: Job) -> Job:
        failure = self._left.get((job.name, job.request_hash)) if job.state is State.COMPLETED else None
        return replace(job, failure=failure) if failure else job

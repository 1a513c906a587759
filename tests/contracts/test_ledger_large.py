"""A large ledger: read in pages and lines, in order, with as much work as there is to read."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from ledgers import built

from pipeline.blocking import inline
from pipeline.jobs import Spec, State
from pipeline.ledger import enrolling, reading
from pipeline.ledger.store import SqliteLedger

UNFINISHED = frozenset(State) - {State.DONE, State.FAILED, State.EXPIRED}


def steps(path: Path, states: frozenset[State]) -> int:
    """Return how many instructions SQLite carries out to read the jobs in these states."""
    done = 0

    def count() -> None:
        nonlocal done
        done += 1

    with reading.opened(path) as connection:
        connection.set_progress_handler(count, 1)
        assert sum(1 for _ in reading.jobs(connection, states)) > 1000
    return done


@pytest.mark.parametrize("states", [frozenset(State), UNFINISHED], ids=["all", "unfinished"])
def test_twice_as_many_jobs_are_twice_the_work(tmp_path: Path, states: frozenset[State]) -> None:
    for number in (4000, 8000):
        built(tmp_path / f"{number}.db", Random(1), number)
    assert steps(tmp_path / "8000.db", states) < 2.3 * steps(tmp_path / "4000.db", states)


def test_lines_say_of_every_job_what_it_says(tmp_path: Path) -> None:
    built(tmp_path / "ledger.db", Random(2), 2500)
    with reading.opened(tmp_path / "ledger.db") as connection:
        jobs = list(reading.jobs(connection))
        lines = list(reading.lines(connection))
        assert len(jobs) == 2500
        for job, line in zip(jobs, lines, strict=True):
            assert line[1:] == tuple(getattr(job, name) for name in reading.Line._fields[1:])
        by_name = [line[1:3] for line in reading.lines_by_name(connection)]
        assert by_name == sorted((job.name, job.request_hash) for job in jobs)
        some = Random(3).sample(lines, 100)
        assert list(reading.numbered(connection, (line.number for line in some))) == [
            jobs[lines.index(line)] for line in some
        ]
        assert list(reading.numbered(connection, [10**9])) == []


def test_jobs_of_some_states_come_in_the_order_of_their_enrolment(tmp_path: Path) -> None:
    built(tmp_path / "ledger.db", Random(4), 5000)
    with reading.opened(tmp_path / "ledger.db") as connection:
        everything = list(reading.jobs(connection))
        for states in ({State.DONE}, {State.DONE, State.PLANNED}, UNFINISHED, set(State)):
            assert list(reading.jobs(connection, states)) == [job for job in everything if job.state in states]


async def test_enrolling_the_same_again_writes_no_job(tmp_path: Path) -> None:
    specs = [
        Spec(f"shot-{n}#1", 1, {"model": "m", "prompt": f"{n}"}, f"{n}.mp4", "", ("t",), {"n": n}) for n in range(300)
    ]
    path = tmp_path / "ledger.db"
    with closing(SqliteLedger.create_or_open(path, now=lambda: 1e9, blocking=inline)) as ledger:
        await ledger.enrol(specs, settings={"name": "n"})
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TRIGGER quiet BEFORE UPDATE ON jobs BEGIN SELECT RAISE(ABORT, 'written'); END")
        enrolling.enrol(connection, specs)
        with pytest.raises(sqlite3.IntegrityError, match="written"):
            enrolling.enrol(connection, [replace(specs[0], tags=("other",)), *specs[1:]])

"""A large ledger: read in pages and lines, in order, with as much work as there is to read."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from ledgers import built

from pipeline.blocking import inline
from pipeline.jobs import Job, Spec, State
from pipeline.judging import Findings, compare
from pipeline.ledger import enrolling, reading
from pipeline.ledger.store import SqliteLedger
from pipeline.packing import Packed
from pipeline.plan import Fate, Why

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
        with reading.at_one_instant(connection) as instant:
            assert list(instant) == lines
            for place in Random(3).sample(range(2500), 100):
                assert instant[place] == jobs[place]


def test_a_plan_by_the_file_is_that_by_its_jobs(tmp_path: Path) -> None:
    built(tmp_path / "ledger.db", Random(5), 2500)
    with reading.opened(tmp_path / "ledger.db") as connection:
        jobs = list(reading.jobs(connection))
        specs = asked_for(jobs, Random(6))
        keys = [(job.name, job.request_hash) for job in jobs if job.state is State.DONE]
        gone = frozenset(Random(7).sample(keys, 50))
        findings = Findings(gone, frozenset([*gone][:10]), frozenset(), reading.last_events(connection))
        how = {"selected": frozenset(spec.name for spec in specs[::2]), "findings": findings}
        by_jobs = compare(specs, jobs, **how, again=lambda job: job.attempt < 2)
        with reading.at_one_instant(connection) as instant:
            by_file = compare(Packed(specs), instant, **how, again=lambda job: job.attempt < 2)
    assert [*by_file.items] == [*by_jobs.items]
    assert [*by_file.submissions] == [*by_jobs.submissions]
    assert by_file.renamings == by_jobs.renamings
    assert len(by_file.renamings) > 100
    assert {item.fate for item in by_file.items} == set(Fate)
    assert {Why.NEW, Why.CHANGED, Why.UNSENT, Why.AGAIN, Why.ORPHANED} < {item.why for item in by_file.items}


def asked_for(jobs: list[Job], random: Random) -> list[Spec]:
    """Return a manifest's jobs: of these some as they are, some renamed, some changed; others are new."""
    specs = []
    for number, job in enumerate(jobs):
        spec = Spec(job.name, 1, job.request, job.output, "m.yaml:1:1", job.tags, job.metadata)
        kind = random.randrange(5)
        if kind == 1:
            spec = replace(spec, name=f"renamed-{number}#1")
        elif kind == 2:
            spec = replace(spec, request={**job.request, "prompt": f"Another {number}"})
        if kind < 4:
            specs.append(spec)
    random.shuffle(specs)
    return specs


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

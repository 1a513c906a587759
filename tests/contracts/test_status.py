"""What a ledger's jobs come to is the same, whether SQLite adds it up or the jobs are read and added."""

import asyncio
import io
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path
from random import Random

import pytest
from ledgers import built
from rich.console import Console

from pipeline import render, watching
from pipeline.breakers import Stop
from pipeline.campaign import Campaign
from pipeline.commands import Ended
from pipeline.instructions import Options
from pipeline.jobs import State
from pipeline.ledger import following, keeping, reading
from pipeline.summary import Status, Sums, run_document, status_document
from pipeline.surroundings import status_of
from pipeline.tally import Standing, Tally

SEEDS = range(12)


@pytest.fixture(params=SEEDS)
def both(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Status, Status]:
    """A ledger by chance, as its file says it, and the same with every job in memory."""
    rng = Random(request.param)
    built(tmp_path / "c/ledger.db", rng, rng.choice((0, 1, 30, 400, 2500)))
    found = status_of(Campaign(tmp_path / "c"))
    return found, replace(found, jobs=tuple(found.jobs))


def printed(show: Callable[..., None], *given: object) -> str:
    out = Console(file=io.StringIO(), width=200)
    show(out, *given)
    return out.file.getvalue()


def test_the_sums_are_the_same(both: tuple[Status, Status]) -> None:
    found, held = (status.sums for status in both)
    for field in fields(Sums):
        value = getattr(held, field.name)
        assert getattr(found, field.name) == (pytest.approx(value) if isinstance(value, float) else value), field.name


def test_people_and_programs_are_told_the_same(both: tuple[Status, Status]) -> None:
    found, held = both
    assert printed(render.status, found) == printed(render.status, held)
    for ended in (Ended(found, 0), Ended(found, 69, Stop.BUDGET, None, 2)):
        other = replace(ended, status=held)
        assert printed(render.ended, ended, Path("m.yaml"), {}) == printed(render.ended, other, Path("m.yaml"), {})
    cost = pytest.approx(status_document(held)["cost"])
    assert status_document(found) == {**status_document(held), "cost": cost}
    assert run_document(found, 3) == {**run_document(held, 3), "cost": cost}


def test_a_run_ends_with_the_same_code_whatever_was_selected(both: tuple[Status, Status]) -> None:
    found, held = both
    planned = [job.name for job in held.jobs if job.state is State.PLANNED]
    for selected in (frozenset[str](), frozenset(planned[-1:]), frozenset(planned), frozenset({"other"})):
        assert found.exit_code(selected) == held.exit_code(selected)
        assert found.is_unfinished(selected) == held.is_unfinished(selected)


def test_a_tally_begins_with_the_same(both: tuple[Status, Status]) -> None:
    found, held = (Tally.begun(status, todo=3, renders=[60.0], now=2e9) for status in both)
    assert found.counts == held.counts
    assert (found.total, found.done, found.remaining(2e9)) == (held.total, held.done, held.remaining(2e9))


@pytest.mark.parametrize("state", State)
def test_the_exit_code_of_jobs_in_one_state(tmp_path: Path, state: State) -> None:
    """Of a mixed ledger almost always a person has to decide; here nothing hides the other codes."""
    for seed in range(4):
        path = tmp_path / str(seed) / "ledger.db"
        built(path, Random(seed), 40, among=(state,))
        found = status_of(Campaign(path.parent))
        held = replace(found, jobs=tuple(found.jobs))
        names = frozenset(job.name for job in held.jobs)
        assert found.counts == held.counts == {**dict.fromkeys(State, 0), state: 40}
        for selected in (names, frozenset[str]()):
            assert found.exit_code(selected) == held.exit_code(selected)


def test_a_watcher_begins_with_what_there_is_and_the_last_problems(tmp_path: Path) -> None:
    for seed in range(6):
        built(tmp_path / f"{seed}/ledger.db", Random(seed), 500)
        campaign = Campaign(tmp_path / f"{seed}")
        held = Sums.of(tuple(status_of(campaign).jobs))
        with reading.opened(campaign.ledger) as connection:
            jobs, standings = list(reading.jobs(connection)), dict(keeping.standings(connection))
        assert list(standings.values()) == [Standing.of(job) for job in jobs]
        view = asyncio.run(anext(watching.watch(campaign.folder, Options())))
        assert view.tally.counts == held.counts
        assert (view.tally.spent, view.tally.in_doubt) == pytest.approx((held.spent, held.in_doubt))
        assert (view.tally.unknown_price_jobs, view.tally.budget) == (held.unknown_price_jobs, 100.0)
        assert view.tally.todo == held.counts[State.PLANNED]
        troubled = [job for job in jobs if job.state in following.TROUBLE and not job.orphaned]
        assert view.problems == tuple(troubled[-5:])


def test_a_job_that_a_run_moves_meanwhile_is_listed_all_the_same(tmp_path: Path) -> None:
    built(tmp_path / "ledger.db", Random(1), 50, among=(State.PLANNED,))
    found = status_of(Campaign(tmp_path))
    with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as connection:
        connection.execute("UPDATE account SET max_cost = NULL, max_videos = NULL")
        connection.execute("UPDATE jobs SET state = 'submitting' WHERE video_id IS NULL AND id < 20")
    assert len(list(found.jobs)) == 50
    assert found.counts[State.PLANNED] == 50, "as it was then"

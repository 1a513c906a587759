"""A run watched from elsewhere by its ledger: the same sums at every look, and no trace of the watching."""

from dataclasses import replace
from pathlib import Path

import anyio
import httpx
import pytest
from world import World, answers, breaks, does_and_then, spec

from pipeline import watching
from pipeline.instructions import Options
from pipeline.jobs import State
from pipeline.ledger import following, reading
from pipeline.ledger.lock import holder, run_lock
from pipeline.profile import Price
from pipeline.summary import Status
from pipeline.watching import View

EIGHT = [spec(number) for number in range(8)]
SLOWLY = {"requests_per_minute": 12, "polls_per_second": 100}


def stands(world: World) -> Status:
    return Status("world", "", "USD", tuple(world.jobs().values()))


def assert_as_it_stands(view: View, world: World) -> None:
    found, tally = stands(world), view.tally
    assert {state: tally.counts[state] for state in State} == found.counts
    assert (tally.spent, tally.in_doubt) == (pytest.approx(found.spent), pytest.approx(found.in_doubt))
    assert tally.unknown_price_jobs == found.unknown_price_jobs


async def test_every_look_finds_what_the_ledger_has(world: World) -> None:
    world.profile = replace(world.profile, price=Price("USD", {"sora-2": 0.1}))
    refused = b'{"error": {"message": "No [b]fox[/b]", "code": "moderation_blocked"}}'
    world.fault("POST", "/videos", answers(400, refused), does_and_then(breaks(httpx.ReadError("cut"))))
    await world.run(EIGHT[:3], until=0.01, **SLOWLY)
    looks = 0
    async with anyio.create_task_group() as group:

        async def run() -> None:
            await world.run(EIGHT, max_cost=10.0, **SLOWLY)

        group.start_soon(run)
        with anyio.fail_after(600):
            async for view in watching.watch(world.folder, Options()):
                assert_as_it_stands(view, world)
                looks += 1
    assert looks > 20
    assert stands(world).counts[State.DONE] == 7
    assert "No [b]fox[/b]" in {job.failure.message for job in view.problems if job.failure}
    assert view.tally.budget == 10.0
    assert view.tally.render is not None


async def test_a_look_reads_what_has_changed_and_nothing_else(world: World) -> None:
    await world.run(EIGHT, until=9, **SLOWLY)
    with reading.opened(world.folder / "ledger.db") as connection:
        first = following.news(connection, None)
        assert first is not None
        assert first.anew is not None
        assert len([*first.anew]) == 8
        assert following.news(connection, first.mark) is None
    before = {name: job.state for name, job in world.jobs().items()}
    await world.run(EIGHT, until=9, **SLOWLY)
    with reading.opened(world.folder / "ledger.db") as connection:
        second = following.news(connection, first.mark)
        assert second is not None
        changed = {job.name for _, job in second.jobs}
    assert {name for name, job in world.jobs().items() if job.state is not before[name]} <= changed
    assert 0 < len(changed) < 8


async def test_jobs_that_come_with_the_manifest_are_found(world: World) -> None:
    await world.run(EIGHT[:2], until=1, **SLOWLY)
    views = watching.watch(world.folder, Options())
    assert (await anext(views)).tally.total == 2
    await world.run(EIGHT, until=0.01, selected=lambda job: False, **SLOWLY)
    view = await anext(views)
    assert view.tally.total == 8
    assert_as_it_stands(view, world)
    await views.aclose()


def test_who_runs_it_is_told_without_touching_the_lock(tmp_path: Path) -> None:
    lock = tmp_path / "ledger.lock"
    assert holder(lock) is None
    with run_lock(lock):
        held = holder(lock)
        assert held is not None
        assert held.runs
    left = holder(lock)
    assert left is not None
    assert left.runs is False, "though this process is still there"
    lock.write_text('{"pid": 999999999, "host": "elsewhere"}')
    assert holder(lock) == (999999999, "elsewhere", None)
    lock.write_text("not JSON")
    assert holder(lock) is None


async def test_watching_changes_nothing(world: World) -> None:
    await world.run(EIGHT[:1], **SLOWLY)
    before = (world.folder / "ledger.db").read_bytes()
    views = [view async for view in watching.watch(world.folder, Options())]
    assert len(views) == 1, "all is finished, and nobody runs it"
    assert (world.folder / "ledger.db").read_bytes() == before
    assert not (world.folder / "ledger.lock").exists()

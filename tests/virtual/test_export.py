"""A dataset made while a run goes on, after every single event of it: never with half a file, never a video too few."""

from dataclasses import replace
from inspect import unwrap
from pathlib import Path

import pytest
from rendered import ROW, assert_whole, lines
from world import World, spec

from pipeline.delivery import Wanted, export
from pipeline.events import Event
from pipeline.instructions import Options
from pipeline.jobs import Job, State

JOBS = [replace(spec(number, f"Shot {number % 3}"), tags=("odd",) * (number % 2)) for number in range(5)]
FAST = {"requests_per_minute": 6000, "polls_per_second": 100}


@pytest.mark.parametrize("form", ["videofolder", "webdataset"])
async def test_at_any_moment_all_that_is_done_is_whole(world: World, tmp_path: Path, form: str) -> None:
    made, exports = tmp_path / "datasets" / form, list[int]()

    # Without its thread, which would let the clock jump.
    def look(before: Job, event: Event, after: Job) -> None:
        done = {job.name for job in world.jobs().values() if job.state is State.DONE}
        found = unwrap(export)(world.folder, Options(), Wanted(form, made))
        whole = assert_whole(made)
        assert (sum(found.videos.values()), found.exit_code) == (len(done), 0)
        assert found.unfinished == len(JOBS) - len(done)
        exports.append(len(done))
        if form == "webdataset":
            return
        rows = lines(whole.get("data/train/metadata.jsonl", b""))
        assert {row["id"] for row in rows} == done
        for row in rows:
            ROW.validate(row)

    await world.run(JOBS, observe=look, **FAST)
    assert len(exports) > 25
    assert exports == sorted(exports)
    assert {*exports} == {*range(len(JOBS) + 1)}

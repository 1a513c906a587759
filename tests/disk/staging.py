"""What is played for the disk: a small campaign in the world of ``tests/world.py``, whose server lives in a file.

The shipped runner, ledger and outputs, hours in milliseconds. The server keeps its bill while this machine loses its
power, so its file can be set back to what it was at any instant.
"""

import json
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import cache
from hashlib import sha256
from itertools import count
from pathlib import Path
from random import Random
from typing import TypeVar

import anyio
import trio.testing
from disk.platter import Content
from disk.platter import State as OnDisk
from disk.promises import LEDGER
from world import World, now, spec

from pipeline import providers, shipped
from pipeline.blocking import inline
from pipeline.events import Renamed
from pipeline.jobs import State
from pipeline.ledger.store import SqliteLedger
from pipeline.outputs import Outputs
from pipeline.profile import Abilities
from pipeline.simulator.app import application
from pipeline.simulator.footage import StockFootage
from pipeline.simulator.service import open_simulator

T = TypeVar("T")
_seeds = count(1)

TAKEN = "videos/reel/shot-2.mp4"
BEFORE: OnDisk = {"videos": None, "videos/reel": None, TAKEN: Content(b"somebody's", 0o644)}
"""What lies in the campaign's folder before its first run: one of its names is taken."""

SPECS = [
    replace(spec(number), output=f"{folder}shot-{number}.mp4") for number, folder in enumerate(("", "reel/", "reel/"))
]
NEW_NAME, NEW_OUTPUT = "finale#1", "finale/cut/the end.mp4"
FAST = {"requests_per_minute": 6000, "polls_per_second": 100}


async def play(world: World) -> None:
    """Run a campaign of three videos, one of which must take another name; then rename one of them.

    Whatever an earlier play has left is continued, as the command would.
    """
    known = world.jobs() if (world.folder / LEDGER).exists() else {}
    renamed = replace(SPECS[1], name=NEW_NAME, output=NEW_OUTPUT)
    specs = [SPECS[0], renamed if NEW_NAME in known else SPECS[1], SPECS[2]]
    await world.run(specs, **FAST)
    if renamed not in specs:
        path = Outputs(world.folder).rename(job := world.jobs()[SPECS[1].name], NEW_NAME, NEW_OUTPUT)
        with closing(SqliteLedger.create_or_open(world.folder / LEDGER, now=now, blocking=inline)) as ledger:
            await ledger.record(job, Renamed(name=NEW_NAME, output=NEW_OUTPUT, path=path))


def assert_finished(world: World) -> None:
    """Every job is done and was paid once, its file and its sidecar are as recorded, and nothing else lies about."""
    jobs = world.jobs()
    assert sorted(jobs) == sorted([SPECS[0].name, NEW_NAME, SPECS[2].name])
    for job in jobs.values():
        assert (job.state, job.failure) == (State.DONE, None)
        video = world.folder / (job.path or "")
        assert sha256(video.read_bytes()).hexdigest() == job.sha256
        assert json.loads(video.with_suffix(".json").read_bytes())["sha256"] == job.sha256
    assert sorted(line.video_id for line in world.bill()) == sorted(job.video_id or "" for job in jobs.values())
    assert not list(world.folder.rglob("*.part"))


class _Shelf:
    """Stock clips, encoded once for all worlds."""

    def __init__(self) -> None:
        self._clips: dict[str, bytes] = {}

    def clip(self, name: str) -> bytes | None:
        return self._clips.get(name)

    def keep(self, name: str, data: bytes) -> bytes:
        return self._clips.setdefault(name, data)


@cache
def _shelf() -> _Shelf:
    return _Shelf()


@contextmanager
def world_in(folder: Path, server: Path, *, keys: bool = True, later: float = 0) -> Iterator[World]:
    """Give a world with its campaign in the folder, so many seconds ``later`` than the first one.

    ``keys``: the server promises to heed Idempotency-Keys.

    Each world has chances of its own: two that drew the same idempotency keys would share their jobs.
    """
    profile = providers.profile("simulator")
    if not keys:
        profile = replace(profile, abilities=Abilities())
    with open_simulator(
        path=server,
        request_schema=shipped.schema("sora-request"),
        now=lambda: now() + later,
        footage=lambda store: StockFootage(_shelf()),
    ) as service:
        yield World(folder, service, application(service), profile, rng=Random(next(_seeds)), clock_error=later)


def in_virtual_time(work: Callable[[], Awaitable[T]]) -> T:
    """Do the work on a clock that jumps to the next thing that happens."""
    clock = trio.testing.MockClock(autojump_threshold=0)
    return anyio.run(work, backend="trio", backend_options={"clock": clock})


def image(database: Path) -> bytes | None:
    """Return what an SQLite file holds now, with what is in its write-ahead log; None where there is no such file."""
    if not database.exists():
        return None
    with closing(sqlite3.connect(database)) as connection:
        return connection.serialize()

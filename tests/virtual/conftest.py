"""Fixtures of virtual time: a world for the shipped runner, with the simulator behind it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio.testing
from world import World, now

from pipeline import providers, shipped
from pipeline.profile import Abilities, Profile
from pipeline.simulator.app import application
from pipeline.simulator.footage import StockFootage
from pipeline.simulator.pace import Pace
from pipeline.simulator.service import open_simulator


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}


@pytest.fixture(scope="session")
def shelf() -> dict[str, bytes]:
    """Stock clips, encoded once for all worlds."""
    return {}


QUICK = Pace()


def _world(folder: Path, profile: Profile, shelf: dict[str, bytes], pace: Pace = QUICK) -> Iterator[World]:
    class Shelf:
        def clip(self, name: str) -> bytes | None:
            return shelf.get(name)

        def keep(self, name: str, data: bytes) -> bytes:
            return shelf.setdefault(name, data)

    rules = shipped.schema("sora-request")
    with open_simulator(
        path=":memory:", request_schema=rules, now=now, footage=lambda store: StockFootage(Shelf()), pace=pace
    ) as service:
        yield World(folder, service, application(service), profile)


@pytest.fixture
def world(tmp_path: Path, shelf: dict[str, bytes]) -> Iterator[World]:
    """The simulator as it is: a repeated key never makes a second job."""
    yield from _world(tmp_path, providers.profile("simulator"), shelf)


@pytest.fixture
def world_with_list(tmp_path: Path, shelf: dict[str, bytes]) -> Iterator[World]:
    """A server that lists its jobs, and of which nobody knows whether it heeds an Idempotency-Key."""
    profile = replace(providers.profile("simulator"), abilities=Abilities(list=True))
    yield from _world(tmp_path, profile, shelf)


@pytest.fixture
def world_without_keys(tmp_path: Path, shelf: dict[str, bytes]) -> Iterator[World]:
    """A server of which nobody knows whether it heeds an Idempotency-Key."""
    profile = replace(providers.profile("simulator"), abilities=Abilities())
    yield from _world(tmp_path, profile, shelf)


@pytest.fixture
def slow_world(tmp_path: Path, shelf: dict[str, bytes]) -> Iterator[World]:
    """A server that takes half a minute for a video, as real ones do, and more."""
    yield from _world(tmp_path, providers.profile("simulator"), shelf, Pace(queue=(2, 8), render=(15, 40)))

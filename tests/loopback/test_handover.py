"""A campaign that people choose from and hand over: what they say of finished and failed jobs, and what is proved."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from gateway import Ended, call, simulator
from jsonschema import Draft202012Validator

from pipeline import shipped

MANIFEST = """\
version: 1
name: trip
provider: plain
limits: { requests_per_minute: 6000, polls_per_second: 50 }
jobs:
  - { id: fox, prompt: A fox, takes: 2 }
  - { id: finale, prompt: The end, seconds: "8" }
"""
#: A server that promises nothing, at ten cents a second.
PLAIN = """\
name: plain
title: Plain
base_url: http://127.0.0.1:9/v1
auth: { scheme: none }
request:
  schema: sora-request.schema.json
  defaults: { model: sora-2, size: 1280x720, seconds: "4" }
poll: { first: 0.1, interval: 0.1, slowest: 0.5 }
limits: { requests_per_minute: 6000, max_in_flight: 20, polls_per_second: 50, downloads: 4 }
price: { currency: USD, per_second: { sora-2: 0.1 } }
"""
VIDEOS = Path("outputs/trip/videos")


def lay_out(folder: Path) -> None:
    (folder / "trip.yaml").write_text(MANIFEST)
    (folder / "plain.yaml").write_text(PLAIN)


@pytest.fixture(scope="module")
def finished_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A campaign of three videos, done; its server is gone."""
    folder = tmp_path_factory.mktemp("finished")
    lay_out(folder)
    with simulator(folder / "bill.db") as upstream:
        ended = run(folder, upstream)
    assert ended.returncode == 0, ended.stderr
    return folder


@pytest.fixture
def finished(finished_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished_once, tmp_path, dirs_exist_ok=True))


def run(folder: Path, url: str, *more: str) -> Ended:
    arguments = ("--profile", "plain.yaml", "--base-url", url, "--yes", "--takeover", *more)
    return call(folder, "run", "trip.yaml", *arguments)


def said(folder: Path, verb: str, *arguments: str, code: int = 0) -> dict[str, Any]:
    """The JSON document of a command, as its schema promises it; and that it speaks to people too."""
    ended = call(folder, verb, *arguments, "--json")
    assert ended.returncode == code, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    Draft202012Validator(shipped.schema(verb)).validate(found)
    return found


def jobs(folder: Path) -> dict[str, dict[str, Any]]:
    return {job["job"]: job for job in said(folder, "status", "trip.yaml")["jobs"] if not job["orphaned"]}


def test_smoke(finished: Path) -> None:
    before = {p.name: p.read_bytes() for p in (finished / VIDEOS).glob("*.mp4")}
    print(before.keys())
    print(call(finished, "pick", "trip.yaml", "fox", "finale#1", "--profile", "plain.yaml").stderr)
    print(call(finished, "pick", "trip.yaml", "fox", "finale#1"))
    print(call(finished, "reject", "trip.yaml", "fox#1", "--profile", "plain.yaml"))
    print(said(finished, "reject", "trip.yaml", "fox#2", "--profile", "plain.yaml"))
    print(call(finished, "reject", "trip.yaml", "fx#1"))
    print(call(finished, "reject", "trip.yaml", "fox#1"))
    print(call(finished, "plan", "trip.yaml", "--profile", "plain.yaml"))
    print(call(finished, "verify", "trip.yaml"))
    print([str(p) for p in (finished / "outputs").rglob("*")])
    with simulator(finished / "bill.db") as upstream:
        print(run(finished, upstream))
    print(call(finished, "verify", "trip.yaml"))
    print(call(finished, "show", "trip.yaml", "fox#1"))
    print([str(p) for p in (finished / "outputs").rglob("*")])
    print((finished / "outputs/trip/rejected/fox-1--").parent)
    print(call(finished, "clean", "trip.yaml", "--profile", "plain.yaml"))
    (finished / "trip.yaml").write_text(MANIFEST.replace("A fox", "A crow"))
    print(call(finished, "clean", "trip.yaml", "--profile", "plain.yaml"))
    print(call(finished, "clean", "trip.yaml", "--profile", "plain.yaml", "--orphans"))
    print(call(finished, "clean", "trip.yaml", "--profile", "plain.yaml", "--orphans", "--yes"))
    print(call(finished, "verify", "trip.yaml"))
    print(call(finished, "plan", "trip.yaml", "--profile", "plain.yaml"))
    (finished / "trip.yaml").write_text(MANIFEST)
    print(call(finished, "plan", "trip.yaml", "--profile", "plain.yaml"))
    print(call(finished, "retry", "trip.yaml", "--all"))
    print(call(finished, "retry", "trip.yaml", "fox#1"))
    print(call(finished, "retry", "trip.yaml"))
    os.rename(finished / "outputs/trip/ledger.db", finished / "l.db")
    print(call(finished, "rebuild", "outputs/trip"))
    print(call(finished, "show", "outputs/trip", "fox#1"))
    assert 0

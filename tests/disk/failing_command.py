"""The real command on a disk that fails, and then on one that does not: exit codes, words, and the bill."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from disk.accounts import complaints
from disk.launching import Landed, Launch, landed
from disk.server import Server, manifest

from pipeline.ledger import reading

_PROFILE = {
    "name": "rental",
    "title": "A server for these tests",
    "base_url": "http://127.0.0.1:9/v1",
    "auth": {"scheme": "none"},
    "request": {
        "schema": "sora-request.schema.json",
        "defaults": {"model": "sora-2", "size": "1280x720", "seconds": "4"},
    },
    "poll": {"first": 0.2, "interval": 0.2, "slowest": 0.5},
    "limits": {"requests_per_minute": 60000, "max_in_flight": 10, "polls_per_second": 50, "downloads": 4},
}


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with the disk of a launch: see ``launching.Launch``.

    ``home``: it is wrong with the folder for what is rescued, too. ``begun``: one video is there before it begins.
    ``keys``: the server heeds Idempotency-Keys.
    """

    fault: tuple[int, int, float] | None = None
    pages: int | None = None
    longest: int | None = None
    home: bool = False
    begun: bool = False
    keys: bool = False


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of a trouble: of the launch in it, of the one after it, and what is wrong with that."""

    trouble: Trouble
    first: Landed
    second: Landed
    wrong: tuple[str, ...]


def tried(folder: Path, server: Server, troubles: Sequence[Trouble]) -> list[Tried]:
    """Launch the command in each of the troubles, in a folder of its own in here, and then without."""
    launches = [_troubled(folder / str(number), server, trouble) for number, trouble in enumerate(troubles)]
    begun = [launch for launch, trouble in zip(launches, troubles, strict=True) if trouble.begun]
    landed([_healthy(launch, "before", "--limit", "1") for launch in begun])
    first = landed(launches)
    second = landed([_healthy(launch, "after") for launch in launches])
    found = []
    for trouble, launch, one, two in zip(troubles, launches, first, second, strict=True):
        wrong = wrong_with(launch.folder, server, one, two, keys=trouble.keys)
        found.append(Tried(trouble, one, two, tuple(wrong)))
    return found


def prepared(folder: Path, server: Server, *, keys: bool) -> tuple[str, ...]:
    """Make a folder with a manifest of two jobs that no other folder asks for; return the arguments that run it."""
    folder.mkdir(parents=True)
    (folder / "rental.yaml").write_text(json.dumps(_PROFILE | {"abilities": {"idempotency": keys}}), "utf-8")
    manifest(folder, [{"id": name, "prompt": f"The {name} in {folder}"} for name in ("city", "sea")], provider="rental")
    return "run", "trip.yaml", "--profile", "rental.yaml", "--base-url", server.url, "--yes"


def wrong_with(
    folder: Path, server: Server, first: Landed, second: Landed, *, keys: bool, outputs: Path = Path("outputs")
) -> Iterator[str]:
    """Yield what is wrong after two launches in the folder, the first of them in trouble."""
    if first.code not in {0, 5}:
        yield f"exit code {first.code}: {first.words[-500:]}"
    if second.code not in ({0} if keys else {0, 3}):
        yield f"then exit code {second.code}: {second.words[-500:]}"
    for words in (first.words, second.words):
        if "Traceback" in words:
            yield words[-2000:]
    bill = [(video, prompt) for video, prompt in server.bill() if prompt.endswith(f" in {folder}")]
    with reading.opened(folder / outputs / "trip/ledger.db") as connection:
        yield from complaints(reading.jobs(connection), bill, first.words, keys=keys)
    yield from (f"{path.name} lies about" for path in (folder / outputs).rglob("*.part"))


def _troubled(folder: Path, server: Server, trouble: Trouble) -> Launch:
    arguments = prepared(folder, server, keys=trouble.keys)
    home = folder / "outputs" if trouble.home else folder / "state"
    return Launch(folder, arguments, folder / "said", home, trouble.fault, trouble.pages, trouble.longest)


def _healthy(launch: Launch, name: str, *more: str) -> Launch:
    arguments, said = (*launch.arguments, *more), launch.folder / name
    return replace(launch, arguments=arguments, said=said, fault=None, pages=None, longest=None)

"""Where a trial takes place, what it comes to, and the table of that as Markdown."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from servers import Proxy, Simulator

_HEAD = ("what", "LiteLLM", "the gateway says", "Callsheet says", "as expected")


@dataclass(frozen=True)
class Place:
    """This version before this kind of deployment, and the folder for what is done there."""

    version: str
    deployment: str
    gateway: Proxy
    upstream: Simulator
    folder: Path


@dataclass(frozen=True)
class Row:
    """``wrong`` says where an expectation was not met."""

    place: Place
    what: str
    gateway: str
    ours: str
    wrong: tuple[str, ...]


def markdown(rows: Sequence[Row]) -> str:
    """Return the table; what was the same in several places is one line of it."""
    places = dict[tuple[str, ...], list[Place]]()
    for what in dict.fromkeys(row.what for row in rows):
        for row in rows:
            if row.what == what:
                said = (what, row.gateway, row.ours, "no" if row.wrong else "yes")
                places.setdefault(said, []).append(row.place)
    deployments = {row.place.deployment for row in rows}
    lines = [_HEAD, ["---" for _ in _HEAD]]
    lines += [(said[0], ", ".join(_named(found, deployments)), *said[1:]) for said, found in places.items()]
    return "".join(f"| {' | '.join(_cell(cell) for cell in cells)} |\n" for cells in lines)


def _named(places: Sequence[Place], deployments: Collection[str]) -> Iterator[str]:
    """Yield the versions, each alone where it is there before all kinds of deployment."""
    for version in dict.fromkeys(place.version for place in places):
        before = [place.deployment for place in places if place.version == version]
        yield version if {*before} == {*deployments} else f"{version} before {' and '.join(before)}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")

"""Where a trial takes place, the line of the table that it comes to, and the table as Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from servers import Proxy, Simulator

_HEAD = ("LiteLLM", "before", "what", "the gateway says", "Callsheet says", "as expected")


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

    def __str__(self) -> str:
        verdict = "no" if self.wrong else "yes"
        return _line(self.place.version, self.place.deployment, self.what, self.gateway, self.ours, verdict)


def markdown(rows: Sequence[Row]) -> str:
    return "".join(f"{line}\n" for line in (_line(*_HEAD), _line(*("---" for _ in _HEAD)), *rows))


def _line(*cells: str) -> str:
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")

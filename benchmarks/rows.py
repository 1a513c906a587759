"""What a benchmark found: rows of a table. Every number is a cost, so less is better."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any


class Broken(Exception):
    """The benchmark itself does not hold: a side failed, or did not do the work."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line. ``ratio`` is held against ``goal``: at least it, where that begins with ``>=``, or at most."""

    benchmark: str
    unit: str
    ours: tuple[float, ...]
    peer: tuple[float, ...]
    against: str
    ratio: float
    goal: str

    @property
    def met(self) -> bool | None:
        word, _, number = self.goal.partition(" ")
        bound = float(number.partition(" ")[0].rstrip("x") or 0)
        return {">=": self.ratio >= bound, "<=": self.ratio <= bound}.get(word)

    def document(self) -> dict[str, Any]:
        return asdict(self) | {"met": self.met, "median": [median(self.ours), median(self.peer) if self.peer else None]}


def cheaper(
    benchmark: str, unit: str, ours: Sequence[float], peer: Sequence[float], against: str, *, least: float | None
) -> Row:
    """Return how many times less ours costs than the peer."""
    goal = "-" if least is None else f">= {least:g}x"
    return Row(benchmark, unit, tuple(ours), tuple(peer), against, median(peer) / median(ours), goal)


def share(
    benchmark: str, unit: str, ours: Sequence[float], peer: Sequence[float], against: str, *, most: float | None
) -> Row:
    """Return what part of the peer's cost ours is."""
    goal = "-" if most is None else f"<= {most:g}x"
    return Row(benchmark, unit, tuple(ours), tuple(peer), against, median(ours) / median(peer), goal)


def bound(benchmark: str, unit: str, ours: Sequence[float], *, most: float | None) -> Row:
    """Return a cost that has a bound of its own, or none."""
    goal = "-" if most is None else f"<= {most:g} {unit.partition(' ')[0]}"
    return Row(benchmark, unit, tuple(ours), (), "-", median(ours), goal)


def table(rows: Sequence[Row]) -> str:
    """Return the rows as text, in columns."""
    lines = [("benchmark", "ours", "peer", "unit", "ratio", "goal", "met", "against")]
    for row in rows:
        peer = _short(median(row.peer)) if row.peer else "-"
        ratio = f"{_short(row.ratio)}x" if row.peer else "-"
        met = {True: "yes", False: "NO", None: "-"}[row.met]
        lines.append((row.benchmark, _short(median(row.ours)), peer, row.unit, ratio, row.goal, met, row.against))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            word.rjust(width) if column in _NUMBERS else word.ljust(width)
            for column, (word, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


_NUMBERS = {1, 2, 4}


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"

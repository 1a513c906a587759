"""How long a plan takes under the limits given, by how long renders took before. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from pipeline.costs import Kind


@dataclass(frozen=True, slots=True)
class Renders:
    """Seconds from the acceptance of a job to its completion, as they were seen: the median, and nine of ten."""

    median: float
    most: float
    seen: int


def learned(seen: Iterable[tuple[Kind, float]]) -> Mapping[Kind, Renders]:
    """Return what is to be expected of each kind of which any render was seen."""
    times: defaultdict[Kind, list[float]] = defaultdict(list)
    for kind, seconds in seen:
        times[kind].append(seconds)
    return {kind: _renders(sorted(found)) for kind, found in times.items()}


def _renders(ordered: Sequence[float]) -> Renders:
    number = len(ordered)
    return Renders(ordered[number // 2], ordered[min(number - 1, number * 9 // 10)], number)


@dataclass(frozen=True, slots=True)
class Forecast:
    """Seconds until all is rendered: as renders usually went, and as the slow ones did; None where nobody can tell.

    ``submitting``: at the least until the last job is submitted, as the rate alone allows it. ``unknown_jobs`` are of a
    kind of which no render was seen. Downloads are not in it: they go on meanwhile.
    """

    submitting: float
    usual: float | None
    slow: float | None
    unknown_jobs: int


def forecast(
    ahead: Sequence[Kind],
    at_server: Sequence[Kind],
    renders: Mapping[Kind, Renders],
    *,
    requests_per_minute: float,
    max_in_flight: int,
) -> Forecast:
    """Return how long it takes to submit what is ``ahead``, in this order, behind what is ``at_server`` already."""
    gap = 60 / requests_per_minute
    unknown = sum(kind not in renders for kind in (*ahead, *at_server))
    submitting = max(0, len(ahead) - 1) * gap
    if unknown:
        return Forecast(submitting, None, None, unknown)
    usual, slow = (
        _until_rendered([times[kind] for kind in ahead], [times[kind] for kind in at_server], gap, max_in_flight)
        for times in (
            {kind: found.median for kind, found in renders.items()},
            {kind: found.most for kind, found in renders.items()},
        )
    )
    return Forecast(submitting, usual, slow, 0)


def _until_rendered(ahead: Iterable[float], at_server: Iterable[float], gap: float, slots: int) -> float:
    """Return when the last job is rendered, if each begins as soon as it has its turn and a slot."""
    busy = [*at_server]
    heapify(busy)
    turn, end = 0.0, max(busy, default=0.0)
    for seconds in ahead:
        start = turn
        while len(busy) >= slots:
            start = max(start, heappop(busy))
        heappush(busy, start + seconds)
        turn, end = start + gap, max(end, start + seconds)
    return end

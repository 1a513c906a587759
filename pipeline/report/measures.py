"""What a run looked like, in numbers: how far it was when, how fast it was sent, how long it rendered. Pure."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pipeline import neutral
from pipeline.jobs import DOUBTFUL, FOR_A_PERSON, OVER, FailureKind, Job, State
from pipeline.report.frames import History

POINTS = 240
"""A curve has no more points than that: it is a few hundred pixels wide."""
MINUTE = 60.0
GROUPS = 8
"""Sizes and lengths that are told apart; the rarer ones are one group."""


class Point(NamedTuple):
    """At an instant, how many jobs had been sent for the first time, were done, had failed."""

    at: float
    sent: int
    done: int
    failed: int


@dataclass(frozen=True, slots=True)
class Pace:
    """At instants, how many submissions the minute before them had. ``limit`` is what a minute may have."""

    points: tuple[tuple[float, int], ...]
    sent: int
    limit: float | None


@dataclass(frozen=True, slots=True)
class Spread:
    """Seconds that the videos of one size and length took to render: least, quartiles and most."""

    label: str
    videos: int
    least: float
    lower: float
    median: float
    upper: float
    most: float


class Class(NamedTuple):
    """Jobs that stand failed or held for this reason, and how often it came up in all."""

    kind: FailureKind
    jobs: int
    times: int


def progress(histories: Sequence[History]) -> tuple[Point, ...]:
    """Return how far the campaign was when, at no more than POINTS instants."""
    changes: list[tuple[float, int, int, int]] = []
    for history in histories:
        done = failed = sent = False
        for entry in history.entries:
            now_done, now_failed = entry.state is State.DONE, entry.state in OVER
            now_sent = sent or entry.kind == "intended"
            change = now_sent - sent, now_done - done, now_failed - failed
            if any(change):
                changes.append((entry.at, *change))
            sent, done, failed = now_sent, now_done, now_failed
    changes.sort()
    points, sums = list[Point](), (0, 0, 0)
    for at, sent_by, done_by, failed_by in changes:
        sums = sums[0] + sent_by, sums[1] + done_by, sums[2] + failed_by
        points.append(Point(at, *sums))
    return _thinned(points)


def pace(histories: Iterable[History], limit: float | None) -> Pace | None:
    """Return how many submissions each minute had, at no more than about POINTS instants; None where there were none.

    The minute ends at the instant, as a server that limits requests counts it. Of a stretch the busiest one is told.
    """
    times = sorted(entry.at for history in histories for entry in history.entries if entry.kind == "intended")
    if not times:
        return None
    counted = sorted(
        {
            at: bisect_right(times, at) - bisect_right(times, at - MINUTE)
            for edge in times
            for at in (edge, edge + MINUTE)
        }.items()
    )
    first, width = counted[0][0], max(counted[-1][0] - counted[0][0], MINUTE) / POINTS
    busiest: dict[int, tuple[float, int]] = {}
    for at, count in counted:
        stretch = int((at - first) / width)
        busiest[stretch] = max(busiest.get(stretch, (at, 0)), (at, count), key=lambda point: point[1])
    return Pace((*busiest.values(), (counted[-1])), len(times), limit)


def rendering(histories: Iterable[History]) -> tuple[Spread, ...]:
    """Return how long videos rendered, by size and length, the most frequent first."""
    groups: dict[str, list[float]] = {}
    for history in histories:
        if history.rendered is not None:
            request = history.job.request
            label = neutral.on_lines(f"{request.get('size', '?')}, {request.get('seconds', '?')} s")
            groups.setdefault(label, []).append(history.rendered)
    ordered = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    if len(ordered) > GROUPS:
        rest = [seconds for _, times in ordered[GROUPS - 1 :] for seconds in times]
        ordered = [*ordered[: GROUPS - 1], ("all others", rest)]
    return tuple(_spread(label, sorted(times)) for label, times in ordered)


def failures(histories: Iterable[History]) -> tuple[Class, ...]:
    """Return the classes of errors, those with the most jobs first."""
    jobs, times = Counter[FailureKind](), Counter[FailureKind]()
    for history in histories:
        job = history.job
        if job.failure is not None and job.state in OVER | FOR_A_PERSON | DOUBTFUL:
            jobs[job.failure.kind] += 1
        for entry in history.entries:
            failure = entry.data.get("failure")
            if isinstance(failure, dict) and entry.kind not in {"held", "abandoned", "retried"}:  # told again
                times[FailureKind(str(failure.get("kind")))] += 1
    kinds = sorted(jobs.keys() | times.keys(), key=lambda kind: (-jobs[kind], -times[kind], kind))
    return tuple(Class(kind, jobs[kind], max(times[kind], jobs[kind])) for kind in kinds)


def standing(jobs: Iterable[Job]) -> dict[FailureKind, list[Job]]:
    """Return the jobs that stand failed, or wait for a person, by class; the largest class first."""
    found: dict[FailureKind, list[Job]] = {}
    for job in jobs:
        if job.failure is not None and (
            job.state in FOR_A_PERSON | DOUBTFUL or (job.state in OVER and not job.orphaned)
        ):
            found.setdefault(job.failure.kind, []).append(job)
    return dict(sorted(found.items(), key=lambda pair: -len(pair[1])))


def _thinned(points: Sequence[Point]) -> tuple[Point, ...]:
    """Return the last point of each of POINTS equal stretches of time, and the first of all."""
    if len(points) <= POINTS:
        return tuple(points)
    first, last = points[0].at, points[-1].at
    if first == last:
        return (points[-1],)
    instants = [first + (last - first) * number / (POINTS - 1) for number in range(POINTS)]
    kept = [points[max(0, bisect_right(points, at, key=lambda point: point.at) - 1)] for at in instants[:-1]]
    return tuple(dict.fromkeys([*kept, points[-1]]))


def _spread(label: str, times: Sequence[float]) -> Spread:
    quarters = [_quantile(times, share) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    return Spread(label, len(times), *quarters)


def _quantile(times: Sequence[float], share: float) -> float:
    place = share * (len(times) - 1)
    below = int(place)
    above = min(below + 1, len(times) - 1)
    return times[below] + (times[above] - times[below]) * (place - below)

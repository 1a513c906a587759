"""Charts as SVG, each with its title, a sentence that says what it shows, and the same numbers in a table. Pure.

Colours and type are those of ``page.css``: what is drawn has a class and no style of its own.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, log10
from typing import TypeVar

from pipeline.report.measures import Class, Pace, Point, Spread

WIDTH, HEIGHT = 520, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 16, 30, 30
_ROW = 40
_ROWS = 24

_TIME_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)

_P = TypeVar("_P")


@dataclass(frozen=True, slots=True)
class Chart:
    """``drawing`` is what stands inside the SVG; ``rows`` the same numbers, under ``columns``."""

    name: str
    title: str
    says: str
    drawing: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    height: float = HEIGHT

    def html(self) -> str:
        """Return the chart as a figure, or a line that says that there is nothing to draw yet."""
        head = f'<figure class="chart"><figcaption><h3>{escape(self.title)}</h3><p>{escape(self.says)}</p></figcaption>'
        if not self.rows:
            return f"{head}</figure>"
        titles = "".join(f'<th scope="col">{escape(column)}</th>' for column in self.columns)
        rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in self.rows)
        return (
            f'{head}<svg viewBox="0 0 {WIDTH} {self.height:g}" role="img"'
            f' aria-labelledby="{self.name}-t {self.name}-d">'
            f'<title id="{self.name}-t">{escape(self.title)}</title><desc id="{self.name}-d">{escape(self.says)}</desc>'
            f"{self.drawing}</svg>"
            f'<details><summary>The numbers<span class="unseen"> of “{escape(self.title)}”</span></summary>'
            f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(self.title)}"><table>'
            f"<thead><tr>{titles}</tr></thead><tbody>{rows}</tbody></table></div></details></figure>"
        )


def progress_chart(points: Sequence[Point], total: int) -> Chart:
    """Draw how many jobs were sent, done and failed over time, below a line for all of them."""
    if not points:
        return Chart("progress", "Progress", "Nothing has been sent yet.", "", (), ())
    last = points[-1]
    says = f"{last.done} of {total} done, {last.failed} failed, {duration(last.at - points[0].at)} after the first."
    across = _Scale(points[0].at, max(last.at, points[0].at + 1), _LEFT, WIDTH - _RIGHT)
    up = _Scale(0, _ceiling(max(total, 1)), HEIGHT - _BOTTOM, _TOP)
    done = _steps([(point.at, point.done) for point in points], across, up)
    sent = _steps([(point.at, point.sent) for point in points], across, up)
    failed = _steps([(point.at, point.failed) for point in points], across, up)
    drawing = (
        f"{_grid(up)}{_times(across)}"
        f'<path class="area" d="{done} V{up.far:g} H{_LEFT} Z"/><path class="line sent" d="{sent}"/>'
        f'<path class="line done" d="{done}"/>{_line("failed", failed) if last.failed else ""}'
        f"{_key(('sent', 'done', 'failed') if last.failed else ('sent', 'done'))}"
    )
    rows = [(moment(point.at), str(point.sent), str(point.done), str(point.failed)) for point in _some(points)]
    return Chart("progress", "Progress", says, drawing, ("Time (UTC)", "Sent", "Done", "Failed"), rows)


def pace_chart(pace: Pace | None) -> Chart:
    """Draw how many submissions the minute before each instant had, against the limit."""
    title = "Submissions in a minute"
    if pace is None:
        return Chart("pace", title, "Nothing has been sent yet.", "", (), ())
    most, limit = max(count for _, count in pace.points), pace.limit
    bound = "the limit is not known" if limit is None else f"the limit is {limit:g}"
    says = f"{pace.sent} sent, at most {most} in any minute; {bound}."
    start, end = pace.points[0][0], pace.points[-1][0]
    across = _Scale(start, max(end, start + 1), _LEFT, WIDTH - _RIGHT)
    up = _Scale(0, _ceiling(most if limit is None or limit > 20 * most else max(most, limit)), HEIGHT - _BOTTOM, _TOP)
    sent = _steps(pace.points, across, up)
    line = ""
    if limit is not None and limit <= up.high:
        line = (
            f'<path class="line limit" d="M{_LEFT} {up(limit):.1f} H{WIDTH - _RIGHT}"/>'
            f'<text class="limit" x="{WIDTH - _RIGHT}" y="{max(up(limit) - 5, 10):.1f}" text-anchor="end">'
            f"limit {limit:g}</text>"
        )
    drawing = (
        f"{_grid(up)}{_times(across)}"
        f'<path class="area going" d="{sent} V{up.far:g} H{_LEFT} Z"/><path class="line going" d="{sent}"/>{line}'
    )
    rows = [(moment(at), str(count)) for at, count in _some(pace.points)]
    return Chart("pace", title, says, drawing, ("Minute before (UTC)", "Sent"), rows)


def rendering_chart(spreads: Sequence[Spread]) -> Chart:
    """Draw for each size and length the quartiles of the render times, and the least and the most."""
    title = "Render time by size and length"
    if not spreads:
        return Chart("rendering", title, "Nothing has been rendered yet.", "", (), ())
    videos = sum(spread.videos for spread in spreads)
    says = f"Of {videos} videos, from their acceptance until they were seen to be ready: median, quartiles, extremes."
    height = _ROW * len(spreads) + _BOTTOM + 8
    step = _time_step(max(spread.most for spread in spreads))
    high = step * ceil(max(spread.most for spread in spreads) / step * (1 - 1e-9))
    across = _Scale(0, high or step, 0, WIDTH)
    drawn = [_vertical(across, step, height)]
    for number, one in enumerate(spreads):
        middle = _ROW * number + 30
        lower, upper, median = across(one.lower), across(one.upper), across(one.median)
        drawn.append(
            f'<text class="label" x="0" y="{middle - 13}">{escape(one.label)}</text>'
            f'<text class="value" x="{WIDTH}" y="{middle - 13}" text-anchor="end">'
            f"{duration(one.median)}, {one.videos} video{'s'[: one.videos != 1]}</text>"
            f'<path class="whisker" d="M{across(one.least):.1f} {middle} H{across(one.most):.1f}"/>'
            f'<rect class="box" x="{lower:.1f}" y="{middle - 6}" '
            f'width="{max(upper - lower, 2):.1f}" height="12" rx="2"/>'
            f'<path class="median" d="M{median:.1f} {middle - 8} V{middle + 8}"/>'
        )
    columns = ("Size and length", "Videos", "Least", "Lower quartile", "Median", "Upper quartile", "Most")
    rows = [
        (one.label, str(one.videos), *map(duration, (one.least, one.lower, one.median, one.upper, one.most)))
        for one in spreads
    ]
    return Chart("rendering", title, says, "".join(drawn), columns, rows, height)


def failures_chart(classes: Sequence[Class]) -> Chart:
    """Draw for each class of errors how many jobs stand there, and how often it came up."""
    title = "Errors by class"
    if not classes:
        return Chart("failures", title, "Nothing has failed.", "", (), ())
    says = "Strong: jobs that stand there now. Faint: how often it came up in all, also where the work went on."
    height = _ROW * len(classes)
    across = _Scale(0, max(one.times for one in classes), 0, WIDTH)
    drawn = []
    for number, one in enumerate(classes):
        top = _ROW * number
        label = one.kind.value.replace("_", " ")
        drawn.append(
            f'<text class="label" x="0" y="{top + 12}">{label}</text>'
            f'<text class="value" x="{WIDTH}" y="{top + 12}" text-anchor="end">{one.jobs} of {one.times}</text>'
            f'<rect class="times" x="0" y="{top + 18}" width="{across(one.times):.1f}" height="10" rx="2"/>'
            f'<rect class="jobs" x="0" y="{top + 18}" width="{across(one.jobs):.1f}" height="10" rx="2"/>'
        )
    rows = [(one.kind.value.replace("_", " "), str(one.jobs), str(one.times)) for one in classes]
    return Chart("failures", title, says, "".join(drawn), ("Class", "Jobs there now", "Times"), rows, height)


def duration(seconds: float) -> str:
    """Return a time as people say it: 8.5 s, 2 min 5 s, 3 h 10 min, 2 d 4 h."""
    if seconds == 0:
        return "0"
    if seconds < 10:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    whole = round(seconds)
    for unit, part, large, small in ((86400, 3600, "d", "h"), (3600, 60, "h", "min"), (60, 1, "min", "s")):
        if whole >= unit:
            rest = whole % unit // part
            return f"{whole // unit} {large}" + (f" {rest} {small}" if rest else "")
    return f"{whole} s"


def moment(at: float) -> str:
    """Return an instant in UTC, to the second."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at))


class _Scale:
    """Maps numbers from ``low`` to ``high`` to pixels from ``far`` to ``near``."""

    def __init__(self, low: float, high: float, far: float, near: float) -> None:
        self.low, self.high, self.far, self.near = low, high, far, near

    def __call__(self, value: float) -> float:
        return self.far + (value - self.low) / ((self.high - self.low) or 1) * (self.near - self.far)


def _step(high: float) -> float:
    """Return a round distance of which two to five reach up to ``high``: a whole one unless that is less than one."""
    power: float = 10 ** int(log10(high / 4) // 1)
    step = next(step * power for step in (1, 2, 5, 10) if step * power >= high / 4 * (1 - 1e-9))
    return max(step, 1) if high >= 1 else step


def _ceiling(high: float) -> float:
    """Return the round number at or above ``high`` where the last line of the grid is."""
    if high <= 0:
        return 1
    step = _step(high)
    return step * ceil(high / step * (1 - 1e-9))


def _grid(up: _Scale) -> str:
    lines = [f'<path class="axis" d="M{_LEFT} {up.far:g} H{WIDTH - _RIGHT}"/>']
    step = _step(up.high)
    for number in range(1, round(up.high / step) + 1):
        value = step * number
        y = up(value)
        lines.append(f'<path class="grid" d="M{_LEFT} {y:.1f} H{WIDTH - _RIGHT}"/>')
        lines.append(f'<text x="{_LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    return "".join(lines)


def _time_step(longest: float) -> float:
    """Return a distance of which two to five reach to the longest time."""
    return next((step for step in _TIME_STEPS if longest / step <= 5), longest / 4)


def _vertical(across: _Scale, step: float, height: float) -> str:
    lines = []
    for number in range(round(across.high / step) + 1):
        x = across(step * number)
        anchor = "start" if not number else "end" if x > WIDTH - 30 else "middle"
        lines.append(f'<path class="grid" d="M{x:.1f} 4 V{height - _BOTTOM + 6}"/>')
        lines.append(f'<text x="{x:.1f}" y="{height - 8:g}" text-anchor="{anchor}">{duration(step * number)}</text>')
    return "".join(lines)


def _times(across: _Scale) -> str:
    """Return three instants below the axis, as precise as their distance asks for."""
    span = across.high - across.low
    form = "%H:%M:%S" if span < 600 else "%H:%M" if span < 86400 else "%d %b %H:%M"
    texts = []
    for share in (0.0, 0.5, 1.0):
        at = across.low + span * share
        x = across(at)
        anchor = {0.0: "start", 0.5: "middle", 1.0: "end"}[share]
        said = time.strftime(form, time.gmtime(at))
        texts.append(f'<text x="{x:.1f}" y="{HEIGHT - 10}" text-anchor="{anchor}">{said}</text>')
    return "".join(texts)


def _steps(values: Sequence[tuple[float, float]], across: _Scale, up: _Scale) -> str:
    """Return a path that keeps each value until the next one."""
    first, *rest = values
    path = [f"M{across(first[0]):.1f} {up(0):.1f} V{up(first[1]):.1f}"]
    path += [f"H{across(at):.1f} V{up(value):.1f}" for at, value in rest]
    return f"{' '.join(path)} H{WIDTH - _RIGHT}"


def _some(points: Sequence[_P]) -> Sequence[_P]:
    """Return no more points than a person reads, evenly chosen, with the first and the last."""
    if len(points) <= _ROWS:
        return points
    return [points[round(number * (len(points) - 1) / (_ROWS - 1))] for number in range(_ROWS)]


def _line(name: str, path: str) -> str:
    return f'<path class="line {name}" d="{path}"/>'


def _key(names: Sequence[str]) -> str:
    """Return which line is which."""
    starts = [_LEFT + 74 * number for number in range(len(names))]
    return "".join(
        f'<path class="line {name}" d="M{x} 8 h16"/><text x="{x + 22}" y="12">{name}</text>'
        for name, x in zip(names, starts, strict=True)
    )

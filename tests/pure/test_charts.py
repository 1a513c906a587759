"""The charts of the page: the numbers behind them, and that they are drawn so that they can be read."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from xml.etree import ElementTree as ET

import pytest
from browser.histories import BEGAN, history

from pipeline.jobs import FailureKind, State
from pipeline.ledger.reading import Entry
from pipeline.report import charts, measures
from pipeline.report.charts import Chart, duration
from pipeline.report.frames import History
from pipeline.report.measures import Class, Pace, Point

JOB = history(0).job


def told(*entries: tuple[float, str, State], request: dict[str, str] | None = None) -> History:
    job = replace(JOB, request=request or JOB.request)
    return History(job, tuple(Entry(at, kind, state, {}, b"") for at, kind, state in entries))


def sent(*times: float) -> list[History]:
    return [told((at, "intended", State.SUBMITTING)) for at in times]


def rendered(seconds: float, size: str = "1280x720") -> History:
    entries = (0.0, "accepted", State.SUBMITTED), (seconds, "completed", State.COMPLETED)
    return told(*entries, request={"size": size, "seconds": "4"})


def test_progress_counts_a_job_once_and_takes_back_what_is_no_longer_so() -> None:
    rejected = told(
        (0, "intended", State.SUBMITTING),
        (9, "published", State.DONE),
        (20, "rejected", State.PLANNED),
        (21, "intended", State.SUBMITTING),
        (30, "failed", State.FAILED),
        (40, "retried", State.PLANNED),
    )
    other = told((5, "intended", State.SUBMITTING))
    assert measures.progress([rejected, other]) == (
        Point(0, 1, 0, 0),
        Point(5, 2, 0, 0),
        Point(9, 2, 1, 0),
        Point(20, 2, 0, 0),
        Point(30, 2, 0, 1),
        Point(40, 2, 0, 0),
    )


def test_a_long_run_has_no_more_points_than_the_curve_is_wide() -> None:
    points = measures.progress(sent(*range(5000)))
    assert len(points) <= measures.POINTS
    assert (points[0].sent, points[-1].sent) == (1, 5000)
    pace = measures.pace(sent(*range(5000)), 60)
    assert pace is not None
    assert len(pace.points) <= measures.POINTS + 2
    assert max(count for _, count in pace.points) == 60


def test_the_pace_is_of_the_minute_before_wherever_it_begins() -> None:
    pace = measures.pace(sent(50, 55, 65, 70, 200), 3)
    assert pace is not None
    assert (pace.sent, max(count for _, count in pace.points)) == (5, 4), "no minute of the clock has more than two"
    assert dict(pace.points)[260] == 0
    assert measures.pace([], 3) is None


def test_render_times_are_told_apart_by_size_and_length_and_the_rare_ones_are_not() -> None:
    (spread,) = measures.rendering([rendered(at) for at in (10, 20, 30, 40, 50)])
    assert (spread.label, spread.videos) == ("1280x720, 4 s", 5)
    assert (spread.least, spread.lower, spread.median, spread.upper, spread.most) == (10, 20, 30, 40, 50)
    many = [rendered(10, f"{size}x1") for size in range(20) for _ in range(20 - size)]
    spreads = measures.rendering(many)
    assert [one.label for one in spreads][-2:] == ["6x1, 4 s", "all others"]
    assert len(spreads) == measures.GROUPS
    assert sum(one.videos for one in spreads) == len(many)


def test_errors_that_stand_and_errors_that_were_overcome() -> None:
    counted = measures.failures([history(9), history(19), history(0)])
    assert counted == (Class(FailureKind.MODERATION_INPUT, 2, 2),)
    limited = Entry(BEGAN, "returned", State.PLANNED, {"failure": {"kind": "rate_limited"}}, b"")
    again = Entry(BEGAN, "held", State.HELD, {"failure": {"kind": "rate_limited"}}, b"")
    counted = measures.failures([History(JOB, (limited, limited, again))])
    assert counted == (Class(FailureKind.RATE_LIMITED, 0, 2),), "a failure that is told again is no second one"


def drawn(chart: Chart) -> ET.Element:
    return ET.fromstring(chart.html())


def numbers(figure: ET.Element) -> list[list[str]]:
    return [[cell.text or "" for cell in row] for row in figure.iterfind(".//tbody/tr")]


def test_a_chart_says_what_it_shows_and_has_its_numbers() -> None:
    figure = drawn(charts.progress_chart([Point(0, 1, 0, 0), Point(60, 2, 1, 1)], 2))
    assert figure.findtext(".//figcaption/p") == "1 of 2 done, 1 failed, 1 min after the first."
    assert numbers(figure) == [["1970-01-01 00:00:00", "1", "0", "0"], ["1970-01-01 00:01:00", "2", "1", "1"]]
    drawing = figure.find("svg")
    assert drawing is not None
    names = str(drawing.get("aria-labelledby")).split()
    assert [part.get("id") for part in drawing][:2] == names


def test_nothing_to_draw_is_said() -> None:
    for chart in (
        charts.progress_chart((), 3),
        charts.pace_chart(None),
        charts.rendering_chart(()),
        charts.failures_chart(()),
    ):
        assert drawn(chart).find("svg") is None
        assert drawn(chart).findtext(".//figcaption/p")


@pytest.mark.parametrize(("limit", "line"), [(30.0, ["limit 30"]), (5000.0, []), (None, [])])
def test_the_limit_is_drawn_where_it_can_be_seen(limit: float | None, line: list[str]) -> None:
    figure = drawn(charts.pace_chart(Pace(((0.0, 4), (60.0, 9)), 13, limit)))
    assert [text.text for text in figure.iter("text") if text.get("class") == "limit"] == line
    bound = "the limit is not known" if limit is None else f"the limit is {limit:g}"
    assert figure.findtext(".//figcaption/p") == f"13 sent, at most 9 in any minute; {bound}."


def inside(figure: ET.Element) -> Sequence[tuple[str, str]]:
    """What is drawn or written outside of the picture."""
    (_, _, width, height) = str(figure.find("svg").get("viewBox")).split()
    wrong = []
    for part in figure.iter():
        for name, most in (("x", width), ("y", height)):
            if part.get(name) and not 0 <= float(str(part.get(name))) <= float(most):
                wrong.append((part.tag, str(part.attrib)))
    return wrong


def test_whatever_happened_is_drawn_inside_the_picture() -> None:
    chance = Random(6)
    for _ in range(60):
        count = chance.choice((1, 2, 3, 17, 400))
        times = sorted(chance.uniform(0, chance.choice((0.001, 5, 1e3, 1e7))) for _ in range(count))
        points = [Point(at, number + 1, number // 2, number // 9) for number, at in enumerate(times)]
        pace = measures.pace(sent(*times), chance.choice((None, 0.5, 3, 600)))
        sizes = ("1280x720", "720x1280", "<b>&\x00")
        renders = [rendered(at, chance.choice(sizes)) for at in times]
        classes = [Class(kind, chance.randrange(9), chance.randrange(9, 90)) for kind in list(FailureKind)[:count]]
        for chart in (
            charts.progress_chart(points, count),
            charts.pace_chart(pace),
            charts.rendering_chart(measures.rendering(renders)),
            charts.failures_chart(classes),
        ):
            figure = drawn(chart)
            assert inside(figure) == []
            assert len(numbers(figure)) <= 24


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0"),
        (0.25, "0.2 s"),
        (8.5, "8.5 s"),
        (59.6, "1 min"),
        (125, "2 min 5 s"),
        (11400, "3 h 10 min"),
        (187200, "2 d 4 h"),
    ],
)
def test_a_time_is_said_as_people_say_it(seconds: float, said: str) -> None:
    assert duration(seconds) == said

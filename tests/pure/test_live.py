"""The live table: whole in every width, nothing left behind on a terminal, and foreign text that is only shown."""

import io
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle

import pytest
from rich.cells import cell_len
from rich.console import Console
from terminal import Terminal

from pipeline.breakers import Stop
from pipeline.events import Accepted, Failed, Intended
from pipeline.jobs import Failure, FailureKind, Job, State
from pipeline.live import LiveProgress, Screen, table
from pipeline.onlookers import Begun
from pipeline.progress import is_terminal
from pipeline.summary import Status
from pipeline.tally import Gauges, Tally

HOSTILE = "\x1b[2J\x1b]0;owned\x07 \x9b31m [red]boo[/] [/red] \\ \u202e gnirts \u2066x \u200e \ud800 \r\n\t:smile: \x00"
WIDE = "狐狸在雪地里奔跑" * 10
NAMES = ["fox#1", HOSTILE, WIDE, "\U0001f98a" * 80, "e\u0301" * 90, "[bold]" * 20]
GAUGES = Gauges(
    rate=6.0, most_rate=12.0, paused=28.2, in_flight=17, most_in_flight=20, downloads=3, most_downloads=4,
    received=1_234_567_890, unheard=2,
)  # fmt: skip


def job(name: str, state: State = State.PLANNED, **fields: object) -> Job:
    return replace(Job(name, name, {"prompt": HOSTILE}, "o"), state=state, **fields)


def troubled(name: str) -> Job:
    return job(name, State.FAILED, failure=Failure(FailureKind.MODERATION_OUTPUT, f"{name} is not allowed"))


def tally(jobs: list[Job], *, name: str = "spring", renders: tuple[float, ...] = (), **gauges: object) -> Tally:
    found = Tally.begun(Status(name, "/c", "USD", tuple(jobs), 50.0), todo=len(jobs), renders=renders, now=0.0)
    found.beat(GAUGES, 60.0)
    found.beat(replace(GAUGES, received=GAUGES.received + 50_000_000, **gauges), 70.0)
    return found


def shown(found: Tally, problems: list[Job] | None = None, width: int = 200, height: int = 50) -> str:
    return "\n".join(line.plain for line in table(found, problems or [], 75.0, width, height))


def many(number: int) -> list[Job]:
    """So many jobs in all states."""
    some = [job(state, state, price=1234.5, video_id="v") for state in State]
    return [some[n % len(some)] for n in range(number)]


def test_it_says_all_that_one_wants_to_know() -> None:
    found = tally([job("a", price=1.0), job("b", State.IN_DOUBT, price=0.5), job("c", State.DONE, video_id="v")])
    text = shown(found, [troubled("fox#1")])
    for words in (
        "1 of 3",
        "1:15",
        "1 to submit, 1 done, 1 in doubt",
        "0 a minute of 6, as the server wants; yours is 12, paused for 28 s, 2 requests in a row without an answer",
        "17 of 20",
        "3 of 4, 5.0 MB/s, 1.3 GB",
        "0.00 of 50.00 USD, 0.50 in doubt, price unknown for 1 job",
        "time left unknown until some have rendered",
        "fox#1 failed  moderation output: fox#1 is not allowed",
    ):
        assert words in text, text


def test_what_this_run_does_not_submit_is_left_for_another() -> None:
    found = Tally.begun(Status("n", "/c", None, tuple(job(f"j{n}") for n in range(5))), todo=2, renders=(), now=0.0)
    assert "2 to submit, 3 left for another run" in shown(found)


def test_an_unknown_price_is_not_zero() -> None:
    found = Tally.begun(Status("n", "/c", None, (job("c", State.DONE, video_id="v"),)), todo=0, renders=(), now=0.0)
    assert "Spent      price unknown for 1 job" in shown(found)


def test_what_stops_the_submits_is_said() -> None:
    assert f"no more: {Stop.BUDGET.value}" in shown(tally([job("a")], stop=Stop.BUDGET))


def test_the_time_left_follows_from_the_rate_and_from_what_earlier_renders_took() -> None:
    sixty = [job(str(n)) for n in range(60)]
    assert "about 12 min left" in shown(tally(sixty, renders=(100.0, 120.0, 140.0), paused=0.0))  # 60 / 6 + 2
    narrow = tally(sixty, renders=(120.0,), paused=0.0, most_in_flight=2)
    assert "about 1 h 2 min left" in shown(narrow), "two places for two minutes each: one a minute"
    assert "nothing left to render" in shown(tally(sixty, renders=(120.0,), stop=Stop.BUDGET)), "and what is not sent"
    last = tally([job("a", State.SUBMITTED, submitted_at=15.0, video_id="v")], renders=(120.0,))
    last.todo = 0
    assert "about 60 s left" in shown(last)
    late = tally([job("a", State.SUBMITTED, submitted_at=1.0, video_id="v")], renders=(20.0,))
    late.todo = 0
    assert "due at any moment" in shown(late)


@pytest.mark.parametrize("number", [0, 10, 100_000])
def test_it_fits_every_width_and_loses_no_number(number: int) -> None:
    found = tally(many(number), name=HOSTILE, renders=(120.0,), stop=Stop.DOUBT)
    for width in (*range(40, 90), *range(90, 201, 11)):
        lines = table(found, [troubled(name) for name in NAMES], 75.0, width, 60)
        assert max(cell_len(line.plain) for line in lines) < width
        text = " ".join(line.plain for line in lines)
        for words in ("17 of 20", "MB/s", "of 50.00 USD", "a minute of", Stop.DOUBT.value, f"of {number:,}"):
            assert words.replace(" ", "") in text.replace(" ", ""), (width, words)


@pytest.mark.parametrize("height", [1, 2, 5, 24])
def test_it_is_no_higher_than_the_terminal(height: int) -> None:
    assert len(table(tally(many(10)), [troubled("x")] * 5, 75.0, 40, height)) <= max(1, height - 1)


@pytest.fixture(params=[True, False], ids=["breaks lines anew", "cuts lines"])
def terminal(request: pytest.FixtureRequest) -> Terminal:
    return Terminal(100, 30, reflows=request.param)


class Live:
    """The shipped table on a terminal whose size can be changed."""

    def __init__(self, terminal: Terminal, jobs: list[Job]) -> None:
        self.terminal, self.written = terminal, io.StringIO()
        self.console = Console(
            file=self.written, force_terminal=True, markup=False, highlight=False, emoji=False, soft_wrap=True,
            width=terminal.columns, height=terminal.rows, legacy_windows=False, _environ={"TERM": "xterm"},
        )  # fmt: skip
        status = Status("spring", "/c", "USD", tuple(jobs), 50.0)
        self.tally = Tally.begun(status, todo=len(jobs), renders=(), now=0.0)
        self.progress = LiveProgress(self.console)
        self.progress.started(Begun("/c", len(jobs), self.tally, lambda: 75.0))

    def beat(self) -> None:
        self.tally.beat(GAUGES, 75.0)
        self.progress.beat(GAUGES)
        self.terminal.write(self.written.getvalue())
        self.written.seek(0)
        self.written.truncate()

    def fails(self, name: str) -> None:
        after = troubled(name)
        event = Failed(status="failed", failure=after.failure, price=after.price)
        self.progress.observe(job(name, State.SUBMITTED, video_id="v"), event, after)

    def resize(self, columns: int, rows: int) -> None:
        self.terminal.resize(columns, rows)
        self.console.size = (columns, rows)


@pytest.fixture
def live(terminal: Terminal) -> Iterator[Live]:
    found = Live(terminal, many(24))
    yield found
    found.progress.close()


def test_the_table_is_there_once_whatever_becomes_of_the_terminal(live: Live, terminal: Terminal) -> None:
    sizes = [(100, 30), (60, 30), (40, 20), (41, 12), (200, 50), (150, 50), (79, 24), (40, 9)]
    for name, (columns, rows) in zip(cycle(NAMES), sizes, strict=False):
        live.resize(columns, rows)
        live.fails(name)
        live.beat()
        live.beat()
        text = "\n".join(terminal.screen)
        assert text.count("At server") == text.count("Spent") == text.count("spring") == 1, text
        assert terminal.broken == 0
    assert terminal.unknown == []


def test_nothing_of_it_is_left_behind(live: Live, terminal: Terminal) -> None:
    live.beat()
    assert not terminal.cursor_is_shown
    live.resize(50, 20)
    live.fails(WIDE)
    live.fails("a" * 60)
    live.beat()
    terminal.write("^C")
    live.progress.stopping(2)
    live.beat()
    assert terminal.cursor_is_shown
    told = [line for line in terminal.screen if line]
    assert "".join(told[-4:]).startswith("Stopping: 2 submissions being recorded, 2 downloads finishing."), told
    left = "\n".join(terminal.screen)
    assert ("At server" in left, "spring" in left, terminal.broken) == (False, False, 2), "but for what is said now"


def test_what_is_printed_meanwhile_comes_above(live: Live, terminal: Terminal) -> None:
    live.beat()
    live.progress.note("a note")
    live.beat()
    lines = terminal.screen
    assert lines.index("a note") < lines.index("spring")


def test_foreign_text_is_shown_and_never_obeyed(live: Live, terminal: Terminal) -> None:
    live.resize(200, 30)
    live.fails(HOSTILE)
    live.beat()
    text = "".join(terminal.screen)
    assert "\\x1b[2J\\x1b]0;owned\\x07" in text
    assert "[red]boo[/]" in text
    assert [ascii(letter) for letter in text if unicodedata.category(letter) in {"Cc", "Cf", "Cs"}] == []
    assert terminal.unknown == []


def test_a_beat_costs_no_look_at_all_the_jobs() -> None:
    """The jobs may be gone once the run has begun: nothing is read but the sums."""
    before = job("x", price=2.0)
    found = tally([*many(1000), before])
    intended = Intended(attempt=1, idempotency_key="k", base_url="u", key_fingerprint=None, price=2.0, intended_at=0.0)
    between = replace(before, state=State.SUBMITTING, price=2.0, idempotency_key="k")
    found.observe(before, intended, between, 71.0)
    assert found.submits_per_minute(75.0) == 1.0
    accepted = Accepted(video_id="v", submitted_at=72.0, status="queued")
    spent = found.spent
    found.observe(between, accepted, replace(between, state=State.SUBMITTED, video_id="v", submitted_at=72.0), 72.0)
    assert found.spent - spent == 2.0


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "environment", "is_one"),
    [
        (Tty(), {"TERM": "xterm"}, True),
        (Tty(), {"TERM": "xterm", "NO_COLOR": "1"}, True),
        (Tty(), {"TERM": "dumb"}, False),
        (io.StringIO(), {"TERM": "xterm"}, False),
        (io.StringIO(), {"TERM": "xterm", "FORCE_COLOR": "1"}, False),
    ],
)
def test_a_terminal_is_what_can_be_drawn_on(stream: io.StringIO, environment: dict[str, str], is_one: bool) -> None:
    assert is_terminal(Console(file=stream, _environ=environment)) == is_one


def test_without_colours_there_are_none(terminal: Terminal) -> None:
    shown = io.StringIO()
    console = Console(
        file=shown, force_terminal=True, width=100, height=30, _environ={"TERM": "xterm", "NO_COLOR": "1"}
    )
    screen = Screen(console)
    screen.draw(table(tally(many(24)), [troubled("fox#1")], 75.0, 100, 30))
    screen.close()
    assert re.findall(r"\x1b\[[\d;]*3\dm", shown.getvalue()) == []

"""A run on a terminal: one table, drawn anew a few times a second, as wide and as high as the terminal is now."""

from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress

from rich.cells import cell_len
from rich.console import Console, ConsoleDimensions, Group
from rich.live import Live
from rich.text import Text

from pipeline import sentences
from pipeline.events import Event
from pipeline.jobs import Job
from pipeline.onlookers import Begun, Progress
from pipeline.render import safe
from pipeline.tally import Gauges, Tally
from pipeline.watching import View

_MARGIN = 3  # columns: in the last one some terminals begin a new line, and a Ctrl-C leaves ^C behind the cursor
_LABEL = 11
_WIDEST_BAR = 40
_PROBLEMS = 5


class Screen:
    """A place on a terminal that is drawn anew. What is printed meanwhile comes above it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = self._opened()
        self._size = console.size
        self._widest = self._lines = 0
        self._scrolled = False
        self._closed = False

    def draw(self, lines: Sequence[Text]) -> None:
        """Show these lines, of which none is wider than the terminal."""
        if self._closed:
            return
        with suppress(OSError):  # the terminal is gone, the run is not
            self._heed_size(self._console.size)
            self._live.update(Group(*lines), refresh=True)
            self._widest, self._lines = max((line.cell_len for line in lines), default=0), len(lines)

    def close(self) -> None:
        """Give the terminal back as it was."""
        if not self._closed:
            self._closed = True
            with suppress(OSError):
                self._live.stop()

    def _opened(self) -> Live:
        live = Live(console=self._console, auto_refresh=False, transient=True, vertical_overflow="crop")
        with suppress(OSError):
            live.start()
        return live

    def _heed_size(self, size: ConsoleDimensions) -> None:
        """Clear the screen where nobody can tell any more where the lines are.

        Those that were wider than the terminal is now may have become several, or not; and those that a lower one has
        scrolled away come back with a higher one.
        """
        if size == self._size:
            return
        self._size = size
        self._scrolled = self._scrolled or self._lines >= size.height
        if not self._scrolled and self._widest <= size.width:
            return
        self._console.clear()
        self._live.stop()
        self._live = self._opened()


class LiveProgress(Progress):
    """Shows a run on a terminal."""

    interval = 0.25

    def __init__(self, console: Console) -> None:
        self._console = console
        self._screen: Screen | None = None
        self._begun: Begun | None = None
        self._problems: deque[Job] = deque(maxlen=_PROBLEMS)

    def note(self, text: str) -> None:
        with suppress(OSError):
            self._console.print(safe(text, 1000))

    def started(self, begun: Begun) -> None:
        self._begun = begun
        with suppress(OSError):
            self._console.print(f"Campaign {safe(begun.path)}")
        self._screen = Screen(self._console)

    def observe(self, before: Job, event: Event, after: Job) -> None:
        if after.state is not before.state and after.state in sentences.TROUBLE:
            self._problems.append(after)

    def beat(self, gauges: Gauges) -> None:
        if self._begun is not None and self._screen is not None:
            size, now = self._console.size, self._begun.now()
            self._screen.draw(table(self._begun.tally, self._problems, now, size.width, size.height))

    def stopping(self, downloads: int) -> None:
        """Give the cursor back now: a second signal would leave no time for it."""
        self.close()
        if self._begun is not None:
            self._say(sentences.stopping(self._begun.tally.counts, downloads))

    def left(self) -> None:
        if self._begun is not None:
            self._say(sentences.leaving(self._begun.tally.counts))

    def close(self) -> None:
        """Take the table off the terminal."""
        if self._screen is not None:
            self._screen.close()

    def _say(self, text: str) -> None:
        with suppress(OSError):
            self._console.print(text)


def table(tally: Tally, problems: Iterable[Job], now: float, width: int, height: int) -> list[Text]:
    """Return the lines of the table: none wider than the terminal, and fewer of them than it has.

    Where it is low, the problems go first; then every row has one line, and ends where the terminal does.
    """
    width -= _MARGIN
    name = _cut(Text(safe(tally.name, 60), "bold"), width)
    rows = _rows(tally, now)
    lines = [name, *_bar(tally, now, width)]
    lines += [line for label, things in rows.items() for line in _row(label, things, width)]
    if len(lines) >= height:
        lines = [name, *_bar(tally, now, width)[:1]]
        lines += [_cut(_labelled(label, ", ".join(things)), width) for label, things in rows.items()]
    shown = [_cut(Text(f"  {sentences.about(job, 200, max(12, width // 3))}", "red"), width) for job in problems]
    if shown:
        lines += [Text("Last problems", "dim"), *shown]
    return lines[: max(1, height - 1)]


def _rows(tally: Tally, now: float) -> dict[str, list[str]]:
    gauges = tally.gauges
    rows = {"Jobs": sentences.states(tally), "Submits": sentences.submits(tally, gauges, now)}
    if gauges is not None:
        rows["At server"] = [f"{gauges.in_flight:,} of {gauges.most_in_flight:,}"]
        rows["Downloads"] = sentences.downloads(tally, gauges)
    return {**rows, "Spent": sentences.money(tally)}


def watched(view: View, width: int, height: int) -> list[Text]:
    """Return the lines of the table for whoever watches from elsewhere."""
    last = _cut(Text(f"{sentences.run_by(view.holder)} Ctrl-C ends the watching, not the run.", "dim"), width - _MARGIN)
    return [*table(view.tally, view.problems, view.now, width, max(2, height - 1)), last]


def _bar(tally: Tally, now: float, width: int) -> list[Text]:
    """Return how much is done, as a bar and in numbers."""
    total, done = tally.total, tally.done
    share = done / total if total else 1.0
    told = [f"{done:,} of {total:,}", sentences.left(tally, now)]
    if tally.gauges is not None:
        told.insert(1, sentences.elapsed(now - tally.began))
    room = width - len(", ".join(told)) - 1
    long = max(10, min(_WIDEST_BAR, room, width))
    full = int(share * long)
    bar = Text.assemble(("━" * full, "green"), ("━" * (long - full), "dim"))
    if room < long:
        return [bar, *(_cut(Text(line), width) for line in _packed(told, width))]
    return [Text.assemble(bar, f" {', '.join(told)}")]


def _row(label: str, things: Sequence[str], width: int) -> list[Text]:
    """Return a label and what belongs to it, on as many lines as that takes."""
    lines = _packed(things, width - _LABEL)
    return [_cut(_labelled("" if number else label, line), width) for number, line in enumerate(lines)]


def _labelled(label: str, words: str) -> Text:
    return Text.assemble((f"{label:{_LABEL}}", "dim"), words)


def _packed(things: Sequence[str], width: int) -> list[str]:
    """Return the things, with commas between them, on lines of this width; what is wider is broken between words."""
    lines = [""]
    told = [f"{thing}," for thing in things[:-1]] + [*things[-1:]]
    for part in (part for thing in told for part in ([thing] if cell_len(thing) <= width else thing.split())):
        if lines[-1] and cell_len(f"{lines[-1]} {part}") > width:
            lines.append(part)
        else:
            lines[-1] = f"{lines[-1]} {part}".lstrip()
    return lines


def _cut(line: Text, width: int) -> Text:
    line.truncate(width, overflow="ellipsis")
    return line

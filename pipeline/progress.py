"""What people see of a run while it goes, where there is no terminal; and which way it is shown."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from rich.console import Console

from pipeline import sentences
from pipeline.errors import UsageError
from pipeline.events import Event
from pipeline.jobs import Job
from pipeline.live import LiveProgress
from pipeline.onlookers import Begun, Progress
from pipeline.render import safe
from pipeline.tally import Gauges, Tally

HEARTBEAT = 30.0
"""Seconds between two lines that say how far a run is, where there is no terminal."""


class QuietProgress(Progress):
    """Says only what a person should know at once."""

    interval = HEARTBEAT

    def __init__(self, console: Console) -> None:
        self._console = console
        self._begun: Begun | None = None
        self._silent = False

    def note(self, text: str) -> None:
        self.say(safe(text, 1000))

    def started(self, begun: Begun) -> None:
        self._begun = begun

    def stopping(self, downloads: int) -> None:
        if self._begun is not None:
            self.say(sentences.stopping(self._begun.tally.counts, downloads))

    def left(self) -> None:
        if self._begun is not None:
            self.say(sentences.leaving(self._begun.tally.counts))

    def say(self, text: str) -> None:
        """Print, or fall silent for good: a closed pipe must not end a run between a POST and its record."""
        if self._silent:
            return
        try:
            self._console.print(f"{time.strftime('%H:%M:%S')} {text}")
        except OSError:
            self._silent = True


class PlainProgress(QuietProgress):
    """Shows a run where there is no terminal: a line for what matters, and a heartbeat."""

    def started(self, begun: Begun) -> None:
        super().started(begun)
        self.say(f"campaign {safe(begun.path)}")

    def observe(self, before: Job, event: Event, after: Job) -> None:
        if after.state is not before.state and after.state in sentences.WORTH_A_LINE:
            self.say(sentences.about(after))

    def beat(self, gauges: Gauges) -> None:
        if self._begun is not None:
            self.say(f"… {heartbeat(self._begun.tally, self._begun.now())}")


def heartbeat(tally: Tally, now: float) -> str:
    """Return on one line how far a run is."""
    told = [", ".join(sentences.states(tally))]
    told.append(f"submits {', '.join(sentences.submits(tally, tally.gauges, now))}")
    if tally.gauges is not None:
        told.append(f"downloads {', '.join(sentences.downloads(tally, tally.gauges))}")
    return "; ".join([*told, f"spent {', '.join(sentences.money(tally))}", sentences.left(tally, now)])


def is_terminal(console: Console) -> bool:
    """Tell whether a table can be drawn anew on it: a pipe with FORCE_COLOR is still a pipe."""
    stream: IO[str] | None = console.file  # None where the process was started without one
    return stream is not None and console.is_interactive and stream.isatty()


@contextmanager
def progress_on(console: Console, mode: str = "auto") -> Iterator[Progress]:
    """Give what shows a run in this mode: auto is a live table on a terminal, and plain lines elsewhere.

    Raises UsageError where a live table is wanted and there is no terminal.
    """
    able = is_terminal(console)
    if mode == "live" and not able:
        raise UsageError("--progress live needs a terminal that can move its cursor, on standard error")
    if mode in {"none", "plain"} or not able:
        yield QuietProgress(console) if mode == "none" else PlainProgress(console)
        return
    live = LiveProgress(console)
    try:
        yield live
    finally:
        live.close()

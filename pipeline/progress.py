"""What people see of a run while it goes: a live table on a terminal, lines and a heartbeat elsewhere."""

import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pipeline.events import Event
from pipeline.jobs import FOR_A_PERSON, OVER, Job, State
from pipeline.render import count, safe
from pipeline.summary import Status
from pipeline.supervision import Progress

HEARTBEAT = 30.0
"""Seconds between two lines that say how far a run is, where there is no terminal."""


class PlainProgress:
    """Shows a run where there is no terminal: a line for what matters, and a heartbeat."""

    interval = HEARTBEAT

    def __init__(self, console: Console) -> None:
        self._console = console
        self._counts: Counter[State] = Counter()
        self._silent = False

    def note(self, text: str) -> None:
        self._say(safe(text, 1000))

    def started(self, found: Status) -> None:
        self._counts.update(found.counts)
        self._say(f"campaign {safe(found.path)}")

    def observe(self, before: Job, event: Event, after: Job) -> None:
        self._counts[before.state] -= 1
        self._counts[after.state] += 1
        if after.state is not before.state and after.state in _WORTH_A_LINE:
            self._say(_line(after))

    def beat(self) -> None:
        self._say(f"… {_tally(self._counts)}")

    def stopping(self, downloads: int) -> None:
        self._say(_stopping(self._counts, downloads))

    def left(self) -> None:
        self._say(_left(self._counts))

    def _say(self, text: str) -> None:
        """Print, or fall silent for good: a closed pipe must not end a run between a POST and its record."""
        if self._silent:
            return
        try:
            self._console.print(f"{time.strftime('%H:%M:%S')} {text}")
        except OSError:
            self._silent = True


class LiveProgress:
    """Shows a run on a terminal: one table, drawn anew a few times a second."""

    interval = 0.25

    def __init__(self, console: Console) -> None:
        self._console = console
        self._counts: Counter[State] = Counter()
        self._last: deque[str] = deque(maxlen=5)
        self._name = ""
        self._began = time.monotonic()
        self._closed = False
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def note(self, text: str) -> None:
        self._console.print(safe(text, 1000))

    def started(self, found: Status) -> None:
        self._counts.update(found.counts)
        self._name = safe(found.name, 60)
        self._console.print(f"Campaign {safe(found.path)}")
        self._live.start()

    def observe(self, before: Job, event: Event, after: Job) -> None:
        self._counts[before.state] -= 1
        self._counts[after.state] += 1
        if after.state is not before.state and after.state in _WORTH_A_LINE:
            self._last.append(_line(after))

    def beat(self) -> None:
        if not self._closed:
            with suppress(OSError):  # the terminal is gone, the run is not
                self._live.update(self._table(), refresh=True)

    def stopping(self, downloads: int) -> None:
        """Give the cursor back now: a second signal would leave no time for it."""
        self.close()
        with suppress(OSError):
            self._console.print(_stopping(self._counts, downloads))

    def left(self) -> None:
        with suppress(OSError):
            self._console.print(_left(self._counts))

    def close(self) -> None:
        """Take the table off the terminal."""
        self._closed = True
        with suppress(OSError):
            self._live.stop()

    def _table(self) -> Group:
        total, done = sum(self._counts.values()), self._counts[State.DONE]
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        head = Table.grid(padding=(0, 2))
        head.add_row(
            Text(self._name, "bold"),
            ProgressBar(total=max(total, 1), completed=done, width=30),
            f"{done}/{total}",
            f"{minutes}:{seconds:02}",
        )
        lines = [
            Text(_tally(self._counts), "dim"),
            *(Text(line, overflow="ellipsis", no_wrap=True) for line in self._last),
        ]
        return Group(head, *lines)


_WORTH_A_LINE = OVER | FOR_A_PERSON | {State.SUBMITTED, State.DONE, State.IN_DOUBT}
_GROUPS = {
    "to submit": (State.PLANNED,),
    "submitting": (State.SUBMITTING,),
    "rendering": (State.SUBMITTED,),
    "downloading": (State.COMPLETED, State.VERIFIED),
    "done": (State.DONE,),
    "failed": tuple(OVER),
    "in doubt": (State.IN_DOUBT,),
    "for a person": tuple(FOR_A_PERSON),
}


@contextmanager
def progress_on(console: Console) -> Iterator[Progress]:
    """Give the live table on a terminal, plain lines elsewhere: a pipe with FORCE_COLOR is still a pipe."""
    if sys.stderr is None or not (console.is_interactive and sys.stderr.isatty()):
        yield PlainProgress(console)
        return
    live = LiveProgress(console)
    try:
        yield live
    finally:
        live.close()


def _tally(counts: Counter[State]) -> str:
    numbers = {words: sum(counts[state] for state in states) for words, states in _GROUPS.items()}
    return ", ".join(f"{number} {words}" for words, number in numbers.items() if number) or "nothing to do"


def _line(job: Job) -> str:
    detail = {State.SUBMITTED: job.video_id, State.DONE: job.path}.get(job.state)
    if detail is None and job.failure is not None:
        detail = job.failure.message
    return f"{safe(job.name, 60)} {job.state.value.replace('_', ' ')}  {safe(detail or '', 120)}".rstrip()


def _stopping(counts: Counter[State], downloads: int) -> str:
    submissions = counts[State.SUBMITTING]
    return (
        f"Stopping: {count(submissions, 'submission')} being recorded, {count(downloads, 'download')} finishing. "
        "Ctrl-C again to leave now; nothing is lost or paid twice."
    )


def _left(counts: Counter[State]) -> str:
    submissions = counts[State.SUBMITTING]
    return f"Left now. {count(submissions, 'submission')} unconfirmed: the next run looks into that first."

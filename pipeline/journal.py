"""What happens in a run, for programs: one JSON object a line, each written when the ledger has it.

The shape is promised in ``schemas/event.schema.json``. No prompt is in it, no raw answer, and no key: a server's
words are those of the ledger, which has them without it.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline import __version__
from pipeline.breakers import Stop
from pipeline.clock import utc
from pipeline.events import KINDS, Event
from pipeline.jobs import Failure, Job, State
from pipeline.onlookers import Begun, Progress
from pipeline.tally import Gauges, Tally
from pipeline.trails import Complain, Trail

_OURS = re.compile(rb'(?m)^\{"schema_version":1,"at":"')
_WORDS = {event: word for word, event in KINDS.items()}


class Journal(Progress):
    """Writes what it is told to a file, line by line."""

    interval = 10.0

    def __init__(self, path: Path, *, complain: Complain) -> None:
        """Raises UsageError for a file that cannot be written."""
        self._trail = Trail(path, ours=_OURS, mode=0o644, complain=complain)
        self._begun: Begun | None = None

    def started(self, begun: Begun) -> None:
        self._begun = begun
        name = begun.tally.name
        self._write("run_started", name=name, path=begun.path, version=__version__, wanted=begun.wanted)

    def observe(self, before: Job, event: Event, after: Job) -> None:
        self._add(
            "event",
            job=after.name,
            request_hash=after.request_hash,
            attempt=after.attempt,
            event=_WORDS[type(event)],
            before=before.state.value,
            state=after.state.value,
            video_id=after.video_id,
            price=after.price,
            path=after.path,
            bytes=after.bytes,
            error=_error(after.failure),
        )

    def beat(self, gauges: Gauges) -> None:
        if self._begun is None:
            return
        now, tally = self._begun.now(), self._begun.tally
        self._write(
            "heartbeat",
            submits_per_minute=round(tally.submits_per_minute(now), 3),
            limit_per_minute=round(gauges.rate, 3),
            paused_seconds=round(gauges.paused, 3),
            in_flight=gauges.in_flight,
            downloads=gauges.downloads,
            bytes_received=gauges.received,
            bytes_per_second=round(tally.bytes_per_second()),
            remaining_seconds=_rounded(tally.remaining(now)),
            stop=_word(gauges.stop),
        )

    def stopping(self, downloads: int) -> None:
        self._add("stopping", downloads=downloads)

    def left(self) -> None:
        self._write("run_left")

    def ended(self, exit_code: int, stop: Stop | None, signal: int | None, error: str | None = None) -> None:
        self._write("run_ended", exit=exit_code, stop=_word(stop), signal=signal, error=error)
        self._trail.close()

    def _write(self, kind: str, **facts: Any) -> None:
        """Add a line that has the sums too."""
        if self._begun is not None:
            self._add(kind, **facts, **sums(self._begun.tally))

    def _add(self, kind: str, **facts: Any) -> None:
        if self._begun is not None:
            line = {"schema_version": 1, "at": utc(self._begun.now()), "type": kind, **facts}
            self._trail.add(json.dumps(line, ensure_ascii=True, separators=(",", ":")))


def sums(tally: Tally) -> Mapping[str, Any]:
    """Return how many jobs stand where, and the money, as ``status --json`` has them."""
    return {
        "counts": {state.value: tally.counts[state] for state in State},
        "cost": {
            "currency": tally.currency,
            "spent": round(tally.spent, 6),
            "in_doubt": round(tally.in_doubt, 6),
            "budget": tally.budget,
            "unknown_price_jobs": tally.unknown_price_jobs,
        },
    }


def _error(failure: Failure | None) -> dict[str, Any] | None:
    if failure is None:
        return None
    names = ("message", "code", "param", "http_status", "request_id")
    return {"kind": failure.kind.value, **{name: getattr(failure, name) for name in names}}


def _word(stop: Stop | None) -> str | None:
    return stop.name.lower() if stop else None


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)

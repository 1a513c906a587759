"""A technical log for whoever has to help: what was asked over the wire, how it was answered, and what followed.

It has no key, no prompt and no server's sentence, which may quote a prompt: ``show`` has those, on the machine that
rendered. What names a machine or a person (paths, job names, addresses) is in it; it is for the owner's eyes (0600).
"""

import platform
import re
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pipeline import __version__
from pipeline.breakers import Stop
from pipeline.clock import utc
from pipeline.credential import Censor
from pipeline.events import KINDS, Event
from pipeline.jobs import Job
from pipeline.onlookers import Begun, Exchange, Progress
from pipeline.tally import Gauges
from pipeline.trails import Complain, Trail

_LIBRARIES = ("anyio", "httpx", "httpcore", "rich", "jsonschema", "PyYAML")
_WORDS = {event: word for word, event in KINDS.items()}
_BEATS = 60
"""So many beats to a line that says how far the run is."""


_OURS = re.compile(rb"(?m)^\d{4}-\d\d-\d\dT[\d:.]+Z  ")


class Logbook(Progress):
    """Writes what it is told to a file, for people, in UTC."""

    interval = 1.0

    def __init__(self, path: Path, *, censor: Censor, facts: Mapping[str, Any], complain: Complain) -> None:
        """``facts`` are written at the start: what was asked for, without secrets.

        Raises UsageError for a file that cannot be written.
        """
        self._trail = Trail(path, ours=_OURS, mode=0o600, complain=complain)
        self._censor = censor
        self._facts = {**surroundings(), **facts}
        self._begun: Begun | None = None
        self._before: Gauges | None = None
        self._beats = 0

    def started(self, begun: Begun) -> None:
        self._begun = begun
        self._add("run started", path=begun.path, wanted=begun.wanted, **self._facts)
        self._sums()

    def observe(self, before: Job, event: Event, after: Job) -> None:
        why = after.failure
        self._add(
            f"job {after.name}: {_WORDS[type(event)]}, {before.state} -> {after.state}",
            attempt=after.attempt,
            video=after.video_id,
            failure=why and why.kind.value,
            code=why and why.code,
            status=why and why.http_status,
            request_id=why and why.request_id,
        )

    def heard(self, exchange: Exchange) -> None:
        self._add(
            f"{exchange.method} {exchange.target} {exchange.status or exchange.error}",
            seconds=f"{exchange.seconds:.3f}",
            request_id=exchange.request_id,
        )

    def beat(self, gauges: Gauges) -> None:
        before, self._before = self._before, gauges
        if before is None or gauges.rate != before.rate:
            self._add(f"{gauges.rate:.2f} submits a minute", most=f"{gauges.most_rate:.2f}")
        if gauges.paused > (before.paused if before else 0.0):
            self._add(f"paused for {gauges.paused:.1f} s", unheard=gauges.unheard)
        if gauges.stop is not None and (before is None or before.stop is None):
            self._add(f"nothing more is submitted: {gauges.stop.name.lower()}: {gauges.stop.value}")
        if self._beats % _BEATS == 0:
            self._sums()
        self._beats += 1

    def stopping(self, downloads: int) -> None:
        self._add("a signal: stopping", downloads=downloads)

    def left(self) -> None:
        self._add("left without waiting")

    def ended(self, exit_code: int, stop: Stop | None, signal: int | None, error: str | None = None) -> None:
        self._sums()
        self._add(f"run ended with {exit_code}", stop=stop and stop.name.lower(), signal=signal, error=error)
        self._trail.close()

    def _sums(self) -> None:
        if self._begun is None:
            return
        tally = self._begun.tally
        gauges = tally.gauges
        counts = {state.value: number for state, number in tally.counts.items() if number}
        at = {} if gauges is None else {"in_flight": gauges.in_flight, "downloads": gauges.downloads}
        bytes_received = gauges and gauges.received
        self._add("jobs", **counts, **at, bytes=bytes_received, spent=f"{tally.spent:.4f}", budget=tally.budget)

    def _add(self, words: str, **facts: Any) -> None:
        if self._begun is None:
            return
        told = " ".join(f"{name}={_shown(value)}" for name, value in facts.items() if value is not None)
        line = self._censor.words(f"{words}  {told}".rstrip())
        self._trail.add(f"{utc(self._begun.now())}  {line}")


def surroundings() -> dict[str, str]:
    """Return what this program runs on."""
    found = {"callsheet": __version__, "python": sys.version.split()[0], "platform": platform.platform()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _shown(value: object) -> str:
    """Return a value on one line; with quotes where it is more than a word."""
    text = str(value)
    return ascii(text) if not text or not text.isascii() or not text.isprintable() or " " in text else text

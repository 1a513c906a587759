"""A run's numbers for whoever watches over it: a file of Prometheus's text format, replaced as a whole."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from pipeline.breakers import Stop
from pipeline.exposition import Metric, Sample, text
from pipeline.jobs import FailureKind, State
from pipeline.onlookers import Begun, Exchange, Progress
from pipeline.tally import Gauges, Tally
from pipeline.trails import Complain, Notice

_OURS = re.compile(rb"\A# HELP callsheet_")


class Meter(Progress):
    """Writes the numbers every few seconds, and once more at the end."""

    interval = 5.0

    def __init__(self, path: Path, *, complain: Complain) -> None:
        """Raises UsageError for a file that cannot be written."""
        self._notice = Notice(path, ours=_OURS, complain=complain)
        self._begun: Begun | None = None
        self._requests: Counter[tuple[str, str]] = Counter()
        self._exit: int | None = None

    def started(self, begun: Begun) -> None:
        self._begun = begun
        self._write()

    def heard(self, exchange: Exchange) -> None:
        self._requests[exchange.what, str(exchange.status or "none")] += 1

    def beat(self, gauges: Gauges) -> None:
        self._write()

    def left(self) -> None:
        self._write()

    def ended(self, exit_code: int, stop: Stop | None, signal: int | None, error: str | None = None) -> None:
        self._exit = exit_code
        self._write()

    def _write(self) -> None:
        if self._begun is not None:
            tally, now = self._begun.tally, self._begun.now()
            self._notice.put(text(metrics(tally, self._requests, now=now, exit_code=self._exit)))


def metrics(
    tally: Tally, requests: Mapping[tuple[str, str], int], *, now: float, exit_code: int | None
) -> Iterator[Metric]:
    """Yield what is worth an alarm, or a curve. Counters begin with the run."""
    of = {"campaign": tally.name}
    money = of | ({"currency": tally.currency} if tally.currency else {})

    def one(name: str, kind: str, meaning: str, value: float | None, labels: Mapping[str, str] = of) -> Metric:
        samples = () if value is None else (Sample(value, labels),)
        return Metric(f"callsheet_{name}", kind, meaning, samples)

    yield Metric(
        "callsheet_jobs",
        "gauge",
        "Jobs of the campaign by state.",
        tuple(Sample(tally.counts[state], of | {"state": state.value}) for state in State),
    )
    yield one("cost_spent", "gauge", "What the campaign has cost, as far as prices are known.", tally.spent, money)
    yield one("cost_in_doubt", "gauge", "What may have been paid, and nobody knows.", tally.in_doubt, money)
    yield one("cost_budget", "gauge", "What the campaign may cost.", tally.budget, money)
    yield one("unknown_price_jobs", "gauge", "Jobs whose cost nobody knows.", tally.unknown_price_jobs)
    yield one("submits_total", "counter", "POSTs that were announced.", tally.submits)
    yield Metric(
        "callsheet_requests_total",
        "counter",
        "HTTP requests by what was asked and by status; none: there was no answer.",
        tuple(Sample(number, of | {"what": what, "status": how}) for (what, how), number in sorted(requests.items())),
    )
    yield Metric(
        "callsheet_failures_total",
        "counter",
        "Jobs that failed, or wait for a person, by class.",
        tuple(Sample(tally.failures[kind], of | {"class": kind.value}) for kind in FailureKind),
    )
    yield one("render_seconds", "gauge", "Seconds that half of the last jobs took at the server.", tally.render)
    gauges = tally.gauges
    if gauges is not None:
        yield one("received_bytes_total", "counter", "Bytes of videos.", gauges.received)
        yield one("in_flight", "gauge", "Jobs at the server.", gauges.in_flight)
        yield one("downloads", "gauge", "Downloads under way.", gauges.downloads)
        yield one("submit_limit_per_minute", "gauge", "Submits that the server allows now.", gauges.rate)
        yield one("paused_seconds", "gauge", "For how long nothing is submitted.", gauges.paused)
        yield one("unheard_requests", "gauge", "Requests in a row without an answer.", gauges.unheard)
        yield one("stopped", "gauge", "Whether nothing more is submitted in this run.", gauges.stop is not None)
    yield one("run_started_seconds", "gauge", "When the run began, in seconds since the epoch.", tally.began)
    yield one("run_updated_seconds", "gauge", "When this was written.", now)
    yield one("run_exit", "gauge", "The run's exit code, once it has ended.", exit_code)

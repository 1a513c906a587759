"""What came of a campaign: documents for programs and the exit code, folded from the jobs. Pure.

The shapes are promised in ``schemas/status.schema.json``, ``run.schema.json`` and ``validate.schema.json``.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

from pipeline.document import Place
from pipeline.errors import Problem
from pipeline.jobs import DOUBTFUL, FOR_A_PERSON, OVER, PAID, Failure, FailureKind, Job, State

_UNFINISHED = frozenset(State) - OVER - FOR_A_PERSON - {State.DONE}


@dataclass(frozen=True, slots=True)
class Sums:
    """What jobs come to.

    ``counts`` and ``orphaned`` say how many stand where, and how many of these the manifest of the last run did not
    ask for; ``left_over`` how many of those are finished and have a file, ``left_over_bytes`` how long these are.
    ``youngest`` is when the last one was accepted, in seconds since the epoch; ``largest`` the most bytes of a video.
    """

    counts: Mapping[State, int]
    orphaned: Mapping[State, int]
    spent: float = 0.0
    in_doubt: float = 0.0
    unknown_price_jobs: int = 0
    picked: int = 0
    left_over: int = 0
    left_over_bytes: int = 0
    youngest: float = 0.0
    largest: int = 0

    @classmethod
    def of(cls, jobs: Sequence[Job]) -> "Sums":
        left_over = [job for job in jobs if job.orphaned and job.state is State.DONE and job.path is not None]
        return cls(
            Counter(job.state for job in jobs),
            Counter(job.state for job in jobs if job.orphaned),
            sum(map(spent_on, jobs)),
            sum(map(in_doubt_for, jobs)),
            sum(map(costs_unknown, jobs)),
            sum(job.picked for job in jobs),
            len(left_over),
            sum(job.bytes or 0 for job in left_over),
            max((job.submitted_at or 0.0 for job in jobs), default=0.0),
            max((job.bytes or 0 for job in jobs), default=0),
        )


class Kept(ABC):
    """The jobs of a ledger: what they come to is known, and they are read when they are asked for, each time anew."""

    sums: Sums

    @abstractmethod
    def __iter__(self) -> Iterator[Job]:
        """Yield all jobs, in the order of their enrolment."""

    @abstractmethod
    def among(self, states: Collection[State], *, telling: bool = False) -> Iterator[Job]:
        """Yield those in these states. ``telling``: none needs to be among them that has no failure and no warning."""

    @abstractmethod
    def names(self, state: State) -> Iterator[str]:
        """Yield the names of those in this state that the manifest of the last run asked for."""


@dataclass(frozen=True, slots=True)
class Status:
    """A campaign as its ledger has it. ``path`` is its absolute folder.

    ``before`` says, by name and request's hash, why jobs failed that are being tried once more and have no end yet.
    """

    name: str
    path: str
    currency: str | None
    jobs: Kept | Sequence[Job]
    budget: float | None = None
    max_videos: int | None = None
    before: Mapping[tuple[str, str], Failure] = field(default_factory=dict)

    @property
    def sums(self) -> Sums:
        return self.jobs.sums if isinstance(self.jobs, Kept) else Sums.of(self.jobs)

    def among(self, states: Collection[State], *, telling: bool = False) -> Iterator[Job]:
        """Yield the jobs in these states. ``telling``: there may be fewer, but all with a failure, now or before, or
        a warning."""
        if isinstance(self.jobs, Kept):
            return self.jobs.among(states, telling=telling)
        return (job for job in self.jobs if job.state in states)

    @property
    def counts(self) -> dict[State, int]:
        """How many jobs stand where; every state is there."""
        counted = self.sums.counts
        return {state: counted.get(state, 0) for state in State}

    @property
    def spent(self) -> float:
        """What the jobs that the server accepted cost, as far as prices are known, and what was tried before."""
        return self.sums.spent

    @property
    def in_doubt(self) -> float:
        """What the jobs cost that may have been accepted."""
        return self.sums.in_doubt

    @property
    def unknown_price_jobs(self) -> int:
        """How many jobs cost something that nobody knows, now or before they were paid for once more."""
        return self.sums.unknown_price_jobs

    def exit_code(self, selected: frozenset[str]) -> int:
        """Return how a run that was not stopped has ended: 3, 69, 1 or 0, the first that holds.

        Jobs that were not selected, and orphans that were never paid, are nobody's unfinished work.
        """
        counts, orphaned = self.counts, self.sums.orphaned
        if any(counts[state] for state in FOR_A_PERSON):
            return 3
        if self.is_unfinished(selected):
            return 69
        return int(any(counts[state] > orphaned.get(state, 0) for state in OVER))

    def is_unfinished(self, selected: frozenset[str]) -> bool:
        """Tell whether a run would go on with a job."""
        counts = self.counts
        if any(counts[state] for state in _UNFINISHED - {State.PLANNED}):
            return True
        return bool(selected) and any(name in selected for name in self._planned())

    def _planned(self) -> Iterator[str]:
        if isinstance(self.jobs, Kept):
            return self.jobs.names(State.PLANNED)
        return (job.name for job in self.jobs if job.state is State.PLANNED and not job.orphaned)


Listing = Callable[[Iterator[dict[str, Any]]], Any]
"""What becomes of a document's jobs: a list, or nothing yet, where they are written as they come."""


def status_document(status: Status, *, listing: Listing = list) -> dict[str, Any]:
    """Return the document of ``status --json``."""
    return {
        "schema_version": 1,
        "name": status.name,
        "path": status.path,
        "counts": {state.value: count for state, count in status.counts.items()},
        "cost": {
            "currency": status.currency,
            "spent": status.spent,
            "in_doubt": status.in_doubt,
            "budget": status.budget,
            "max_videos": status.max_videos,
            "unknown_price_jobs": status.unknown_price_jobs,
        },
        "jobs": listing(_job_document(job, status.before.get((job.name, job.request_hash))) for job in status.jobs),
    }


def run_document(
    status: Status, exit_code: int, places: Mapping[str, Place] = MappingProxyType({}), *, listing: Listing = list
) -> dict[str, Any]:
    """Return the document of ``run --json``. ``places`` are those of the fields that the server refused, by job."""

    def placed(jobs: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for job in jobs:
            place = places.get(job["job"])
            if place is not None and job["error"] and not job["orphaned"]:
                job["error"]["at"] = place._asdict()
            yield job

    return {**status_document(status, listing=lambda jobs: listing(placed(jobs))), "exit": exit_code}


def problems_document(problems: Iterable[Problem]) -> dict[str, Any]:
    """Return the document of ``validate --json``."""
    keys = ("rule", "severity", "file", "line", "column", "message", "fix")
    return {"schema_version": 1, "problems": [{key: asdict(problem)[key] for key in keys} for problem in problems]}


def spent_on(job: Job) -> float:
    """Return what the server was paid for the job as far as prices are known, earlier attempts included."""
    return job.sunk + (job.price or 0.0) * _accepted(job)


def in_doubt_for(job: Job) -> float:
    """Return what may have been paid for the job's last attempt, and nobody knows whether."""
    return (job.price or 0.0) * _doubtful(job)


def costs_unknown(job: Job) -> bool:
    """Tell whether the job costs something, or may, that nobody knows."""
    return job.price is None and (_accepted(job) or _doubtful(job) or job.approvals > 0)


def _accepted(job: Job) -> bool:
    return job.state in PAID or job.video_id is not None


def _doubtful(job: Job) -> bool:
    """Tell whether the job may have been paid, and nobody knows: what a person gave up in doubt stays so."""
    given_up = job.failure is not None and job.failure.kind is FailureKind.ABANDONED
    return job.state in DOUBTFUL or (given_up and job.state is State.FAILED and job.video_id is None)


def _job_document(job: Job, before: Failure | None) -> dict[str, Any]:
    return {
        "job": job.name,
        "state": job.state.value,
        "orphaned": job.orphaned,
        "picked": job.picked,
        "video_id": job.video_id,
        "path": job.path,
        "sha256": job.sha256,
        "bytes": job.bytes,
        "cost": job.price if _accepted(job) else None,
        "error": _failure_document(job.failure),
        "error_before": _failure_document(before),
        "warnings": list(job.warnings),
    }


def _failure_document(failure: Failure | None) -> dict[str, Any] | None:
    return None if failure is None else {name: getattr(failure, name) for name in ("kind", "message", "code", "param")}

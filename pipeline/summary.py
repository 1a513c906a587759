"""What came of a campaign: documents for programs and the exit code, folded from the jobs. Pure.

The shapes are promised in ``schemas/status.schema.json``, ``run.schema.json``, ``plan.schema.json`` and
``validate.schema.json``.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

from pipeline.document import Place
from pipeline.errors import Problem
from pipeline.jobs import DOUBTFUL, FOR_A_PERSON, OVER, PAID, Failure, FailureKind, Job, State
from pipeline.plan import Fate, Item, Plan

_UNFINISHED = frozenset(State) - OVER - FOR_A_PERSON - {State.DONE}


@dataclass(frozen=True, slots=True)
class Status:
    """A campaign as its ledger has it. ``path`` is its absolute folder.

    ``before`` says, by name and request's hash, why jobs failed that are being tried once more and have no end yet.
    """

    name: str
    path: str
    currency: str | None
    jobs: tuple[Job, ...]
    budget: float | None = None
    before: Mapping[tuple[str, str], Failure] = field(default_factory=dict)

    @property
    def counts(self) -> dict[State, int]:
        """How many jobs stand where; every state is there."""
        counted = Counter(job.state for job in self.jobs)
        return {state: counted[state] for state in State}

    @property
    def orphans(self) -> tuple[Job, ...]:
        """The finished jobs that the manifest of the last run did not ask for, and whose files may be there."""
        return tuple(job for job in self.jobs if job.orphaned and job.state is State.DONE and job.path is not None)

    @property
    def spent(self) -> float:
        """What the jobs that the server accepted cost, as far as prices are known, and what was tried before."""
        return sum(map(spent_on, self.jobs))

    @property
    def in_doubt(self) -> float:
        """What the jobs cost that may have been accepted."""
        return sum(map(in_doubt_for, self.jobs))

    @property
    def unknown_price_jobs(self) -> int:
        """How many jobs cost something that nobody knows, now or before they were paid for once more."""
        return sum(map(costs_unknown, self.jobs))

    def exit_code(self, selected: frozenset[str]) -> int:
        """Return how a run that was not stopped has ended: 3, 69, 1 or 0, the first that holds.

        Jobs that were not selected, and orphans that were never paid, are nobody's unfinished work.
        """
        if any(job.state in FOR_A_PERSON for job in self.jobs):
            return 3
        if self.is_unfinished(selected):
            return 69
        return int(any(job.state in OVER for job in self.jobs if not job.orphaned))

    def is_unfinished(self, selected: frozenset[str]) -> bool:
        """Tell whether a run would go on with a job."""
        waiting = [job for job in self.jobs if job.state in _UNFINISHED]
        return any(job.state is not State.PLANNED or (not job.orphaned and job.name in selected) for job in waiting)


def status_document(status: Status) -> dict[str, Any]:
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
            "unknown_price_jobs": status.unknown_price_jobs,
        },
        "jobs": [_job_document(job, status.before.get((job.name, job.request_hash))) for job in status.jobs],
    }


def run_document(status: Status, exit_code: int, places: Mapping[str, Place] = MappingProxyType({})) -> dict[str, Any]:
    """Return the document of ``run --json``. ``places`` are those of the fields that the server refused, by job."""
    document = status_document(status)
    for job in document["jobs"]:
        place = places.get(job["job"])
        if place is not None and job["error"] and not job["orphaned"]:
            job["error"]["at"] = place._asdict()
    return {**document, "exit": exit_code}


def problems_document(problems: Iterable[Problem]) -> dict[str, Any]:
    """Return the document of ``validate --json``."""
    keys = ("rule", "severity", "file", "line", "column", "message", "fix")
    return {"schema_version": 1, "problems": [{key: asdict(problem)[key] for key in keys} for problem in problems]}


@dataclass(frozen=True, slots=True)
class Estimate:
    """What submitting the plan's new jobs costs, as far as prices are known."""

    currency: str | None
    cost: float
    unknown_price_jobs: int


def estimate(prices: Sequence[float | None], currency: str | None) -> Estimate:
    known = [price for price in prices if price is not None]
    return Estimate(currency, sum(known), len(prices) - len(known))


def plan_document(name: str, path: str, provider: str, plan: Plan, cost: Estimate) -> dict[str, Any]:
    """Return the document of ``plan --json``."""
    counted = Counter(item.fate for item in plan.items)
    return {
        "schema_version": 1,
        "name": name,
        "path": path,
        "provider": provider,
        "counts": {fate.value: counted[fate] for fate in Fate},
        "cost": asdict(cost),
        "jobs": [_item_document(item) for item in plan.items],
    }


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


def _item_document(item: Item) -> dict[str, Any]:
    return {
        "job": item.name,
        "action": item.fate.value,
        "reason": item.reason,
        "state": item.job.state.value if item.job else None,
        "orphaned": item.spec is None,
        "request": dict(item.spec.request) if item.spec else None,
        "output": f"videos/{item.spec.output}" if item.spec else None,
        "origin": item.spec.origin if item.spec else None,
    }

"""What came of a campaign: documents for programs and the exit code, folded from the jobs. Pure.

The shapes are promised in ``schemas/status.schema.json``, ``run.schema.json``, ``plan.schema.json`` and
``validate.schema.json``.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from pipeline.document import Place
from pipeline.errors import Problem
from pipeline.jobs import DOUBTFUL, FOR_A_PERSON, OVER, PAID, FailureKind, Job, State
from pipeline.plan import Fate, Item, Plan

_UNFINISHED = frozenset(State) - OVER - FOR_A_PERSON - {State.DONE}


@dataclass(frozen=True, slots=True)
class Status:
    """A campaign as its ledger has it. ``path`` is its absolute folder."""

    name: str
    path: str
    currency: str | None
    jobs: tuple[Job, ...]
    budget: float | None = None

    @property
    def counts(self) -> dict[State, int]:
        """How many jobs stand where; every state is there."""
        counted = Counter(job.state for job in self.jobs)
        return {state: counted[state] for state in State}

    @property
    def spent(self) -> float:
        """What the jobs that the server accepted cost, as far as prices are known, and what was tried before."""
        return sum(job.sunk + (job.price or 0.0) * _accepted(job) for job in self.jobs)

    @property
    def in_doubt(self) -> float:
        """What the jobs cost that may have been accepted."""
        return sum(job.price or 0.0 for job in self.jobs if _doubtful(job))

    @property
    def unknown_price_jobs(self) -> int:
        """How many jobs cost something that nobody knows, now or before they were paid for once more."""
        return sum(job.price is None for job in self.jobs if _accepted(job) or _doubtful(job) or job.approvals)

    def exit_code(self, selected: frozenset[str]) -> int:
        """Return how a run that was not stopped has ended: 3, 69, 1 or 0, the first that holds.

        Jobs that were not selected, and orphans that were never paid, are nobody's unfinished work.
        """
        if any(job.state in FOR_A_PERSON for job in self.jobs):
            return 3
        ours = [job for job in self.jobs if not job.orphaned]
        waiting = [job for job in self.jobs if job.state in _UNFINISHED]
        if any(job.state is not State.PLANNED or (not job.orphaned and job.name in selected) for job in waiting):
            return 69
        return int(any(job.state in OVER for job in ours))


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
        "jobs": [_job_document(job) for job in status.jobs],
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


def _accepted(job: Job) -> bool:
    return job.state in PAID or job.video_id is not None


def _doubtful(job: Job) -> bool:
    """Tell whether the job may have been paid, and nobody knows: what a person gave up in doubt stays so."""
    given_up = job.failure is not None and job.failure.kind is FailureKind.ABANDONED
    return job.state in DOUBTFUL or (given_up and job.video_id is None)


def _job_document(job: Job) -> dict[str, Any]:
    failure = job.failure
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
        "error": failure
        and {
            "kind": failure.kind.value,
            "message": failure.message,
            "code": failure.code,
            "param": failure.param,
        },
        "warnings": list(job.warnings),
    }


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

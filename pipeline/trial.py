"""A few videos first: what is rendered before a person has looked, and whether it came out well. Pure."""

from dataclasses import dataclass, replace

from pipeline.jobs import Job, State
from pipeline.plan import Fate
from pipeline.preparation import Cleared
from pipeline.summary import Estimate, Status, estimate


@dataclass(frozen=True, slots=True)
class Trial:
    """A run over the first jobs, how many more would be submitted, and what those cost."""

    first: Cleared
    rest: int
    cost: Estimate

    def went_well(self, status: Status) -> bool:
        """Tell whether all of the first jobs have their videos."""
        names = self.first.prepared.selected
        return all(job.state is State.DONE for job in status.jobs if _is_ours(job, names))


def trial(cleared: Cleared, number: int) -> Trial | None:
    """Return a run over the first so many jobs of the selection, done or not; None where that is all of the work.

    Those that are done count, so that running again with the same number never renders more.
    """
    prepared = cleared.prepared
    chosen = [spec.name for spec in prepared.loaded.specs if spec.name in prepared.selected]
    names = frozenset(chosen[:number])
    rest = [item.spec for item in prepared.plan.of(Fate.SUBMIT) if item.spec and item.name not in names]
    if not rest:
        return None
    profile = prepared.loaded.profile
    cost = estimate([profile.cost(spec.request) for spec in rest], prepared.cost.currency)
    return Trial(replace(cleared, prepared=replace(prepared, selected=names)), len(rest), cost)


def _is_ours(job: Job, names: frozenset[str]) -> bool:
    return job.name in names and not job.orphaned

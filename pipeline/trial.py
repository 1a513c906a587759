"""A few videos first: what is rendered before a person has looked, and whether it came out well. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pipeline.clearing import Cleared
from pipeline.costs import Agreed, Estimate, estimate
from pipeline.jobs import Job, State
from pipeline.plan import Fate
from pipeline.summary import Status


@dataclass(frozen=True, slots=True)
class Trial:
    """A run over the first jobs, how many more would be submitted, and what those cost."""

    first: Cleared
    rest: int
    cost: Estimate

    def went_well(self, status: Status) -> bool:
        """Tell whether all of the first jobs have their videos."""
        names = self.first.prepared.selected
        return not any(_is_ours(job, names) for job in status.among(set(State) - {State.DONE}))


def trial(cleared: Cleared, number: int) -> Trial | None:
    """Return a run over the first so many jobs of the selection, done or not; None where that is all of the work.

    Those that are done count, so that running again with the same number never renders more. Only they are agreed to:
    about the rest a person is asked when the first have been looked at.
    """
    prepared = cleared.prepared
    chosen = [spec.name for spec in prepared.loaded.specs if spec.name in prepared.selected]
    names = frozenset(chosen[:number])
    ours, rest = list[Mapping[str, Any]](), list[Mapping[str, Any]]()
    for item in prepared.plan.of(Fate.SUBMIT):
        if item.spec:
            (ours if item.name in names else rest).append(item.spec.request)
    if not rest:
        return None
    first, others = (estimate(some, prepared.loaded.profile.cost, prepared.cost.currency) for some in (ours, rest))
    cleared = replace(
        cleared,
        prepared=replace(prepared, selected=names, cost=first),
        options=replace(cleared.options, plan=None),  # it has been checked, and is checked again before the rest
        agreed=cleared.agreed.at_most(Agreed.to(prepared.account, first)).and_to(prepared.agreed),
    )
    return Trial(cleared, len(rest), others)


def _is_ours(job: Job, names: frozenset[str]) -> bool:
    return job.name in names and not job.orphaned

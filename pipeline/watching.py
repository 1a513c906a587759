"""How a campaign stands, by its ledger, once or again and again. Nothing here takes a lock or writes, and no run
notices it.
"""

import time
from collections import Counter, defaultdict, deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import anyio

from pipeline.blocking import in_a_thread
from pipeline.campaign import Campaign
from pipeline.instructions import Options
from pipeline.jobs import Job
from pipeline.ledger import following, reading
from pipeline.ledger.following import TROUBLE, Mark, News
from pipeline.ledger.lock import Holder, holder
from pipeline.summary import Status
from pipeline.surroundings import campaign_of, status_of, title
from pipeline.tally import Standing, Tally

EVERY = 1.0
"""Seconds between two looks."""

_PROBLEMS = 5


@dataclass(frozen=True, slots=True)
class View:
    """A campaign as a look has found it. ``now`` in seconds since the epoch."""

    tally: Tally
    problems: tuple[Job, ...]
    holder: Holder | None
    now: float


async def watch(target: Path, options: Options) -> AsyncGenerator[View, None]:
    """Yield how a campaign stands, again and again, until all of it is finished and nobody runs it.

    Raises LedgerError where there is no ledger, or none any more.
    """
    campaign = campaign_of(target, options.output)
    watcher = _Watcher(campaign)
    while True:
        view = watcher.look()
        yield view
        if view.tally.is_done and not (view.holder and view.holder.runs):
            return
        await anyio.sleep(EVERY)


@in_a_thread
def status(target: Path, options: Options) -> Status:
    """Return what the ledger of a manifest, or of a campaign's folder, says, also during a run.

    Raises LedgerError where there is none.
    """
    return status_of(campaign_of(target, options.output))


class _Watcher:
    """Keeps what one job adds to the sums, for each job. Most add what others do, so a million are little enough."""

    def __init__(self, campaign: Campaign) -> None:
        self._campaign = campaign
        self._mark: Mark | None = None
        self._tally: Tally | None = None
        self._standings: dict[int, Standing] = {}
        self._shared: dict[Standing, Standing] = {}
        self._problems: deque[Job] = deque(maxlen=_PROBLEMS)

    def look(self) -> View:
        now, held = time.time(), holder(self._campaign.lock)
        with reading.opened(self._campaign.ledger) as connection:
            found = following.news(connection, self._mark)
            if self._tally is None or (found and found.anew is not None):
                name, _, currency = title(self._campaign, reading.settings(connection))
                self._tally = Tally(name=name, currency=currency, budget=None, began=now - 60, todo=0)
                self._tally.renders.extend(seconds for _, seconds in reversed(reading.render_times(connection)))
                self._problems.clear()
            self._tally.budget = reading.account(connection).max_cost
            if found is not None:
                self._learn(self._tally, found)
        return View(self._tally, tuple(self._problems), held, now)

    def _learn(self, tally: Tally, found: News) -> None:
        if found.anew is not None:
            self._standings = {number: self._shared.setdefault(adds, adds) for number, adds in found.anew}
            tally.enrol(Counter(self._standings.values()), found.youngest)
        ready = defaultdict[int, list[float]](list)
        for event in found.events:
            if event.kind == "intended":
                tally.submitted(event.at)
            elif event.kind == "completed" and found.anew is None:  # else those are known already
                ready[event.job].append(event.at)
        for number, job in found.jobs:
            before = self._standings.get(number)
            if found.anew is None:
                adds = tally.seen(before, job, ready[number])
                self._standings[number] = self._shared.setdefault(adds, adds)
            is_news = found.anew is not None or before is None or before.state is not job.state
            if is_news and job.state in TROUBLE and not job.orphaned:
                self._problems.append(job)
        self._mark = found.mark

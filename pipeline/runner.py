"""Order and concurrency: every unfinished job of the ledger is driven until this run has nothing more to do for it.

There is no resume: a run begins by reading the ledger, whatever it finds there. What is paid comes first. New jobs are
started in the order in which the ledger met them, as slots at the server become free; meanwhile the files of those
that are done are looked for. Cancelling ``run`` leaves a ledger that the next run continues from, at any instant: a
POST and the record of its answer are shielded together.
"""

from collections.abc import Callable, Sequence, Set
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial

import anyio
from anyio.abc import TaskGroup

from pipeline.breakers import Stop
from pipeline.decisions import Do, Moment, next_action
from pipeline.events import TRANSITIONS, Doubted, Event, Intended, Refused, Reprieved, Retried
from pipeline.evidence import BadFile, Closed, Evidence, Found, NoFile, Ready, Recorded, Silence
from pipeline.jobs import DOUBTFUL, Failure, FailureKind, Job, State
from pipeline.ledger import BudgetReached, DuplicateVideo, Ledger
from pipeline.limits import Slots
from pipeline.policies import Policy
from pipeline.steps import STEPS, Tools
from pipeline.tally import Gauges

Observer = Callable[[Job, Event, Job], None]
"""Called with a job before, an event that is on disk now, and the job after."""

_Key = tuple[str, str]
_AT_SERVER = DOUBTFUL - {State.HELD} | {State.SUBMITTED}
_HOLDING_A_SLOT = _AT_SERVER | {State.PLANNED}
#: What is paid, nearest to its end first; then what a person has been asked about; then what may come back.
_PAID_FIRST = (
    State.VERIFIED,
    State.COMPLETED,
    State.SUBMITTING,
    State.IN_DOUBT,
    State.SUBMITTED,
    State.LOST,
    State.STUCK,
    State.HELD,
    State.EXPIRED,
)
#: Between these and their record no end of the run may come. The rest can be done again.
_SHIELDED = frozenset({Do.SUBMIT, Do.PLACE})

_GONE = Failure(FailureKind.BAD_OUTPUT, "the file is gone from the disk, or was changed")
_LOOKED_FOR_AT_ONCE = 1000  # a trip to a thread for each file would cost more than to look for it


@dataclass(frozen=True, slots=True)
class Run:
    """One run: the ledger that it continues, the tools, and the numbers of its decisions.

    ``wanted`` says which planned jobs to submit; what is paid is always fetched.
    """

    ledger: Ledger
    tools: Tools
    slots: Slots
    policy: Policy
    wanted: Callable[[Job], bool]
    observe: Observer

    async def __call__(self) -> None:
        """Drive everything. Raises StorageError when the disk or the ledger fails, in a group of exceptions."""
        with self.tools.signals.scope:
            async with anyio.create_task_group() as group:
                met = await self._start_paid(group)
                group.start_soon(self._start_missing, group, met)
                await self._start_planned(group, met)

    def gauges(self) -> Gauges:
        """Return what the run is at."""
        tools, signals = self.tools, self.tools.signals
        return Gauges(
            rate=tools.pace.rate * 60,
            most_rate=tools.pace.ceiling * 60,
            paused=tools.submits.held(anyio.current_time()),
            in_flight=self.slots.taken,
            most_in_flight=self.slots.limit,
            downloads=signals.downloads,
            most_downloads=tools.downloads.number,
            received=signals.received,
            unheard=signals.contact.failures,
            stop=signals.stop,
        )

    async def _start_paid(self, group: TaskGroup) -> set[_Key]:
        # All are read before the first one moves: a job must not be met again in its next state.
        jobs = [job async for job in self.ledger.jobs(_PAID_FIRST)]
        for job in sorted(jobs, key=lambda job: _PAID_FIRST.index(job.state)):
            at_server = job.state in _AT_SERVER
            if at_server:
                self.slots.take()
            group.start_soon(self._drive, job, Found(), at_server)
        return {_key(job) for job in jobs}

    async def _start_missing(self, group: TaskGroup, met: set[_Key]) -> None:
        """Fetch again what was done and is not on the disk any more. There may be a million files to look for."""
        looked_for: list[Job] = []

        async def look() -> None:
            for job in await self.tools.blocking(partial(self._missing, tuple(looked_for))):
                met.add(_key(job))
                group.start_soon(self._drive, job, NoFile(_GONE), False)
            looked_for.clear()

        async with aclosing(self.ledger.jobs({State.DONE})) as jobs:
            async for job in jobs:
                looked_for.append(job)
                if len(looked_for) == _LOOKED_FOR_AT_ONCE:
                    await look()
        await look()

    def _missing(self, jobs: Sequence[Job]) -> Sequence[Job]:
        """Return those whose files are gone, and tidy up after the others."""
        outputs, missing = self.tools.outputs, list[Job]()
        for job in jobs:
            if job.orphaned or outputs.intact(job):
                outputs.tidy(job)
            else:
                missing.append(job)
        return missing

    async def _start_planned(self, group: TaskGroup, met: Set[_Key]) -> None:
        """Start what is to be submitted, and what failed in an earlier run and may be tried again.

        What was ``met`` in another state, or is by then, may be planned or failed by now, and goes on by itself.
        """
        async with aclosing(self.ledger.jobs({State.PLANNED, State.FAILED})) as jobs:
            async for job in jobs:
                if job.orphaned or not self.wanted(job) or _key(job) in met:
                    continue
                if next_action(job, Found(), Moment(self.tools.now()), self._policy_for(job)) is None:
                    continue
                if not await self._take_slot():
                    return
                group.start_soon(self._drive, job, Found(), True)

    async def _take_slot(self) -> bool:
        """Wait for a slot at the server; return whether anything is still submitted then."""
        gate = self.tools.signals.gate
        if gate.closed or (self.slots.are_taken and not await gate.through(self.slots.free)):
            return False
        self.slots.take()
        return True

    async def _drive(self, job: Job, evidence: Evidence, holds_slot: bool) -> None:
        """Alternate between deciding and doing, until there is nothing more to do for the job in this run."""
        sense, posting, found = _Sense(self.tools.now), False, job
        while (action := next_action(job, evidence, sense.moment, self._policy_for(job))) is not None:
            if isinstance(action, Do):
                if posting and action is not Do.SUBMIT:
                    self.tools.posts.release()
                evidence = await self._do(action, job, sense.moment)
                posting = isinstance(evidence, Ready) or action is Do.SUBMIT
                # No await from here to record(): cancellation cannot come between an answer and its record.
                sense.learn(job, action, evidence)
                continue
            job, evidence = await self._record(job, action)
            sense.learn(job, None, evidence)
            if posting and not isinstance(action, Intended):
                self.tools.posts.release()
                posting = False
            if holds_slot and job.state not in _HOLDING_A_SLOT:
                self.slots.release()
                holds_slot = False
            if isinstance(action, Retried) and not holds_slot:
                holds_slot = await self._take_slot()
                if not holds_slot:
                    break
        self._note_end(found, job, evidence)
        if posting:
            self.tools.posts.release()
        if holds_slot:
            self.slots.release()

    def _note_end(self, found: Job, job: Job, evidence: Evidence) -> None:
        """Note what came of a job, and why it was left; not of one that is as it was ``found``."""
        if isinstance(evidence, BadFile | Silence) and job.state is State.COMPLETED:
            self.tools.signals.unfetched[_key(job)] = evidence.failure
        if job is not found:
            self.tools.signals.over(job)

    def _policy_for(self, job: Job) -> Policy:
        if job.orphaned:
            return replace(self.policy, replay=False, resubmit_absent=False, attempts=0)
        if self.tools.signals.gate.closed or not self.wanted(job):
            return replace(self.policy, attempts=0)
        if job.key_fingerprint != self.tools.key_fingerprint:  # one account, but another key may have other memories
            return replace(self.policy, replay=False)
        return self.policy

    async def _do(self, work: Do, job: Job, moment: Moment) -> Evidence:
        if work is Do.PREPARE and not self.wanted(job):
            return Closed()
        if work not in _SHIELDED:
            return await STEPS[work](self.tools, job, moment)
        with anyio.CancelScope(shield=True):
            evidence = await STEPS[work](self.tools, job, moment)
        return evidence  # noqa: RET504  # mypy takes it that a scope may swallow what its block raises

    async def _record(self, job: Job, event: Event) -> tuple[Job, Evidence]:
        """Put the event on disk, or what is left of it where the ledger's own rules refuse it."""
        signals = self.tools.signals
        try:
            after = await self.ledger.record(job, event)
        except BudgetReached:
            signals.no_more_submits(Stop.BUDGET, Failure(FailureKind.NOT_SENT, "the next job would be beyond it"))
            return job, Closed()
        except DuplicateVideo as error:
            failure = Failure(FailureKind.AMBIGUOUS, f"the server gave the id of another job: {error}")
            signals.doubted(job, failure)
            if Doubted not in TRANSITIONS[job.state]:
                return job, Silence(failure)
            event = Doubted(failure=failure, raw=event.raw)
            after = await self.ledger.record(job, event)
        self.observe(job, event, after)
        if isinstance(event, Refused):
            for other in signals.refused(after):
                self.observe(other, Reprieved(), await self.ledger.record(other, Reprieved()))
        return after, Recorded()


def _key(job: Job) -> _Key:
    return job.name, job.request_hash


class _Sense:
    """How often in a row, and for how long, the same work on an attempt has ended in the same way."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._rows: dict[tuple[int, State, Do | None], tuple[type[Evidence], int, float]] = {}
        self.moment = Moment(now())

    def learn(self, job: Job, work: Do | None, evidence: Evidence) -> None:
        """Note the evidence that the work ended in; ``moment`` speaks of it then."""
        row, now = (job.attempt, job.state, work), anyio.current_time()
        kind, tries, since = self._rows.get(row, (None, 0, 0.0))
        tries, since = (tries + 1, since) if kind is type(evidence) else (1, now)
        self._rows[row] = type(evidence), tries, since
        self.moment = Moment(self._now(), tries, now - since)

"""What concerns all jobs together, and when it ends the spending. Values and counters; who acts on them is the runner.

A breaker that has opened stays open for this run: the next run, which a person starts, tries again.
"""

from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from math import inf

import anyio

from pipeline.jobs import OVER, Failure, FailureKind, Job, State
from pipeline.limits import Contact, Gate

FORGETTING = 120.0
"""Seconds in which more than a fifth of the polls finding nothing means that the server has lost its memory."""

FORGOTTEN_AT_MOST = 3
"""Jobs of which that must be so: one alone may have been deleted."""

REFUSALS_AT_MOST = 5
"""Equal refusals without a success: then it is not the jobs."""

DOUBTS_AT_MOST = 3
"""Open doubts of one run: a bad hour at a server must cost a person three decisions, not three thousand."""

LEAVING = 25.0
"""Seconds that downloads in progress are given when a run ends early by itself."""


FINISHED_AT_LEAST = 10
"""Jobs that must be over before a share of failures among them says anything."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How many jobs of a run may fail: a number, or a share of 1 of those that are over."""

    number: int | None = None
    share: float | None = None

    def is_exceeded(self, failed: int, finished: int) -> bool:
        if self.number is not None:
            return failed > self.number
        return self.share is not None and finished >= FINISHED_AT_LEAST and failed > self.share * finished


class Stop(Enum):
    """Why a run ends, or submits nothing more, before its work is done."""

    AUTH = "the server does not accept the key"
    QUOTA = "the account is empty"
    CONFIG = "the server has no such address"
    DOUBT = "too many submissions had no clear answer"
    REFUSALS = "the server refuses one job after the other for the same reason"
    FORGOT = "the server no longer knows the jobs that it accepted"
    BUSY = "the server asks to wait for too long"
    BUDGET = "the budget is reached"
    FAILURES = "more jobs have failed than may fail"
    CANARY = "the first videos want to be looked at"
    DISK = "there is too little room on the disk"
    UNTRUSTED = "the server's certificate cannot be trusted"
    UNREACHABLE = "the server cannot be reached"


class Signals:
    """What concerns the whole run. ``gate`` closes for submissions only; ``scope`` ends all that is not shielded.

    ``unfetched``: why finished videos were left to the next run, by the job's name and its request's hash.
    ``received`` counts the bytes of videos, ``largest`` is what the longest that is known has.
    """

    def __init__(self, contact: Contact, tolerance: Tolerance | None = None, *, largest: int = 0) -> None:
        self.gate = Gate()
        self.scope = anyio.CancelScope()
        self.contact = contact
        self.stop: Stop | None = None
        self.failure: Failure | None = None
        self.throttled = 0
        self.throttled_since: float | None = None
        self.largest = largest
        self.received = 0
        self.unfetched: dict[tuple[str, str], Failure] = {}
        self.download_seconds: float | None = None
        self._tolerance = tolerance or Tolerance()
        self._failed = self._finished = 0
        self._last: Failure | None = None
        self._refused: list[Job] = []
        self._doubts: set[tuple[str, int]] = set()
        self._polls: deque[tuple[float, str | None]] = deque()
        self._unknown: Counter[str] = Counter()
        self._finishing: set[anyio.CancelScope] = set()
        self._left = inf

    def doubted(self, job: Job, failure: Failure) -> None:
        """Note a POST without a clear answer: too many of which no video was found end the spending."""
        self._doubts.add((job.request_hash, job.attempt))
        if len(self._doubts) >= DOUBTS_AT_MOST:
            self.no_more_submits(Stop.DOUBT, failure)

    def cleared(self, job: Job) -> None:
        """Note that the video of a doubt was found."""
        self._doubts.discard((job.request_hash, job.attempt))

    def accepted(self) -> None:
        """Note a job that the server took: whatever it refused before, it was the jobs."""
        self._refused.clear()

    def refused(self, job: Job) -> list[Job]:
        """Note a job that has failed by a refusal; return those that were hardly refused for their own sake.

        These are jobs whose refusals were equal, with none between them that was accepted.
        """
        failure = job.failure
        if failure is None or failure.kind is not FailureKind.INVALID_REQUEST:
            return []
        if self._refused and _sayings(self._refused[0].failure) != _sayings(failure):
            self._refused.clear()
        self._refused.append(job)
        if len(self._refused) >= REFUSALS_AT_MOST:
            self.no_more_submits(Stop.REFUSALS, failure)
        if self.stop is not Stop.REFUSALS or _sayings(self.failure) != _sayings(failure):
            return []
        found, self._refused = self._refused, []
        return found

    def over(self, job: Job) -> None:
        """Note a job for which this run has nothing more to do: too many that failed end the spending."""
        failed = job.state in OVER
        self._failed += failed
        self._finished += failed or job.state is State.DONE
        if failed and job.failure is not None:
            self._last = job.failure
        if self._tolerance.is_exceeded(self._failed, self._finished):
            words = f"{self._failed} of the {self._finished} that are over in this run; the last one: "
            last = self._last or Failure(FailureKind.SERVER, "unknown")
            self.no_more_submits(Stop.FAILURES, replace(last, message=words + last.message))

    def polled(self, now: float, video_id: str, failure: Failure | None) -> None:
        """Note whether a poll found its job: a server that forgets many of them is not given more."""
        self._polls.append((now, None if failure is None else video_id))
        while self._polls[0][0] < now - FORGETTING:
            _, found_nothing = self._polls.popleft()
            if found_nothing is not None:
                self._unknown[found_nothing] -= 1
        if failure is None:
            return
        self._unknown[video_id] += 1
        jobs = sum(map(bool, self._unknown.values()))
        if jobs >= FORGOTTEN_AT_MOST and self._unknown.total() > len(self._polls) / 5:
            self.no_more_submits(Stop.FORGOT, failure)

    def downloaded(self, seconds: float) -> None:
        """Note how long a download took."""
        before = seconds if self.download_seconds is None else self.download_seconds
        self.download_seconds = (before * 3 + seconds) / 4

    @property
    def downloads(self) -> int:
        """How many downloads are under way."""
        return len(self._finishing)

    @contextmanager
    def finishing(self) -> Iterator[None]:
        """Shield the block from the end of the run, until the grace that ``leave`` gives is over."""
        with anyio.CancelScope(shield=True, deadline=self._left) as scope:
            self._finishing.add(scope)
            try:
                yield
            finally:
                self._finishing.discard(scope)

    def leave(self, grace: float) -> int:
        """End the run, but for what is being finished, which has ``grace`` seconds; return how much that is."""
        self.gate.close()
        self._left = min(self._left, anyio.current_time() + grace)
        for scope in self._finishing:
            scope.deadline = self._left
        self.scope.cancel()
        return len(self._finishing)

    def no_more_submits(self, stop: Stop, failure: Failure) -> None:
        """Submit nothing more in this run; what is paid is still fetched."""
        if self.stop is None:
            self.stop, self.failure = stop, failure
        self.gate.close()

    def end(self, stop: Stop, failure: Failure) -> None:
        """End the run, but for what is between a POST and its record, and downloads that are nearly here."""
        self.no_more_submits(stop, failure)
        self.leave(LEAVING)


def _sayings(failure: Failure | None) -> tuple[object, ...]:
    return (failure.http_status, failure.code, failure.param, failure.message) if failure else ()

"""What happens to a request, drawn from a seed: a job meets the same faults in whatever order jobs come. Pure."""

from dataclasses import dataclass
from enum import StrEnum
from random import Random


class Fault(StrEnum):
    """What a server, or something on the way to it, does to a POST."""

    NONE = "none"
    # Before the instant of billing: nothing is created, ever.
    DROPPED = "dropped"
    FAILED = "500"
    THROTTLED = "429"
    # After it: the video is paid, whatever the answer looks like.
    BILLED_DROPPED = "billed, dropped"
    BILLED_CUT_HEAD = "billed, cut in the headers"
    BILLED_CUT_BODY = "billed, cut in the body"
    BILLED_500 = "billed, 500"
    BILLED_502 = "billed, 502 in HTML"
    BILLED_FOREIGN_ID = "billed, the id of another video"
    BILLED_LATE = "dropped, billed later"
    ANSWERED_LATE = "billed, answered late"


class Trouble(StrEnum):
    """What happens to a GET."""

    NONE = "none"
    FAILED = "500"
    CUT = "cut"
    SHORT = "half of it, as if it were all"
    HTML = "HTML"


class Instant(StrEnum):
    """An instant of a request at which the server kills the client."""

    ARRIVED = "net-arrived"
    ARRIVED_BILLED = "net-arrived-billed"
    BILLED = "net-billed"
    MID_HEAD = "net-mid-headers"
    MID_BODY = "net-mid-body"
    MID_CONTENT = "net-mid-content"


@dataclass(frozen=True, slots=True)
class Course:
    """How a POST goes. Seconds: from its arrival to the instant of billing, from there to the answer.

    Where there is no billing: to the answer, and what that asks to wait.
    """

    fault: Fault
    billing: float
    answer: float


@dataclass(frozen=True, slots=True)
class Dice:
    """The seed, and how much goes wrong: the share of POSTs and downloads that meet a fault; of other GETs a
    fifth of it.

    A server may bill late, and show late what it has billed, but both are over well within the profile's ``settle``:
    what it may still do after that, no client can tell from its absence.
    """

    seed: str
    rate: float

    def post(self, prompt: str, number: int) -> Course:
        """Return the course of the so-manieth POST of this prompt."""
        rng = self._rng("post", prompt, number)
        slow = rng.random() < 0.2
        billing, answer = rng.uniform(0.4, 1.2) if slow else rng.uniform(0.02, 0.2), rng.uniform(0.02, 0.2)
        if rng.random() >= self.rate:
            return Course(Fault.NONE, billing, answer)
        fault = rng.choice(_FAULTS)
        if fault is Fault.BILLED_LATE:
            billing = rng.uniform(1.0, 2.5)
        if fault in {Fault.ANSWERED_LATE, Fault.THROTTLED}:
            answer += rng.uniform(0.3, 0.8)
        return Course(fault, billing, answer)

    def status(self, video_id: str, number: int) -> Trouble:
        return self._trouble("status", video_id, number, self.rate / 5, [Trouble.FAILED, Trouble.CUT])

    def page(self, number: int) -> Trouble:
        return self._trouble("list", "", number, self.rate / 5, [Trouble.FAILED, Trouble.CUT])

    def content(self, video_id: str, number: int) -> Trouble:
        troubles = [Trouble.FAILED, Trouble.CUT, Trouble.SHORT, Trouble.HTML]
        return self._trouble("content", video_id, number, self.rate, troubles)

    def lag(self, video_id: str) -> float:
        """Return the seconds that a created video stays out of the list: for every other one none."""
        rng = self._rng("lag", video_id, 0)
        return rng.choice([0.0, rng.uniform(0.1, 0.5)])

    def _trouble(self, what: str, which: str, number: int, rate: float, troubles: list[Trouble]) -> Trouble:
        rng = self._rng(what, which, number)
        return rng.choice(troubles) if rng.random() < rate else Trouble.NONE

    def _rng(self, what: str, which: str, number: int) -> Random:
        return Random(f"{self.seed}/{what}/{which}/{number}")


# More of these: a clean refusal is the only way back to planned, and who bills late makes absence a matter of waiting.
_FAULTS = [*(fault for fault in Fault if fault is not Fault.NONE), *[Fault.THROTTLED, Fault.BILLED_LATE] * 2]
UNBILLED = frozenset({Fault.DROPPED, Fault.FAILED, Fault.THROTTLED})
AMBIGUOUS = frozenset(Fault) - {Fault.NONE, Fault.THROTTLED, Fault.ANSWERED_LATE}
"""After these a client cannot know whether it has paid."""

"""When a job is asked about: a little before any like it was ever finished, and then ever more seldom. Pure."""

from collections import deque
from random import Random

from pipeline.profile import PollPace

SHARE = 0.03
"""Of its age, between two polls of a job: what a finished one waits to be seen is that much of its time at the most."""

LEARNED = 10
"""Jobs that must be over before anything is known."""

RECENT = 200
"""Jobs from which it is known."""


class Pace:
    """When to poll, between the profile's numbers. Seconds.

    ``first`` is the age at which a job is asked about first: the profile's, and later while the run sees that videos
    take longer: nineteen in twenty were still at work then.
    """

    def __init__(self, given: PollPace) -> None:
        self.first = given.first
        self._given = given
        self._ages: deque[float] = deque(maxlen=RECENT)

    def interval(self, age: float) -> float:
        """Return the seconds between two polls of a job of this age."""
        return min(max(self._given.interval, age * SHARE), self._given.slowest)

    def until_due(self, age: float, *, again: bool, rng: Random) -> float:
        """Return seconds until the next poll. Equal jobs drift apart, and those of an earlier run at once."""
        if age < self.first:
            return self.first - age
        return self.interval(age) * rng.uniform(0.8 if again else 0.0, 1.2)

    def over(self, at_work: float | None) -> None:
        """Note that a job is over, and the age at which it was last seen at work; None where it never was."""
        if at_work is None and self.first <= self._given.first:
            return  # one of an earlier run, or one that was quick: this says nothing about when to begin
        self._ages.append(self.first * 0.9 if at_work is None else at_work)
        if len(self._ages) >= LEARNED:
            self.first = max(self._given.first, sorted(self._ages)[len(self._ages) // 20])

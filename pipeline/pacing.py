"""When a job is asked about: a little before any like it was ever finished, and then ever more seldom. Pure."""

from collections import deque
from random import Random

from pipeline.profile import PollPace

SHARE = 0.03
"""Of its age, between two polls of a job: what a finished one waits to be seen is that much of its time at the most."""

LEARNED = 10
"""Jobs that must be over before it is known when to begin."""

RECENT = 200
"""Jobs from which that is known."""


class Pace:
    """When to poll, between the profile's numbers: not before ``first``, nor more often than ``interval``.

    ``first`` is the age at which a job is asked about first. It becomes later while it is seen that videos take longer:
    nineteen in twenty were at work then. Seconds.
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
        """Note a job that is over, and at which age it was last seen at work; None where it never was in this run."""
        if at_work is None and self.first <= self._given.first:
            return  # nothing is known of when it came to its end
        self._ages.append(self.first * 0.9 if at_work is None else at_work)
        if len(self._ages) >= LEARNED:
            self.first = max(self._given.first, sorted(self._ages)[len(self._ages) // 20])

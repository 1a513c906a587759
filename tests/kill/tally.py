"""What each part of a campaign needs and has: kills that count, at every failpoint, and what the bill said."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from math import ceil
from typing import Self

from subjects import Naive, failpoints
from trial import KILLS, Trial
from verdict import Counts


class Kind(StrEnum):
    """What goes through the campaign: the command with a server that lists its videos, without; the naive script."""

    LIST = "list"
    NO_LIST = "no-list"
    CONTROL = "control"


@dataclass(slots=True)
class Tally:
    """One kind's part of the campaign."""

    kind: Kind
    kills: int
    each: int
    trials: list[Trial] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    wrong: dict[str, dict[str, int]] = field(default_factory=dict)
    begun: int = 0

    @classmethod
    def of(cls, kind: Kind, *, kills: int, each: int) -> Self:
        return cls(kind, kills, 0 if kind is Kind.CONTROL else each)

    @property
    def failpoints(self) -> list[str]:
        if self.kind is Kind.CONTROL:
            return list(Naive.failpoints)
        return list(failpoints(listing=self.kind is Kind.LIST))

    @property
    def share(self) -> int:
        """How many kills of a trial are at failpoints: three in ten, or as many as it takes."""
        needed = KILLS * len(self.failpoints) * self.each / max(1, self.kills)
        return min(KILLS - 5, ceil(max(0.3 * KILLS, 1.2 * needed)))

    def add(self, trial: Trial, counts: Counts) -> None:
        """Take in a trial that is over."""
        self.trials.append(trial)
        self.counts += counts
        if counts.wrong and self.kind is not Kind.CONTROL:
            self.wrong[trial.name] = counts.wrong

    @property
    def counted(self) -> int:
        return sum(kill.counts for trial in self.trials for kill in trial.kills)

    @property
    def by_failpoint(self) -> Counter[str]:
        """How many kills that count were at each failpoint; under the empty name those at random instants."""
        return Counter(kill.failpoint or "" for trial in self.trials for kill in trial.kills if kill.counts)

    @property
    def by_state(self) -> Counter[str]:
        """At how many kills that count some job was in the state."""
        return Counter(state for trial in self.trials for kill in trial.kills if kill.counts for state in kill.standing)

    @property
    def too_few(self) -> list[str]:
        """The failpoints that have not had their kills."""
        had = self.by_failpoint
        return [name for name in self.failpoints if had[name] < self.each]

    @property
    def wants(self) -> int:
        """How many further trials it takes, as far as can be told now."""
        expected = self.counted + (self.begun - len(self.trials)) * KILLS
        missing = ceil((self.kills - expected) / KILLS)
        return max(missing, 0) or int(bool(self.too_few) and self.begun == len(self.trials))

    @property
    def is_hopeless(self) -> bool:
        """Whether it takes far more trials than it should: what is killed ends by itself, or a name is never met."""
        return self.begun > 3 * (self.kills // KILLS) + 6

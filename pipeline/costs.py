"""What a plan costs, what was promised before it, and how much of it the budget holds. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

_CENT = 1e-9
"""What sums of prices may be off by; the ledger's own rule allows as much."""


class Kind(NamedTuple):
    """What prices and render times depend on."""

    model: str | None
    size: str | None
    seconds: str | None

    @classmethod
    def of(cls, request: Mapping[str, Any]) -> "Kind":
        return cls(*(None if request.get(name) is None else str(request[name]) for name in cls._fields))


class Group(NamedTuple):
    """Jobs of one kind. ``price`` is what each of them costs: None where nobody knows it."""

    kind: Kind
    jobs: int
    price: float | None

    @property
    def cost(self) -> float | None:
        return None if self.price is None else self.jobs * self.price


@dataclass(frozen=True, slots=True)
class Estimate:
    """What submitting jobs costs, in groups of one kind, the most jobs first."""

    currency: str | None
    groups: tuple[Group, ...] = ()

    @property
    def cost(self) -> float:
        """The sum, as far as prices are known."""
        return sum(group.cost or 0.0 for group in self.groups)

    @property
    def unknown_price_jobs(self) -> int:
        return sum(group.jobs for group in self.groups if group.price is None)

    @property
    def jobs(self) -> int:
        return sum(group.jobs for group in self.groups)

    @property
    def is_free(self) -> bool:
        return self.cost == 0 and self.unknown_price_jobs == 0


def estimate(
    requests: Iterable[Mapping[str, Any]], price: Callable[[Mapping[str, Any]], float | None], currency: str | None
) -> Estimate:
    """Return what the requests cost together; ``price`` tells what one of them does."""
    return summed(((Kind.of(request), price(request)) for request in requests), currency)


Priced = tuple[Kind, float | None]
"""Of which kind a job is, and what it costs: None where nobody knows it."""


def summed(jobs: Iterable[Priced], currency: str | None) -> Estimate:
    """Return what these jobs cost together."""
    counted = Counter(jobs)
    return Estimate(currency, tuple(Group(kind, jobs, each) for (kind, each), jobs in counted.most_common()))


class Account(NamedTuple):
    """What the attempts cost that were billed or may be, and how many these are; then the budget, None for no bound."""

    reserved: float = 0.0
    videos: int = 0
    max_cost: float | None = None
    max_videos: int | None = None

    @property
    def left(self) -> float | None:
        """What may be promised still."""
        return None if self.max_cost is None else max(0.0, self.max_cost - self.reserved)

    @property
    def videos_left(self) -> int | None:
        return None if self.max_videos is None else max(0, self.max_videos - self.videos)

    @property
    def is_bounded(self) -> bool:
        return self.max_cost is not None or self.max_videos is not None

    def holds(self, prices: Iterable[float | None]) -> int:
        """Return how many attempts, in this order, come before the first one that the budget does not hold."""
        reserved, held = self.reserved, 0
        for price in prices:
            if self.max_videos is not None and self.videos + held + 1 > self.max_videos:
                break
            if self.max_cost is not None and (price is None or reserved + price > self.max_cost + _CENT):
                break
            reserved += price or 0.0
            held += 1
        return held


class Agreed(NamedTuple):
    """How much a person has agreed that the campaign may cost altogether, and how many videos that may be."""

    cost: float = 0.0
    videos: int = 0

    @classmethod
    def to(cls, account: Account, estimate: Estimate) -> "Agreed":
        """Return what is agreed to with a plan: all that was promised before, and all that it would submit."""
        return cls(account.reserved + estimate.cost, account.videos + estimate.jobs)

    def and_to(self, other: "Agreed") -> "Agreed":
        """Return what covers both."""
        return Agreed(max(self.cost, other.cost), max(self.videos, other.videos))

    def at_most(self, most: "Agreed") -> "Agreed":
        """Return as much of it as the other covers."""
        return Agreed(min(self.cost, most.cost), min(self.videos, most.videos))

    def covers(self, other: "Agreed", *, and_above: float, unknown: bool) -> bool:
        """Tell whether the other was agreed to with this. ``and_above``: what may be spent beyond it without a word.

        ``unknown``: the other has prices that nobody knows; then the videos are counted, and nothing is beyond them.
        """
        # What sums are off by grows with them: a hundred thousand prices, added one by one, by 1e-7.
        slack = _CENT * max(1.0, other.cost)
        return other.cost <= self.cost + and_above + slack and not (unknown and other.videos > self.videos)

"""Every world that can be reached, shortest ways first; and from each of them, whether all can still end well."""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import NoReturn

from model.endings import WithoutFaults, may_end
from model.moves import check, moves
from model.rules import BrokenPromise, Core, Variant
from model.worlds import EPOCH, STRANGER, World, first, key

from pipeline.decisions import Action, Moment
from pipeline.evidence import Evidence
from pipeline.jobs import Job, State
from pipeline.policies import Policy


@dataclass(frozen=True, slots=True)
class Found:
    """What an exploration came to. ``broken`` is the promise, ``trace`` the shortest way there, where there is one.

    ``decided`` says in which states which kinds of evidence were decided on.
    """

    states: int
    moves: int
    decided: frozenset[tuple[State, type[Evidence]]]
    broken: str | None = None
    trace: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.broken is None:
            return f"{self.states} states, {self.moves} moves: every promise is kept"
        steps = "\n".join(f"{number:4}. {step}" for number, step in enumerate(self.trace, 1))
        return f"{steps}\n      BROKEN: {self.broken}"


class Exploration:
    """A breadth-first search. Every world is kept with the first, and so a shortest, way that leads to it."""

    def __init__(self, variant: Variant, core: Core, *, endings: bool) -> None:
        self._decided: set[tuple[State, type[Evidence]]] = set()

        def noted(job: Job, evidence: Evidence, moment: Moment, policy: Policy) -> Action:
            self._decided.add((job.state, type(evidence)))
            return core.next_action(job, evidence, moment, policy)

        self._variant, self._core, self._endings = variant, replace(core, next_action=noted), endings
        self._ways: dict[Hashable, tuple[Hashable, str]] = {}
        self._ends: dict[tuple[bool, Hashable], tuple[State, ...]] = {}
        self._going = WithoutFaults(variant, self._core)
        self._moves = 0

    def run(self, most: int | None = None) -> Found:
        """Explore everything, or until a promise is broken. Raises RuntimeError beyond ``most`` worlds."""
        try:
            self._explore(most)
        except _At as at:
            return self._found(str(at), self._trace(at.here, at.more))
        return self._found()

    def _found(self, broken: str | None = None, trace: tuple[str, ...] = ()) -> Found:
        return Found(len(self._ways), self._moves, frozenset(self._decided), broken, trace)

    def _explore(self, most: int | None) -> None:
        variant = self._variant
        start = first(variant)
        here = key(start, variant)
        self._ways[here] = here, f"the beginning  [{_shown(start)}]"
        self._judge(here, start)
        ahead = [(here, start)]
        while ahead:
            ahead, now = [], ahead
            for here, world in now:
                for label, after in self._next(here, world):
                    there = key(after, variant)
                    self._moves += 1
                    if there not in self._ways:
                        self._ways[there] = here, f"{label}  [{_shown(after)}]"
                        self._judge(there, after)
                        ahead.append((there, after))
            if most is not None and len(self._ways) > most:
                raise RuntimeError(f"{variant.name}: more than {most} states")

    def _next(self, here: Hashable, world: World) -> Iterator[tuple[str, World]]:
        try:
            yield from moves(world._replace(written=()), self._variant, self._core)
        except BrokenPromise as broken:
            raise _At(str(broken), here) from None

    def _judge(self, here: Hashable, world: World) -> None:
        try:
            check(world, self._variant)
        except BrokenPromise as broken:
            raise _At(str(broken), here) from None
        if not self._endings:
            return
        for promptly in (True, False) if world.requests else (True,):
            self._end_well(here, world, promptly=promptly)

    def _end_well(self, here: Hashable, world: World, *, promptly: bool) -> None:
        """Follow the one way on which nothing goes wrong any more, and look at where it ends."""
        path: dict[Hashable, None] = {}
        labels: list[str] = []
        place, on = here, world
        try:
            while (promptly, place) not in self._ends:
                going = self._going.next(on, promptly=promptly, labels=labels) if place not in path else _circle()
                path[place] = None
                if going is None:
                    self._ends[promptly, place] = tuple(job.state for job in on.rows)
                else:
                    on, place = going, key(going, self._variant)
        except BrokenPromise as broken:
            raise _At(f"where nothing goes wrong any more, {broken}", here, tuple(labels)) from None
        end = self._ends[promptly, place]
        for one in path:
            self._ends[promptly, one] = end
        for number, state in enumerate(end):
            if state not in may_end(world, self._variant, number, promptly=promptly):
                raise _At(f"where nothing goes wrong any more, it ends as {state}", here, tuple(labels))

    def _trace(self, here: Hashable, more: tuple[str, ...]) -> tuple[str, ...]:
        steps = list(reversed(more))
        for _ in count():
            before, label = self._ways[here]
            steps.append(label)
            if before == here:
                break
            here = before
        return tuple(reversed(steps))


class _At(Exception):
    """A broken promise, the world that it happened in, and what led on from there."""

    def __init__(self, message: str, here: Hashable, more: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.here, self.more = here, more


def explore(variant: Variant, core: Core | None = None, *, endings: bool = True, most: int | None = None) -> Found:
    """Explore a variant. ``endings``: look from each world at whether all can still end well, too."""
    return Exploration(variant, core or Core(), endings=endings).run(most)


def _circle() -> NoReturn:
    raise BrokenPromise("it goes round in circles")


def _shown(world: World) -> str:
    rows = " ".join(f"{job.state}{f' {job.video_id}' if job.video_id else ''}" for job in world.rows)
    made = ",".join(one.id for one in world.made if one.job != STRANGER)
    return f"t={world.now - EPOCH}: {rows}{f'; made {made}' if made else ''}"

"""Nothing is paid twice and nothing paid is forgotten, whatever happens: explored to the end, for one job.

The long form, with two jobs and more of everything: ``python tests/model/explore.py --long``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from random import Random
from typing import get_args, get_type_hints

import anyio
import pytest
import trio
import trio.testing
from model import runs, server
from model.mutants import MUTANTS, Mutant
from model.rules import COUNTED, TICK, Core, Variant
from model.search import Found, explore
from model.variants import ASSUMED, VARIANTS
from model.worlds import EPOCH, Task, first

from pipeline import decisions, evidence
from pipeline.decisions import Do, Moment, next_action
from pipeline.evidence import Evidence
from pipeline.jobs import Job, Spec, State
from pipeline.policies import Policy
from pipeline.runner import _Sense
from pipeline.steps import STEPS

Decision = tuple[State, type[Evidence]]

WHERE: Mapping[Do, frozenset[State]] = {
    Do.PREPARE: frozenset({State.PLANNED, State.IN_DOUBT}),
    Do.SUBMIT: frozenset({State.SUBMITTING, State.IN_DOUBT}),
    Do.RECONCILE: frozenset({State.IN_DOUBT, State.HELD}),
    Do.POLL: frozenset({State.SUBMITTED, State.LOST, State.STUCK}),
    Do.DOWNLOAD: frozenset({State.COMPLETED}),
    Do.PLACE: frozenset({State.VERIFIED, State.EXPIRED, State.LOST}),
}
"""The states in which each work is done."""


@dataclass(frozen=True, slots=True)
class Explored:
    """What came of every variant, in which states which evidence was decided on, and where counts were asked for."""

    found: Mapping[str, Found]
    met: frozenset[Decision]
    asked: frozenset[Decision]


def _explored() -> Explored:
    asked: set[Decision] = set()

    def decide(job: Job, e: Evidence, m: Moment, p: Policy) -> decisions.Action:
        return next_action(job, e, Asked(m, lambda: asked.add((job.state, type(e)))), p)

    found = {variant.name: explore(variant, Core(next_action=decide)) for variant in VARIANTS}
    met = frozenset[Decision]().union(*(one.decided for one in found.values()))
    return Explored(found, met, frozenset(asked))


def test_every_promise_is_kept_in_every_world_and_the_worlds_meet_all_that_is_decided() -> None:
    """One test, as several processes would each have to explore all of it."""
    explored = _explored()
    for name, found in explored.found.items():
        assert found.broken is None, f"{name}:\n{found}"
        assert found.states > 100, f"{name}: or this looks at nothing"
    never = {(State.DONE, evidence.Found)}  # no run begins with it: what is done is left, or its file is missing
    assert decisions._DECISIONS.keys() - explored.met == never
    _check_every_end_of_every_work(explored)
    _check_that_only_what_is_asked_for_is_counted(explored)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mistake_is_caught(mutant: Mutant) -> None:
    found = explore(mutant.variant, mutant.core, endings=mutant.endings)
    assert found.broken is not None, f"{mutant.name}: survives"
    assert mutant.breaks in found.broken, f"\n{found}"


@pytest.mark.parametrize("variant", ASSUMED, ids=lambda variant: variant.name)
def test_what_is_assumed_is_needed(variant: Variant) -> None:
    assert explore(variant, endings=False).broken is not None


def _check_every_end_of_every_work(explored: Explored) -> None:
    for work, states in WHERE.items():
        ends = get_type_hints(STEPS[work])["return"]
        assert set(product(states, get_args(ends))) <= explored.met, work


def _check_that_only_what_is_asked_for_is_counted(explored: Explored) -> None:
    """A count that no decision reads is left out, so that there are fewer worlds."""
    ends = {work: get_args(get_type_hints(STEPS[work])["return"]) for work in Do} | {None: (evidence.Recorded,)}
    counted = {(state, kind) for state, work in COUNTED for kind in ends[work]}
    first_of_a_run = {(State.IN_DOUBT, evidence.Found), (State.DONE, evidence.NoFile)}
    assert explored.asked - first_of_a_run <= counted
    assert len(explored.asked) > 5, "or this sees nothing"


class Asked:
    """A moment that notes whether anybody asks how often, or for how long."""

    def __init__(self, moment: Moment, note: Callable[[], None]) -> None:
        self._moment, self._note = moment, note
        self.now = moment.now

    @property
    def tries(self) -> int:
        self._note()
        return self._moment.tries

    @property
    def waited(self) -> float:
        self._note()
        return self._moment.waited


def test_the_model_counts_as_the_runner_does() -> None:
    """Any evidence, at any time: what decisions are told of it is the same."""

    async def compare() -> None:
        plain = Variant("")
        rng, places = Random(1), sorted(COUNTED, key=str)
        for _ in range(50):
            began, job = anyio.current_time(), Job.planned(Spec("n", 1, {}, "o", "m"))
            theirs = _Sense(lambda began=began: EPOCH * TICK + anyio.current_time() - began)
            world, task = first(plain), Task(job, Do.POLL, evidence.Found)
            for _ in range(20):
                ticks = rng.choice([0, 0, 1, 2])
                await anyio.sleep(TICK * ticks)
                world = world._replace(now=world.now + ticks)
                state, work = rng.choice(places)
                came, here = rng.choice([server.SILENCE, server.NOT_SENT]), replace(job, state=state)
                theirs.learn(here, work, came)
                counts, moment = runs.counted(task._replace(job=here), work, came, world, plain)
                task = task._replace(counts=counts)
                tries = min(theirs.moment.tries, plain.counted_to)
                assert moment == Moment(theirs.moment.now, tries, theirs.moment.waited)

    trio.run(compare, clock=trio.testing.MockClock(autojump_threshold=0))

"""What becomes of a world in which nothing goes wrong any more: one way on, and where it may end."""

from dataclasses import replace
from sys import maxsize

from model import records, runs, server
from model.moves import live, of_a_task
from model.rules import BrokenPromise, Core, Variant
from model.worlds import World

from pipeline.decisions import Do, may_be_sent_again
from pipeline.evidence import Matched, NotThere
from pipeline.jobs import DOUBTFUL, FOR_A_PERSON, OVER, State

_LONGEST_RUN = 100
"""Steps. A run without faults has far fewer."""


class WithoutFaults:
    """The way on. Under way is carried out what a run waits for, and where it goes ``promptly`` the rest of it too."""

    def __init__(self, variant: Variant, core: Core) -> None:
        self._variant, self._core = replace(variant, posts=maxsize, suspends=False), core

    def next(self, world: World, *, promptly: bool, labels: list[str]) -> World | None:
        """Return the next world, or None where one more run would change nothing. Tell the steps to ``labels``."""
        if any(world.runs):
            return self._step(world, promptly, labels)
        after, told = self._whole_run(world, promptly)
        if [(job.state, job.video_id) for job in after.rows] == [(job.state, job.video_id) for job in world.rows]:
            return None
        labels += told
        return after

    def _whole_run(self, world: World, promptly: bool) -> tuple[World, list[str]]:
        labels = ["(a run without faults begins)"]
        world = runs.started(records.brought_home(world, self._core), self._variant, self._core, 0)
        for _ in range(_LONGEST_RUN):
            if not any(world.runs):
                return world, labels
            world = self._step(world, promptly, labels)
        raise BrokenPromise("a run does not end")

    def _step(self, world: World, promptly: bool, labels: list[str]) -> World:
        for request in server.may_be_carried_out(world, self._variant):
            if promptly or server.is_waited_for(world, request.number):
                labels.append(f"(no fault) the server carries out POST {request.number}")
                return server.carried_out(world, self._variant, request)
        run, number, task = next(live(world))
        if task.todo is Do.RECONCILE:
            world = server.later(world, self._variant)
        label, world = next(of_a_task(world, self._variant, self._core, run, number))
        labels.append(f"(no fault) {label}")
        return world


def may_end(world: World, variant: Variant, number: int, *, promptly: bool) -> frozenset[State]:
    """Return where a job may end that stands so: what can still be had must be had."""
    job = world.rows[number]
    best = frozenset({State.DONE if variant.renders else State.SUBMITTED})
    settled = OVER | FOR_A_PERSON | best | ({State.PLANNED} if job.orphaned else frozenset())
    if any(world.runs):  # what it has in hand decides
        return settled
    if job.state in DOUBTFUL:
        return best if _can_be_cleared(world, variant, number, promptly=promptly) else best | {State.HELD}
    if job.state is State.PLANNED:
        return frozenset({State.PLANNED}) if job.orphaned else best
    if job.state in OVER:
        return frozenset({job.state}) | (best if job.sha256 or may_be_sent_again(variant.policy, job) else frozenset())
    return best


def _can_be_cleared(world: World, variant: Variant, number: int, *, promptly: bool) -> bool:
    job, policy = world.rows[number], variant.policy
    if policy.listing:
        resubmits = policy.resubmit_absent and not job.orphaned
        if variant.jobs > 1:
            return resubmits
        if promptly:
            for request in server.may_be_carried_out(world, variant):
                world = server.carried_out(world, variant, request)
        found = server.read(world, variant, Core(), job, world.made, claimed=world.claimed)
        return isinstance(found, Matched) or (resubmits and isinstance(found, NotThere) and not found.alike)
    age = world.clock - (job.intended_at or 0.0)
    return policy.replay and not job.orphaned and job.state is not State.HELD and -policy.skew <= age < policy.key_life

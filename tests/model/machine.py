"""Several jobs, takes of one request, through whatever chance brings, with a real ledger at the model's side.

The exploration (``search``) sees everything that can happen to one job; this sees a little of what can happen to many:
money that several jobs share, ids that belong to others, and the rules that the ledger's file keeps by itself.
"""

import atexit
from collections.abc import Sequence
from dataclasses import replace
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from model import moves
from model.book import Book
from model.rules import LISTING, REPLAYING, Core, Variant, specs
from model.worlds import STRANGER, first

from pipeline.decisions import Do
from pipeline.jobs import Job, State

_home = TemporaryDirectory()  # or it would keep things in the folder that it is started in
atexit.register(_home.cleanup)
set_hypothesis_home_dir(_home.name)

_MANY = Variant("", jobs=3, confused=True, words=2, vanishing=True, posts=9, budget=4)
SERVERS = {
    "neither a list nor keys": _MANY,
    "a list": replace(_MANY, policy=LISTING, hasty=True, stranger=True),
    "keys": replace(_MANY, policy=REPLAYING, memory=6, slow=frozenset({Do.POLL, Do.DOWNLOAD})),
}
WHO = ("worse", "best", "kill", "time", "worse", "person", "server", "best", "bug", "worse", "time", "disk")
"""Who acts next, the likelier the more often."""

_DOUBT = frozenset({State.IN_DOUBT, State.HELD})
_THIS = "job = (SELECT id FROM jobs WHERE name = ?)"
HARM: tuple[tuple[frozenset[State], str], ...] = (
    (_DOUBT, "UPDATE jobs SET state = 'planned' WHERE name = ?"),
    (_DOUBT, "UPDATE jobs SET state = 'failed' WHERE name = ?"),
    (_DOUBT, "UPDATE jobs SET state = 'submitting', attempt = attempt + 1 WHERE name = ?"),
    (_DOUBT, "UPDATE jobs SET state = 'planned', approvals = approvals + 2 WHERE name = ?"),
    (frozenset({State.COMPLETED}), "UPDATE jobs SET state = 'verified', sha256 = NULL WHERE name = ?"),
    (
        frozenset({State.DONE}),
        "UPDATE jobs SET state = 'planned', video_id = NULL, approvals = approvals + 1 WHERE name = ?",
    ),
    (
        frozenset({State.PLANNED}),
        "UPDATE jobs SET state = 'submitting', attempt = 9, idempotency_key = 'k', price = 99 WHERE name = ?",
    ),
)
"""What the file refuses for jobs in these states: a doubt that ends without a word, a budget that is exceeded ..."""
HARM_TO_THE_PAID = (
    "UPDATE jobs SET video_id = 'another' WHERE name = ?",
    "UPDATE jobs SET video_id = NULL WHERE name = ?",
    "UPDATE jobs SET state = 'planned' WHERE name = ?",
    "UPDATE jobs SET state = 'planned', video_id = NULL, approvals = approvals + 2 WHERE name = ?",
    "UPDATE jobs SET state = 'submitting', video_id = NULL WHERE name = ?",
    f"DELETE FROM claims WHERE {_THIS}",
    f"UPDATE claims SET video_id = 'another' WHERE {_THIS}",
)
HARM_TO_THE_SENT = (
    "DELETE FROM jobs WHERE name = ?",
    f"DELETE FROM events WHERE {_THIS}",
    f"UPDATE events SET kind = 'returned' WHERE {_THIS}",
)


class ManyJobs(RuleBasedStateMachine):
    """Chance chooses who acts next, and what comes of it; the runs mostly go well, or nothing would ever get far."""

    core = Core()

    @initialize(server=st.sampled_from(sorted(SERVERS)))
    def begin(self, server: str) -> None:
        self.variant = SERVERS[server]
        self.world = first(self.variant)
        self.book = Book(specs(self.variant), float(self.variant.budget or 0))

    @rule(who=st.sampled_from(WHO), which=st.integers(0, 99), how=st.integers(0, 99))
    def something_happens(self, who: str, which: int, how: int) -> None:
        world, variant = self.world, self.variant
        match who:
            case "best":
                for _ in range(1 + how % 7):
                    self.go_on(which)
                    self.happen(next(moves.of_the_server(self.world, variant), None))
            case "worse":
                self.go_on(which, how + 1)
            case "server":
                self.happen(_one([*moves.of_the_server(world, variant)], how))
            case "time":
                self.happen(next(moves.of_time(world, variant), None))
            case "kill":
                self.kill()
            case "person":
                self.happen(_one([*moves.of_a_person(world, variant, self.core)], how))
            case "disk":
                self.happen(_one([*moves.of_the_machine(world, variant)], how))
            case "bug":
                self.harm(world.rows[which % variant.jobs])

    @invariant()
    def no_promise_is_broken(self) -> None:
        if not hasattr(self, "book"):
            return
        moves.check(self.world, self.variant)
        assert self.book.rows() == self.world.rows
        reserved, most = self.book.reserved()
        bill = sum(one.job != STRANGER for one in self.world.made)
        assert bill <= reserved == self.world.reserved <= (most or 0), "the budget"

    def teardown(self) -> None:
        if hasattr(self, "book"):
            try:
                self.retell()
            finally:
                self.book.close()

    def go_on(self, which: int, how: int = 0) -> None:
        """Begin a run, or go on with one of its jobs: for the best, or in another way."""
        live = [(run, number) for run, number, _ in moves.live(self.world)]
        if live:
            ways = [*moves.of_a_task(self.world, self.variant, self.core, *live[which % len(live)])]
            self.happen(ways[0] if how == 0 or len(ways) == 1 else _one(ways[1:], how))
        else:
            self.happen(next(moves.of_beginnings(self.world, self.variant, self.core), None))

    def kill(self) -> None:
        for move in moves.of_crashes(self.world, self.variant):
            self.happen(move)
            self.book.die()
            self.retell()

    def happen(self, move: moves.Move | None) -> None:
        if move is None:
            return
        label, self.world = move
        note(label)
        for written in self.world.written:
            self.book.write(written)
        self.world = self.world._replace(written=())

    def harm(self, job: Job) -> None:
        """Do to the file what no run may ever do."""
        tries = [sql for states, sql in HARM if job.state in states]
        tries += HARM_TO_THE_PAID if job.video_id is not None else ()
        tries += HARM_TO_THE_SENT if job.attempt else ()
        for sql in tries:
            assert self.book.refuses(sql, job.name), f"{sql}: {job}"
        for other in self.world.rows:
            if other.video_id is not None and job.video_id is None:
                twice = "UPDATE jobs SET state = 'submitted', video_id = ? WHERE name = ?"
                assert self.book.refuses(twice, other.video_id, job.name), f"one id for two: {job}"

    def retell(self) -> None:
        """Hold each job against what its events alone tell of it."""
        for job in self.book.rows():
            assert self.book.retold(job) == job


def careful(examples: int, steps: int, *, by_chance: bool) -> settings:
    """Return how long to look. Not ``by_chance``: the same examples every time."""
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        derandomize=not by_chance,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )


def _one(ways: Sequence[moves.Move], number: int) -> moves.Move | None:
    return ways[number % len(ways)] if ways else None

"""One instant of the model: what the ledger holds, what the runs are doing, what the server has made. Plain values.

Only differences of times matter, so two worlds that differ in nothing that can ever be told apart have the same
``key``: that makes the number of worlds finite.
"""

from collections.abc import Hashable
from dataclasses import replace
from math import ceil
from typing import Any, NamedTuple

from model.rules import COUNTED, TICK, Variant, specs

from pipeline.client import SUBMIT_DEADLINE
from pipeline.decisions import Do
from pipeline.events import Event, Intended, apply
from pipeline.evidence import Evidence
from pipeline.jobs import DOUBTFUL, Job, State
from pipeline.matching import SKEW
from pipeline.reconciliation import RECENTLY

EPOCH = 1_000_000
"""The tick of the first instant."""

OTHERS = "theirs"
"""The id of a video that another job of the ledger has, where the model has one job only."""

STRANGER = -1
"""The maker of a video that none of our jobs asked for."""

STRANGERS = "stranger"
"""The id of that video."""

_IDLE = 4
"""Ticks that are longer than any list takes, or any pause between two."""

_RECENTLY = ceil(RECENTLY / TICK)
_POLLED = frozenset({State.SUBMITTED, State.LOST, State.STUCK})


class Request(NamedTuple):
    """A POST that has left. ``since`` it was sent, or since nobody waits for it any more.

    ``made`` is the id that it came to, where the server has carried it out.
    """

    number: int
    job: int
    key: str
    since: int
    made: str | None = None


class Made(NamedTuple):
    """A video that the server has created, and charged for."""

    id: str
    job: int
    key: str
    created_at: int


class Waiting(NamedTuple):
    """The run waits for the answer to this request."""

    number: int


class Listed(NamedTuple):
    """The server has begun to send a list that shows this, and the run has not read it to the end."""

    videos: tuple[Made, ...]


Todo = Do | Event | Waiting | Listed
Count = tuple[State, Do | None, type[Evidence], int, int]


class Task(NamedTuple):
    """A job in a run. ``todo`` was decided because of evidence of the kind ``why``.

    ``counts`` are as the runner's own: by state and work, which kind of evidence, how often in a row, and since when.
    ``idle``: ticks that have passed while it looked for the job in a list.
    """

    job: Job
    todo: Todo
    why: type[Evidence]
    counts: tuple[Count, ...] = ()
    idle: int = 0


class Written(NamedTuple):
    """A record that was tried. ``refused``: the ledger's own rules let it be."""

    job: Job
    event: Event
    refused: bool = False


class World(NamedTuple):
    """``rows`` is what the ledger holds, ``platter`` what of it would survive a power cut.

    ``claims`` are ids with their job and its approvals then; ``rescued`` are keys and ids that could not be recorded.
    ``asking`` are runs and jobs that looked into a list, and when. ``files`` are parts, finished files, and ghosts of
    those that vanished, by job. ``skew`` is the machine's clock less the time, ``haste`` the tick of the hasty list.
    ``again`` and ``given_up`` count a person's words, ``reserved`` the intents that the budget holds. ``written`` are
    the last move's records.
    """

    now: int
    rows: tuple[Job, ...]
    platter: tuple[Job, ...]
    runs: tuple[tuple[Task | None, ...] | None, ...]
    claims: frozenset[tuple[str, int, int]]
    made: tuple[Made, ...] = ()
    requests: tuple[Request, ...] = ()
    rescued: frozenset[tuple[str, str]] = frozenset()
    asking: frozenset[tuple[int, int, int]] = frozenset()
    files: frozenset[tuple[str, int]] = frozenset()
    skew: int = 0
    haste: int | None = None
    sent: int = 0
    jumped: int = 0
    again: int = 0
    given_up: int = 0
    reserved: int = 0
    written: tuple[Written, ...] = ()

    @property
    def clock(self) -> float:
        """The machine's wall clock, in seconds."""
        return (self.now + self.skew) * TICK

    @property
    def claimed(self) -> frozenset[str]:
        return frozenset(claim[0] for claim in self.claims)


def first(variant: Variant) -> World:
    """Return the world before the first run: everything is planned, nothing was sent."""
    rows = tuple(replace(Job.planned(spec), orphaned=variant.orphaned) for spec in specs(variant))
    if variant.left:
        intent = Intended(
            attempt=1,
            idempotency_key="k1",
            base_url="u",
            key_fingerprint=None,
            price=1.0,
            intended_at=EPOCH * TICK,
        )
        rows = tuple(apply(row, intent) for row in rows)
    stranger = (Made(STRANGERS, STRANGER, "", EPOCH - 2),) if variant.stranger else ()
    sent = (Request(1, 0, "k1", EPOCH),) if variant.left else ()
    return World(
        now=EPOCH,
        rows=rows,
        platter=rows,
        runs=(None,) * variant.runs,
        claims=frozenset({(OTHERS, STRANGER, 0)} if variant.jobs == 1 else ()),
        made=stranger,
        requests=sent,
        sent=len(sent),
        reserved=len(sent),
    )


def key(world: World, variant: Variant) -> Hashable:
    """Return what can be told apart about the world: ages instead of times, and no age beyond the longest wait."""
    now, rows = world.now, world.rows
    return (
        _rows(rows, world, variant),
        None if world.platter is rows else _rows(world.platter, world, variant),
        tuple([run and tuple([_task(task, world, variant) for task in run]) for run in world.runs]),
        tuple([(one.id, one.key, _ages(one, world, variant)) for one in world.made]),
        tuple([(*one[:3], min(now - one.since, variant.lateness + 1), one.made) for one in world.requests]),
        frozenset([claim[:2] for claim in world.claims]),
        world.rescued,
        frozenset([(run, number, min(now - asked, _RECENTLY)) for run, number, asked in world.asking])
        if variant.jobs > 1
        else None,
        world.files,
        world.skew,
        None if world.haste is None else min(now - world.haste, 1),
        world.sent,
        world.jumped,
        world.again,
        world.given_up,
        None if variant.budget is None else world.reserved,
        min(now - EPOCH, variant.quiet),
    )


def _rows(rows: tuple[Job, ...], world: World, variant: Variant) -> Hashable:
    return tuple([_row(job, world, variant) for job in rows])


def _row(job: Job, world: World, variant: Variant) -> Hashable:
    """A job without what cannot matter any more in its state."""
    state = job.state
    if state in DOUBTFUL or variant.runs > 1:  # what one run has rescued the other brings home by its key
        return state, job.video_id, job.idempotency_key, _since_the_intent(job, world, variant)
    if state in _POLLED:
        return state, job.video_id, job.status, _age(job.submitted_at, world, variant.policy.stuck_after), job.sha256
    return state, job.video_id, job.sha256


def _task(task: Task | None, world: World, variant: Variant) -> Hashable:
    if task is None:
        return None
    behind, todo = None, task.todo
    row = next((row for row in world.rows if row is task.job), None)
    if row is None:
        row = next(row for row in world.rows if row.name == task.job.name)
        behind = _row(task.job, world, variant), row.attempt - task.job.attempt, row.state
    if isinstance(todo, Waiting):
        todo = todo.number
    elif isinstance(todo, Listed):
        todo = tuple(one.id for one in todo.videos)
    elif not isinstance(todo, Do):
        times = [getattr(todo, name, None) for name in ("intended_at", "submitted_at")]
        ages = [_age(time, world, 8 * TICK) for time in times]
        names = [getattr(todo, name, None) for name in ("idempotency_key", "video_id")]
        todo = type(todo), *ages, *names, task.why
    counts = tuple([(*entry[:4], _waited(entry, world, variant)) for entry in task.counts])
    return behind, todo, min(task.idle, _IDLE), counts


def _waited(entry: Count, world: World, variant: Variant) -> int:
    return min(world.now - entry[4], ceil(COUNTED[entry[:2]](variant.policy) / TICK))


def _since_the_intent(job: Job, world: World, variant: Variant) -> int | None:
    """Ticks, as far as they matter: to the window of a match, or to the life of a key."""
    policy = variant.policy
    window = SUBMIT_DEADLINE + policy.settle + SKEW if policy.listing else 0.0
    return _age(job.intended_at, world, max(window, policy.key_life if policy.replay else 0.0))


def _age(instant: float | None, world: World, matters: float) -> int | None:
    """Ticks since an instant of the machine's clock, and no more than ``matters``, in seconds, one tick beyond."""
    if instant is None:
        return None
    longest = ceil(matters / TICK) + 1 if matters else 0
    return max(-longest, min(world.now + world.skew - round(instant / TICK), longest))


def _ages(one: Made, world: World, variant: Variant) -> Hashable:
    """When it was made, as far as it matters: to a key that is remembered, and to the windows of those in doubt."""
    memory = variant.memory and min(world.now - one.created_at, variant.memory + 1)
    if not variant.policy.listing or one.id in world.claimed:
        return memory
    windows = tuple(
        max(-2, min(one.created_at - round(job.intended_at / TICK), 7))
        if job.state in DOUBTFUL and job.intended_at is not None
        else None
        for job in world.rows
    )
    return memory, windows, one.created_at == world.now


def changed(items: tuple[Any, ...], number: int, item: Any) -> tuple[Any, ...]:
    """Return the items with one of them replaced."""
    return (*items[:number], item, *items[number + 1 :])


def with_run(world: World, number: int, tasks: tuple[Task | None, ...]) -> World:
    """Return the world in which a run does this. One in which nothing is left to do has ended."""
    return world._replace(runs=changed(world.runs, number, tasks if any(tasks) else None))

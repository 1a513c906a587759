"""A run in the model: the shipped decisions, carried out one step at a time. It may die between any two of them.

What ``Run._drive`` and ``_Sense`` do with coroutines is done here with values; a test holds the two ways of counting
against each other.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from model import server
from model.rules import COUNTED, TICK, BrokenPromise, Core, Variant
from model.worlds import Count, Listed, Made, Request, Task, Waiting, World, changed, with_run

from pipeline.decisions import Do, Moment
from pipeline.events import Adopted
from pipeline.evidence import Closed, Evidence, Found, Matched, NoFile, NotThere, Placed, Ready
from pipeline.jobs import DOUBTFUL, FailureKind, State
from pipeline.reconciliation import RECENTLY

_BETWEEN_LISTS = 2
"""Ticks. The runner waits for a little longer than ``between``, and a list takes its time."""

_LONGEST_LIST = 3
"""Ticks. Longer than ``between``, so that it is old when it comes."""

_RENDERING = frozenset({Do.POLL, Do.DOWNLOAD, Do.PLACE})


class Here(NamedTuple):
    """A run at work on a job in a world."""

    world: World
    variant: Variant
    core: Core
    run: int
    number: int
    task: Task


Outcome = tuple[str, World, Evidence]


def started(world: World, variant: Variant, core: Core, run: int) -> World:
    """Return the world in which a run has read the ledger and met every job that it has something to do for."""
    tasks: tuple[Task | None, ...] = ()
    for number, job in enumerate(world.rows):
        evidence: Evidence | None = Found()
        if job.state is State.PLANNED and job.orphaned:
            evidence = None
        if job.state is State.DONE:
            gone = ("file", number) not in world.files and not job.orphaned
            evidence = NoFile(server.failure(FailureKind.BAD_OUTPUT)) if gone else None
        task = Task(job, Do.POLL, Found)
        tasks += (None if evidence is None else _decided(core, variant, task, evidence, Moment(world.clock)),)
    return with_run(world, run, tasks)


def died(world: World, run: int) -> World:
    """Return the world in which the run has come to its end, of whatever kind."""
    numbers = [task.todo.number for task in world.runs[run] or () if task and isinstance(task.todo, Waiting)]
    asking = frozenset(entry for entry in world.asking if entry[0] != run)
    return server.hung_up(world._replace(runs=changed(world.runs, run, None), asking=asking), *numbers)


def worked(here: Here) -> Iterator[tuple[str, World]]:
    """Yield what can come of the work that the run is about to do for the job, or is doing; the best of it first."""
    todo = here.task.todo
    if todo is Do.SUBMIT:
        yield from _sent(here)
    if todo is Do.RECONCILE and here.variant.long_lists:
        for what, world, videos in server.lists(here.world, here.variant):
            yield f"{what} is begun", _doing(here, world, here.task._replace(todo=Listed(videos), idle=0))
        return
    for what, world, evidence in _outcomes(here):
        yield what, learned(here, world, _work(todo), evidence)


def learned(here: Here, world: World, work: Do | None, evidence: Evidence) -> World:
    """Return the world in which the run has counted the evidence, and decided what it leads to."""
    counts, moment = counted(here.task, work, evidence, world, here.variant)
    task = _decided(here.core, here.variant, here.task._replace(counts=counts), evidence, moment)
    after = _doing(here, world, task)
    return server.hung_up(after, here.task.todo.number) if isinstance(here.task.todo, Waiting) else after


def counted(
    task: Task, work: Do | None, evidence: Evidence, world: World, variant: Variant
) -> tuple[tuple[Count, ...], Moment]:
    """Count as ``runner._Sense`` does."""
    place, kind = (task.job.state, work), type(evidence)
    tries, since = 1, world.now
    for entry in task.counts:
        if entry[:2] == place and entry[2] is kind:
            tries, since = min(entry[3] + 1, variant.counted_to), entry[4]
    moment = Moment(world.clock, tries, (world.now - since) * TICK)
    if place not in COUNTED:
        return task.counts, moment
    rest = tuple(entry for entry in task.counts if entry[:2] != place)
    return (*rest, (*place, kind, tries, since)), moment


def takes_time(task: Task, world: World, variant: Variant) -> bool:
    """Tell whether a tick can pass in what the run is doing for this job. A record takes none."""
    match task.todo:
        case Waiting(number):
            sent = next((one.since for one in world.requests if one.number == number), None)
            return Do.SUBMIT in variant.slow and sent == world.now
        case Listed():
            return task.idle < _LONGEST_LIST
        case Do.RECONCILE:
            return Do.RECONCILE in variant.slow and task.idle < _BETWEEN_LISTS
        case Do() as work:
            return work in variant.slow and work not in {Do.SUBMIT, Do.PLACE}
    return False


def _decided(core: Core, variant: Variant, task: Task, evidence: Evidence, moment: Moment) -> Task | None:
    job = task.job
    try:
        action = core.next_action(job, evidence, moment, core.narrowed(job, variant.policy))
    except KeyError:
        raise BrokenPromise(f"there is no decision for {type(evidence).__name__} in state {job.state}") from None
    beyond = not variant.renders and isinstance(action, Do) and action in _RENDERING
    return None if action is None or beyond else task._replace(todo=action, why=type(evidence), idle=0)


def _outcomes(here: Here) -> Iterator[Outcome]:
    match here.task.todo:
        case Waiting(sent):
            for what, evidence in server.answers(here.world, here.variant, sent, here.number):
                yield f"the answer: {what}", here.world, evidence
        case Listed(videos):
            yield "the list is read", *_looked(here, here.world, videos, took=here.task.idle)
        case Do() as work:
            yield from _ENDS[work](here)


def _prepared(here: Here) -> Iterator[Outcome]:
    if here.world.sent < here.variant.posts:
        yield "its turn has come", here.world, Ready(_fresh_key(here), "u", None, 1.0)
    yield "nothing more is submitted", here.world, Closed()


def _fresh_key(here: Here) -> str:
    """Return a key that no POST has carried yet, and no other task can have."""
    others = (here.number,) * (here.variant.jobs > 1) + (here.run,) * (here.variant.runs > 1)
    return ".".join(["k" + str(here.world.sent + 1), *map(str, others)])


def _sent(here: Here) -> Iterator[tuple[str, World]]:
    """Send the POST. Nothing may leave that is not announced."""
    world, variant, job = here.world, here.variant, here.task.job
    row, key = world.rows[here.number], here.core.key_of(job, _fresh_key(here))
    announced = row.state in DOUBTFUL and row.idempotency_key == job.idempotency_key
    if key is None or not (announced or (variant.runs > 1 and job.attempt > 0)):
        raise BrokenPromise("a POST is sent whose intent is not on disk")
    if job.orphaned:
        raise BrokenPromise("a POST is sent for a job that nobody asks for any more")
    if world.sent < variant.posts:
        request = Request(world.sent + 1, here.number, key, world.now)
        world = world._replace(sent=request.number, requests=(*world.requests, request))
        waiting = here.task._replace(todo=Waiting(request.number))
        yield f"POST {request.number} leaves with {key}", _doing(here, world, waiting)


def _not_sent(here: Here) -> Iterator[Outcome]:
    """Yield what is known before anything was created. Refusals that lead to the same are one."""
    if here.variant.plain:
        return
    yield "not sent: there is no connection", here.world, server.NOT_SENT
    seen: set[object] = set()
    for refusal in server.REFUSALS:
        counts, moment = counted(here.task, Do.SUBMIT, refusal, here.world, here.variant)
        task = _decided(here.core, here.variant, here.task._replace(counts=counts), refusal, moment)
        todo = task and (task.todo if isinstance(task.todo, Do) else type(task.todo))
        if todo not in seen:
            seen.add(todo)
            yield f"refused: {refusal.failure.kind}", here.world, refusal


def _looked_for(here: Here) -> Iterator[Outcome]:
    variant = here.variant
    for what, world, videos in server.lists(here.world, variant):
        yield f"{what} comes", *_looked(here, world, videos)
        if videos and not variant.plain:
            yield f"{what} comes, without prompts", *_looked(here, world, videos, poor=True)
    if not variant.plain:
        yield "no list comes", here.world, server.SILENCE


def _looked(
    here: Here, world: World, videos: tuple[Made, ...], *, took: int = 0, poor: bool = False
) -> tuple[World, Evidence]:
    """Do as ``Reconciler.look_for`` does with a list that took so many ticks."""
    variant, job = here.variant, here.task.job
    given = [task.todo.video_id for task in world.runs[here.run] or () if task and isinstance(task.todo, Adopted)]
    found = server.read(world, variant, here.core, job, videos, claimed=world.claimed.union(given), poor=poor)
    mine = (here.run, here.number)
    others = frozenset(entry for entry in world.asking if entry[:2] != mine)
    asking = others | {(*mine, world.now - took)}
    match found:
        case NotThere() if took * TICK > variant.policy.between:
            found = server.PROVES_NOTHING
        case Matched(video, _, more) if video.reference is None and len(more) < _older(here, world, others):
            found = server.PROVES_NOTHING
        case Matched():
            asking = others
    return world._replace(asking=asking), found


def _older(here: Here, world: World, asking: frozenset[tuple[int, int, int]]) -> int:
    """Count the equal jobs, sent earlier, that are looked for too."""
    mine = here.task.job.intended_at or 0.0
    return sum(
        run == here.run and (world.now - asked) * TICK < RECENTLY and (world.rows[number].intended_at or 0.0) < mine
        for run, number, asked in asking
    )


def _polled(here: Here) -> Iterator[Outcome]:
    for what, evidence in server.POLLS:
        yield f"the answer: {what}", here.world, evidence


def _downloaded(here: Here) -> Iterator[Outcome]:
    files = here.world.files | {("part", here.number)}
    yield "a whole file", here.world._replace(files=files), server.WHOLE_FILE
    for what, evidence in server.NO_FILES:
        yield f"the answer: {what}", here.world, evidence


def _placed(here: Here) -> Iterator[Outcome]:
    """Do as ``Outputs.place`` does: name the part file, or adopt the file that has the name already."""
    world, part, file = here.world, ("part", here.number), ("file", here.number)
    if part in world.files:
        yield "the file gets its name", world._replace(files=world.files - {part} | {file}), Placed("p")
    elif file in world.files:
        yield "the file has its name already", world, Placed("p")
    else:
        yield "there is no file", world, NoFile(server.failure(FailureKind.BAD_OUTPUT))


_ENDS: Mapping[Do, Callable[[Here], Iterator[Outcome]]] = {
    Do.PREPARE: _prepared,
    Do.SUBMIT: _not_sent,
    Do.RECONCILE: _looked_for,
    Do.POLL: _polled,
    Do.DOWNLOAD: _downloaded,
    Do.PLACE: _placed,
}


def _work(todo: object) -> Do:
    match todo:
        case Waiting():
            return Do.SUBMIT
        case Listed():
            return Do.RECONCILE
    assert isinstance(todo, Do)
    return todo


def _doing(here: Here, world: World, task: Task | None) -> World:
    tasks = world.runs[here.run]
    assert tasks is not None
    return with_run(world, here.run, changed(tasks, here.number, task))

"""Everything that can happen next in a world, by who does it; and how no world must be."""

from collections.abc import Iterator

from model import records, runs, server
from model.rules import BrokenPromise, Core, Variant
from model.worlds import EPOCH, OTHERS, STRANGER, Task, World

from pipeline.events import TRANSITIONS, Abandoned, Adopted, Event, Picked, Rejected, Resubmitted, Retried
from pipeline.jobs import DOUBTFUL, OVER, FailureKind, Job, State

PERSON = "ada"

Move = tuple[str, World]


def moves(world: World, variant: Variant, core: Core) -> Iterator[Move]:
    """Yield all that may happen next. Raises BrokenPromise where the core does what it must not."""
    yield from of_the_server(world, variant)
    for run, number, _ in live(world):
        yield from of_a_task(world, variant, core, run, number)
    yield from of_crashes(world, variant)
    yield from of_beginnings(world, variant, core)
    yield from of_a_person(world, variant, core)
    yield from of_the_machine(world, variant)
    yield from of_time(world, variant)


def live(world: World) -> Iterator[tuple[int, int, Task]]:
    for run, tasks in enumerate(world.runs):
        for number, task in enumerate(tasks or ()):
            if task is not None:
                yield run, number, task


def of_the_server(world: World, variant: Variant) -> Iterator[Move]:
    for request in server.may_be_carried_out(world, variant):
        yield f"the server carries out POST {request.number}", server.carried_out(world, variant, request)


def of_a_task(world: World, variant: Variant, core: Core, run: int, number: int) -> Iterator[Move]:
    """Yield what can come of the next step of a run for a job; the best first."""
    tasks = world.runs[run]
    task = tasks[number] if tasks else None
    assert task is not None
    here = runs.Here(world, variant, core, run, number, task)
    who = f"job {number}" if variant.jobs > 1 else "run"
    who = f"run {run}" if variant.runs > 1 else who
    steps = records.recorded(here, task.todo) if isinstance(task.todo, Event) else runs.worked(here)
    for label, after in steps:
        yield f"{who}: {label}", after


def of_crashes(world: World, variant: Variant) -> Iterator[Move]:
    for number, run in enumerate(world.runs):
        if run is not None and variant.crashes:
            yield f"run{_which(number, variant)} dies", runs.died(world, number)


def of_beginnings(world: World, variant: Variant, core: Core) -> Iterator[Move]:
    if world.now < EPOCH + variant.quiet or (any(world.runs) and variant.runs == 1):
        return
    for number, run in enumerate(world.runs):
        if run is None:
            after = runs.started(records.brought_home(world, core), variant, core, number)
            if after.runs[number] is not None:
                yield f"run{_which(number, variant)} begins", after


def of_a_person(world: World, variant: Variant, core: Core) -> Iterator[Move]:
    """A person answers only while no run holds the campaign."""
    if world.again + world.given_up >= variant.words or any(world.runs):
        return
    for number, job in enumerate(world.rows):
        allowed = TRANSITIONS[State.IN_DOUBT if job.state is State.SUBMITTING else job.state]
        for label, event in _words(world, number, job):
            if type(event) in allowed:
                after = records.said(world, core, number, event)
                again, given_up = isinstance(event, Resubmitted | Rejected | Retried), isinstance(event, Abandoned)
                after = after._replace(again=world.again + again, given_up=world.given_up + given_up)
                yield f"{PERSON} says of job {number}: {label}", after


def of_the_machine(world: World, variant: Variant) -> Iterator[Move]:
    if variant.vanishing:
        for kind, number in sorted(world.files):
            if kind != "ghost":
                ghost = {("ghost", number)} if kind == "file" else set()
                after = world._replace(files=world.files - {(kind, number)} | ghost)
                yield f"the {kind} of job {number} vanishes", after
    if not world.jumped:
        for ticks in variant.jumps:
            yield f"the clock jumps by {ticks} ticks", world._replace(skew=ticks, jumped=1)
    if not variant.synced and world.platter != world.rows:
        yield "the disk catches up", world._replace(platter=world.rows)
        for number in range(variant.runs):
            world = runs.died(world, number)
        yield "the power goes", world._replace(rows=world.platter)


def of_time(world: World, variant: Variant) -> Iterator[Move]:
    if variant.suspends or all(runs.takes_time(task, world, variant) for _, _, task in live(world)):
        yield "time passes", server.later(world, variant)


def check(world: World, variant: Variant) -> None:
    """Raise BrokenPromise where a world must not be: paid twice, or forgotten."""
    ours = [one.id for one in world.made if one.job != STRANGER]
    attempts = variant.policy.attempts if variant.policy.again else 1
    if len(ours) > variant.jobs * attempts + world.again:
        raise BrokenPromise(f"paid twice: {len(ours)} videos, {variant.jobs} jobs, {world.again} words of a person")
    shared = [job.video_id for job in world.rows if job.video_id is not None]
    if len({*shared, OTHERS}) <= len(shared):
        raise BrokenPromise("two jobs have one video")
    known = world.claimed | {video_id for _, video_id in world.rescued}
    unclaimed = [video_id for video_id in ours if video_id not in known]
    doubtful = sum(job.state in DOUBTFUL for job in world.rows)
    if len(unclaimed) > doubtful + world.again + world.given_up:
        raise BrokenPromise(f"forgotten: nobody has {', '.join(unclaimed)}, and no job is in doubt about it")


def _words(world: World, number: int, job: Job) -> Iterator[tuple[str, Event]]:
    approvals, sunk = job.approvals + 1, job.sunk + (job.price or 0.0)
    yield "pay once more", Resubmitted(by=PERSON, approvals=approvals, sunk=sunk)
    if job.state in OVER and job.failure is not None:
        free = job.video_id is None and job.failure.kind is not FailureKind.ABANDONED
        spent = job.sunk if free else sunk
        yield "try it again", Retried(by=PERSON, approvals=approvals, sunk=spent, failure=job.failure)
    if ("file", number) in world.files:
        kept = {"was": f"{number}.mp4", "kept": f"{number}-kept.mp4", "kept_sha256": job.sha256 or ""}
        yield "another take", Rejected(by=PERSON, approvals=approvals, sunk=sunk, **kept)
        yield "this one", Picked(picked=not job.picked)
    yield "give it up", Abandoned(by=PERSON, approvals=approvals, failure=server.failure(FailureKind.ABANDONED))
    for one in world.made:
        if one.job != STRANGER and one.id not in world.claimed:
            found = Adopted(video_id=one.id, submitted_at=world.clock, status=server.WORDS[0], by=PERSON)
            yield f"{one.id} is its video", found


def _which(number: int, variant: Variant) -> str:
    return f" {number}" if variant.runs > 1 else ""

"""The model's server and its faults: what it creates, what it answers, and how late. Every answer is evidence.

It is as bad as the fault model allows: whatever it may answer at an instant is tried. Two things it never does: it
creates nothing for a request that it has refused, and it carries out no request that is older than ``lateness``.
"""

from collections.abc import Collection, Iterator
from itertools import combinations

from model.rules import REQUEST, TICK, Core, Variant
from model.worlds import Listed, Made, Request, Task, World

from pipeline.client import SUBMIT_DEADLINE
from pipeline.decisions import Do
from pipeline.evidence import (
    Acceptance,
    Ambiguity,
    BadFile,
    Evidence,
    Fetched,
    NotSent,
    NotThere,
    Refusal,
    Seen,
    Silence,
)
from pipeline.jobs import Failure, FailureKind, Job
from pipeline.videos import Status, Video

WORDS = ("queued", "rendering")


def failure(kind: FailureKind, status: int | None = None) -> Failure:
    return Failure(kind, kind.value, http_status=status)


NOT_SENT = NotSent(failure(FailureKind.NOT_SENT))
REFUSALS = tuple(Refusal(failure(kind)) for kind in FailureKind)
AMBIGUITIES = (Ambiguity(failure(FailureKind.AMBIGUOUS)), Ambiguity(failure(FailureKind.AMBIGUOUS, 500)))
PROVES_NOTHING = Silence(failure(FailureKind.AMBIGUOUS))
SILENCE = Silence(failure(FailureKind.SERVER))
POLLS: tuple[tuple[str, Evidence], ...] = (
    ("completed", Seen(Video("v", "completed", Status.READY))),
    *((word, Seen(Video("v", word, Status.ACTIVE))) for word in WORDS),
    ("failed", Seen(Video("v", "failed", Status.FAILED))),
    ("expired", Seen(Video("v", "expired", Status.GONE))),
    ("HTTP 404", NotThere(failure(FailureKind.LOST, 404))),
    ("no answer", SILENCE),
)
WHOLE_FILE = Fetched("ab", 1)
NO_FILES: tuple[tuple[str, Evidence], ...] = (
    ("no video", BadFile(failure(FailureKind.BAD_OUTPUT))),
    ("HTTP 404", NotThere(failure(FailureKind.LOST, 404))),
    ("HTTP 410", NotThere(failure(FailureKind.EXPIRED, 410))),
    ("no answer", SILENCE),
)


def answers(world: World, variant: Variant, number: int, job: int) -> Iterator[tuple[str, Evidence]]:
    """Yield what a run may hear about a request of this number that has left."""
    request = next((one for one in world.requests if one.number == number), None)
    if request is not None and request.made is not None and not variant.deaf:
        yield f"the id {request.made}", _acceptance(request.made)
    yield "no answer", AMBIGUITIES[0]
    if not variant.plain:
        yield "HTTP 500", AMBIGUITIES[1]
    if variant.confused:
        for video_id in sorted(claim[0] for claim in world.claims if claim[1] != job)[:1]:
            yield f"the id {video_id} of another job's video", _acceptance(video_id)


def carried_out(world: World, variant: Variant, request: Request) -> World:
    """Return the world in which the server has carried the request out: an id, and a new video or the key's own."""
    known = None if variant.memory is None else _remembered(world, variant.memory, request.key)
    made = world.made
    if known is None:
        known = f"v{sum(one.job >= 0 for one in made) + 1}"
        made = (*made, Made(known, request.job, request.key, world.now))
    return world._replace(made=made, requests=with_result(world, request, known))


def with_result(world: World, request: Request, made: str | None) -> tuple[Request, ...]:
    """Return the requests after one has come to this; those that nobody waits for any more are left out."""
    number = world.requests.index(request)
    done = request._replace(made=made) if made is not None and is_waited_for(world, request.number) else None
    return (*world.requests[:number], *([done] if done else []), *world.requests[number + 1 :])


def is_waited_for(world: World, number: int) -> bool:
    return any(task and getattr(task.todo, "number", None) == number for run in world.runs if run for task in run)


def hung_up(world: World, *numbers: int) -> World:
    """Return the world after the end of these POSTs: nobody waits for them any more, and they may come to something."""
    requests = tuple(
        one._replace(since=world.now) if one.number in numbers else one
        for one in world.requests
        if one.made is None or one.number not in numbers
    )
    return world._replace(requests=requests)


def lists(world: World, variant: Variant) -> Iterator[tuple[str, World, tuple[Made, ...]]]:
    """Yield the lists that the server may begin to send now: a whole one, or hasty ones within one tick."""
    yield "a whole list", world, world.made
    if variant.hasty and world.haste in {None, world.now}:
        for few in range(len(world.made)):
            for videos in combinations(world.made, few):
                ids = ", ".join(one.id for one in videos) or "nothing"
                yield f"a hasty list of {ids}", world._replace(haste=world.now), videos


def read(
    world: World,
    variant: Variant,
    core: Core,
    job: Job,
    videos: tuple[Made, ...],
    *,
    claimed: Collection[str],
    poor: bool = False,
) -> Evidence:
    """Return what the shipped matching makes of a list. A ``poor`` list does not show its jobs' prompts."""
    shown = [
        Video(
            one.id,
            WORDS[0],
            Status.ACTIVE,
            created_at=one.created_at * TICK,
            size=REQUEST["size"],
            seconds=REQUEST["seconds"],
            prompt=None if poor else REQUEST["prompt"],
            model=variant.spells,
            reference=one.key if variant.echoes else None,
        )
        for one in videos
    ]
    latest = SUBMIT_DEADLINE + variant.policy.settle
    return core.match(job, shown, claimed=claimed, offset=-world.skew * TICK, latest=latest)


def later(world: World, variant: Variant) -> World:
    """Return the world a tick later, without requests that are not carried out any more."""
    now = world.now + 1
    requests = tuple(
        one for one in world.requests if now - one.since <= variant.lateness or is_waited_for(world, one.number)
    )
    idle = any(_looks(task) for run in world.runs if run for task in run)
    runs = tuple(run and tuple(_idle(task) for task in run) for run in world.runs) if idle else world.runs
    return world._replace(now=now, requests=requests, runs=runs)


def may_be_carried_out(world: World, variant: Variant) -> Iterator[Request]:
    for one in world.requests:
        if one.made is None and (world.now - one.since <= variant.lateness or is_waited_for(world, one.number)):
            yield one


def _remembered(world: World, memory: int, key: str) -> str | None:
    return next((one.id for one in world.made if one.key == key and world.now - one.created_at < memory), None)


def _acceptance(video_id: str) -> Acceptance:
    return Acceptance(Video(video_id, WORDS[0], Status.ACTIVE))


def _looks(task: Task | None) -> bool:
    return task is not None and (task.todo is Do.RECONCILE or isinstance(task.todo, Listed))


def _idle(task: Task | None) -> Task | None:
    return task._replace(idle=task.idle + 1) if task is not None and _looks(task) else task

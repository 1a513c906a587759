"""What happens when an event is to be put on disk, and everything that a record must never say.

The model's ledger refuses what the shipped one refuses: ``machine`` holds the two against each other.
"""

from collections.abc import Iterator

from model import server
from model.rules import BrokenPromise, Core, Variant
from model.runs import Here, died, learned
from model.worlds import STRANGERS, World, Written, changed

from pipeline.decisions import Moment
from pipeline.errors import IllegalTransition
from pipeline.events import (
    TRANSITIONS,
    Accepted,
    Adopted,
    Doubted,
    Event,
    Intended,
    Refused,
    Rejected,
    Reprieved,
    Resubmitted,
    Retried,
    Returned,
)
from pipeline.evidence import Closed, Found, NotThere, Recorded, Seen, Silence
from pipeline.jobs import DOUBTFUL, OVER, FailureKind, Job, State

_DUPLICATE = server.failure(FailureKind.AMBIGUOUS)


def recorded(here: Here, event: Event) -> Iterator[tuple[str, World]]:
    """Yield what comes of a record, as ``Run._record`` does it with all that the ledger refuses."""
    world, variant, core = here.world, here.variant, here.core
    job, row, name = here.task.job, here.world.rows[here.number], type(event).__name__
    if core.compares and (row.state, row.attempt) != (job.state, job.attempt):
        yield f"{name} is refused, another run has written the row", _ended(here, event)
        return
    if isinstance(event, Intended) and variant.budget is not None and world.reserved >= variant.budget:
        tried = world._replace(written=(Written(job, event, refused=True),))
        yield f"{name} is refused, beyond the budget", learned(here, tried, None, Closed())
        return
    tried: tuple[Written, ...] = ()
    if core.unique and getattr(event, "video_id", None) in world.claimed:
        tried = (Written(job, event, refused=True),)
        name = f"{name} is refused, the id has an owner"
        if Doubted not in TRANSITIONS[job.state]:
            yield name, learned(here, world._replace(written=tried), None, Silence(_DUPLICATE))
            return
        event, name = Doubted(failure=_DUPLICATE), f"{name}: Doubted"
    after = applied(core, job, event)
    _check(here, event, after)
    saved = _saved(here, event, after)._replace(written=(*tried, Written(job, event)))
    counts = () if core.anew and isinstance(event, Intended) else here.task.counts
    done = here._replace(task=here.task._replace(job=after, counts=counts))
    yield f"on disk: {name}", learned(done, saved, None, Recorded())
    if isinstance(event, Refused):  # where others are refused alike (``breakers.Signals.refused``)
        again = applied(core, after, Reprieved())
        rows = changed(saved.rows, here.number, again)
        platter = rows if variant.synced else saved.platter
        saved = saved._replace(rows=rows, platter=platter, written=(*saved.written, Written(after, Reprieved())))
        yield f"on disk: {name}, Reprieved", learned(done, saved, None, Recorded())


def applied(core: Core, job: Job, event: Event) -> Job:
    try:
        return core.apply(job, event)
    except IllegalTransition as error:
        raise BrokenPromise(f"the decision is forbidden: {error}") from None


def said(world: World, core: Core, number: int, event: Event) -> World:
    """Return the world in which a person's word about a job is on record, as ``resolving`` does it."""
    job, written = world.rows[number], ()
    if job.state is State.SUBMITTING:
        doubted = core.next_action(job, Found(), Moment(world.clock), Variant("").policy)
        assert isinstance(doubted, Event)
        written, job = (Written(job, doubted),), core.apply(job, doubted)
    after = core.apply(job, event)
    claims = world.claims
    if isinstance(event, Adopted):
        claims |= {(event.video_id, number, after.approvals)}
    rows, files = changed(world.rows, number, after), world.files
    if isinstance(event, Rejected):  # its file lies elsewhere now
        files -= {("file", number)}
    written = (*written, Written(job, event))
    return world._replace(rows=rows, platter=rows, claims=claims, files=files, written=written)


def brought_home(world: World, core: Core) -> World:
    """Record the ids that an earlier run could not, as ``SqliteLedger`` does when it is opened."""
    for rescued, video_id in world.rescued:
        for number, job in enumerate(world.rows):
            if job.idempotency_key != rescued or job.video_id is not None:
                continue
            told = {"video_id": video_id, "status": server.WORDS[0], "submitted_at": world.clock}
            accepted = Accepted in TRANSITIONS[job.state]
            after = applied(core, job, Accepted(**told) if accepted else Adopted(**told, by="the rescue file"))
            rows = changed(world.rows, number, after)
            claims = world.claims | {(video_id, number, after.approvals)}
            world = world._replace(rows=rows, platter=rows, claims=claims)
    return world._replace(rescued=frozenset()) if world.rescued else world


def _saved(here: Here, event: Event, after: Job) -> World:
    world, number, claims = here.world, here.number, here.world.claims
    if getattr(event, "video_id", None) is not None:
        if any(claim[1:] == (number, after.approvals) for claim in claims):
            raise BrokenPromise("a job gets a second id, and nobody said so")
        claims |= {(after.video_id, number, after.approvals)}
    rows = changed(world.rows, number, after)
    return world._replace(
        rows=rows,
        platter=rows if here.variant.synced else world.platter,
        claims=claims,
        reserved=world.reserved + isinstance(event, Intended) - isinstance(event, Returned | Refused),
    )


def _check(here: Here, event: Event, after: Job) -> None:
    """Hold a record against what it must never say."""
    job, why = here.task.job, here.task.why
    doubtful = job.state in DOUBTFUL - {State.SUBMITTING}
    allowed = isinstance(event, Resubmitted) and here.variant.policy.resubmit_absent and why is NotThere
    if doubtful and after.state not in DOUBTFUL and after.video_id is None and not allowed:
        raise BrokenPromise(f"a doubt is ended by {type(event).__name__}, after {why.__name__}")
    if after.state is State.DONE and not {("file", here.number), ("ghost", here.number)} & here.world.files:
        raise BrokenPromise("a job is done without its file")
    if after.state in OVER and job.video_id is not None and why not in {Seen, NotThere}:
        raise BrokenPromise(f"a paid video is given up after {why.__name__}")
    if isinstance(event, Retried) and event.failure.kind not in here.variant.policy.again:
        raise BrokenPromise("a job is paid for once more, and nobody allowed it")
    if isinstance(event, Adopted) and event.video_id == STRANGERS:
        raise BrokenPromise("a video is adopted that somebody made before")


def _ended(here: Here, event: Event) -> World:
    """End the run, as any error of the ledger does; an id that cannot be recorded is rescued."""
    rescued = here.world.rescued
    if isinstance(event, Accepted | Adopted):
        rescued |= {(here.task.job.idempotency_key or "", event.video_id)}
    return died(here.world._replace(rescued=rescued), here.run)

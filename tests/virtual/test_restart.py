"""A restart with very many jobs at the server: it asks for them no faster than it may, and for the ready ones first."""

from collections import Counter
from contextlib import closing

import anyio
from world import World, spec

from pipeline.blocking import inline
from pipeline.events import Accepted, Intended
from pipeline.jobs import Job, Spec, State, canonical_json
from pipeline.ledger.store import SqliteLedger

INTENDED = Intended(attempt=1, idempotency_key="k", base_url="u", key_fingerprint=None, price=0.0, intended_at=1.0)


async def at_the_server(world: World, specs: list[Spec]) -> None:
    """Have the server render all of them, and a ledger that knows it."""
    path, now = world.folder / "ledger.db", world._now
    with closing(SqliteLedger.create_or_open(path, now=now, blocking=inline)) as ledger:
        await ledger.enrol(specs, settings={})
        async with anyio.create_task_group() as group:

            async def submit(job: Job) -> None:
                video = world.service.create(canonical_json(job.request).encode(), None).video
                announced = await ledger.record(job, INTENDED)
                await ledger.record(announced, Accepted(video_id=video["id"], status="queued", submitted_at=now()))

            async for job in ledger.jobs({State.PLANNED}):
                group.start_soon(submit, job)


async def test_five_thousand_jobs_in_flight_are_polled_at_the_cap_and_no_faster(world: World) -> None:
    many = [spec(number) for number in range(5000)]
    await at_the_server(world, many)
    await anyio.sleep(3600)  # the machine was down for an hour: every poll is overdue
    world.seen.clear()
    began = anyio.current_time()
    await world.run(many, until=60, polls_per_second=5)
    polls = [when - began for when, method, path in world.seen if method == "GET" and not path.endswith("/content")]
    assert 250 <= len(polls) <= 301
    assert max(Counter(int(when) for when in polls).values()) <= 6
    assert world.count("POST") == 0
    done = sum(job.state is State.DONE for job in world.jobs().values())
    assert done >= len(polls) - 5, "what is found ready is fetched at once, not after the last poll"

"""Many requests asked for at the same time."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import material
from benchmarks.processes import Used, serving, side
from benchmarks.rows import Broken, Row, share
from benchmarks.side import Clock

if TYPE_CHECKING:
    from benchmarks.suite import Bench

DELAY = 0.01
"""Seconds that the server takes for an answer."""


def measure(bench: "Bench") -> Sequence[Row]:
    """CPU of a status request while 2,000 jobs ask for theirs, against 100 jobs. The peer is our own client.

    How many requests are on the wire at once is the client's decision; the last column has how many the server saw.
    """
    many, few = bench.size(2000, 40), bench.size(100, 10)
    clip = bench.scratch / "clip.mp4"
    side(material.clip, path=clip, size=64 << 10)
    material.profile(bench.scratch / "profile.yaml", in_flight=many, downloads=8)

    on_the_wire: list[int] = []

    def once(jobs: int) -> Used:
        with serving(clip, delay=DELAY) as server:
            used = side(ask, url=server.url, profile=bench.scratch / "profile.yaml", jobs=jobs, requests=2 * many)
            seen = server.seen()
        if seen["polls"] != 2 * many + 1 or seen["errors"]:
            raise Broken(f"the server saw {seen}")
        on_the_wire.append(seen["most_at_once"])
        return used

    found = bench.interleaved(many=lambda: once(many), few=lambda: once(few))
    cost = {who: [used.told["cpu"] * 1e6 / (2 * many) for used in runs] for who, runs in found.items()}
    against = f"{few} in flight; on the wire at most {max(on_the_wire)}"
    return [share("in-flight", "CPU us a request", cost["many"], cost["few"], against, most=2)]


def ask(url: str, profile: str, jobs: int, requests: int) -> Mapping[str, Any]:
    """Ask for a job's status, again and again, in as many tasks as there are jobs. The first request is not counted."""
    import anyio

    from pipeline.bodies import body
    from pipeline.client import VideosClient
    from pipeline.evidence import Acceptance, Seen
    from pipeline.providers import own_profile

    described = own_profile(Path(profile))
    request = {"model": "sora-2", "prompt": "a pier", "size": "1280x720", "seconds": "4"}

    async def run() -> Clock:
        async with VideosClient(url, profile=described, key=None, downloads=8) as client:
            made = await client.create(body(request, described.request, None), idempotency_key="one")
            if not isinstance(made, Acceptance) or not isinstance(await client.retrieve(made.video.id), Seen):
                raise Broken(f"{made}")
            left = iter(range(requests))

            async def poll() -> None:
                for _ in left:
                    if not isinstance(await client.retrieve(made.video.id), Seen):
                        raise Broken("a poll was not answered")

            with Clock() as clock:
                async with anyio.create_task_group() as group:
                    for _ in range(jobs):
                        group.start_soon(poll)
        return clock

    return anyio.run(run).told()

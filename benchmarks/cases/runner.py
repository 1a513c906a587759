"""Whole jobs: create, poll three times, download. Ours with its durable ledger, sha256, checks and every fsync."""

import asyncio
import gc
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import material
from benchmarks.cases import floor
from benchmarks.folders import put_aside
from benchmarks.processes import Used, serving, side
from benchmarks.rows import Broken, Row, cheaper, share
from benchmarks.side import Clock

if TYPE_CHECKING:
    from benchmarks.suite import Bench

POLLS = 3
DOWNLOADS = 16
LOOP = "AsyncOpenAI, no ledger"
BARE = "the same libraries, bare"


def measure(
    bench: "Bench", *, name: str, jobs: int, in_flight: int, kib: int, least: float, memory: float | None = None
) -> Sequence[Row]:
    """CPU of a job against what people write today: AsyncOpenAI behind a semaphore, with no ledger and no fsync.

    The whole of a run counts: reading the manifest, planning, enrolling, the loop, the last words. Imports do not,
    on either side. Memory is the process's at its most.
    """
    jobs = bench.size(jobs, 16)
    prepare(bench.scratch, jobs, in_flight, kib)
    found = bench.interleaved(
        ours=lambda: once(bench.scratch, ours, jobs, in_flight, kib),
        peer=lambda: once(bench.scratch, peer, jobs, in_flight, kib),
        bare=lambda: once(bench.scratch, floor.bare, jobs, in_flight, kib),
    )
    cost = {who: [used.told["cpu"] * 1000 / jobs for used in runs] for who, runs in found.items()}
    rows = [cheaper(name, "CPU ms a job", cost["ours"], cost["peer"], LOOP, least=least)]
    rows.append(share(f"{name} (floor)", "CPU ms a job", cost["ours"], cost["bare"], BARE, most=None))
    peaks = {who: [used.told["peak"] / 1e6 for used in runs] for who, runs in found.items()}
    return [*rows, share(f"{name} (memory)", "MB at most", peaks["ours"], peaks["peer"], LOOP, most=memory)]


def prepare(scratch: Path, jobs: int, in_flight: int, kib: int) -> None:
    """Make the clip, the manifest and the profile."""
    side(material.clip, path=scratch / "clip.mp4", size=kib << 10)
    material.manifest(scratch / "bench.yaml", jobs, provider="bench", metadata=False)
    material.profile(scratch / "profile.yaml", in_flight=in_flight, downloads=DOWNLOADS)


def once(scratch: Path, function: Callable[..., Mapping[str, Any]], jobs: int, in_flight: int, kib: int) -> Used:
    """Run one side against a server of its own. Raises Broken where it did not do all of the work."""
    outputs = scratch / "outputs"
    with serving(scratch / "clip.mp4", polls=POLLS) as server:
        used = side(function, folder=scratch, url=server.url, jobs=jobs, in_flight=in_flight)
        check(server.seen(), used.told["files"], jobs, kib << 10)
    put_aside(outputs)
    return used


def check(seen: Mapping[str, Any], files: Sequence[int], jobs: int, size: int) -> None:
    """Raise Broken where a job, a byte or a poll is missing, or a job was created twice."""
    wanted = {"jobs": jobs, "doubles": 0, "errors": 0, "least_bytes": size, "most_bytes": size, "clip": size}
    wrong = {name: seen[name] for name, number in wanted.items() if seen[name] != number}
    if wrong or seen["least_polls"] < POLLS or files != [size] * jobs:
        raise Broken(f"the server saw {wrong or seen}, and {len(files)} files are there")


def _files(folder: Path) -> list[int]:
    return [path.stat().st_size for path in folder.rglob("*.mp4")]


def _import_senders() -> None:
    """Import what the clients import when they first have something to send."""
    for name in ("httpcore", "httpcore2"):
        with suppress(ImportError):  # the SDK has the one or the other
            import_module(name)


def ours(folder: str, url: str, jobs: int, in_flight: int) -> Mapping[str, Any]:
    """Run the manifest as ``callsheet run`` does, through the verbs of docs/python.md."""
    import anyio

    import pipeline.gets  # noqa: F401  # a run imports it by itself, as late as it can
    from pipeline import __main__, commands
    from pipeline.instructions import Options, Profiles

    _import_senders()
    here = Path(folder)
    profiles = Profiles(file=here / "profile.yaml")
    options = Options(output=here / "outputs", profiles=profiles, base_url=url, price=0.0, yes=True)

    async def run() -> int:
        return (await commands.run(await commands.cleared(here / "bench.yaml", options))).exit_code

    gc.set_threshold(__main__.GARBAGE)  # as the command does
    with Clock() as clock:
        code = anyio.run(run)
    if code:
        raise Broken(f"the run ended with {code}")
    return clock.told(files=_files(here / "outputs"))


def peer(folder: str, url: str, jobs: int, in_flight: int) -> Mapping[str, Any]:
    """Do the same with the SDK: as its own page shows it, a job at a time, as many at once as the semaphore lets."""
    import openai
    import openai.resources.videos

    _import_senders()
    outputs = Path(folder) / "outputs"

    async def run() -> None:
        client, semaphore = openai.AsyncOpenAI(base_url=url, api_key="none"), asyncio.Semaphore(in_flight)

        async def one(number: int) -> None:
            async with semaphore:
                prompt = material.prompt(number)
                video = await client.videos.create(model="sora-2", prompt=prompt, size="1280x720", seconds="4")
                while video.status in {"queued", "in_progress"}:
                    await asyncio.sleep(material.POLL)
                    video = await client.videos.retrieve(video.id)
                content = await client.videos.download_content(video.id)
                content.write_to_file(outputs / f"job-{number:07d}.mp4")

        await asyncio.gather(*map(one, range(jobs)))

    outputs.mkdir()
    os.environ.pop("OPENAI_BASE_URL", None)
    with Clock() as clock:
        asyncio.run(run())
    return clock.told(files=_files(outputs))

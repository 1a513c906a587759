"""The floor under a run: the same requests and files by the same libraries, bare.

What a run's promises leave of speed is in it: a POST on a fresh connection of httpx, GETs on aiohttp, each video synced
with its folder in a thread. What a run does besides is not: no ledger, no limits but that of jobs in flight, no checks,
no hash, no sidecar, and an error ends it all.
"""

import asyncio
import gc
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import material
from benchmarks.side import Clock

if TYPE_CHECKING:
    import aiohttp
    import httpx


def bare(folder: str, url: str, jobs: int, in_flight: int) -> Mapping[str, Any]:
    """Render all jobs, ``in_flight`` of them at once."""
    import aiohttp
    import anyio.to_thread
    import httpcore  # noqa: F401  # httpx imports it when it first sends
    import httpx

    from pipeline.__main__ import GARBAGE
    from pipeline.client import POSTS_AT_ONCE

    outputs = Path(folder) / "outputs"

    async def run() -> None:
        limits = httpx.Limits(max_connections=POSTS_AT_ONCE, max_keepalive_connections=0)
        slots, posts = asyncio.Semaphore(in_flight), asyncio.Semaphore(POSTS_AT_ONCE)
        connector, jar = aiohttp.TCPConnector(limit=0), aiohttp.DummyCookieJar()
        async with (
            httpx.AsyncHTTPTransport(limits=limits, trust_env=False) as transport,
            aiohttp.ClientSession(connector=connector, cookie_jar=jar, read_bufsize=256 << 10) as session,
        ):

            async def one(number: int) -> None:
                async with slots:
                    async with posts:
                        video = await _created(transport, f"{url}/videos", number)
                    address = f"{url}/videos/{video['id']}"
                    while video["status"] in {"queued", "in_progress"}:
                        await asyncio.sleep(material.POLL)
                        video = json.loads(await _got(session, address))
                    content = await _got(session, f"{address}/content")
                    await anyio.to_thread.run_sync(_keep, outputs / f"job-{number:07d}.mp4", content)

            await asyncio.gather(*map(one, range(jobs)))

    outputs.mkdir()
    gc.set_threshold(GARBAGE)
    with Clock() as clock:
        anyio.run(run)
    return clock.told(files=[path.stat().st_size for path in outputs.rglob("*.mp4")])


async def _created(transport: "httpx.AsyncHTTPTransport", address: str, number: int) -> Mapping[str, Any]:
    import httpx

    asked = {"model": "sora-2", "prompt": material.prompt(number), "size": "1280x720", "seconds": "4"}
    request = httpx.Request("POST", address, json=asked)
    response = await transport.handle_async_request(request)
    try:
        video: Mapping[str, Any] = json.loads(await response.aread())
    finally:
        await response.aclose()
    return video


async def _got(session: "aiohttp.ClientSession", address: str) -> bytes:
    async with session.get(address) as response:
        return await response.read()


def _keep(path: Path, content: bytes) -> None:
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)

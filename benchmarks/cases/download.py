"""One long download."""

import hashlib
import json
import urllib.request
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Any

from benchmarks import material
from benchmarks.processes import Server, Used, run, serving, side
from benchmarks.rows import Broken, Row, share
from benchmarks.side import Clock

if TYPE_CHECKING:
    from benchmarks.suite import Bench


def measure(bench: "Bench") -> Sequence[Row]:
    """CPU of 100 MiB to a file with its sha256, checked and synced, against ``curl -o``, which does none of these."""
    curl = which("curl")
    if curl is None:
        raise Broken("there is no curl to hold it against")
    mib = bench.size(100, 2)
    clip, target = bench.scratch / "clip.mp4", bench.scratch / "videos"
    side(material.clip, path=clip, size=mib << 20)
    material.profile(bench.scratch / "profile.yaml", in_flight=1, downloads=1)

    def fetched(server: Server, video: str) -> Used:
        return side(ours, url=server.url, profile=bench.scratch / "profile.yaml", folder=bench.scratch, video=video)

    def curled(server: Server, video: str) -> Used:
        return run([curl, "-sS", "-f", "-o", target / "curl.mp4", f"{server.url}/videos/{video}/content"])

    def once(fetch: Any, name: str) -> Used:
        for path in target.glob("*"):
            path.unlink()
        target.mkdir(exist_ok=True)
        with serving(clip, polls=0) as server:
            video = _created(server)
            used = fetch(server, video)
            served = server.seen()["least_bytes"]
        expected = hashlib.sha256(clip.read_bytes() + video.encode()).hexdigest()
        (found,) = target.iterdir()
        if served != mib << 20 or hashlib.sha256(found.read_bytes()).hexdigest() != expected:
            raise Broken(f"{name} did not fetch it whole")
        if used.told.get("sha256", expected) != expected:
            raise Broken("the hash is another")
        return used

    found = bench.interleaved(ours=lambda: once(fetched, "ours"), curl=lambda: once(curled, "curl"))
    cost = {
        "ours": [used.told["cpu"] * 1000 for used in found["ours"]],
        "curl": [used.cpu * 1000 for used in found["curl"]],
    }
    return [share("download", "CPU ms", cost["ours"], cost["curl"], "curl -o", most=2)]


def _created(server: Server) -> str:
    body = json.dumps({"prompt": "a pier", "model": "sora-2"}).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{server.url}/videos", body), timeout=30) as answer:
        return str(json.load(answer)["id"])


async def _keep(part: Any, chunk: bytes) -> None:
    if part.write(chunk):  # a run does it in a thread: it is the same CPU
        part.flush()


def ours(url: str, profile: str, folder: str, video: str) -> Mapping[str, Any]:
    """Download it into a part file, hash it, check that it is a whole video, sync it."""
    import anyio

    from pipeline.client import Received, VideosClient
    from pipeline.evidence import Fetched
    from pipeline.jobs import Job
    from pipeline.outputs import Outputs
    from pipeline.providers import own_profile

    job = Job("one", "0" * 64, {"size": "1280x720", "seconds": "4"}, "one.mp4")
    described = own_profile(Path(profile))

    async def run() -> tuple[Clock, Any]:
        outputs = Outputs(Path(folder))
        async with VideosClient(url, profile=described, key=None, downloads=1) as client:
            with Clock() as clock, outputs.part(job) as part:
                received = await client.download(video, partial(_keep, part), most=1 << 30)
                sealed = part.seal(job)
        if not isinstance(received, Received) or not isinstance(sealed, Fetched):
            raise Broken(f"{received} {sealed}")
        return clock, sealed

    clock, sealed = anyio.run(run)
    return clock.told(sha256=sealed.sha256)

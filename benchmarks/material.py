"""What the benchmarks work on: clips, manifests, profiles. Made anew each time, and the same each time."""

import json
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

ID_LENGTH = len("video_00000000")
_SCENE = (
    "a slow aerial shot over terraced fields at dawn with mist in the valley and long shadows while the camera drifts "
    "left past an old stone mill whose wheel turns under soft golden light no people no text"
)


def clip(path: str, size: int) -> Mapping[str, Any]:
    """Write a whole MP4 that becomes ``size`` bytes long when a video's id is put behind it, as the mock server does.

    Its last box is free space, so the id makes each video's bytes its own.
    """
    from pipeline.simulator.studio import shooting

    still = shooting.stock((1280, 720), 4)
    room = size - len(still)
    if room < 8 + ID_LENGTH:
        raise ValueError(f"a clip needs at least {len(still) + 8 + ID_LENGTH} bytes")
    Path(path).write_bytes(still + room.to_bytes(4, "big") + b"free" + bytes(room - 8 - ID_LENGTH))
    return {"still": len(still)}


def prompt(number: int) -> str:
    """Return a prompt of about two hundred letters that no other number has."""
    chance = Random(number)
    return f"Scene {number}: " + " ".join(chance.choices(_SCENE.split(), k=34))


def manifest(path: Path, jobs: int, *, provider: str = "openai", metadata: bool = True) -> None:
    """Write a manifest with that many jobs, as a program would write YAML for people."""
    with path.open("w", encoding="utf-8") as file:  # what this process holds at its most, its children seem to hold
        file.write(f"version: 1\nname: bench\nprovider: {provider}\njobs:\n")
        for number in range(jobs):
            file.write(f'  - id: job-{number:07d}\n    prompt: "{prompt(number)}"\n    seconds: "4"\n')
            if metadata:
                file.write(
                    f"    metadata:\n      source: batch-{number % 50}\n      row: {number}\n      licence: cc0\n"
                )


def profile(path: Path, *, in_flight: int, downloads: int) -> None:
    """Write a profile of the mock server without any limit that counts, polled as often as a profile can say."""
    often = 1e9
    limits = {"requests_per_minute": often, "max_in_flight": in_flight, "polls_per_second": often}
    value = described() | {
        "poll": {"first": POLL, "interval": POLL, "slowest": POLL},
        "limits": {**limits, "downloads": downloads},
    }
    path.write_text(json.dumps(value), "utf-8")


def described() -> dict[str, Any]:
    """Return what a profile says of the mock servers, but for how often they may be asked."""
    return {
        "name": "bench",
        "title": "Mock server of the benchmarks",
        "auth": {"scheme": "none"},
        "request": {
            "schema": "openai-request.schema.json",
            "defaults": {"model": "sora-2", "size": "1280x720", "seconds": "4"},
        },
    }


POLL = 0.001
"""Seconds between two polls of a job, on both sides."""

"""The command, run in a folder through a gateway, and what its ledger and its words say afterwards."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from servers import Proxy

from pipeline.jobs import Job
from pipeline.ledger import reading
from pipeline.ledger.reading import Entry

CAMPAIGN = Path("outputs", "trial")
"""The campaign's folder, in the one of the run."""

_LONGEST = 240
"""Seconds for one run; then it is ended by a signal, which its exit code says."""


@dataclass(frozen=True)
class Story:
    """A job, and all that happened to it, oldest first."""

    job: Job
    events: list[Entry]


@dataclass(frozen=True)
class Ran:
    """``shown`` is what a person saw; the stories are found by the jobs' prompts."""

    exit: int
    shown: str
    stories: Mapping[str, Story]


def run(
    folder: Path, manifest: Mapping[str, Any], gateway: Proxy, *, profile: Path | None = None, key: str | None = None
) -> Ran:
    """Run the manifest in the folder: with a profile of its own or the shipped one, with another key or the gateway's.

    What it says is kept in the folder too.
    """
    provider = "litellm" if profile is None else profile.stem
    document = {"version": 1, "name": CAMPAIGN.name, "provider": provider, **manifest}
    (folder / "manifest.yaml").write_text(json.dumps(document, indent=2))  # which is YAML too
    ours = {name: text for name, text in os.environ.items() if not name.startswith(("CALLSHEET", "LITELLM", "XDG"))}
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "pipeline", "run", "manifest.yaml", "--yes", "--base-url", gateway.url),
            *(() if profile is None else ("--profile", profile)),
        ],
        cwd=folder,
        env=ours | {"HOME": str(folder), "COLUMNS": "1000", "LITELLM_API_KEY": key or gateway.key},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _, shown = process.communicate(timeout=_LONGEST)
    except subprocess.TimeoutExpired:
        process.terminate()
        _, shown = process.communicate()
    finally:
        process.kill()
    (folder / "said.txt").write_text(shown)
    with reading.opened(folder / CAMPAIGN / "ledger.db") as connection:
        stories = [Story(job, reading.events(connection, job)) for job in reading.jobs(connection)]
    return Ran(process.returncode, shown, {story.job.request["prompt"]: story for story in stories})


def failure(entry: Entry) -> dict[str, Any]:
    """Return the failure in an event, as the ledger has it; nothing where there is none."""
    return entry.data.get("failure") or {}

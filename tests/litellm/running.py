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

_LONGEST = 600
"""Seconds for one run."""


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
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "pipeline", "run", "manifest.yaml", "--yes", "--base-url", gateway.url),
            *(() if profile is None else ("--profile", profile)),
        ],
        cwd=folder,
        env=ours | {"HOME": str(folder), "COLUMNS": "1000", "LITELLM_API_KEY": key or gateway.key},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_LONGEST,
    )
    (folder / "said.txt").write_text(ended.stderr)
    with reading.opened(folder / CAMPAIGN / "ledger.db") as connection:
        stories = [Story(job, reading.events(connection, job)) for job in reading.jobs(connection)]
    return Ran(ended.returncode, ended.stderr, {story.job.request["prompt"]: story for story in stories})


def failure(entry: Entry) -> dict[str, Any]:
    """Return the failure in an event, as the ledger has it; nothing where there is none."""
    return entry.data.get("failure") or {}

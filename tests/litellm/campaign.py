"""A campaign through a gateway in which something goes wrong at every step, with the shipped profile; and once more."""

import base64
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote

from running import CAMPAIGN, Ran, failure, run
from scenes import JOBS, of
from table import Place, Row

from pipeline import mp4
from pipeline.jobs import State

_INNER = re.compile(r";video_id:([^;]+)")

Requests = list[tuple[str, str, int]]
Met = Mapping[str, list[int]]
"""By prompt how the gateway answered, one after the other, what is to go wrong."""


def campaign(place: Place) -> Row:
    """Complete the campaign, and hold the files, the ledger and the bill against one another."""
    folder = place.folder / "campaign"
    folder.mkdir()
    manifest = {"jobs": [{"id": f"shot-{n}", "prompt": job.prompt, "size": job.size} for n, job in enumerate(JOBS, 1)]}
    ran = run(folder, manifest, place.gateway)
    requests, bill = place.gateway.requests(), place.upstream.billed()
    again = run(folder, manifest, place.gateway)
    more = len(place.gateway.requests()) - len(requests)
    met = _met(ran, requests)
    wrong = [
        *([] if ran.exit == again.exit == 0 else [f"exit {ran.exit}, then {again.exit}: {ran.shown}"]),
        *([] if more == 0 else [f"{more} requests when it was run again"]),
        *_unlike_the_bill(ran, bill),
        *_broken_files(folder / CAMPAIGN / "videos"),
        *_not_met(place, met),
    ]
    done = sum(story.job.state is State.DONE for story in ran.stories.values())
    ours = f"{done} of {len(JOBS)} done in {len(requests)} requests, {len(bill)} billed; run again: {more} requests"
    return Row(place, "a campaign", _troubles(met), ours, tuple(wrong))


def _unlike_the_bill(ran: Ran, bill: list[str]) -> Iterator[str]:
    """Yield where the bill differs from the jobs, and from what the ledger has as accepted."""
    accepted = [entry for story in ran.stories.values() for entry in story.events if entry.kind == "accepted"]
    if not len(bill) == len(JOBS) == len(ran.stories) == len(accepted):
        yield f"{len(bill)} lines on the bill, {len(ran.stories)} jobs, {len(accepted)} accepted"
    ours = sorted(_inner(story.job.video_id or "") for story in ran.stories.values())
    if ours != sorted(bill):
        yield f"the ledger has {ours}, the bill {sorted(bill)}"


def _inner(video_id: str) -> str:
    """Return the upstream's id, which LiteLLM wraps into its own."""
    found = _INNER.search(base64.b64decode(video_id.removeprefix("video_")).decode("utf-8", "replace"))
    return found[1] if found else video_id


def _broken_files(folder: Path) -> Iterator[str]:
    paths = sorted(folder.rglob("*.mp4"))
    if len(paths) != len(JOBS):
        yield f"{len(paths)} files"
    for path in paths:
        with path.open("rb") as file:
            found = mp4.inspect(file)
        if isinstance(found, mp4.NotMp4):
            yield f"{path.name}: {found.reason}"


def _met(ran: Ran, requests: Requests) -> Met:
    met = {}
    for wanted in JOBS:
        story = ran.stories[wanted.prompt]
        about = [(path, status) for _, path, status in requests if f"/{story.job.video_id}" in unquote(path)]
        posted = [entry for entry in story.events if entry.kind in {"accepted", "returned"}]
        met[wanted.prompt] = {
            "": [],
            "create": [failure(entry).get("http_status", 200) for entry in posted],
            "status": [status for path, status in about if not path.endswith("/content")],
            "content": [status for path, status in about if path.endswith("/content")],
        }[wanted.asked]
    return met


def _not_met(place: Place, met: Met) -> Iterator[str]:
    """Yield what the campaign did not meet as it should have, and get over at once: then it has not proved much."""
    for wanted in JOBS:
        answers = met[wanted.prompt]
        if wanted.asked and answers != [of(wanted.first, place.version), 200]:
            yield f"{wanted.prompt}: {wanted.asked} was answered with {answers}"


def _troubles(met: Met) -> str:
    """Return the first answers to what goes wrong, by what was asked."""
    asked = dict.fromkeys(wanted.asked for wanted in JOBS if wanted.asked)
    first = {one: [str(met[job.prompt][:1])[1:-1] for job in JOBS if job.asked == one] for one in asked}
    return ", ".join(f"{one} {' and '.join(answers)}" for one, answers in first.items())

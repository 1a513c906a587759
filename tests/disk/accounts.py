"""The accounts after a disk has failed and the same command was run again: what was paid, and what came of it."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from pipeline.jobs import Job, State

_ON_SCREEN = re.compile(r"PAID-NOT-RECORDED id='([^']+)'")


def complaints(jobs: Iterable[Job], bill: Sequence[tuple[str, str]], words: str, *, keys: bool) -> Iterator[str]:
    """Yield what is wrong. ``bill``: the video and the prompt of each line; ``words``: all that people were shown.

    ``keys``: the server heeds Idempotency-Keys, so that everything must be done. Where it does not, a job may wait
    for a person, but what the server has answered must be known: the ledger has it, or it stands on the screen, by
    itself and whole.
    """
    by_prompt = {str(job.request["prompt"]): job for job in jobs}
    known = {job.video_id for job in by_prompt.values()} | set(_ON_SCREEN.findall(words.replace("\n", "")))
    for video_id, prompt in bill:
        if video_id not in known:
            yield f"paid and lost: {video_id} ({prompt})"
    for prompt, count in Counter(prompt for _, prompt in bill).items():
        if count > 1:
            yield f"paid {count} times: {prompt}"
    for job in by_prompt.values():
        if job.state is not State.DONE and (keys or job.state is not State.HELD):
            yield f"{job.name} is {job.state}: {job.failure}"
    if keys and len(bill) != len(by_prompt):
        yield f"{len(bill)} lines on the bill for {len(by_prompt)} jobs"

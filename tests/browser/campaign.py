"""Campaigns to look at: a ledger with a past, and videos beside it, made in seconds.

The ledger is written by the shipped store, event by event, with times of its own; nobody is asked for a video.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import accumulate
from pathlib import Path
from random import Random

import anyio
import yaml

from pipeline.blocking import inline
from pipeline.events import (
    Accepted,
    Completed,
    Doubted,
    Event,
    Failed,
    Held,
    Intended,
    Picked,
    Published,
    Refused,
    Rejected,
    Returned,
    Verified,
)
from pipeline.jobs import Failure, FailureKind, Job, Spec
from pipeline.ledger.store import SqliteLedger

BEGAN = 1_795_945_500.0
"""When the first request was sent, in seconds since the epoch."""
PRICE = 0.1
"""What a second of video costs."""

FATES = {
    "d": "done",
    "k": "done, and picked",
    "s": "done, after a pause that the server asked for",
    "j": "done, after an earlier video that was rejected",
    "r": "rendering",
    "p": "still to be sent",
    "x": "refused",
    "f": "failed",
    "h": "held for a person",
}

Film = Callable[[Spec], bytes]


@dataclass(frozen=True)
class Shot:
    """A job of a campaign: ``fates`` has a letter for each take, see FATES."""

    name: str
    prompt: str
    fates: str
    size: str = "1280x720"
    seconds: str = "4"
    tags: Sequence[str] = ()
    price: float | None = PRICE

    def specs(self) -> list[Spec]:
        request = {"model": "sora-2", "prompt": self.prompt, "size": self.size, "seconds": self.seconds}
        return [
            Spec(
                f"{self.name}#{take}",
                take,
                request,
                f"{sha256(self.name.encode()).hexdigest()[:12]}-t{take}.mp4",
                "",
                self.tags,
            )
            for take in range(1, len(self.fates) + 1)
        ]


SHOTS = [Shot(**shot) for shot in yaml.safe_load((Path(__file__).parent / "low-tide.yaml").read_text("utf-8"))]


class Clock:
    """Gives the times that were wound up, one after another; then the last one again."""

    def __init__(self) -> None:
        self.last, self.coming = BEGAN, deque[float]()

    def __call__(self) -> float:
        self.last = self.coming.popleft() if self.coming else self.last
        return self.last


Story = list[tuple[float, Event]]
"""Events, each with the seconds after the one before."""


def sent(shot: Shot, key: str) -> Story:
    price = None if shot.price is None else shot.price * int(shot.seconds)
    intended = Intended(
        attempt=1,
        idempotency_key=f"key-{key}",
        base_url="https://videos.example.com/v1",
        key_fingerprint="3f8a",
        price=price,
        intended_at=BEGAN,
    )
    return [(0, intended)]


def rendered(shot: Shot, key: str, film: bytes, path: str, chance: Random) -> Story:
    seconds = (
        (38 + 9 * int(shot.seconds))
        * (1.3 if shot.size[0] == "1" and len(shot.size) > 8 else 1)
        * chance.uniform(0.7, 1.5)
    )
    digest = sha256(film).hexdigest()
    return [
        *accepted(shot, key),
        (seconds, Completed(status="completed", expires_at=None)),
        (1.2, Verified(sha256=digest, bytes=len(film))),
        (0.1, Published(path=path)),
    ]


def accepted(shot: Shot, key: str) -> Story:
    return [
        *sent(shot, key),
        (0.6, Accepted(video_id=f"video_{key}", submitted_at=BEGAN, status="queued", request_id=f"req_{key[:6]}")),
    ]


def refused(shot: Shot, key: str) -> Story:
    words = "This prompt may show a real person's likeness, which our policy does not allow."
    failure = Failure(FailureKind.MODERATION_INPUT, words, "content_policy_violation", "prompt", 400, f"req_{key[:6]}")
    return [*sent(shot, key), (0.4, Refused(failure=failure))]


def failed(shot: Shot, key: str) -> Story:
    failure = Failure(FailureKind.SERVER, "The render node ran out of memory.", "internal_error")
    return [*accepted(shot, key), (61, Failed(status="failed", failure=failure, price=0.1))]


def held(shot: Shot, key: str) -> Story:
    failure = Failure(FailureKind.AMBIGUOUS, "no answer within 180 seconds; the server's list does not show it")
    return [*sent(shot, key), (180, Doubted(failure=failure)), (600, Held(failure=failure))]


def slowed(shot: Shot, key: str) -> Story:
    failure = Failure(FailureKind.RATE_LIMITED, "Too many requests", None, None, 429)
    return [*sent(shot, key), (0.2, Returned(failure=failure))]


def shoot(
    folder: Path, shots: Sequence[Shot], film: Film, *, name: str, budget: float | None = None, gap: float = 2.0
) -> None:
    """Make the campaign's folder, its ledger and its videos. Jobs are sent ``gap`` seconds after one another."""
    anyio.run(_shoot, folder, shots, film, name, budget, gap)


async def _shoot(folder: Path, shots: Sequence[Shot], film: Film, name: str, budget: float | None, gap: float) -> None:
    (folder / "videos").mkdir(parents=True)
    clock, chance = Clock(), Random(name)
    jobs: list[Job] = []
    ledger = SqliteLedger.create_or_open(folder / "ledger.db", now=clock, blocking=inline)
    settings = {"name": name, "provider": "studio", "currency": "USD", "requests_per_minute": 30}

    async def record(number: int, event: Event) -> None:
        jobs[number] = await ledger.record(jobs[number], event)

    try:
        await ledger.enrol([spec for shot in shots for spec in shot.specs()], settings=settings, max_cost=budget)
        stories: list[Story] = []
        at = BEGAN
        for shot in shots:
            for spec, fate in zip(shot.specs(), shot.fates, strict=True):
                jobs.append(Job.planned(spec))
                told = _story(shot, spec, fate, film, folder, chance)
                at += gap * chance.uniform(0.6, 1.6) if told else 0
                times = accumulate((after for after, _ in told), initial=at)
                stories.append([(then, event) for then, (_, event) in zip(list(times)[1:], told, strict=True)])
        for step in range(max(map(len, stories))):  # together, as a run does: one commit for as many as wait
            now = [(number, *story[step]) for number, story in enumerate(stories) if step < len(story)]
            clock.coming.extend(then for _, then, _ in now)
            async with anyio.create_task_group() as group:
                for number, _, event in now:
                    group.start_soon(record, number, event)
    finally:
        ledger.close()


def _story(shot: Shot, spec: Spec, fate: str, film: Film, folder: Path, chance: Random) -> Story:
    key = sha256(spec.name.encode()).hexdigest()[:16]
    if fate not in "dksj":
        return {"p": lambda *_: [], "r": accepted, "x": refused, "f": failed, "h": held}[fate](shot, key)
    path, made = f"videos/{spec.output}", film(spec)
    (folder / path).write_bytes(made)
    story = rendered(shot, key, made, path, chance)
    if fate == "s":
        return [*slowed(shot, key), (2, story[0][1]), *story[1:]]
    if fate == "k":
        return [*story, (3600, Picked(picked=True))]
    if fate == "j":
        old = film(replace(spec, name=f"{spec.name}, before"))
        kept = f"rejected/{spec.output}"
        (folder / "rejected").mkdir(exist_ok=True)
        (folder / kept).write_bytes(old)
        back = Rejected(by="a person", approvals=1, sunk=0.4, was=path, kept=kept, kept_sha256=sha256(old).hexdigest())
        before = rendered(shot, f"{key}-1", old, path, chance)
        return [*before, (900, back), (30, story[0][1]), *story[1:]]
    return story

"""Which video in the server's list is a job whose POST had no answer. Pure.

Attempts with equal parameters are interchangeable: of k such attempts and m such videos, any m of them get one each.
On an account that others use too, a stranger's equal job could be taken for ours: a reference of our own, where the
server echoes it, is believed before anything else.
"""

from collections.abc import Collection, Sequence
from math import inf

from pipeline.evidence import LookupOutcome, Matched, NotThere, Unreadable
from pipeline.jobs import Failure, FailureKind, Job
from pipeline.videos import Video

SKEW = 60.0
"""Seconds that the server's stamps may be off, when its clock and ours have been compared."""


def match(
    job: Job, videos: Sequence[Video], *, claimed: Collection[str], offset: float, latest: float
) -> LookupOutcome:
    """Return what a complete list says about the job's last attempt.

    ``claimed`` are ids that other jobs have. ``offset`` is the server's clock minus ours, ``latest`` how long after
    the intent the server may have created the job; both in seconds.
    """
    free = [video for video in videos if video.id not in claimed]
    for video in free:
        if video.reference is not None and video.reference == job.idempotency_key:
            return Matched(video, "its reference")
    intended = (job.intended_at or 0.0) + offset
    window = intended - SKEW, intended + latest + SKEW
    unlike = [_unlike(job, video, window) for video in free]
    alike = sorted((video for video, no in zip(free, unlike, strict=True) if no is False), key=_creation)
    if alike:
        return Matched(alike[0], "its parameters", tuple(video.id for video in alike[1:]))
    if None in unlike:
        return Unreadable(Failure(FailureKind.AMBIGUOUS, "the server's list does not tell its jobs apart"))
    return NotThere(Failure(FailureKind.AMBIGUOUS, "the server's list does not show it"))


def _unlike(job: Job, video: Video, window: tuple[float, float]) -> bool | None:
    """Tell whether the video differs from what the job asked for; None where the server does not show enough."""
    first, last = window
    asked = [job.request.get(name) for name in ("model", "prompt", "size")]
    told = [
        video.model and video.model.rpartition("/")[2],
        video.prompt,
        video.size,
    ]  # gateways prefix their upstream's
    differs = (
        video.reference is not None
        or not first <= _creation(video, unknown=first) <= last
        or any(b is not None and a != b for a, b in zip(asked, told, strict=True))
        or (video.seconds is not None and not _same_number(video.seconds, str(job.request.get("seconds"))))
    )
    if differs:
        return True
    return None if None in {*told, video.seconds, video.created_at} else False


def _creation(video: Video, unknown: float = inf) -> float:
    return unknown if video.created_at is None else video.created_at


def _same_number(one: str, other: str) -> bool:
    try:
        return float(one) == float(other)
    except ValueError:
        return one == other

"""Which video in the server's list is a job whose POST had no answer. Pure.

Attempts with equal parameters are interchangeable: of k such attempts and m such videos, any m of them get one each.
That holds of what the server shows. No server shows the image that a job began with, and campaigns are made of one
prompt and many images: such a job is told from its like by a reference of our own, or by a person.
On an account that others use too, a stranger's equal job could be taken for ours: a reference of our own, where the
server echoes it, is believed before anything else.
"""

import re
from collections.abc import Collection, Sequence
from math import inf

from pipeline.evidence import LookupOutcome, Matched, NotThere, Unreadable
from pipeline.jobs import Failure, FailureKind, Job
from pipeline.listing import SKEW
from pipeline.videos import Video

_KNOWN = frozenset({"model", "prompt", "size", "seconds", "metadata", "input_reference"})
_SET_OTHERWISE = frozenset({"size", "seconds"})
_SIZE = re.compile(r"([0-9]{1,6})x([0-9]{1,6})")
_GRAIN = 32
"""Pixels: encoders and models want multiples of 2, 8, 16 or 32."""


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
    first, last = intended - SKEW, intended + latest + SKEW
    alike = {video.id: sure for video in free if (sure := _alike(job, video)) is not False}
    in_time = [video for video in free if video.id in alike and first <= _creation(video, unknown=first) <= last]
    mine = sorted((video for video in in_time if alike[video.id]), key=_creation)
    if mine:
        return Matched(mine[0], "its parameters", tuple(video.id for video in mine[1:]))
    if in_time:
        return Unreadable(Failure(FailureKind.AMBIGUOUS, "the server's list does not tell its jobs apart"))
    return NotThere(Failure(FailureKind.AMBIGUOUS, "the server's list does not show it"), alike=tuple(alike))


def fits(job: Job, video: Video) -> bool:
    """Tell whether nothing that the video shows is of another request than the job's."""
    if video.reference is not None:
        return video.reference == job.idempotency_key
    return _alike(job, video) is not False


def _alike(job: Job, video: Video) -> bool | None:
    """Tell whether the video is of an equal request; None where the server does not show enough.

    Further fields may set the size and the length by other words, and servers round sizes to what they can encode.
    """
    if video.reference is not None:
        return False
    asked = [name for name in ("model", "prompt", "size") if name in job.request]  # a server may have one model only
    told = {"model": video.model, "prompt": video.prompt, "size": video.size}
    others = [name for name in asked if _differs(name, job.request[name], told[name])]
    if video.seconds is not None and not _same_number(video.seconds, str(job.request.get("seconds"))):
        others.append("seconds")
    further = not job.request.keys() <= _KNOWN
    if any(not (further and name in _SET_OTHERWISE) for name in others if not _rounded(name, job, video)):
        return False
    known = all(told[name] is not None for name in asked) and None not in {video.seconds, video.created_at}
    return True if known and not others and "input_reference" not in job.request else None


def _differs(name: str, asked: str, told: str | None) -> bool:
    """Gateways put their upstream's name before a model's."""
    return told is not None and asked not in ({told, told.rpartition("/")[2]} if name == "model" else {told})


def _rounded(name: str, job: Job, video: Video) -> bool:
    """Tell whether it is a size that is near enough to come from the one that was asked for."""
    if name != "size":
        return False
    one, other = _SIZE.fullmatch(job.request["size"]), _SIZE.fullmatch(video.size or "")
    if one is None or other is None:
        return False
    return all(abs(int(asked) - int(told)) < _GRAIN for asked, told in zip(one.groups(), other.groups(), strict=True))


def _creation(video: Video, unknown: float = inf) -> float:
    return unknown if video.created_at is None else video.created_at


def _same_number(one: str, other: str) -> bool:
    try:
        return float(one) == float(other)
    except ValueError:
        return one == other

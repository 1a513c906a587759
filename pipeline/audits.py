"""The server's jobs held against the ledger's: what one of them has and the other lacks. Pure.

An id that the ledger lacks may have been paid by a request of ours that nobody knows of, and on an account that others
use too it may be theirs. An id that the server lacks may be lost, or too old to be shown. So both are named, and
nothing is done about them.
"""

import csv
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from pipeline.answers import Answer, Question, differences
from pipeline.errors import UsageError
from pipeline.jobs import Failure, Job, State
from pipeline.listing import SKEW
from pipeline.videos import Video

MARGIN = 3600.0
"""Seconds before the ledger's first intent from which on the server's jobs are looked at."""

MAX_IDS = 64 << 20
"""Bytes of a file of ids: more than a million of them."""

_HEADERS = ("id", "video_id")


@dataclass(frozen=True, slots=True)
class Surplus:
    """A video at the server that no job has. ``could_be`` are questions that it may be the answer to."""

    video: Video
    cost: float | None
    could_be: tuple[Question, ...] = ()


@dataclass(frozen=True, slots=True)
class Audit:
    """What a comparison found. ``since`` is when it begins, in the server's seconds; None for a list without times.

    ``source`` says what the ledger was compared with, ``seen`` how many ids that had, ``elsewhere`` how many jobs of
    the ledger belong to another address or key. ``currency`` is the profile's, which surplus videos are priced in;
    ``ledger_currency`` that of the jobs. ``incomplete`` says why the list ended early: then nothing is missing.
    """

    name: str
    path: str
    source: str
    since: float | None
    seen: int
    elsewhere: int
    currency: str | None
    ledger_currency: str | None
    surplus: tuple[Surplus, ...]
    missing: tuple[Job, ...]
    incomplete: Failure | None = None

    @property
    def exit_code(self) -> int:
        """69 where the list was not whole, 1 where anything is surplus or missing, or 0."""
        return 69 if self.incomplete else int(bool(self.surplus or self.missing))


def within(video: Video, since: float | None) -> bool:
    """Tell whether the video was created since then, as far as anybody can tell."""
    return since is None or video.created_at is None or video.created_at >= since


def could_be(video: Video, questions: Iterable[Question], offset: float) -> tuple[Question, ...]:
    """Return the questions that the video may answer: of a request like it, not later than it.

    ``offset`` is the server's clock minus ours. A list that shows no prompts tells nothing.
    """
    if video.prompt is None and video.reference is None:
        return ()
    return tuple(
        question
        for question in questions
        if Answer.ADOPT in question.answers
        and not differences(question.job, video)
        and (
            video.created_at is None
            or question.window is None
            or video.created_at >= question.window[0] + offset - SKEW
        )
    )


def missing(job: Job, seen: Collection[str], *, began: float, now: float) -> bool:
    """Tell whether a list that was begun at an instant should show the job, and does not."""
    if job.video_id is None or job.video_id in seen or job.state is State.EXPIRED:
        return False
    return (job.submitted_at or 0.0) < began and (job.expires_at is None or job.expires_at > now)


def ids_in(data: bytes, file: str) -> list[str]:
    """Return the ids in a table: of the column ``id`` or ``video_id``, or of the first; each once. CSV, or plain lines.

    Raises UsageError for what is no such table, and where there is none.
    """
    try:
        rows = list(csv.reader(data.decode("utf-8-sig").splitlines(), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{file} is no table of ids: {error}") from error
    cells = [[cell.strip() for cell in row] for row in rows if any(cell.strip() for cell in row)]
    header = [cell.lower() for cell in cells[0]] if cells else []
    column = next((header.index(name) for name in _HEADERS if name in header), None)
    if column is not None:
        del cells[0]
    ids = dict.fromkeys(row[column or 0] for row in cells if len(row) > (column or 0) and row[column or 0])
    if not ids:
        raise UsageError(f"{file} holds no ids")
    return list(ids)


def total(costs: Iterable[float | None]) -> tuple[float, int]:
    """Return the sum of the known costs, and how many are unknown."""
    costs = tuple(costs)
    return sum(cost for cost in costs if cost is not None), sum(cost is None for cost in costs)

"""What a person may answer about a job that waits for one, and what must be true of the answer. Pure.

Which answers a state allows is read from the one table of transitions; nothing here knows a state by name, but for a
submission that a run left without an outcome: it is in doubt first, as it would be for the next run.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pipeline.events import TRANSITIONS, Abandoned, Adopted, Event, Resubmitted
from pipeline.jobs import Failure, FailureKind, Job, State
from pipeline.videos import Video


class Answer(StrEnum):
    """The word on the command line."""

    ADOPT = "adopt"
    RESUBMIT = "resubmit"
    ABANDON = "abandon"


_EVENTS: Mapping[Answer, type[Event]] = {
    Answer.ADOPT: Adopted,
    Answer.RESUBMIT: Resubmitted,
    Answer.ABANDON: Abandoned,
}


def possible(state: State) -> tuple[Answer, ...]:
    """Return what a person may answer about a job in this state; nothing where it waits for nobody."""
    state = State.IN_DOUBT if state is State.SUBMITTING else state
    return tuple(answer for answer, event in _EVENTS.items() if event in TRANSITIONS[state])


#: The states of jobs that wait for a person.
WAITING = frozenset(state for state in State if possible(state))


@dataclass(frozen=True, slots=True)
class Question:
    """A job that waits for a person, and all that helps to decide.

    ``window`` is the time in which the server can have created it, in seconds since the epoch. ``request_ids`` are
    the server's names for the answers that proved nothing. ``unique``: no other job that waits has this name.
    """

    job: Job
    window: tuple[float, float] | None
    request_ids: tuple[str, ...]
    unique: bool

    @property
    def word(self) -> str:
        """What names the job on the command line."""
        return self.job.name if self.unique else self.job.request_hash[:12]

    @property
    def answers(self) -> tuple[Answer, ...]:
        return possible(self.job.state)


def question(job: Job, events: Iterable[Mapping[str, Any]], *, deadline: float, unique: bool) -> Question:
    """Return what is asked about the job. ``events`` are its own, as data; a POST takes up to ``deadline`` seconds."""
    first = job.intended_at
    return Question(job, None if first is None else (first, first + deadline), request_ids(events), unique)


def request_ids(events: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the server's names for its answers, each once, oldest first: what the gateway's support will ask for."""
    answers = (answer for event in events for answer in (event, event.get("failure") or {}))
    return tuple(dict.fromkeys(str(answer["request_id"]) for answer in answers if answer.get("request_id")))


def event(answer: Answer, job: Job, *, by: str, now: float, video: Video | None) -> Event:
    """Return what the answer makes of the job. ``by`` is who gave it, ``video`` what is adopted."""
    match answer:
        case Answer.ADOPT:
            assert video is not None  # noqa: S101  # nothing is adopted that the server has not shown
            return Adopted(video_id=video.id, submitted_at=now, status=video.word, by=by, raw=video.raw)
        case Answer.RESUBMIT:
            return Resubmitted(by=by, approvals=job.approvals + 1, sunk=job.sunk + (job.price or 0.0))
        case Answer.ABANDON:
            before = f"; before that: {job.failure.message}" if job.failure else ""
            failure = Failure(FailureKind.ABANDONED, f"given up by {by}{before}")
            return Abandoned(by=by, approvals=job.approvals + 1, failure=failure)


def differences(job: Job, video: Video) -> tuple[str, ...]:
    """Return a sentence for each thing that the server shows of the video and that the job did not ask for."""
    asked = job.request
    told = {"model": video.model, "prompt": video.prompt, "size": video.size, "seconds": video.seconds}
    sentences = [
        f"{name} is {there!r}, {asked[name]!r} was asked for"
        for name, there in told.items()
        if there is not None and name in asked and not _alike(name, str(asked[name]), there)
    ]
    if video.reference is not None and video.reference != job.idempotency_key:
        sentences.append(f"it carries the reference of another request, {video.reference!r}")
    return tuple(sentences)


def _alike(name: str, asked: str, told: str) -> bool:
    """Gateways put their upstream's name before a model's, write numbers their way, and trim prompts."""
    if name == "seconds":
        try:
            return float(asked) == float(told)
        except ValueError:
            return asked == told
    if name == "model":
        return asked in {told, told.rpartition("/")[2]}
    return asked.split() == told.split()

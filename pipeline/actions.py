"""What follows from each class of failure, in one table: for the job, for the run, for the person. Pure.

``docs/errors.md`` shows the same table; a test compares them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.breakers import Stop
from pipeline.jobs import FailureKind, State


@dataclass(frozen=True, slots=True)
class Action:
    """``refused``: the state of a job whose create was refused so; None where no refusal has this class.

    ``stop``: what ends the spending of the run. ``pauses``: all submissions wait, and then go slower.
    ``advice``: what a person can do, in one sentence.
    """

    advice: str
    refused: State | None = None
    stop: Stop | None = None
    pauses: bool = False


ACTIONS: Mapping[FailureKind, Action] = {
    FailureKind.INVALID_REQUEST: Action(
        "Correct the field that the server names; nothing was paid if it refused the request.", State.FAILED
    ),
    FailureKind.MODERATION_INPUT: Action(
        "Change the prompt or the image: the same ones will be refused again.", State.FAILED
    ),
    FailureKind.MODERATION_OUTPUT: Action(
        "Change the prompt, or order another take: the verdict fell on this video, and it may have been paid."
    ),
    FailureKind.AUTH: Action("Check the key, and what it may use, then start the run again.", State.PLANNED, Stop.AUTH),
    FailureKind.QUOTA_EXHAUSTED: Action(
        "Add credit to the account or raise its limit, then start the run again.", State.PLANNED, Stop.QUOTA
    ),
    FailureKind.RATE_LIMITED: Action(
        "Nothing; a lower `limits.requests_per_minute` avoids the pauses.", State.PLANNED, pauses=True
    ),
    FailureKind.SERVER: Action(
        "Nothing while the run lasts; if it ended the job, ask the gateway's support with the request id."
    ),
    FailureKind.NOT_SENT: Action("Check the address and the network; nothing was paid."),
    FailureKind.AMBIGUOUS: Action(
        "Look at the server whether the video is there, then tell `callsheet resolve`: it may have been paid."
    ),
    FailureKind.EXPIRED: Action("Order it again if it is still wanted: the video was made, and is gone."),
    FailureKind.LOST: Action("Check that address and key are those of the order, then tell `callsheet resolve`."),
    FailureKind.BAD_OUTPUT: Action("Start the run again: it fetches the file once more and pays nothing."),
    FailureKind.NOT_FOUND: Action(
        "Correct the base URL, or wait until a new deployment is there.", State.PLANNED, Stop.CONFIG
    ),
    FailureKind.STUCK: Action("Start the run again later: it asks once more; or tell `callsheet resolve`."),
    FailureKind.ABANDONED: Action("Nothing: a person gave it up."),
}

#: Refusals that say nothing about the job itself: it goes back, unharmed.
NOT_THE_JOBS_FAULT = frozenset(kind for kind, action in ACTIONS.items() if action.refused is State.PLANNED)
#: What ends the spending of a run.
CLOSING = {kind: action.stop for kind, action in ACTIONS.items() if action.stop is not None}

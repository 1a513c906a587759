"""What an answer proves: of a create, of a question for the status, of one for the content. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.classes import Asked, classify, request_id
from pipeline.evidence import (
    Acceptance,
    Ambiguity,
    BadFile,
    NotThere,
    PollOutcome,
    PostOutcome,
    Refusal,
    Seen,
    Silence,
)
from pipeline.jobs import Failure, FailureKind
from pipeline.profile import Profile
from pipeline.retrying import retry_after
from pipeline.videos import Status, Video, parse_object, parse_video


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


def post_outcome(answer: Answer, profile: Profile) -> PostOutcome:
    """Sort an answer to the POST by what it proves. Only an id proves a job; only a clean refusal proves none.

    Under an error's status it is the id of a job where the body calls itself a video, and of nobody knows what else.
    """
    well = 200 <= answer.status < 300
    if well or (parse_object(answer.body) or {}).get("object") == "video":
        video = parse_video(answer.body, words=profile.status, codes=profile.codes, created=well)
        if video is not None:
            return Acceptance(video, request_id(answer.headers))
    failure = failure_of(Asked.CREATE, answer, profile)
    if failure.kind is FailureKind.AMBIGUOUS:
        return Ambiguity(failure, answer.body)
    return Refusal(failure, retry_after(answer.headers), answer.body)


def poll_outcome(video_id: str, answer: Answer, profile: Profile) -> PollOutcome:
    """Sort an answer that has no Video. Some servers tell with an error, and nothing else, that a job was stopped."""
    failure = failure_of(Asked.STATUS, answer, profile)
    match failure.kind:
        case FailureKind.LOST:
            return NotThere(failure)
        case FailureKind.MODERATION_INPUT | FailureKind.MODERATION_OUTPUT:
            return Seen(Video(video_id, "failed", Status.FAILED, failure=failure, raw=answer.body))
        case FailureKind.EXPIRED:  # only by a code that the profile knows
            return Seen(Video(video_id, "expired", Status.GONE, failure=failure, raw=answer.body))
        case _:
            return Silence(failure, retry_after(answer.headers))


def content_outcome(answer: Answer, profile: Profile) -> BadFile | NotThere | Silence:
    failure = failure_of(Asked.CONTENT, answer, profile)
    match failure.kind:
        case FailureKind.LOST | FailureKind.EXPIRED:
            return NotThere(failure)
        case FailureKind.BAD_OUTPUT:
            return BadFile(failure)
        case _:
            return Silence(failure, retry_after(answer.headers))


def failure_of(asked: Asked, answer: Answer, profile: Profile) -> Failure:
    refusals, codes = profile.doubt.refusals, profile.codes
    return classify(asked, answer.status, answer.headers, answer.body, refusals=refusals, codes=codes)

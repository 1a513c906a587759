"""What a person may answer, and what is certain about a video that they name."""

from dataclasses import replace

import pytest

from pipeline import answers
from pipeline.answers import WAITING, Answer
from pipeline.events import TRANSITIONS, Abandoned, Adopted, Resubmitted, apply
from pipeline.jobs import FOR_A_PERSON, Failure, FailureKind, Job, State
from pipeline.videos import Status, Video

REQUEST = {"model": "sora-2", "prompt": "A fox", "size": "1280x720", "seconds": "4"}
JOB = Job("a#1", "0" * 64, REQUEST, "a.mp4", state=State.HELD, attempt=1, price=0.4, idempotency_key="key")
VIDEO = Video("video_1", "queued", Status.ACTIVE, raw=b"{}")


def test_the_jobs_that_wait_are_those_that_the_table_lets_a_person_move() -> None:
    assert {*FOR_A_PERSON, State.IN_DOUBT, State.SUBMITTING} == WAITING
    by_a_person = {Adopted, Resubmitted, Abandoned}
    assert {state for state in State if by_a_person & {*TRANSITIONS[state]}} == WAITING - {State.SUBMITTING}


@pytest.mark.parametrize("state", sorted(WAITING - {State.SUBMITTING}))
def test_every_answer_that_is_offered_can_be_recorded(state: State) -> None:
    for answer in answers.possible(state):
        job = replace(JOB, state=state, video_id=None if Answer.ADOPT in answers.possible(state) else "video_0")
        after = apply(job, answers.event(answer, job, by="me@here", now=7.0, video=VIDEO))
        assert after.approvals == job.approvals + (answer is not Answer.ADOPT), "the file wants a person's word"


def test_one_more_attempt_adds_up_what_was_paid() -> None:
    again = answers.event(Answer.RESUBMIT, replace(JOB, approvals=1, sunk=0.4), by="me", now=0.0, video=None)
    assert (again.approvals, again.sunk, again.video_id) == (2, 0.8, None)
    free = answers.event(Answer.RESUBMIT, replace(JOB, price=None), by="me", now=0.0, video=None)
    assert free.sunk == 0.0


def test_who_gives_up_is_written_down_with_why() -> None:
    job = replace(JOB, failure=Failure(FailureKind.AMBIGUOUS, "no answer"))
    after = apply(job, answers.event(Answer.ABANDON, job, by="me@here", now=0.0, video=None))
    assert after.failure is not None
    assert (after.state, after.failure.kind) == (State.FAILED, FailureKind.ABANDONED)
    assert "me@here" in after.failure.message
    assert "no answer" in after.failure.message


@pytest.mark.parametrize(
    "shown",
    [
        {},
        {"model": "sora-2", "prompt": "A fox", "size": "1280x720", "seconds": "4"},
        {"model": "openai/sora-2"},
        {"seconds": "4.0"},
        {"prompt": " A fox\n"},
        {"reference": "key"},
    ],
)
def test_a_video_like_the_request_could_be_its_own(shown: dict) -> None:
    assert answers.differences(JOB, replace(VIDEO, **shown)) == ()


@pytest.mark.parametrize(
    "shown",
    [
        {"model": "sora-2-pro"},
        {"model": "sora"},
        {"model": "sora-2/other"},
        {"prompt": "A foxx"},
        {"prompt": "A"},
        {"prompt": ""},
        {"size": "720x1280"},
        {"seconds": "8"},
        {"seconds": "four"},
        {"reference": "another key"},
    ],
)
def test_a_video_that_is_unlike_it_in_one_thing_is_not(shown: dict) -> None:
    assert len(answers.differences(JOB, replace(VIDEO, **shown))) == 1


def test_what_was_not_asked_for_is_no_difference() -> None:
    job = replace(JOB, request={"model": "sora-2", "prompt": "A fox"})
    assert answers.differences(job, replace(VIDEO, size="720x1280", seconds="8")) == ()


def test_request_ids_are_told_once_each() -> None:
    failures = [{}, {"request_id": "b"}, {"request_id": None}, {"request_id": "a"}, {"request_id": "b"}]
    events = [{"video_id": "v", "request_id": "first"}, *({"failure": failure} for failure in failures), {"a": 1}]
    assert answers.request_ids(events) == ("first", "b", "a")

"""Documents and exit codes, folded from the jobs."""

from dataclasses import replace

import pytest

from pipeline.jobs import Failure, FailureKind, Job, State
from pipeline.summary import Status, status_document

EVERYTHING = frozenset({"a#1", "b#1"})
JOB = Job("a#1", "h", {}, "a.mp4")


def status(*jobs: Job) -> Status:
    return Status("n", "/p", "USD", jobs)


def at(state: State, **more: object) -> Job:
    values: dict[str, object] = {"state": state, "attempt": 1, "video_id": "v", **more}
    return replace(JOB, **values)


@pytest.mark.parametrize(
    ("states", "code"),
    [
        ([], 0),
        ([State.DONE], 0),
        ([State.DONE, State.FAILED], 1),
        ([State.EXPIRED], 1),
        ([State.FAILED, State.PLANNED], 69),
        ([State.FAILED, State.SUBMITTED], 69),
        ([State.FAILED, State.IN_DOUBT], 69),
        ([State.FAILED, State.COMPLETED, State.HELD], 3),
        ([State.LOST], 3),
        ([State.STUCK], 3),
    ],
)
def test_the_exit_code_is_the_gravest_that_holds(states: list[State], code: int) -> None:
    assert status(*[at(state) for state in states]).exit_code(EVERYTHING) == code


def test_what_was_not_selected_and_what_was_removed_is_nobodys_unfinished_work() -> None:
    assert status(at(State.PLANNED)).exit_code(frozenset()) == 0
    assert status(at(State.PLANNED, orphaned=True)).exit_code(EVERYTHING) == 0
    assert status(at(State.FAILED, orphaned=True)).exit_code(EVERYTHING) == 0
    assert status(at(State.HELD, orphaned=True)).exit_code(EVERYTHING) == 3, "it may have been paid for"
    assert status(at(State.SUBMITTED, orphaned=True)).exit_code(frozenset()) == 69, "it was paid for"


def test_an_unknown_price_is_said_and_never_counted_as_zero() -> None:
    found = status(
        at(State.DONE, price=0.4),
        at(State.FAILED, price=0.4),
        at(State.DONE),
        at(State.HELD, video_id=None, price=0.8),
        at(State.HELD, video_id=None),
        at(State.PLANNED, video_id=None, attempt=0),
        at(State.FAILED, video_id=None, price=0.4),
        at(State.PLANNED, video_id=None, approvals=1),
    )
    assert (found.spent, found.in_doubt, found.unknown_price_jobs) == (0.8, 0.8, 3), "one was perhaps paid before"
    assert [job["cost"] for job in status_document(found)["jobs"]] == [0.4, 0.4, *[None] * 6]


def test_a_failure_is_shown_with_its_class_and_the_servers_words() -> None:
    failure = Failure(FailureKind.MODERATION_INPUT, "blocked", code="moderation_blocked", param="prompt")
    document = status_document(status(at(State.FAILED, failure=failure)))
    assert document["jobs"][0]["error"] == {
        "kind": "moderation_input",
        "message": "blocked",
        "code": "moderation_blocked",
        "param": "prompt",
    }
    assert document["counts"]["failed"] == 1
    assert sum(document["counts"].values()) == 1

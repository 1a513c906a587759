"""What a person may say of jobs that are over, of which of them, and what that costs."""

from dataclasses import replace

import pytest

from pipeline import choices
from pipeline.choices import Verb
from pipeline.errors import UsageError
from pipeline.events import apply
from pipeline.jobs import OVER, Failure, FailureKind, Job, State
from pipeline.resolving import no_such_job

FAILURE = Failure(FailureKind.SERVER, "no")
JOB = Job("fox#1", "a" * 64, {}, "fox.mp4", tags=("animal",), state=State.FAILED, attempt=1, price=0.4, failure=FAILURE)
DONE = replace(JOB, state=State.DONE, video_id="v", path="videos/fox.mp4", sha256="b", bytes=2, failure=None)
#: What ``retry`` says of the jobs that it does not take.
INSTEAD = {
    State.PLANNED: "the next run submits it",
    State.SUBMITTED: "the next run fetches it",
    State.COMPLETED: "the next run fetches it",
    State.VERIFIED: "the next run fetches it",
    State.DONE: "`callsheet reject`",
} | dict.fromkeys((State.SUBMITTING, State.IN_DOUBT, State.HELD, State.LOST, State.STUCK), "`callsheet resolve`")


def chosen(verb: Verb, jobs: list[Job], *words: str) -> list[str]:
    return [job.name for job in choices.chosen(verb, jobs, words, unknown=no_such_job).jobs]


@pytest.mark.parametrize("state", State)
def test_every_state_is_tried_again_or_says_what_it_waits_for(state: State) -> None:
    job = replace(JOB, state=state, path="p")
    if state in OVER:
        assert chosen(Verb.RETRY, [job], "fox#1") == ["fox#1"]
    else:
        with pytest.raises(UsageError, match=f"{state}.*{INSTEAD[state]}"):
            chosen(Verb.RETRY, [job], "fox#1")


@pytest.mark.parametrize("verb", [Verb.REJECT, Verb.PICK])
@pytest.mark.parametrize("state", State)
def test_only_a_finished_video_is_rejected_or_picked(verb: Verb, state: State) -> None:
    job = replace(JOB, state=state, path="p")
    if state is State.DONE:
        assert chosen(verb, [job], "fox#1") == ["fox#1"]
    else:
        with pytest.raises(UsageError, match="nothing was changed"):
            chosen(verb, [job], "fox#1")


@pytest.mark.parametrize("word", ["fox#1", "fox", "f*", "tag:animal", "aaaaaaaaa", "fox#[12]"])
def test_words_name_jobs_as_a_selection_does(word: str) -> None:
    other = replace(DONE, name="crow#1", request_hash="c" * 64, tags=())
    assert chosen(Verb.PICK, [DONE, other], word) == ["fox#1"]
    assert chosen(Verb.PICK, [DONE, other], word, "crow", word) == ["fox#1", "crow#1"], "each once"


def test_what_a_word_names_and_the_verb_does_not_take_is_counted_and_left() -> None:
    takes = [DONE, replace(JOB, name="fox#2", request_hash="d" * 64)]
    choice = choices.chosen(Verb.PICK, takes, ["fox"], unknown=no_such_job)
    assert ([job.name for job in choice.jobs], choice.passed) == (["fox#1"], 1)
    with pytest.raises(UsageError, match="fox#2 is failed"):
        chosen(Verb.PICK, takes, "fox#1", "fox#2")


def test_of_an_orphan_no_other_take_is_made_and_a_deleted_file_is_not_chosen() -> None:
    orphan = replace(DONE, orphaned=True)
    with pytest.raises(UsageError, match="no longer asks for fox#1"):
        chosen(Verb.REJECT, [orphan], "fox#1")
    assert chosen(Verb.PICK, [orphan], "fox#1") == ["fox#1"]
    assert chosen(Verb.REJECT, [orphan, replace(DONE, request_hash="e" * 64)], "fox#1") == ["fox#1"]
    for verb in (Verb.REJECT, Verb.PICK):
        with pytest.raises(UsageError, match="was deleted"):
            chosen(verb, [replace(DONE, path=None)], "fox#1")


def test_all_that_failed_leaves_what_a_person_gave_up() -> None:
    given_up = replace(JOB, name="b#1", failure=Failure(FailureKind.ABANDONED, "given up"))
    gone = replace(JOB, name="c#1", state=State.EXPIRED, failure=Failure(FailureKind.EXPIRED, "gone"))
    jobs = [JOB, given_up, gone, DONE, replace(JOB, name="d#1", orphaned=True)]
    assert [job.name for job in choices.failed(jobs, ()).jobs] == ["fox#1", "c#1"]
    assert [job.name for job in choices.failed(jobs, [FailureKind.ABANDONED]).jobs] == ["b#1"]


@pytest.mark.parametrize(
    ("kind", "video_id", "sunk"),
    [
        (FailureKind.SERVER, "v", 1.4),
        (FailureKind.SERVER, None, 1.0),
        (FailureKind.MODERATION_OUTPUT, "v", 1.0),
        (FailureKind.ABANDONED, "v", 1.4),
        (FailureKind.ABANDONED, None, 1.4),
    ],
)
def test_what_may_have_been_paid_is_counted_when_it_is_tried_again(
    kind: FailureKind, video_id: str | None, sunk: float
) -> None:
    """The profile says that a verdict on the output is free; a refusal created nothing; a doubt may have."""
    job = replace(JOB, video_id=video_id, sunk=1.0, failure=Failure(kind, "no"))
    event = choices.again(job, {FailureKind.MODERATION_OUTPUT})
    after = apply(job, event)
    assert (after.state, after.sunk, after.approvals) == (State.PLANNED, pytest.approx(sunk), 1)
    assert after.failure == job.failure, "kept until there is another end"


def test_another_take_costs_what_the_first_did() -> None:
    job = replace(DONE, sunk=1.0, picked=True)
    after = apply(job, choices.another(job, "rejected/fox.mp4", by="ada"))
    assert (after.sunk, after.approvals, after.picked, after.video_id) == (pytest.approx(1.4), 1, False, None)

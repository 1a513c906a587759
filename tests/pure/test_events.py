"""The one table: what it allows, what it refuses, and that everything else follows it."""

import itertools
from functools import reduce

import pytest

from pipeline.errors import IllegalTransition
from pipeline.events import (
    KINDS,
    TRANSITIONS,
    Abandoned,
    Accepted,
    Adopted,
    Completed,
    Doubted,
    Event,
    Held,
    Intended,
    Missing,
    Picked,
    Published,
    Refused,
    Rejected,
    Renamed,
    Reprieved,
    Resubmitted,
    Retried,
    Returned,
    Verified,
    apply,
    diagram,
)
from pipeline.jobs import DOUBTFUL, PAID, Failure, FailureKind, Job, Spec, State

SPEC = Spec("city#1", 1, {"model": "sora-2", "prompt": "A city", "size": "1280x720", "seconds": "4"}, "c.mp4", "m:1:1")
FAILURE = Failure(FailureKind.SERVER, "no")
INTENDED = Intended(attempt=1, idempotency_key="k", base_url="u", key_fingerprint=None, price=None, intended_at=1.0)


def replay(job: Job, events: list[Event]) -> Job:
    return reduce(apply, events, job)


def test_the_whole_way_of_a_job_leaves_what_every_event_said() -> None:
    job = replay(
        Job.planned(SPEC),
        [
            INTENDED,
            Accepted(video_id="v", status="queued", submitted_at=2.0),
            Completed(status="completed", expires_at=9.0),
            Verified(sha256="ab", bytes=3),
            Published(path="videos/c.mp4"),
        ],
    )
    assert (job.state, job.video_id, job.sha256, job.bytes, job.path) == (State.DONE, "v", "ab", 3, "videos/c.mp4")
    assert job.failure is None


def test_what_is_not_in_the_table_cannot_happen() -> None:
    allowed = {(state, event) for state, moves in TRANSITIONS.items() for event in moves}
    for state, event in itertools.product(State, KINDS.values()):
        if (state, event) not in allowed:
            job = Job("n", "h", {}, "o", state=state)
            with pytest.raises(IllegalTransition):
                apply(job, object.__new__(event))


def test_doubt_is_ended_by_an_id_or_by_a_person_and_by_nothing_else() -> None:
    doubt = replay(Job.planned(SPEC), [INTENDED, Doubted(failure=FAILURE)])
    for refusal in (Refused(failure=FAILURE), Returned(failure=FAILURE)):
        with pytest.raises(IllegalTransition):
            apply(doubt, refusal)
    assert apply(doubt, Accepted(video_id="v", status="queued", submitted_at=1)).state is State.SUBMITTED
    assert apply(doubt, Held(failure=FAILURE)).state is State.HELD
    doubtful = DOUBTFUL - {State.SUBMITTING}
    leaving = {event for state in doubtful for event, after in TRANSITIONS[state].items() if after not in doubtful}
    assert leaving == {Accepted, Adopted, Resubmitted, Abandoned}


BY_A_PERSON = {Resubmitted, Abandoned, Rejected}
#: Let back by the file only where nothing was created, and only where the manifest or the profile allows it by name.
GUARDED = {Reprieved, Retried}


def test_a_paid_job_never_becomes_one_that_would_be_submitted_again_but_by_a_person() -> None:
    reachable = set(PAID)
    while True:
        moves = [(event, after) for state in reachable for event, after in TRANSITIONS[state].items()]
        further = {after for event, after in moves if event not in BY_A_PERSON | GUARDED} - reachable
        if not further:
            break
        reachable |= further
    assert reachable.isdisjoint({State.PLANNED, State.SUBMITTING})


def test_a_new_name_changes_nothing_else() -> None:
    for state in State:
        job = Job("old", "h", {}, "o", state=state, video_id="v")
        renamed = apply(job, Renamed(name="new", output="n.mp4", path=None))
        assert (renamed.name, renamed.output, renamed.state, renamed.video_id) == ("new", "n.mp4", state, "v")


def test_a_lost_file_is_fetched_again_and_keeps_its_id() -> None:
    done = Job("n", "h", {}, "o", state=State.DONE, video_id="v", sha256="ab")
    again = apply(done, Missing(failure=FAILURE))
    assert (again.state, again.video_id) == (State.COMPLETED, "v")


def test_a_choice_is_of_a_video_and_lasts_as_long_as_the_video() -> None:
    done = Job("n", "h", {}, "o", state=State.DONE, video_id="v", sha256="ab", bytes=2, path="p", price=0.5, sunk=1.0)
    picked = apply(done, Picked(picked=True))
    assert apply(picked, Picked(picked=False)) == done
    named = apply(picked, Renamed(name="m", output="m", path="videos/m"))
    again = apply(apply(named, Missing(failure=FAILURE)), Verified(sha256="ab", bytes=2))
    assert apply(again, Published(path="p")).picked
    lost = apply(named, Missing(failure=FAILURE))
    assert not apply(lost, Retried(by="ada", approvals=1, sunk=1.5, failure=FAILURE)).picked
    told = {"by": "ada", "approvals": 1, "sunk": 1.5, "was": "p", "kept": "k", "kept_sha256": "ab"}
    rejected = apply(picked, Rejected(**told))
    assert rejected == Job("n", "h", {}, "o", approvals=1, sunk=1.5, price=0.5), "nothing of the old video is left"


def test_the_identity_is_what_affects_pixels_and_the_take() -> None:
    def hashed(take: int = 1, **changes: object) -> str:
        return Spec("other-name", take, {**SPEC.request, **changes}, "o", "m:1:1").request_hash

    assert hashed() == SPEC.request_hash
    assert hashed(metadata={"client": "x"}) == SPEC.request_hash
    different = [hashed(take=2), hashed(prompt="A town"), hashed(seconds="8"), hashed(size="720x1280")]
    assert len({SPEC.request_hash, *different}) == 5


def test_the_diagram_shows_every_move_but_the_renames() -> None:
    drawn = diagram()
    for state, moves in TRANSITIONS.items():
        for event, after in moves.items():
            assert (f"{state} --> {after}: {event.__name__}" in drawn) == (event is not Renamed)

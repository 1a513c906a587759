"""What next: the rules about money, one by one."""

from dataclasses import replace
from itertools import product
from typing import get_args

import pytest

from pipeline.actions import NOT_THE_JOBS_FAULT
from pipeline.decisions import Do, Moment, next_action
from pipeline.events import (
    TRANSITIONS,
    Accepted,
    Completed,
    Doubted,
    Expired,
    Failed,
    Held,
    Intended,
    Lost,
    Missing,
    Progressed,
    Refused,
    Retried,
    Returned,
    Stuck,
)
from pipeline.evidence import (
    TOO_LONG,
    Acceptance,
    Ambiguity,
    BadFile,
    Closed,
    Evidence,
    Fetched,
    Found,
    NoFile,
    NotSent,
    NotThere,
    Placed,
    PostOutcome,
    Ready,
    Recorded,
    Refusal,
    Seen,
    Silence,
)
from pipeline.jobs import Failure, FailureKind, Job, State
from pipeline.policies import Policy
from pipeline.videos import Status, Video

FAILURE = Failure(FailureKind.SERVER, "no")
NOW = Moment(now=1000.0)
JOB = Job("n", "h", {"seconds": "4", "size": "1280x720"}, "o", attempt=1, idempotency_key="k")
PAID = replace(JOB, video_id="v", submitted_at=990.0, status="queued")
CANNOT_REPLAY, CAN_REPLAY = Policy(), Policy(replay=True)


def video(word: str = "queued", status: Status = Status.ACTIVE, **more: object) -> Video:
    return Video("v", word, status, **more)


def decide(job: Job, state: State, evidence: Evidence, moment: Moment = NOW, policy: Policy = CANNOT_REPLAY) -> object:
    return next_action(replace(job, state=state), evidence, moment, policy)


def test_a_post_is_announced_before_it_is_sent() -> None:
    ready = Ready("key", "https://a/v1", None, 0.4)
    assert decide(JOB, State.PLANNED, Found()) is Do.PREPARE
    intended = decide(JOB, State.PLANNED, ready)
    assert isinstance(intended, Intended)
    assert (intended.attempt, intended.idempotency_key, intended.price) == (2, "key", 0.4)
    assert decide(JOB, State.SUBMITTING, Recorded()) is Do.SUBMIT


def test_a_submission_that_an_earlier_run_left_is_in_doubt_and_not_sent_again() -> None:
    assert isinstance(decide(JOB, State.SUBMITTING, Found()), Doubted)


@pytest.mark.parametrize("kind", list(FailureKind))
def test_a_refusal_ends_the_job_only_where_it_is_the_jobs_fault(kind: FailureKind) -> None:
    event = decide(JOB, State.SUBMITTING, Refusal(Failure(kind, "no")))
    assert isinstance(event, Returned if kind in NOT_THE_JOBS_FAULT else Refused)


def test_only_what_was_certainly_not_sent_is_sent_again() -> None:
    outcomes: dict[type, object] = {
        NotSent: decide(JOB, State.SUBMITTING, NotSent(FAILURE)),
        Ambiguity: decide(JOB, State.SUBMITTING, Ambiguity(FAILURE)),
        Acceptance: decide(JOB, State.SUBMITTING, Acceptance(video())),
    }
    assert isinstance(outcomes[NotSent], Returned)
    assert isinstance(outcomes[Ambiguity], Doubted)
    assert isinstance(outcomes[Acceptance], Accepted)


def test_without_a_proof_a_doubt_is_held_for_a_person() -> None:
    assert isinstance(decide(JOB, State.IN_DOUBT, Recorded()), Held)
    assert isinstance(decide(JOB, State.IN_DOUBT, Found()), Held)


def test_where_a_repeated_key_is_safe_the_same_post_is_sent_again_a_few_times() -> None:
    def after(tries: int) -> object:
        return decide(JOB, State.IN_DOUBT, Ambiguity(FAILURE), Moment(1000.0, tries), CAN_REPLAY)

    assert decide(JOB, State.IN_DOUBT, Found(), policy=CAN_REPLAY) is Do.PREPARE
    assert decide(JOB, State.IN_DOUBT, Ready("other", "u", None, None), policy=CAN_REPLAY) is Do.SUBMIT
    assert after(1) is Do.PREPARE
    assert after(CAN_REPLAY.replays) is None, "the next run asks again"
    slow = Refusal(Failure(FailureKind.RATE_LIMITED, "slow"))
    assert decide(JOB, State.IN_DOUBT, slow, Moment(1000.0, 99), CAN_REPLAY) is Do.PREPARE


@pytest.mark.parametrize("policy", [CANNOT_REPLAY, CAN_REPLAY])
@pytest.mark.parametrize("kind", list(FailureKind))
def test_no_refusal_clears_a_doubt(policy: Policy, kind: FailureKind) -> None:
    for tries in range(1, 6):
        action = decide(JOB, State.IN_DOUBT, Refusal(Failure(kind, "no")), Moment(1000.0, tries), policy)
        assert action in {None, Do.PREPARE} or isinstance(action, Held)


def test_an_unknown_word_means_still_at_work() -> None:
    assert isinstance(decide(PAID, State.SUBMITTED, Seen(video("polishing"))), Progressed)
    assert decide(PAID, State.SUBMITTED, Seen(video("queued"))) is Do.POLL


def test_the_server_ends_a_job_in_its_own_words() -> None:
    ready = decide(PAID, State.SUBMITTED, Seen(video("completed", Status.READY, expires_at=5000.0)))
    assert ready == Completed(status="completed", expires_at=5000.0)
    assert isinstance(decide(PAID, State.SUBMITTED, Seen(video("failed", Status.FAILED, failure=FAILURE))), Failed)
    assert isinstance(decide(PAID, State.SUBMITTED, Seen(video("expired", Status.GONE))), Expired)


def test_a_poll_without_an_answer_never_fails_a_job() -> None:
    for tries in (1, 10, 1000):
        assert decide(PAID, State.SUBMITTED, Silence(FAILURE), Moment(1e6, tries, 6 * 3600)) is Do.POLL


def test_a_job_about_which_there_is_only_silence_is_stuck_in_the_end() -> None:
    stuck = decide(PAID, State.SUBMITTED, Silence(FAILURE), Moment(1e6, 1000, 6 * 3600 + 1))
    assert isinstance(stuck, Stuck)
    assert stuck.failure.message == "no usable answer about it for 6 hours: no"


def test_an_id_that_the_server_forgot_is_asked_for_long_before_it_is_lost() -> None:
    def after(tries: int, waited: float) -> object:
        return decide(PAID, State.SUBMITTED, NotThere(FAILURE), Moment(5000.0, tries, waited))

    assert after(1, 0) is Do.POLL
    assert after(50, 60) is Do.POLL
    assert after(3, 5000) is Do.POLL
    assert isinstance(after(10, 900), Lost)


def test_a_job_that_renders_for_hours_is_stuck_and_asked_for_again_by_the_next_run() -> None:
    late = Moment(990.0 + 6 * 3600 + 1)
    assert isinstance(decide(PAID, State.SUBMITTED, Seen(video()), late), Stuck)
    assert decide(PAID, State.STUCK, Found()) is Do.POLL
    assert decide(PAID, State.STUCK, Seen(video()), late) is None
    assert isinstance(decide(PAID, State.STUCK, Seen(video("completed", Status.READY)), late), Completed)


def test_content_that_is_not_there_is_waited_for_and_expires_only_by_the_servers_word() -> None:
    gone = NotThere(replace(FAILURE, kind=FailureKind.LOST))
    assert decide(PAID, State.COMPLETED, gone, Moment(1000.0, 5, 100)) is Do.DOWNLOAD
    assert isinstance(decide(PAID, State.COMPLETED, gone, Moment(1000.0, 5, 901)), Lost)
    assert decide(PAID, State.LOST, Found()) is Do.POLL, "every run asks for it once more"
    late = replace(PAID, expires_at=999.0)
    assert decide(late, State.COMPLETED, gone, Moment(1000.0, 5, 100)) is Do.DOWNLOAD, "clocks are wrong now and then"
    assert isinstance(decide(late, State.COMPLETED, gone, Moment(1000.0, 5, 901)), Expired)
    assert isinstance(decide(PAID, State.COMPLETED, NotThere(replace(FAILURE, kind=FailureKind.EXPIRED))), Expired)


def test_a_file_that_is_no_video_is_fetched_again_and_then_left_for_the_next_run() -> None:
    assert decide(PAID, State.COMPLETED, BadFile(FAILURE), Moment(1000.0, 1)) is Do.DOWNLOAD
    assert decide(PAID, State.COMPLETED, BadFile(FAILURE), Moment(1000.0, 3)) is None


def test_a_file_that_our_own_limit_refuses_is_never_paid_for_again() -> None:
    policy, late = Policy(again=frozenset({FailureKind.BAD_OUTPUT})), Moment(1000.0, 3, 901)
    bad = Failure(FailureKind.BAD_OUTPUT, "no")
    assert isinstance(decide(PAID, State.COMPLETED, BadFile(bad), late, policy), Retried)
    assert decide(PAID, State.COMPLETED, BadFile(replace(bad, code=TOO_LONG)), late, policy) is None


def test_a_file_that_vanished_is_fetched_again() -> None:
    for state in (State.VERIFIED, State.DONE):
        assert isinstance(decide(PAID, state, NoFile(FAILURE)), Missing)


def test_what_is_over_is_left_alone() -> None:
    for state in (State.DONE, State.FAILED, State.EXPIRED, State.HELD):
        assert decide(PAID, state, Found()) is None


REASONS = [Failure(kind, "no", http_status=status) for kind in FailureKind for status in (None, 404, 410)]
WORDS = [video("completed", Status.READY), video("polishing"), video("failed", Status.FAILED), video("x", Status.GONE)]
EXAMPLES: dict[type, list[Evidence]] = {
    Found: [Found()],
    Recorded: [Recorded()],
    Ready: [Ready("k", "u", None, None)],
    Closed: [Closed()],
    NotSent: [NotSent(FAILURE)],
    Refusal: [Refusal(failure) for failure in REASONS],
    Acceptance: [Acceptance(video())],
    Ambiguity: [Ambiguity(FAILURE)],
    Seen: [Seen(word) for word in WORDS],
    NotThere: [NotThere(failure) for failure in REASONS],
    Silence: [Silence(failure) for failure in REASONS],
    Fetched: [Fetched("ab", 1)],
    BadFile: [BadFile(FAILURE)],
    Placed: [Placed("p")],
    NoFile: [NoFile(FAILURE)],
}
ENDS_OF: dict[Do, tuple[type, ...]] = {
    Do.PREPARE: (Ready, Closed),
    Do.SUBMIT: get_args(PostOutcome),
    Do.POLL: (Seen, NotThere, Silence),
    Do.DOWNLOAD: (Fetched, BadFile, NotThere, Silence),
    Do.PLACE: (Placed, NoFile),
}


@pytest.mark.parametrize("policy", [CANNOT_REPLAY, CAN_REPLAY])
def test_from_the_ledger_on_every_state_has_an_answer_to_all_that_can_be_learned_in_it(policy: Policy) -> None:
    """Walk all that can follow: no evidence without a decision, no decision that the table of transitions forbids."""
    seen: set[tuple[State, type]] = set()
    ahead: list[tuple[State, type]] = [(state, Found) for state in State]
    while ahead:
        state, kind = ahead.pop()
        if (state, kind) in seen:
            continue
        seen.add((state, kind))
        for evidence, now, tries, waited in product(EXAMPLES[kind], (1000.0, 1e6), (1, 100), (0.0, 1e6)):
            action = next_action(replace(PAID, state=state), evidence, Moment(now, tries, waited), policy)
            if isinstance(action, Do):
                ahead += [(state, end) for end in ENDS_OF[action]]
            elif action is not None:
                ahead.append((TRANSITIONS[state][type(action)], Recorded))
    assert len(seen) > 30

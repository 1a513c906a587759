"""What a run would do: named before it is done, for every way in which a manifest and a ledger can differ."""

from dataclasses import replace

import pytest

from pipeline.jobs import Failure, FailureKind, Job, Spec, State
from pipeline.plan import Fate, Plan, compare


def spec(name: str, prompt: str = "A city", **request: object) -> Spec:
    body = {"model": "sora-2", "prompt": prompt, "size": "1280x720", "seconds": "4", **request}
    return Spec(name, 1, body, f"{name}.mp4", "m.yaml:1:1")


def job(spec: Spec, state: State, **more: object) -> Job:
    path = f"videos/{spec.output}" if state is State.DONE else None
    values: dict[str, object] = {"state": state, "attempt": int(state is not State.PLANNED), "path": path, **more}
    return replace(Job.planned(spec), **values)


def planned(specs: list[Spec], jobs: list[Job], **more: object) -> Plan:
    return compare(specs, jobs, **{"selected": frozenset(spec.name for spec in specs), **more})


def fates(plan: Plan) -> dict[str, tuple[Fate, str]]:
    return {item.name: (item.fate, item.reason) for item in plan.items}


def test_what_the_ledger_does_not_know_is_new() -> None:
    assert fates(planned([spec("a#1")], [])) == {"a#1": (Fate.SUBMIT, "new")}


@pytest.mark.parametrize(
    ("state", "fate"),
    [
        (State.PLANNED, Fate.SUBMIT),
        (State.SUBMITTING, Fate.CONTINUE),
        (State.IN_DOUBT, Fate.CONTINUE),
        (State.SUBMITTED, Fate.CONTINUE),
        (State.COMPLETED, Fate.CONTINUE),
        (State.VERIFIED, Fate.CONTINUE),
        (State.DONE, Fate.NOTHING),
        (State.FAILED, Fate.NOTHING),
        (State.EXPIRED, Fate.NOTHING),
        (State.HELD, Fate.DECIDE),
        (State.LOST, Fate.DECIDE),
        (State.STUCK, Fate.DECIDE),
    ],
)
def test_every_state_has_a_fate(state: State, fate: Fate) -> None:
    plan = planned([spec("a#1")], [job(spec("a#1"), state)])
    assert [item.fate for item in plan.items] == [fate]


def test_a_finished_campaign_has_no_work_and_one_with_a_held_job_neither() -> None:
    specs = [spec("a#1"), spec("b#1", "B")]
    assert not planned(specs, [job(specs[0], State.DONE), job(specs[1], State.HELD)]).has_work
    assert planned(specs, [job(specs[0], State.DONE), job(specs[1], State.LOST)]).has_work


def test_a_changed_request_is_new_spending_and_says_what_changed() -> None:
    old = job(spec("a#1", seconds="8"), State.DONE)
    plan = planned([spec("a#1", "A town")], [old])
    assert [(item.fate, item.reason) for item in plan.items] == [
        (Fate.SUBMIT, "changed: prompt, seconds"),
        (Fate.LEAVE, "not in the manifest any more; done"),
    ]


def test_metadata_changes_nothing() -> None:
    plan = planned([spec("a#1", metadata={"x": 2})], [job(spec("a#1", metadata={"x": 1}), State.DONE)])
    assert fates(plan) == {"a#1": (Fate.NOTHING, "done")}


def test_the_same_request_under_a_new_name_is_a_renaming_and_costs_nothing() -> None:
    plan = planned([spec("new#1")], [job(spec("old#1"), State.DONE)])
    assert [(renaming.job.name, renaming.spec.name) for renaming in plan.renamings] == [("old#1", "new#1")]
    assert fates(plan) == {"new#1": (Fate.NOTHING, "done; was called old#1")}


def test_a_second_job_with_the_same_request_is_not_taken_for_a_renaming() -> None:
    plan = planned([spec("a#1"), spec("b#1")], [job(spec("a#1"), State.DONE)])
    assert plan.renamings == ()
    assert fates(plan)["b#1"] == (Fate.SUBMIT, "new")


def test_two_new_names_share_one_old_video_only_once() -> None:
    plan = planned([spec("b#1"), spec("c#1")], [job(spec("a#1"), State.DONE)])
    assert len(plan.renamings) == 1
    assert sorted(fate for fate, _ in fates(plan).values()) == [Fate.NOTHING, Fate.SUBMIT]


def test_what_was_removed_before_it_was_sent_leaves_no_trace() -> None:
    assert fates(planned([], [job(spec("a#1"), State.PLANNED)])) == {}


def test_what_was_removed_after_it_was_paid_is_still_fetched() -> None:
    assert fates(planned([], [job(spec("a#1"), State.SUBMITTED)]))["a#1"][0] is Fate.CONTINUE
    assert fates(planned([], [job(spec("a#1"), State.PLANNED, attempt=1)]))["a#1"][0] is Fate.LEAVE


def test_selection_narrows_what_is_submitted_and_not_what_is_fetched() -> None:
    specs = [spec("a#1"), spec("b#1", "B"), spec("c#1", "C")]
    plan = planned(specs, [job(specs[2], State.SUBMITTED)], selected=frozenset({"b#1"}))
    assert [item.fate for item in plan.items] == [Fate.LEAVE, Fate.SUBMIT, Fate.CONTINUE]


def test_a_file_that_is_gone_is_fetched_again() -> None:
    plan = planned(
        [spec("a#1")], [job(spec("a#1"), State.DONE)], missing=frozenset({("a#1", spec("a#1").request_hash)})
    )
    assert plan.has_work
    assert plan.items[0].fate is Fate.CONTINUE


@pytest.mark.parametrize("state", [State.FAILED, State.EXPIRED])
def test_what_failed_and_may_be_paid_for_once_more_is_named_with_its_failure(state: State) -> None:
    specs = [spec("a#1"), spec("b#1", "B"), spec("c#1", "C")]
    failure = Failure(FailureKind.MODERATION_OUTPUT, "blocked")
    jobs = [job(one, state, failure=failure, video_id=one.name) for one in specs]
    plan = planned(specs, jobs, selected=frozenset({"a#1", "c#1"}), again=lambda job: job.name != "c#1")
    assert [item.fate for item in plan.items] == [Fate.SUBMIT, Fate.NOTHING, Fate.NOTHING]
    assert "(moderation_output): tried once more" in plan.items[0].reason
    assert plan.has_work

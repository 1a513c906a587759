"""What a run would do: named before it is done, for every way in which a manifest and a ledger can differ."""

from dataclasses import replace
from typing import Any

import pytest

from pipeline.changes import changes
from pipeline.jobs import Failure, FailureKind, Job, Spec, State
from pipeline.judging import Findings, compare
from pipeline.plan import Fate, Last, Plan, Why


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
        [spec("a#1")], [job(spec("a#1"), State.DONE)], findings=Findings(missing={("a#1", spec("a#1").request_hash)})
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


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        ({"seconds": "4"}, {"seconds": "8"}, [("seconds", "4", "8")]),
        ({"seconds": "4"}, {}, [("seconds", "4", None)]),
        ({}, {"guidance": {"scale": 1}}, [("guidance", None, {"scale": 1})]),
        (
            {"guidance": {"scale": 1, "on": True}},
            {"guidance": {"scale": 2, "on": 1}},
            [("guidance.scale", 1, 2), ("guidance.on", True, 1)],
        ),
        (
            {"input_reference": {"sha256": "a"}},
            {"input_reference": {"sha256": "b"}},
            [("input_reference", {"sha256": "a"}, {"sha256": "b"})],
        ),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, []),
    ],
)
def test_two_requests_are_compared_field_by_field(before: dict[str, Any], after: dict[str, Any], changed: Any) -> None:
    assert [(change.field, change.old, change.new) for change in changes(before, after)] == changed


def test_a_change_is_held_against_what_was_rendered_last_and_not_against_what_was_only_planned() -> None:
    jobs = [
        job(spec("a#1", "First"), State.DONE, orphaned=True),
        job(spec("a#1", "Second"), State.DONE),
        job(spec("a#1", "Never sent"), State.PLANNED),
    ]
    [item] = planned([spec("a#1", "Third")], jobs).of(Fate.SUBMIT)
    assert [(change.old, change.new) for change in item.changes] == [("Second", "Third")]
    assert (item.why, item.reason) == (Why.CHANGED, "changed: prompt")


def test_a_change_before_the_first_submission_is_told_too() -> None:
    [item] = planned([spec("a#1", "B")], [job(spec("a#1", "A"), State.PLANNED)]).items
    assert (item.why, item.reason) == (Why.CHANGED, "changed before it was submitted: prompt")


def test_a_take_that_is_added_is_no_new_shot() -> None:
    second = replace(spec("a#2"), take=2)
    plan = planned([spec("a#1"), second], [job(spec("a#1"), State.DONE)])
    assert [(item.why, item.reason) for item in plan.items] == [(Why.DONE, "done"), (Why.TAKE, "take added")]
    changed = planned(
        [spec("a#1", "B"), replace(second, request=spec("a#2", "B").request)], [job(spec("a#1"), State.DONE)]
    )
    assert [item.why for item in changed.of(Fate.SUBMIT)] == [Why.CHANGED, Why.NEW]


def test_a_take_beside_one_that_was_never_sent_is_a_new_shot() -> None:
    plan = planned([spec("a#1"), replace(spec("a#2"), take=2)], [job(spec("a#1"), State.PLANNED)])
    assert (plan.items[1].why, plan.items[1].reason) == (Why.NEW, "new")


FAILURE = Failure(FailureKind.SERVER, "no")


@pytest.mark.parametrize(
    ("last", "why", "reason"),
    [
        (Last("returned"), Why.RETURNED, "nothing was created the last time (server)"),
        (Last("reprieved"), Why.REPRIEVED, "refused with many others, hardly for its own sake (server)"),
        (
            Last("retried", "retry: server"),
            Why.RETRIED,
            "failed last time, and is tried once more (server, by retry: server)",
        ),
        (Last("retried", "ada"), Why.RESUBMITTED, "failed last time, and is tried once more (server, by ada)"),
        (Last("resubmitted", "ada"), Why.RESUBMITTED, "paid for once more (server, by ada)"),
        (Last("rejected", "ada"), Why.REJECTED, "rejected by a person: another one is rendered (server, by ada)"),
        (Last("a word of tomorrow"), Why.UNSENT, "not submitted yet (server)"),
    ],
)
def test_what_is_sent_once_more_says_what_sent_it_back(last: Last, why: Why, reason: str) -> None:
    back = job(spec("a#1"), State.PLANNED, attempt=1, failure=FAILURE)
    [item] = planned([spec("a#1")], [back], findings=Findings(last={("a#1", back.request_hash): last})).items
    assert (item.fate, item.why, item.reason) == (Fate.SUBMIT, why, reason)


def test_a_damaged_file_is_another_reason_than_a_missing_one() -> None:
    key = {("a#1", spec("a#1").request_hash)}
    [item] = planned([spec("a#1")], [job(spec("a#1"), State.DONE)], findings=Findings(missing=key, damaged=key)).items
    assert (item.fate, item.why) == (Fate.CONTINUE, Why.DAMAGED)


def test_what_is_submitted_stands_in_the_order_of_the_run() -> None:
    specs = [spec(f"{name}#1", name) for name in "abcde"]
    jobs = [
        job(specs[3], State.PLANNED),
        job(specs[1], State.PLANNED),
        job(specs[4], State.EXPIRED, video_id="v", failure=Failure(FailureKind.EXPIRED, "gone")),
    ]
    plan = planned(specs, jobs, again=lambda job: True)
    assert [item.name for item in plan.submissions] == ["e#1", "d#1", "b#1", "a#1", "c#1"]


def test_what_was_sent_before_is_sent_again_as_it_was() -> None:
    old, new = spec("a#1", metadata={"x": 1}), spec("a#1", metadata={"x": 2})
    [sent] = planned([new], [job(old, State.PLANNED, attempt=1)]).items
    [unsent] = planned([new], [job(old, State.PLANNED)]).items
    assert (sent.request, unsent.request) == (old.request, new.request)

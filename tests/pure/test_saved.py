"""A saved plan: it comes back as it was, and whatever else would be done now is named."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from pipeline import providers
from pipeline.errors import UsageError
from pipeline.jobs import Failure, FailureKind, Job, Spec, State
from pipeline.judging import Findings, compare
from pipeline.plan import Key, Last, Plan
from pipeline.profile import Price, Profile
from pipeline.saved import Saved, carried_on, differences, is_saved, saved_from, saved_jobs, terms, text_of

PROFILE = replace(providers.profile("simulator"), price=Price("USD", {"sora-2": 0.1}))
HERE = Path("plans")
TERMS = terms(PROFILE, "http://host/v1", {}, {"max_cost": None, "max_videos": None})


def spec(name: str, prompt: str = "A city", **request: object) -> Spec:
    body = {"model": "sora-2", "prompt": prompt, "size": "1280x720", "seconds": "4", **request}
    return Spec(name, 1, body, f"{name}.mp4", "m.yaml:1:1")


SPECS = [spec("a#1", "A"), spec("b#1", "B"), spec("c#1", "C")]


def planned(specs: list[Spec], jobs: list[Job] = [], **more: Any) -> Plan:  # noqa: B006  # nobody changes it
    return compare(specs, jobs, **{"selected": frozenset(spec.name for spec in specs), **more})


def saved(specs: list[Spec] = SPECS) -> Saved:
    jobs = saved_jobs(planned(specs).submissions, PROFILE)
    return Saved("m.yaml", "outputs/spring", "spring", {"vars": {}}, TERMS, jobs, HERE)


def found(
    plan: Plan, terms: Any = TERMS, profile: Profile = PROFILE, words: Mapping[Key, int] = MappingProxyType({})
) -> list[tuple[str | None, str, Any, Any]]:
    told = differences(saved(), terms, plan.items, plan.submissions, profile, words=words)
    return [(one.job, one.field, one.old, one.new) for one in told]


def job(spec: Spec, state: State, **more: Any) -> Job:
    return replace(Job.planned(spec), state=state, **{"attempt": 1, **more})


@pytest.mark.parametrize(
    "specs", [SPECS, [], [spec("ü#1", 'Quotes " and\nlines \u2028 of it', metadata={"x": [1.5, None]})]]
)
def test_a_plan_comes_back_as_it_was(specs: list[Spec]) -> None:
    text = text_of(saved(specs))
    assert is_saved(text)
    assert saved_from(text, name="p.json", folder=HERE) == saved(specs)
    assert text == text_of(saved(specs))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"prompt":"B"', '"prompt":"D"', "was changed since it was saved"),
        ('"price":0.4', '"price":0.1', "was changed since it was saved"),
        ('"name": "spring"', '"name": "winter"', "was changed since it was saved"),
        ('"callsheet-plan"', '"else"', "is no plan"),
        ('"schema_version": 1', '"schema_version": 2', "newer Callsheet"),
        ('"schema_version": 1,', "", "is no plan"),
        ("{\n", "[\n", "is no plan"),
    ],
)
def test_a_document_that_was_changed_is_refused(old: str, new: str, said: str) -> None:
    text = text_of(saved())
    assert old in text
    with pytest.raises(UsageError, match=said):
        saved_from(text.replace(old, new, 1), name="p.json", folder=HERE)


@pytest.mark.parametrize("text", ["", "null", "[]", "3", '"x"', "{}", '{"kind": "callsheet-plan"}', "[" * 100_000])
def test_what_is_no_plan_is_refused(text: str) -> None:
    assert not is_saved(text)
    with pytest.raises(UsageError, match="is no plan"):
        saved_from(text, name="p.json", folder=HERE)


def test_nothing_has_changed() -> None:
    assert found(planned(SPECS)) == []


def test_tags_and_what_is_not_sent_change_nothing() -> None:
    assert found(planned([replace(one, tags=("hero",), metadata={"a": 1}, origin="x:9:9") for one in SPECS])) == []


@pytest.mark.parametrize(
    ("specs", "told"),
    [
        ([SPECS[0], spec("b#1", "Bee"), SPECS[2]], [("b#1", "prompt", "B", "Bee")]),
        ([SPECS[0], spec("b#1", "B", metadata={"x": 1}), SPECS[2]], [("b#1", "metadata", None, {"x": 1})]),
        (
            [SPECS[0], spec("b#1", "B", seconds="8"), SPECS[2]],
            [("b#1", "seconds", "4", "8"), ("b#1", "price", 0.4, 0.8)],
        ),
        ([SPECS[0], replace(SPECS[1], output="x.mp4"), SPECS[2]], [("b#1", "output", "b#1.mp4", "x.mp4")]),
        (SPECS[:2], [("c#1", "", "submitted", "not in the manifest")]),
        ([*SPECS, spec("d#1", "D")], [("d#1", "", None, "submitted")]),
        ([SPECS[0], replace(SPECS[1], enabled=False), SPECS[2]], [("b#1", "", "submitted", "not enabled")]),
        ([SPECS[0], SPECS[2], SPECS[1]], [(None, "order", "b#1", "c#1")]),
    ],
)
def test_what_would_be_sent_otherwise_is_told_field_by_field(specs: list[Spec], told: list[object]) -> None:
    selected = frozenset(one.name for one in specs if one.enabled)
    assert found(planned(specs, selected=selected)) == told


def test_another_price_another_server_and_other_terms_are_told() -> None:
    dear = replace(PROFILE, price=Price("USD", {"sora-2": 0.2}))
    assert found(planned(SPECS), profile=dear) == [(name, "price", 0.4, 0.8) for name in ("a#1", "b#1", "c#1")]
    other = terms(
        replace(PROFILE, request=replace(PROFILE.request, encoding="form")),
        "http://other/v1",
        {"on": ["server"]},
        {"max_cost": 5, "max_videos": None},
    )
    assert found(planned(SPECS), other) == [
        (None, "address", "http://host/v1", "http://other/v1"),
        (None, "budget.max_cost", None, 5),
        (None, "retry.on", None, ["server"]),
        (None, "encoding", "json", "form"),
    ]


FAILURE = Failure(FailureKind.SERVER, "no")


@pytest.mark.parametrize(
    ("state", "more", "said"),
    [
        (State.DONE, {"video_id": "v"}, "1 done"),
        (State.SUBMITTED, {"video_id": "v"}, "1 rendering"),
        (State.IN_DOUBT, {}, "1 doubt"),
        (State.FAILED, {"failure": FAILURE}, "1 failed"),
        (State.PLANNED, {"attempt": 0}, None),
    ],
)
def test_what_the_ledger_has_carried_on_is_fine_and_said(state: State, more: Any, said: str | None) -> None:
    plan = planned(SPECS, [job(SPECS[1], state, **more)])
    told = carried_on(saved(), plan.items)
    assert told == (said and f"Carried on since the plan was saved: {said}.")
    # What the ledger has is submitted before what is new.
    assert found(plan) == ([(None, "order", "a#1", "b#1")] if state is State.PLANNED else [])


@pytest.mark.parametrize(("words", "fine"), [(0, True), (1, False), (2, False)])
@pytest.mark.parametrize(
    "last", [Last("rejected", "ada"), Last("returned"), Last("reprieved"), Last("retried", "retry: server")]
)
def test_what_a_person_sent_back_since_is_no_part_of_the_plan(last: Last, words: int, fine: bool) -> None:
    """Whatever happened to it after the word."""
    again = job(SPECS[0], State.PLANNED, approvals=2, failure=FAILURE)
    key = (again.name, again.request_hash)
    told = found(planned(SPECS, [again], findings=Findings(last={key: last})), words={key: words} if words else {})
    assert ([one[0] for one in told] == []) is fine, told

"""Which failures are paid for once more: those that the manifest names, and those that nobody bills, so often."""

import json
from dataclasses import replace
from typing import Any

import anyio
import pytest
from world import World, answers, spec

from pipeline.breakers import Stop
from pipeline.events import Event, Intended
from pipeline.jobs import FailureKind, Job, State
from pipeline.ledger import reading
from pipeline.profile import Price

BLOCKED = {"code": "moderation_blocked", "message": "The video was blocked by our moderation system."}
BROKEN = {"code": "server_error", "message": "An internal error."}
JOBS = [spec(1), spec(2)]


def failed(error: dict[str, str]) -> bytes:
    return json.dumps({"id": "v", "object": "video", "status": "failed", "error": error}).encode()


async def test_without_a_word_what_failed_stays_failed(world: World) -> None:
    world.fault("GET", "", answers(200, failed(BROKEN)))
    await world.run(JOBS)
    assert sorted(job.state for job in world.jobs().values()) == [State.DONE, State.FAILED]
    assert len(world.bill()) == 2


async def test_what_the_manifest_names_is_paid_for_once_more_and_what_it_does_not_name_is_not(world: World) -> None:
    world.fault("GET", "", answers(200, failed(BLOCKED)), answers(200, failed(BROKEN)))
    await world.run(JOBS, retry={"on": ["moderation_output"]})
    states = {job.failure.kind if job.failure else None: job for job in world.jobs().values()}
    assert states[FailureKind.SERVER].state is State.FAILED
    again = states[None]
    assert (again.state, again.approvals, again.attempt) == (State.DONE, 1, 2)
    assert len(world.bill()) == 3
    assert [kind for kind in world.events(again.name) if kind in {"accepted", "failed", "retried"}] == [
        *("accepted", "failed", "retried", "accepted")
    ]


@pytest.mark.parametrize("most", [1, 2, 4])
async def test_no_video_is_paid_for_more_often_than_it_may_be(world: World, most: int) -> None:
    world.fault("GET", "", *[answers(200, failed(BLOCKED))] * 20)
    await world.run(JOBS[:1], retry={"on": ["moderation_output"], "max_attempts": most})
    assert world.states() == {State.FAILED}
    assert len(world.bill()) == most
    await world.run(JOBS[:1], retry={"on": ["moderation_output"], "max_attempts": most})
    assert len(world.bill()) == most, "and neither by another run"


async def test_a_word_that_is_given_later_counts_for_what_failed_before(world: World) -> None:
    world.fault("GET", "", answers(200, failed(BLOCKED)), answers(200, failed(BLOCKED)))
    await world.run(JOBS)
    assert world.states() == {State.FAILED}
    await world.run(JOBS, selected=lambda job: job.name == "shot-1#1", retry={"on": ["moderation_output"]})
    assert {job.name: job.state for job in world.jobs().values()} == {"shot-1#1": State.DONE, "shot-2#1": State.FAILED}
    assert len(world.bill()) == 3


async def test_what_is_not_billed_is_sent_again_without_a_word_and_is_free(world: World) -> None:
    world.profile = replace(
        world.profile, unbilled=frozenset({FailureKind.SERVER}), price=Price("USD", {"sora-2": 0.1})
    )
    world.fault("GET", "", answers(200, failed(BROKEN)))
    await world.run(JOBS[:1], max_cost=0.5)
    [job] = world.jobs().values()
    assert (job.state, job.sunk, job.price) == (State.DONE, 0.0, pytest.approx(0.4))


async def test_a_new_attempt_that_the_budget_does_not_hold_is_not_made(world: World) -> None:
    world.profile = replace(world.profile, price=Price("USD", {"sora-2": 0.1}))
    world.fault("GET", "", answers(200, failed(BLOCKED)))
    signals = await world.run(JOBS[:1], max_cost=0.5, retry={"on": ["moderation_output"]})
    assert signals.stop is Stop.BUDGET
    assert len(world.bill()) == 1


async def test_a_video_that_stays_garbage_is_rendered_again_where_the_manifest_says_so(world: World) -> None:
    world.fault("GET", "/content", *[answers(200, b"no video at all")] * 200)
    await world.run(JOBS[:1], retry={"on": ["bad_output"], "max_attempts": 2})
    [job] = world.jobs().values()
    assert (job.state, job.approvals) == (State.COMPLETED, 1)
    assert len(world.bill()) == 2
    [_, again] = [at for at, method, _ in world.seen if method == "POST"]
    fetched = [at for at, _, path in world.seen if path.endswith("/content") and at < again]
    assert fetched[-1] - fetched[0] > 890, "for a quarter of an hour it may be somebody else's page"


async def test_a_page_that_stands_before_the_video_for_minutes_pays_for_nothing(world: World) -> None:
    page = answers(200, b"<html>We are back in a minute</html>")
    world.fault("GET", "/content", *[page] * 8)
    await world.run(JOBS[:1], retry={"on": ["bad_output"]})
    assert world.states() == {State.DONE}
    assert len(world.bill()) == 1


@pytest.mark.parametrize("word", ["expired", "lost"])
async def test_a_video_that_is_gone_is_rendered_again_where_the_manifest_says_so(world: World, word: str) -> None:
    faults = [answers(410)] if word == "expired" else [answers(404)] * 600  # a quarter of an hour, and then some
    world.fault("GET", "/content" if word == "expired" else "", *faults)
    await world.run(JOBS[:1], retry={"on": [word]})
    assert world.states() == {State.DONE}
    assert len(world.bill()) == 2


async def test_what_is_fetched_again_and_then_rendered_again_is_started_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the last pages of planned jobs are read, most of them are planned again themselves."""
    monkeypatch.setattr(reading, "_PAGE", 2)
    new, old, late = [spec(number) for number in range(6)], [spec(number) for number in range(6, 18)], anyio.Event()
    await world.run([*new, *old], selected=lambda job: int(job.name[5:-2]) > 5)
    for path in (world.folder / "videos").glob("*.mp4"):
        path.unlink()

    async def gone(*request: Any) -> None:
        await late.wait()
        await answers(410)(*request)

    def observe(before: Job, event: Event, after: Job) -> None:
        if isinstance(event, Intended) and after.name == new[4].name:
            late.set()

    world.fault("GET", "/content", *[gone] * len(old))
    await world.run([*new, *old], max_in_flight=1, downloads=20, retry={"on": ["expired"]}, observe=observe)
    assert world.states() == {State.DONE}
    assert len(world.bill()) == len(new) + 2 * len(old)


async def test_jobs_that_are_tried_again_keep_to_the_slots(world: World) -> None:
    doomed = [spec(number, metadata={"simulator": {"fail": "moderation_blocked"}}) for number in range(12)]
    await world.run(doomed, max_in_flight=2, retry={"on": ["moderation_output"], "max_attempts": 2})
    assert world.states() == {State.FAILED}
    assert len(world.bill()) == 24
    assert world.most_at_once() <= 2


async def test_what_is_not_selected_any_more_fails_and_is_left(world: World) -> None:
    world.fault("GET", "", *[answers(200, failed(BLOCKED))] * 4)
    await world.run(JOBS, until=0.5)
    assert world.states() == {State.SUBMITTED}
    await world.run(JOBS, selected=lambda job: job.name == "shot-1#1", retry={"on": ["moderation_output"]})
    left = world.jobs()["shot-2#1"]
    assert (left.state, left.approvals) == (State.FAILED, 0)

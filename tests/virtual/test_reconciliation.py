"""Doubts and the server's list: what is found there is fetched, what is not is held, and nothing is paid twice."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import anyio
import httpx
import pytest
from world import App, Fault, Message, World, answers, breaks, carries_out_later, does_and_then, spec, waits

from pipeline import listing
from pipeline.breakers import Stop
from pipeline.jobs import State, canonical_json
from pipeline.profile import Abilities

FAST = {"requests_per_minute": 6000, "polls_per_second": 100}
LOST = does_and_then(breaks(httpx.ReadError("cut")))
NEVER = answers(502, b"<html>")


def states(world: World) -> Counter[State]:
    return Counter(job.state for job in world.jobs().values())


async def test_a_video_without_an_answer_is_found_in_the_list_and_fetched(world_with_list: World) -> None:
    world = world_with_list
    world.fault("POST", "/videos", LOST, LOST)
    await world.run([spec(number) for number in range(4)], **FAST)
    assert states(world) == {State.DONE: 4}
    assert len(world.bill()) == world.count("POST") == 4
    stories = [world.events(name)[:3] for name in world.jobs()]
    assert stories.count(["intended", "doubted", "adopted"]) == 2


async def test_takes_of_one_request_get_a_video_each(world_with_list: World) -> None:
    world = world_with_list
    takes = [replace(spec(1, "The same"), name=f"shot#{take}", take=take, output=f"{take}.mp4") for take in (1, 2, 3)]
    world.fault("POST", "/videos", LOST, LOST, LOST)
    await world.run(takes, **FAST)
    await world.run(takes, **FAST)
    assert states(world) == {State.DONE: 3}
    assert len({job.video_id for job in world.jobs().values()}) == len(world.bill()) == 3


async def test_what_two_lists_do_not_show_is_held_when_it_has_settled_and_never_sent_again(
    world_with_list: World,
) -> None:
    world = world_with_list
    world.fault("POST", "/videos", NEVER)
    began = anyio.current_time()
    await world.run([spec(1)])
    assert states(world) == {State.HELD: 1}
    assert anyio.current_time() - began >= 900
    assert "probably never created" in world.jobs()["shot-1#1"].failure.message
    assert world.count("POST") == 1


async def test_by_a_persons_word_it_is_paid_for_once_more(world_with_list: World) -> None:
    world = world_with_list
    world.fault("POST", "/videos", NEVER)
    began = anyio.current_time()
    await world.run([spec(1)], resubmit_absent=True)
    assert anyio.current_time() - began >= 900, "not before it has settled"
    assert states(world) == {State.DONE: 1}
    assert (len(world.bill()), world.jobs()["shot-1#1"].approvals) == (1, 1)
    assert "resubmitted" in world.events("shot-1#1")


async def test_when_a_key_is_too_old_the_list_is_looked_at(world: World) -> None:
    world.profile = replace(world.profile, abilities=Abilities(list=True, idempotency=True))
    world.fault("POST", "/videos", *[LOST] * 30)
    await world.run([spec(1)], **FAST)
    assert (states(world), world.count("GET")) == ({State.IN_DOUBT: 1}, 0)
    await anyio.sleep(13 * 3600)
    await world.run([spec(1)], **FAST)
    assert (states(world), len(world.bill())) == ({State.DONE: 1}, 1)


async def test_a_server_that_never_answers_is_not_paid_again_for_ever(world_with_list: World) -> None:
    world = world_with_list
    world.fault("POST", "/videos", *[NEVER] * 100)
    signals = await world.run([spec(1)], resubmit_absent=True)
    assert (signals.stop, world.count("POST")) == (Stop.DOUBT, 3)
    assert states(world) == {State.PLANNED: 1}, "and the last one was watched to its end too"


@pytest.mark.parametrize("attempts_before", [0, 1])
async def test_a_job_that_is_created_late_is_found_while_it_settles(
    world_with_list: World, attempts_before: int
) -> None:
    world = world_with_list
    async with anyio.create_task_group() as group:
        late = carries_out_later(world, group, 600, breaks(httpx.ReadError("cut")))
        world.fault("POST", "/videos", *[NEVER] * attempts_before, late)
        await world.run([spec(1)], resubmit_absent=True)
    assert states(world) == {State.DONE: 1}
    assert len(world.bill()) == 1


async def test_a_held_job_that_shows_up_later_is_adopted_by_the_next_run(world_with_list: World) -> None:
    world = world_with_list
    world.fault("POST", "/videos", LOST)
    world.faults.append((_lists, [answers(200, b'{"data": [], "has_more": false}')] * 100))
    await world.run([spec(1)])
    assert states(world) == {State.HELD: 1}
    world.faults.clear()
    await world.run([spec(1)])
    assert states(world) == {State.DONE: 1}
    assert len(world.bill()) == 1


def _lists(method: str, path: str) -> bool:
    return method == "GET" and path.endswith("/videos")


def page(*ids: str, has_more: bool) -> Fault:
    items = [{"id": name, "object": "video", "status": "queued", "created_at": 1_900_000_000} for name in ids]
    return answers(200, json.dumps({"data": items, "has_more": has_more}).encode())


@pytest.mark.parametrize(
    "pages",
    [
        lambda: [page("a", has_more=True)] * 10_000,
        lambda: [page(f"id-{number}", has_more=True) for number in range(10_000)],
        lambda: [answers(500)] * 10_000,
        lambda: [answers(200, b'{"data": 3}')] * 10_000,
    ],
    ids=["in a circle", "without end", "an error", "no list"],
)
async def test_a_list_that_is_not_whole_proves_nothing(
    world_with_list: World, pages: Callable[[], list[Fault]], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_with_list
    monkeypatch.setattr(listing, "MOST_PAGES", 20)
    world.fault("POST", "/videos", LOST)
    world.faults.append((_lists, pages()))
    await world.run([spec(1)], resubmit_absent=True, **FAST)
    assert states(world) == {State.IN_DOUBT: 1}
    assert world.count("POST") == 1


async def test_a_list_of_many_pages_is_read_to_its_end(world_with_list: World) -> None:
    world = world_with_list

    async def others_come_after(app: App, scope: Message, receive: object, send: object) -> None:
        for number in range(250):
            world.service.create(canonical_json(spec(number, "Somebody else's").request).encode(), None)
        raise httpx.ReadError("cut")

    world.fault("POST", "/videos", does_and_then(others_come_after))
    await world.run([spec(1)], **FAST)
    assert states(world) == {State.DONE: 1}
    assert sum(method == "GET" and path.endswith("/videos") for _, method, path in world.seen) == 3


async def test_a_list_that_shows_no_prompts_leaves_it_to_a_person(world_with_list: World) -> None:
    world = world_with_list
    world.fault("POST", "/videos", LOST)
    item = {"id": "v", "object": "video", "status": "queued", "created_at": 1_800_000_001}
    body = json.dumps({"data": [item], "has_more": False}).encode()
    world.faults.append((_lists, [answers(200, body)] * 100))
    await world.run([spec(1)])
    assert states(world) == {State.HELD: 1}
    assert "does not tell its jobs apart" in world.jobs()["shot-1#1"].failure.message


async def test_doubts_that_are_resolved_do_not_end_the_spending_and_open_ones_do(world_with_list: World) -> None:
    world = world_with_list
    world.fault("POST", "/videos", *[LOST] * 10)
    signals = await world.run([spec(number) for number in range(10)], requests_per_minute=30)
    assert (signals.stop, states(world)) == (None, {State.DONE: 10})
    world.fault("POST", "/videos", *[NEVER] * 10)
    signals = await world.run([spec(number) for number in range(20)], requests_per_minute=30)
    assert signals.stop is Stop.DOUBT
    assert states(world)[State.HELD] == 3
    assert len(world.bill()) == 10


async def test_where_the_server_echoes_it_our_reference_is_sent_and_recognised(world_with_list: World) -> None:
    world = world_with_list
    world.profile = replace(world.profile, abilities=Abilities(list=True, echo=True))
    world.fault("POST", "/videos", LOST)
    job = spec(1, metadata={"client": "acme"})
    await world.run([job], **FAST)
    assert states(world) == {State.DONE: 1}
    sent = json.loads(world.bill()[0].request)["metadata"]
    assert sent == {"client": "acme", "callsheet_ref": world.jobs()["shot-1#1"].idempotency_key}


async def test_a_key_is_not_believed_for_longer_than_the_server_keeps_it(world: World) -> None:
    world.profile = replace(world.profile, abilities=Abilities(idempotency=True))
    world.fault("POST", "/videos", *[NEVER] * 4)
    await world.run([spec(1)])
    assert states(world) == {State.IN_DOUBT: 1}
    count = world.count("POST")
    await anyio.sleep(13 * 3600)
    await world.run([spec(1)])
    assert states(world) == {State.HELD: 1}
    assert world.count("POST") == count


async def test_of_equal_jobs_the_one_that_was_sent_first_gets_the_video(world_with_list: World) -> None:
    world = world_with_list
    takes = [replace(spec(1, "The same"), name=f"shot#{take}", take=take, output=f"{take}.mp4") for take in (1, 2)]
    world.fault("POST", "/videos", NEVER, LOST)
    await world.run(takes, requests_per_minute=1)
    jobs = sorted(world.jobs().values(), key=lambda job: job.intended_at or 0)
    assert [job.state for job in jobs] == [State.DONE, State.HELD]
    assert len(world.bill()) == 1


async def test_a_list_that_was_long_on_its_way_is_no_proof_of_absence(world_with_list: World) -> None:
    world = world_with_list
    world.fault("POST", "/videos", NEVER)
    world.faults.append((_lists, [waits(61)] * 100))
    await world.run([spec(1)], resubmit_absent=True)
    assert states(world) == {State.IN_DOUBT: 1}
    assert world.count("POST") == 1


async def test_a_clock_that_jumps_does_not_make_a_job_absent_any_sooner(world_with_list: World) -> None:
    world = world_with_list
    world.fault("POST", "/videos", NEVER)
    await world.run([spec(1)], until=30)
    world.clock_error = 7200.0
    began = anyio.current_time()
    await world.run([spec(1)], resubmit_absent=True)
    assert anyio.current_time() - began >= 900

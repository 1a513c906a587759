"""A run from end to end, in virtual time: what it leaves, what it asks, and what it never asks."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from random import Random

import anyio
import httpx
import pytest
from world import EPOCH, World, after_waiting, answers, breaks, does_and_then, spec, waits

from pipeline import runner
from pipeline.blocking import T
from pipeline.breakers import Stop
from pipeline.errors import LedgerError
from pipeline.events import Completed, Event
from pipeline.jobs import FailureKind, Job, State
from pipeline.mp4 import Mp4, inspect
from pipeline.profile import Abilities, Content, PollPace

TWENTY = [spec(number) for number in range(20)]
FAST = {"requests_per_minute": 6000, "polls_per_second": 100}


def posts(world: World) -> list[float]:
    return [when for when, method, _ in world.seen if method == "POST"]


def assert_whole(world: World, count: int) -> None:
    """Every job is done with a whole file as recorded, was paid once, and nothing else lies about."""
    jobs = world.jobs()
    assert Counter(job.state for job in jobs.values()) == {State.DONE: count}
    for job in jobs.values():
        assert job.path is not None
        with (world.folder / job.path).open("rb") as file:
            assert isinstance(inspect(file), Mp4)
    assert len(world.bill()) == count
    assert not list(world.folder.rglob("*.part"))


async def test_every_job_is_paid_once_and_ends_in_a_whole_file(world: World) -> None:
    await world.run(TWENTY)
    assert_whole(world, 20)
    assert world.events("shot-3#1")[:2] == ["intended", "accepted"]
    assert world.events("shot-3#1")[-3:] == ["completed", "verified", "published"]


async def test_a_finished_campaign_run_again_makes_no_request(world: World) -> None:
    await world.run(TWENTY)
    world.seen.clear()
    await world.run(TWENTY)
    assert world.seen == []


async def test_posts_keep_to_the_rate_and_jobs_to_the_places(world: World) -> None:
    await world.run(TWENTY, requests_per_minute=30, max_in_flight=3, polls_per_second=1)
    times = posts(world)
    assert all(after - before >= 2 - 1e-6 for before, after in pairwise(times))
    polls = sorted(when for when, method, path in world.seen if method == "GET" and not path.endswith("content"))
    assert all(after - before >= 1 - 1e-6 for before, after in pairwise(polls))
    assert_whole(world, 20)


async def test_no_more_jobs_are_at_the_server_than_it_has_places(world: World) -> None:
    await world.run(TWENTY, max_in_flight=3, **FAST)
    assert world.most_at_once() == 3
    assert_whole(world, 20)


async def test_a_rate_limit_pauses_everybody_for_as_long_as_the_server_asks(world: World) -> None:
    world.fault("POST", "/videos", *[waits(0)] * 5, answers(429, b'{"error": {"message": "slow"}}', retry_after="600"))
    await world.run(TWENTY, requests_per_minute=60)
    times = posts(world)
    assert times[6] - times[5] >= 600
    assert 14 < times[-1] - times[6] < 40, "and then goes on at half the speed"
    assert_whole(world, 20)


@pytest.mark.parametrize(
    "fault",
    [
        answers(500, b'{"error": {"message": "oops"}}'),
        answers(502, b"<html>"),
        answers(200, b"<html>"),
        breaks(httpx.ReadTimeout("late")),
        breaks(httpx.RemoteProtocolError("cut")),
    ],
)
async def test_what_was_billed_without_an_answer_is_found_by_its_key_and_not_paid_again(world: World, fault) -> None:
    world.fault("POST", "/videos", *[does_and_then(fault)] * 12)
    await world.run(TWENTY)
    assert_whole(world, 20)


async def test_asking_again_and_again_gives_every_place_back(world: World) -> None:
    world.fault("POST", "/videos", *[does_and_then(answers(502, b""))] * 12)
    with anyio.fail_after(3600):
        await world.run(TWENTY[:4])
    assert_whole(world, 4)


@pytest.mark.parametrize("fault", [answers(500, b"{}"), does_and_then(breaks(httpx.ReadError("cut")))])
async def test_without_such_a_promise_doubts_are_held_and_end_the_spending(world_without_keys: World, fault) -> None:
    world = world_without_keys
    world.fault("POST", "/videos", *[after_waiting(60, fault)] * 1000)
    signals = await world.run(TWENTY)
    assert signals.stop is Stop.DOUBT
    held = [job.name for job in world.jobs().values() if job.state is State.HELD]
    assert 3 <= len(held) <= 6, "three, and those that were under way with the third"
    assert len(posts(world)) == len(held)
    world.faults.clear()
    await world.run(TWENTY)
    assert len(posts(world)) == 20, "the next run submits the others, and never a held one"
    assert Counter(job.state for job in world.jobs().values()) == {State.HELD: len(held), State.DONE: 20 - len(held)}


async def test_a_refusal_of_one_job_fails_that_job_only(world: World) -> None:
    world.fault("POST", "/videos", answers(400, b'{"error": {"message": "bad words", "code": "moderation_blocked"}}'))
    await world.run(TWENTY)
    jobs = world.jobs()
    assert Counter(job.state for job in jobs.values()) == {State.FAILED: 1, State.DONE: 19}
    assert [job.failure.message for job in jobs.values() if job.failure] == ["bad words"]


@pytest.mark.parametrize(
    ("status", "body", "stop"),
    [
        (401, {"error": {"message": "bad key"}}, Stop.AUTH),
        (429, {"error": {"code": "insufficient_quota"}}, Stop.QUOTA),
        (402, {}, Stop.QUOTA),
        (404, {}, Stop.CONFIG),
        (405, {}, Stop.CONFIG),
    ],
)
async def test_a_no_to_everybody_stops_the_spending_and_harms_no_job(
    world: World, status: int, body: object, stop: Stop
) -> None:
    refusal = after_waiting(60, answers(status, json.dumps(body).encode()))
    world.fault("POST", "/videos", *[waits(0)] * 5, *[refusal] * 100)
    signals = await world.run(TWENTY, max_in_flight=20)
    assert signals.stop is stop
    assert len(posts(world)) <= 5 + 4, "those in flight with the first no"
    states = Counter(job.state for job in world.jobs().values())
    assert states == {State.DONE: 5, State.PLANNED: 15}, "what was paid is fetched"
    world.faults.clear()
    await world.run(TWENTY)
    assert_whole(world, 20)


async def test_a_key_that_polls_do_not_pass_with_ends_the_run_and_changes_no_job(world: World) -> None:
    await world.run(TWENTY[:3], until=2)
    before = world.states()
    world.faults.append((lambda method, path: method == "GET", [answers(401, b"{}")] * 100))
    signals = await world.run(TWENTY[:3])
    assert signals.stop is Stop.AUTH
    assert world.states() == before


async def test_a_server_that_cannot_be_reached_is_given_some_seconds(world: World) -> None:
    world.fault("POST", "/videos", *[breaks(httpx.ConnectError("refused"))] * 1000)
    began = anyio.current_time()
    signals = await world.run(TWENTY)
    assert signals.stop is Stop.UNREACHABLE
    assert 10 <= anyio.current_time() - began <= 40
    assert world.states() == {State.PLANNED}


async def test_an_outage_of_some_minutes_costs_some_minutes_and_nothing_else(world: World) -> None:
    world.faults.append(
        (lambda method, path: 20 < anyio.current_time() - began < 300, [breaks(httpx.ConnectError("down"))] * 10_000)
    )
    began = anyio.current_time()
    await world.run(TWENTY, requests_per_minute=30)
    assert_whole(world, 20)


async def test_polls_that_fail_fail_no_job(world: World) -> None:
    silent = [answers(500), answers(502, b"<html>"), breaks(httpx.ReadTimeout("late"))]
    world.fault("GET", "", *[*silent, answers(404)] * 2, *silent * 4)  # a server with three 404s forgets its jobs
    await world.run(TWENTY)
    assert_whole(world, 20)


async def test_a_job_that_a_gateway_hides_behind_an_error_is_stuck_and_the_others_go_on(world: World) -> None:
    world.profile = replace(world.profile, poll=PollPace(first=60, interval=60, slowest=300))
    slow = b'{"id": "slow", "status": "in_progress"}'
    hidden = b'{"error": {"message": "1 validation error for VideoObject", "code": "500"}}'
    world.fault(
        "POST",
        "/videos",
        does_and_then(answers(200, b'{"id": "hidden"}')),
        does_and_then(answers(200, slow)),
    )
    world.fault("GET", "/hidden", *[answers(500, hidden)] * 10_000)
    world.fault("GET", "/slow", *[answers(200, slow)] * 10_000)
    with anyio.fail_after(9 * 3600):
        await world.run(TWENTY[:3], requests_per_minute=0.2)
    jobs = {job.video_id: job for job in world.jobs().values()}
    assert jobs["hidden"].state is jobs["slow"].state is State.STUCK
    assert jobs["hidden"].failure is not None
    assert "no usable answer about it for 6 hours: 1 validation error" in jobs["hidden"].failure.message
    assert Counter(job.state for job in jobs.values())[State.DONE] == 1


async def test_a_code_that_the_profile_calls_expired_is_believed_of_a_poll(world: World) -> None:
    world.profile = replace(world.profile, codes={"swept": FailureKind.EXPIRED})
    world.fault("POST", "/videos", does_and_then(answers(200, b'{"id": "v"}')))
    world.fault("GET", "/v", *[answers(404, b'{"error": {"message": "swept away", "code": "swept"}}')] * 9)
    await world.run(TWENTY[:1])
    (job,) = world.jobs().values()
    assert job.state is State.EXPIRED
    assert world.count("GET", "/v") == 1


@pytest.mark.parametrize("status", [400, 422])
async def test_a_verdict_that_comes_as_an_error_to_a_poll_fails_the_job(world: World, status: int) -> None:
    world.fault("POST", "/videos", does_and_then(answers(200, b'{"id": "v"}')))
    world.fault("GET", "/v", answers(status, b'{"error": {"message": "unsafe", "code": "moderation_blocked"}}'))
    await world.run(TWENTY[:1])
    (job,) = world.jobs().values()
    assert job.state is State.FAILED
    assert job.failure is not None
    assert (job.failure.kind, job.failure.message) == ("moderation_output", "unsafe")
    assert world.count("POST") == 1


async def test_a_page_of_a_proxy_that_speaks_of_policies_fails_no_job(world: World) -> None:
    world.fault("GET", "", *[answers(403, b"<html>Blocked by our content policy</html>")] * 3)
    await world.run(TWENTY[:1])
    assert world.states() == {State.SUBMITTED}
    await world.run(TWENTY[:1])
    await world.run(TWENTY[:1])
    await world.run(TWENTY[:1])
    assert_whole(world, 1)


async def test_a_video_that_the_server_cannot_make_fails_with_its_words(world: World) -> None:
    doomed = spec(99, metadata={"simulator": {"fail": "moderation_blocked"}})
    await world.run([*TWENTY[:2], doomed])
    job = world.jobs()["shot-99#1"]
    assert job.state is State.FAILED
    assert job.failure is not None
    assert (job.failure.kind, job.failure.code) == ("moderation_output", "moderation_blocked")
    world.seen.clear()
    await world.run([*TWENTY[:2], doomed])
    assert world.seen == [], "and is not tried again by itself"


@pytest.mark.parametrize(
    "fault",
    [
        answers(404, b'{"error": {"message": "Video is not ready yet"}}'),
        answers(200, b'{"error": {"message": "expired"}}', content_type="video/mp4"),
        answers(200, b"<html>cached</html>"),
        answers(500),
        breaks(httpx.ReadError("cut")),
    ],
)
async def test_content_that_is_none_is_asked_for_again(world: World, fault) -> None:
    world.fault("GET", "/content", fault, fault)
    await world.run(TWENTY[:2])
    assert_whole(world, 2)


NOT_READY = b'{"error": {"message": "Video is not ready yet.", "type": "invalid_request_error"}}'
LIMITED = b'{"error": {"message": "Too many requests", "code": "rate_limit_exceeded"}}'


@pytest.mark.parametrize("error", [NOT_READY, LIMITED])
async def test_an_error_that_comes_as_a_video_is_waited_out(world: World, error: bytes) -> None:
    world.fault("GET", "/content", *[answers(200, error, content_type="video/mp4")] * 6)
    await world.run(TWENTY[:1])
    assert_whole(world, 1)


async def test_an_error_that_comes_as_a_video_and_says_expired_is_believed(world: World) -> None:
    world.fault("GET", "/content", answers(200, b'{"error": {"message": "Video content has expired."}}'))
    await world.run(TWENTY[:1])
    assert world.states() == {State.EXPIRED}


async def test_content_that_stays_garbage_is_left_for_the_next_run_and_not_paid_again(world: World) -> None:
    world.fault("GET", "/content", *[answers(200, b"<html>cached</html>")] * 3)
    await world.run(TWENTY[:1])
    assert world.states() == {State.COMPLETED}
    await world.run(TWENTY[:1])
    assert_whole(world, 1)


async def test_content_that_is_gone_for_good_is_an_expired_video(world: World) -> None:
    world.fault("GET", "/content", answers(410))
    await world.run(TWENTY[:1])
    assert world.states() == {State.EXPIRED}


async def test_a_request_is_not_repeated_with_another_key(world: World) -> None:
    world.profile = replace(world.profile, abilities=Abilities(idempotency=True))
    world.fault("POST", "/videos", *[does_and_then(breaks(httpx.ReadError("cut")))] * 30)
    await world.run(TWENTY[:1])
    posts = world.count("POST")
    assert (world.states(), posts > 1) == ({State.IN_DOUBT}, True)
    await world.run(TWENTY[:1], key="another")
    assert (world.states(), world.count("POST")) == ({State.HELD}, posts)


async def test_content_that_is_away_for_long_is_lost_and_fetched_when_it_is_back(world: World) -> None:
    world.fault("GET", "/content", *[answers(404)] * 60)
    await world.run(TWENTY[:1])
    assert world.states() == {State.LOST}
    assert "has no video" in world.jobs()["shot-0#1"].failure.message
    world.faults.clear()
    await world.run(TWENTY[:1])
    assert_whole(world, 1)


@pytest.mark.parametrize(
    "location", ["https://xn--a/v", "https://127.0.0.1:99999/v", "https://a..b/v", "https://[::1%25eth0]/v", "//"]
)
async def test_a_location_that_is_none_harms_no_run(world: World, location: str) -> None:
    world.fault("GET", "/content", answers(302, b"", location=location))
    world.fault("POST", "/videos", does_and_then(answers(302, b"", location=location)))
    await world.run(TWENTY[:2])
    assert world.states() == {State.DONE}
    assert len(world.bill()) == 2


async def test_an_id_that_another_job_has_is_a_doubt_and_no_payment_is_forgotten(world_without_keys: World) -> None:
    world = world_without_keys
    await world.run(TWENTY[:1])
    taken = world.jobs()["shot-0#1"].video_id
    world.fault("POST", "/videos", does_and_then(answers(200, json.dumps({"id": taken, "status": "queued"}).encode())))
    await world.run(TWENTY[:2])
    assert world.jobs()["shot-1#1"].state is State.HELD
    assert world.events("shot-1#1") == ["intended", "doubted", "held"]


@pytest.mark.parametrize("seed", range(40))
async def test_a_run_that_is_stopped_at_any_instant_is_finished_by_the_next_ones(world: World, seed: int) -> None:
    rng = Random(seed)
    world.fault("POST", "/videos", *[waits(rng.uniform(0, 3)) for _ in range(100)])
    for _ in range(rng.randrange(1, 6)):
        await world.run(TWENTY, until=rng.uniform(0, 8), **FAST)
        assert State.SUBMITTING not in world.states(), "a POST in flight is recorded before the run ends"
    await world.run(TWENTY, **FAST)
    assert_whole(world, 20)
    assert len(posts(world)) == 20


async def test_hundreds_of_jobs_in_flight_are_polled_at_the_rate_after_a_restart(world: World) -> None:
    many = [spec(number) for number in range(300)]
    await world.run(many, until=7, requests_per_minute=60_000, max_in_flight=300)
    assert len(world.bill()) == 300
    world.seen.clear()
    began = anyio.current_time()
    await world.run(many, polls_per_second=5, max_in_flight=300)
    polls = [when - began for when, method, path in world.seen if method == "GET" and not path.endswith("content")]
    assert max(Counter(int(when) for when in polls).values()) <= 6
    assert_whole(world, 300)


async def test_a_clock_that_was_set_back_between_two_runs_delays_nothing(world: World) -> None:
    await world.run(TWENTY, until=2, **FAST)
    world.clock_error = -3600.0
    began = anyio.current_time()
    await world.run(TWENTY, **FAST)
    assert anyio.current_time() - began < 30
    assert_whole(world, 20)


async def test_a_file_that_was_deleted_is_fetched_again_and_not_paid_again(world: World) -> None:
    await world.run(TWENTY[:2])
    (world.folder / "videos/shot-1-t1.mp4").unlink()
    await world.run(TWENTY[:2])
    assert_whole(world, 2)
    assert world.count("POST") == 2


async def test_all_that_was_deleted_is_fetched_again_however_much_it_is(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_LOOKED_FOR_AT_ONCE", 3)
    await world.run(TWENTY, **FAST)
    for path in (world.folder / "videos").glob("*[1-9]-t1.mp4"):
        path.unlink()
    await world.run([*TWENTY, spec(20)], **FAST)
    assert_whole(world, 21)
    assert world.count("POST") == 21
    assert world.count("GET", "/content") == 20 + 18 + 1


async def test_nothing_waits_until_all_finished_videos_were_looked_for(world: World) -> None:
    async def slowly(call: Callable[[], T]) -> T:
        await anyio.sleep(100)
        return call()

    await world.run(TWENTY[:2], **FAST)
    begun = anyio.current_time()
    await world.run(TWENTY, until=50, blocking=slowly, **FAST)
    assert [at - begun < 50 for at, method, _ in world.seen if method == "POST"][2:] == [True] * 18


async def test_what_was_removed_from_the_manifest_is_still_fetched_when_it_was_paid(world: World) -> None:
    await world.run(TWENTY[:2], until=2)
    await world.run(TWENTY[1:2])
    jobs = world.jobs()
    assert {job.state for job in jobs.values()} == {State.DONE}
    assert jobs["shot-0#1"].orphaned


async def test_only_what_was_selected_is_submitted(world: World) -> None:
    await world.run(TWENTY, selected=lambda job: job.name in {"shot-3#1", "shot-5#1"})
    done = {job.name for job in world.jobs().values() if job.state is State.DONE}
    assert done == {"shot-3#1", "shot-5#1"}
    assert len(world.bill()) == 2


async def test_no_more_intents_are_on_disk_than_posts_under_way(world_without_keys: World) -> None:
    """A crash at any instant leaves at most as many doubts as there are places for POSTs."""
    world = world_without_keys
    world.fault("POST", "/videos", *[waits(150)] * 100)
    most = 0
    async with anyio.create_task_group() as group:

        async def watch() -> None:
            nonlocal most
            while True:
                await anyio.sleep(1)
                most = max(most, sum(job.state is State.SUBMITTING for job in world.jobs().values()))

        group.start_soon(watch)
        await world.run(TWENTY, **FAST)
        group.cancel_scope.cancel()
    assert most == 4
    assert_whole(world, 20)


async def test_a_signal_sends_nothing_that_was_not_announced(world: World) -> None:
    world.fault("POST", "/videos", *[waits(100)] * 100)
    await world.run(TWENTY, until=5, **FAST)
    assert len(posts(world)) == 4
    assert max(posts(world)) - min(posts(world)) < 5
    await world.run(TWENTY, **FAST)
    assert_whole(world, 20)


@pytest.mark.parametrize(
    "answer",
    [
        answers(200, b'{"id": "video_x", "status": "\\ud800"}'),
        answers(400, b'{"error": {"message": "\\ud83d bad"}}'),
        answers(429, b"{}", retry_after="Mon, 01 Jan 99999999999999999999 00:00:00 GMT"),
    ],
)
async def test_an_answer_that_no_file_can_hold_ends_nothing(world: World, answer) -> None:
    world.fault("POST", "/videos", answer)
    await world.run(TWENTY[:3])
    assert [job.name for job in world.jobs().values() if job.state in {State.SUBMITTING, State.PLANNED}] == []


async def test_an_error_that_looks_like_a_video_is_not_taken_for_ours(world: World) -> None:
    world.fault("GET", "", *[answers(503, b'{"id": "req_1", "status": "error", "message": "overloaded"}')] * 5)
    await world.run(TWENTY[:3])
    assert_whole(world, 3)


async def test_a_server_that_answers_every_post_with_an_error_is_left_and_no_job_is_held(world: World) -> None:
    world.fault("POST", "/videos", *[answers(500, b"{}")] * 10_000)
    signals = await world.run(TWENTY)
    assert signals.stop is Stop.UNREACHABLE
    assert world.states() <= {State.IN_DOUBT, State.PLANNED}
    world.faults.clear()
    await world.run(TWENTY)
    assert_whole(world, 20)


async def test_an_id_that_is_given_again_and_again_is_not_asked_for_without_end(world: World) -> None:
    await world.run(TWENTY[:1])
    taken = json.dumps({"id": world.jobs()["shot-0#1"].video_id, "status": "queued"}).encode()
    world.fault("POST", "/videos", *[answers(200, taken)] * 10_000)
    await world.run(TWENTY[:2])
    assert len(posts(world)) < 10
    assert world.jobs()["shot-1#1"].state is State.IN_DOUBT


async def test_what_nobody_asks_for_any_more_is_not_submitted_to_clear_a_doubt(world: World) -> None:
    world.fault("POST", "/videos", *[answers(502, b"")] * 4)
    await world.run(TWENTY[:1])
    assert world.states() == {State.IN_DOUBT}
    count = len(posts(world))
    await world.run(TWENTY[:1], selected=lambda job: False)
    assert world.states() == {State.IN_DOUBT}
    await world.run([])
    assert world.states() == {State.HELD}
    assert len(posts(world)) == count
    assert world.bill() == []


async def test_a_job_that_was_lost_and_found_again_is_followed_as_before(world: World) -> None:
    world.fault("POST", "/videos", does_and_then(answers(200, b'{"id": "forgotten", "status": "queued"}')))
    await world.run(TWENTY[:1])
    assert world.states() == {State.LOST}
    late = answers(200, b'{"id": "forgotten", "status": "queued"}')
    await anyio.sleep(7 * 3600)
    world.fault("GET", "/forgotten", *[late] * 10_000)
    await world.run(TWENTY[:1])
    assert world.states() == {State.STUCK}


async def test_a_ledger_that_is_deleted_under_a_run_ends_the_spending(world: World) -> None:
    async def run_and_lose_it() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(partial(world.run, TWENTY, requests_per_minute=60))
            await anyio.sleep(5)
            (world.folder / "ledger.db").unlink()

    with pytest.raises(BaseExceptionGroup) as caught:
        await run_and_lose_it()
    assert caught.group_contains(LedgerError, match="moved or deleted")
    assert len(posts(world)) <= 6


async def test_a_video_is_kept_as_long_as_the_profile_says_where_its_server_does_not(world: World) -> None:
    world.profile = replace(world.profile, content=Content(expiry=600.0))
    told = {"id": "v", "status": "completed", "object": "video"}
    world.fault("GET", "", answers(200, json.dumps(told).encode()))
    completed: list[float | None] = []

    def observe(before: Job, event: Event, after: Job) -> None:
        if isinstance(event, Completed):
            completed.append(after.expires_at and after.expires_at - EPOCH - anyio.current_time())

    await world.run(TWENTY[:1], observe=observe)
    assert completed == [pytest.approx(600.0)]

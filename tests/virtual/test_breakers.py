"""What ends the spending of a run, before a bad hour becomes an expensive one. Nothing that is paid is harmed by it."""

import json
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import anyio
import httpx
import pytest
from world import Fault, World, after_waiting, answers, breaks, does_and_then, spec, waits

from pipeline.breakers import Signals, Stop, Tolerance
from pipeline.jobs import FailureKind, State
from pipeline.limits import Contact
from pipeline.outputs import Outputs
from pipeline.profile import Price
from pipeline.steps import ROOM

TWENTY = [spec(number) for number in range(20)]
FAST = {"requests_per_minute": 6000, "polls_per_second": 100}


def states(world: World) -> Counter[State]:
    return Counter(job.state for job in world.jobs().values())


def posts(world: World) -> list[float]:
    return [when for when, method, _ in world.seen if method == "POST"]


def refusal(message: str = "Unknown parameter: 'x'", **error: str) -> bytes:
    return json.dumps({"error": {"message": message, **error}}).encode()


async def test_five_equal_refusals_stop_the_spending_and_are_taken_back(world: World) -> None:
    world.fault("POST", "/videos", *[waits(0)] * 3, *[answers(400, refusal(param="x"))] * 100)
    signals = await world.run(TWENTY)
    assert signals.stop is Stop.REFUSALS
    assert states(world) == {State.DONE: 3, State.PLANNED: 17}
    assert len(posts(world)) <= 3 + 5 + 3, "and those that were under way"
    world.faults.clear()
    await world.run(TWENTY)
    assert states(world) == {State.DONE: 20}
    assert len(world.bill()) == 20


@pytest.mark.parametrize(
    "refusals",
    [
        [refusal(f"no {number}") for number in range(20)],
        [refusal("Blocked.", code="moderation_blocked")] * 20,
    ],
    ids=["each another", "moderation"],
)
async def test_refusals_that_are_the_jobs_own_fail_each_of_them(world: World, refusals: list[bytes]) -> None:
    world.fault("POST", "/videos", *[answers(400, body) for body in refusals])
    signals = await world.run(TWENTY)
    assert (signals.stop, states(world)) == (None, {State.FAILED: 20})


async def test_equal_refusals_with_a_success_between_them_fail_each_job(world: World) -> None:
    no = answers(400, refusal())
    world.fault("POST", "/videos", no, no, no, no, waits(0), no, no, no, no, waits(0))
    signals = await world.run(TWENTY[:10], requests_per_minute=1)
    assert (signals.stop, states(world)) == (None, {State.FAILED: 8, State.DONE: 2})


async def test_a_403_that_is_not_the_keys_fault_is_the_jobs(world: World) -> None:
    world.fault("POST", "/videos", answers(403, refusal("this prompt is not for you")))
    signals = await world.run(TWENTY[:4])
    assert (signals.stop, states(world)) == (None, {State.FAILED: 1, State.DONE: 3})


async def test_a_403_to_everything_is_the_key(world: World) -> None:
    world.faults.append((lambda method, path: True, [answers(403, refusal("no"))] * 1000))
    signals = await world.run(TWENTY)
    assert (signals.stop, states(world)) == (Stop.AUTH, {State.PLANNED: 20})


async def test_a_server_that_forgets_its_jobs_gets_no_more_of_them(world: World) -> None:
    await world.run(TWENTY[:6], until=2, **FAST)
    count = len(posts(world))
    assert count == 6
    gone = [job.video_id for job in world.jobs().values()]
    world.faults.append((lambda method, path: path.rpartition("/")[2] in gone, [answers(404, refusal("no"))] * 10_000))
    signals = await world.run(TWENTY, requests_per_minute=6)
    assert signals.stop is Stop.FORGOT
    assert states(world)[State.LOST] == 6, "after ten polls and a quarter of an hour, for a person to decide"
    assert len(posts(world)) < 12
    assert states(world)[State.PLANNED] > 0


async def test_one_forgotten_job_stops_nothing(world: World) -> None:
    await world.run(TWENTY[:1], until=2, **FAST)
    gone = world.jobs()["shot-0#1"].video_id
    world.faults.append((lambda method, path: path.endswith(str(gone)), [answers(404, refusal("no"))] * 10_000))
    signals = await world.run(TWENTY, requests_per_minute=6)
    assert (signals.stop, states(world)) == (None, {State.LOST: 1, State.DONE: 19})


async def test_nothing_is_submitted_to_a_disk_that_could_not_hold_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Outputs, "free", lambda self: 70 << 20 if len(posts(world)) < 3 else 63 << 20)
    signals = await world.run(TWENTY)
    assert signals.stop is Stop.DISK
    assert states(world) == {State.DONE: 3, State.PLANNED: 17}


async def test_room_is_wanted_for_videos_as_long_as_the_longest_that_was_made_before(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.run(TWENTY[:1])
    (size,) = (job.bytes for job in world.jobs().values())
    assert size
    monkeypatch.setattr(Outputs, "free", lambda self: ROOM + size)
    signals = await world.run(TWENTY, max_in_flight=1)
    assert signals.stop is Stop.DISK
    assert states(world) == {State.DONE: 1, State.PLANNED: 19}


async def test_the_budget_holds_at_every_instant_and_a_doubt_counts_as_spent(world_without_keys: World) -> None:
    world = world_without_keys
    world.profile = replace(world.profile, price=Price("USD", {"sora-2": 0.1}))  # 0.40 a job
    world.fault("POST", "/videos", answers(502))
    signals = await world.run(TWENTY, max_cost=2.1, **FAST)
    assert signals.stop is Stop.BUDGET
    assert states(world) == {State.HELD: 1, State.DONE: 4, State.PLANNED: 15}
    assert len(posts(world)) == 5
    await world.run(TWENTY, max_cost=2.1, **FAST)
    assert len(posts(world)) == 5
    await world.run(TWENTY, max_cost=2.41, **FAST)
    assert len(posts(world)) == 6


async def test_what_was_certainly_not_created_does_not_count(world: World) -> None:
    world.profile = replace(world.profile, price=Price("USD", {"sora-2": 0.1}))
    world.fault("POST", "/videos", *[answers(400, refusal(f"no {number}")) for number in range(10)])
    await world.run(TWENTY, max_cost=2.0, **FAST)
    assert states(world) == {State.FAILED: 10, State.DONE: 5, State.PLANNED: 5}


async def test_an_unknown_price_is_never_within_a_budget(world: World) -> None:
    world.profile = replace(world.profile, price=None)
    signals = await world.run(TWENTY, max_cost=100.0)
    assert (signals.stop, posts(world)) == (Stop.BUDGET, [])


async def test_a_server_that_asks_to_wait_for_hours_is_left(world: World) -> None:
    world.fault("POST", "/videos", answers(429, refusal("slow"), retry_after="7200"))
    began = anyio.current_time()
    signals = await world.run(TWENTY)
    assert (signals.stop, states(world)) == (Stop.BUSY, {State.PLANNED: 20})
    assert anyio.current_time() - began < 60


async def test_a_server_that_lets_questions_wait_for_hours_is_left(world: World) -> None:
    world.fault("GET", "", answers(429, b"{}", Retry_After="2592000"))
    with anyio.fail_after(600):
        signals = await world.run(TWENTY[:1], **FAST)
    assert (signals.stop, states(world)) == (Stop.BUSY, {State.SUBMITTED: 1})


async def test_an_account_that_is_empty_is_said_by_questions_too(world: World) -> None:
    world.fault("GET", "", answers(402, b'{"error": {"message": "insufficient_quota", "code": "insufficient_quota"}}'))
    signals = await world.run(TWENTY[:1], **FAST)
    assert (signals.stop, states(world)) == (Stop.QUOTA, {State.SUBMITTED: 1})


async def test_a_list_is_asked_for_again_when_the_server_wants_it(world_with_list: World) -> None:
    world = world_with_list
    world.fault("POST", "/videos", does_and_then(breaks(httpx.ReadError("cut"))))
    world.fault("GET", "/videos", *[answers(429, b"{}", Retry_After="400")] * 2)
    await world.run(TWENTY[:1], **FAST)
    assert (states(world), len(world.bill())) == ({State.DONE: 1}, 1)
    asked = [when for when, method, path in world.seen if method == "GET" and path.endswith("/videos")]
    assert min(after - before for before, after in pairwise(asked)) >= 400


@pytest.mark.parametrize("refusal", [answers(401), answers(402), answers(403), answers(429, b"{}", retry_after="3500")])
async def test_a_list_that_is_refused_concerns_looking_and_nothing_else(world_with_list: World, refusal: Fault) -> None:
    world = world_with_list
    world.fault("POST", "/videos", does_and_then(breaks(httpx.ReadError("cut"))))
    world.faults.append((lambda method, path: method == "GET" and path.endswith("/videos"), [refusal] * 100))
    with anyio.fail_after(3600):
        signals = await world.run(TWENTY[:8], **FAST)
    assert (signals.stop, states(world)) == (None, {State.DONE: 7, State.IN_DOUBT: 1})
    fetched = [when for when, _, path in world.seen if path.endswith("/content")]
    assert max(fetched) < 300, "and nobody else waits for it"


async def test_a_403_for_an_empty_account_is_no_jobs_fault(world: World) -> None:
    empty = b'{"error": {"message": "no money", "code": "insufficient_quota"}}'
    world.fault("POST", "/videos", *[answers(403, empty)] * 20)
    signals = await world.run(TWENTY, **FAST)
    assert (signals.stop, states(world)) == (Stop.QUOTA, {State.PLANNED: 20})


async def test_what_is_begun_while_a_run_leaves_has_no_more_time_than_the_rest() -> None:
    signals = Signals(Contact())
    signals.leave(5.0)
    began = anyio.current_time()
    with signals.finishing():
        await anyio.sleep(3600)
    assert anyio.current_time() - began == 5.0


async def test_a_storm_of_rate_limits_is_left_after_an_hour(world: World) -> None:
    world.fault("POST", "/videos", *[answers(429, refusal("slow"))] * 10_000)
    began = anyio.current_time()
    signals = await world.run(TWENTY)
    assert signals.stop is Stop.BUSY
    assert 3600 <= anyio.current_time() - began < 5000
    assert len(posts(world)) < 100


async def test_the_rate_is_learned_from_the_server_and_rises_again(world: World) -> None:
    many = [spec(number) for number in range(120)]
    world.fault("POST", "/videos", *[waits(0)] * 10, answers(429, refusal("slow"), retry_after="1"))
    await world.run(many, requests_per_minute=60, max_in_flight=200)
    gaps = [after - before for before, after in pairwise(posts(world))]
    assert max(gaps[:9]) <= 1 + 1e-6
    assert 1.9 < gaps[20] < 2.1, "half as fast"
    assert gaps[-1] < gaps[20], "and faster again after some good minutes"


async def test_the_earliest_expiry_is_downloaded_first(world: World) -> None:
    await world.run(TWENTY[:6], until=2, **FAST)
    ids = [job.video_id for job in world.jobs().values()]
    for number, video_id in enumerate(ids):
        body = {"id": video_id, "status": "completed", "expires_at": 1_900_000_000 - number}
        world.fault("GET", str(video_id), answers(200, json.dumps(body).encode()))
    await anyio.sleep(60)
    world.fault("GET", "/content", after_waiting(30, answers(500)))
    world.seen.clear()
    await world.run(TWENTY[:6], downloads=1, **FAST)
    fetched = [path.split("/")[-2] for _, _, path in world.seen if path.endswith("content")]
    assert states(world) == {State.DONE: 6}
    assert fetched[1:6] == [video_id for video_id in reversed(ids) if video_id != fetched[0]][:5]


@pytest.mark.parametrize(("status", "state"), [(410, State.EXPIRED), (404, State.LOST)])
async def test_a_video_that_is_gone_and_whose_file_comes_back_is_done(world: World, status: int, state: State) -> None:
    await world.run(TWENTY[:1])
    video = world.folder / "videos/shot-0-t1.mp4"
    video.rename(world.folder / "kept")
    world.fault("GET", "/content", *[answers(status)] * 60)
    await world.run(TWENTY[:1])
    assert states(world) == {state: 1}
    (world.folder / "kept").rename(video)
    world.seen.clear()
    await world.run(TWENTY[:1])
    assert (states(world), world.seen) == ({State.DONE: 1}, [])


async def test_a_refusal_keeps_its_kind(world: World) -> None:
    world.fault("POST", "/videos", answers(400, refusal("Blocked.", code="moderation_blocked")))
    await world.run(TWENTY[:1])
    failure = world.jobs()["shot-0#1"].failure
    assert failure is not None
    assert failure.kind is FailureKind.MODERATION_INPUT


async def test_nothing_new_is_ordered_while_finished_videos_may_expire(world: World) -> None:
    await world.run(TWENTY[:6], until=2, **FAST)
    ids = [str(job.video_id) for job in world.jobs().values()]
    await anyio.sleep(60)
    for video_id in ids:
        body = {"id": video_id, "status": "completed", "expires_at": world._now() + 200}
        world.fault("GET", video_id, answers(200, json.dumps(body).encode()))
    world.fault("GET", "/content", *[waits(30)] * 6)
    world.seen.clear()
    await world.run(TWENTY, downloads=1, requests_per_minute=12, polls_per_second=100)
    assert states(world) == {State.DONE: 20}
    fetched = [when for when, _, path in world.seen if path.endswith("content")]
    assert [when for when in posts(world) if fetched[1] + 1 < when < fetched[3]] == [], "downloads take half a minute"
    assert [when for when in posts(world) if when > fetched[3]], "and then goes on"


def _fail_each(world: World, *numbers: int) -> None:
    """These POSTs are refused for their own sake, each in other words."""
    faults = [
        answers(400, refusal(f"no {n}", code="moderation_blocked")) if n in numbers else waits(0) for n in range(100)
    ]
    world.fault("POST", "/videos", *faults)


SLOWLY = {"requests_per_minute": 6, "polls_per_second": 100}


async def test_the_first_failure_ends_the_spending_and_what_is_paid_is_fetched(world: World) -> None:
    _fail_each(world, 3)
    signals = await world.run(TWENTY, tolerance=Tolerance(0), **SLOWLY)
    assert (signals.stop, len(posts(world))) == (Stop.FAILURES, 4)
    assert states(world) == {State.DONE: 3, State.FAILED: 1, State.PLANNED: 16}
    await world.run(TWENTY, tolerance=Tolerance(0), **SLOWLY)
    assert states(world) == {State.DONE: 19, State.FAILED: 1}, "those of earlier runs do not count"


async def test_a_job_that_fails_at_the_server_counts_too(world: World) -> None:
    video = json.dumps({"id": "video_x", "status": "failed", "error": {"message": "no", "code": "server_error"}})
    world.fault("GET", "", answers(200, video.encode()))
    signals = await world.run(TWENTY, tolerance=Tolerance(0), **SLOWLY)
    assert signals.stop is Stop.FAILURES
    assert states(world)[State.FAILED] == 1
    assert states(world)[State.PLANNED] > 10


async def test_a_job_that_is_tried_again_has_not_failed_yet(world: World) -> None:
    _fail_each(world, 3)
    retry = {"max_attempts": 2, "on": ["moderation_input"]}
    signals = await world.run(TWENTY, tolerance=Tolerance(0), retry=retry, **SLOWLY)
    assert (signals.stop, states(world)) == (None, {State.DONE: 20})


async def test_more_failures_than_are_tolerated_end_the_spending(world: World) -> None:
    _fail_each(world, 1, 4, 9)
    signals = await world.run(TWENTY, tolerance=Tolerance(2), **SLOWLY)
    assert (signals.stop, len(posts(world))) == (Stop.FAILURES, 10)
    assert signals.failure is not None
    assert signals.failure.message == "3 of the 10 that are over in this run; the last one: no 9"


@pytest.mark.parametrize(("share", "stop", "submitted"), [(0.29, Stop.FAILURES, 10), (0.30, None, 20)])
async def test_a_share_of_failures_says_nothing_before_ten_jobs_are_over(
    world: World, share: float, stop: Stop | None, submitted: int
) -> None:
    _fail_each(world, 0, 1, 2)
    signals = await world.run(TWENTY, tolerance=Tolerance(share=share), **SLOWLY)
    assert (signals.stop, len(posts(world))) == (stop, submitted)

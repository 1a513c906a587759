"""Limits in virtual time: to the instant, and shared by all who wait."""

import anyio
import pytest
import trio.testing

from pipeline.limits import Contact, Gate, RateLimiter, Slots


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}


async def _turns(limiter: RateLimiter, count: int) -> list[float]:
    began, turns = anyio.current_time(), []
    async with anyio.create_task_group() as group:

        async def one() -> None:
            await limiter.acquire()
            turns.append(round(anyio.current_time() - began, 6))

        for _ in range(count):
            group.start_soon(one)
    return turns


async def test_turns_come_evenly() -> None:
    assert await _turns(RateLimiter(0.5), 5) == [0, 2, 4, 6, 8]


async def test_a_burst_comes_at_once_and_the_rest_evenly() -> None:
    assert await _turns(RateLimiter(1, burst=3), 5) == [0, 0, 0, 1, 2]


async def test_unused_time_is_not_saved_up() -> None:
    limiter = RateLimiter(1)
    await anyio.sleep(1000)
    assert await _turns(limiter, 3) == [0, 1, 2]


async def test_a_hold_stops_those_who_wait_already() -> None:
    limiter = RateLimiter(1)
    began, turns = anyio.current_time(), []

    async def one() -> None:
        await limiter.acquire()
        turns.append(anyio.current_time() - began)

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(one)
        await anyio.sleep(0.5)
        limiter.hold(began + 100)
        limiter.hold(began + 50)
    assert turns == [0, 100, 101]


async def test_a_turn_that_was_given_up_is_not_lost_to_the_others() -> None:
    limiter = RateLimiter(0.1)
    await limiter.acquire()
    with anyio.move_on_after(5):
        await limiter.acquire()
    began = anyio.current_time()
    await limiter.acquire()
    assert anyio.current_time() - began == pytest.approx(5)


async def test_a_slot_is_free_when_enough_were_given_back() -> None:
    slots = Slots(2)
    for _ in range(3):  # one beyond the limit: it was at the server already
        slots.take()
    freed: list[float] = []

    async def wait() -> None:
        await slots.free()
        freed.append(anyio.current_time())

    began = anyio.current_time()
    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        for _ in range(2):
            await anyio.sleep(1)
            slots.release()
    assert freed == [began + 2]


async def test_a_gate_that_closes_lets_those_go_who_wait() -> None:
    gate = Gate()
    passed: list[bool] = []

    async def pass_through() -> None:
        passed.append(await gate.through(anyio.sleep_forever))

    assert await gate.through(anyio.lowlevel.checkpoint)
    async with anyio.create_task_group() as group:
        group.start_soon(pass_through)
        await anyio.sleep(10)
        gate.close()
    assert passed == [False]
    assert not await gate.through(anyio.lowlevel.checkpoint)


def test_patience_is_short_before_the_first_answer_and_long_after_it() -> None:
    contact = Contact(patience=600, first_patience=30)
    for now in (0, 10, 20, 31):
        contact.unheard(now)
    assert not contact.lost(29)
    assert contact.lost(31)
    contact.heard()
    for now in (100, 110, 120):
        contact.unheard(now)
    assert not contact.lost(699)
    assert contact.lost(700)

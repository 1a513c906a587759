"""The cap holds at the server, at every instant, whatever goes wrong; what is in doubt counts; raising it goes on."""

import json
from dataclasses import replace
from itertools import accumulate
from random import Random

import httpx
import pytest
from world import App, Message, World, answers, breaks, does_and_then, spec, waits

from pipeline.breakers import Stop
from pipeline.jobs import FailureKind, Spec, State
from pipeline.ledger import reading
from pipeline.profile import Price
from pipeline.summary import Status

EACH = 1.20
FAST = {"requests_per_minute": 6000, "max_in_flight": 50, "polls_per_second": 50}
PRICES = Price("USD", {"sora-2": EACH / 4})
FREE_OF_CHARGE = "server_error"


def refusal(message: str) -> bytes:
    return json.dumps({"error": {"message": message, "type": "invalid_request_error"}}).encode()


def shots(rng: Random) -> list[Spec]:
    """Thirty jobs, of which some fail at the server: billed, or not."""
    codes = [rng.choice([None, None, None, FREE_OF_CHARGE, "moderation_blocked"]) for _ in range(30)]
    return [
        spec(number, **({"metadata": {"simulator": {"fail": code}}} if code else {}))
        for number, code in enumerate(codes)
    ]


def misfortunes(world: World, rng: Random) -> None:
    """Every third POST meets something, and now and then another request: a lost answer, a refusal, a long wait."""
    cut = httpx.ReadError("cut")

    async def fault(app: App, scope: Message, receive: object, send: object) -> None:
        post = scope["method"] == "POST"
        kinds = [answers(502), breaks(cut), waits(5.0)]
        if post:
            kinds += [
                does_and_then(answers(504)),
                does_and_then(breaks(cut)),
                answers(429, refusal("slow"), retry_after="3"),
                answers(400, refusal(f"no {rng.random()}")),
                breaks(httpx.ConnectError("refused")),
            ]
        await rng.choice(kinds)(app, scope, receive, send)

    odds = {"POST": 1 / 3}
    world.faults.append((lambda method, path: rng.random() < odds.get(method, 1 / 20), [fault] * 10_000))


def most_billed(world: World) -> float:
    """The most that the server wanted at any instant: all that it began, less what it gave back when that failed."""
    records = world.service.store.videos(after=None, order="asc", limit=10_000)
    assert len(records) == len(world.bill())
    moves = [(record.life.created_at, 1) for record in records]
    moves += [(record.life.ended_at, -1) for record in records if record.failure == FREE_OF_CHARGE]
    return EACH * max(accumulate(change for _, change in sorted(moves)), default=0)


def account(world: World) -> reading.Account:
    with reading.opened(world.folder / "ledger.db") as connection:
        return reading.account(connection)


def status(world: World) -> Status:
    return Status("world", "/", "USD", tuple(world.jobs().values()))


def count(world: World, state: State) -> int:
    return sum(job.state is state for job in world.jobs().values())


@pytest.mark.parametrize("seed", range(3))
async def test_the_server_never_bills_more_than_the_cap_at_any_instant(world_with_list: World, seed: int) -> None:
    world, rng = world_with_list, Random(seed)
    world.rng = Random(seed)
    world.profile = replace(world.profile, price=PRICES, unbilled=frozenset({FailureKind.SERVER}))
    jobs = shots(rng)
    misfortunes(world, rng)
    before, stop = -1, None
    while (before, stop) != (world.count("POST"), Stop.BUDGET):  # runs end by breakers too, and what fails makes room
        before = world.count("POST")
        stop = (await world.run(jobs, max_cost=10.0, **FAST)).stop
        assert most_billed(world) <= 10.0
        found, now = status(world), account(world)
        assert now.reserved == pytest.approx(found.spent + found.in_doubt)
    assert 10.0 - EACH < now.reserved <= 10.0, "what fits was spent"
    assert count(world, State.PLANNED) > 0, "the rest is as it was"
    done = {job.name: job.video_id for job in world.jobs().values() if job.state is State.DONE}
    while count(world, State.PLANNED):  # a higher cap goes on
        await world.run(jobs, max_cost=60.0, **FAST)
    assert done.items() <= {job.name: job.video_id for job in world.jobs().values()}.items()
    assert account(world).reserved == pytest.approx(status(world).spent + status(world).in_doubt)
    assert most_billed(world) <= 60.0


async def test_without_a_price_the_videos_are_counted(world: World) -> None:
    world.profile = replace(world.profile, price=None)
    jobs = [spec(number) for number in range(12)]
    world.fault("POST", "/videos", answers(400, refusal("no")), answers(429, refusal("slow")))
    signals = await world.run(jobs, max_videos=5, **FAST)
    assert (signals.stop, len(world.bill()), account(world).videos) == (Stop.BUDGET, 5, 5)
    assert (count(world, State.DONE), count(world, State.PLANNED)) == (5, 6)
    await world.run(jobs, max_videos=7, **FAST)
    assert (len(world.bill()), count(world, State.DONE)) == (7, 7)


async def test_a_failure_that_nobody_bills_makes_room_in_the_run_that_sees_it(world: World) -> None:
    world.profile = replace(world.profile, price=PRICES, unbilled=frozenset({FailureKind.SERVER}))
    failing = [spec(number, metadata={"simulator": {"fail": FREE_OF_CHARGE}}) for number in range(3)]
    jobs = [*failing, *(spec(number) for number in range(3, 6))]

    how = {"max_cost": 4 * EACH, "retry": {"max_attempts": 1}, **FAST}
    signals = await world.run(jobs, **how)
    assert (signals.stop, len(world.bill())) == (Stop.BUDGET, 4)
    assert count(world, State.FAILED) + count(world, State.DONE) == 4
    while count(world, State.PLANNED):
        assert account(world).reserved == pytest.approx(EACH * count(world, State.DONE))
        assert account(world).videos == count(world, State.DONE)
        assert status(world).spent == pytest.approx(account(world).reserved)
        await world.run(jobs, **how)
    assert (count(world, State.DONE), count(world, State.FAILED), len(world.bill())) == (3, 3, 6)

"""What a profile says of its server is what a run goes by: its status words, its codes, what its refusals prove."""

import json
from importlib import resources
from itertools import pairwise
from typing import Any

import pytest
from world import App, World, answers, spec

from pipeline import providers
from pipeline.breakers import Stop
from pipeline.jobs import DOUBTFUL, FailureKind, State


def told(world: World, *lines: str, without: str = "\0") -> None:
    """Have the world's profile say this too, as a file would, and not the line that begins ``without``."""
    ours = (resources.files("pipeline") / "profiles" / "simulator.yaml").read_text("utf-8").splitlines()
    path = world.folder / "told.yaml"
    path.write_text("\n".join([*(line for line in ours if not line.startswith(without)), *lines, ""]))
    world.profile = providers.own_profile(path)


def says(world: World, old: bytes, new: bytes) -> None:
    """Have the server say something else when it is asked for a status."""
    app: App = world.app

    async def other(scope: Any, receive: Any, send: Any) -> None:
        is_status = scope["method"] == "GET" and not scope["path"].endswith("/content")

        async def change(message: Any) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": message["body"].replace(old, new)}
            else:
                headers = [pair for pair in message["headers"] if pair[0] != b"content-length"]
                message = {**message, "headers": headers}
            await send(message)

        await app(scope, receive, change if is_status else send)

    world.app = other


def error(code: str, **fields: object) -> bytes:
    return json.dumps({"error": {"message": "so it is", "type": None, "code": code, **fields}}).encode()


def failed(code: str) -> bytes:
    video = {"id": "v", "object": "video", "status": "failed"}
    return json.dumps({**video, **json.loads(error(code))}).encode()


def only(world: World) -> tuple[State, FailureKind | None]:
    (job,) = world.jobs().values()
    return job.state, job.failure.kind if job.failure else None


@pytest.mark.parametrize(
    ("meaning", "state"),
    [("ready", State.DONE), ("failed", State.FAILED), ("gone", State.EXPIRED), ("active", State.SUBMITTED)],
)
async def test_a_status_word_means_what_the_profile_says(world: World, meaning: str, state: State) -> None:
    told(world, f"status: {{ Rendered: {meaning} }}")
    says(world, b'"completed"', b'" rendered"')
    await world.run([spec(1)], until=300)
    assert only(world)[0] is state


async def test_a_word_that_nobody_knows_means_that_the_job_is_at_work(world: World) -> None:
    says(world, b'"completed"', b'"rendered"')
    await world.run([spec(1)], until=300)
    assert only(world)[0] is State.SUBMITTED


async def test_a_word_of_the_profiles_goes_before_what_it_means_elsewhere(world: World) -> None:
    told(world, "status: { completed: failed }")
    await world.run([spec(1)])
    assert only(world) == (State.FAILED, FailureKind.SERVER)


async def test_a_code_of_the_servers_own_stops_the_spending_of_an_empty_account(world: World) -> None:
    told(world, "errors: { wallet_empty: quota_exhausted }")
    world.fault("POST", "", answers(400, error("wallet_empty")))
    signals = await world.run([spec(1), spec(2)], max_in_flight=1)
    assert signals.stop is Stop.QUOTA
    assert world.states() == {State.PLANNED}
    assert world.bill() == []


async def test_without_the_code_it_is_the_one_jobs_fault(world: World) -> None:
    world.fault("POST", "", answers(400, error("wallet_empty")))
    await world.run([spec(1)])
    assert only(world) == (State.FAILED, FailureKind.INVALID_REQUEST)


async def test_no_code_ends_a_doubt(world: World) -> None:
    told(world, "errors: { wallet_empty: quota_exhausted }", without="abilities")
    world.fault("POST", "", answers(500, error("wallet_empty")))
    await world.run([spec(1)])
    assert only(world)[0] in DOUBTFUL


@pytest.mark.parametrize(("lines", "state"), [((), State.SUBMITTED), (("errors: { never_was: lost }",), State.LOST)])
async def test_a_code_under_an_error_status_of_a_poll(world: World, lines: tuple[str, ...], state: State) -> None:
    told(world, *lines)
    world.fault("GET", "", *[answers(500, error("never_was"))] * 2000)
    await world.run([spec(1)], until=3600)
    assert only(world)[0] is state


@pytest.mark.parametrize(
    ("kind", "expected"), [(None, "server"), ("moderation_input", "moderation_input"), ("lost", "lost")]
)
async def test_a_code_in_a_failed_video(world: World, kind: str | None, expected: str) -> None:
    told(world, *([f"errors: {{ odd: {kind} }}"] if kind else []))
    world.fault("GET", "", answers(200, failed("odd")))
    await world.run([spec(1)])
    assert only(world) == (State.FAILED, FailureKind(expected))


@pytest.mark.parametrize(
    ("lines", "billed", "state"),
    [
        ((), 1, State.FAILED),
        (("unbilled: [moderation_input]",), 1, State.FAILED),
        (("unbilled: [server]",), 2, State.DONE),
    ],
)
async def test_what_is_not_billed_is_sent_again(
    world: World, lines: tuple[str, ...], billed: int, state: State
) -> None:
    told(world, *lines)
    world.fault("GET", "", answers(200, failed("server_error")))
    await world.run([spec(1)])
    assert only(world)[0] is state
    assert len(world.bill()) == billed


@pytest.mark.parametrize(
    ("refusals", "doubtful"), [("[400, 401, 402, 403, 404, 422, 429]", False), ("[400, 401, 402, 403, 404, 422]", True)]
)
async def test_a_refusal_proves_what_the_profile_says(world: World, refusals: str, doubtful: bool) -> None:
    told(world, f"doubt: {{ refusals: {refusals} }}", without="abilities")
    world.fault("POST", "", answers(429, error("rate_limit_exceeded")))
    await world.run([spec(1)])
    assert only(world)[0] is (State.HELD if doubtful else State.DONE)
    assert len(world.bill()) == (0 if doubtful else 1)


async def test_polls_keep_the_pace_of_the_profile(world: World) -> None:
    told(world, "poll: { first: 40, interval: 7, slowest: 9 }", without="poll")
    says(world, b'"completed"', b'"queued"')
    await world.run([spec(1)], until=200)
    times = [at for at, method, _ in world.seen if method == "GET"]
    posted = next(at for at, method, _ in world.seen if method == "POST")
    assert 40 <= times[0] - posted <= 45
    assert all(5 <= later - earlier <= 12 for earlier, later in pairwise(times))

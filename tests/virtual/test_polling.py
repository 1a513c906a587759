"""A campaign ends the same whether the server's list is asked or not, and whatever that list says."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import count
from typing import Any

import anyio
import pytest
from world import App, Fault, Message, World, answers, spec, waits

from pipeline.jobs import FailureKind, State
from pipeline.profile import Abilities

JOBS = [
    spec(number, **({"metadata": {"simulator": {"fail": "moderation_blocked"}}} if number % 8 == 3 else {}))
    for number in range(24)
]
FAST = {"requests_per_minute": 6000, "polls_per_second": 1000, "max_in_flight": 40}
AGAIN = {"on": ["lost", "expired", "bad_output", "server"], "max_attempts": 3}
"""Whatever a list could make of a job that it must not, is paid for again."""

Told = Callable[[list[dict[str, Any]], dict[str, Any]], None]


def changed(tell: Told) -> Fault:
    """The list's entries, or the whole document, are changed on the way."""

    async def fault(app: App, scope: Message, receive: Any, send: Any) -> None:
        sent: list[Message] = []

        async def keep(message: Message) -> None:
            sent.append(message)

        await app(scope, receive, keep)
        document = json.loads(b"".join(message.get("body", b"") for message in sent))
        tell(document["data"], document)
        await answers(200, json.dumps(document).encode())(app, scope, receive, send)

    return fault


def all_say(**fields: object) -> Fault:
    def tell(entries: list[dict[str, Any]], document: dict[str, Any]) -> None:
        for entry in entries:
            entry.update(fields)

    return changed(tell)


def empty(entries: list[dict[str, Any]], document: dict[str, Any]) -> None:
    entries.clear()


def every_other(entries: list[dict[str, Any]], document: dict[str, Any]) -> None:
    del entries[::2]


def without_failed(entries: list[dict[str, Any]], document: dict[str, Any]) -> None:
    entries[:] = [entry for entry in entries if entry["status"] != "failed"]


def among_strangers(entries: list[dict[str, Any]], document: dict[str, Any]) -> None:
    entries[:] = [one for entry in entries[:50] for one in ({**entry, "id": f"other_{entry['id']}"}, entry)]


def twice(entries: list[dict[str, Any]], document: dict[str, Any]) -> None:
    entries += [{**entry, "status": "in_progress"} for entry in entries]


def by_turns() -> Fault:
    words = (("completed", "failed", "in_progress", "", "expired", "sideways")[number % 6] for number in count())

    def tell(entries: list[dict[str, Any]], document: dict[str, Any]) -> None:
        for entry in entries:
            entry["status"] = next(words)

    return changed(tell)


def old() -> Fault:
    """A cache: what was first told of a job is told for a minute."""
    known: dict[str, tuple[float, dict[str, Any]]] = {}

    def tell(entries: list[dict[str, Any]], document: dict[str, Any]) -> None:
        now = anyio.current_time()
        for entry in entries:
            since, first = known.setdefault(entry["id"], (now, dict(entry)))
            if now < since + 60:
                entry.update(first)

    return changed(tell)


def in_circles() -> Fault:
    """The newest are shown, whatever is asked for, and there are always more."""

    async def fault(app: App, scope: Message, receive: Any, send: Any) -> None:
        await changed(lambda _, document: document.update(has_more=True))(
            app, {**scope, "query_string": b"limit=100"}, receive, send
        )

    return fault


LISTS: Mapping[str, Fault] = {
    "true": waits(0),
    "slow": waits(8),
    "hangs": waits(1e6),
    "no such address": answers(404, b'{"detail": "Not Found"}'),
    "not allowed": answers(405, b'{"detail": "Method Not Allowed"}'),
    "rate limit": answers(429, b'{"error": {"message": "slow down"}}', retry_after="2"),
    "rate limit without end": answers(429, b'{"error": {"message": "slow down"}}', retry_after="100000"),
    "key": answers(401, b'{"error": {"message": "no"}}'),
    "broken": answers(500),
    "no list": answers(200, b"<html>"),
    "all completed": all_say(status="completed", progress=100),
    "all failed": all_say(status="failed", error={"code": "server_error", "message": "no"}),
    "all gone": all_say(status="expired"),
    "all at work": all_say(status="in_progress", error=None),
    "other prompts": all_say(prompt="of somebody else", status="in_progress", error=None),
    "other references": all_say(status="completed", metadata={"callsheet_ref": "of somebody else"}),
    "empty": changed(empty),
    "every other": changed(every_other),
    "without the failed": changed(without_failed),
    "among strangers": changed(among_strangers),
    "twice": changed(twice),
    "by turns": by_turns(),
    "old": old(),
    "in circles": in_circles(),
}

LATE = {"all at work", "old"}
"""What no other answer contradicts, until each job is asked about by itself."""


def listing(world: World, fault: Fault | None) -> None:
    """The server lists its jobs so; with None, nobody knows that it does."""
    world.profile = replace(world.profile, abilities=Abilities(list=fault is not None))
    if fault is not None:
        real = world.app

        async def app(scope: Message, receive: Any, send: Any) -> None:
            is_list = scope["method"] == "GET" and scope["path"].endswith("/videos")
            await (fault(real, scope, receive, send) if is_list else real(scope, receive, send))

        world.app = app


def outcome(world: World) -> Mapping[str, object]:
    """What a user would look at: how each job stands, what it cost, its file."""
    return {
        name: (
            job.state,
            job.attempt,
            job.failure and job.failure.kind,
            job.path and (world.folder / job.path).exists(),
        )
        for name, job in world.jobs().items()
    }


EXPECTED = {
    one.name: (State.FAILED, 1, FailureKind.MODERATION_OUTPUT, None)
    if "metadata" in one.request
    else (State.DONE, 1, None, True)
    for one in JOBS
}


async def test_without_a_list_each_job_is_asked_about(slow_world: World) -> None:
    listing(slow_world, None)
    await slow_world.run(JOBS, retry=AGAIN, until=600, **FAST)
    assert outcome(slow_world) == EXPECTED
    assert slow_world.count("GET", "/videos") == 0


@pytest.mark.parametrize("name", LISTS)
async def test_whatever_a_list_says_each_job_ends_as_without_one_and_is_paid_once(slow_world: World, name: str) -> None:
    listing(slow_world, LISTS[name])
    began = anyio.current_time()
    await slow_world.run(JOBS, retry=AGAIN, until=600, **FAST)
    assert outcome(slow_world) == EXPECTED
    assert slow_world.count("POST") == len(JOBS) == len(slow_world.bill())
    assert slow_world.count("GET", "/videos") > 0
    assert anyio.current_time() - began < (200 if name in LATE else 90), "and no list delays a job for long"


@pytest.mark.parametrize("word", ["completed", "failed"])
async def test_a_list_that_is_wrong_about_one_job_is_asked_about_the_others_still(slow_world: World, word: str) -> None:
    def tell(entries: list[dict[str, Any]], document: dict[str, Any]) -> None:
        min(entries, key=lambda entry: str(entry["id"]), default={})["status"] = word

    listing(slow_world, changed(tell))
    await slow_world.run(JOBS, retry=AGAIN, until=600, **FAST)
    assert outcome(slow_world) == EXPECTED
    assert slow_world.count("GET", "/videos") > 20
    assert slow_world.count("GET") < 200


async def test_a_list_that_is_late_does_not_make_later_jobs_late(slow_world: World) -> None:
    jobs = [spec(number) for number in range(60)]
    listing(slow_world, LISTS["all at work"])
    began = anyio.current_time()
    limits = {"requests_per_minute": 60, "polls_per_second": 1000, "max_in_flight": 10}
    await slow_world.run(jobs, until=3000, **limits)
    assert {job.state for job in slow_world.jobs().values()} == {State.DONE}
    assert anyio.current_time() - began < 350


async def test_a_job_that_its_own_answer_does_not_know_is_asked_about_whatever_lists_say(slow_world: World) -> None:
    """The list has it at work for ever, and its own address has nothing: only the latter decides, so it is asked."""
    asked: list[float] = []
    forgotten: list[str] = []

    def tell(entries: list[dict[str, Any]], document: dict[str, Any]) -> None:
        for entry in entries:
            if entry["id"] in forgotten:
                entry["status"] = "in_progress"

    listing(slow_world, changed(tell))
    real = slow_world.app

    async def app(scope: Message, receive: Any, send: Any) -> None:
        video = scope["path"].rpartition("/")[2]
        if scope["method"] != "GET" or video in {"videos", "content"} or video not in (forgotten or [video]):
            await real(scope, receive, send)
            return
        forgotten[:] = [video]
        asked.append(anyio.current_time())
        await answers(404, b'{"error": {"message": "no such video"}}')(real, scope, receive, send)

    slow_world.app = app
    await slow_world.run(JOBS, until=600, **FAST)
    assert asked[9] - asked[0] < 15

"""Rows of the fault table that need hours or a crash: what a run leaves, and what the next one makes of it.

A crash is the disk as it was at one instant: everything here runs in one thread, so a copy of the folder, taken while
the run waits for the server or is in the middle of a commit, is what a SIGKILL would leave.
"""

import errno
import gc
import json
import os
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from disk.seam import watched
from world import App, Fault, Message, World, answers, breaks, carries_out_later, does_and_then, now, spec

from pipeline.blocking import inline
from pipeline.breakers import Stop
from pipeline.errors import StorageError
from pipeline.events import Accepted, Completed, Event, Intended, Verified
from pipeline.evidence import Fetched
from pipeline.jobs import Job, State, canonical_json
from pipeline.ledger.store import SqliteLedger
from pipeline.outputs import Outputs
from pipeline.profile import Abilities, PollPace

FAST = {"requests_per_minute": 6000, "polls_per_second": 100}
SHOT = spec(1)
NAME = "shot-1#1"


class Killed(Exception):
    """The process is not there any more."""


async def killed(app: App, scope: Message, receive: Any, send: Any) -> None:
    raise Killed


async def killed_in_the_answer(app: App, scope: Message, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b'{"id": "vid', "more_body": True})
    raise Killed


def remains(world: World) -> Path:
    return world.folder.with_name(f"{world.folder.name}-remains")


async def run_and_die(world: World, method: str, ending: str, fault: Fault) -> None:
    """Run until the request meets the fault, which kills the run there; the world goes on with what is left of it."""

    async def dies(app: App, scope: Message, receive: Any, send: Any) -> None:
        try:
            await fault(app, scope, receive, send)
        finally:
            shutil.copytree(world.folder, remains(world))

    world.fault(method, ending, dies)
    with pytest.raises(BaseExceptionGroup) as caught:
        await world.run([SHOT], **FAST)
    assert caught.group_contains(Killed)
    world.folder = remains(world)


async def told(ledger: SqliteLedger, *events: Event) -> Job:
    await ledger.enrol([SHOT], settings={"name": "world"})
    [job] = [job async for job in ledger.jobs({State.PLANNED})]
    for event in events:
        job = await ledger.record(job, event)
    return job


async def die_within(world: World, before: list[Event], event: Event) -> None:
    """Die when the event's row is written, and its transaction is not committed."""
    killing = False

    def clock() -> float:  # read by the ledger in the middle of a transaction
        if killing:
            shutil.copytree(world.folder, remains(world))
            raise Killed
        return now()

    with closing(SqliteLedger.create_or_open(world.folder / "ledger.db", now=clock, blocking=inline)) as ledger:
        job = await told(ledger, *before)
        killing = True
        with pytest.raises(Killed):
            await ledger.record(job, event)
    world.folder = remains(world)


def intended(key: str = "key-1") -> Intended:
    return Intended(attempt=1, idempotency_key=key, base_url="u", key_fingerprint=None, price=None, intended_at=now())


def billed(world: World) -> Accepted:
    """Have the server do the job, and return what its answer would be recorded as."""
    created = world.service.create(canonical_json(SHOT.request).encode(), "key-1").video
    return Accepted(video_id=created["id"], status="queued", submitted_at=now())


def bill(world: World) -> list[str | None]:
    return [line.idempotency_key for line in world.bill()]


BEFORE_BILLING = {"announced": killed}
AFTER_BILLING = {"billed": does_and_then(killed), "in the answer": does_and_then(killed_in_the_answer)}
INSTANTS = BEFORE_BILLING | AFTER_BILLING


async def test_an_intent_that_was_not_committed_was_never_had_and_the_job_is_sent_once(world: World) -> None:
    await die_within(world, [], intended())
    assert world.states() == {State.PLANNED}
    await world.run([SHOT])
    assert (world.states(), world.count("POST"), len(world.bill())) == ({State.DONE}, 1, 1)


async def test_no_byte_of_a_post_leaves_before_its_intent_is_on_disk(world: World) -> None:
    await run_and_die(world, "POST", "/videos", killed)
    job = world.jobs()[NAME]
    assert (job.state, world.events(NAME)) == (State.SUBMITTING, ["intended"])
    assert job.idempotency_key is not None


@pytest.mark.parametrize("instant", INSTANTS)
async def test_a_submission_that_a_crash_cut_off_is_held_where_nobody_can_be_asked(
    world_without_keys: World, instant: str
) -> None:
    world = world_without_keys
    await run_and_die(world, "POST", "/videos", INSTANTS[instant])
    assert world.states() == {State.SUBMITTING}
    for _ in range(2):
        await world.run([SHOT])
        assert (world.states(), world.count("POST")) == ({State.HELD}, 1)


@pytest.mark.parametrize("instant", INSTANTS)
async def test_a_submission_that_a_crash_cut_off_is_looked_for_in_the_list(
    world_with_list: World, instant: str
) -> None:
    world = world_with_list
    await run_and_die(world, "POST", "/videos", INSTANTS[instant])
    await world.run([SHOT])
    assert world.states() == ({State.DONE} if instant in AFTER_BILLING else {State.HELD})
    assert world.count("POST") == 1


@pytest.mark.parametrize("instant", INSTANTS)
async def test_a_submission_that_a_crash_cut_off_is_repeated_with_its_own_key(world: World, instant: str) -> None:
    await run_and_die(world, "POST", "/videos", INSTANTS[instant])
    key = world.jobs()[NAME].idempotency_key
    await world.run([SHOT])
    assert (world.states(), bill(world)) == ({State.DONE}, [key])


async def test_an_id_that_was_read_and_not_recorded_is_found_in_the_list(world_with_list: World) -> None:
    world = world_with_list
    await die_within(world, [intended()], billed(world))
    assert world.states() == {State.SUBMITTING}
    await world.run([SHOT])
    assert (world.states(), world.count("POST"), len(world.bill())) == ({State.DONE}, 0, 1)


async def test_an_id_that_is_recorded_is_followed_and_nothing_is_sent_again(world: World) -> None:
    await run_and_die(world, "GET", "", killed)
    video_id = world.jobs()[NAME].video_id
    await world.run([SHOT])
    assert (world.states(), world.count("POST")) == ({State.DONE}, 1)
    assert world.jobs()[NAME].video_id == video_id == world.bill()[0].video_id


async def test_a_status_that_was_read_and_not_recorded_is_asked_for_again(world: World) -> None:
    accepted = billed(world)
    await anyio.sleep(60)
    await die_within(world, [intended(), accepted], Completed(status="completed", expires_at=None))
    assert world.states() == {State.SUBMITTED}
    await world.run([SHOT])
    assert (world.states(), world.count("GET", accepted.video_id), world.count("POST")) == ({State.DONE}, 1, 0)


async def test_a_half_download_of_a_run_that_died_is_thrown_away_and_fetched_again(world: World) -> None:
    await run_and_die(world, "GET", "/content", killed)
    part = Outputs(world.folder).part(Job.planned(SHOT)).path
    part.parent.mkdir(exist_ok=True)
    part.write_bytes(b"the first half")
    await world.run([SHOT])
    assert (world.states(), world.count("POST"), world.count("GET", "/content")) == ({State.DONE}, 1, 2)
    assert not list(world.folder.rglob("*.part"))


async def verified(world: World, clip: bytes) -> tuple[Outputs, Job]:
    """Have a ledger in which the job is verified, with its file beside its final name."""
    outputs = Outputs(world.folder)
    with closing(SqliteLedger.create_or_open(world.folder / "ledger.db", now=now, blocking=inline)) as ledger:
        job = await told(ledger, intended(), billed(world), Completed(status="completed", expires_at=None))
        with outputs.part(job) as part:
            part.write(clip)
            fetched = part.seal(job)
        assert isinstance(fetched, Fetched)
        return outputs, await ledger.record(job, Verified(sha256=fetched.sha256, bytes=fetched.bytes))


async def test_a_file_that_is_verified_gets_its_name_without_a_request(world: World, clip: bytes) -> None:
    await verified(world, clip)
    await world.run([SHOT])
    assert (world.states(), world.seen) == ({State.DONE}, [])
    assert (world.folder / "videos/shot-1-t1.mp4").read_bytes() == clip


async def test_a_file_that_has_its_name_is_adopted_though_the_server_has_it_no_more(world: World, clip: bytes) -> None:
    outputs, job = await verified(world, clip)
    outputs.place(job)
    world.fault("GET", "/content", *[answers(410)] * 10)
    await world.run([SHOT])
    assert (world.states(), world.seen) == ({State.DONE}, [])
    assert sorted(path.name for path in (world.folder / "videos").iterdir()) == ["shot-1-t1.json", "shot-1-t1.mp4"]


EMPTY = answers(200, b'{"data": [], "has_more": false}')


def lists(method: str, path: str) -> bool:
    return method == "GET" and path.endswith("/videos")


async def test_one_list_that_lags_behind_proves_no_absence(world_with_list: World) -> None:
    """However long ago the POST was: the list's own cache may be older than its last answer."""
    world = world_with_list
    await run_and_die(world, "POST", "/videos", does_and_then(killed))
    await anyio.sleep(24 * 3600)
    world.faults.append((lists, [EMPTY]))
    await world.run([SHOT], resubmit_absent=True)
    assert (world.states(), len(world.bill())) == ({State.DONE}, 1)


async def dated(app: App, scope: Message, receive: Any, send: Any) -> None:
    """The server's answers have its own time in them."""

    async def with_date(message: Message) -> None:
        if message["type"] == "http.response.start":
            date = formatdate(now(), usegmt=True).encode()
            message = {**message, "headers": [*message["headers"], (b"date", date)]}
        await send(message)

    await app(scope, receive, with_date)


def lost_as_the_clock_is_set(world: World, error: float) -> Fault:
    async def fault(app: App, scope: Message, receive: Any, send: Any) -> None:
        world.clock_error = error
        raise httpx.ReadError("cut")

    return fault


@pytest.mark.parametrize("error", [-7200.0, 7200.0])
async def test_a_clock_that_is_wrong_is_held_against_the_servers(world_with_list: World, error: float) -> None:
    world = world_with_list
    world.clock_error = error
    world.faults.append((lists, [dated] * 100))
    world.fault("POST", "/videos", does_and_then(breaks(httpx.ReadError("cut"))))
    await world.run([SHOT])
    assert (world.states(), len(world.bill())) == ({State.DONE}, 1)


@pytest.mark.parametrize("error", [-3600.0, 3600.0])
async def test_a_clock_that_is_set_during_a_run_moves_no_stamp_of_it(world_with_list: World, error: float) -> None:
    world = world_with_list
    world.faults.append((lists, [dated] * 1000))
    world.fault("POST", "/videos", does_and_then(lost_as_the_clock_is_set(world, error)))
    await world.run([SHOT], resubmit_absent=True)
    assert (world.states(), len(world.bill())) == ({State.DONE}, 1)


@pytest.mark.parametrize("error", [-3600.0, 3600.0])
async def test_a_clock_that_is_set_between_two_runs_lets_nothing_be_paid_twice(
    world_with_list: World, error: float
) -> None:
    world = world_with_list
    world.faults.append((lists, [dated] * 1000))
    await run_and_die(world, "POST", "/videos", does_and_then(killed))
    world.clock_error = error
    await world.run([SHOT], resubmit_absent=True)
    await world.run([SHOT], resubmit_absent=True)
    job = world.jobs()[NAME]
    assert (job.state, len(world.bill())) == (State.HELD, 1)
    assert world.bill()[0].video_id in job.failure.message, "and a person is told which one it may be"


async def test_what_others_made_since_does_not_hide_a_video_when_the_clock_was_set(world_with_list: World) -> None:
    world = world_with_list
    world.faults.append((lists, [dated] * 1000))
    await run_and_die(world, "POST", "/videos", does_and_then(killed))
    for number in range(2, 150):
        await anyio.sleep(1)
        world.service.create(canonical_json(spec(number).request).encode(), None)
    world.clock_error = -3600.0
    await world.run([SHOT], resubmit_absent=True)
    assert (world.states(), world.count("POST")) == ({State.HELD}, 1)


async def test_a_clock_that_is_set_forward_does_not_end_the_wait_for_a_late_job(world_with_list: World) -> None:
    world = world_with_list
    async with anyio.create_task_group() as group:
        await run_and_die(world, "POST", "/videos", carries_out_later(world, group, 600, killed))
        world.clock_error = 3600.0
        await world.run([SHOT], resubmit_absent=True)
    assert (world.states(), len(world.bill())) == ({State.DONE}, 1)


@pytest.mark.parametrize(("error", "state"), [(-30.0, State.DONE), (-7200.0, State.HELD)])
async def test_a_clock_that_is_set_back_by_seconds_makes_no_hold_where_a_key_is_safe(
    world: World, error: float, state: State
) -> None:
    world.profile = replace(world.profile, abilities=Abilities(idempotency=True))
    await run_and_die(world, "POST", "/videos", does_and_then(killed))
    world.clock_error = error
    await world.run([SHOT])
    assert (world.states(), len(world.bill())) == ({state}, 1)


async def test_a_clock_that_is_set_forward_makes_no_job_stuck(world: World) -> None:
    async def ahead(app: App, scope: Message, receive: Any, send: Any) -> None:
        world.clock_error = 24 * 3600.0
        await app(scope, receive, send)

    world.fault("GET", "", ahead)
    await world.run([SHOT])
    assert world.states() == {State.DONE}


async def test_what_was_recorded_as_finished_stays_finished_whatever_the_server_says_then(world: World) -> None:
    await run_and_die(world, "GET", "/content", killed)
    assert world.states() == {State.COMPLETED}
    video_id = world.jobs()[NAME].video_id
    body = json.dumps({"id": video_id, "status": "queued"}).encode()
    world.fault("GET", str(video_id), *[answers(200, body)] * 100)
    polls = world.count("GET", str(video_id))
    await world.run([SHOT])
    assert (world.states(), world.count("GET", str(video_id))) == ({State.DONE}, polls)


@pytest.mark.parametrize("progress", ["50", '"45%"', "-3", "1e999", '"soon"', "[1]", "null", "9" * 400])
async def test_words_and_numbers_that_wander_harm_nothing(world: World, progress: str) -> None:
    walk = [f'{{"id": "v", "status": "{word}", "progress": {progress}}}' for word in ("in_progress", "queued", "x")]
    world.fault("GET", "", *[answers(200, body.encode()) for body in walk * 3])
    await world.run([SHOT])
    assert world.states() == {State.DONE}
    assert world.events(NAME).count("progressed") >= 6, "and the ledger remembers the walk"


async def test_a_certificate_that_nobody_trusts_ends_the_run_at_once(world: World) -> None:
    untrusted = breaks(httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate"))
    world.fault("POST", "/videos", *[untrusted] * 100)
    with anyio.fail_after(5):
        signals = await world.run([SHOT])
    assert (signals.stop, world.states(), world.count("POST")) == (Stop.UNTRUSTED, {State.PLANNED}, 1)


async def test_a_job_that_never_ends_is_for_a_person_and_every_run_asks_once_more(world: World) -> None:
    world.profile = replace(world.profile, poll=PollPace(first=60, interval=60, slowest=600))
    body = b'{"id": "v", "status": "in_progress"}'
    world.fault("POST", "/videos", does_and_then(answers(200, body)))
    world.fault("GET", "/v", *[answers(200, body)] * 10_000)
    began = anyio.current_time()
    with anyio.fail_after(8 * 3600):
        await world.run([SHOT])
    assert world.states() == {State.STUCK}
    assert anyio.current_time() - began >= 6 * 3600
    world.seen.clear()
    await world.run([SHOT])
    assert (world.states(), [method for _, method, _ in world.seen]) == ({State.STUCK}, ["GET"])


async def test_a_machine_that_takes_every_file_away_does_not_fetch_for_ever(world: World) -> None:
    def takes(name: str, path: Path, arguments: tuple[Any, ...], proceed: Callable[[], Any]) -> Any:
        result = proceed()
        if name == "fsync" and path.suffix == ".part" and "probe" not in path.name:
            path.unlink()
        return result

    with watched(world.folder, takes):
        await world.run([SHOT])
    assert (world.states(), world.count("GET", "/content")) == ({State.VERIFIED}, 3)
    await world.run([SHOT])
    assert (world.states(), len(world.bill())) == ({State.DONE}, 1)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        ("write", errno.ENOSPC),
        ("write", errno.EDQUOT),
        ("write", errno.EIO),
        ("open", errno.EROFS),
        ("open", errno.EACCES),
        ("open", errno.ENAMETOOLONG),
        ("fsync", errno.EIO),
    ],
    ids=lambda value: value if isinstance(value, str) else errno.errorcode[value],
)
@pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")  # httpx leaves its own to the collector
async def test_a_disk_that_refuses_a_video_ends_the_run_and_the_next_one_fetches_it(
    world: World, call: str, code: int
) -> None:
    def refuses(name: str, path: Path, arguments: tuple[Any, ...], proceed: Callable[[], Any]) -> Any:
        if name == call and path.suffix == ".part" and "probe" not in path.name:
            raise OSError(code, os.strerror(code))
        return proceed()

    async def refused() -> None:
        with watched(world.folder, refuses), pytest.raises(BaseExceptionGroup) as caught:
            await world.run([SHOT])
        assert caught.group_contains(StorageError, match=os.strerror(code))

    await refused()
    gc.collect()
    assert world.states() == {State.COMPLETED}
    assert not list(world.folder.rglob("*.part")), "on a full disk others need the room"
    before = world.count("GET", "/content")
    await world.run([SHOT])
    assert (world.states(), world.count("POST")) == ({State.DONE}, 1)
    assert world.count("GET", "/content") == before + 1, "what a failed sync may have lost is not trusted"

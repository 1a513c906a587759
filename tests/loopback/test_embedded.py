"""The verbs inside a program that is not ours: it cancels them, has its own signals, its own threads."""

import asyncio
import signal
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import pytest
from gateway import PLAIN, Answer, Bill, Gateway, gateway, plain, simulator

from pipeline import commands, reporting, selecting, watching
from pipeline.blocking import Left, checkpoint, in_a_thread
from pipeline.breakers import Stop
from pipeline.delivery import Wanted, export
from pipeline.errors import UsageError
from pipeline.events import Accepted, Event, Intended
from pipeline.instructions import Options, Profiles
from pipeline.jobs import DOUBTFUL, Job
from pipeline.onlookers import Exchange, Progress
from pipeline.outputs import Outputs
from pipeline.planning import plan
from pipeline.steps import ROOM
from pipeline.supervision import apart
from pipeline.tally import Gauges
from pipeline.trial import trial

MANIFEST = {
    "version": 1,
    "name": "trip",
    "provider": "plain",
    "jobs": [{"id": f"shot-{number}", "prompt": f"A fox, number {number}"} for number in range(8)],
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Gateway]:
    with simulator(tmp_path / "bill.db") as upstream, gateway(upstream.removesuffix("/v1")) as front:
        yield front


@pytest.fixture
def options(tmp_path: Path, server: Gateway) -> Options:
    (tmp_path / "plain.yaml").write_text(plain(limits={**PLAIN["limits"], "max_in_flight": 3}))
    profiles = Profiles(file=tmp_path / "plain.yaml")
    return Options(output=tmp_path / "outputs", base_url=server.url, yes=True, profiles=profiles)


async def cancelled_at(event: type[Event], options: Options) -> None:
    """Run until a job has had this event, and then cancel the run."""
    with anyio.CancelScope() as scope:

        class Cancelling(Progress):
            def observe(self, before: Job, now: Event, after: Job) -> None:
                if isinstance(now, event):
                    scope.cancel()

        cleared = await commands.cleared(MANIFEST, options)
        await commands.run(cleared, progress=Cancelling())
    assert scope.cancelled_caught


@pytest.mark.parametrize("event", [Intended, Accepted])
async def test_a_run_that_is_cancelled_loses_no_answer_and_the_next_one_goes_on(
    tmp_path: Path, server: Gateway, options: Options, event: type[Event]
) -> None:
    def slowly(method: str, path: str, act: Callable[[], Answer]) -> Answer:
        answer = act()
        time.sleep(0.2 if method == "POST" else 0)
        return answer

    server.meddle = slowly
    await cancelled_at(event, options)
    sent, bill = [one for one in server.seen if one[0] == "POST"], Bill(tmp_path / "bill.db")
    found = await watching.status(tmp_path / "outputs/trip", options)
    assert 0 < len(sent) == len(bill) < 8
    assert sum(job.video_id is not None for job in found.jobs) == len(bill), "every answer is on record"
    assert not any(job.state in DOUBTFUL for job in found.jobs)
    ended = await commands.run(await commands.cleared(MANIFEST, options))
    assert (ended.exit_code, len(bill)) == (0, 8)


class Raising(Progress):
    """A listener that raises, once, at an event or at the answer to a POST."""

    def __init__(self, at: type[Event] | str, error: Exception) -> None:
        self._at, self._error, self._raised = at, error, False

    def observe(self, before: Job, event: Event, after: Job) -> None:
        self._raise(type(event))

    def heard(self, exchange: Exchange) -> None:
        self._raise(exchange.method)

    def beat(self, gauges: Gauges) -> None:
        self._raise("beat")

    def _raise(self, at: type[Event] | str) -> None:
        if at == self._at and not self._raised:
            self._raised = True
            raise self._error


@pytest.mark.parametrize(
    ("anyio_backend", "at", "error"),
    [
        ("asyncio", Intended, ValueError("x")),
        ("trio", Accepted, KeyError("x")),
        ("trio", "POST", BrokenPipeError()),
        ("asyncio", "POST", KeyError("x")),
        ("asyncio", "GET", ValueError("x")),
        ("trio", "beat", OSError()),
    ],
    ids=str,
)
async def test_what_a_listener_raises_loses_no_answer_and_is_raised_when_all_is_recorded(
    tmp_path: Path, server: Gateway, options: Options, at: type[Event] | str, error: Exception
) -> None:
    cleared = await commands.cleared(MANIFEST, options)
    with pytest.raises(type(error)):
        await commands.run(cleared, progress=Raising(at, error))
    bill = Bill(tmp_path / "bill.db")
    found = await watching.status(tmp_path / "outputs/trip", options)
    assert sum(job.video_id is not None for job in found.jobs) == len(bill)
    assert not any(job.state in DOUBTFUL for job in found.jobs)
    if at != "beat":
        return
    ended = await commands.run(await commands.cleared(MANIFEST, options))
    assert (ended.exit_code, len(bill)) == (0, 8)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_what_is_shielded_is_shielded_from_asyncio_too() -> None:
    begun, done = anyio.Event(), []

    async def work() -> None:
        with anyio.CancelScope(shield=True):
            begun.set()
            await anyio.sleep(0.05)
            done.append("recorded")
        await anyio.sleep(60)

    task = asyncio.create_task(apart(work))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == ["recorded"]


async def marks_a_job(campaign: Path, options: Options) -> None:
    await selecting.reject(campaign, options, ["shot-1"])


async def deletes_a_video(campaign: Path, options: Options) -> None:
    (campaign / "videos/shot-1-t1.mp4").unlink()


async def changes_what_no_sum_shows(campaign: Path, options: Options) -> None:
    with closing(sqlite3.connect(campaign / "ledger.db", isolation_level=None)) as connection:
        connection.execute("UPDATE jobs SET name = 'another#1', request_hash = 'b' WHERE name = 'shot-1#1'")


@pytest.mark.parametrize("somebody", [marks_a_job, deletes_a_video, changes_what_no_sum_shows])
async def test_what_was_cleared_for_nothing_does_not_spend(
    tmp_path: Path, server: Gateway, options: Options, somebody: Callable[[Path, Options], Awaitable[None]]
) -> None:
    await commands.run(await commands.cleared(MANIFEST, options))
    cleared = await commands.cleared(MANIFEST, options)
    await somebody(tmp_path / "outputs/trip", options)
    with pytest.raises(UsageError, match="there is work now"):
        await commands.run(cleared)
    assert len(Bill(tmp_path / "bill.db")) == 8


async def test_who_agreed_to_a_canary_of_what_the_ledger_knows_is_believed(
    tmp_path: Path, server: Gateway, options: Options
) -> None:
    options = replace(options, yes=False, price=0.1)
    await commands.run(await commands.cleared(MANIFEST, replace(options, no_submit=True)))
    first = trial(await commands.cleared(MANIFEST, options, confirm=lambda prepared: True), 2)
    assert first
    await commands.run(first.first)
    assert len(Bill(tmp_path / "bill.db")) == 2


async def test_room_is_wanted_for_videos_as_long_as_those_of_earlier_runs(
    tmp_path: Path, server: Gateway, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    await commands.run(await commands.cleared(MANIFEST, options))
    await selecting.reject(tmp_path / "outputs/trip", options, ["shot-1"])
    monkeypatch.setattr(Outputs, "free", lambda self: ROOM + 1000)
    ended = await commands.run(await commands.cleared(MANIFEST, options))
    assert (ended.stop, len(Bill(tmp_path / "bill.db"))) == (Stop.DISK, 8)


def test_a_run_leaves_signals_alone_and_works_in_any_thread(tmp_path: Path, server: Gateway, options: Options) -> None:
    before, seen, ended = signal.getsignal(signal.SIGINT), [], []

    class Looking(Progress):
        def observe(self, *_: Any) -> None:
            seen.append(signal.getsignal(signal.SIGINT))

    async def run() -> None:
        ended.append(await commands.run(await commands.cleared(MANIFEST, options), progress=Looking()))

    thread = threading.Thread(target=partial(anyio.run, run))
    thread.start()
    thread.join()
    assert ended[0].exit_code == 0
    assert set(seen) == {before}


def test_an_export_that_is_cancelled_leaves_nothing(tmp_path: Path, options: Options) -> None:
    campaign, wanted = tmp_path / "outputs/trip", Wanted("videofolder", tmp_path / "made")
    left = threading.Event()

    async def cancelled() -> None:
        await commands.run(await commands.cleared(MANIFEST, options))
        with anyio.CancelScope() as scope:

            def cancel(videos: int) -> None:
                if videos == 2:
                    anyio.from_thread.run_sync(scope.cancel)
                    left.wait(10)

            await export(campaign, options, wanted, cancel)
        assert scope.cancelled_caught
        assert list(tmp_path.glob(".*"))  # noqa: ASYNC240  # it is at work still
        left.set()

    anyio.run(cancelled)
    deadline = time.monotonic() + 20
    while list(tmp_path.glob(".*")):
        assert time.monotonic() < deadline, "nobody tidies up"
        time.sleep(0.01)
    assert not (tmp_path / "made").exists()
    assert anyio.run(export, campaign, options, wanted).placed
    assert anyio.run(reporting.report, campaign, options, None).videos == 8


async def test_a_plan_of_a_value_cannot_be_saved(tmp_path: Path, options: Options) -> None:
    with pytest.raises(UsageError, match="names its manifest's file"):
        await plan(MANIFEST, options, save=tmp_path / "plan.json")
    assert (await plan(MANIFEST, options)).cost.jobs == 8


async def test_who_has_left_is_not_worked_for() -> None:
    begun, ended = threading.Event(), threading.Event()

    @in_a_thread
    def work() -> None:
        begun.set()
        try:
            while True:
                checkpoint()
        except Left:
            ended.set()
            raise

    async with anyio.create_task_group() as group:
        group.start_soon(work)
        await anyio.to_thread.run_sync(begun.wait)
        group.cancel_scope.cancel()
    await anyio.to_thread.run_sync(ended.wait, 10)
    assert ended.is_set()
    checkpoint()  # where nobody waits, nobody can leave

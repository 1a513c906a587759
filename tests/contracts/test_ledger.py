"""What any ledger promises: acknowledged is on disk, nothing is lost, and a bug cannot pay twice."""

import contextlib
import resource
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import anyio
import pytest

from pipeline.blocking import in_threads, inline
from pipeline.errors import IllegalTransition, LedgerError, LedgerLocked
from pipeline.events import (
    TRANSITIONS,
    Accepted,
    Completed,
    Doubted,
    Event,
    Held,
    Intended,
    Published,
    Refused,
    Renamed,
    Returned,
    Verified,
)
from pipeline.jobs import Failure, FailureKind, Job, Spec, State
from pipeline.ledger import DuplicateVideo, reading
from pipeline.ledger.lock import run_lock
from pipeline.ledger.store import SqliteLedger

FAILURE = Failure(FailureKind.SERVER, "no", code="c", http_status=500)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def spec(number: int, prompt: str = "A city", **more: object) -> Spec:
    request = {"model": "sora-2", "prompt": prompt, "size": "1280x720", "seconds": "4", **more}
    return Spec(f"job-{number}#1", 1, request, f"job-{number}-t1.mp4", "m.yaml:1:1", ("hero",), {"n": number})


def intended(attempt: int = 1) -> Intended:
    return Intended(
        attempt=attempt,
        idempotency_key=f"key-{attempt}",
        base_url="https://a/v1",
        key_fingerprint="f",
        price=0.4,
        intended_at=1.0,
    )


def accepted(video_id: str) -> Accepted:
    return Accepted(video_id=video_id, status="queued", submitted_at=2.0, raw=b'{"id": "\xff"}')


@pytest.fixture(params=["inline", "threads"])
async def ledger(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[SqliteLedger]:
    blocking = inline if request.param == "inline" else in_threads(1)
    with closing(SqliteLedger.create_or_open(tmp_path / "ledger.db", now=lambda: 7.0, blocking=blocking)) as opened:
        yield opened


async def everything(ledger: SqliteLedger) -> list[Job]:
    return [job async for job in ledger.jobs(tuple(State))]


async def test_a_signal_while_the_ledger_is_read_is_no_error(tmp_path: Path) -> None:
    async def slowly(call: Callable[[], Any]) -> Any:
        await anyio.sleep(0.05)
        return call()

    with closing(SqliteLedger.create_or_open(tmp_path / "ledger.db", now=lambda: 7.0, blocking=slowly)) as ledger:
        await ledger.enrol([spec(1)], settings={})
        with anyio.move_on_after(0.01) as scope:
            await ledger.claimed(["video_1"])
        with anyio.move_on_after(0.01) as other:
            await everything(ledger)
        assert (scope.cancel_called, other.cancel_called) == (True, True)
        await ledger.remember(still="good")


async def test_jobs_come_back_as_they_were_enrolled_in_the_manifests_order(ledger: SqliteLedger) -> None:
    specs = [spec(number) for number in (3, 1, 2)]
    await ledger.enrol(specs, settings={})
    assert await everything(ledger) == [Job.planned(spec) for spec in specs]


async def test_more_jobs_than_a_page_are_read_once_each(ledger: SqliteLedger) -> None:
    await ledger.enrol([spec(number) for number in range(2500)], settings={})
    names = [job.name for job in await everything(ledger)]
    assert len(names) == len(set(names)) == 2500


async def test_a_mark_changes_with_what_is_written_and_with_nothing_else(tmp_path: Path) -> None:
    path, link, marks = tmp_path / "ledger.db", tmp_path / "link.db", []
    link.symlink_to(path)

    def opened() -> SqliteLedger:
        return SqliteLedger.create_or_open(path, now=lambda: 1e9, blocking=inline)

    def mark() -> int:
        marks.append(reading.mark(path))
        assert reading.mark(link) == marks[-1]
        return len({*marks})

    with closing(opened()) as ledger:
        await ledger.enrol([spec(1)], settings={})
        assert mark() == 1
        with reading.opened(path) as connection:
            assert len([*reading.jobs(connection)]) == 1
        (job,) = [job async for job in ledger.jobs(State)]
        assert mark() == 1
        await ledger.record(job, intended())
        assert mark() == 2, "what is only in the log is written"
        await ledger.remember(vars={})
        assert mark() == 3
    assert mark() == 4, "now it is in the file"
    opened().close()
    with reading.opened(path) as connection:
        assert len([*reading.jobs(connection)]) == 1
    assert mark() == 4


async def test_what_record_returns_is_what_another_reader_sees(ledger: SqliteLedger, tmp_path: Path) -> None:
    await ledger.enrol([spec(1)], settings={"name": "x"})
    job = (await everything(ledger))[0]
    for event in (
        intended(),
        accepted("v"),
        Completed(status="completed", expires_at=9.5),
        Verified(sha256="ab", bytes=3, warnings=("short",)),
        Published(path="videos/a.mp4"),
    ):
        job = await ledger.record(job, event)
        with reading.opened(tmp_path / "ledger.db") as connection:
            assert list(reading.jobs(connection)) == [job]
    with reading.opened(tmp_path / "ledger.db") as connection:
        story = reading.events(connection, job)
        assert reading.settings(connection) == {"name": "x"}
    assert [entry.kind for entry in story] == ["intended", "accepted", "completed", "verified", "published"]
    assert (story[1].raw, story[1].at, story[1].data["video_id"]) == (b'{"id": "\xff"}', 7.0, "v")


async def test_many_who_wait_are_all_recorded(ledger: SqliteLedger) -> None:
    await ledger.enrol([spec(number) for number in range(300)], settings={})

    async def submit(job: Job) -> None:
        await ledger.record(await ledger.record(job, intended()), accepted(f"v-{job.name}"))

    async with anyio.create_task_group() as group:
        for job in await everything(ledger):
            group.start_soon(submit, job)
    assert {job.state for job in await everything(ledger)} == {State.SUBMITTED}


async def test_a_record_that_was_begun_is_finished_though_its_task_is_cancelled(ledger: SqliteLedger) -> None:
    await ledger.enrol([spec(1)], settings={})
    with anyio.CancelScope() as scope:
        scope.cancel()
        await ledger.record((await everything_shielded(ledger))[0], intended())
    assert (await everything(ledger))[0].state is State.SUBMITTING


async def test_who_waits_for_anothers_commit_has_his_own_on_disk_though_cancelled(tmp_path: Path) -> None:
    """And goes on as after any shield: what is recorded was recorded, and the next wait ends him."""
    wrote = anyio.Event()

    async def slowly(call: Callable[[], Any]) -> Any:
        wrote.set()
        await anyio.sleep(0.05)
        return call()

    told: list[Job] = []

    async def record(job: Job, scope: anyio.CancelScope) -> None:
        with scope:
            told.append(await ledger.record(job, intended()))
            await anyio.sleep_forever()

    with closing(SqliteLedger.create_or_open(tmp_path / "ledger.db", now=lambda: 7.0, blocking=slowly)) as ledger:
        await ledger.enrol([spec(number) for number in range(5)], settings={})
        jobs, wrote = await everything(ledger), anyio.Event()
        scopes = [anyio.CancelScope() for _ in jobs]
        async with anyio.create_task_group() as group:
            for job, scope in zip(jobs, scopes, strict=True):
                group.start_soon(record, job, scope)
            await wrote.wait()
            for scope in scopes:
                scope.cancel()
        assert {job.state for job in told} == {State.SUBMITTING}
        assert sorted(told, key=lambda job: job.name) == await everything(ledger)


async def everything_shielded(ledger: SqliteLedger) -> list[Job]:
    with anyio.CancelScope(shield=True):
        return await everything(ledger)
    raise AssertionError


async def test_nobody_is_told_of_a_commit_that_did_not_happen(ledger: SqliteLedger, tmp_path: Path) -> None:
    await ledger.enrol([spec(1), spec(2), spec(3)], settings={})
    jobs = [await ledger.record(job, intended()) for job in await everything(ledger)]
    told: set[str] = set()

    async def accept(job: Job, video_id: str) -> None:
        with contextlib.suppress(LedgerError, UnicodeEncodeError):
            told.add((await ledger.record(job, accepted(video_id))).name)

    async with anyio.create_task_group() as group:
        for job, video_id in zip(jobs, ["v1", "\ud800", "v3"], strict=True):  # which no file can hold
            group.start_soon(accept, job, video_id)
    ledger.close()
    with reading.opened(tmp_path / "ledger.db") as connection:
        assert told == {job.name for job in reading.jobs(connection, [State.SUBMITTED])}


async def test_an_id_belongs_to_one_job(ledger: SqliteLedger) -> None:
    await ledger.enrol([spec(1), spec(2)], settings={})
    first, second = [await ledger.record(job, intended()) for job in await everything(ledger)]
    await ledger.record(first, accepted("v"))
    with pytest.raises(DuplicateVideo):
        await ledger.record(second, accepted("v"))
    doubted = await ledger.record(second, Doubted(failure=FAILURE))
    assert (doubted.state, doubted.failure) == (State.IN_DOUBT, FAILURE)


async def test_a_stale_picture_of_a_job_cannot_be_written(ledger: SqliteLedger) -> None:
    await ledger.enrol([spec(1)], settings={})
    job = (await everything(ledger))[0]
    await ledger.record(job, intended())
    with pytest.raises(LedgerError, match="another program"):
        await ledger.record(job, intended())
    with pytest.raises(LedgerError, match="another program"):
        await ledger.record(job, intended())


async def test_a_move_that_is_not_in_the_table_is_a_bug_and_writes_nothing(ledger: SqliteLedger) -> None:
    await ledger.enrol([spec(1)], settings={})
    job = (await everything(ledger))[0]
    with pytest.raises(IllegalTransition):
        await ledger.record(job, accepted("v"))
    assert await everything(ledger) == [job]


async def test_enrolling_again_keeps_what_was_sent_and_follows_the_manifest_otherwise(ledger: SqliteLedger) -> None:
    await ledger.enrol([spec(1), spec(2), spec(3)], settings={})
    one, two, _ = await everything(ledger)
    one = await ledger.record(one, intended())
    two = await ledger.record(await ledger.record(two, intended()), Refused(failure=FAILURE))
    await ledger.enrol([spec(4), replace(spec(1), tags=("new",), output="other.mp4")], settings={})
    jobs = {job.name: job for job in await everything(ledger)}
    assert set(jobs) == {"job-1#1", "job-2#1", "job-4#1"}, "what was never sent is dropped, what was sent stays"
    assert jobs["job-1#1"] == replace(one, tags=("new",)), "a job in flight keeps its file name"
    assert jobs["job-2#1"] == replace(two, orphaned=True)
    await ledger.enrol([spec(1), spec(2)], settings={})
    assert not any(job.orphaned for job in await everything(ledger))


async def test_a_renamed_job_keeps_all_but_its_name(ledger: SqliteLedger) -> None:
    await ledger.enrol([spec(1)], settings={})
    job = await ledger.record((await everything(ledger))[0], intended())
    renamed = await ledger.record(job, Renamed(name="new#1", output="new.mp4", path=None))
    await ledger.enrol([replace(spec(1), name="new#1", output="new.mp4")], settings={})
    assert await everything(ledger) == [renamed]


def _events(job: Job) -> list[Event]:
    return [
        intended(job.attempt + 1),
        accepted(f"v-{job.name}"),
        Returned(failure=FAILURE),
        Refused(failure=FAILURE),
        Doubted(failure=FAILURE),
        Held(failure=FAILURE),
        Completed(status="completed", expires_at=None),
        Verified(sha256="ab", bytes=3),
        Published(path="p"),
    ]


async def test_the_events_tell_the_whole_story_of_every_job(ledger: SqliteLedger, tmp_path: Path) -> None:
    """Random walks through the table: the last event names the state that the job has."""
    await ledger.enrol([spec(number) for number in range(40)], settings={})
    rng = Random(4)
    for job in await everything(ledger):
        for _ in range(rng.randrange(1, 12)):
            legal = [event for event in _events(job) if type(event) in TRANSITIONS[job.state]]
            if not legal:
                break
            job = await ledger.record(job, rng.choice(legal))  # noqa: PLW2901
    with reading.opened(tmp_path / "ledger.db") as connection:
        for job in reading.jobs(connection):
            assert reading.events(connection, job)[-1].state is job.state


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE jobs SET state = 'planned'",
        "UPDATE jobs SET state = 'submitting'",
        "UPDATE jobs SET video_id = 'other'",
        "UPDATE jobs SET video_id = NULL",
        "UPDATE jobs SET state = 'nonsense'",
        "DELETE FROM jobs",
        "DELETE FROM events",
        "UPDATE events SET kind = 'x'",
    ],
)
async def test_the_file_itself_forbids_what_would_lose_or_repeat_a_payment(
    ledger: SqliteLedger, tmp_path: Path, sql: str
) -> None:
    await ledger.enrol([spec(1)], settings={})
    job = await ledger.record((await everything(ledger))[0], intended())
    await ledger.record(job, accepted("v"))
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection, pytest.raises(sqlite3.IntegrityError):
        connection.execute(sql)


def test_the_ledger_is_for_its_owners_eyes(tmp_path: Path) -> None:
    with closing(SqliteLedger.create_or_open(tmp_path / "ledger.db", now=lambda: 0.0, blocking=inline)):
        assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_a_ledger_that_cannot_be_opened_for_want_of_descriptors_is_said_to_be_so(tmp_path: Path) -> None:
    """However many are left: one more or less, and another of the files that are opened is the one that is refused."""
    path = tmp_path / "ledger.db"
    SqliteLedger.create_or_open(path, now=lambda: 0.0, blocking=inline).close()
    taken = {int(entry.name) for entry in Path("/dev/fd").iterdir()}
    free = [number for number in range(max(taken) + 30) if number not in taken]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    refused = 0
    for left in range(20):
        resource.setrlimit(resource.RLIMIT_NOFILE, (free[left], hard))
        try:
            SqliteLedger.create_or_open(path, now=lambda: 0.0, blocking=inline).close()
        except LedgerError:
            refused += 1
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert 3 < refused < 20


def _foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
        connection.commit()


def _newer(path: Path) -> None:
    SqliteLedger.create_or_open(path, now=lambda: 0.0, blocking=inline).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.write_bytes(b"not a database" * 100), "not a database"),
        (_foreign, "not a ledger"),
        (_newer, "newer Callsheet"),
        (lambda path: path.mkdir(), "ledger"),
        (lambda path: path.write_bytes(b""), "empty"),
    ],
)
def test_a_file_that_is_no_ledger_of_ours_is_refused_and_not_touched(make, words, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(LedgerError, match=words):
        SqliteLedger.create_or_open(path, now=lambda: 0.0, blocking=inline)
    with pytest.raises(LedgerError), reading.opened(path):
        pass
    assert (path.read_bytes() if path.is_file() else None) == before


def test_the_lock_keeps_a_second_run_out_and_names_the_first(tmp_path: Path) -> None:
    path = tmp_path / "ledger.lock"
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent(f"""
                import sys, time
                from pathlib import Path
                from pipeline.ledger.lock import run_lock
                with run_lock(Path({str(path)!r})):
                    print("held", flush=True)
                    sys.stdin.read()
            """),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(LedgerLocked, match=str(holder.pid)), run_lock(path):
            pass
        holder.kill()
        holder.wait()
        with run_lock(path):
            pass

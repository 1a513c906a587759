"""The rules that a ledger's file keeps by itself: with a bug in Python, with a tool, with a flipped bit."""

import contextlib
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from random import Random

import anyio
import pytest

from pipeline.blocking import inline
from pipeline.costs import Account
from pipeline.errors import LedgerError
from pipeline.events import (
    Abandoned,
    Accepted,
    Adopted,
    Completed,
    Doubted,
    Event,
    Expired,
    Failed,
    Held,
    Intended,
    Lost,
    Picked,
    Published,
    Refused,
    Rejected,
    Reprieved,
    Resubmitted,
    Retried,
    Returned,
    Verified,
)
from pipeline.jobs import Failure, FailureKind, Job, Spec, State
from pipeline.ledger import BudgetReached, DuplicateVideo, reading, schema
from pipeline.ledger.rows import COLUMNS
from pipeline.ledger.store import SqliteLedger

FAILURE = Failure(FailureKind.SERVER, "no")
INTENDED = Intended(attempt=1, idempotency_key="key-1", base_url="u", key_fingerprint=None, price=0.4, intended_at=1.0)
ACCEPTED = Accepted(video_id="v", status="queued", submitted_at=2.0)
FAILED = Failed(status="failed", price=0.4, failure=FAILURE)
COMPLETED = Completed(status="completed", expires_at=None)
RESUBMITTED = Resubmitted(by="ada", approvals=1, sunk=0.4)
DONE = [INTENDED, ACCEPTED, COMPLETED, Verified(sha256="a", bytes=1), Published(path="p")]
REJECTED = Rejected(by="ada", approvals=1, sunk=0.4, was="p", kept="k", kept_sha256="a")
HELD = [INTENDED, Doubted(failure=FAILURE), Held(failure=FAILURE)]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def opened(path: Path, *, unchecked: bool = False) -> SqliteLedger:
    return SqliteLedger.create_or_open(path, now=lambda: 5.0, blocking=inline, unchecked=unchecked)


def spec(number: int) -> Spec:
    request = {"model": "sora-2", "prompt": f"Shot {number}", "size": "1280x720", "seconds": "4"}
    return Spec(f"job-{number}#1", 1, request, f"{number}.mp4", "m.yaml:1:1")


async def told(ledger: SqliteLedger, job: Job, *events: Event) -> Job:
    for event in events:
        job = await ledger.record(job, event)
    return job


async def after(path: Path, *events: Event) -> None:
    """Make a ledger with one job to which this has happened."""
    with closing(opened(path)) as ledger:
        await ledger.enrol([spec(1)], settings={})
        [job] = [job async for job in ledger.jobs(tuple(State))]
        await told(ledger, job, *events)


@pytest.mark.parametrize(
    ("events", "sql"),
    [
        (HELD, "UPDATE jobs SET state = 'planned'"),
        (HELD, "UPDATE jobs SET state = 'failed'"),
        (HELD[:2], "UPDATE jobs SET state = 'planned'"),
        (HELD[:2], "UPDATE jobs SET state = 'failed'"),
        (HELD, "UPDATE jobs SET state = 'planned', approvals = 2"),
        ([INTENDED, ACCEPTED, Lost(failure=FAILURE)], "UPDATE jobs SET state = 'planned'"),
        ([INTENDED, ACCEPTED, Lost(failure=FAILURE)], "UPDATE jobs SET state = 'planned', video_id = NULL"),
        ([INTENDED, ACCEPTED, FAILED], "UPDATE jobs SET state = 'planned'"),
        (
            [INTENDED, ACCEPTED, Failed(status="failed", price=0.4, failure=FAILURE)],
            "UPDATE jobs SET state = 'planned', video_id = NULL",
        ),
        ([INTENDED, ACCEPTED, COMPLETED], "UPDATE jobs SET state = 'planned', video_id = NULL"),
        ([INTENDED, ACCEPTED, COMPLETED], "UPDATE jobs SET state = 'planned', approvals = 2"),
        ([INTENDED, ACCEPTED, Expired(failure=FAILURE)], "UPDATE jobs SET state = 'planned', video_id = NULL"),
        (DONE, "UPDATE jobs SET state = 'planned', video_id = NULL"),
        (DONE, "UPDATE jobs SET state = 'planned', video_id = NULL, sunk = 0.4, approvals = 2"),
        (DONE, "UPDATE jobs SET state = 'planned', video_id = NULL, approvals = 1"),
        (DONE, "UPDATE jobs SET picked = 2"),
        ([*HELD, Abandoned(by="ada", approvals=1, failure=FAILURE)], "UPDATE jobs SET state = 'planned'"),
        ([INTENDED, ACCEPTED], "UPDATE jobs SET video_id = NULL, state = 'planned', approvals = 1"),
        ([INTENDED, ACCEPTED], "UPDATE jobs SET video_id = 'w'"),
        ([INTENDED, ACCEPTED], "DELETE FROM claims"),
        ([INTENDED, ACCEPTED], "UPDATE claims SET video_id = 'w'"),
        ([INTENDED, ACCEPTED], "UPDATE jobs SET video_id = NULL, state = 'submitting', idempotency_key = 'k'"),
    ],
)
async def test_no_statement_leads_back_to_a_second_payment(tmp_path: Path, events: list[Event], sql: str) -> None:
    await after(tmp_path / "ledger.db", *events)
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection, pytest.raises(sqlite3.IntegrityError):
        connection.execute(sql)


async def test_by_a_persons_word_a_job_is_paid_again_once_and_its_old_id_stays_its_own(tmp_path: Path) -> None:
    with closing(opened(tmp_path / "ledger.db")) as ledger:
        await ledger.enrol([spec(1), spec(2)], settings={})
        first, second = [job async for job in ledger.jobs({State.PLANNED})]
        lost = await told(ledger, first, INTENDED, ACCEPTED, Lost(failure=FAILURE))
        again = await told(ledger, lost, RESUBMITTED)
        assert (again.state, again.video_id, again.sunk) == (State.PLANNED, None, 0.4)
        other = await told(ledger, second, INTENDED)
        with pytest.raises(DuplicateVideo):
            await ledger.record(other, ACCEPTED)
        assert await ledger.claimed(["v", "w"]) == {"v"}


async def test_what_was_refused_comes_back_and_what_was_held_is_adopted(tmp_path: Path) -> None:
    with closing(opened(tmp_path / "ledger.db")) as ledger:
        await ledger.enrol([spec(1), spec(2)], settings={})
        first, second = [job async for job in ledger.jobs({State.PLANNED})]
        assert (await told(ledger, first, INTENDED, Refused(failure=FAILURE), Reprieved())).state is State.PLANNED
        found = Adopted(video_id="v", status="queued", submitted_at=2.0, by="ada")
        assert (await told(ledger, second, *HELD, found)).state is State.SUBMITTED


async def test_the_budget_is_kept_by_the_file(tmp_path: Path) -> None:
    with closing(opened(tmp_path / "ledger.db")) as ledger:
        await ledger.enrol([spec(number) for number in range(5)], settings={}, max_cost=1.0)
        jobs = [job async for job in ledger.jobs({State.PLANNED})]
        await told(ledger, jobs[0], INTENDED)
        await told(ledger, jobs[1], INTENDED, Returned(failure=FAILURE))
        await told(ledger, jobs[2], INTENDED, ACCEPTED, Failed(status="failed", price=0.4, failure=FAILURE))
        with pytest.raises(BudgetReached):
            await ledger.record(jobs[3], INTENDED)
        assert [job.name async for job in ledger.jobs({State.PLANNED})] == ["job-1#1", "job-3#1", "job-4#1"]


@pytest.mark.parametrize(("sunk", "fits"), [(0.4, False), (0.0, True)], ids=["billed", "unbilled"])
async def test_what_is_sent_once_more_keeps_to_the_budget(tmp_path: Path, sunk: float, fits: bool) -> None:
    with closing(opened(tmp_path / "ledger.db")) as ledger:
        await ledger.enrol([spec(1)], settings={}, max_cost=0.7)
        [job] = [job async for job in ledger.jobs({State.PLANNED})]
        failed = await told(ledger, job, INTENDED, ACCEPTED, Failed(status="failed", price=0.4, failure=FAILURE))
        again = await told(ledger, failed, Retried(by="retry: server", approvals=1, sunk=sunk, failure=FAILURE))
        assert (again.state, again.video_id, again.failure) == (State.PLANNED, None, FAILURE)
        second = replace(INTENDED, attempt=2, idempotency_key="key-2")
        if fits:
            assert (await told(ledger, again, second)).state is State.SUBMITTING
        else:
            with pytest.raises(BudgetReached):
                await ledger.record(again, second)


@pytest.mark.parametrize(("budget", "fits"), [(0.7, False), (0.9, True)])
async def test_another_take_of_a_finished_job_is_paid_besides_the_first(
    tmp_path: Path, budget: float, fits: bool
) -> None:
    with closing(opened(tmp_path / "ledger.db")) as ledger:
        await ledger.enrol([spec(1)], settings={}, max_cost=budget)
        [job] = [job async for job in ledger.jobs({State.PLANNED})]
        planned = await told(ledger, job, *DONE, Picked(picked=True), REJECTED)
        assert (planned.state, planned.picked, planned.path, planned.sha256) == (State.PLANNED, False, None, None)
        await ledger.enrol([spec(1)], settings={}, max_cost=budget)
        assert [job async for job in ledger.jobs({State.PLANNED})] == [planned], "it is kept, as it was sent"
        assert await ledger.claimed(["v"]) == {"v"}
        second = replace(INTENDED, attempt=2, idempotency_key="key-2")
        if fits:
            sent = await told(ledger, planned, second)
            with pytest.raises(DuplicateVideo):
                await ledger.record(sent, ACCEPTED)
        else:
            with pytest.raises(BudgetReached):
                await ledger.record(planned, second)


async def test_a_ledger_of_the_first_format_is_lifted(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    await after(path, INTENDED, ACCEPTED, Completed(status="completed", expires_at=None))
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(f"SELECT {', '.join(_FIRST_COLUMNS)} FROM jobs").fetchall()
    path.unlink()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        schema.MIGRATIONS[0](connection)
        connection.execute("PRAGMA user_version = 1")
        marks = ", ".join("?" * len(_FIRST_COLUMNS))
        connection.executemany(f"INSERT INTO jobs ({', '.join(_FIRST_COLUMNS)}) VALUES ({marks})", rows)
    with closing(opened(path)) as ledger:
        [job] = [job async for job in ledger.jobs(tuple(State))]
        assert (job.state, job.video_id, job.approvals) == (State.COMPLETED, "v", 0)
        assert await ledger.claimed(["v"]) == {"v"}
        done = await told(ledger, job, Verified(sha256="a", bytes=1), Published(path="p"))
        assert done.state is State.DONE
        picked = await told(ledger, done, Picked(picked=True))
        assert [job async for job in ledger.jobs({State.DONE})] == [picked]


async def test_a_ledger_of_the_fifth_format_is_lifted_with_all_that_it_knows(tmp_path: Path) -> None:
    """Its table of jobs is made anew, and what else there is belongs to the same ones."""
    whole, old = tmp_path / "ledger.db", tmp_path / "old.db"
    await after(whole, INTENDED, ACCEPTED)
    tables = ("settings", "jobs", "events", "claims", "account")
    with closing(sqlite3.connect(old, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        for migration in schema.MIGRATIONS[:5]:
            migration(connection)
        connection.execute("PRAGMA user_version = 5")
        connection.execute("DELETE FROM account")
        connection.execute("ATTACH ? AS whole", (str(whole),))
        for table in tables:
            connection.execute(f"INSERT INTO {table} SELECT * FROM whole.{table}")
    with closing(opened(old)) as ledger:
        assert [job async for job in ledger.jobs(tuple(State))] == [await _only(whole)]
        await ledger.enrol([spec(1), spec(2)], settings={})
        [other] = [job async for job in ledger.jobs({State.PLANNED})]
        other = await told(ledger, other, INTENDED)
        with pytest.raises(DuplicateVideo):
            await told(ledger, other, ACCEPTED)
    with closing(sqlite3.connect(old)) as connection:
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        [(state,)] = connection.execute("SELECT state FROM jobs JOIN claims ON job = jobs.id").fetchall()
        assert state == State.SUBMITTED


async def _only(path: Path) -> Job:
    with closing(opened(path)) as ledger:
        [job] = [job async for job in ledger.jobs(tuple(State))]
        return job


_FIRST_COLUMNS = [name for name in COLUMNS if name not in {"approvals", "sunk", "picked"}]


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TRIGGER doubt_is_sticky",
        "INSERT INTO transitions VALUES ('done', 'submitting')",
        "DELETE FROM transitions WHERE after = 'done'",
        "CREATE TRIGGER theirs AFTER INSERT ON events BEGIN DELETE FROM settings; END",
        "CREATE VIEW theirs AS SELECT 1",
    ],
)
async def test_a_ledger_whose_rules_were_changed_is_not_run(tmp_path: Path, sql: str) -> None:
    path = tmp_path / "ledger.db"
    await after(path, INTENDED)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(sql)
        connection.commit()
    with pytest.raises(LedgerError, match="rules were changed"):
        opened(path)


def _flip(path: Path, rng: Random) -> None:
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def _cut(path: Path, rng: Random) -> None:
    path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])


def _garbage(path: Path, rng: Random) -> None:
    data, at = bytearray(path.read_bytes()), rng.randrange(path.stat().st_size - 64)
    data[at : at + 64] = rng.randbytes(64)
    path.write_bytes(data)


def _twelve_sent(path: Path) -> None:
    async def send() -> None:
        with closing(opened(path)) as ledger:
            await ledger.enrol(TWELVE, settings={"name": "n"})
            for job in [job async for job in ledger.jobs({State.PLANNED})]:
                await told(ledger, job, INTENDED, Accepted(video_id=job.name, status="queued", submitted_at=2.0))

    anyio.run(send)


TWELVE = [spec(number) for number in range(12)]


@pytest.mark.parametrize("meanwhile", [False, True], ids=["checked first", "read meanwhile"])
@pytest.mark.parametrize("harm", [_flip, _cut, _garbage])
def test_a_damaged_ledger_never_lets_a_paid_job_look_unpaid(
    tmp_path: Path, harm: Callable[[Path, Random], None], meanwhile: bool
) -> None:
    """Whatever happened to the file: it is refused, as it is, or every job that was sent is still known as sent."""
    whole = tmp_path / "ledger.db"
    _twelve_sent(whole)
    sent = {(spec.name, spec.request_hash) for spec in TWELVE}

    async def enrol(path: Path) -> None:
        with closing(opened(path, unchecked=meanwhile)) as ledger:
            with contextlib.suppress(LedgerError):
                [job async for job in ledger.jobs(set(State))]
            await ledger.enrol(TWELVE, settings={"name": "n"})
            assert {(job.name, job.request_hash) async for job in ledger.jobs({State.SUBMITTED})} >= sent

    rng, refused = Random(3), 0
    for number in range(50 if meanwhile else 150):
        path = tmp_path / str(number) / "ledger.db"
        path.parent.mkdir()
        shutil.copy(whole, path)
        harm(path, rng)
        harmed = path.read_bytes()
        try:
            anyio.run(enrol, path)
        except LedgerError:
            refused += 1
            assert path.read_bytes() == harmed
        with contextlib.suppress(OSError):
            (path.parent / "ledger.ballast").unlink()
    assert refused > 3, "the harm did reach the file"


def test_a_ledger_that_is_read_while_it_is_checked_is_not_written_before(tmp_path: Path) -> None:
    """One letter of a name in an index: the rows are as they were, and the job would look new to an enrolment."""
    path = tmp_path / "ledger.db"
    _twelve_sent(path)
    data = path.read_bytes()
    name, request_hash = TWELVE[5].name, TWELVE[5].request_hash
    entry = f"{name}{request_hash}".encode()
    at = [place for place in range(len(data)) if data.startswith(entry, place)]
    [in_index] = [place for place in at if not data[place + len(entry) :].startswith(b"{")]
    harmed = data[:in_index] + bytes([data[in_index] ^ 1]) + data[in_index + 1 :]
    path.write_bytes(harmed)

    async def run() -> None:
        with closing(opened(path, unchecked=True)) as ledger:
            jobs = [job async for job in ledger.jobs(set(State))]
            assert {job.name for job in jobs} == {spec.name for spec in TWELVE}
            with pytest.raises(LedgerError, match="damaged"):
                await ledger.record(jobs[0], Completed(status="completed", expires_at=None))
        with closing(opened(path, unchecked=True)) as ledger:
            with pytest.raises(LedgerError, match="damaged"):
                await ledger.sound()
            with pytest.raises(LedgerError, match="damaged"):
                await ledger.enrol(TWELVE, settings={})

    anyio.run(run)
    assert path.read_bytes() == harmed
    with pytest.raises(LedgerError, match="damaged"):
        opened(path)


def test_status_reads_a_ledger_of_the_first_format(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        schema.MIGRATIONS[0](connection)
        connection.execute("PRAGMA user_version = 1")
    with reading.opened(path) as connection:
        assert list(reading.jobs(connection)) == []
        assert reading.account(connection) == Account()


async def _account(path: Path) -> Account:
    with reading.opened(path) as connection:
        return reading.account(connection)


UNBILLED = replace(FAILED, price=0.0)
LOST = Lost(failure=FAILURE)
AGAIN = Retried(by="retry: server", approvals=1, sunk=0.4, failure=FAILURE)
FREELY = replace(AGAIN, by="unbilled: server", sunk=0.0)


@pytest.mark.parametrize(
    ("price", "events", "reserved", "videos"),
    [
        (0.4, [INTENDED], 0.4, 1),
        (0.4, [INTENDED, Returned(failure=FAILURE)], 0.0, 0),
        (0.4, [INTENDED, Refused(failure=FAILURE)], 0.0, 0),
        (0.4, [INTENDED, Refused(failure=FAILURE), Reprieved()], 0.0, 0),
        (0.4, HELD, 0.4, 1),
        (0.4, [*HELD, Abandoned(by="ada", approvals=1, failure=FAILURE)], 0.4, 1),
        (0.4, [*HELD, RESUBMITTED], 0.4, 1),
        (0.4, [INTENDED, ACCEPTED, FAILED], 0.4, 1),
        (0.4, [INTENDED, ACCEPTED, UNBILLED], 0.0, 0),
        (0.4, [INTENDED, ACCEPTED, UNBILLED, FREELY], 0.0, 0),
        (0.4, [INTENDED, ACCEPTED, FAILED, AGAIN], 0.4, 1),
        (0.4, [INTENDED, ACCEPTED, LOST, FREELY], 0.0, 0),
        # Where all is free, nothing tells what was not billed from what was: the count may only say too much.
        (0.0, [INTENDED, ACCEPTED, LOST, FREELY], 0.0, 1),
        (0.0, [INTENDED, ACCEPTED, UNBILLED], 0.0, 1),
        (0.0, [INTENDED, ACCEPTED, UNBILLED, replace(AGAIN, sunk=0.0)], 0.0, 1),
        (None, [INTENDED, ACCEPTED, replace(FAILED, price=None)], 0.0, 1),
        (None, [INTENDED, ACCEPTED, replace(FAILED, price=None), replace(AGAIN, sunk=0.0)], 0.0, 1),
        (None, [INTENDED, ACCEPTED, UNBILLED], 0.0, 0),
        (None, [INTENDED, ACCEPTED, UNBILLED, FREELY], 0.0, 0),
    ],
)
async def test_what_may_be_billed_is_promised_and_what_was_not_is_given_back(
    tmp_path: Path, price: float | None, events: list[Event], reserved: float, videos: int
) -> None:
    await after(tmp_path / "ledger.db", replace(INTENDED, price=price), *events[1:])
    assert (await _account(tmp_path / "ledger.db"))[:2] == (pytest.approx(reserved), videos)


async def test_videos_are_counted_where_nobody_knows_a_price(tmp_path: Path) -> None:
    unknown = replace(INTENDED, price=None)
    with closing(opened(tmp_path / "ledger.db")) as ledger:
        await ledger.enrol([spec(number) for number in range(4)], settings={}, max_videos=2)
        jobs = [job async for job in ledger.jobs({State.PLANNED})]
        first = await told(ledger, jobs[0], unknown, ACCEPTED)
        await told(ledger, jobs[1], replace(unknown, idempotency_key="key-2"), Doubted(failure=FAILURE))
        third = replace(unknown, idempotency_key="key-3")
        with pytest.raises(BudgetReached):
            await ledger.record(jobs[2], third)
        await told(ledger, first, UNBILLED)
        await told(ledger, jobs[2], third)
        with pytest.raises(BudgetReached):
            await ledger.record(jobs[3], replace(unknown, idempotency_key="key-4"))
        await ledger.enrol([spec(number) for number in range(4)], settings={}, max_videos=3)
        await told(ledger, jobs[3], replace(unknown, idempotency_key="key-4"))


SENT = ["intended", "accepted", "failed"]


@pytest.mark.parametrize(
    ("kinds", "videos"),
    [
        (["intended", "returned", *SENT, "retried", *SENT], 1),
        (["intended", "refused", "retried", "intended", "refused", "renamed", "retried", *SENT], 1),
        (["intended", "refused", "retried"], 0),
    ],
)
async def test_a_ledger_of_the_fourth_format_has_its_videos_counted(
    tmp_path: Path, kinds: list[str], videos: int
) -> None:
    path = tmp_path / "ledger.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        for migration in schema.MIGRATIONS[:4]:
            migration(connection)
        connection.execute("PRAGMA user_version = 4")
        columns = "name, request_hash, request, output, tags, metadata, state, attempt, warnings, orphaned"
        values = "'a#1', 'h', '{}', 'a.mp4', '[]', '{}', 'planned', 1, '[]', 0"
        connection.execute(f"INSERT INTO jobs ({columns}) VALUES ({values})")
        for kind in kinds:
            data = '{"by": "unbilled: server"}' if kind == "retried" else "{}"
            event = "INSERT INTO events (job, at, kind, state, data, raw) VALUES (1, 1, ?, 'planned', ?, x'')"
            connection.execute(event, (kind, data))
    assert (await _account(path)).videos == videos

"""What is paid is written down even when the ledger's disk refuses, and nothing is sent after that."""

import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.blocking import inline
from pipeline.errors import LedgerError
from pipeline.events import Abandoned, Accepted, Doubted, Held, Intended, Resubmitted
from pipeline.jobs import Failure, FailureKind, Job, Spec, State
from pipeline.ledger import reading, rescue
from pipeline.ledger.home import MOUNTS, moved_in, remote_file_system
from pipeline.ledger.store import SqliteLedger

FAILURE = Failure(FailureKind.AMBIGUOUS, "no answer")
ACCEPTED = Accepted(video_id="video_1", status="queued", submitted_at=2.0, raw=b'{"id": "video_1"}')


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    with closing(opened(tmp_path)) as ledger:
        yield ledger


def opened(folder: Path, *fallbacks: Path) -> SqliteLedger:
    return SqliteLedger.create_or_open(folder / "ledger.db", now=lambda: 5.0, blocking=inline, fallbacks=fallbacks)


def spec(number: int) -> Spec:
    request = {"model": "sora-2", "prompt": f"Shot {number}", "size": "1280x720", "seconds": "4"}
    return Spec(f"job-{number}#1", 1, request, f"{number}.mp4", "m.yaml:1:1")


def intended(number: int) -> Intended:
    return Intended(
        attempt=1, idempotency_key=f"key-{number}", base_url="u", key_fingerprint=None, price=None, intended_at=1.0
    )


async def submitting(ledger: SqliteLedger, number: int = 1) -> Job:
    await ledger.enrol([spec(number) for number in range(4)], settings={})
    planned = {job.name: job async for job in ledger.jobs({State.PLANNED})}
    return await ledger.record(planned[f"job-{number}#1"], intended(number))


def jobs(folder: Path) -> dict[str, Job]:
    with reading.opened(folder / "ledger.db") as connection:
        return {job.name: job for job in reading.jobs(connection)}


def fill(ledger: SqliteLedger) -> None:
    """Let this connection's next commit find the disk full."""
    (pages,) = ledger._connection.execute("PRAGMA page_count").fetchone()
    ledger._connection.execute(f"PRAGMA max_page_count = {pages}")


class FailsAfterCommit:
    """A disk whose fsync fails when the bytes are there already."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.close = connection.close

    def execute(self, query: str, *values: object) -> sqlite3.Cursor:
        found = self._connection.execute(query, *values)
        if query == "COMMIT":
            raise sqlite3.OperationalError("disk I/O error")
        return found


BIG = Accepted(video_id="video_1", status="queued", submitted_at=2.0, raw=b"x" * 100_000)


async def test_a_full_disk_takes_a_paid_id_when_the_ballast_is_dropped(ledger: SqliteLedger, tmp_path: Path) -> None:
    job = await submitting(ledger)
    assert (tmp_path / "ledger.ballast").stat().st_size == 1 << 20
    fill(ledger)
    with pytest.raises(LedgerError, match="full"):
        await ledger.record(job, BIG)
    assert jobs(tmp_path)["job-1#1"].video_id == "video_1"
    assert not (tmp_path / "ledger.ballast").exists()
    assert not (tmp_path / "ledger.rescue.jsonl").exists()


async def test_after_a_failed_write_what_is_under_way_is_recorded_and_nothing_new_begun(
    ledger: SqliteLedger, tmp_path: Path
) -> None:
    first, second = await submitting(ledger, 1), await submitting(ledger, 2)
    fill(ledger)
    with pytest.raises(LedgerError):
        await ledger.record(first, BIG)
    with pytest.raises(LedgerError):
        await ledger.record(second, Doubted(failure=FAILURE))
    assert jobs(tmp_path)["job-2#1"].state is State.IN_DOUBT
    with pytest.raises(LedgerError):
        await ledger.record(jobs(tmp_path)["job-3#1"], intended(3))
    assert jobs(tmp_path)["job-3#1"].state is State.PLANNED


async def test_an_intent_whose_commit_failed_is_no_doubt(ledger: SqliteLedger, tmp_path: Path) -> None:
    await ledger.enrol([spec(1)], settings={})
    job = jobs(tmp_path)["job-1#1"]
    ledger._connection = FailsAfterCommit(ledger._connection)
    with pytest.raises(LedgerError, match="disk I/O error"):
        await ledger.record(job, intended(1))
    assert jobs(tmp_path)["job-1#1"].state is State.PLANNED
    with reading.opened(tmp_path / "ledger.db") as reader:
        assert [entry.kind for entry in reading.events(reader, job)] == ["intended", "returned"]


async def test_a_commit_that_failed_and_happened_is_not_written_twice(ledger: SqliteLedger, tmp_path: Path) -> None:
    job = await submitting(ledger)
    ledger._connection = FailsAfterCommit(ledger._connection)
    with pytest.raises(LedgerError, match="disk I/O error"):
        await ledger.record(job, ACCEPTED)
    with reading.opened(tmp_path / "ledger.db") as reader:
        assert [entry.kind for entry in reading.events(reader, job)] == ["intended", "accepted"]


async def test_a_ledger_that_is_gone_leaves_the_paid_id_in_the_rescue_file_and_the_next_start_brings_it_home(
    ledger: SqliteLedger, tmp_path: Path
) -> None:
    job = await submitting(ledger)
    (tmp_path / "ledger.db").rename(tmp_path / "elsewhere")
    with pytest.raises(LedgerError, match=r"the paid id is in .*ledger\.rescue\.jsonl"):
        await ledger.record(job, ACCEPTED)
    assert json.loads((tmp_path / "ledger.rescue.jsonl").read_text())["video_id"] == "video_1"
    ledger.close()
    (tmp_path / "elsewhere").rename(tmp_path / "ledger.db")
    opened(tmp_path).close()
    assert jobs(tmp_path)["job-1#1"].video_id == "video_1"


@pytest.mark.parametrize("state", [State.SUBMITTING, State.IN_DOUBT, State.HELD])
async def test_a_rescued_id_is_brought_home_whatever_became_of_the_job(tmp_path: Path, state: State) -> None:
    with closing(opened(tmp_path)) as ledger:
        job = await submitting(ledger)
        if state is not State.SUBMITTING:
            doubt = await ledger.record(job, Doubted(failure=FAILURE))
            if state is State.HELD:
                await ledger.record(doubt, Held(failure=FAILURE))
    elsewhere = tmp_path / "state"
    (tmp_path / "ledger.rescue.jsonl").mkdir()  # so that the first place refuses
    words = rescue.rescue(job, ACCEPTED, rescue.places(tmp_path / "ledger.db", [elsewhere]))
    assert str(elsewhere) in words
    (tmp_path / "ledger.rescue.jsonl").rmdir()
    for _ in range(2):
        opened(tmp_path, elsewhere).close()
    found = jobs(tmp_path)["job-1#1"]
    assert (found.state, found.video_id) == (State.SUBMITTED, "video_1")
    assert not list(elsewhere.glob("*.jsonl"))


async def test_a_rescued_id_is_found_though_the_campaign_was_moved(tmp_path: Path) -> None:
    here, there, state = tmp_path / "here", tmp_path / "there", tmp_path / "state"
    here.mkdir()
    with closing(opened(here)) as ledger:
        job = await submitting(ledger)
    rescue.rescue(job, ACCEPTED, rescue.places(here / "ledger.db", [state])[1:])
    here.rename(there)
    opened(there, state).close()
    assert jobs(there)["job-1#1"].video_id == "video_1"


async def test_a_paid_id_that_this_ledger_does_not_know_stops_everything(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as ledger:
        job = await submitting(ledger)
    rescue.rescue(job, ACCEPTED, rescue.places(tmp_path / "ledger.db", []))
    (tmp_path / "ledger.db").unlink()
    for _ in range(2):
        with pytest.raises(LedgerError, match=r"video_1, paid for job-1#1, and this ledger does not know"):
            opened(tmp_path).close()
    (tmp_path / "ledger.rescue.jsonl").rename(tmp_path / "elsewhere")
    opened(tmp_path).close()


async def test_another_campaigns_paid_id_stays_where_it_is(tmp_path: Path) -> None:
    here, there, state = tmp_path / "here", tmp_path / "there", tmp_path / "state"
    for folder in (here, there):
        folder.mkdir()
    with closing(opened(here)) as ledger:
        job = await submitting(ledger)
    rescue.rescue(job, ACCEPTED, rescue.places(here / "ledger.db", [state])[1:])
    opened(there, state).close()
    opened(here, state).close()
    assert jobs(here)["job-1#1"].video_id == "video_1"


async def test_a_copy_does_not_take_the_originals_paid_id_away(tmp_path: Path) -> None:
    here, copy, state = tmp_path / "here", tmp_path / "copy", tmp_path / "state"
    here.mkdir()
    with closing(opened(here)) as ledger:
        job = await submitting(ledger)
    shutil.copytree(here, copy)
    rescue.rescue(job, ACCEPTED, rescue.places(here / "ledger.db", [state])[1:])
    opened(copy, state).close()
    opened(here, state).close()
    assert jobs(here)["job-1#1"].video_id == "video_1"


def test_what_is_odd_in_a_folder_of_others_stops_nobody(tmp_path: Path) -> None:
    state = tmp_path / "state"
    (state / ".callsheet-a-1.rescue.jsonl").mkdir(parents=True)
    (state / ".callsheet-b-2.rescue.jsonl").symlink_to(state / ".callsheet-b-2.rescue.jsonl")
    (state / ".callsheet-c-3.rescue.jsonl").write_bytes(b'{"raw": ""}\n\xff\n[]\n{}\n')
    here = tmp_path / "here"
    here.mkdir()
    opened(here, state).close()
    (here / "ledger.rescue.jsonl").mkdir()
    with pytest.raises(LedgerError, match=r"ledger\.rescue\.jsonl may hold paid ids, and cannot be read"):
        opened(here, state).close()


async def test_an_id_that_another_job_has_stays_in_sight(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as ledger:
        first, second = await submitting(ledger, 1), await submitting(ledger, 2)
    for job in (first, second):
        rescue.rescue(job, ACCEPTED, rescue.places(tmp_path / "ledger.db", []))
    for _ in range(2):
        opened(tmp_path).close()
    found = jobs(tmp_path)
    assert (found["job-1#1"].video_id, found["job-2#1"].state) == ("video_1", State.SUBMITTING)
    assert (tmp_path / "ledger.rescue.jsonl").exists()


async def test_an_id_of_an_earlier_attempt_stops_nothing(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as ledger:
        doubt = await ledger.record(await submitting(ledger), Doubted(failure=FAILURE))
        again = await ledger.record(doubt, Resubmitted(by="ada", approvals=1, sunk=0.0))
        await ledger.record(again, replace(intended(1), attempt=2, idempotency_key="key-of-the-second"))
    rescue.rescue(doubt, ACCEPTED, rescue.places(tmp_path / "ledger.db", []))
    opened(tmp_path).close()
    assert (tmp_path / "ledger.rescue.jsonl").exists()


async def test_an_id_that_comes_after_a_persons_answer_stays_in_sight(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as ledger:
        doubt = await ledger.record(await submitting(ledger), Doubted(failure=FAILURE))
        given_up = Abandoned(by="ada", approvals=1, failure=Failure(FailureKind.ABANDONED, "given up"))
        await ledger.record(doubt, given_up)
    rescue.rescue(doubt, ACCEPTED, rescue.places(tmp_path / "ledger.db", []))
    opened(tmp_path).close()
    assert jobs(tmp_path)["job-1#1"].state is State.FAILED
    assert (tmp_path / "ledger.rescue.jsonl").exists()


def test_where_no_place_takes_it_the_id_is_said(tmp_path: Path) -> None:
    job = Job("n", "h", {}, "o", idempotency_key="key-1")
    (tmp_path / "file").write_text("")
    words = rescue.rescue(job, ACCEPTED, [tmp_path / "file" / "x", tmp_path / "file" / "y"])
    assert words == "PAID-NOT-RECORDED id='video_1' job='n' key=key-1"


async def test_a_line_that_a_crash_has_cut_stops_nothing(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as ledger:
        job = await submitting(ledger)
    rescue.rescue(job, ACCEPTED, rescue.places(tmp_path / "ledger.db", []))
    path = tmp_path / "ledger.rescue.jsonl"
    path.write_text('{"name": "ha\n' + path.read_text() + '{"video_id": "v')
    opened(tmp_path).close()
    assert jobs(tmp_path)["job-1#1"].video_id == "video_1"
    assert not path.exists()
    assert "ha" in (tmp_path / "ledger.rescue.read").read_text()


def test_without_room_for_the_ballast_nothing_begins(tmp_path: Path) -> None:
    opened(tmp_path).close()
    (tmp_path / "ledger.ballast").unlink()
    (tmp_path / "ledger.ballast").mkdir()
    with pytest.raises(LedgerError, match="no room"):
        opened(tmp_path).close()


HERE = {"inode": 7, "host": "a", "path": "/x/ledger.db"}


def test_a_ledger_that_stays_where_it_is_is_at_home() -> None:
    home, warning = moved_in(None, {}, HERE)
    assert (home, warning) == ({**HERE, "generation": 1}, None)
    assert moved_in(home, {"generation": 1}, HERE) == ({**HERE, "generation": 2}, None)


@pytest.mark.parametrize("change", [{"path": "/y/ledger.db"}, {"host": "b"}, {"inode": 8}])
def test_a_folder_that_was_moved_or_a_host_that_was_renamed_is_no_copy(change: dict[str, object]) -> None:
    _, warning = moved_in({**HERE, "generation": 1}, {"generation": 1}, {**HERE, **change})
    assert warning is None


def test_a_copy_is_not_run_beside_its_original_without_a_persons_word() -> None:
    home, here = {**HERE, "generation": 3}, {**HERE, "inode": 8, "path": "/copy/ledger.db"}
    moved, warning = moved_in(home, {}, here)
    assert moved == {**here, "generation": 4}
    assert "last run as /x/ledger.db on a" in str(warning)


def test_a_backup_is_not_run_in_place_of_a_newer_ledger() -> None:
    _, warning = moved_in({**HERE, "generation": 3}, {"generation": 5}, HERE)
    assert "older than the last run" in str(warning)


def test_a_ledger_that_was_begun_anew_is_nobodys_backup() -> None:
    assert moved_in(None, {"generation": 5}, HERE) == ({**HERE, "generation": 6}, None)


MOUNTED = """\
22 1 8:1 / / rw - ext4 /dev/sda1 rw
40 22 0:50 / /mnt/share rw - nfs4 server:/x rw
41 22 0:51 / /mnt/with\\040space rw - cifs //s/x rw
42 40 0:52 / /mnt/share/local rw - ext4 /dev/sdb1 rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/data/ledger.db", None),
        ("/mnt/share/a/ledger.db", "nfs4"),
        ("/mnt/with space/ledger.db", "cifs"),
        ("/mnt/share/local/ledger.db", None),
        ("/mnt/shared/ledger.db", None),
    ],
)
def test_a_ledger_needs_a_local_disk(tmp_path: Path, path: str, kind: str | None) -> None:
    (tmp_path / "mountinfo").write_text(MOUNTED)
    assert remote_file_system(Path(path), tmp_path / "mountinfo") == kind


def test_what_this_machine_has_is_local(tmp_path: Path) -> None:
    assert remote_file_system(tmp_path, MOUNTS) is None
    assert remote_file_system(tmp_path, tmp_path / "nothing") is None, "not every system has such a list"
    assert os.path.ismount("/")

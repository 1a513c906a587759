"""Rows of the fault table that are about the ledger's place and the run's: copied, doubled, moved, damaged, elsewhere.

The command is called as a person would, on campaigns that were made without a server: no run here may ask for one.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import anyio
import pytest

from pipeline import files
from pipeline.blocking import inline
from pipeline.cli import main
from pipeline.credential import Secret
from pipeline.errors import LedgerError
from pipeline.events import Accepted, Completed, Event, Intended, Published, Verified
from pipeline.evidence import Fetched, Placed
from pipeline.jobs import Job, State
from pipeline.ledger import reading
from pipeline.ledger.lock import run_lock
from pipeline.ledger.store import SqliteLedger
from pipeline.outputs import Outputs

MANIFEST = "version: 1\nname: trip\nprovider: simulator\njobs:\n- { id: city, prompt: A city }\n"
SERVER = "http://127.0.0.1:9/v1"
KEY = "sk-CANARY-0123456789"
OURS = Secret(KEY).fingerprint

Command = Callable[..., tuple[int, str]]


@pytest.fixture(autouse=True)
def _nothing_is_written_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "trip.yaml"
    path.write_text(MANIFEST)
    return path


@pytest.fixture
def command(manifest: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Call the command; return its exit code and all that it said."""

    def call(verb: str, output: Path, *arguments: str, file: Path = manifest) -> tuple[int, str]:
        code = main([verb, str(file), "--output", str(output), *arguments])
        return code, "".join(capsys.readouterr())

    return call


def enrolled(campaign: Path, manifest: Path, *events: Event, last: Callable[[Job], list[Event]] | None = None) -> None:
    """Make a ledger of the manifest's jobs, to each of which this has happened."""

    async def tell() -> None:
        ledger = SqliteLedger.create_or_open(campaign / "ledger.db", now=lambda: 5.0, blocking=inline)
        with closing(ledger):
            loaded = files.load(manifest, variables={})
            settings = {"name": "trip", "provider": loaded.profile.name, "vars": {}}
            await ledger.enrol(loaded.specs, settings=settings)
            for job in [job async for job in ledger.jobs({State.PLANNED})]:
                for event in events:
                    job = await ledger.record(job, event)  # noqa: PLW2901
                for event in last(job) if last else []:
                    job = await ledger.record(job, event)  # noqa: PLW2901

    campaign.mkdir(parents=True)
    anyio.run(tell)


def intended(fingerprint: str | None = None) -> Intended:
    return Intended(
        attempt=1, idempotency_key="k", base_url=SERVER, key_fingerprint=fingerprint, price=None, intended_at=1.0
    )


PAID = [intended(), Accepted(video_id="v", status="queued", submitted_at=2.0)]


@pytest.fixture
def finished(tmp_path: Path, manifest: Path, clip: bytes) -> Path:
    """An output folder with a campaign that is done: its ledger, its video, its sidecar."""
    campaign = tmp_path / "outputs" / "trip"
    outputs = Outputs(campaign)

    def published(job: Job) -> list[Event]:
        with outputs.part(job) as part:
            part.write(clip)
            fetched = part.seal(job)
        assert isinstance(fetched, Fetched)
        return [Verified(sha256=fetched.sha256, bytes=fetched.bytes)]

    enrolled(campaign, manifest, *PAID, Completed(status="completed", expires_at=None), last=published)

    async def place() -> None:
        ledger = SqliteLedger.create_or_open(campaign / "ledger.db", now=lambda: 5.0, blocking=inline)
        with closing(ledger):
            [job] = [job async for job in ledger.jobs({State.VERIFIED})]
            placed = outputs.place(job)
            assert isinstance(placed, Placed)
            await ledger.record(job, Published(path=placed.path))

    anyio.run(place)
    return tmp_path / "outputs"


def jobs(output: Path) -> list[Job]:
    with reading.opened(output / "trip" / "ledger.db") as connection:
        return list(reading.jobs(connection))


def test_a_finished_campaign_asks_nobody(command: Command, finished: Path) -> None:
    assert command("run", finished, "--base-url", SERVER)[0] == 0


def test_a_second_run_of_a_campaign_is_told_who_has_it(command: Command, finished: Path) -> None:
    with run_lock(finished / "trip" / "ledger.lock"):
        code, said = command("run", finished)
        assert (code, "another run holds this campaign" in said) == (75, True)
    assert command("run", finished)[0] == 0


def test_another_manifest_of_the_same_name_meets_the_same_ledger_and_lock(
    command: Command, finished: Path, manifest: Path
) -> None:
    other = manifest.with_name("other.yaml")
    other.write_text(MANIFEST.replace("A city", "A town"))
    code, said = command("plan", finished, "--json", file=other)
    assert code == 0
    fates = {(job["job"], job["orphaned"]): job["action"] for job in json.loads(said)["jobs"]}
    assert fates == {("city#1", False): "submit", ("city#1", True): "leave"}
    with run_lock(finished / "trip" / "ledger.lock"):
        assert command("run", finished, file=other)[0] == 75


def test_a_program_that_the_run_began_does_not_keep_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "ledger.lock"
    with run_lock(path):
        child = subprocess.Popen(
            [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            close_fds=False,
        )
    with child:
        assert child.stdout is not None
        child.stdout.readline()
        with run_lock(path):
            pass
        assert child.poll() is None, "it was there all the time"


def test_a_ledger_on_a_network_disk_is_refused(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n40 22 0:50 / {tmp_path} rw - nfs4 server:/x rw\n")
    with pytest.raises(LedgerError, match="needs a local disk, and this is nfs4"):
        SqliteLedger.create_or_open(tmp_path / "ledger.db", now=lambda: 5.0, blocking=inline, mounts=mounts)
    assert not (tmp_path / "ledger.db").exists()


def test_what_the_ledger_acknowledges_outlives_a_power_cut(tmp_path: Path) -> None:
    """NORMAL loses acknowledged commits. (The power cuts themselves: ``python tests/disk power-cut``.)"""
    ledger = SqliteLedger.create_or_open(tmp_path / "ledger.db", now=lambda: 5.0, blocking=inline)
    with closing(ledger):
        asked = [ledger._connection.execute(f"PRAGMA {name}").fetchone() for name in ("journal_mode", "synchronous")]
    assert asked == [("wal",), (2,)]


def test_videos_without_their_ledger_are_not_paid_for_again(command: Command, finished: Path) -> None:
    (finished / "trip" / "ledger.db").unlink()
    code, said = command("run", finished, "--base-url", SERVER)
    assert (code, "pay for its videos again" in said) == (5, True)
    assert not (finished / "trip" / "ledger.db").exists()


def test_a_campaign_whose_ledger_is_gone_is_not_paid_for_again_though_it_has_no_video_yet(
    command: Command, finished: Path
) -> None:
    assert command("run", finished)[0] == 0
    for path in [*(finished / "trip").glob("ledger.db*"), *(finished / "trip" / "videos").iterdir()]:
        path.unlink()
    code, said = command("run", finished, "--base-url", SERVER, "--yes")
    assert (code, "its ledger is gone" in said) == (5, True)


@contextmanager
def _without_a_video(campaigns: Path) -> Iterator[None]:
    """Take a finished video away: then a run has something to do."""
    video = next((campaigns / "trip" / "videos").glob("*.mp4"))
    away = video.rename(campaigns / video.name)
    yield
    away.rename(video)


def test_a_copy_of_a_ledger_is_not_run_without_a_persons_word(command: Command, finished: Path, tmp_path: Path) -> None:
    assert command("run", finished)[0] == 0
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    code, said = command("run", copy)
    assert (code, "is a copy" in said) == (0, False), "there is nothing to do, so nothing that could be paid twice"
    with _without_a_video(copy):
        code, said = command("run", copy, "--base-url", SERVER)
        assert (code, "this ledger is a copy" in said) == (5, True)
    code, said = command("run", copy, "--takeover")
    assert (code, "Taking over: this ledger is a copy" in said) == (0, True)
    assert command("run", finished)[0] == 0, "the original is as it was"


def test_a_backup_is_not_run_in_the_place_of_what_came_after_it(
    command: Command, finished: Path, tmp_path: Path
) -> None:
    ledger = finished / "trip" / "ledger.db"
    assert command("run", finished)[0] == 0
    backup = ledger.read_bytes()
    assert command("run", finished)[0] == 0
    ledger.write_bytes(backup)
    with _without_a_video(finished):
        code, said = command("run", finished, "--base-url", SERVER)
    assert (code, "older than the last run" in said) == (5, True)


@pytest.mark.parametrize(
    "harm",
    [
        lambda data: b"garbage" * 1000,
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data.replace(b"city#1", b"ciTy#1", 1),
        lambda data: data.replace(b"'planned' OR state = 'submitting'", b"'planned' OR state = 'SUBMITTING'"),
    ],
    ids=["garbage", "empty", "cut", "a job's name", "a rule"],
)
def test_a_damaged_ledger_is_not_run(command: Command, finished: Path, harm: Callable[[bytes], bytes]) -> None:
    ledger = finished / "trip" / "ledger.db"
    data = ledger.read_bytes()
    assert harm(data) != data
    ledger.write_bytes(harm(data))
    assert command("run", finished, "--base-url", SERVER)[0] == 5
    assert ledger.read_bytes() == harm(data)


@pytest.fixture
def unanswered(manifest: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A manifest for a server that needs a key, and of which nothing can be asked about a submission."""
    monkeypatch.setenv("ZNAPAI_API_KEY", KEY)
    monkeypatch.delenv("ZnapAI_API_KEY", raising=False)
    manifest.write_text(MANIFEST.replace("simulator", "znapai"))
    return manifest


def test_what_may_be_paid_is_not_looked_for_at_another_address(
    command: Command, tmp_path: Path, unanswered: Path
) -> None:
    enrolled(tmp_path / "outputs" / "trip", unanswered, intended(fingerprint=OURS))
    code, said = command("run", tmp_path / "outputs", "--base-url", "http://127.0.0.1:10/v1", "--yes")
    assert (code, SERVER in said) == (2, True)
    assert [job.state for job in jobs(tmp_path / "outputs")] == [State.SUBMITTING]
    assert command("run", tmp_path / "outputs", "--base-url", SERVER, "--yes")[0] == 3, "there it is held"


def test_what_may_be_paid_is_not_looked_for_with_another_key(
    command: Command, tmp_path: Path, unanswered: Path
) -> None:
    enrolled(tmp_path / "outputs" / "trip", unanswered, intended(fingerprint="another"))
    code, said = command("run", tmp_path / "outputs", "--base-url", SERVER, "--yes")
    assert (code, "paid with another key" in said) == (2, True)
    assert [job.state for job in jobs(tmp_path / "outputs")] == [State.SUBMITTING]

"""The power may go at any instant: what was acknowledged is there afterwards, and what has a name is whole.

This is the short form. The long one, of the real command with SQLite's own writes, is ``python tests/disk power-cut``.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import pytest
from disk.failing_world import rescue_recorded
from disk.operations import Created, FolderMade, Operation, Recorded, Recording
from disk.platter import Content, Disk, State
from disk.powercut import cut_everywhere, needed_syncs
from disk.powercut_traced import MUTANTS, mutated
from disk.promises import Heard, Promises, below
from disk.recording import recorded
from disk.server import manifest, serving
from disk.staging import BEFORE
from disk.takes import Take, after_a_cut, after_a_kill, first_take, lay_out, snapshot

from pipeline.cli import main

CAMPAIGN = "outputs/trip"
VIDEO = "videos/city-t1/take 1.mp4"
RENAMED = ["a folder's name", "and the one's in it", "sidecar", "folder"]


@pytest.fixture(scope="module")
def take(scratch: Path) -> Take:
    return first_take(scratch / "first", BEFORE)


def test_a_power_cut_at_any_instant_breaks_no_promise(take: Take) -> None:
    found = cut_everywhere(take.log, *take.again())
    assert found.broken == []
    assert found.states > 100, "or this looks at nothing"


def test_each_sync_is_needed_once_there_is_something_to_lose(take: Take) -> None:
    needed, superfluous = needed_syncs(take.log, partial(take.again, parts=True))
    first = next(number for number, operation in enumerate(take.log) if isinstance(operation, Recording))
    # Before the ledger's first word: the probe asks whether one can sync, and the ballast holds nothing.
    # After it: folders that were there, and are synced once a process all the same, for a run that was killed.
    there_already = [number for number in superfluous if number > first]
    assert len(there_already) <= 2
    each = ["video", "its name", "sidecar", "folder"]
    assert len(needed) >= len(["the ledger's name"]) + 3 * len(each) + len(RENAMED)


def test_what_is_verified_need_not_be_downloaded_again(take: Take) -> None:
    assert cut_everywhere(take.log, *take.again(parts=True, journal=True)).broken == []


def test_what_is_verified_need_not_be_downloaded_again_by_the_letter_of_posix(take: Take) -> None:
    assert cut_everywhere(take.log, *take.again(parts=True)).broken == []


def test_the_next_run_finishes_what_the_cut_has_left_and_the_power_may_go_again(take: Take, scratch: Path) -> None:
    for number in range(0, len(take.log), 8):
        again = after_a_cut(scratch / f"cut-{number}", take, number, take.disk_after(number).worst())
        assert cut_everywhere(again.log, *again.again()).broken == [], f"after {take.log[number]}"


def test_what_a_killed_run_has_not_synced_is_not_taken_for_safe(take: Take, scratch: Path) -> None:
    # From the first commit on: the ledger's own name is synced by SQLite too, which is not seen here.
    first = next(number for number, operation in enumerate(take.log) if isinstance(operation, Recorded))
    for number in range(first, len(take.log), 11):
        if not isinstance(take.log[number], FolderMade):  # see below
            again = after_a_kill(scratch / f"kill-{number}", take, number)
            assert cut_everywhere(again.log, *again.again(), after=again.began).broken == [], f"{take.log[number]}"


def test_a_folder_that_a_killed_run_has_made_is_not_taken_for_safe(take: Take, scratch: Path) -> None:
    made = [number for number, operation in enumerate(take.log) if isinstance(operation, FolderMade)]
    for number in made:
        again = after_a_kill(scratch / f"kill-{number}", take, number)
        assert cut_everywhere(again.log, *again.again(), after=again.began).broken == []


@pytest.fixture(autouse=True)
def _nothing_is_written_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def recorded_command(folder: Path, before: State, takes: int) -> list[Operation]:
    """Record the command itself: with threads, the lock and the probe. ``before`` lies in its folder already."""
    home = folder.resolve() / "home"
    lay_out(before, home)
    path = manifest(folder, [{"id": "city", "prompt": "A city", "takes": takes}])
    with serving(folder) as server:
        return _recorded(home, before, "run", str(path), "--base-url", server.url)


def _recorded(home: Path, before: State, *command: str) -> list[Operation]:
    disk, log = Disk(before), list[Operation]()
    with recorded(home, disk, log.append):
        assert main([*command, "--output", str(home / "outputs")]) == 0
    for operation in log:
        disk.apply(operation)
    assert disk.now() == snapshot(home), "the recording has missed something"
    return log


def test_each_sync_of_the_command_is_needed_but_those_that_only_ask_whether_one_can(tmp_path: Path) -> None:
    before: State = {"outputs": None, CAMPAIGN: None}
    log = recorded_command(tmp_path, before, takes=2)

    def again() -> tuple[Disk, Heard]:
        return Disk(before), Heard(Promises(parts=True), CAMPAIGN)

    assert cut_everywhere(log, *again()).broken == []
    needed, superfluous = needed_syncs(log, again)
    paths = {node: path for path, node in Disk(before).nodes.items()}
    paths |= {operation.node: operation.path for operation in log if isinstance(operation, Created | FolderMade)}
    # The probe asks whether one can. The campaign's folder is synced for the ledger, and for videos/, before the first
    # commit: once would do. So it is with videos/ where two folders are made in it before the first video is there.
    # What lies above it is there already, and is synced all the same: a run that was killed may have made it.
    once = {"", "outputs", CAMPAIGN, f"{CAMPAIGN}/videos"}
    nothing = {f"{CAMPAIGN}/videos/.probe.part", f"{CAMPAIGN}/ledger.ballast"}
    assert {paths[log[number].node] for number in superfluous} <= once | nothing
    assert {paths[log[number].node] for number in needed} >= {CAMPAIGN, f"{CAMPAIGN}/videos"}
    # videos/ may be synced for the second folder when the first one already counts upon it: then both are needed.
    assert len(needed) >= 2 * len(["video", "its name", "sidecar", "folder"]) + len(["campaign", "videos"])


def test_a_new_campaigns_folder_outlives_a_power_cut(tmp_path: Path) -> None:
    log = recorded_command(tmp_path, {}, takes=1)
    for disk, promises in ((Disk(journal=True), Promises(parts=True)), (Disk(), Promises())):
        assert cut_everywhere(log, disk, Heard(promises, CAMPAIGN)).broken == []


@pytest.mark.parametrize(
    "journal",
    [True, False],
    ids=["as most do it", "by the letter of POSIX"],
)
def test_what_was_rescued_outlives_a_power_cut(scratch: Path, journal: bool) -> None:
    log, rescued = rescue_recorded(scratch / f"rescue-{journal}")
    assert rescued
    disk = Disk(journal=journal)
    for operation in log:
        disk.apply(operation)
    for state in disk.states():
        file = state.get("ledger.rescue.jsonl")
        assert file is not None
        assert {json.loads(line)["video_id"] for line in file.data.splitlines() if line} == rescued


@dataclass
class Sent:
    """A witness of a video that is sent back: it has its name until that is on record, and is in rejected/ since."""

    sha256: str
    may: bool = False
    must: bool = False

    def heed(self, operation: Operation) -> bool:
        self.may |= isinstance(operation, Recording)
        self.must |= isinstance(operation, Recorded)
        return isinstance(operation, Recording | Recorded)

    def broken(self, state: State) -> Iterator[str]:
        inside = below(state, CAMPAIGN)
        whole = {PurePosixPath(path) for path, content in inside.items() if content and content.sha256 == self.sha256}
        told = {path for path in whole if self._is_told(inside.get(str(path.with_suffix(".json"))))}
        if not self.must and PurePosixPath(VIDEO) not in told:
            yield "it is done as far as anybody knows, and its file or sidecar is gone"
        if self.may and not any(path.parts[0] == "rejected" for path in told):
            yield "it was sent back, and is not in rejected/, or its sidecar is not"

    def _is_told(self, sidecar: Content | None) -> bool:
        try:
            return sidecar is not None and json.loads(sidecar.data)["sha256"] == self.sha256
        except ValueError:
            return False


def test_a_video_that_is_sent_back_outlives_a_power_cut_at_any_instant(tmp_path: Path) -> None:
    before: State = {"outputs": None, CAMPAIGN: None}
    recorded_command(tmp_path, before, takes=1)
    home = tmp_path.resolve() / "home"
    before = snapshot(home)
    sha256 = hashlib.sha256((home / CAMPAIGN / VIDEO).read_bytes()).hexdigest()
    log = _recorded(home, before, "reject", str(tmp_path / "trip.yaml"), "city")

    def again() -> tuple[Disk, Sent]:
        return Disk(before), Sent(sha256)

    found = cut_everywhere(log, *again())
    assert found.broken == []
    assert found.states > 10
    needed, _ = needed_syncs(log, again)
    assert len(needed) >= len(["the file's name in rejected/", "rejected/ itself", "sidecar"])


@pytest.mark.parametrize("name", MUTANTS)
def test_each_mistake_of_the_long_form_can_still_be_made(name: str, tmp_path: Path) -> None:
    """The long form takes minutes and is run by hand: a line that it changes may be another one by then."""
    assert (mutated(tmp_path, name) / "pipeline").is_dir()

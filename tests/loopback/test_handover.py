"""A campaign that people choose from and hand over: what they say of finished and failed jobs, and what is proved."""

import errno
import hashlib
import json
import os
import pty
import shutil
import signal
import sqlite3
import struct
import sys
import tempfile
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from gateway import KEYED, PLAIN, Bill, Ended, Gateway, call, gateway, plain, simulator
from jsonschema import Draft202012Validator
from kill.failpoints import Failpoint, arm

from pipeline import pinning, shipped
from pipeline.blocking import inline
from pipeline.cli import main
from pipeline.events import Accepted, Intended
from pipeline.jobs import State
from pipeline.ledger.lock import run_lock
from pipeline.ledger.store import SqliteLedger
from pipeline.simulator.faults import Answer, Fault

MANIFEST = """\
version: 1
name: trip
provider: plain
limits: { requests_per_minute: 6000, polls_per_second: 50 }
jobs:
  - { id: fox, prompt: A fox, takes: 2 }
  - { id: finale, prompt: The end, seconds: "8" }
"""
VIDEOS = Path("outputs/trip/videos")
PROFILE = ("--profile", "plain.yaml")
#: Given to runs that may spend, and to nobody else.
KEY = {"PLAIN_KEY": "any-key-will-do"}


def lay_out(folder: Path) -> None:
    (folder / "trip.yaml").write_text(MANIFEST)
    (folder / "plain.yaml").write_text(plain(**KEYED))
    (folder / "lists.yaml").write_text(plain(**KEYED, abilities={"list": True}))


@pytest.fixture(scope="module")
def front() -> Iterator[Gateway]:
    """The address of all servers in here: what is paid at one address is fetched from no other."""
    with gateway("http://127.0.0.1:9/v1") as front:
        yield front


@contextmanager
def at(front: Gateway, folder: Path, faults: Sequence[Fault] = ()) -> Iterator[str]:
    """The campaign's server, at its address."""
    with simulator(folder / "bill.db", faults=faults) as front.upstream:
        yield front.url


@pytest.fixture(scope="module")
def finished_once(front: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A campaign of three videos, done; its server is gone."""
    folder = tmp_path_factory.mktemp("finished")
    lay_out(folder)
    with at(front, folder) as upstream:
        ended = run(folder, upstream)
    assert ended.returncode == 0, ended.stderr
    return folder


@pytest.fixture
def finished(finished_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished_once, tmp_path, dirs_exist_ok=True))


def run(folder: Path, url: str, *more: str) -> Ended:
    arguments = ("--profile", "plain.yaml", "--base-url", url, "--yes", "--takeover", *more)
    return call(folder, "run", "trip.yaml", *arguments, **KEY)


def said(folder: Path, verb: str, *arguments: str, code: int = 0, **environment: str) -> dict[str, Any]:
    """The JSON document of a command, as its schema promises it."""
    ended = call(folder, verb, *arguments, "--json", **environment)
    assert ended.returncode == code, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    Draft202012Validator(shipped.schema(verb)).validate(found)
    return found


def jobs(folder: Path) -> dict[str, dict[str, Any]]:
    return {job["job"]: job for job in said(folder, "status", "trip.yaml")["jobs"] if not job["orphaned"]}


def test_a_rejected_take_keeps_its_file_and_the_next_one_gets_its_name(finished: Path, front: Gateway) -> None:
    old = (finished / VIDEOS / "fox-t1.mp4").read_bytes()
    call(finished, "pick", "trip.yaml", "fox#1", "finale")
    marked = said(finished, "reject", "trip.yaml", "fox#1", "--profile", "plain.yaml")
    [mark] = marked["jobs"]
    assert marked["cost"] == {"currency": "USD", "known": 0.4, "unknown": 0}
    assert (finished / "outputs/trip" / mark["kept"]).read_bytes() == old
    assert not (finished / VIDEOS / "fox-t1.mp4").exists()
    assert not (finished / VIDEOS / "fox-t1.json").exists()
    status = said(finished, "status", "trip.yaml")
    assert (jobs(finished)["fox#1"]["state"], status["cost"]["spent"]) == ("planned", pytest.approx(1.6))
    assert [job for job, now in jobs(finished).items() if now["picked"]] == ["finale#1"], "a choice is of a video"
    [planned] = [job for job in said(finished, "plan", "trip.yaml", *PROFILE)["jobs"] if job["job"] == "fox#1"]
    assert (planned["action"], "rejected" in planned["reason"]) == ("submit", True)
    with at(front, finished) as upstream:
        short = run(finished, upstream, "--max-cost", "1.9")
        assert (short.returncode, len(Bill(finished / "bill.db"))) == (6, 3), "the old one counts in the budget"
        assert run(finished, upstream).returncode == 0
        assert len(Bill(finished / "bill.db")) == 4
        audit = said(finished, "audit", "trip.yaml", "--profile", "lists.yaml", "--base-url", upstream, **KEY)
    assert audit["surplus"]["videos"] == [], "the rejected video's id is still known"
    new = jobs(finished)["fox#1"]
    assert (new["path"], new["video_id"] == mark["video_id"]) == ("videos/fox-t1.mp4", False)
    assert said(finished, "status", "trip.yaml")["cost"]["spent"] == pytest.approx(2.0)
    found = said(finished, "verify", "trip.yaml")
    assert (found["videos"], found["unknown"]) == (3, []), "a rejected file is no stranger's"
    assert [event["kind"] for event in said(finished, "show", "trip.yaml", "fox#1")["jobs"][0]["events"]].count(
        "rejected"
    ) == 1
    flip(finished / "outputs/trip" / mark["kept"])
    [fault] = said(finished, "verify", "trip.yaml", code=1)["faults"]
    assert (fault["job"], fault["path"], fault["fault"]) == ("fox#1", mark["kept"], "changed")


def test_a_ledger_made_anew_knows_what_was_rejected(finished: Path, front: Gateway) -> None:
    call(finished, "reject", "trip.yaml", "fox#1")
    with at(front, finished) as upstream:
        assert run(finished, upstream).returncode == 0
    call(finished, "reject", "trip.yaml", "fox#1", "fox#2")
    before, story = jobs(finished), said(finished, "show", "trip.yaml", "fox#1")["jobs"][0]
    for path in (finished / "outputs/trip").glob("ledger.db*"):
        path.unlink()
    rebuilt = said(finished, "rebuild", "outputs/trip")
    assert (rebuilt["jobs"], rebuilt["again"]) == (["finale#1"], ["fox#1", "fox#2"])
    assert (rebuilt["left_out"], rebuilt["copies"]) == ([], [])
    after, retold = jobs(finished), said(finished, "show", "trip.yaml", "fox#1")["jobs"][0]
    assert {name: job["state"] for name, job in after.items()} == {name: job["state"] for name, job in before.items()}
    assert (
        (retold["approvals"], retold["cost"]["sunk"])
        == (2, pytest.approx(0.8))
        == (
            story["approvals"],
            story["cost"]["sunk"],
        )
    )
    ids = {event["changes"]["video_id"] for event in retold["events"] if event["kind"] == "accepted"}
    assert ids == {event["changes"]["video_id"] for event in story["events"] if event["kind"] == "accepted"}
    assert said(finished, "verify", "trip.yaml")["unknown"] == []
    assert run(finished, "http://127.0.0.1:9/v1", "--no-submit").returncode == 0, "nothing is missing"


def test_a_video_on_another_disk_is_rejected_all_the_same(finished: Path) -> None:
    memory = Path("/dev/shm")  # the only other disk that there may be
    if not memory.is_dir() or memory.stat().st_dev == finished.stat().st_dev:
        pytest.skip("there is no other disk here")
    with tempfile.TemporaryDirectory(dir=memory) as elsewhere:
        old = (finished / VIDEOS / "fox-t1.mp4").read_bytes()
        shutil.copytree(finished / VIDEOS, elsewhere, dirs_exist_ok=True)
        shutil.rmtree(finished / VIDEOS)
        (finished / VIDEOS).symlink_to(elsewhere)
        [mark] = said(finished, "reject", "trip.yaml", "fox#1")["jobs"]
        assert (finished / "outputs/trip" / mark["kept"]).read_bytes() == old
        assert not (Path(elsewhere) / "fox-t1.mp4").exists()
        assert said(finished, "verify", "trip.yaml")["faults"] == []


def test_a_rejected_video_is_put_beside_another_of_the_same_name_and_bytes(finished: Path) -> None:
    kept = finished / "outputs/trip/rejected"
    kept.mkdir()
    sha256 = jobs(finished)["fox#1"]["sha256"]
    (kept / f"fox-t1--{sha256[:8]}.mp4").write_text("somebody's")
    [mark] = said(finished, "reject", "trip.yaml", "fox#1")["jobs"]
    assert mark["kept"] == f"rejected/fox-t1--{sha256[:8]}~2.mp4"
    assert (kept / f"fox-t1--{sha256[:8]}.mp4").read_text() == "somebody's"
    assert said(finished, "verify", "trip.yaml")["unknown"] == [f"rejected/fox-t1--{sha256[:8]}.mp4"]


REJECTING = {
    "linked": Failpoint("pipeline.outputs:_link", "return", caller="pipeline.outputs:Outputs.keep"),
    "sidecar": Failpoint("pipeline.outputs:_write_sidecar", "return"),
    "kept": Failpoint("pipeline.outputs:Outputs.keep", "return"),
    "unwritten": Failpoint("pipeline.ledger.store:SqliteLedger._update", "return", event="Rejected"),
    "written": Failpoint("pipeline.ledger.store:SqliteLedger._write", "return", event="Rejected"),
    "old sidecar gone": Failpoint("pathlib:Path.unlink", "return", caller="pipeline.outputs:Outputs.delete"),
    "old name gone": Failpoint("pipeline.outputs:Outputs.delete", "return"),
}


@pytest.mark.parametrize(
    ("instant", "links"), [*((instant, True) for instant in REJECTING), ("linked", False), ("unwritten", False)]
)
def test_killed_while_it_rejects_it_loses_no_video(finished: Path, instant: str, links: bool) -> None:
    campaign = finished / "outputs/trip"
    old = (finished / VIDEOS / "fox-t1.mp4").read_bytes()
    video = jobs(finished)["fox#1"]["video_id"]
    killed(finished, REJECTING[instant], "reject", "trip.yaml", "fox#1", links=links)
    assert old in [path.read_bytes() for path in campaign.rglob("fox-t1*.mp4")]
    made_anew(finished, video)
    said(finished, "pick", "trip.yaml", "finale")  # whoever holds the campaign next mends it
    if jobs(finished)["fox#1"]["state"] == "done":
        assert (finished / VIDEOS / "fox-t1.mp4").read_bytes() == old
        said(finished, "reject", "trip.yaml", "fox#1")
    assert jobs(finished)["fox#1"]["state"] == "planned"
    assert [path.name for path in (finished / VIDEOS).glob("fox-t1*")] == [], "the next take gets the name"
    assert [path.read_bytes() for path in (campaign / "rejected").glob("*.mp4")] == [old]
    found = said(finished, "verify", "trip.yaml")
    assert (found["faults"], found["unknown"]) == ([], [])


def made_anew(folder: Path, video_id: str) -> None:
    """A ledger that is made of the files as they lie there has each job once, and the video is some job's."""
    ledger = folder / "outputs/trip/ledger.db"
    aside = [path.rename(f"{path}.aside") for path in ledger.parent.glob("ledger.db*") if path.suffix != ".aside"]
    found = json.loads(call(folder, "rebuild", "outputs/trip", "--json").stdout)
    assert sorted(found["jobs"] + found["again"]) == ["finale#1", "fox#1", "fox#2"]
    assert {one["reason"] for one in found["left_out"]} <= {"it has no sidecar"}, (
        "at worst it says so of the other name"
    )
    with closing(sqlite3.connect(ledger)) as connection:
        owners = connection.execute("SELECT count(*) FROM claims WHERE video_id = ?", (video_id,)).fetchone()
    assert owners == (1,)
    for path in ledger.parent.glob("ledger.db*"):
        if path.suffix != ".aside":
            path.unlink()
    for path in aside:
        path.rename(str(path).removesuffix(".aside"))


def test_killed_while_it_rejects_the_next_run_makes_the_next_take_under_its_name(
    finished: Path, front: Gateway
) -> None:
    old = (finished / VIDEOS / "fox-t1.mp4").read_bytes()
    killed(finished, REJECTING["written"], "reject", "trip.yaml", "fox#1")
    assert (finished / VIDEOS / "fox-t1.mp4").read_bytes() == old, "the old name is still there"
    with at(front, finished) as upstream:
        assert run(finished, upstream).returncode == 0
    assert (jobs(finished)["fox#1"]["path"], len(Bill(finished / "bill.db"))) == ("videos/fox-t1.mp4", 4)
    assert [path.read_bytes() for path in (finished / "outputs/trip/rejected").glob("*.mp4")] == [old]
    assert said(finished, "verify", "trip.yaml")["unknown"] == []


def test_of_several_all_are_rejected_or_none(finished: Path) -> None:
    (finished / VIDEOS / "fox-t2.mp4").unlink()
    before = files(finished)
    refused = call(finished, "reject", "trip.yaml", "fox#1", "fox#2", "finale")
    assert (refused.returncode, files(finished)) == (2, before)
    assert "the file of fox#2 is not there" in refused.stderr
    assert {job["state"] for job in jobs(finished).values()} == {"done"}


CLEANING = {
    "sidecar gone": Failpoint("pathlib:Path.unlink", "return", caller="pipeline.outputs:Outputs.delete"),
    "video gone": Failpoint("pipeline.outputs:Outputs.delete", "return"),
    "unwritten": Failpoint("pipeline.ledger.store:SqliteLedger._update", "return", event="Deleted"),
    "written": Failpoint("pipeline.ledger.store:SqliteLedger._write", "return", event="Deleted"),
}


@pytest.mark.parametrize("instant", CLEANING)
def test_killed_while_it_cleans_it_deletes_nothing_else_and_goes_on(finished: Path, instant: str) -> None:
    (finished / "trip.yaml").write_text(MANIFEST.replace("A fox", "A crow"))
    others = files(finished, but="fox-t")
    killed(finished, CLEANING[instant], "clean", "trip.yaml", "--orphans", "--yes", *PROFILE)
    assert files(finished, but="fox-t") == others
    said(finished, "clean", "trip.yaml", "--orphans", "--yes", *PROFILE)
    assert files(finished) == others
    assert said(finished, "clean", "trip.yaml", *PROFILE)["orphans"] == []
    assert said(finished, "verify", "trip.yaml")["faults"] == []


def test_only_clean_with_orphans_deletes_and_the_ledger_keeps_what_was_paid(finished: Path, front: Gateway) -> None:
    (finished / "trip.yaml").write_text(MANIFEST.replace("A fox", "A crow"))
    everything = files(finished)
    shown = said(finished, "clean", "trip.yaml", *PROFILE)
    assert [one["path"] for one in shown["orphans"]] == ["videos/fox-t1.mp4", "videos/fox-t2.mp4"]
    assert (shown["deleted"], shown["bytes"]) == (False, sum(len(everything[one["path"]]) for one in shown["orphans"]))
    refused = call(finished, "clean", "trip.yaml", "--orphans", *PROFILE)
    assert (refused.returncode, files(finished)) == (2, everything)
    assert "--yes" in refused.stderr
    edited = finished / VIDEOS / "fox-t2.mp4"
    flip(edited)
    found = said(finished, "clean", "trip.yaml", "--orphans", "--yes", *PROFILE)
    assert [one["job"] for one in found["orphans"]] == ["fox#1"]
    assert [one["job"] for one in found["kept"]] == ["fox#2"], "it is not what was recorded: somebody's work"
    assert sorted(everything.keys() - files(finished).keys()) == ["videos/fox-t1.json", "videos/fox-t1.mp4"]
    assert said(finished, "status", "trip.yaml")["cost"]["spent"] == pytest.approx(1.6)
    reasons = {job["reason"] for job in said(finished, "plan", "trip.yaml", *PROFILE)["jobs"] if job["orphaned"]}
    assert reasons == {
        "not in the manifest any more; its file was deleted",
        "not in the manifest any more; done",
    }
    (finished / "trip.yaml").write_text(MANIFEST)
    [again] = [job for job in said(finished, "plan", "trip.yaml", *PROFILE)["jobs"] if job["job"] == "fox#1"]
    assert (again["action"], again["reason"][:20]) == ("continue", "its file was deleted")
    with at(front, finished) as upstream:
        assert run(finished, upstream).returncode == 0
    fetched = finished / "outputs/trip" / jobs(finished)["fox#1"]["path"]
    assert (fetched.read_bytes(), len(Bill(finished / "bill.db"))) == (everything["videos/fox-t1.mp4"], 3), "not paid"


@pytest.mark.parametrize(("answer", "expected"), [("n", 2), ("y", 0), ("\x04", 2)], ids=["no", "yes", "Ctrl-D"])
def test_on_a_terminal_it_asks_before_it_deletes(finished: Path, answer: str, expected: int) -> None:
    (finished / "trip.yaml").write_text(MANIFEST.replace("A fox", "A crow"))
    code, shown = on_a_terminal(finished, "clean", "trip.yaml", "--orphans", *PROFILE, answer=answer)
    assert ("videos/fox-t1.mp4" in shown, "Delete these?" in shown) == (True, True), shown
    assert (code, (finished / VIDEOS / "fox-t1.mp4").exists()) == (expected, expected != 0), shown


def test_a_video_that_was_picked_is_not_cleaned_away(finished: Path) -> None:
    said(finished, "pick", "trip.yaml", "fox")
    (finished / "trip.yaml").write_text(MANIFEST.replace("A fox", "A crow"))
    found = said(finished, "clean", "trip.yaml", "--orphans", "--yes", *PROFILE)
    assert ([one["job"] for one in found["kept"]], found["orphans"]) == (["fox#1", "fox#2"], [])
    assert "stays: picked" in call(finished, "clean", "trip.yaml", *PROFILE).stdout
    assert (finished / VIDEOS / "fox-t1.mp4").exists()


def test_the_file_that_another_job_has_too_stays(finished: Path) -> None:
    """One file, two jobs: whatever led there, what the manifest asks for is not deleted, nor what was not rejected."""
    with closing(sqlite3.connect(finished / "outputs/trip/ledger.db")) as connection, connection:
        theirs = "(SELECT path, sha256, bytes FROM jobs WHERE name = 'finale#1')"
        connection.execute(f"UPDATE jobs SET (path, sha256, bytes) = {theirs} WHERE name = 'fox#1'")
    shutil.copytree(finished, finished / "other")
    said(finished / "other", "reject", "trip.yaml", "fox#1")
    assert (finished / "other" / VIDEOS / "finale-t1.mp4").exists()
    assert jobs(finished / "other")["fox#1"]["state"] == "planned"
    (finished / "trip.yaml").write_text(MANIFEST.replace("A fox", "A crow"))
    found = said(finished, "clean", "trip.yaml", "--orphans", "--yes", *PROFILE)
    assert ([one["job"] for one in found["orphans"]], [one["job"] for one in found["kept"]]) == (["fox#2"], ["fox#1"])
    assert (finished / VIDEOS / "finale-t1.mp4").exists()


def test_a_lock_is_the_same_for_the_same_state_and_proves_a_copy_without_key_or_network(
    finished: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    first = said_lock(finished)
    assert (first["jobs"], first["done"], first["changed"]) == (3, 3, True)
    text = (finished / "trip.lock.json").read_text()
    written = (finished / "trip.lock.json").stat().st_ino
    assert said_lock(finished)["changed"] is False
    assert (finished / "trip.lock.json").stat().st_ino == written, "it is not written again"
    lock = json.loads(text)
    Draft202012Validator(shipped.schema("lock")).validate(lock)
    assert [job["job"] for job in lock["jobs"]] == ["finale#1", "fox#1", "fox#2"]
    assert lock["models"] == ["sora-2"]
    assert str(finished) not in text, "it is the same on every machine"
    there = handed_over(finished, tmp_path_factory)
    found = said(there, "verify", "trip.yaml", *PROFILE)
    assert (found["ledger"], found["lock"]["differences"], found["videos"]) == (True, [], 3)
    before = files(there)
    with gateway("http://127.0.0.1:9/v1") as server:
        ended = call(there, "run", "trip.yaml", *PROFILE, "--base-url", server.url)
    assert (ended.returncode, server.seen, files(there)) == (0, [], before), f"nothing is asked: {ended.stderr}"
    for path in (there / "outputs/trip").glob("ledger*"):
        path.unlink()
    found = said(there, "verify", "trip.yaml", *PROFILE)
    assert (found["ledger"], found["faults"], found["videos"], found["unknown"]) == (False, [], 3, [])
    moved = (there / "trip.lock.json").rename(there / "elsewhere.json")
    assert call(there, "verify", "trip.yaml").returncode == 5, "neither a ledger nor a lock"
    assert said(there, "verify", "outputs/trip", "--lock", str(moved))["videos"] == 3


def test_a_copy_with_work_to_do_still_wants_a_persons_word(
    finished: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    there = handed_over(finished, tmp_path_factory)
    arguments = ("run", "trip.yaml", *PROFILE, "--base-url", "http://127.0.0.1:9/v1", "--yes")
    assert call(there, *arguments).returncode == 0
    (there / "trip.yaml").write_text(MANIFEST.replace("takes: 2", "takes: 3"))
    refused = call(there, *arguments, **KEY)
    assert refused.returncode == 5
    assert "--takeover" in refused.stderr


HARM: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "a bit": (lambda folder: flip(folder / VIDEOS / "fox-t2.mp4"), ("changed", "videos/fox-t2.mp4")),
    "a file": (lambda folder: (folder / VIDEOS / "fox-t2.mp4").unlink(), ("missing", "videos/fox-t2.mp4")),
    "a prompt": (
        lambda folder: edit(folder / "trip.yaml", "A fox", "A crow"),
        ("manifest", "fox#1", "prompt", "A crow"),
    ),
    "a take": (
        lambda folder: edit(folder / "trip.yaml", "takes: 2", "takes: 3"),
        ("manifest", "fox#3", "not in the lock"),
    ),
    "a job": (
        lambda folder: edit(folder / "trip.yaml", "takes: 2", "takes: 1"),
        ("manifest", "fox#2", "not ask for it"),
    ),
    "the profile": (lambda folder: edit(folder / "plain.yaml", "0.1", "0.2"), ("manifest", "profile plain")),
    "the lock": (
        lambda folder: edit(folder / "trip.lock.json", '"A fox"', '"A cat"'),
        ("lock", "fox#1", "request_hash"),
    ),
    "a model": (lambda folder: edit(folder / "trip.lock.json", '"model": "sora-2"', '"model": "x"'), ("lock", "seal")),
    "a path": (
        lambda folder: edit(folder / "trip.lock.json", '"path": "videos/', '"path": "videos/x'),
        ("missing", "videos/xfox-t1.mp4", "seal"),
    ),
    "a hash that was sealed again": (lambda folder: sealed_again(folder / "trip.lock.json"), ("changed", "fox#1")),
}


@pytest.mark.parametrize("ledger", [True, False], ids=["with a ledger", "without"])
def test_what_does_not_agree_is_named(finished: Path, ledger: bool) -> None:
    said_lock(finished)
    if not ledger:
        for path in (finished / "outputs/trip").glob("ledger*"):
            path.unlink()
    whole = files(finished, root=finished)
    for name, (harm, words) in HARM.items():
        for path, data in whole.items():
            (finished / path).write_bytes(data)
        harm(finished)
        ended = call(finished, "verify", "trip.yaml", *PROFILE)
        assert ended.returncode == 1, f"{name}: {ended.stdout}{ended.stderr}"
        assert all(word in ended.stdout for word in words), f"{name}: {ended.stdout}"
        said(finished, "verify", "trip.yaml", *PROFILE, code=1)


def test_what_is_not_done_is_pinned_by_its_request_alone(finished: Path) -> None:
    call(finished, "reject", "trip.yaml", "fox#1")
    found = said_lock(finished)
    assert (found["jobs"], found["done"]) == (3, 2)
    assert "only the request is pinned" in call(finished, "lock", "trip.yaml", *PROFILE).stdout
    lock = json.loads((finished / "trip.lock.json").read_text())
    assert [(job["state"], job["video"] is None) for job in lock["jobs"]].count(("planned", True)) == 1
    assert said(finished, "verify", "trip.yaml", *PROFILE)["lock"]["differences"] == []
    (finished / "mine.json").write_text('{"mine": true}')
    refused = call(finished, "lock", "trip.yaml", *PROFILE, "--lock", "mine.json")
    assert (refused.returncode, (finished / "mine.json").read_text()) == (2, '{"mine": true}')


def test_an_image_is_pinned_by_its_bytes(tmp_path: Path) -> None:
    lay_out(tmp_path)
    request = {**PLAIN["request"], "input_reference": {"image": {"as": "base64"}}}
    (tmp_path / "plain.yaml").write_text(plain(**KEYED, request=request))
    edit(tmp_path / "trip.yaml", "prompt: The end", "prompt: The end, input_reference: still.png")
    (tmp_path / "still.png").write_bytes(still := png(b"one"))
    assert said_lock(tmp_path)["done"] == 0, "what was never run can be locked: its requests are"
    [image] = json.loads((tmp_path / "trip.lock.json").read_text())["images"]
    assert image["sha256"] == hashlib.sha256(still).hexdigest()
    assert said(tmp_path, "verify", "trip.yaml", *PROFILE)["lock"]["differences"] == []
    (tmp_path / "still.png").write_bytes(png(b"another"))
    [different] = said(tmp_path, "verify", "trip.yaml", *PROFILE, code=1)["lock"]["differences"]
    assert (different["about"], different["job"], different["name"]) == ("manifest", "finale#1", "input_reference")


def test_variables_are_pinned_with_their_values(tmp_path: Path) -> None:
    lay_out(tmp_path)
    edit(tmp_path / "trip.yaml", "jobs:", "vars: { who: fox }\njobs:")
    edit(tmp_path / "trip.yaml", "A fox", '"A {{ who }}"')
    assert call(tmp_path, "lock", "trip.yaml", *PROFILE, "--var", "who=crow").returncode == 0
    assert json.loads((tmp_path / "trip.lock.json").read_text())["variables"] == {"who": "crow"}
    assert said(tmp_path, "verify", "trip.yaml", *PROFILE)["lock"]["differences"] == []


def test_a_choice_lasts_over_runs_and_new_names_and_can_be_taken_back(finished: Path, front: Gateway) -> None:
    def picked() -> list[str]:
        return [name for name, job in jobs(finished).items() if job["picked"]]

    marked = said(finished, "pick", "trip.yaml", "fox", "finale")
    assert [mark["job"] for mark in marked["jobs"]] == ["fox#1", "fox#2", "finale#1"]
    assert "1 video not picked any more" in call(finished, "pick", "trip.yaml", "fox#1", "--undo").stdout
    edit(finished / "trip.yaml", "id: fox", "id: reynard")
    (finished / VIDEOS / "finale-t1.mp4").unlink()
    with at(front, finished) as upstream:
        assert run(finished, upstream).returncode == 0, "a new name, and a file that is fetched again"
    assert (picked(), len(Bill(finished / "bill.db"))) == (["reynard#2", "finale#1"], 3)
    assert said(finished, "show", "trip.yaml", "reynard#2")["jobs"][0]["picked"]
    assert "2 videos picked." in call(finished, "status", "trip.yaml").stdout
    before = said(finished, "show", "trip.yaml", "finale#1")
    said(finished, "pick", "trip.yaml", "finale")
    assert said(finished, "show", "trip.yaml", "finale#1") == before, "it was picked already"


@pytest.fixture(scope="module")
def failed_once(front: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A campaign of which one video is done, one failed at the server, and one was refused."""
    folder = tmp_path_factory.mktemp("failed")
    lay_out(folder)
    edit(folder / "trip.yaml", "takes: 2", "takes: 1")
    edit(folder / "trip.yaml", "seconds: ", "metadata: { scene: end }, seconds: ")
    (folder / "trip.yaml").write_text(f"{(folder / 'trip.yaml').read_text()}  - {{ id: no, prompt: A refused fox }}\n")
    refusal = Answer(400, error={"message": "no foxes", "code": "invalid_value", "param": "prompt"})
    wrong = [Fault(on="create", prompt="A refused fox", answer=refusal), Fault(on="create", prompt="A fox", fail="x_1")]
    with at(front, folder, wrong) as upstream:
        assert run(folder, upstream).returncode == 1
    return folder


@pytest.fixture
def failed(failed_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(failed_once, tmp_path, dirs_exist_ok=True))


def test_what_failed_is_tried_again_by_a_persons_word_and_its_error_is_kept_until_the_end(
    failed: Path, front: Gateway
) -> None:
    before = jobs(failed)
    assert {name: job["state"] for name, job in before.items()} == {
        "fox#1": "failed",
        "no#1": "failed",
        "finale#1": "done",
    }
    marked = said(failed, "retry", "trip.yaml", "--all", *PROFILE)
    assert [(mark["job"], mark["before"], mark["state"]) for mark in marked["jobs"]] == [
        ("fox#1", "failed", "planned"),
        ("no#1", "failed", "planned"),
    ]
    assert marked["cost"] == {"currency": "USD", "known": pytest.approx(0.8), "unknown": 0}
    assert (marked["passed"], marked["waiting"]) == (0, 0)
    now = jobs(failed)
    assert now["fox#1"]["error"] == now["fox#1"]["error_before"] == before["fox#1"]["error"]
    assert said(failed, "status", "trip.yaml")["cost"]["spent"] == pytest.approx(1.2), "what failed may be billed"
    anyio.run(submitted, failed)
    now = jobs(failed)["fox#1"]
    assert (now["state"], now["error"], now["error_before"]) == ("submitted", None, before["fox#1"]["error"])
    shown = call(failed, "status", "trip.yaml").stdout
    assert "tried once more; before: " in shown
    (failed / "outputs/trip/ledger.db").unlink()
    (failed / "outputs/trip/ledger.db.before").rename(failed / "outputs/trip/ledger.db")
    with at(front, failed) as upstream:
        assert run(failed, upstream).returncode == 0
    after = jobs(failed)
    assert [
        (after[name]["state"], after[name]["error"], after[name]["error_before"]) for name in ("fox#1", "no#1")
    ] == [("done", None, None)] * 2
    [story] = said(failed, "show", "trip.yaml", "fox#1")["jobs"]
    assert [event["changes"]["failure"]["kind"] for event in story["events"] if event["kind"] == "retried"] == [
        before["fox#1"]["error"]["kind"]
    ]


async def submitted(folder: Path) -> None:
    """Have the ledger say that the job is at the server again; as it was, it is kept beside."""
    path = folder / "outputs/trip/ledger.db"
    with closing(sqlite3.connect(path)) as connection, closing(sqlite3.connect(f"{path}.before")) as copy:
        connection.backup(copy)
    with closing(SqliteLedger.create_or_open(path, now=lambda: 1.0, blocking=inline)) as ledger:
        [job] = [job async for job in ledger.jobs({State.PLANNED}) if job.name == "fox#1"]
        intent = {"idempotency_key": "again", "base_url": "u", "key_fingerprint": None, "price": 0.4}
        sent = await ledger.record(job, Intended(attempt=2, intended_at=1.0, **intent))
        await ledger.record(sent, Accepted(video_id="again", submitted_at=2.0, status="queued"))


def test_an_expired_video_whose_file_is_back_is_not_paid_for_again(failed: Path) -> None:
    with closing(sqlite3.connect(failed / "outputs/trip/ledger.db")) as connection, connection:
        failure = '{"kind":"expired","message":"gone"}'
        for state in ("completed", "expired"):  # as of a run that found neither the file nor the video
            connection.execute("UPDATE jobs SET state = ?, failure = ? WHERE name = 'finale#1'", (state, failure))
    assert jobs(failed)["finale#1"]["state"] == "expired"
    marked = said(failed, "retry", "trip.yaml", "--all", *PROFILE)
    assert ([mark["job"] for mark in marked["jobs"]], marked["passed"]) == (["fox#1", "no#1"], 1)
    refused = call(failed, "retry", "trip.yaml", "finale", *PROFILE)
    assert refused.returncode == 2
    assert "is on the disk again" in refused.stderr
    with closing(sqlite3.connect(failed / "outputs/trip/ledger.db")) as connection, connection:
        for state in ("planned", "submitting", "failed"):  # retried on a person's word, and refused: no run looks again
            connection.execute(
                "UPDATE jobs SET state = ?1, approvals = approvals + (?1 = 'planned'), attempt = attempt + 1,"
                " video_id = NULL WHERE name = 'finale#1'",
                (state,),
            )
    refused = call(failed, "retry", "trip.yaml", "finale", *PROFILE)
    assert refused.returncode == 2
    assert "Move videos/finale-t1.mp4 away first" in refused.stderr
    (failed / VIDEOS / "finale-t1.mp4").unlink()
    assert [mark["job"] for mark in said(failed, "retry", "trip.yaml", "finale", *PROFILE)["jobs"]] == ["finale#1"]


def test_a_class_or_a_name_says_what_is_tried_again(failed: Path) -> None:
    kind = jobs(failed)["no#1"]["error"]["kind"]
    of_a_class = said(failed, "retry", "trip.yaml", "--class", kind, *PROFILE)
    assert [mark["job"] for mark in of_a_class["jobs"]] == ["no#1"]
    assert said(failed, "retry", "trip.yaml", "--class", "expired", *PROFILE)["jobs"] == []
    named = said(failed, "retry", "trip.yaml", "fox", *PROFILE)
    assert [mark["job"] for mark in named["jobs"]] == ["fox#1"]
    assert said(failed, "status", "trip.yaml")["cost"]["spent"] == pytest.approx(1.2), "a refusal cost nothing"
    assert said(failed, "retry", "trip.yaml", "--all")["jobs"] == [], "nothing is left"


REFUSED = [
    (("reject", "trip.yaml", "fx#1"), 2, "near it: fox#1"),
    (("pick", "trip.yaml", "fx#1"), 2, "near it: fox#1"),
    (("retry", "trip.yaml", "fx#1"), 2, "near it: fox#1"),
    (("reject", "trip.yaml", "fox#1"), 2, "`callsheet retry` has it tried again"),
    (("pick", "trip.yaml", "fox#1"), 2, "only a finished video can be picked"),
    (("retry", "trip.yaml", "finale#1"), 2, "`callsheet reject` asks for another take"),
    (("retry", "trip.yaml", "tag:none"), 2, "there is no job"),
    (("retry", "trip.yaml"), 2, "--all"),
    (("retry", "trip.yaml", "fox#1", "--all"), 2, "--all"),
    (("retry", "trip.yaml", "fox#1", "--class", "bored"), 2, "bored"),
    (("retry", ".", "fox#1"), 5, "there is no ledger"),
    (("reject", ".", "fox#1"), 5, "there is no ledger"),
    (("pick", ".", "fox#1"), 5, "there is no ledger"),
    (("clean", "."), 2, "is a folder"),
    (("lock", "."), 2, "is a folder"),
    (("verify", "trip.yaml", "--lock", "nowhere.json"), 2, "nowhere.json"),
    (("verify", "trip.yaml", "--lock", "trip.yaml"), 2, "is no lock"),
]


def test_what_cannot_be_done_is_said_and_nothing_changes(failed: Path) -> None:
    before = files(failed)
    for arguments, code, words in REFUSED:
        ended = call(failed, *arguments)
        assert (ended.returncode, files(failed)) == (code, before), f"{arguments}: {ended.stderr}"
        assert words in ended.stderr, arguments


def test_a_run_that_holds_the_campaign_is_not_disturbed(failed: Path) -> None:
    edit(failed / "trip.yaml", "The end", "The very end")
    with run_lock(failed / "outputs/trip/ledger.lock"):
        for arguments in (
            ("reject", "trip.yaml", "finale#1"),
            ("pick", "trip.yaml", "finale#1"),
            ("retry", "trip.yaml", "--all"),
            ("clean", "trip.yaml", "--orphans", "--yes", *PROFILE),
        ):
            assert call(failed, *arguments).returncode == 75, arguments


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def edit(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def png(words: bytes) -> bytes:
    """An image of the right size, with words that nobody sees."""

    def chunk(kind: bytes, payload: bytes) -> bytes:
        return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1280, 720, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"tEXt", words) + chunk(b"IDAT", b"x") + chunk(b"IEND", b"")


def sealed_again(path: Path) -> None:
    """Have the lock speak of another video, as somebody does who knows what a seal is."""
    lock = json.loads(path.read_text())
    [video] = [one["video"] for one in lock["jobs"] if one["job"] == "fox#1"]
    video["sha256"] = "0" * 64
    body = {name: value for name, value in lock.items() if name != "seal"}
    path.write_text(pinning.text({**body, "seal": pinning.digest(body)}))


def files(folder: Path, *, but: str = "/", root: Path | None = None) -> dict[str, bytes]:
    """What lies in the campaign: videos, sidecars, and what was rejected."""
    root = root or folder / "outputs/trip"
    found = sorted(path for path in root.rglob("*") if path.is_file() and "simulator" not in path.name)
    ours = [path for path in found if root == folder or path.suffix in {".mp4", ".json"}]
    return {str(path.relative_to(root)): path.read_bytes() for path in ours if not path.name.startswith(but)}


def said_lock(folder: Path) -> dict[str, Any]:
    ended = call(folder, "lock", "trip.yaml", *PROFILE, "--json")
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    Draft202012Validator(shipped.schema("locked")).validate(found)
    return found


def handed_over(folder: Path, made: pytest.TempPathFactory) -> Path:
    """Copy what is handed over to another place: the campaign's folder, the manifest, the lock, the profile."""
    there = made.mktemp("there")
    shutil.copytree(folder / "outputs", there / "outputs")
    for path in (*folder.glob("*.yaml"), *folder.glob("*.lock.json")):
        shutil.copy(path, there)
    return there


def killed(folder: Path, failpoint: Failpoint, *arguments: str, links: bool = True) -> None:
    """Run the command in a fork of this process, on a disk with links or without, and have it killed at an instant."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other threads of this process, which the fork has not
        child = os.fork()
    if child == 0:
        try:
            if not links:
                sys.addaudithook(_refuse_links)
            arm(failpoint, 1)
            call(folder, *arguments)
        finally:
            os._exit(99)
    _, ended = os.waitpid(child, 0)
    assert os.WIFSIGNALED(ended), f"the failpoint was not reached: {os.waitstatus_to_exitcode(ended)}"
    assert os.WTERMSIG(ended) == signal.SIGKILL


def on_a_terminal(folder: Path, *arguments: str, answer: str) -> tuple[int, str]:
    """Run the command in a fork that has a terminal of its own, and answer its question."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child, terminal = pty.fork()
    if child == 0:
        try:
            sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
            os.chdir(folder)
            os.environ["COLUMNS"] = "200"
            os._exit(main(arguments))
        finally:
            os._exit(99)
    os.write(terminal, f"{answer}\n".encode())
    shown = b""
    with os.fdopen(terminal, "rb", buffering=0) as ours:
        try:
            while chunk := ours.read(65536):
                shown += chunk
        except OSError:  # EIO: it has ended
            pass
    _, ended = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(ended), shown.decode()


def _refuse_links(event: str, arguments: tuple[object, ...]) -> None:
    if event == "os.link":
        raise PermissionError(errno.EPERM, "this disk has no links")

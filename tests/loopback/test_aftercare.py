"""The person on call: real processes, a real server that keeps its bill, files that somebody has touched."""

import base64
import hashlib
import json
import os
import pty
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import anyio
import pytest
from gateway import (
    ENVIRONMENT,
    KEYED,
    Bill,
    Ended,
    Gateway,
    call,
    deleted,
    fails_afterwards,
    gateway,
    hears_nothing,
    loses_the_answers,
    plain,
    posted,
    simulator,
    start,
)
from jsonschema import Draft202012Validator

from pipeline import shipped
from pipeline.blocking import inline
from pipeline.events import Accepted, Lost
from pipeline.jobs import Failure, FailureKind, Job, Spec, State
from pipeline.ledger.lock import run_lock
from pipeline.ledger.rescue import rescue as rescued
from pipeline.ledger.store import SqliteLedger

MANIFEST = """\
version: 1
name: trip
provider: plain
limits: { requests_per_minute: 6000, polls_per_second: 50 }
jobs:
  - id: "shot-{{ row_number }}"
    from: prompts.txt
  - id: finale
    prompt: The end
    seconds: "8"
"""
NOWHERE = "http://127.0.0.1:9/v1"
DONE = ["finale#1", "shot-1#1", "shot-2#1"]


def lay_out(folder: Path) -> None:
    (folder / "trip.yaml").write_text(MANIFEST)
    (folder / "prompts.txt").write_text("A fox\nA crow\n")
    (folder / "plain.yaml").write_text(plain())
    (folder / "lists.yaml").write_text(plain(abilities={"list": True}))
    (folder / "locked.yaml").write_text(plain(**KEYED))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lay_out(tmp_path)
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[Gateway]:
    """A gateway with the simulator behind it; the bill is ``bill.db``."""
    with simulator(folder / "bill.db") as upstream, gateway(upstream) as front:
        yield front


@pytest.fixture
def bill(folder: Path) -> Bill:
    return Bill(folder / "bill.db")


@pytest.fixture(scope="session")
def finished_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A campaign of three videos, done; its server is gone."""
    folder = tmp_path_factory.mktemp("finished")
    lay_out(folder)
    with simulator(folder / "bill.db") as upstream:
        ended = call(folder, "run", "trip.yaml", "--profile", "plain.yaml", "--base-url", upstream, "--yes")
    assert ended.returncode == 0, ended.stderr
    return folder


@pytest.fixture
def finished(finished_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished_once, tmp_path, dirs_exist_ok=True))


def run(folder: Path, server: Gateway | str, *more: str, profile: str = "plain.yaml", **environment: str) -> Ended:
    url = server if isinstance(server, str) else server.url
    return call(folder, "run", "trip.yaml", "--profile", profile, "--base-url", url, "--yes", *more, **environment)


def document(ended: Ended, verb: str) -> dict[str, Any]:
    """The JSON document that the command printed, as its schema promises it."""
    found = json.loads(ended.stdout)
    Draft202012Validator(shipped.schema(verb)).validate(found)
    return dict(found)


def jobs(folder: Path) -> dict[str, dict[str, Any]]:
    return {job["job"]: job for job in document(call(folder, "status", "outputs/trip", "--json"), "status")["jobs"]}


def events(folder: Path, name: str) -> list[str]:
    (story,) = document(call(folder, "show", "outputs/trip", name, "--json"), "show")["jobs"]
    return [event["kind"] for event in story["events"]]


def video(folder: Path, name: str = "shot-1-t1") -> Path:
    return folder / f"outputs/trip/videos/{name}.mp4"


def sidecar(folder: Path, name: str = "shot-1-t1") -> Path:
    return video(folder, name).with_suffix(".json")


def edit(file: Path, **changes: Any) -> None:
    found = json.loads(file.read_text())
    file.write_text(json.dumps({key: value for key, value in {**found, **changes}.items() if value is not ...}))


def sql(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


# --- verify ---


def faults(folder: Path) -> dict[str, str]:
    """What ``verify`` says is wrong, by file; and that it says so in every way."""
    ended = call(folder, "verify", "outputs/trip", "--json")
    found = document(ended, "verify")
    shown = call(folder, "verify", "trip.yaml")
    assert ended.returncode == shown.returncode == found["exit"] == bool(found["faults"])
    assert sum(found["counts"].values()) == len(found["faults"])
    for fault in found["faults"]:
        assert fault["path"] in shown.stdout
        assert fault["message"] in shown.stdout
    return {fault["path"]: fault["fault"] for fault in found["faults"]}


def test_untouched_files_are_as_recorded(finished: Path) -> None:
    assert faults(finished) == {}
    found = document(call(finished, "verify", "outputs/trip", "--json"), "verify")
    assert found["videos"] == 3
    assert found["bytes"] == sum(path.stat().st_size for path in (finished / "outputs/trip/videos").glob("*.mp4"))
    assert "all as recorded" in call(finished, "verify", "trip.yaml").stdout


@pytest.mark.parametrize("place", [-1, 0, 2])
def test_one_flipped_bit_is_found(finished: Path, place: int) -> None:
    """In the last byte, in the first, and in the middle of the picture: the structure may be whole as before."""
    data = bytearray(video(finished).read_bytes())
    data[len(data) // 2 if place == 2 else place] ^= 1
    video(finished).write_bytes(data)
    assert faults(finished) == {"videos/shot-1-t1.mp4": "changed"}


def test_a_bit_of_every_other_byte_of_a_sidecar_matters(finished: Path) -> None:
    whole, known = sidecar(finished).read_bytes(), {ord(" "), ord("\n")}
    rng = Random(1)
    for place in rng.sample([place for place, byte in enumerate(whole) if byte not in known], 12):
        sidecar(finished).write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        ended = call(finished, "verify", "outputs/trip", "--json")
        found = [(fault["path"], fault["fault"]) for fault in document(ended, "verify")["faults"]]
        assert found == [("videos/shot-1-t1.json", "sidecar different")], (place, whole[place - 20 : place + 20])


def _link_to_the_same_bytes(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("touch", "fault"),
    [
        (lambda path: path.unlink(), "missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "changed"),
        (lambda path: path.write_bytes(b""), "changed"),
        (_link_to_the_same_bytes, "missing"),
        (_folder, "missing"),
        (_pipe, "missing"),
    ],
    ids=["gone", "cut", "empty", "link", "folder", "pipe"],
)
def test_whatever_happened_to_a_video_is_named(finished: Path, touch: Callable[[Path], None], fault: str) -> None:
    touch(video(finished, "finale-t1"))
    assert faults(finished) == {"videos/finale-t1.mp4": fault}


def test_a_sidecar_that_is_gone_is_named_and_so_is_one_of_another_video(finished: Path) -> None:
    sidecar(finished).unlink()
    shutil.copy(sidecar(finished, "finale-t1"), sidecar(finished, "shot-2-t1"))
    assert faults(finished) == {
        "videos/shot-1-t1.json": "sidecar missing",
        "videos/shot-2-t1.json": "sidecar different",
    }


def test_changed_metadata_is_no_difference(finished: Path) -> None:
    (finished / "trip.yaml").write_text(MANIFEST.replace('seconds: "8"', 'seconds: "8"\n    tags: [new]'))
    assert call(finished, "run", "trip.yaml", "--profile", "plain.yaml", "--takeover").returncode == 0
    assert faults(finished) == {}


def test_bytes_that_were_recorded_and_are_no_video_are_damaged(finished: Path) -> None:
    video(finished).write_bytes(b"<html>")
    sha = hashlib.sha256(b"<html>").hexdigest()
    sql(finished / "outputs/trip/ledger.db", f"UPDATE jobs SET sha256 = '{sha}', bytes = 6 WHERE name = 'shot-1#1'")
    edit(sidecar(finished), sha256=sha, bytes=6)
    assert faults(finished) == {"videos/shot-1-t1.mp4": "damaged"}


def test_a_path_that_leads_out_of_the_folder_is_not_followed(finished: Path) -> None:
    """The ledger may be somebody else's: the same bytes outside of ``videos`` are not the video."""
    for place in ("../outside.mp4", "videos/../../outside.mp4", "/" + str(finished / "outside.mp4").lstrip("/")):
        shutil.copy(video(finished), finished / "outputs/outside.mp4")
        shutil.copy(video(finished), finished / "outside.mp4")
        sql(finished / "outputs/trip/ledger.db", f"UPDATE jobs SET path = '{place}' WHERE name = 'shot-1#1'")
        found = document(call(finished, "verify", "outputs/trip", "--json"), "verify")
        assert [fault["fault"] for fault in found["faults"]] == ["missing", "sidecar missing"], place


def test_files_that_no_job_has_are_told_and_are_no_fault(finished: Path) -> None:
    (finished / "outputs/trip/videos/sub").mkdir()
    for name in ("sub/holiday\x1b[2J.mov", "notes.txt", ".shot-9-t1.mp4.abc.part"):
        (finished / "outputs/trip/videos" / name).write_bytes(b"x")
    found = document(ended := call(finished, "verify", "trip.yaml", "--json"), "verify")
    assert (ended.returncode, found["unknown"]) == (0, ["videos/notes.txt", "videos/sub/holiday\x1b[2J.mov"])
    shown = call(finished, "verify", "trip.yaml").stdout
    assert "holiday\\x1b[2J.mov" in shown
    assert "\x1b" not in shown


def test_there_must_be_a_ledger(folder: Path) -> None:
    (folder / "outputs/trip").mkdir(parents=True)
    for arguments in (["verify"], ["audit"], ["resolve"], ["show", "x#1"], ["resolve", "x#1", "abandon"]):
        verb, *more = arguments
        for target in ("trip.yaml", "outputs/trip"):
            refused = call(folder, verb, target, *more)
            assert refused.returncode == 5
            assert "there is no ledger" in refused.stderr
    assert list((folder / "outputs/trip").iterdir()) == [], "nothing is made where nothing was"


# --- run --no-submit ---


def test_what_is_paid_is_fetched_and_nothing_is_spent(folder: Path, server: Gateway, bill: Bill) -> None:
    assert run(folder, server, "--select", "finale").returncode == 0
    (folder / "outputs/trip/videos/finale-t1.mp4").unlink()
    server.seen.clear()
    assert run(folder, server, "--no-submit").returncode == 0
    assert {name: job["state"] for name, job in jobs(folder).items()} == {
        "finale#1": "done",
        "shot-1#1": "planned",
        "shot-2#1": "planned",
    }
    assert (folder / "outputs/trip/videos/finale-t1.mp4").exists()
    assert (server.posts(), len(bill)) == (0, 1)


# --- rebuild ---


def lose_the_ledger(folder: Path) -> None:
    for path in (folder / "outputs/trip").glob("ledger.db*"):
        path.unlink()


def planned_to_submit(folder: Path) -> list[str]:
    plan = json.loads(call(folder, "plan", "trip.yaml", "--profile", "plain.yaml", "--json").stdout)
    return [job["job"] for job in plan["jobs"] if job["action"] == "submit"]


def test_a_lost_ledger_is_made_anew_and_nothing_is_paid_again(finished: Path) -> None:
    before = jobs(finished)
    lose_the_ledger(finished)
    refused = run(finished, NOWHERE)
    assert refused.returncode == 5
    assert "callsheet rebuild" in refused.stderr
    found = document(rebuilt := call(finished, "rebuild", "trip.yaml", "--json"), "rebuild")
    assert (rebuilt.returncode, found["jobs"], found["left_out"], found["provider"]) == (0, DONE, [], None)
    assert jobs(finished) == before
    assert faults(finished) == {}
    again = run(finished, NOWHERE)
    assert again.returncode == 0, "nothing is asked, so nobody need be there"
    assert len(Bill(finished / "bill.db")) == 3
    assert jobs(finished) == before
    assert not list((finished / "outputs/trip").glob(".*"))
    assert (finished / "outputs/trip/ledger.db").stat().st_mode & 0o777 == 0o600


def test_what_a_rebuilt_ledger_does_not_know_is_not_paid_for_without_a_persons_word(finished: Path) -> None:
    lose_the_ledger(finished)
    for ending in ("mp4", "json"):
        (finished / f"outputs/trip/videos/shot-1-t1.{ending}").unlink()
    assert call(finished, "rebuild", "trip.yaml").returncode == 0
    refused = call(finished, "run", "trip.yaml", "--profile", "plain.yaml", "--base-url", NOWHERE)
    assert (refused.returncode, "was not confirmed" in refused.stderr) == (2, True)


def test_rebuild_says_what_it_cannot_know(finished: Path) -> None:
    lose_the_ledger(finished)
    shown = call(finished, "rebuild", "outputs/trip").stdout
    assert "3 finished jobs" in shown
    assert "cannot know" in shown
    assert "callsheet audit" in shown


def test_a_ledger_that_is_there_is_never_written_over(finished: Path) -> None:
    before = (finished / "outputs/trip/ledger.db").read_bytes()
    refused = call(finished, "rebuild", "trip.yaml")
    assert refused.returncode == 2
    assert (finished / "outputs/trip/ledger.db").read_bytes() == before
    (finished / "outputs/trip/ledger.db").write_bytes(b"garbage")
    assert call(finished, "rebuild", "trip.yaml").returncode == 2


@pytest.mark.parametrize("ending", ["-wal", "-shm", "-journal"])
def test_what_is_left_of_a_ledger_is_neither_deleted_nor_written_over(finished: Path, ending: str) -> None:
    lose_the_ledger(finished)
    left = finished / f"outputs/trip/ledger.db{ending}"
    left.write_bytes(b"what was paid last")
    refused = call(finished, "rebuild", "trip.yaml")
    assert refused.returncode == 2
    assert left.name in refused.stderr
    assert left.read_bytes() == b"what was paid last"
    assert not (finished / "outputs/trip/ledger.db").exists()


def test_there_must_be_something_to_make_a_ledger_of(folder: Path) -> None:
    assert call(folder, "rebuild", "trip.yaml").returncode == 2
    assert not (folder / "outputs").exists()
    (folder / "outputs/trip").mkdir(parents=True)
    assert call(folder, "rebuild", "trip.yaml").returncode == 2
    assert list((folder / "outputs/trip").iterdir()) == [], "a folder that is no campaign's stays as it is"
    (folder / "outputs/trip/videos").mkdir()
    refused = call(folder, "rebuild", "trip.yaml")
    assert refused.returncode == 2
    assert "no sidecar" in refused.stderr
    assert not (folder / "outputs/trip/ledger.db").exists()


def _another_prompt(folder: Path) -> None:
    edit(sidecar(folder), request={**json.loads(sidecar(folder).read_text())["request"], "prompt": "Another"})


def _flipped(folder: Path) -> None:
    data = bytearray(video(folder).read_bytes())
    data[-1] ^= 1
    video(folder).write_bytes(data)


def _text(folder: Path, old: str, new: str) -> None:
    before = sidecar(folder).read_text()
    assert old in before
    sidecar(folder).write_text(before.replace(old, new, 1))


def _linked_sidecar(folder: Path) -> None:
    shutil.move(sidecar(folder), folder / "outside.json")
    sidecar(folder).symlink_to(folder / "outside.json")


def _linked_video(folder: Path) -> None:
    shutil.move(video(folder), folder / "outside.mp4")
    video(folder).symlink_to(folder / "outside.mp4")


def _stolen_id(folder: Path) -> None:
    other = json.loads(sidecar(folder, "finale-t1").read_text())["video_id"]
    edit(sidecar(folder), video_id=other)
    os.utime(sidecar(folder), (1, 1))


TAMPERINGS: dict[str, Callable[[Path], object]] = {
    "another prompt": _another_prompt,
    "another take": lambda folder: edit(sidecar(folder), job="shot-1#2"),
    "no take": lambda folder: edit(sidecar(folder), job="shot-1"),
    "another file": lambda folder: edit(sidecar(folder), path="videos/finale-t1.mp4"),
    "a file outside": lambda folder: edit(sidecar(folder), path="../../outside.mp4"),
    "another hash": lambda folder: edit(sidecar(folder), sha256="0" * 64),
    "another length": lambda folder: edit(sidecar(folder), bytes=1),
    "a missing key": lambda folder: edit(sidecar(folder), video_id=...),
    "an unknown key": lambda folder: edit(sidecar(folder), note="hello"),
    "a newer format": lambda folder: edit(sidecar(folder), schema_version=2),
    "a huge number": lambda folder: edit(sidecar(folder), bytes=2**70),
    "a negative price": lambda folder: edit(sidecar(folder), price=-1),
    "no number": lambda folder: _text(folder, '"price": 0.4', '"price": NaN'),
    "an endless number": lambda folder: _text(folder, '"price": 0.4', '"price": 1e999'),
    "half a character": lambda folder: _text(folder, '"metadata": {}', '"metadata": {"a": "\\ud800"}'),
    "no JSON": lambda folder: sidecar(folder).write_text("{"),
    "no object": lambda folder: sidecar(folder).write_text("[]"),
    "too deep": lambda folder: sidecar(folder).write_text("[" * 100_000),
    "no text": lambda folder: sidecar(folder).write_bytes(b"\xff\xfe"),
    "empty": lambda folder: sidecar(folder).write_bytes(b""),
    "gone": lambda folder: sidecar(folder).unlink(),
    "a link": _linked_sidecar,
    "a video that is gone": lambda folder: video(folder).unlink(),
    "a video that is a link": _linked_video,
    "a flipped bit in the video": _flipped,
    "the id of another video": _stolen_id,
}


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_what_does_not_agree_is_named_and_left_out(finished: Path, tampering: str) -> None:
    lose_the_ledger(finished)
    TAMPERINGS[tampering](finished)
    found = document(rebuilt := call(finished, "rebuild", "outputs/trip", "--json"), "rebuild")
    assert rebuilt.returncode == 1
    assert found["jobs"] == ["finale#1", "shot-2#1"]
    (left_out,) = found["left_out"]
    assert left_out["path"].startswith("videos/shot-1-t1.")
    assert jobs(finished).keys() == {"finale#1", "shot-2#1"}
    assert planned_to_submit(finished) == ["shot-1#1"], "which is said before it is paid again"


def test_a_video_under_two_names_is_one_job(finished: Path) -> None:
    (finished / "trip.yaml").write_text(MANIFEST.replace("id: finale", "id: ending"))
    renamed = call(finished, "run", "trip.yaml", "--profile", "plain.yaml", "--base-url", NOWHERE, "--takeover")
    assert renamed.returncode == 0, renamed.stderr
    assert {path.name for path in (finished / "outputs/trip/videos").glob("*n*-t1.mp4")} == {
        "finale-t1.mp4",
        "ending-t1.mp4",
    }
    assert faults(finished) == {}
    lose_the_ledger(finished)
    found = document(rebuilt := call(finished, "rebuild", "trip.yaml", "--json"), "rebuild")
    assert (rebuilt.returncode, found["left_out"]) == (0, [])
    assert [copy["path"] for copy in found["copies"]] == ["videos/finale-t1.mp4"], "the name given last is the job's"
    assert found["jobs"] == ["ending#1", "shot-1#1", "shot-2#1"]
    assert run(finished, NOWHERE).returncode == 0


def test_what_was_paid_before_the_last_attempt_is_not_forgotten(finished: Path) -> None:
    edit(sidecar(finished), attempt=3, approvals=2, sunk=0.7)
    lose_the_ledger(finished)
    assert call(finished, "rebuild", "trip.yaml").returncode == 0
    (story,) = document(call(finished, "show", "trip.yaml", "shot-1#1", "--json"), "show")["jobs"]
    assert story["cost"] == {"price": 0.4, "sunk": 0.7}
    assert (story["attempt"], story["approvals"]) == (3, 2)
    assert faults(finished) == {}
    with closing(sqlite3.connect(finished / "outputs/trip/ledger.db")) as connection:
        (reserved,) = connection.execute("SELECT reserved FROM account").fetchone()
    assert reserved == pytest.approx(0.4 + 0.4 + 0.8 + 0.7), "a budget counts it"


def test_ids_that_were_rescued_and_never_fetched_are_told(finished: Path) -> None:
    has = json.loads(sidecar(finished).read_text())["video_id"]
    rescue = finished / "outputs/trip/ledger.rescue.jsonl"
    for name, video_id in (("late#1", "video_paid"), ("shot-1#1", has)):
        job = Job(name, "a" * 64, {}, "o", idempotency_key=name)
        rescued(job, Accepted(video_id=video_id, status="queued", submitted_at=1.0, raw=b"{}"), [rescue])
    lose_the_ledger(finished)
    found = document(rebuilt := call(finished, "rebuild", "trip.yaml", "--json"), "rebuild")
    assert (rebuilt.returncode, found["rescued"]) == (1, [{"job": "late#1", "video_id": "video_paid"}])
    assert rescue.exists()


def test_what_a_rebuild_left_that_died_is_cleared_away(finished: Path) -> None:
    lose_the_ledger(finished)
    (finished / "outputs/trip/.rebuild").mkdir()
    (finished / "outputs/trip/.rebuild/ledger.db").write_bytes(b"half")
    assert call(finished, "rebuild", "trip.yaml").returncode == 0
    assert not (finished / "outputs/trip/.rebuild").exists()
    assert faults(finished) == {}


@pytest.mark.parametrize("seed", range(3))
def test_a_rebuild_that_is_killed_leaves_no_ledger_or_a_whole_one(finished: Path, seed: int) -> None:
    lose_the_ledger(finished)
    template = json.loads(sidecar(finished).read_text())
    for number in range(600):
        name = f"more-{number}"
        video(finished, name).write_bytes(data := f"bytes {number}".encode())
        spec = Spec(f"{name}#1", 1, {**template["request"], "prompt": name}, "", "")
        facts = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), "video_id": name}
        again = {**template, **facts, "job": spec.name, "path": f"videos/{name}.mp4"}
        again |= {"request": spec.request, "request_hash": spec.request_hash}
        sidecar(finished, name).write_text(json.dumps(again))
    process = start(finished, "rebuild", "outputs/trip")
    nursery, ledger = finished / "outputs/trip/.rebuild/ledger.db", finished / "outputs/trip/ledger.db"
    while process.poll() is None and not nursery.exists() and not ledger.exists():
        time.sleep(0.005)
    time.sleep(Random(seed).uniform(0, 0.6))
    process.kill()
    process.communicate()
    if ledger.exists():
        assert len(jobs(finished)) == 603
    else:
        assert call(finished, "rebuild", "outputs/trip").returncode == 0
        assert len(jobs(finished)) == 603


# --- resolve ---


@pytest.fixture
def held(folder: Path, server: Gateway, bill: Bill) -> Path:
    """A campaign of one job whose video was paid, and whose id nobody was told."""
    (folder / "prompts.txt").write_text("A fox\n")
    (folder / "trip.yaml").write_text(MANIFEST[: MANIFEST.index("  - id: finale")])
    server.meddle = fails_afterwards
    ended = run(folder, server)
    assert (ended.returncode, len(bill)) == (3, 1), ended.stderr
    assert jobs(folder)["shot-1#1"]["state"] == "held"
    server.meddle = Gateway.meddle
    server.seen.clear()
    return folder


def resolve(folder: Path, server: Gateway | str | None, *words: str, **environment: str) -> Ended:
    url = server.url if isinstance(server, Gateway) else server
    address = [] if url is None else ["--base-url", url]
    profile = [] if "--profile" in words else ["--profile", "plain.yaml"]
    return call(folder, "resolve", *address, *profile, "outputs/trip", *words, **environment)


def untouched(folder: Path, name: str = "shot-1#1") -> None:
    assert jobs(folder)[name]["state"] == "held"
    assert events(folder, name) == ["intended", "doubted", "held"]


def test_what_waits_for_a_person_is_shown_with_all_that_helps(held: Path, server: Gateway) -> None:
    shown = resolve(held, server)
    assert shown.returncode == 0
    for words in (
        "shot-1#1  held",
        "bad \\x1b[2J [red]gateway[/]",
        "A fox",
        "sora-2, 1280x720, 4 s",
        "0.40 USD",
        server.url,
        "req_for_the_support",
        "callsheet resolve --output" if "--output" in shown.stdout else "callsheet resolve outputs/trip",
        "'shot-1#1' adopt VIDEO_ID",
        "'shot-1#1' resubmit",
        "'shot-1#1' abandon",
    ):
        assert words in shown.stdout, words
    assert "\x1b" not in shown.stdout
    (question,) = document(resolve(held, server, "--json"), "resolve")["waiting"]
    assert question["idempotency_key"] in shown.stdout
    assert question["window"]["from"] < question["window"]["until"]
    assert question["window"]["from"] in shown.stdout
    assert [answer["answer"] for answer in question["answers"]] == ["adopt", "resubmit", "abandon"]
    assert question["answers"][1]["command"][:3] == ["callsheet", "resolve", "outputs/trip"]
    assert document(resolve(held, server, "shot-1#1", "--json"), "resolve")["waiting"] == [question]
    assert server.seen == [], "showing asks nobody"
    untouched(held)


def test_the_right_id_is_adopted_and_fetched_for_nothing(held: Path, server: Gateway, bill: Bill) -> None:
    (line,) = bill.lines()
    answered = resolve(held, server, "shot-1#1", "adopt", line["video_id"], "--json")
    assert answered.returncode == 0, answered.stderr
    found = document(answered, "resolve")["answered"]
    assert (found["before"], found["state"], found["video_id"]) == ("held", "submitted", line["video_id"])
    assert run(held, server).returncode == 0
    assert (jobs(held)["shot-1#1"]["state"], len(bill), server.posts()) == ("done", 1, 0)
    (story,) = document(call(held, "show", "outputs/trip", "shot-1#1", "--json"), "show")["jobs"]
    (adopted,) = [event for event in story["events"] if event["kind"] == "adopted"]
    assert "@" in adopted["changes"]["by"]
    assert json.loads(adopted["answer"]["text"])["id"] == line["video_id"]
    assert faults(held) == {}


def test_what_is_held_is_looked_for_only_where_it_may_be(held: Path, server: Gateway, bill: Bill) -> None:
    both = plain(**KEYED, abilities={"list": True}, doubt={"settle": 1, "between": 0.5})
    (held / "both.yaml").write_text(both)
    key = {"PLAIN_KEY": "another-key-of-somebody"}
    for url, words in ((server.url, "another key"), (NOWHERE, "was submitted to")):
        refused = run(held, url, "--resubmit-absent", profile="both.yaml", **key)
        assert (refused.returncode, words in refused.stderr) == (2, True), refused.stderr
    assert not server.seen
    assert run(held, server, "--same-account", profile="both.yaml", **key).returncode == 0
    assert (jobs(held)["shot-1#1"]["state"], len(bill), server.posts()) == ("done", 1, 0)


def _another_video(server: Gateway, **changes: str) -> str:
    """A video that somebody made behind our back."""
    request = {"model": "sora-2", "prompt": "A fox", "size": "1280x720", "seconds": "4", **changes}
    return posted(server.upstream, request)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"prompt": "A crow"}, "prompt is 'A crow', 'A fox' was asked for"),
        ({"size": "720x1280"}, "size"),
        ({"seconds": "8"}, "seconds"),
    ],
)
def test_a_video_of_another_request_is_refused(held: Path, server: Gateway, changes: dict, words: str) -> None:
    refused = resolve(held, server, "shot-1#1", "adopt", _another_video(server, **changes))
    assert refused.returncode == 2
    assert words in refused.stderr
    untouched(held)


def test_an_id_that_the_server_does_not_know_is_refused(held: Path, server: Gateway) -> None:
    for video_id in ("video_no", "../../etc/passwd", "\x1b[2J", "x?y=1#z", "-", "", "\udcff"):
        refused = resolve(held, server, "shot-1#1", "--", "adopt", video_id)
        assert refused.returncode == 2, refused.stderr
        assert "does not know" in refused.stderr or "no id" in refused.stderr
        assert "\x1b" not in refused.stderr
    assert server.asked() == [
        "/videos/video_no",
        "/videos/..%2F..%2Fetc%2Fpasswd",
        "/videos/%1B%5B2J",
        "/videos/x%3Fy%3D1%23z",
        "/videos/-",
    ]
    untouched(held)


def test_an_id_that_another_job_has_is_refused(held: Path, server: Gateway, bill: Bill) -> None:
    (held / "prompts.txt").write_text("A fox\nA fox \nA fox\n")
    (held / "trip.yaml").write_text((held / "trip.yaml").read_text().replace("limits:", "# \nlimits:"))
    assert run(held, server).returncode == 3
    taken = jobs(held)["shot-2#1"]["video_id"]
    refused = resolve(held, server, "shot-1#1", "adopt", taken)
    assert refused.returncode == 2
    assert taken in refused.stderr
    untouched(held)


def test_a_server_that_shows_another_id_than_asked_is_not_believed(held: Path, server: Gateway) -> None:
    other = _another_video(server)
    server.meddle = lambda method, path, act: (200, json.dumps({"id": "video_2", "status": "queued"}).encode(), {})
    assert resolve(held, server, "shot-1#1", "adopt", other).returncode == 2
    untouched(held)


def test_a_server_that_does_not_answer_leaves_everything_as_it_is(held: Path, server: Gateway, bill: Bill) -> None:
    (line,) = bill.lines()
    server.meddle = lambda method, path, act: (500, b"", {"Retry-After": "0"})
    assert resolve(held, server, "shot-1#1", "adopt", line["video_id"]).returncode == 69
    server.meddle = lambda method, path, act: (401, b'{"error": {"message": "no \x1b[2J"}}', {})
    refused = resolve(held, server, "shot-1#1", "adopt", line["video_id"])
    assert refused.returncode == 4
    assert "\x1b" not in refused.stderr
    untouched(held)


def test_a_video_is_asked_for_only_where_its_job_was_sent(held: Path, server: Gateway, bill: Bill) -> None:
    (line,) = bill.lines()
    with gateway(server.upstream) as elsewhere:
        assert resolve(held, elsewhere, "shot-1#1", "adopt", line["video_id"]).returncode == 2
        assert elsewhere.seen == []
        # A ledger that somebody has written cannot choose where a key goes.
        sql(held / "outputs/trip/ledger.db", f"UPDATE jobs SET base_url = '{elsewhere.url}'")
        words = ("shot-1#1", "adopt", line["video_id"], "--profile", "locked.yaml")
        refused = resolve(held, server, *words, PLAIN_KEY="sk-CANARY-1")
        assert refused.returncode == 2
        assert elsewhere.url in refused.stderr
        assert elsewhere.seen == server.seen == []
        refused = resolve(held, elsewhere, *words, PLAIN_KEY="sk-CANARY-1")
        assert refused.returncode == 2
        assert "another key" in refused.stderr
        assert elsewhere.seen == []
    untouched(held)


def test_the_key_is_needed_and_shown_nowhere(folder: Path, server: Gateway, bill: Bill) -> None:
    (folder / "prompts.txt").write_text("A fox\n")
    (folder / "trip.yaml").write_text(MANIFEST[: MANIFEST.index("  - id: finale")])
    server.meddle = loses_the_answers
    key = {"PLAIN_KEY": "sk-CANARY-0123456789"}
    assert run(folder, server, profile="locked.yaml", **key).returncode == 3
    server.meddle = Gateway.meddle
    (line,) = bill.lines()
    arguments = ("shot-1#1", "adopt", line["video_id"], "--profile", "locked.yaml")
    refused = resolve(folder, server, *arguments)
    assert refused.returncode == 4
    assert "PLAIN_KEY" in refused.stderr
    said = [resolve(folder, server, *arguments, **key), call(folder, "show", "outputs/trip", "shot-1#1", "--json")]
    assert [one.returncode for one in said] == [0, 0]
    assert server.keys[-1] == "Bearer sk-CANARY-0123456789"
    assert not any("CANARY" in one.stdout + one.stderr for one in said)
    assert not any(b"CANARY" in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_paying_once_more_is_confirmed_and_then_paid_exactly_once(held: Path, server: Gateway, bill: Bill) -> None:
    refused = resolve(held, None, "shot-1#1", "resubmit")
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    untouched(held)
    assert run(held, server).returncode == 3
    assert len(bill) == 1
    confirmed = resolve(held, None, "shot-1#1", "resubmit", "--yes")
    assert confirmed.returncode == 0
    assert "paid for once more" in confirmed.stdout
    assert (len(bill), server.posts()) == (1, 0), "answering sends nothing"
    assert run(held, server).returncode == 0
    assert (len(bill), server.posts(), jobs(held)["shot-1#1"]["state"]) == (2, 1, "done")
    assert run(held, server).returncode == 0
    assert len(bill) == 2
    cost = document(call(held, "status", "outputs/trip", "--json"), "status")["cost"]
    assert cost["spent"] == pytest.approx(0.8), "what was tried before is not forgotten"


def on_a_terminal(folder: Path, *arguments: str, answer: str) -> tuple[int, str]:
    try:
        ours, theirs = pty.openpty()
    except OSError as error:
        pytest.skip(f"this machine has no pseudo-terminals: {error}")
    os.write(ours, answer.encode())
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", *arguments],
        cwd=folder,
        env=ENVIRONMENT | {"HOME": str(folder), "TERM": "xterm-256color", "COLUMNS": "200", "NO_COLOR": "1"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        try:
            while chunk := terminal.read(65536):
                shown += chunk
        except OSError:  # EIO: they have all left
            pass
    return process.wait(timeout=60), shown.decode()


def test_on_a_terminal_paying_once_more_is_asked_about_with_its_price(held: Path, bill: Bill) -> None:
    arguments = ("resolve", "outputs/trip", "shot-1#1", "resubmit", "--profile", "plain.yaml")
    code, shown = on_a_terminal(held, *arguments, answer="n\n")
    assert code == 2
    assert "One more attempt costs 0.40 USD" in shown
    untouched(held)
    code, shown = on_a_terminal(held, *arguments, answer="y\n")
    assert code == 0, shown
    assert jobs(held)["shot-1#1"]["state"] == "planned"


def test_what_is_given_up_is_left_alone(held: Path, server: Gateway, bill: Bill) -> None:
    assert resolve(held, None, "shot-1#1", "abandon").returncode == 0
    job = jobs(held)["shot-1#1"]
    assert (job["state"], job["error"]["kind"]) == ("failed", "abandoned")
    assert run(held, server).returncode == 1
    assert (len(bill), server.seen) == (1, [])
    cost = document(call(held, "status", "outputs/trip", "--json"), "status")["cost"]
    assert cost["in_doubt"] == pytest.approx(0.4), "it may have been paid"
    assert "Nothing waits" in resolve(held, None).stdout
    refused = resolve(held, None, "shot-1#1", "resubmit", "--yes")
    assert refused.returncode == 2
    assert "does not wait" in refused.stderr


def test_a_run_that_dies_in_the_middle_of_its_post_is_answered_for(folder: Path, server: Gateway, bill: Bill) -> None:
    (folder / "prompts.txt").write_text("A fox\n")
    (folder / "trip.yaml").write_text(MANIFEST[: MANIFEST.index("  - id: finale")])

    def waits(method: str, path: str, act: Callable[[], Any]) -> Any:
        answer = act()
        time.sleep(10 if method == "POST" else 0)
        return answer

    server.meddle = waits
    process = start(folder, "run", "trip.yaml", "--profile", "plain.yaml", "--base-url", server.url, "--yes")
    while server.posts() == 0 or len(bill) == 0:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    (line,) = bill.lines()
    shown = resolve(folder, server)
    assert "shot-1#1  submitting" in shown.stdout, "it can be looked at while the run goes"
    for words in (["adopt", line["video_id"]], ["resubmit", "--yes"], ["abandon"]):
        refused = resolve(folder, server, "shot-1#1", *words)
        assert refused.returncode == 75
        assert str(process.pid) in refused.stderr
    assert call(folder, "rebuild", "outputs/trip").returncode == 75
    process.kill()
    process.communicate()
    server.meddle = Gateway.meddle
    wrong = resolve(folder, server, "shot-1#1", "adopt", _another_video(server, seconds="8"))
    assert wrong.returncode == 2
    assert jobs(folder)["shot-1#1"]["state"] == "submitting", "a refused answer writes nothing"
    assert resolve(folder, server, "shot-1#1", "adopt", line["video_id"]).returncode == 0
    assert events(folder, "shot-1#1") == ["intended", "doubted", "adopted"]
    before = len(bill)
    assert run(folder, server).returncode == 0
    assert (jobs(folder)["shot-1#1"]["state"], len(bill)) == ("done", before)


def test_two_jobs_of_one_name_are_told_apart(held: Path, server: Gateway, bill: Bill) -> None:
    (held / "prompts.txt").write_text("A wolf\n")
    server.meddle = hears_nothing
    assert run(held, server).returncode == 3
    refused = resolve(held, server, "shot-1#1", "abandon")
    assert refused.returncode == 2
    waiting = document(resolve(held, server, "--json"), "resolve")["waiting"]
    assert [question["request"]["prompt"] for question in waiting] == ["A fox", "A wolf"]
    for question in waiting:
        assert question["request_hash"][:12] in refused.stderr
    command = waiting[1]["answers"][2]["command"]
    assert call(held, *command[1:]).returncode == 0
    left = document(resolve(held, server, "--json"), "resolve")["waiting"]
    assert [question["request"]["prompt"] for question in left] == ["A fox"]
    assert left[0]["orphaned"]
    assert resolve(held, server, "shot-1#1", "abandon").returncode == 0, "only one of them waits now"


def test_words_that_name_no_waiting_job(held: Path, server: Gateway) -> None:
    for words in (["shot-2#1", "abandon"], ["shot-1", "abandon"], ["nonsense"], ["\udcff"]):
        refused = resolve(held, server, *words)
        assert refused.returncode == 2
        assert "no job" in refused.stderr
    assert "shot-1#1" in resolve(held, server, "shot-1", "abandon").stderr
    for words in (["shot-1#1", "adopt"], ["shot-1#1", "abandon", "video_1"], ["shot-1#1", "forget"]):
        assert resolve(held, server, *words).returncode == 2
    untouched(held)


def test_a_job_that_the_server_lost_is_paid_again_or_given_up_and_not_adopted(
    held: Path, server: Gateway, bill: Bill
) -> None:
    (line,) = bill.lines()
    assert resolve(held, server, "shot-1#1", "adopt", line["video_id"]).returncode == 0

    async def lose() -> None:
        ledger = SqliteLedger.create_or_open(held / "outputs/trip/ledger.db", now=time.time, blocking=inline)
        with closing(ledger):
            (job,) = [job async for job in ledger.jobs({State.SUBMITTED})]
            await ledger.record(job, Lost(failure=Failure(FailureKind.LOST, "gone")))

    anyio.run(lose)
    (question,) = document(resolve(held, server, "--json"), "resolve")["waiting"]
    assert [answer["answer"] for answer in question["answers"]] == ["resubmit", "abandon"]
    for video_id in (line["video_id"], _another_video(server)):
        refused = resolve(held, server, "shot-1#1", "adopt", video_id)
        assert refused.returncode == 2
        assert "resubmit or abandon" in refused.stderr
    assert resolve(held, None, "shot-1#1", "resubmit", "--yes").returncode == 0
    server.meddle = hears_nothing
    assert run(held, server).returncode == 3
    server.meddle = Gateway.meddle
    refused = resolve(held, server, "shot-1#1", "adopt", line["video_id"])
    assert refused.returncode == 2, "an id belongs to the attempt that it was paid for"
    assert line["video_id"] in refused.stderr


# --- show ---


def test_a_job_tells_its_whole_story(finished: Path) -> None:
    found = document(call(finished, "show", "trip.yaml", "finale#1", "--json"), "show")
    (story,) = found["jobs"]
    told = [(event["kind"], event["state"]) for event in story["events"] if event["kind"] != "progressed"]
    assert told == [
        ("intended", "submitting"),
        ("accepted", "submitted"),
        ("completed", "completed"),
        ("verified", "verified"),
        ("published", "done"),
    ]
    assert json.loads(story["events"][1]["answer"]["text"])["id"] == story["video_id"]
    assert len(story["request_ids"]) == 1, "of the submission"
    assert story["request"]["prompt"] == "The end"
    assert story["cost"] == {"price": pytest.approx(0.8), "sunk": 0}
    assert story["file"]["intact"]
    shown = call(finished, "show", "outputs/trip", "finale#1").stdout
    for words in (
        "finale#1  done",
        "The end",
        story["video_id"],
        "0.80 USD",
        story["events"][0]["at"],
        '"status": "queued"',
    ):
        assert words in shown
    video(finished, "finale-t1").unlink()
    assert "NOT THERE" in call(finished, "show", "outputs/trip", "finale#1").stdout


def test_a_job_is_found_by_its_hash_and_a_wrong_name_by_its_likeness(finished: Path) -> None:
    found = document(call(finished, "show", "trip.yaml", "finale#1", "--json"), "show")
    by_hash = call(finished, "show", "trip.yaml", found["jobs"][0]["request_hash"][:12], "--json")
    assert json.loads(by_hash.stdout) == found
    for word, near in (("finale", "finale#1"), ("shot1#1", "shot-1#1"), ("nothing like it at all", "")):
        refused = call(finished, "show", "trip.yaml", word)
        assert refused.returncode == 2
        assert near in refused.stderr
    assert "near" not in call(finished, "show", "trip.yaml", "nothing like it at all").stderr
    assert call(finished, "show", "trip.yaml", found["jobs"][0]["request_hash"][:7]).returncode == 2


def test_answers_that_are_no_text_and_very_long_ones_are_shown(held: Path, server: Gateway) -> None:
    server.meddle = lambda method, path, act: (500, b"\xff\xfe" + b"x" * 10_000 + b"\x1b[2J", {})
    assert resolve(held, None, "shot-1#1", "resubmit", "--yes").returncode == 0
    assert run(held, server).returncode == 3
    (story,) = document(call(held, "show", "outputs/trip", "shot-1#1", "--json"), "show")["jobs"]
    raw = [event["answer"]["base64"] for event in story["events"] if "base64" in (event["answer"] or {})]
    assert base64.b64decode(raw[0]) == b"\xff\xfe" + b"x" * 10_000 + b"\x1b[2J"
    assert "req_for_the_support" in story["request_ids"]
    shown = call(held, "show", "outputs/trip", "shot-1#1").stdout
    assert "6,0" in shown
    assert "characters more" in shown
    assert "\x1b" not in shown


def test_letters_that_the_terminal_lacks_are_shown_as_escapes(folder: Path, server: Gateway) -> None:
    (folder / "prompts.txt").write_text("Ein schöner Fuchs 狐\n")
    run(folder, server)
    process = start(folder, "show", "outputs/trip", "shot-1#1", PYTHONIOENCODING="ascii")
    shown, complaints = process.communicate(timeout=30)
    assert (process.returncode, "\\u72d0" in shown) == (0, True), complaints


def test_a_job_that_the_manifest_forgot_is_shown(finished: Path) -> None:
    (finished / "prompts.txt").write_text("Changed\nA crow\n")
    sql(finished / "outputs/trip/ledger.db", "UPDATE jobs SET orphaned = 1 WHERE name = 'shot-1#1'")
    shown = call(finished, "show", "trip.yaml", "shot-1#1")
    assert shown.returncode == 0
    assert "not in the manifest" in shown.stdout


# --- audit ---


def audit(folder: Path, server: Gateway | str | None, *words: str, profile: str = "lists.yaml") -> Ended:
    url = server.url if isinstance(server, Gateway) else server
    address = [] if url is None else ["--base-url", url]
    return call(folder, "audit", "outputs/trip", "--profile", profile, *address, *words)


@pytest.fixture
def done(folder: Path, server: Gateway) -> Path:
    """A campaign of three videos, done, and its server."""
    assert run(folder, server).returncode == 0
    server.seen.clear()
    return folder


def test_a_ledger_and_its_server_agree(done: Path, server: Gateway) -> None:
    found = document(ended := audit(done, server, "--json"), "audit")
    assert (ended.returncode, found["seen"], found["surplus"]["videos"], found["missing"]["jobs"]) == (0, 3, [], [])
    assert "nothing surplus, nothing missing" in audit(done, server).stdout
    assert server.posts() == 0


def test_a_video_made_behind_our_back_is_named_with_its_cost(done: Path, server: Gateway) -> None:
    ours = _another_video(server, prompt="Not \x1b[2J [red]ours[/] \u202e", seconds="12")
    ended = audit(done, server)
    assert ended.returncode == 1
    for words in (ours, "1.20 USD", "1 video that no job has", "somebody else's", "Not \\x1b[2J [red]ours[/] \\u202e"):
        assert words in ended.stdout
    assert "\x1b" not in ended.stdout
    found = document(audit(done, server, "--json"), "audit")
    assert found["surplus"]["cost"] == {"currency": "USD", "known": pytest.approx(1.2), "unknown": 0}
    assert found["surplus"]["videos"][0]["could_be"] == []


def test_the_video_of_a_held_job_is_found_and_its_command_works(held: Path, server: Gateway, bill: Bill) -> None:
    (line,) = bill.lines()
    other = _another_video(server, prompt="A crow")
    found = document(ended := audit(held, server, "--json"), "audit")
    assert ended.returncode == 1
    videos = {one["video_id"]: one for one in found["surplus"]["videos"]}
    assert videos.keys() == {line["video_id"], other}
    assert videos[other]["could_be"] == []
    (could_be,) = videos[line["video_id"]]["could_be"]
    assert could_be["job"] == "shot-1#1"
    assert "could be shot-1#1: callsheet resolve outputs/trip" in audit(held, server).stdout
    assert call(held, *could_be["command"][1:]).returncode == 0
    assert run(held, server).returncode == 0
    assert [one["video_id"] for one in document(audit(held, server, "--json"), "audit")["surplus"]["videos"]] == [other]


def test_a_video_that_the_server_lacks_is_missing_until_it_may_have_expired(done: Path, server: Gateway) -> None:
    gone = jobs(done)["finale#1"]["video_id"]
    deleted(server.upstream, gone)
    found = document(ended := audit(done, server, "--json"), "audit")
    assert ended.returncode == 1
    (missing,) = found["missing"]["jobs"]
    assert (missing["job"], missing["video_id"], missing["cost"]) == ("finale#1", gone, pytest.approx(0.8))
    assert found["missing"]["cost"]["known"] == pytest.approx(0.8)
    assert gone in audit(done, server).stdout
    sql(done / "outputs/trip/ledger.db", "UPDATE jobs SET expires_at = 1 WHERE name = 'finale#1'")
    assert audit(done, server).returncode == 0


def test_a_profile_that_claims_no_list_is_told_about_ids(done: Path, server: Gateway) -> None:
    refused = audit(done, server, profile="plain.yaml")
    assert refused.returncode == 2
    assert "--ids" in refused.stderr
    assert server.seen == []


def test_a_file_of_ids_does_instead(done: Path) -> None:
    ids = [job["video_id"] for job in jobs(done).values()]
    (done / "ids.csv").write_text("when,video_id\n" + "".join(f"1,{one}\n" for one in [*ids[1:], "video_\x1b[2J"]))
    found = document(ended := audit(done, None, "--ids", "ids.csv", "--json", profile="plain.yaml"), "audit")
    assert ended.returncode == 1
    assert [one["video_id"] for one in found["surplus"]["videos"]] == ["video_\x1b[2J"]
    assert found["surplus"]["cost"]["unknown"] == 1
    assert [one["video_id"] for one in found["missing"]["jobs"]] == ids[:1]
    shown = audit(done, None, "--ids", "ids.csv")
    assert "price unknown" in shown.stdout
    assert "\x1b" not in shown.stdout
    (done / "ids.txt").write_text("\n".join(ids))
    assert audit(done, None, "--ids", "ids.txt").returncode == 0
    for wrong in ("no-such.csv", ".", "/dev/zero"):
        assert audit(done, None, "--ids", wrong).returncode == 2


def test_nothing_is_asked_of_a_server_that_nothing_was_sent_to(done: Path, server: Gateway) -> None:
    with gateway(server.upstream) as elsewhere:
        refused = audit(done, elsewhere)
        assert refused.returncode == 2
        assert elsewhere.seen == []


def test_a_list_that_is_not_whole_says_so_and_calls_nothing_missing(done: Path, server: Gateway) -> None:
    def breaks(method: str, path: str, act: Callable[[], Any]) -> Any:
        if "after=" in path:
            return 500, b"", {"Retry-After": "0"}
        page = json.loads(act()[1])
        kept = [one for one in page["data"] if one["prompt"] != "The end"]
        return 200, json.dumps({**page, "data": kept, "has_more": True, "last_id": kept[-1]["id"]}).encode(), {}

    server.meddle = breaks
    extra = _another_video(server)
    found = document(ended := audit(done, server, "--json"), "audit")
    assert ended.returncode == 69
    assert found["incomplete"]
    assert found["missing"]["jobs"] == []
    assert [one["video_id"] for one in found["surplus"]["videos"]] == [extra]
    assert "not whole" in audit(done, server).stdout


def test_a_list_that_goes_in_circles_is_left(done: Path, server: Gateway) -> None:
    def circles(method: str, path: str, act: Callable[[], Any]) -> Any:
        page = json.loads(act()[1]) if "after=" not in path else first[0]
        first.append(page)
        return 200, json.dumps({**page, "has_more": True}).encode(), {}

    first: list[Any] = []
    server.meddle = circles
    ended = audit(done, server)
    assert ended.returncode == 69
    assert "circles" in ended.stdout
    assert len(server.seen) < 5


def test_a_server_that_does_not_list_is_told_from_one_that_rejects_the_key(done: Path, server: Gateway) -> None:
    server.meddle = lambda method, path, act: (503, b"", {"Retry-After": "0"})
    assert audit(done, server).returncode == 69
    server.meddle = lambda method, path, act: (401, b"", {})
    assert audit(done, server).returncode == 4


def test_what_was_made_before_the_campaign_is_nobodys_surplus(done: Path, server: Gateway) -> None:
    old = _another_video(server)
    sql(done / "bill.db", f"UPDATE videos SET created_at = created_at - 4000 WHERE id = '{old}'")
    assert audit(done, server).returncode == 0
    sql(done / "bill.db", f"UPDATE videos SET created_at = created_at + 1000 WHERE id = '{old}'")
    assert audit(done, server).returncode == 1


def test_a_campaign_of_the_bundled_simulator_is_audited(folder: Path) -> None:
    (folder / "trip.yaml").write_text(MANIFEST.replace("plain", "simulator"))
    assert call(folder, "run", "trip.yaml", "--limit", "1").returncode == 0
    assert call(folder, "audit", "trip.yaml").returncode == 0
    (folder / "outputs/trip/simulator.db").unlink()
    refused = call(folder, "audit", "trip.yaml")
    assert refused.returncode == 2
    assert not (folder / "outputs/trip/simulator.db").exists()


def test_the_lock_keeps_answers_out(held: Path, server: Gateway) -> None:
    with run_lock(held / "outputs/trip/ledger.lock"):
        assert resolve(held, server, "shot-1#1", "abandon").returncode == 75
        assert resolve(held, server).returncode == 0
        assert call(held, "verify", "outputs/trip").returncode == 0
        assert call(held, "show", "outputs/trip", "shot-1#1").returncode == 0
        assert audit(held, server).returncode == 1
    untouched(held)

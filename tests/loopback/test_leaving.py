"""How a run leaves: what a first signal waits for, what a second one leaves behind, and what people are told."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline.jobs import Job, State
from pipeline.ledger import reading

PROFILE = """\
name: slow
title: A slow server
base_url: https://slow.invalid/v1
auth: { scheme: none }
request: { schema: sora-request.schema.json, defaults: { model: sora-2, size: 1280x720, seconds: "4" } }
poll: { first: 0.1, interval: 0.1, slowest: 0.1 }
limits: { requests_per_minute: 6000, max_in_flight: 20, polls_per_second: 50, downloads: 4 }
"""
MANIFEST = "version: 1\nname: trip\nprovider: slow\njobs:\n- { id: a, prompt: A }\n"


@dataclass
class Slow:
    """A server that begins an answer and ends it when it is told to."""

    clip: bytes
    begun: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)
    slow: str = ""
    posts: int = 0
    url: str = ""

    def wait(self, what: str) -> None:
        if self.slow == what:
            self.begun.set()
            self.go_on.wait(20)


@pytest.fixture
def server(clip: bytes) -> Iterator[Slow]:
    slow = Slow(clip)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            slow.posts += 1
            slow.wait("post")
            self._answer({"id": f"video_{slow.posts}", "status": "queued"})

        def do_GET(self) -> None:
            if self.path.endswith("/content"):
                self.send_response(200)
                self.send_header("content-length", str(len(slow.clip)))
                self.end_headers()
                self.wfile.write(slow.clip[:100])
                self.wfile.flush()
                slow.wait("content")
                self.wfile.write(slow.clip[100:])
            else:
                self._answer({"id": self.path.rpartition("/")[2], "status": "completed"})

        def _answer(self, body: dict[str, str]) -> None:
            data = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None: ...

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except OSError:
                self.close_connection = True

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        slow.url = f"http://127.0.0.1:{http.server_address[1]}/v1"
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield slow
        slow.go_on.set()
        http.shutdown()
        thread.join()


@pytest.fixture
def run(tmp_path: Path, server: Slow) -> Callable[..., subprocess.Popen[str]]:
    (tmp_path / "slow.yaml").write_text(PROFILE)
    (tmp_path / "trip.yaml").write_text(MANIFEST)

    def start(*options: str) -> subprocess.Popen[str]:
        arguments = ["run", "trip.yaml", "--profile", "slow.yaml", "--base-url", server.url, "--yes", *options]
        return subprocess.Popen(
            [sys.executable, "-m", "pipeline", *arguments],
            cwd=tmp_path,
            env={key: value for key, value in os.environ.items() if not key.startswith("PYTEST")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def job(folder: Path) -> Job:
    with reading.opened(folder / "outputs/trip/ledger.db") as connection:
        [found] = reading.jobs(connection)
    return found


def soon(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def said(process: subprocess.Popen[str]) -> str:
    """Wait for the line that says that the run is leaving, and return it."""
    assert process.stderr is not None
    for line in process.stderr:
        if "Stopping" in line:
            return line
    raise AssertionError("nothing was said")


Run = Callable[..., subprocess.Popen[str]]


def test_a_submission_in_flight_is_recorded_before_the_run_leaves(tmp_path: Path, server: Slow, run: Run) -> None:
    server.slow = "post"
    process = run()
    assert server.begun.wait(20)
    process.send_signal(signal.SIGTERM)
    assert "1 submission being recorded, 0 downloads finishing" in said(process)
    server.go_on.set()
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 143, errors
    assert (job(tmp_path).state, job(tmp_path).video_id) == (State.SUBMITTED, "video_1")
    assert "callsheet run trip.yaml --no-submit" in errors


def test_what_nohup_shields_goes_on(tmp_path: Path, server: Slow, run: Run) -> None:
    server.slow = "post"
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does; a child inherits it
    try:
        process = run()
    finally:
        signal.signal(signal.SIGHUP, before)
    assert server.begun.wait(20)
    process.send_signal(signal.SIGHUP)
    server.go_on.set()
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, job(tmp_path).state) == (0, State.DONE), errors


def test_a_download_in_flight_is_finished_before_the_run_leaves(tmp_path: Path, server: Slow, run: Run) -> None:
    server.slow = "content"
    process = run()
    assert server.begun.wait(20)
    process.send_signal(signal.SIGINT)
    assert "0 submissions being recorded, 1 download finishing" in said(process)
    server.go_on.set()
    process.communicate(timeout=30)
    assert (process.returncode, job(tmp_path).state) == (130, State.DONE)


@pytest.mark.parametrize("again", [True, False], ids=["second signal", "grace is over"])
def test_what_has_no_answer_then_is_in_doubt_and_never_forgotten(
    tmp_path: Path, server: Slow, run: Run, again: bool
) -> None:
    server.slow = "post"
    process = run(*[] if again else ["--grace", "0.3"])
    assert server.begun.wait(20)
    process.send_signal(signal.SIGINT)
    said(process)
    if again:
        process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Left now. 1 submission unconfirmed" in errors
    assert job(tmp_path).state is State.SUBMITTING
    server.go_on.set()
    later = run()
    later.communicate(timeout=30)
    assert (later.returncode, job(tmp_path).state, server.posts) == (3, State.HELD, 1)


def test_a_download_that_outlasts_the_grace_is_begun_again_by_the_next_run(
    tmp_path: Path, server: Slow, run: Run
) -> None:
    server.slow = "content"
    process = run("--grace", "0.3")
    assert server.begun.wait(20)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert (process.returncode, job(tmp_path).state) == (130, State.COMPLETED)
    assert not list(tmp_path.rglob("*.part"))
    server.go_on.set()
    later = run("--no-submit")
    later.communicate(timeout=30)
    assert (later.returncode, job(tmp_path).state, server.posts) == (0, State.DONE, 1)


@pytest.mark.parametrize("how", ["SIGHUP", "a closed pipe"])
def test_a_terminal_that_goes_away_does_not_come_between_a_post_and_its_record(
    tmp_path: Path, server: Slow, run: Run, how: str
) -> None:
    server.slow = "post"
    process = run()
    assert server.begun.wait(20)
    assert process.stderr is not None
    assert process.stdout is not None
    if how == "SIGHUP":
        process.send_signal(signal.SIGHUP)
    process.stderr.close()
    process.stdout.close()
    server.go_on.set()
    process.wait(30)
    assert job(tmp_path).video_id == "video_1"
    assert server.posts == 1

"""The options of a run that tell how it goes, and those that let a person look before the rest is paid for."""

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gateway import ENVIRONMENT, Answer, Bill, Ended, Gateway, call, gateway, plain, simulator
from jsonschema import Draft202012Validator
from terminal import Terminal

from pipeline import shipped

MANIFEST = """\
version: 1
name: trip
provider: simulator
limits: { requests_per_minute: 6000, polls_per_second: 50 }
jobs:
  - id: "shot-{{ row_number }}"
    from: prompts.txt
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "trip.yaml").write_text(MANIFEST)
    (tmp_path / "prompts.txt").write_text("".join(f"A fox [red] number {number}\n" for number in range(6)))
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[Gateway]:
    with simulator(folder / "bill.db") as upstream, gateway(upstream.removesuffix("/v1")) as front:
        yield front


@pytest.fixture
def bill(folder: Path) -> Bill:
    return Bill(folder / "bill.db")


def run(folder: Path, server: Gateway, *options: str, **environment: str) -> Ended:
    return call(folder, "run", "trip.yaml", "--base-url", server.url, *options, **environment)


def test_a_canary_is_rendered_and_the_rest_waits_for_a_word(folder: Path, server: Gateway, bill: Bill) -> None:
    for _ in range(2):
        first = run(folder, server, "--canary", "2")
        assert (first.returncode, len(bill)) == (6, 2), first.stderr
        assert "The first 2 videos of trip can be looked at." in first.stderr
        assert "The rest: 4 jobs, 0.00 USD" in first.stderr
        assert "the same command with --yes and without --canary" in first.stderr
    assert json.loads(run(folder, server, "--canary", "2", "--json").stdout)["exit"] == 6
    assert (run(folder, server).returncode, len(bill)) == (0, 6)
    again = run(folder, server, "--canary", "2")
    assert (again.returncode, "can be looked at" in again.stderr) == (0, False), "there is no rest"


def test_a_canary_agrees_to_no_more_than_it_renders(folder: Path, server: Gateway, bill: Bill) -> None:
    assert run(folder, server, "--no-submit").returncode == 0
    first = run(folder, server, "--price", "0.1", "--canary", "2", "--yes")
    assert (first.returncode, len(bill)) == (6, 2), first.stderr
    rest = run(folder, server, "--price", "0.1")
    assert (rest.returncode, len(bill)) == (2, 2), "nobody is here, and nobody has agreed"


def refuses(method: str, path: str, act: Callable[[], Answer]) -> Answer:
    body = b'{"error": {"message": "No fox.", "code": "moderation_blocked"}}'
    return (400, body, {"Content-Type": "application/json"}) if method == "POST" else act()


def test_a_canary_that_fails_ends_it(folder: Path, server: Gateway) -> None:
    server.meddle = refuses
    ended = run(folder, server, "--canary", "2", "--yes")
    assert (ended.returncode, server.posts()) == (1, 2)
    assert "can be looked at" not in ended.stderr


def test_the_first_failure_ends_it_with_six_unless_it_was_the_last(folder: Path, server: Gateway) -> None:
    text = MANIFEST.replace("requests_per_minute: 6000", "requests_per_minute: 60")
    (folder / "trip.yaml").write_text(text)
    server.meddle = refuses
    ended = run(folder, server, "--fail-fast")
    assert (ended.returncode, server.posts()) == (6, 1)
    assert "Stopped: more jobs have failed than may fail: 1 of the 1 that are over in this run" in ended.stderr
    last = run(folder, server, "--output", "o", "--fail-fast", "--limit", "1")
    assert last.returncode == 1


@pytest.mark.parametrize("wrong", ["many", "101%", "-1", "1.5", "2.5 %", "٣"])
def test_how_many_may_fail_is_a_number_or_a_percentage(folder: Path, wrong: str) -> None:
    ended = call(folder, "run", "trip.yaml", "--max-failures", wrong)
    assert (ended.returncode, "neither a number of jobs nor a percentage" in ended.stderr) == (2, True)


def test_what_may_fail_is_said_once(folder: Path) -> None:
    ended = call(folder, "run", "trip.yaml", "--max-failures", "5", "--fail-fast")
    assert (ended.returncode, "exclude each other" in ended.stderr) == (2, True)


def test_files_beside_a_run_tell_how_it_went(folder: Path, server: Gateway) -> None:
    options = ["--events", "e.ndjson", "--log", "run.log", "--metrics", "run.prom", "--progress", "none"]
    ended = run(folder, server, *options)
    assert ended.returncode == 0
    assert "shot-1" not in ended.stderr
    lines = [json.loads(line) for line in (folder / "e.ndjson").read_text().splitlines()]
    rules = Draft202012Validator(shipped.schema("event"))
    for line in lines:
        rules.validate(line)
    assert (lines[0]["path"], lines[0]["wanted"]) == (str(folder / "outputs/trip"), 6)
    assert (lines[-1]["exit"], lines[-1]["counts"]["done"]) == (0, 6)
    assert 'callsheet_jobs{campaign="trip",state="done"} 6\n' in (folder / "run.prom").read_text()
    proxied = run(folder, server, *options, "--proxy", "http://me:a-password@127.0.0.1:9")
    log = (folder / "run.log").read_text()
    assert proxied.returncode == 0
    assert log.count("run ended with 0") == 2
    assert log.count("POST /videos 200") == 6
    assert "proxy=yes" in log
    assert "a-password" not in log
    assert "A fox" not in log
    missing = run(folder, server, "--events", "nowhere/e.ndjson")
    assert (missing.returncode, "cannot write nowhere/e.ndjson" in missing.stderr) == (2, True)


@pytest.mark.parametrize("option", ["--events", "--log", "--metrics"])
def test_files_beside_a_run_are_not_written_over_what_is_something_else(
    folder: Path, server: Gateway, bill: Bill, option: str
) -> None:
    (folder / "e.ndjson").write_text('{"other": 1}\n')
    (folder / "outputs").mkdir()
    (folder / "empty").touch()
    (folder / "link").symlink_to("outputs/trip/ledger.notes")
    places = ["e.ndjson", "trip.yaml", "outputs/trip/ledger.db", "outputs/trip/videos/x", "outputs", "link"]
    before = {path: path.read_bytes() for path in folder.glob("*.*")}
    for place in places:
        ended = run(folder, server, option, place)
        assert (ended.returncode, place in ended.stderr) == (2, True), ended.stderr
    assert {path: path.read_bytes() for path in before} == before
    assert len(bill) == 0
    for _ in range(2):
        assert run(folder, server, option, "empty").returncode == 0, "it was empty, and then ours"
    (folder / "empty").write_bytes((folder / "empty").read_bytes()[20:])
    again = run(folder, server, option, "empty")
    assert again.returncode == (2 if option == "--metrics" else 0), "lines that lost their beginning are ours"
    for other in {"--events", "--log", "--metrics"} - {option}:
        ended = run(folder, server, option, "new", other, "./new")
        assert (ended.returncode, "a file each" in ended.stderr) == (2, True)


def test_a_pipe_gets_lines_whatever_colours_are_wanted(folder: Path, server: Gateway) -> None:
    ended = run(folder, server, "--limit", "1", FORCE_COLOR="1")
    assert " shot-1#1 done  videos/shot-1-t1.mp4" in ended.stderr
    assert "\x1b[1A" not in ended.stderr
    beat = next(line for line in ended.stderr.splitlines() if "…" in line)
    for words in (
        "1 to submit, 5 left for another run",
        "submits 0 a minute of 6,000",
        "spent 0.00 USD",
        "time left unknown until some have",
    ):
        assert words in beat
    refused = run(folder, server, "--progress", "live")
    assert (refused.returncode, "needs a terminal" in refused.stderr) == (2, True)


def test_status_watches_until_all_is_finished(folder: Path, server: Gateway) -> None:
    assert run(folder, server, "--progress", "none").returncode == 0
    watched = call(folder, "status", "trip.yaml", "--watch")
    assert watched.returncode == 0
    first, *_ = watched.stdout.splitlines()
    assert "6 done; submits 6 a minute" in first
    assert "6  done" in watched.stdout
    both = call(folder, "status", "trip.yaml", "--watch", "--json")
    assert (both.returncode, "exclude each other" in both.stderr) == (2, True)
    assert call(folder, "status", "nowhere", "--watch").returncode == 2


def test_status_says_why_a_finished_video_was_left(folder: Path, server: Gateway) -> None:
    (folder / "trip.yaml").write_text(MANIFEST.replace("limits: {", "limits: { max_video_mib: 1,"))
    long = 200, bytes(2 << 20), {"Content-Type": "video/mp4"}
    server.meddle = lambda method, path, act: long if path.endswith("/content") else act()
    assert run(folder, server, "--limit", "1").returncode == 69
    left = "completed: the content is longer than 1 MiB; limits: max_video_mib allows more"
    assert left in call(folder, "status", "trip.yaml").stdout
    server.meddle = lambda method, path, act: act()
    assert run(folder, server, "--limit", "1").returncode == 0
    assert "longer than" not in call(folder, "status", "trip.yaml").stdout


class Shell:
    """The command on a terminal of its own, whose size can be changed."""

    def __init__(self, folder: Path, *arguments: str, columns: int, rows: int) -> None:
        self.terminal = Terminal(columns, rows)
        self._decoder = getincrementaldecoder("utf-8")()
        self._master, slave = pty.openpty()
        self._set_size(slave, columns, rows)
        around = {**ENVIRONMENT, "TERM": "xterm-256color", "HOME": str(folder)}
        command = [sys.executable, "-m", "pipeline", *arguments]
        around.pop("COLUMNS", None)
        self.process = subprocess.Popen(command, cwd=folder, env=around, stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)

    def _set_size(self, descriptor: int, columns: int, rows: int) -> None:
        fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize(self, columns: int, rows: int) -> None:
        self.terminal.resize(columns, rows)
        self._set_size(self._master, columns, rows)
        self.process.send_signal(signal.SIGWINCH)

    def until(self, words: str, seconds: float = 30.0) -> str:
        """Show what comes until the words are on the screen; return what is there then."""
        ends = time.monotonic() + seconds
        while words not in (text := "\n".join(self.terminal.screen)):
            assert time.monotonic() < ends, text
            if select.select([self._master], [], [], 0.2)[0]:
                try:
                    self.terminal.write(self._decoder.decode(os.read(self._master, 65536)))
                except OSError:  # the other side is closed
                    break
        return text

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def close(self) -> int:
        code = self.process.wait(20)
        os.close(self._master)
        return code


def test_a_run_on_a_terminal_that_changes_its_size(folder: Path, server: Gateway, bill: Bill) -> None:
    shell = Shell(folder, "run", "trip.yaml", "--base-url", server.url, "--canary", "2", columns=120, rows=40)
    shell.until("At server")
    assert not shell.terminal.cursor_is_shown
    shell.resize(50, 30)
    asked = shell.until("Render the rest? [y/N]:")
    assert "At server" not in asked
    assert shell.terminal.cursor_is_shown
    assert len(bill) == 2
    shell.type("y\n")
    shell.until("of 6,")
    shell.resize(90, 20)
    ended = shell.until("ledger.db")
    assert "6 of 6 videos done." in ended
    assert "At server" not in ended
    assert (shell.close(), len(bill)) == (0, 6)
    assert shell.terminal.unknown == []


def test_what_was_retried_before_the_rest_is_not_asked_about_again(folder: Path, server: Gateway, bill: Bill) -> None:
    (folder / "plain.yaml").write_text(plain())
    retried = MANIFEST.replace("provider: simulator", "provider: plain\nretry: { max_attempts: 3, on: [server] }")
    (folder / "trip.yaml").write_text(retried)
    first: list[str] = []

    def fails_once(method: str, path: str, act: Callable[[], Answer]) -> Answer:
        name = path.rpartition("/")[2]
        if method == "GET" and not path.endswith("/content"):
            first.append(name)
            if name == first[0]:
                failed = {"id": name, "status": "failed", "error": {"code": "server_error", "message": "It broke"}}
                return 200, json.dumps(failed).encode(), {"Content-Type": "application/json"}
        return act()

    server.meddle = fails_once
    options = ["--profile", "plain.yaml", "--base-url", server.url, "--canary", "1"]
    shell = Shell(folder, "run", "trip.yaml", *options, columns=120, rows=60)
    shell.until("Spend this? [y/N]:")
    shell.type("y\n")
    shell.until("Render the rest? [y/N]:")
    assert len(bill) == 2
    shell.type("y\n")
    ended = shell.until("ledger.db")
    assert "6 of 6 videos done." in ended
    assert (shell.close(), len(bill)) == (0, 7)

"""The command as a person types it: real processes, real sockets, real files, and a server that keeps its bill."""

import contextlib
import json
import os
import pty
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest
from gateway import simulator
from jsonschema import Draft202012Validator
from warm import Warm

from pipeline import providers, shipped
from pipeline.errors import UsageError
from pipeline.mp4 import Mp4, inspect
from pipeline.profile import address
from pipeline.simulator.pace import Pace

Cli = Callable[..., subprocess.CompletedProcess[str]]

MANIFEST = """\
version: 1
name: trip
provider: simulator
limits: { requests_per_minute: 6000, polls_per_second: 50 }
jobs:
  - id: "shot-{{ row_number }}"
    from: prompts.txt
  - id: finale
    prompt: The end
    tags: [hero]
    takes: 2
"""
ENVIRONMENT = {
    key: value
    for key, value in os.environ.items()
    if not key.startswith(("CALLSHEET", "ZNAPAI", "ZnapAI", "FORCE_COLOR", "COV", "PYTEST"))
}


#: Nobody waits for a second between two questions here: what is tried is the command, and its server is quick.
POLL = "poll: { first: 0.1, interval: 0.1, slowest: 0.3 }"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A manifest and its table, and a configuration in which two of the shipped profiles ask more often."""
    profiles = tmp_path / "config" / "callsheet" / "profiles"
    profiles.mkdir(parents=True)
    for name in ("simulator", "znapai"):
        text, polls = re.subn("^poll: .*$", POLL, shipped.profile_text(name).decode(), flags=re.MULTILINE)
        assert polls == 1
        (profiles / f"{name}.yaml").write_text(text)
    (tmp_path / "trip.yaml").write_text(MANIFEST)
    (tmp_path / "prompts.txt").write_text("".join(f"Prompt number {number}\n" for number in range(8)))
    return tmp_path


def around(folder: Path) -> dict[str, str]:
    return ENVIRONMENT | {"XDG_CONFIG_HOME": str(folder / "config")}


@pytest.fixture
def cli(folder: Path, warm: Warm) -> Cli:
    def call(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return warm.call(arguments, folder=folder, environment=around(folder) | environment)

    return call


def start(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", *arguments],
        cwd=folder,
        env=around(folder) | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def server(folder: Path) -> Iterator[str]:
    """The simulator on a port, with stock footage; its bill is ``bill.db``."""
    with simulator(folder / "bill.db", pace=Pace(speed=4)) as url:
        yield url


def billed(folder: Path, name: str = "bill.db") -> int:
    with closing(sqlite3.connect(folder / name)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM bill").fetchone()
    return int(count)


def status(cli: Cli) -> dict[str, Any]:
    document = json.loads(cli("status", "trip.yaml", "--json").stdout)
    Draft202012Validator(shipped.schema("status")).validate(document)
    return dict(document)


def assert_finished(folder: Path, cli: Cli, jobs: int) -> None:
    document = status(cli)
    assert document["counts"]["done"] == jobs == len(document["jobs"])
    for job in document["jobs"]:
        with (folder / "outputs/trip" / job["path"]).open("rb") as file:
            assert isinstance(inspect(file), Mp4)
    assert not list((folder / "outputs/trip").rglob("*.part"))


def test_a_manifest_becomes_videos_and_running_again_does_nothing(folder: Path, cli: Cli, server: str) -> None:
    first = cli("run", "trip.yaml", "--base-url", server, "--json")
    assert first.returncode == 0, first.stderr
    document = json.loads(first.stdout)
    Draft202012Validator(shipped.schema("run")).validate(document)
    assert (document["exit"], document["path"]) == (0, str(folder / "outputs/trip"))
    assert str(folder / "outputs/trip") in first.stderr
    assert_finished(folder, cli, 10)
    assert billed(folder) == 10
    again = cli("run", "trip.yaml", "--base-url", "http://127.0.0.1:9/v1")
    assert (again.returncode, billed(folder)) == (0, 10), "nothing is asked, so nobody need be there"


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_any_instant_it_is_finished_by_the_same_command(
    folder: Path, cli: Cli, server: str, seed: int
) -> None:
    rng = Random(seed)
    for _ in range(4):
        process = start(folder, "run", "trip.yaml", "--base-url", server)
        time.sleep(rng.uniform(0.4, 1.6))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert cli("run", "trip.yaml", "--base-url", server).returncode == 0
    assert_finished(folder, cli, 10)
    assert billed(folder) == 10


def test_the_bundled_simulator_is_there_again_after_a_kill(folder: Path, cli: Cli) -> None:
    (folder / "prompts.txt").write_text("One\n")
    process = start(folder, "run", "trip.yaml")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not _submitted(folder):
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = billed(folder, "outputs/trip/simulator.db")
    assert before > 0
    assert cli("run", "trip.yaml").returncode == 0
    assert_finished(folder, cli, 3)
    assert billed(folder, "outputs/trip/simulator.db") == 3


def _submitted(folder: Path) -> bool:
    try:
        with closing(sqlite3.connect(f"file:{folder}/outputs/trip/ledger.db?mode=ro", uri=True)) as connection:
            return bool(connection.execute("SELECT 1 FROM jobs WHERE video_id IS NOT NULL").fetchone())
    except sqlite3.OperationalError:
        return False


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=["INT", "TERM", "HUP"]
)
def test_a_signal_ends_the_run_with_everything_recorded(
    folder: Path, cli: Cli, server: str, number: int, code: int
) -> None:
    process = start(folder, "run", "trip.yaml", "--base-url", server)
    while not _submitted(folder):
        time.sleep(0.02)
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == code
    assert "--no-submit" in said
    assert status(cli)["counts"]["submitting"] == 0
    assert cli("run", "trip.yaml", "--base-url", server).returncode == 0
    assert billed(folder) == 10


def test_two_runs_of_one_campaign_do_not_meet(folder: Path, cli: Cli, server: str) -> None:
    process = start(folder, "run", "trip.yaml", "--base-url", server)
    while not _submitted(folder):
        time.sleep(0.02)
    process.send_signal(signal.SIGSTOP)  # else it may end before the second one has begun
    second = cli("run", "trip.yaml", "--base-url", server)
    process.send_signal(signal.SIGCONT)
    assert second.returncode == 75
    assert str(process.pid) in second.stderr
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert billed(folder) == 10


def test_without_a_key_the_variable_is_named_and_nothing_is_touched(folder: Path, cli: Cli) -> None:
    (folder / "trip.yaml").write_text(MANIFEST.replace("simulator", "znapai"))
    refused = cli("run", "trip.yaml", "--yes")
    assert refused.returncode == 4
    assert "ZNAPAI_API_KEY" in refused.stderr.splitlines()[0]
    assert "ZnapAI_API_KEY" in refused.stderr.splitlines()[0]
    assert not (folder / "outputs").exists()


def test_a_ledger_is_not_harmed_by_a_run_without_a_key_and_the_key_is_found_nowhere(
    folder: Path, cli: Cli, server: str
) -> None:
    (folder / "trip.yaml").write_text(MANIFEST.replace("simulator", "znapai"))
    key = {"ZnapAI_API_KEY": "sk-CANARY-0123456789"}
    arguments = ("trip.yaml", "--base-url", server, "--limit", "1", "--json")
    said = [cli("plan", *arguments, **key), cli("run", *arguments, "--yes", **key), cli("status", "trip.yaml", **key)]
    assert [one.returncode for one in said] == [0, 0, 0]
    assert not any("CANARY" in one.stdout + one.stderr for one in said)
    assert not any(b"CANARY" in path.read_bytes() for path in folder.rglob("*") if path.is_file())
    before = (folder / "outputs/trip/ledger.db").read_bytes()
    assert cli("run", "trip.yaml", "--yes").returncode == 4
    assert (folder / "outputs/trip/ledger.db").read_bytes() == before
    assert cli("run", "trip.yaml", "--limit", "1").returncode == 0, "a finished selection needs no key"


def test_spending_is_confirmed_once_and_a_run_that_goes_on_asks_nobody(folder: Path, cli: Cli, server: str) -> None:
    (folder / "trip.yaml").write_text(MANIFEST.replace("simulator", "znapai"))
    key = {"ZNAPAI_API_KEY": "sk-CANARY-0123456789"}
    refused = cli("run", "trip.yaml", "--base-url", server, **key)
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    assert not (folder / "outputs").exists()
    for confirmed in (["--yes"], []):  # the second run goes on with what was agreed to
        process = start(folder, "run", "trip.yaml", "--base-url", server, *confirmed, **key)
        before = billed(folder)
        while billed(folder) == before:
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        process.kill()
        process.communicate()


def test_a_key_does_not_travel_unencrypted_to_another_machine(folder: Path, cli: Cli) -> None:
    (folder / "trip.yaml").write_text(MANIFEST.replace("simulator", "znapai"))
    refused = cli("run", "trip.yaml", "--base-url", "http://192.0.2.1/v1", ZNAPAI_API_KEY="sk-CANARY-0123456789")
    assert refused.returncode == 2
    assert "--allow-http" in refused.stderr


def test_an_unfinished_job_is_not_asked_for_at_another_address(folder: Path, cli: Cli, server: str) -> None:
    process = start(folder, "run", "trip.yaml", "--base-url", server)
    while not _submitted(folder):
        time.sleep(0.02)
    process.kill()
    process.communicate()
    refused = cli("run", "trip.yaml")
    assert refused.returncode == 2
    assert server in refused.stderr
    assert cli("run", "trip.yaml", CALLSHEET_SIMULATOR_BASE_URL=server).returncode == 0


def test_simulated_videos_are_not_mixed_with_real_ones(folder: Path, cli: Cli, server: str) -> None:
    assert cli("run", "trip.yaml", "--base-url", server, "--limit", "1").returncode == 0
    (folder / "trip.yaml").write_text(MANIFEST.replace("simulator", "znapai"))
    for verb in ("plan", "run"):
        refused = cli(verb, "trip.yaml", ZNAPAI_API_KEY="sk-CANARY-0123456789")
        assert refused.returncode == 2
        assert "simulated" in refused.stderr
    assert cli("plan", "trip.yaml", "--output", "real").returncode == 0


def test_a_server_that_is_not_there_is_waited_for_and_then_said(folder: Path, cli: Cli) -> None:
    gone = cli("run", "trip.yaml", "--base-url", "http://127.0.0.1:9/v1", "--limit", "1")
    assert gone.returncode == 69
    assert "cannot be reached" in gone.stderr
    assert status(cli)["counts"]["planned"] == 10


def test_five_mistakes_are_shown_at_once_and_nothing_is_made(folder: Path, cli: Cli) -> None:
    (folder / "trip.yaml").write_text(
        "version: 1\n"
        "name: trip\n"
        "provider: znapai\n"
        "jobs:\n"
        "  - id: a\n"
        "    prompt: one\n"
        "    seconds: 4\n"
        "  - id: b\n"
        "    prompt: two\n"
        '    duration: "4"\n'
        "  - id: c\n"
        "    prompt: three\n"
        "    size: 1920x1080\n"
        "  - id: d\n"
        "    promt: four\n"
        "  - id: e\n"
        '    prompt: "five {{ nobody }}"\n'
    )
    for verb in ("validate", "plan", "run"):
        wrong = cli(verb, "trip.yaml", "--json")
        assert wrong.returncode == 2
        document = json.loads(wrong.stdout)
        Draft202012Validator(shipped.schema("validate")).validate(document)
        places = [(problem["line"], problem["column"]) for problem in document["problems"]]
        assert places == [(7, 14), (10, 5), (13, 11), (15, 5), (17, 19)]
    text = cli("validate", "trip.yaml").stdout
    assert "trip.yaml:7:14: error[" in text
    assert 'write "4"' in text
    assert not (folder / "outputs").exists()


def test_what_is_allowed_and_probably_wrong_is_a_warning(folder: Path, cli: Cli) -> None:
    (folder / "trip.yaml").write_text(MANIFEST.replace("The end", "The end # of it"))
    right = cli("validate", "trip.yaml")
    assert right.returncode == 0
    assert "warning[comment-in-prompt]" in right.stdout
    assert json.loads(cli("validate", "trip.yaml", "--json").stdout)["problems"][0]["severity"] == "warning"
    plan = cli("plan", "trip.yaml", "--json")
    assert "warning[comment-in-prompt]" in plan.stderr
    assert json.loads(plan.stdout)["counts"]["submit"] == 10


def test_a_new_name_and_a_changed_prompt_are_told_apart(folder: Path, cli: Cli, server: str) -> None:
    assert cli("run", "trip.yaml", "--base-url", server).returncode == 0
    text = (folder / "trip.yaml").read_text()
    (folder / "trip.yaml").write_text(text.replace("id: finale", "id: ending").replace("shot-", "scene-"))
    plan = json.loads(cli("plan", "trip.yaml", "--json").stdout)
    Draft202012Validator(shipped.schema("plan")).validate(plan)
    assert plan["counts"]["submit"] == 0
    assert cli("run", "trip.yaml", "--base-url", "http://127.0.0.1:9/v1").returncode == 0
    assert (folder / "outputs/trip/videos/ending-t2.mp4").exists()
    assert (folder / "outputs/trip/videos/finale-t2.mp4").exists()
    (folder / "trip.yaml").write_text((folder / "trip.yaml").read_text().replace("The end", "Fin"))
    plan = json.loads(cli("plan", "trip.yaml", "--json").stdout)
    assert plan["counts"]["submit"] == 2
    assert cli("run", "trip.yaml", "--base-url", server).returncode == 0
    assert billed(folder) == 12
    assert (folder / "outputs/trip/videos/ending-t1~2.mp4").exists(), "the old video stays"


def test_a_ledger_that_is_gone_while_its_videos_are_there_stops_everything(folder: Path, cli: Cli, server: str) -> None:
    assert cli("run", "trip.yaml", "--base-url", server).returncode == 0
    for path in (folder / "outputs/trip").glob("ledger.db*"):
        path.unlink()
    refused = cli("run", "trip.yaml", "--base-url", server)
    assert refused.returncode == 5
    assert "pay for its videos again" in refused.stderr
    assert billed(folder) == 10


@pytest.mark.parametrize("content", [b"garbage" * 1000, b""])
def test_a_damaged_ledger_stops_everything(folder: Path, cli: Cli, server: str, content: bytes) -> None:
    assert cli("run", "trip.yaml", "--base-url", server).returncode == 0
    (folder / "outputs/trip/ledger.db").write_bytes(content)
    for verb in ("run", "status", "plan"):
        refused = cli(verb, "trip.yaml")
        assert refused.returncode == 5
        assert "Traceback" not in refused.stderr
    assert billed(folder) == 10


def test_a_folder_that_cannot_be_made_is_said(cli: Cli) -> None:
    refused = cli("run", "trip.yaml", "--output", "prompts.txt/outputs")
    assert refused.returncode == 5
    assert "prompts.txt/outputs/trip" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_status_reads_a_campaigns_folder_without_its_manifest(folder: Path, cli: Cli, server: str) -> None:
    assert cli("run", "trip.yaml", "--base-url", server, "--limit", "3").returncode == 0
    (folder / "trip.yaml").unlink()
    shown = cli("status", "outputs/trip")
    assert shown.returncode == 0
    assert "3  done" in shown.stdout
    assert cli("status", "nowhere").returncode == 2
    assert cli("status", ".").returncode == 5


def test_selected_jobs_run_and_the_others_wait(folder: Path, cli: Cli, server: str) -> None:
    assert cli("run", "trip.yaml", "--base-url", server, "--select", "tag:hero").returncode == 0
    assert billed(folder) == 2
    assert cli("run", "trip.yaml", "--base-url", server, "--select", "shot-*", "--limit", "3").returncode == 0
    assert billed(folder) == 5
    done = {job["job"] for job in status(cli)["jobs"] if job["state"] == "done"}
    assert done == {"finale#1", "finale#2", "shot-1#1", "shot-2#1", "shot-3#1"}


def test_the_ledger_remembers_a_variable(folder: Path, cli: Cli, server: str) -> None:
    (folder / "trip.yaml").write_text(
        MANIFEST.replace("jobs:", "vars: { mood: calm }\njobs:").replace("The end", "The {{ mood }} end")
    )
    assert cli("run", "trip.yaml", "--base-url", server, "--var", "mood=wild").returncode == 0
    assert json.loads(cli("plan", "trip.yaml", "--json").stdout)["counts"]["submit"] == 0
    shown = cli("plan", "trip.yaml").stdout
    assert "mood = wild" in shown
    assert json.loads(cli("plan", "trip.yaml", "--var", "mood=odd", "--json").stdout)["counts"]["submit"] == 2
    assert cli("plan", "trip.yaml", "--var", "mood").returncode == 2
    assert cli("plan", "trip.yaml", "--var", "nobody=x").returncode == 2
    (folder / "trip.yaml").write_text(MANIFEST)
    assert cli("plan", "trip.yaml").returncode == 0, "a variable that is gone is not missed"


def test_a_reader_that_leaves_ends_nothing(folder: Path, cli: Cli, server: str) -> None:
    """`callsheet run ... 2>&1 | head -1`: the pipe closes, the run goes on."""
    process = start(folder, "run", "trip.yaml", "--base-url", server)
    assert process.stderr is not None
    assert process.stdout is not None
    process.stderr.readline()
    process.stderr.close()
    process.stdout.close()
    assert process.wait(timeout=30) == 0
    assert_finished(folder, cli, 10)


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1",
        "ftp://h/v1",
        "https://[::1/v1",
        "https://:pw@host/v1",
        "https://a b/v1",
        "https://h\x01/v1",
        "https://xn--/v1",
        "https://h:99999/v1",
        "https://h/v1?x=1",
        "https://h/v1#x",
        "https://",
    ],
)
def test_what_is_no_address_is_said_before_anything_else(url: str) -> None:
    with pytest.raises(UsageError, match="not a base address"):
        address(providers.profile("znapai"), url, {}, allow_http=True)


@pytest.mark.parametrize("url", ["https://h", "https://h/v1/", "http://127.0.0.1:8000/v1", "http://[::1]:8000/v1"])
def test_an_address_is_taken_without_its_last_slash(url: str) -> None:
    assert address(providers.profile("znapai"), url, {}, allow_http=False) == url.rstrip("/")


@pytest.mark.parametrize("redirection", ["<&-", ">&-", "2>&-", ">/dev/full", "2>/dev/full"])
def test_streams_that_are_closed_or_full_cause_no_traceback(folder: Path, server: str, redirection: str) -> None:
    (folder / "prompts.txt").write_text("One\n")
    codes = {}
    for verb in ("plan", f"run --base-url {server}"):
        command = f"{sys.executable} -m pipeline {verb} trip.yaml --json {redirection}"
        ended = subprocess.run(["sh", "-c", command], cwd=folder, env=around(folder), capture_output=True, timeout=60)
        assert b"Traceback" not in ended.stderr + ended.stdout
        codes[verb[:4]] = ended.returncode
    cannot_answer = redirection == ">/dev/full"
    assert codes == {"plan": 5 if cannot_answer else 0, "run ": 5 if cannot_answer else 0}
    assert billed(folder) == 3


def test_a_ctrl_c_before_the_command_has_begun_is_no_traceback() -> None:
    interrupted = """
import sys
from pipeline.__main__ import main

class CtrlC:
    def find_spec(self, name, path, target=None):
        if name == "click":
            raise KeyboardInterrupt

sys.meta_path.insert(0, CtrlC())
sys.exit(main())
"""
    ended = subprocess.run([sys.executable, "-c", interrupted], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (130, "callsheet: stopped\n")


@pytest.mark.parametrize("arguments", [["schema"], ["plan", "trip.yaml", "--json"], ["run", "--help"]])
def test_a_reader_who_has_seen_enough_is_no_failure(folder: Path, arguments: list[str]) -> None:
    process = start(folder, *arguments)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(60) == 0
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()


def test_a_place_that_cannot_hold_videos_is_noticed_before_spending(folder: Path, cli: Cli, server: str) -> None:
    (folder / "outputs/trip").mkdir(parents=True)
    (folder / "outputs/trip/videos").symlink_to("/nonexistent/folder")
    refused = cli("run", "trip.yaml", "--base-url", server)
    assert refused.returncode == 5
    assert "videos" in refused.stderr
    assert billed(folder) == 0


def test_a_lock_that_cannot_be_opened_is_said(folder: Path, cli: Cli, server: str) -> None:
    (folder / "outputs/trip/ledger.lock").mkdir(parents=True)
    refused = cli("run", "trip.yaml", "--base-url", server)
    assert (refused.returncode, billed(folder)) == (5, 0)
    assert "Traceback" not in refused.stderr


def test_a_deleted_video_is_not_asked_for_at_another_address(folder: Path, cli: Cli, server: str) -> None:
    assert cli("run", "trip.yaml", "--base-url", server, "--limit", "1").returncode == 0
    (folder / "outputs/trip/videos/shot-1-t1.mp4").unlink()
    refused = cli("run", "trip.yaml", "--base-url", "http://127.0.0.1:9/v1", "--limit", "1")
    assert refused.returncode == 2
    assert server in refused.stderr
    assert cli("run", "trip.yaml", "--base-url", server, "--limit", "1").returncode == 0
    assert (folder / "outputs/trip/videos/shot-1-t1.mp4").exists()


def test_a_selection_that_fits_nothing_is_a_mistake(cli: Cli) -> None:
    for verb in ("validate", "plan", "run"):
        assert cli(verb, "trip.yaml", "--select", "nosuch*").returncode == 2


def test_schemas_are_printed_as_they_are(cli: Cli) -> None:
    for name in ("manifest", "status", "run", "plan", "validate", "profile"):
        Draft202012Validator.check_schema(json.loads(cli("schema", name).stdout))
    assert cli("schema").stdout == cli("schema", "manifest").stdout
    assert cli("schema", "nonsense").returncode == 2


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["run"], ["run", "no-such.yaml"], ["run", "trip.yaml", "--limit", "0"], ["plan", "."]]
)
def test_wrong_words_are_usage_errors(cli: Cli, arguments: list[str]) -> None:
    wrong = cli(*arguments)
    assert wrong.returncode == 2
    assert "Traceback" not in wrong.stderr


def on_a_terminal(folder: Path, *arguments: str, answer: str = "", **environment: str) -> tuple[int, str]:
    """Run the command on a terminal of its own; return its exit code and all that it showed."""
    try:
        ours, theirs = pty.openpty()
    except OSError as error:
        pytest.skip(f"this machine has no pseudo-terminals: {error}")
    os.write(ours, answer.encode())
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", *arguments],
        cwd=folder,
        env=around(folder) | {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"} | environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    with os.fdopen(ours, "rb", buffering=0) as terminal, contextlib.suppress(OSError):  # EIO: they have all left
        while chunk := terminal.read(65536):
            shown += chunk
    return process.wait(timeout=60), shown.decode()


def test_on_a_terminal_a_table_is_drawn_and_nothing_foreign_moves_the_cursor(folder: Path, server: str) -> None:
    (folder / "trip.yaml").write_text(MANIFEST.replace("The end", '"\\e[2J [red]boo[/red] \\u202e gnirts"'))
    (folder / "prompts.txt").write_text("One\n")
    code, shown = on_a_terminal(folder, "run", "trip.yaml", "--base-url", server)
    assert code == 0
    assert "3 of 3 videos done" in shown
    assert "━" in shown
    code, plan = on_a_terminal(folder, "plan", "trip.yaml", "--json")
    assert code == 0
    assert not {"\x1b[2J", "\u202e"} & {*re.findall("\x1b\\[2J|\u202e", shown + plan)}


def test_on_a_terminal_spending_is_asked_about(folder: Path, server: str) -> None:
    (folder / "trip.yaml").write_text(MANIFEST.replace("simulator", "znapai"))
    arguments = ("run", "trip.yaml", "--base-url", server)
    code, shown = on_a_terminal(folder, *arguments, answer="n\n", ZNAPAI_API_KEY="sk-CANARY-0123456789")
    assert code == 2
    assert "10 to submit" in shown
    assert "the profile has no price" in shown
    assert not (folder / "outputs").exists()

"""Before the money goes: who is asked, what a budget says in their place, a plan that is run exactly or not at all."""

import json
import os
import pty
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import anyio
import pytest
from gateway import ENVIRONMENT, Answer, Bill, Ended, Gateway, call, gateway, simulator
from jsonschema import Draft202012Validator

from pipeline import commands, shipped
from pipeline.errors import UsageError
from pipeline.onlookers import Progress
from pipeline.options import options_of
from pipeline.preparation import Prepared

for module in ("av", "PIL", "starlette", "uvicorn", "python_multipart"):
    pytest.importorskip(module, reason=f"{module} is an extra: callsheet[simulator]")

STUDIO = """\
name: studio
title: Studio
base_url: http://127.0.0.1:9/v1
auth: { scheme: bearer, env: [STUDIO_API_KEY], required: false }
request:
  schema: { properties: { model: {}, prompt: {}, size: {}, seconds: {} } }
  defaults: { model: sora-2, size: 1280x720, seconds: "4" }
abilities: { list: true, idempotency: true }
poll: { first: 0.05, interval: 0.05, slowest: 0.1 }
limits: { requests_per_minute: 60000, max_in_flight: 20, polls_per_second: 200, downloads: 4 }
price: { currency: EUR, per_second: { sora-2: 0.1 } }
"""
MANIFEST = """\
version: 1
name: spring
provider: studio
jobs:
  - { id: fox, prompt: A fox, tags: [animals] }
  - { id: owl, prompt: An owl, tags: [animals] }
  - { id: sky, prompt: A sky }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in (("spring.yaml", MANIFEST), ("studio.yaml", STUDIO)):
        (tmp_path / name).write_text(text)
    priceless = "".join(line for line in STUDIO.splitlines(keepends=True) if not line.startswith("price"))
    (tmp_path / "priceless.yaml").write_text(priceless)
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[Gateway]:
    with simulator(folder / "bill.db") as upstream, gateway(upstream) as front:
        yield front


@pytest.fixture
def nobody() -> Gateway:
    """An address at which nobody listens: who is asked there is not reached, which is another exit code."""
    return Gateway("", url="http://127.0.0.1:9/v1")


@pytest.fixture
def bill(folder: Path) -> Bill:
    return Bill(folder / "bill.db")


def run(folder: Path, server: Gateway, *words: str, profile: str = "studio.yaml") -> Ended:
    manifest = () if "--plan" in words else ("spring.yaml",)
    return call(folder, "run", *manifest, "--profile", profile, "--base-url", server.url, *words)


def save(folder: Path, server: Gateway, *words: str, to: str = "p.json") -> Ended:
    around = ("--profile", "studio.yaml", "--base-url", server.url)
    ended = call(folder, "plan", "spring.yaml", *around, "--save", to, *words)
    assert ended.returncode == 0, ended.stderr
    return ended


def edit(folder: Path, old: str, new: str) -> None:
    text = (folder / "spring.yaml").read_text()
    assert old in text
    (folder / "spring.yaml").write_text(text.replace(old, new))


def prompts(bill: Bill) -> list[str]:
    return [line["prompt"] for line in bill.lines()]


def test_without_a_terminal_nothing_is_spent_that_nobody_has_bounded(folder: Path, nobody: Gateway) -> None:
    refused = run(folder, nobody)
    said = " ".join(refused.stderr.split())
    assert refused.returncode == 2
    assert all(word in said for word in ("--yes", "--max-cost N", "--max-videos N", "--plan FILE"))
    assert not (folder / "outputs").exists()


@pytest.mark.parametrize(
    ("words", "profile", "code", "videos"),
    [
        (["--max-cost", "9"], "studio.yaml", 0, 3),
        (["--max-cost", "0.9"], "studio.yaml", 6, 2),
        (["--max-videos", "1"], "studio.yaml", 6, 1),
        (["--max-videos", "2"], "priceless.yaml", 6, 2),
        (["--price", "0"], "priceless.yaml", 0, 3),
        (["--max-cost", "9", "--max-videos", "9"], "priceless.yaml", 2, 0),
    ],
)
def test_a_bound_says_it_in_a_persons_place(
    folder: Path, server: Gateway, bill: Bill, words: list[str], profile: str, code: int, videos: int
) -> None:
    ended = run(folder, server, *words, profile=profile)
    assert (ended.returncode, len(bill)) == (code, videos), ended.stderr
    if code == 2:
        assert "budget: { max_videos: N }" in " ".join(ended.stderr.split())


def test_the_manifests_budget_counts_videos_too_and_the_option_goes_before_it(
    folder: Path, server: Gateway, bill: Bill
) -> None:
    edit(folder, "jobs:", "budget: { max_videos: 1 }\njobs:")
    assert (run(folder, server, profile="priceless.yaml").returncode, len(bill)) == (6, 1)
    found = json.loads(call(folder, "status", "spring.yaml", "--json").stdout)
    Draft202012Validator(shipped.schema("status")).validate(found)
    assert (found["cost"]["max_videos"], found["cost"]["unknown_price_jobs"]) == (1, 1)
    planned = call(folder, "plan", "spring.yaml", "--profile", "priceless.yaml", "--max-videos", "2").stdout
    assert "Cost of what is submitted: unknown for 2 jobs: the profile has no price" in planned
    assert "  2 x sora-2 1280x720 4 s: price unknown" in planned
    assert "Budget: 1 video left: 1 of 2 jobs fit, and the run ends there" in planned
    assert (run(folder, server, "--max-videos", "3", profile="priceless.yaml").returncode, len(bill)) == (0, 3)


def test_what_was_agreed_to_is_not_asked_for_again_after_a_run_that_broke(
    folder: Path, server: Gateway, bill: Bill
) -> None:
    whole = server.meddle

    def full_after_one(method: str, path: str, act: Callable[[], Answer]) -> Answer:
        if method == "POST" and server.posts() > 1:
            return 402, b'{"error": {"message": "insufficient balance", "code": "insufficient_balance"}}', {}
        return act()

    server.meddle = full_after_one
    assert run(folder, server, "--yes").returncode == 4
    server.meddle = whole
    ended = run(folder, server)
    assert (ended.returncode, len(bill)) == (0, 3), ended.stderr
    edit(folder, "A sky", "A cloud")
    assert run(folder, server).returncode == 2, "a new prompt is new spending"
    assert run(folder, server, "--ask-above", "0.3").returncode == 2
    assert (run(folder, server, "--ask-above", "0.4").returncode, len(bill)) == (0, 4)


def test_what_a_part_was_agreed_to_is_no_word_for_the_rest(folder: Path, server: Gateway, bill: Bill) -> None:
    assert run(folder, server, "--yes", "--limit", "1").returncode == 0
    assert run(folder, server).returncode == 2
    assert len(bill) == 1
    assert run(folder, server, "--no-submit").returncode == 0, "where nothing is spent nobody is asked"


def test_on_a_terminal_the_plan_is_shown_and_a_person_is_asked_whatever_the_budget(
    folder: Path, server: Gateway, bill: Bill
) -> None:
    leader, follower = pty.openpty()
    words = ("run", "spring.yaml", "--profile", "studio.yaml", "--base-url", server.url, "--max-cost", "9")
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", *words],
        cwd=folder,
        env=ENVIRONMENT | {"HOME": str(folder), "TERM": "dumb"},
        stdin=follower,
        stdout=subprocess.PIPE,
        stderr=follower,
    )
    os.close(follower)
    said = b""
    while b"Spend this?" not in said:
        said += os.read(leader, 4096)
    os.write(leader, b"y\n")
    with suppress(OSError):  # it has ended
        while chunk := os.read(leader, 4096):
            said += chunk
    process.communicate(timeout=30)
    os.close(leader)
    assert b"Cost of what is submitted: 1.20 EUR" in said
    assert (process.returncode, len(bill)) == (0, 3)


def test_a_saved_plan_is_run_from_anywhere_without_a_word_more(folder: Path, server: Gateway, bill: Bill) -> None:
    (folder / "plans").mkdir()
    save(folder, server, "--select", "tag:animals", to="plans/animals.json")
    document = json.loads((folder / "plans/animals.json").read_text())
    Draft202012Validator(shipped.schema("saved-plan")).validate(document)
    assert document["manifest"] == "../spring.yaml"
    ended = run(folder, server, "--plan", "plans/animals.json")
    assert (ended.returncode, sorted(prompts(bill))) == (0, ["A fox", "An owl"]), ended.stderr
    again = run(folder, server, "--plan", "plans/animals.json")
    assert (again.returncode, len(bill)) == (0, 2)
    assert "Carried on since the plan was saved: 2 done." in again.stderr


def test_what_another_run_has_done_of_a_plan_meanwhile_is_fine(folder: Path, server: Gateway, bill: Bill) -> None:
    save(folder, server)
    assert run(folder, server, "--yes", "--select", "owl").returncode == 0
    ended = run(folder, server, "--plan", "p.json")
    assert (ended.returncode, prompts(bill)) == (0, ["An owl", "A fox", "A sky"]), ended.stderr
    assert "Carried on since the plan was saved: 1 done." in ended.stderr


def test_what_is_changed_alike_is_shown_once_and_where_it_is_written(folder: Path, nobody: Gateway) -> None:
    run(folder, nobody, "--no-submit")
    (folder / "spring.yaml").write_text(
        MANIFEST.replace("A fox", "A fox at night").replace("An owl", "An owl at night").replace("A sky", "All the sky")
    )
    shown = call(folder, "plan", "spring.yaml", "--profile", "studio.yaml").stdout
    lines = shown[shown.index("Changed since") :].splitlines()[1:5]
    assert [line.split("  spring.yaml")[0].strip() for line in lines] == [
        "fox#1, owl#1",
        "prompt: A fox -> A fox at night",
        "sky#1",
        "prompt: A sky -> All the sky",
    ]
    assert "spring.yaml:5" in lines[1]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("A fox", "A vixen", "fox#1, prompt: A fox -> A vixen  spring.yaml:5:24"),
        ("An owl", "An owl, seconds: '8'", "owl#1, seconds: 4 -> 8  spring.yaml:6:41"),
        ("  - { id: sky, prompt: A sky }\n", "", "sky#1: submitted -> not in the manifest"),
        ("jobs:\n", "jobs:\n  - { id: elk, prompt: An elk }\n", "elk#1: nothing -> submitted"),
        ("tags: [animals] }\n  - { id: owl", "enabled: false }\n  - { id: owl", "fox#1: submitted -> not enabled"),
        ("jobs:", "budget: { max_cost: 5 }\njobs:", "budget.max_cost: nothing -> 5"),
        ("jobs:", "retry: { on: [server] }\njobs:", 'retry.on: nothing -> ["server"]'),
        ("spring", "winter", "name: spring -> winter"),
    ],
)
def test_a_plan_that_is_another_by_now_is_refused_with_what_changed(
    folder: Path, nobody: Gateway, old: str, new: str, said: str
) -> None:
    save(folder, nobody)
    edit(folder, old, new)
    refused = run(folder, nobody, "--plan", "p.json")
    assert refused.returncode == 2
    assert said in refused.stderr
    assert not (folder / "outputs").exists()


def test_another_price_and_another_server_are_another_plan(folder: Path, nobody: Gateway) -> None:
    save(folder, nobody)
    (folder / "studio.yaml").write_text(STUDIO.replace("sora-2: 0.1", "sora-2: 0.2"))
    refused = run(folder, nobody, "--plan", "p.json")
    assert (refused.returncode, "fox#1, price: 0.4 -> 0.8" in refused.stderr) == (2, True)
    (folder / "studio.yaml").write_text(STUDIO)
    words = ("--profile", "studio.yaml", "--base-url", "http://127.0.0.1:7/v1")
    elsewhere = call(folder, "run", "--plan", "p.json", *words)
    assert (elsewhere.returncode, f"address: {nobody.url} -> http://127.0.0.1:7/v1" in elsewhere.stderr) == (2, True)
    assert not (folder / "outputs").exists()


@pytest.mark.parametrize(
    "words",
    [
        *(["--select", "fox"], ["--limit", "1"], ["--sample", "1"], ["--seed", "2"], ["--var", "a=b"]),
        *(["--max-cost", "1"], ["--max-videos", "1"], ["--price", "1"], ["--no-submit"], ["--resubmit-absent"]),
    ],
)
def test_what_is_run_stands_in_the_plan_and_nowhere_else(folder: Path, nobody: Gateway, words: list[str]) -> None:
    save(folder, nobody)
    refused = run(folder, nobody, "--plan", "p.json", *words)
    assert (refused.returncode, f"{words[0]} and --plan exclude each other" in refused.stderr) == (2, True)
    assert not (folder / "outputs").exists()


def test_a_plan_is_kept_in_a_file_of_its_own(folder: Path, nobody: Gateway) -> None:
    around = ("plan", "spring.yaml", "--profile", "studio.yaml", "--save")
    refused = call(folder, *around, "spring.yaml")
    assert (refused.returncode, (folder / "spring.yaml").read_text()) == (2, MANIFEST)
    assert "is no saved plan, and stays as it is" in refused.stderr
    assert call(folder, *around, "nowhere/p.json").returncode == 2
    save(folder, nobody)
    first = (folder / "p.json").read_text()
    edit(folder, "A fox", "A vixen")
    save(folder, nobody)
    assert (folder / "p.json").read_text() != first, "an older plan is replaced"
    (folder / "p.json").write_text(first.replace("A fox", "A vixen"))
    changed = run(folder, nobody, "--plan", "p.json")
    assert (changed.returncode, "was changed since it was saved" in changed.stderr) == (2, True)
    assert call(folder, "run").returncode == call(folder, "run", "--plan", "nothing.json").returncode == 2


def expired(method: str, path: str, act: Callable[[], Answer]) -> Answer:
    body = b'{"error": {"message": "Video content has expired.", "code": "video_expired"}}'
    return (404, body, {"Content-Type": "application/json"}) if path.endswith("/content") else act()


def rejected_key(method: str, path: str, act: Callable[[], Answer]) -> Answer:
    body = b'{"error": {"message": "bad key", "code": "invalid_api_key"}}'
    return (401, body, {"Content-Type": "application/json"}) if method == "POST" else act()


def counted(folder: Path) -> int:
    with closing(sqlite3.connect(folder / "outputs" / "spring" / "ledger.db")) as ledger:
        (videos,) = ledger.execute("SELECT videos FROM account").fetchone()
    return int(videos)


@pytest.mark.parametrize("agreeing", [["--yes"], ["--plan", "p.json"]], ids=["yes", "plan"])
def test_what_the_budget_does_not_hold_is_not_agreed_to(
    folder: Path, server: Gateway, bill: Bill, agreeing: list[str]
) -> None:
    save(folder, server, "--max-cost", "0.4")
    bounded = ["--max-cost", "0.4"] if agreeing == ["--yes"] else []
    assert (run(folder, server, *agreeing, *bounded).returncode, len(bill)) == (6, 1)
    unbounded = run(folder, server)
    assert (unbounded.returncode, len(bill)) == (2, 1), unbounded.stderr
    assert run(folder, server, "--max-cost", "0.4").returncode == 6, "the same bound asks nobody"


def test_what_was_agreed_to_for_one_job_is_not_left_over_for_another(folder: Path, server: Gateway, bill: Bill) -> None:
    server.meddle = rejected_key  # so nothing is sent, and all that was agreed to is left
    assert run(folder, server, "--yes").returncode == 4
    server.meddle = Gateway.meddle
    manifest = folder / "spring.yaml"
    manifest.write_text((asked := manifest.read_text()).replace("prompt: A", "prompt: Not a"))
    refused = run(folder, server)
    assert (refused.returncode, len(bill), "not confirmed" in refused.stderr) == (2, 0, True), refused.stderr
    manifest.write_text(asked)
    assert (run(folder, server, "--select", "fox").returncode, len(bill)) == (0, 1), "what was agreed to still is"
    assert (run(folder, server).returncode, len(bill)) == (0, 3)


def test_what_was_paid_stays_in_its_currency(folder: Path, server: Gateway) -> None:
    assert run(folder, server, "--yes", "--price", "0.1", "--limit", "1", profile="priceless.yaml").returncode == 0
    assert run(folder, server, "--limit", "1", profile="priceless.yaml").returncode == 0, "there is nothing to do"
    assert json.loads(call(folder, "status", "spring.yaml", "--json").stdout)["cost"]["currency"] == "USD"


def test_a_budget_that_nobody_can_hold_is_said_by_the_plan_too(folder: Path) -> None:
    planned = call(folder, "plan", "spring.yaml", "--profile", "priceless.yaml", "--max-cost", "2").stdout
    assert "which cannot hold: a run refuses until --price" in planned


def test_a_saved_plan_is_the_same_through_a_link(folder: Path, server: Gateway, bill: Bill) -> None:
    (folder / "linked").symlink_to(folder)
    save(folder / "linked", server)
    assert (run(folder, server, "--plan", "linked/p.json").returncode, len(bill)) == (0, 3)
    (folder / "outputs").rename(folder / "real")
    (folder / "other").mkdir()
    (folder / "outputs").symlink_to("other")
    refused = run(folder, server, "--plan", "p.json")
    assert (refused.returncode, len(bill), "campaign: " in refused.stderr) == (2, 3, True)


def test_what_is_marked_while_the_question_stands_is_not_paid_for_by_the_answer(
    folder: Path, server: Gateway, bill: Bill
) -> None:
    assert run(folder, server, "--yes", "--limit", "2").returncode == 0
    options = options_of(profile=folder / "studio.yaml", base_url=server.url, output=folder / "outputs")

    def confirm(prepared: Prepared) -> bool:
        assert prepared.cost.cost == pytest.approx(0.4)
        with ThreadPoolExecutor() as second_terminal:
            rejected = second_terminal.submit(call, folder, "reject", "spring.yaml", "fox", "owl").result()
        assert rejected.returncode == 0, rejected.stderr
        return True

    cleared = anyio.run(partial(commands.cleared, folder / "spring.yaml", options, confirm=confirm))
    with pytest.raises(UsageError, match="since you were asked"):
        anyio.run(partial(commands.run, cleared, progress=Progress()))
    assert len(bill) == 2
    assert (run(folder, server, "--yes").returncode, len(bill)) == (0, 5)


def test_what_a_person_sent_back_is_no_part_of_an_old_plan_whatever_happened_to_it_since(
    folder: Path, server: Gateway, bill: Bill
) -> None:
    save(folder, server, "--select", "fox")
    assert run(folder, server, "--plan", "p.json").returncode == 0
    assert call(folder, "reject", "spring.yaml", "fox").returncode == 0
    server.meddle = rejected_key
    assert run(folder, server, "--select", "fox", "--yes").returncode == 4
    server.meddle = Gateway.meddle
    refused = run(folder, server, "--plan", "p.json")
    assert (refused.returncode, len(bill)) == (2, 1), refused.stderr


def test_a_plan_is_of_one_campaigns_folder(folder: Path, server: Gateway, bill: Bill) -> None:
    save(folder, server)
    assert run(folder, server, "--plan", "p.json").returncode == 0
    refused = run(folder, server, "--plan", "p.json", "--output", "elsewhere")
    assert (refused.returncode, len(bill)) == (2, 3)
    assert "campaign: outputs/spring -> elsewhere/spring" in refused.stderr
    assert not (folder / "elsewhere").exists()


def test_the_number_of_videos_is_bounded_where_they_cost_nothing(folder: Path, server: Gateway, bill: Bill) -> None:
    server.meddle = expired
    for _ in range(2):
        run(folder, server, "--select", "fox", "--price", "0", "--max-videos", "1")
        call(folder, "retry", "spring.yaml", "fox", "--profile", "studio.yaml")
    assert (len(bill), counted(folder)) == (1, 1)


def test_what_expired_in_an_earlier_run_stops_no_later_one(folder: Path, server: Gateway, bill: Bill) -> None:
    server.meddle = expired
    assert run(folder, server, "--select", "fox", "--yes").returncode == 1
    server.meddle = Gateway.meddle
    assert run(folder, server, "--yes", "--fail-fast").returncode == 1, "it is said, and the rest is rendered"
    assert len(bill) == 3

"""The short form of the kill campaign, and the guard of its failpoints' names. ``campaign.py`` has the long form."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from kill.failpoints import FAILPOINTS, GONE, Failpoint, Gone, check
from kill.injection import Dice

HERE = Path(__file__).parent
PROMISED = ("paid_twice", "forgotten", "bad_files", "posts_when_finished", "unannounced")


@pytest.mark.minutes
def test_killed_150_times_it_pays_nothing_twice_and_forgets_nothing(tmp_path: Path) -> None:
    """By the server's bill. Where this fails, the seed is in what it shows, and the folders are in pytest's."""
    command = [sys.executable, str(HERE / "campaign.py"), "--kills", "150", "--each", "1", "--control", "10"]
    campaign = subprocess.Popen(
        [*command, "--json", "--work", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        shown, said = campaign.communicate(timeout=900)
    finally:
        if campaign.poll() is None:
            os.killpg(campaign.pid, signal.SIGKILL)  # the session is the campaign's own: nothing is left running
            campaign.communicate()
    assert campaign.returncode == 0, f"{said}\n{shown}"
    report = json.loads(shown)
    ours = [report["kinds"][kind] for kind in ("list", "no-list")]
    assert [kind["counts"][name] for kind in ours for name in PROMISED] == [0] * 2 * len(PROMISED)
    assert sum(kind["kills"] for kind in ours) >= 150
    assert all(number >= 1 for kind in ours for number in kind["failpoints"].values())
    for state in ("submitting", "in_doubt", "submitted", "completed", "verified"):
        assert sum(kind["states"][state] for kind in ours) >= 1, f"no kill with a job {state}"
    assert report["kinds"]["control"]["counts"]["paid_twice"] > 0, "the control: this campaign sees what it looks for"


@pytest.mark.parametrize("name", FAILPOINTS)
def test_a_failpoint_names_what_is_in_the_code(name: str) -> None:
    check(FAILPOINTS[name])


@pytest.mark.parametrize(
    "failpoint",
    [
        Failpoint("pipeline.nowhere:anything", "call"),
        Failpoint("pipeline.parts:Part.nothing", "call"),
        Failpoint("pipeline.parts:Part.sync", "return", caller="pipeline.parts:Part.nothing"),
        Failpoint("pipeline.ledger.store:SqliteLedger._write", "return", event="Nothing"),
        Failpoint("pipeline.parts:Part.sync", "return", event="Intended"),
    ],
    ids=["module", "function", "caller", "event", "variable"],
)
def test_a_failpoint_that_could_never_be_reached_is_noticed(failpoint: Failpoint) -> None:
    with pytest.raises(Gone):
        check(failpoint)


def test_the_launcher_refuses_a_name_that_it_does_not_know() -> None:
    command = [sys.executable, str(HERE / "failpoints.py"), "nowhere:1", "--", "run", "trip.yaml"]
    launched = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert launched.returncode == GONE
    assert "nowhere" in launched.stderr


def test_a_job_meets_the_same_faults_in_whatever_order_jobs_come() -> None:
    prompts = [f"Shot {number}" for number in range(50)]
    one, other = Dice("seed", 0.5), Dice("seed", 0.5)
    courses = {prompt: one.post(prompt, 1) for prompt in prompts}
    assert {prompt: other.post(prompt, 1) for prompt in reversed(prompts)} == courses
    assert {prompt: Dice("another", 0.5).post(prompt, 1) for prompt in prompts} != courses

"""A wrong parameter that a gateway calls a content policy violation is shown as what it is, at its place."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from gateway import Answer, Bill, call, gateway, simulator

from pipeline.culprits import field_of
from pipeline.jobs import Failure, FailureKind
from pipeline.profile import Field, ReferenceRules, RequestRules, Travel
from pipeline.simulator.faults import Answer as SimulatedAnswer
from pipeline.simulator.faults import Fault

PROFILE = """\
name: wide
title: A gateway of which less is known than it wants
auth: { scheme: bearer, env: [WIDE_KEY] }
request:
  schema: { properties: { size: { type: string }, seconds: { type: string } } }
  fields: { RENAMED }
  defaults: { model: sora-2, size: 1280x720, seconds: "4" }
  extra_body: true
poll: { first: 0.1, interval: 0.1, slowest: 1 }
limits: { requests_per_minute: 6000, max_in_flight: 10, polls_per_second: 50, downloads: 4 }
"""
MANIFEST = """\
version: 1
name: wide
provider: wide
vars: { big: 1920x1080 }
defaults:
  size: "{{ big }}"
jobs:
  - id: by-variable
    prompt: A fox
  - id: own
    prompt: A crow
    size: 1280x720
    seconds: "5"
  - id: "row-{{ row_number }}"
    from: rows.csv
    size: "{{ row.size }}"
  - id: further
    prompt: A cat
    size: 1280x720
    extra_body: { fps: 24 }
"""


def test_a_disguised_mistake_is_shown_at_its_place(tmp_path: Path) -> None:
    (tmp_path / "wide.yaml").write_text(PROFILE.replace("{ RENAMED }", "{}"))
    (tmp_path / "m.yaml").write_text(MANIFEST)
    (tmp_path / "rows.csv").write_text("prompt,size\nA dog,1280x720\nA hen,16:9\n")
    with simulator(tmp_path / "sim.db", dialect="litellm-old") as url:
        words = ("run", "m.yaml", "--profile", "wide.yaml", "--base-url", url, "--yes")
        ended = call(tmp_path, *words, "--json", WIDE_KEY="the-key-of-the-account")
        shown = call(tmp_path, *words, WIDE_KEY="the-key-of-the-account").stderr
    assert ended.returncode == 1
    told = {job["job"]: job["error"] for job in json.loads(ended.stdout)["jobs"] if job["error"]}
    assert {name: (error["kind"], error["param"], error.get("at")) for name, error in told.items()} == {
        "by-variable#1": ("invalid_request", "size", {"file": "m.yaml", "line": 6, "column": 9}),
        "own#1": ("invalid_request", "seconds", {"file": "m.yaml", "line": 13, "column": 14}),
        "row-2#1": ("invalid_request", "size", {"file": "rows.csv", "line": 3, "column": 7}),
        "further#1": ("invalid_request", "fps", {"file": "m.yaml", "line": 20, "column": 24}),
    }
    assert all("Policy" not in error["message"] for error in told.values())
    assert '    seconds: m.yaml:13:14\n        seconds: "5"\n                 ^\n' in shown


def test_a_field_is_found_under_the_name_that_the_manifest_has(tmp_path: Path) -> None:
    (tmp_path / "wide.yaml").write_text(PROFILE.replace("{ RENAMED }", "{ seconds: { name: duration } }"))
    (tmp_path / "m.yaml").write_text(
        'version: 1\nname: w\nprovider: wide\njobs: [{ id: a, prompt: x, seconds: "8" }]\n'
    )
    with simulator(tmp_path / "sim.db", dialect="litellm-old") as url:
        words = ("run", "m.yaml", "--profile", "wide.yaml", "--base-url", url, "--yes", "--json")
        (job,) = json.loads(call(tmp_path, *words, WIDE_KEY="the-key-of-the-account").stdout)["jobs"]
    assert (job["error"]["param"], job["error"]["at"]) == ("duration", {"file": "m.yaml", "line": 4, "column": 37})


REQUEST = {"prompt": "A 'fox'", "size": "1920x1080", "seconds": "4", "input_reference": "https://x/y.png", "fps": 24}
RULES = RequestRules(
    {},
    {},
    fields={"seconds": Field("duration")},
    input_reference=ReferenceRules(url=Travel("object", "image_reference")),
)


@pytest.mark.parametrize(
    ("param", "message", "found"),
    [
        ("size", "", "size"),
        ("duration", "", "seconds"),
        ("image_reference.image_url", "", "input_reference"),
        ("input_reference[0]", "", "input_reference"),
        ("fps", "", "fps"),
        ("quality", "", None),
        (None, "Invalid value: '1920x1080'. Supported values are: '720x1280'.", "size"),
        (None, 'Input should be less than "24"', "fps"),
        (None, "'1920x1080' for '4' seconds", None),
        (None, "It was a bad day.", None),
    ],
)
def test_the_field_is_the_one_that_is_named_or_whose_value_alone_is_quoted(
    param: str | None, message: str, found: str | None
) -> None:
    failure = Failure(FailureKind.INVALID_REQUEST, message, param=param)
    assert field_of(failure, REQUEST, RULES) == found
    assert field_of(Failure(FailureKind.SERVER, message, param=param), REQUEST, RULES) is None


def test_a_video_is_adopted_at_a_gateway_that_shows_it_under_another_id(tmp_path: Path) -> None:
    """LiteLLM names a job in its status answers as nobody can ask for it: the id of the create answer is the id."""
    given: list[str] = []

    def loses_the_id(method: str, path: str, act: Callable[[], Answer]) -> Answer:
        answer = act()
        if method == "POST" and answer is not None:
            given.append(json.loads(answer[1])["id"])
            return 502, b"<html>Bad Gateway</html>", {}
        return answer

    profile = PROFILE.replace("{ RENAMED }", "{}").replace("name: wide", "name: wide\nabilities: { same_id: false }")
    (tmp_path / "wide.yaml").write_text(profile)
    (tmp_path / "m.yaml").write_text("version: 1\nname: w\nprovider: wide\njobs: [{ id: a, prompt: A fox }]\n")
    with simulator(tmp_path / "sim.db", dialect="litellm") as upstream, gateway(upstream) as front:
        front.meddle = loses_the_id
        around = ("--profile", "wide.yaml", "--base-url", front.url)
        key = {"WIDE_KEY": "the-key-of-the-account"}
        assert call(tmp_path, "run", "m.yaml", *around, "--yes", **key).returncode == 3
        adopted = call(tmp_path, "resolve", "m.yaml", "a#1", "adopt", *given, *around, **key)
        assert adopted.returncode == 0, adopted.stderr
        ended = call(tmp_path, "run", "m.yaml", *around, "--json", **key)
        assert front.posts() == 1
    (job,) = json.loads(ended.stdout)["jobs"]
    assert (ended.returncode, job["state"], job["video_id"]) == (0, "done", given[0])


def test_a_retry_that_is_written_later_is_planned_and_paid_for(tmp_path: Path) -> None:
    manifest = "version: 1\nname: w\nprovider: wide\njobs: [{ id: a, prompt: A forbidden fox }]\n"
    (tmp_path / "wide.yaml").write_text(PROFILE.replace("{ RENAMED }", "{}"))
    (tmp_path / "m.yaml").write_text(manifest)
    blocked = Fault(on="create", prompt="forbidden", nth=1, fail="moderation_blocked")
    with simulator(tmp_path / "sim.db", dialect="openai", faults=[blocked]) as url:
        around = ("m.yaml", "--profile", "wide.yaml", "--base-url", url, "--json")
        key = {"WIDE_KEY": "the-key-of-the-account"}
        assert call(tmp_path, "run", *around, "--yes", **key).returncode == 1
        assert call(tmp_path, "run", *around, **key).returncode == 1
        (tmp_path / "m.yaml").write_text(manifest + "retry: { on: [moderation_output] }\n")
        (item,) = json.loads(call(tmp_path, "plan", *around).stdout)["jobs"]
        assert call(tmp_path, "run", *around, **key).returncode == 2, "it is more than was agreed to"
        ended = call(tmp_path, "run", *around, "--yes", **key)
    assert (item["action"], item["reason"]) == ("submit", "failed (moderation_output): tried once more")
    assert ended.returncode == 0, ended.stderr
    assert len(Bill(tmp_path / "sim.db")) == 2


def test_why_a_finished_video_was_left_to_the_next_run_is_said(tmp_path: Path) -> None:
    page = SimulatedAnswer(200, {"Content-Type": "video/mp4"}, body="<html><body>Bad cache</body></html>")
    (tmp_path / "wide.yaml").write_text(PROFILE.replace("{ RENAMED }", "{}"))
    (tmp_path / "m.yaml").write_text("version: 1\nname: w\nprovider: wide\njobs: [{ id: a, prompt: A fox }]\n")
    with simulator(tmp_path / "sim.db", faults=[Fault(on="content", answer=page)]) as url:
        around = ("run", "m.yaml", "--profile", "wide.yaml", "--base-url", url, "--yes", "--json")
        ended = call(tmp_path, *around, WIDE_KEY="the-key-of-the-account")
    (job,) = json.loads(ended.stdout)["jobs"]
    assert (ended.returncode, job["state"], job["error"]["kind"]) == (69, "completed", "bad_output")
    assert "a#1 completed: what came is no video: Bad cache" in ended.stderr

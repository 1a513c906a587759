"""The whole language in one campaign: what the server is asked for, what the ledger keeps, where the videos lie."""

import base64
import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from gateway import Bill, Ended, call, simulator
from PIL import Image

MANIFEST = """\
version: 1
name: spring
provider: simulator
limits: { requests_per_minute: 6000, polls_per_second: 50 }
output: { filename: "{{ shard }}/{{ id }}.mp4" }
vars: { style: grainy }
x-look: &look { tags: [hero], metadata: { project: spring } }
defaults: { metadata: { team: a } }
include: [more/*.yaml]
jobs:
  - id: city
    <<: *look
    prompt: "A city at {{ time }}, {{ style }}"
    matrix: { time: [dawn, night], size: [1280x720, 720x1280], exclude: [{ time: dawn, size: 720x1280 }] }
    takes: 2
  - id: "cap-{{ row.key }}"
    from: captions.csv
    columns: { prompt: caption, seconds: length }
    keep_columns: [license]
  - id: "row-{{ row_number }}"
    from: rows.parquet
    keep_columns: [score, words]
  - id: mascot
    prompt: [The mascot waves, The mascot sleeps]
    input_reference: refs/mascot.png
  - { id: "off", enabled: false, prompt: Nobody sees this }
"""
NAMES = [
    "cap-a#1", "cap-b#1", "city@dawn-1280x720#1", "city@dawn-1280x720#2", "city@night-1280x720#1",
    "city@night-1280x720#2", "city@night-720x1280#1", "city@night-720x1280#2", "lake#1", "mascot@95feb29d#1",
    "mascot@9d824d7e#1", "row-1#1", "row-2#1",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "spring.yaml").write_text(MANIFEST)
    (tmp_path / "captions.csv").write_text('key,caption,length,license\na,A pier,4,MIT\nb,"A ship, far",8,CC0\n')
    rows = pa.table({"prompt": ["One", "Two"], "score": [0.5, 7.0], "words": [["a"], None]})
    pq.write_table(rows, tmp_path / "rows.parquet")
    (tmp_path / "more").mkdir()
    (tmp_path / "more/extra.yaml").write_text('version: 1\njobs: [{ id: lake, prompt: "A lake, {{ style }}" }]\n')
    (tmp_path / "refs").mkdir()
    Image.new("RGB", (1280, 720), "teal").save(tmp_path / "refs/mascot.png")
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[str]:
    with simulator(folder / "bill.db") as url:
        yield url


def run(folder: Path, server: str, *options: str) -> Ended:
    return call(folder, "run", "spring.yaml", "--base-url", server, *options)


def ledger(folder: Path) -> dict[str, dict[str, Any]]:
    with closing(sqlite3.connect(folder / "outputs/spring/ledger.db")) as connection:
        rows = connection.execute("SELECT name, state, metadata, path FROM jobs WHERE NOT orphaned ORDER BY name")
        return {name: {"state": state, "metadata": json.loads(data), "path": path} for name, state, data, path in rows}


def test_a_campaign_in_the_whole_language_is_rendered_as_it_says(folder: Path, server: str) -> None:
    ended = run(folder, server)
    assert (ended.returncode, ended.stdout) == (0, ""), ended.stderr
    assert "warning" not in ended.stderr
    jobs = ledger(folder)
    assert [name for name, job in jobs.items() if job["state"] == "done"] == NAMES
    assert jobs["off#1"]["state"] == "planned"
    asked = sorted((line["prompt"], line["size"], line["seconds"]) for line in Bill(folder / "bill.db").lines())
    assert asked == sorted(
        [
            *[("A city at dawn, grainy", "1280x720", "4")] * 2,
            *[("A city at night, grainy", "1280x720", "4")] * 2,
            *[("A city at night, grainy", "720x1280", "4")] * 2,
            ("A pier", "1280x720", "4"),
            ("A ship, far", "1280x720", "8"),
            ("A lake, grainy", "1280x720", "4"),
            ("One", "1280x720", "4"),
            ("Two", "1280x720", "4"),
            ("The mascot waves", "1280x720", "4"),
            ("The mascot sleeps", "1280x720", "4"),
        ]
    )
    image = base64.b64encode((folder / "refs/mascot.png").read_bytes())
    sent = {line.get("input_reference") for line in Bill(folder / "bill.db").lines()}
    assert sent == {None, f"sha256:{hashlib.sha256(image).hexdigest()}"}
    assert jobs["cap-b#1"]["metadata"] == {"team": "a", "license": "CC0"}
    assert jobs["row-1#1"]["metadata"] == {"team": "a", "score": 0.5, "words": ["a"]}
    assert jobs["city@dawn-1280x720#2"]["metadata"] == {"team": "a", "project": "spring"}
    shard = hashlib.sha256(b"city@dawn-1280x720").hexdigest()[:2]
    assert jobs["city@dawn-1280x720#2"]["path"] == f"videos/{shard}/city__dawn-1280x720-t2.mp4"
    assert all((folder / "outputs/spring" / job["path"]).is_file() for job in jobs.values() if job["path"])
    again = run(folder, server)
    assert again.returncode == 0
    assert len(Bill(folder / "bill.db")) == len(NAMES)


def test_what_is_kept_of_a_row_is_never_sent(folder: Path, server: str) -> None:
    run(folder, server, "--select", "cap-*")
    assert [line["metadata"] for line in Bill(folder / "bill.db").lines()] == [{"team": "a"}] * 2


def test_an_image_that_changes_is_another_job_and_a_data_url_of_its_bytes_the_same(folder: Path, server: str) -> None:
    assert run(folder, server, "--select", "mascot@*").returncode == 0
    image = folder / "refs/mascot.png"
    url = f"data:image/png;base64,{base64.b64encode(image.read_bytes()).decode()}"
    (folder / "spring.yaml").write_text(MANIFEST.replace("refs/mascot.png", url))
    assert run(folder, server, "--select", "mascot@*").returncode == 0
    assert len(Bill(folder / "bill.db")) == 2
    Image.new("RGB", (1280, 720), "red").save(image)
    (folder / "spring.yaml").write_text(MANIFEST)
    assert run(folder, server, "--select", "mascot@*").returncode == 0
    assert len(Bill(folder / "bill.db")) == 4


def test_a_job_that_is_switched_off_is_fetched_if_it_is_paid_and_never_submitted(folder: Path, server: str) -> None:
    assert run(folder, server, "--select", "off").returncode == 0
    assert len(Bill(folder / "bill.db")) == 0
    (folder / "spring.yaml").write_text(MANIFEST.replace("false", "true"))
    assert run(folder, server, "--select", "off").returncode == 0
    (video,) = (folder / "outputs/spring/videos").rglob("off-t1.mp4")
    video.unlink()
    (folder / "spring.yaml").write_text(MANIFEST)
    plan = json.loads(call(folder, "plan", "spring.yaml", "--json").stdout)
    assert [(job["action"], job["orphaned"]) for job in plan["jobs"] if job["job"] == "off#1"] == [("continue", False)]
    assert run(folder, server, "--select", "lake").returncode == 0
    assert video.is_file()


def planned(folder: Path, *options: str) -> list[str]:
    plan = json.loads(call(folder, "plan", "spring.yaml", "--json", *options).stdout)
    return [job["job"] for job in plan["jobs"] if job["action"] == "submit"]


def test_a_sample_is_drawn_by_its_seed_out_of_what_is_selected_and_enabled(folder: Path) -> None:
    first = planned(folder, "--sample", "4", "--seed", "1")
    assert len(first) == 4
    assert first == planned(folder, "--sample", "4", "--seed", "1")
    assert len({tuple(planned(folder, "--sample", "4", "--seed", str(seed))) for seed in range(5)}) > 1
    everything = planned(folder)
    assert first == [name for name in everything if name in first]
    assert planned(folder, "--sample", "100") == everything
    assert "off#1" not in everything
    assert set(planned(folder, "--sample", "3", "--select", "tag:hero")) < {
        n for n in everything if n.startswith("city")
    }
    assert planned(folder, "--sample", "5", "--limit", "2") == planned(folder, "--sample", "5")[:2]


def test_a_sample_hardly_changes_when_jobs_are_added(folder: Path) -> None:
    before = planned(folder, "--sample", "6")
    (folder / "more/late.yaml").write_text("version: 1\njobs: [{ id: late, prompt: Late }]\n")
    assert len(set(before) - set(planned(folder, "--sample", "6"))) <= 1


def test_a_budget_of_the_manifest_is_kept_and_the_command_line_goes_before_it(folder: Path, server: str) -> None:
    budgeted = MANIFEST.replace("vars:", "budget: { max_cost: 1.2, currency: USD }\nvars:")
    (folder / "spring.yaml").write_text(budgeted)
    ended = run(folder, server, "--price", "0.1", "--yes", "--select", "city*")
    assert ended.returncode == 6
    assert len(Bill(folder / "bill.db")) == 3
    assert run(folder, server, "--price", "0.1", "--yes", "--select", "city*", "--max-cost", "2").returncode == 6
    assert len(Bill(folder / "bill.db")) == 5
    (folder / "spring.yaml").write_text(budgeted.replace("USD", "EUR"))
    refused = call(folder, "validate", "spring.yaml")
    assert refused.returncode == 2
    assert "spring.yaml:6:36: error[budget]" in refused.stdout


def test_a_budget_needs_prices(folder: Path) -> None:
    manifest = MANIFEST.replace("simulator", "znapai").replace("vars:", "budget: { max_cost: 1.2 }\nvars:")
    (folder / "spring.yaml").write_text(manifest)
    checked = call(folder, "validate", "spring.yaml")
    assert checked.returncode == 0
    assert "spring.yaml:6:1: warning[budget]" in checked.stdout
    refused = call(folder, "run", "spring.yaml", "--yes", ZNAPAI_API_KEY="sk-no-key-at-all")
    assert refused.returncode == 2
    assert "the manifest's budget cannot hold" in refused.stderr
    said = call(folder, "plan", "spring.yaml", "--json", "--price", "0.5", "--select", "cap-*").stdout
    cost = json.loads(said)["cost"]
    assert (cost["currency"], cost["cost"], cost["unknown_price_jobs"]) == ("USD", 6.0, 0)


OWN = """\
name: own
title: Own
base_url: http://127.0.0.1:9/v1
auth: { scheme: none }
request:
  schema: sora-request.schema.json
  defaults: { model: sora-2, size: 1280x720, seconds: "4" }
  extra_body: true
poll: { first: 0.1, interval: 0.1, slowest: 0.5 }
limits: { requests_per_minute: 6000, max_in_flight: 20, polls_per_second: 50, downloads: 4 }
"""
EXTRA = """\
version: 1
name: spring
provider: own
defaults: { extra_body: { seed: 7, steps: 20 } }
jobs:
  - { id: a, prompt: x, extra_body: { steps: 30 } }
  - { id: b, prompt: x, extra_body: { steps: "{{ steps }}" } , matrix: { steps: [a, b] } }
"""


def test_further_fields_are_part_of_the_request_where_the_profile_takes_them(folder: Path) -> None:
    (folder / "own.yaml").write_text(OWN)
    (folder / "spring.yaml").write_text(EXTRA)
    plan = json.loads(call(folder, "plan", "spring.yaml", "--json", "--profile", "own.yaml").stdout)
    common = {"model": "sora-2", "size": "1280x720", "seconds": "4", "prompt": "x", "seed": 7}
    assert {job["job"]: job["request"] for job in plan["jobs"]} == {
        "a#1": {**common, "steps": 30},
        "b@a#1": {**common, "steps": "a"},
        "b@b#1": {**common, "steps": "b"},
    }
    (folder / "own.yaml").write_text(OWN.replace("  extra_body: true\n", ""))
    refused = call(folder, "validate", "spring.yaml", "--profile", "own.yaml").stdout
    assert [line.split(" ")[:2] for line in refused.splitlines() if line.startswith("spring")] == [
        ["spring.yaml:6:25:", "error[unsupported]:"],
        ["spring.yaml:7:25:", "error[unsupported]:"],
    ]


@pytest.mark.parametrize(
    ("value", "rule", "words"),
    [
        ("refs/no.png", "image", "No such file"),
        ("spring.yaml", "image", "neither PNG nor JPEG nor WebP"),
        ("../outside.png", "image", "outside the manifest's folder"),
        ("refs", "image", "Is a directory"),
        ("http://example.com/a.png", "image", "https://"),
        ("data:image/png;base64,AAAA", "image", "neither PNG"),
        ("refs/small.png", "image-size", "64x48 pixels"),
    ],
)
def test_an_image_that_cannot_be_sent_is_told_at_its_place(folder: Path, value: str, rule: str, words: str) -> None:
    Image.new("RGB", (64, 48)).save(folder / "refs/small.png")
    Image.new("RGB", (1280, 720)).save(folder.parent / "outside.png")
    (folder / "spring.yaml").write_text(MANIFEST.replace("refs/mascot.png", value))
    said = call(folder, "validate", "spring.yaml").stdout
    assert f"spring.yaml:25:22: error[{rule}]: " in said
    assert words in said
    assert said.count("error[") == 1


def test_what_the_ledger_remembers_holds_from_the_first_look(folder: Path, server: str) -> None:
    text = 'version: 1\nname: spring\nprovider: simulator\nvars: { len: "5" }\n'
    (folder / "spring.yaml").write_text(text + 'jobs: [{ id: a, prompt: x, seconds: "{{ len }}" }]\n')
    assert run(folder, server, "--var", "len=4").returncode == 0
    assert planned(folder) == []
    explained = call(folder, "explain", "spring.yaml", "--job", "a")
    assert "--var len, as the ledger remembers" in explained.stdout
    with closing(sqlite3.connect(folder / "outputs/spring/ledger.db")) as connection:
        (known,) = connection.execute("SELECT request_hash FROM jobs").fetchone()
    assert f"sha256 {known}" in explained.stdout
    assert call(folder, "validate", "spring.yaml").returncode == 2


def test_jobs_with_one_prompt_are_told_apart_and_those_with_one_request_are_warned_of(folder: Path) -> None:
    text = "version: 1\nname: spring\nprovider: simulator\njobs:\n"
    sizes = {"a": "1280x720", "b": "720x1280", "c": "720x1280"}
    (folder / "spring.yaml").write_text(
        text + "".join(f"  - {{ id: {i}, prompt: x, size: {s} }}\n" for i, s in sizes.items())
    )
    said = call(folder, "validate", "spring.yaml").stdout
    assert "spring.yaml:7:5: warning[same-request]: c is the same request as b at spring.yaml:6:5" in said
    assert said.count("warning[") == 1

"""Why will this run? One field of the manifest after the other is changed, and the plan names it, and nothing else."""

import json
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from gateway import call
from jsonschema import Draft202012Validator

from pipeline import shipped
from pipeline.blocking import inline
from pipeline.events import Accepted, Completed, Intended, Published, Verified
from pipeline.instructions import Options, Profiles
from pipeline.jobs import State
from pipeline.ledger.store import SqliteLedger
from pipeline.preparation import prepare

STUDIO = """\
name: studio
title: Studio
base_url: http://127.0.0.1:9/v1
auth: { scheme: none }
request:
  schema: { properties: { model: {}, prompt: {}, size: {}, seconds: {}, guidance: {} } }
  defaults: { model: sora-2, size: 1280x720, seconds: "4" }
  extra_body: true
  input_reference: { url: { as: text } }
poll: { first: 0.1, interval: 0.1, slowest: 0.5 }
limits: { requests_per_minute: 60, max_in_flight: 2, polls_per_second: 50, downloads: 4 }
price: { currency: EUR, per_second: { sora-2: 0.1 } }
"""
MANIFEST = """\
version: 1
name: spring
provider: studio
vars: { style: grainy }
defaults: { metadata: { project: spring } }
jobs:
  - id: still
    prompt: A lighthouse
  - id: fox
    enabled: true
    prompt: "A fox, {{ style }}"
    model: sora-2
    size: 1280x720
    seconds: "4"
    input_reference: https://pictures.test/fox.png
    metadata: { client: zoo }
    tags: [hero]
    takes: 2
    extra_body: { guidance: { scale: 3 } }
  - id: "{{ row.key }}"
    from: rows.csv
    columns: { prompt: caption }
    keep_columns: [note]
  - id: sky
    prompt: "A sky at {{ hour }}"
    matrix: { hour: [dawn, noon] }
"""
ROWS = "key,caption,title,note\nowl,An owl,Owl,old\n"
MORE_ROWS = "key,caption,title,note\nowl,An owl,Owl,old\nelk,An elk,Elk,new\n"


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A campaign in which everything is done."""
    tmp_path = tmp_path_factory.mktemp("rendered")
    for name, text in (("spring.yaml", MANIFEST), ("studio.yaml", STUDIO), ("rows.csv", ROWS), ("more.csv", MORE_ROWS)):
        (tmp_path / name).write_text(text)
    anyio.run(_render, tmp_path)
    return tmp_path


@pytest.fixture
def folder(rendered: Path, tmp_path: Path) -> Path:
    """The same, for one test."""
    return shutil.copytree(rendered, tmp_path / "work")


async def _render(folder: Path) -> None:
    options = Options(folder / "outputs", profiles=Profiles(folder / "studio.yaml"))
    prepared = prepare(folder / "spring.yaml", options)
    prepared.campaign.outputs.make()
    with closing(SqliteLedger.create_or_open(prepared.campaign.ledger, now=lambda: 9.0, blocking=inline)) as ledger:
        await ledger.enrol(prepared.loaded.specs, settings={"name": "spring", "provider": "studio"})
        for number, planned in enumerate([job async for job in ledger.jobs({State.PLANNED})]):
            job = planned
            path = f"videos/{job.output}"
            key, url = f"key-{number}", "http://127.0.0.1:9/v1"
            file = prepared.campaign.folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"mp4")
            for event in (
                Intended(attempt=1, idempotency_key=key, base_url=url, key_fingerprint=None, price=0.4, intended_at=1),
                Accepted(video_id=f"v{number}", status="queued", submitted_at=2.0),
                Completed(status="completed", expires_at=None),
                Verified(sha256="ab", bytes=3),
                Published(path=path),
            ):
                job = await ledger.record(job, event)


def plan(folder: Path, *words: str) -> dict[str, Any]:
    ended = call(folder, "plan", "spring.yaml", "--profile", "studio.yaml", "--json", *words)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    document = json.loads(ended.stdout)
    Draft202012Validator(shipped.schema("plan")).validate(document)
    return dict(document)


def dirty(document: dict[str, Any]) -> dict[str, Any]:
    """What is not done any more, each with its reason, or with what has changed from what to what, and where."""
    return {
        job["job"]: [
            (".".join(one["path"]), one["old"], one["new"], [source.get("line") for source in one["sources"]])
            for one in job["changes"]
        ]
        or job["why"]
        for job in document["jobs"]
        if job["why"] not in {"done", "orphaned"}
    }


def put(old: str, new: str) -> Callable[[str], str]:
    def edit(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return edit


def both(changes: list[Any]) -> dict[str, Any]:
    return {"fox#1": changes, "fox#2": changes}


PIXELS: dict[str, tuple[Callable[[str], str], dict[str, Any]]] = {
    "enabled": (put("enabled: true", "enabled: false"), {}),
    "prompt": (
        put("A fox, {{ style }}", "A vixen, {{ style }}"),
        both([("prompt", "A fox, grainy", "A vixen, grainy", [11, 4])]),
    ),
    "model": (put("model: sora-2", "model: sora-3"), both([("model", "sora-2", "sora-3", [12])])),
    "size": (put("1280x720", "720x1280"), both([("size", "1280x720", "720x1280", [13])])),
    "seconds": (put('"4"', '"8"'), both([("seconds", "4", "8", [14])])),
    "input_reference": (
        put("fox.png", "vixen.png"),
        both(
            [("input_reference", "https://pictures.test/fox.png", "https://pictures.test/vixen.png", [15])],
        ),
    ),
    "takes": (put("takes: 2", "takes: 3"), {"fox#3": "take"}),
    "extra_body": (put("scale: 3", "scale: 4"), both([("guidance.scale", 3, 4, [19])])),
    "matrix": (put("[dawn, noon]", "[dawn, noon, night]"), {"sky@night#1": "new"}),
    "from": (put("rows.csv", "more.csv"), {"elk#1": "new"}),
    "columns": (put("prompt: caption", "prompt: title"), {"owl#1": [("prompt", "An owl", "Owl", [2, 22])]}),
    "vars": (put("grainy", "sharp"), both([("prompt", "A fox, grainy", "A fox, sharp", [11, 4])])),
    "defaults": (
        put("defaults: { ", 'defaults: { seconds: "12", '),
        {name: [("seconds", "4", "12", [5])] for name in ("still#1", "owl#1", "sky@dawn#1", "sky@noon#1")},
    ),
}
"""What a field's change comes to: jobs that are sent anew. What is disabled and done stays done."""

NOTHING: dict[str, Callable[[str], str]] = {
    "metadata": put("client: zoo", "client: museum"),
    "tags": put("[hero]", "[villain, b]"),
    "keep_columns": put("[note]", "[note, title]"),
    "comments": put("jobs:\n", "# A comment\njobs:  # and another\n"),
    "order": lambda text: (
        text[: text.index("  - id: still")]
        + text[text.index("  - id: fox") :]
        + text[text.index("  - id: still") : text.index("  - id: fox")]
    ),
    "layout": put('    prompt: "A fox, {{ style }}"\n', "    prompt: >-\n      A fox,\n      {{ style }}\n"),
    "limits": put("vars:", "limits: { max_in_flight: 9 }\nbudget: { max_cost: 99, max_videos: 9 }\nvars:"),
    "retry": put("vars:", "retry: { on: [server] }\nvars:"),
    "the profile's default, written down": put("prompt: A lighthouse\n", 'prompt: A lighthouse\n    seconds: "4"\n'),
}
OTHERWISE = {"id"}
"""Fields with a test of their own."""


def test_every_field_of_a_job_is_changed_here() -> None:
    fields = set(shipped.schema("manifest")["properties"]["jobs"]["items"]["properties"])
    assert fields == (PIXELS.keys() | NOTHING.keys() | OTHERWISE) & fields


def test_nothing_is_dirty_where_nothing_was_changed(folder: Path) -> None:
    document = plan(folder)
    assert dirty(document) == {}
    assert document["counts"]["nothing"] == len(document["jobs"]) == 6


@pytest.mark.parametrize("field", PIXELS)
def test_a_change_is_named_with_its_job_its_field_the_old_value_the_new_one_and_the_line(
    folder: Path, field: str
) -> None:
    edit, expected = PIXELS[field]
    (folder / "spring.yaml").write_text(edit(MANIFEST))
    assert dirty(plan(folder)) == expected


@pytest.mark.parametrize("field", NOTHING)
def test_what_does_not_affect_the_picture_turns_nothing_dirty(folder: Path, field: str) -> None:
    (folder / "spring.yaml").write_text(NOTHING[field](MANIFEST))
    document = plan(folder)
    assert dirty(document) == {}
    assert document["counts"]["nothing"] == 6


def test_jobs_in_a_file_of_their_own_are_the_same_jobs(folder: Path) -> None:
    head, jobs = MANIFEST.split("jobs:\n")
    (folder / "shots.yaml").write_text(f"version: 1\njobs:\n{jobs}")
    (folder / "spring.yaml").write_text(f"{head}include: [shots.yaml]\n")
    assert dirty(plan(folder)) == {}


def test_another_id_is_a_new_name_and_costs_nothing(folder: Path) -> None:
    (folder / "spring.yaml").write_text(put("id: fox", "id: vixen")(MANIFEST))
    document = plan(folder)
    assert dirty(document) == {}
    assert [job["reason"] for job in document["jobs"] if job["job"] == "vixen#2"] == ["done; was called fox#2"]
    assert document["cost"]["cost"] == 0


def test_a_row_that_was_changed_is_named_by_its_own_line(folder: Path) -> None:
    (folder / "rows.csv").write_text(ROWS.replace("An owl", "A barn owl"))
    assert dirty(plan(folder)) == {"owl#1": [("prompt", "An owl", "A barn owl", [2, 22])]}


def test_a_variable_that_is_given_says_so(folder: Path) -> None:
    document = plan(folder, "--var", "style=noir")
    changed = [source for job in document["jobs"] for one in job["changes"] for source in one["sources"]]
    assert {"name": "style", "word": "--var style"} in changed


def test_people_are_shown_old_and_new_and_the_place(folder: Path) -> None:
    (folder / "spring.yaml").write_text(MANIFEST.replace("A fox", "A vixen"))
    said = call(folder, "plan", "spring.yaml", "--profile", "studio.yaml").stdout
    assert (
        "fox#1, fox#2\n    prompt: A fox, grainy -> A vixen, grainy  spring.yaml:11:13; style from spring.yaml:4:16"
        in said
    )
    assert "Cost of what is submitted: 0.80 EUR" in said
    assert "Before: Spent 2.40 EUR." in said
    assert "Time: about 8 s (60 a minute, 2 at a time)" in said, "as long as the renders of the ledger took"
    assert "POST http://127.0.0.1:9/v1/videos" in said
    assert (
        '{"guidance":{"scale":3},"input_reference":"https://pictures.test/fox.png","model":"sora-2","prompt":"A vixen'
        in said
    )


def test_a_file_that_is_missing_or_damaged_is_a_reason(folder: Path) -> None:
    videos = folder / "outputs" / "spring" / "videos"
    (videos / "fox-t1.mp4").unlink()
    (videos / "fox-t2.mp4").write_bytes(b"longer than it was")
    assert dirty(plan(folder)) == {"fox#1": "missing", "fox#2": "damaged"}

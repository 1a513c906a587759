"""``callsheet report`` of real campaigns: after a run, during one, picked and rejected, without the extra."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import anyio
import pytest
from gateway import ENVIRONMENT, Ended, call, gateway, simulator
from jsonschema import Draft202012Validator

from pipeline import shipped
from pipeline.instructions import Options
from pipeline.reporting import report

MANIFEST = """\
version: 1
name: "trip"
provider: simulator
limits: { requests_per_minute: 6000, polls_per_second: 50 }
jobs:
  - { id: fox, prompt: "A fox <script>alert(1)</script>", takes: 2, tags: [hero] }
  - { id: finale, prompt: The end, seconds: "8" }
"""


def data_of(page: Path) -> dict[str, Any]:
    """What the page's script reads."""
    text = page.read_text("utf-8").partition('<script type="application/json" id="data">')[2]
    found: dict[str, Any] = json.loads(text.partition("</script>")[0])
    return found


def frames(page: Path) -> dict[str, dict[str, Any]]:
    return {frame["key"]: frame for frame in data_of(page)["jobs"]}


def said(folder: Path, *arguments: str) -> dict[str, Any]:
    ended = call(folder, "report", *arguments, "--json")
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    Draft202012Validator(shipped.schema("report")).validate(found)
    return found


def run(folder: Path, url: str) -> Ended:
    return call(folder, "run", "trip.yaml", "--base-url", url, "--yes")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A campaign, done, and what a report told that was made when the first video was asked for."""
    folder = tmp_path_factory.mktemp("report of #1")
    (folder / "trip.yaml").write_text(MANIFEST)
    during: list[dict[str, Any]] = []

    def meddle(method: str, path: str, act: Callable[[], Any]) -> Any:
        if path.endswith("/content") and not during:
            page = folder / "during.html"
            anyio.run(report, folder / "outputs" / "trip", Options(), page)
            during.append(data_of(page))
        return act()

    with simulator(folder / "bill.db") as upstream, gateway(upstream.removesuffix("/v1")) as front:
        front.meddle = meddle
        ended = run(folder, front.url)
    assert ended.returncode == 0, ended.stderr
    return folder, during[0]


def test_a_page_can_be_made_while_the_run_goes_on(finished: tuple[Path, dict[str, Any]]) -> None:
    states = [job["state"] for job in finished[1]["jobs"]]
    assert len(states) == 3
    assert "done" not in states
    assert "completed" in states


def test_the_page_has_every_job_with_its_video_its_thumbnail_and_its_story(
    finished: tuple[Path, dict[str, Any]],
) -> None:
    folder, _ = finished
    found = said(folder, "trip.yaml")
    page = Path(found["page"])
    assert page == folder / "outputs" / "trip" / "report.html"
    assert (found["jobs"], found["videos"], found["missing"], found["thumbnails"]) == (3, 3, 0, 3)
    assert (found["bytes"], found["note"]) == (page.stat().st_size, None)
    fox = frames(page)["fox#2"]
    assert (fox["shot"], fox["take"], fox["state"], fox["tags"]) == ("fox", 2, "done", ["hero"])
    assert fox["prompt"] == "A fox <script>alert(1)</script>"
    assert fox["poster"].startswith("data:image/webp;base64,")
    assert (page.parent / unquote(fox["url"])).read_bytes()[4:8] == b"ftyp"
    told = [kind for _, kind, _ in fox["events"]]
    assert (told[0], told[-1]) == ("intended", "published")
    assert f"The server took it, as {fox['video_id']}" in fox["events"][1][2]
    assert page.read_text("utf-8").count("</script>") == 2


def test_elsewhere_the_page_leads_to_the_videos_where_they_are(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder, _ = finished
    page = Path(said(folder, "outputs/trip", "--to", str(tmp_path / "of today.html"))["page"])
    url = frames(page)["finale#1"]["url"]
    assert "%231" in url, "the folder's name has a #"
    assert (tmp_path / unquote(url)).resolve().parent == (folder / "outputs" / "trip" / "videos").resolve()


def test_a_page_is_there_whole_or_not_at_all(finished: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder, _ = finished
    ended = call(folder, "report", "trip.yaml", "--to", str(tmp_path / "no" / "such" / "page.html"))
    assert ended.returncode == 5
    assert "No such file or directory" in ended.stderr
    assert list(tmp_path.iterdir()) == []
    ended = call(folder, "report", str(tmp_path))
    assert ended.returncode == 5
    assert "there is no ledger" in ended.stderr


def test_a_page_takes_the_place_of_a_page_and_of_nothing_else(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder = tmp_path / "work"
    shutil.copytree(finished[0], folder)
    own = folder / "notes.html"
    own.write_text("<!doctype html>\n<p>mine</p>")
    (folder / "a folder").mkdir()
    (folder / "linked").symlink_to("outputs/trip")
    (folder / "dangling").symlink_to("nothing")
    os.mkfifo(folder / "pipe")
    places = [
        "trip.yaml",
        "notes.html",
        "a folder",
        "dangling",
        "pipe",
        "outputs/trip/ledger.db",
        "linked/ledger.lock",
        "linked/videos/fox-t1.mp4",
        "outputs/trip/videos/new.html",
        "outputs/trip/inputs/new.html",
    ]
    before = {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    for place in places:
        ended = call(folder, "report", "trip.yaml", "--to", place)
        assert (ended.returncode, place in ended.stderr) == (2, True), ended.stderr
    assert {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()} == before
    assert (folder / "pipe").is_fifo()
    for _ in range(2):
        assert said(folder, "trip.yaml", "--to", "page.html")["videos"] == 3


def test_it_knows_what_was_picked_what_was_rejected_and_what_is_gone(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder = shutil.copytree(finished[0], tmp_path / "mine")
    assert call(folder, "pick", "trip.yaml", "fox#1").returncode == 0
    assert call(folder, "reject", "trip.yaml", "fox#2").returncode == 0
    page = Path(said(folder, "trip.yaml")["page"])
    fox, other, finale = frames(page)["fox#1"], frames(page)["fox#2"], frames(page)["finale#1"]
    assert (fox["picked"], "picked" in other) == (True, False)
    assert other["state"] == "planned"
    (old,) = other["rejected"]
    assert (page.parent / unquote(old["url"])).exists()
    assert old["poster"]

    (page.parent / finale["path"]).rename(folder / "finale.mp4")
    found = said(folder, "trip.yaml")
    (folder / "finale.mp4").rename(page.parent / finale["path"])
    assert (found["videos"], found["missing"]) == (2, 1)
    assert "url" not in frames(page)["finale#1"]


def test_without_the_extra_there_is_a_page_without_thumbnails(finished: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = finished
    lacking = "import sys; sys.modules['av'] = None; from pipeline.cli import main; sys.exit(main(sys.argv[1:]))"
    ended = subprocess.run(
        [sys.executable, "-c", lacking, "report", "trip.yaml", "--to", "bare.html"],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert 'pip install "callsheet[report]"' in ended.stdout
    fox = frames(folder / "bare.html")["fox#1"]
    assert fox["url"]
    assert "poster" not in fox
    assert "There are no thumbnails" in (folder / "bare.html").read_text("utf-8")

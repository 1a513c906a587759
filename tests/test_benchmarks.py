"""The benchmarks themselves: what they print and end with, and that work that was not done is not measured."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from benchmarks import material
from benchmarks.cases import runner
from benchmarks.processes import Server, serving
from benchmarks.rows import Broken, Row, cheaper
from benchmarks.suite import Bench, report

ROOT = Path(__file__).parent.parent


def fine(bench: Bench) -> Sequence[Row]:
    (bench.scratch / "video.mp4").write_bytes(b"a video")
    return [cheaper("fine", "CPU ms", [2.0], [8.0], "the peer", least=3)]


def missed(bench: Bench) -> Sequence[Row]:
    return [cheaper("missed", "CPU ms", [4.0], [8.0], "the peer", least=3)]


def lazy(bench: Bench) -> Sequence[Row]:
    raise Broken("the server saw nothing")


def wrong(bench: Bench) -> Sequence[Row]:
    raise ZeroDivisionError


def test_a_missed_goal_is_a_fact_and_a_broken_benchmark_an_error_that_hides_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench, file = Bench(tmp_path, 1, short=True), tmp_path / "rows.json"
    assert report({"fine": fine, "missed": missed}, bench, file) == 0
    table = capsys.readouterr().out.splitlines()
    assert [line.split()[:8] for line in table[-2:]] == [
        ["fine", "2", "8", "CPU", "ms", "4x", ">=", "3x"],
        ["missed", "4", "8", "CPU", "ms", "2x", ">=", "3x"],
    ]
    assert [("yes" in line, "NO" in line) for line in table[-2:]] == [(True, False), (False, True)]
    assert [(row["benchmark"], row["ratio"], row["met"]) for row in json.loads(file.read_bytes())["rows"]] == [
        ("fine", 4.0, True),
        ("missed", 2.0, False),
    ]
    again = Bench(tmp_path / "again", 1, short=True)
    again.scratch.mkdir()
    assert report({"lazy": lazy, "wrong": wrong, "fine": fine}, again, file) == 1
    told = capsys.readouterr().out
    assert "fine" in told
    assert told.endswith("broken: lazy, wrong\n")
    assert json.loads(file.read_bytes())["broken"] == ["lazy", "wrong"]


def test_what_was_measured_in_is_emptied_and_not_deleted(tmp_path: Path) -> None:
    report({"fine": fine}, Bench(tmp_path, 1, short=True), None)
    assert (tmp_path / "fine" / "video.mp4").read_bytes() == b""


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"moving pictures")
    return path


def asked(server: Server, path: str = "", body: Mapping[str, Any] | None = None, key: str = "") -> bytes:
    data = None if body is None else json.dumps(body).encode()
    request = Request(f"{server.url}/videos{path}", data, {"Idempotency-Key": key} if key else {})  # ours
    with urlopen(request, timeout=10) as answer:  # as above
        found: bytes = answer.read()
    return found


def test_the_mock_server_sees_what_was_done_twice_and_what_was_not_done(clip: Path) -> None:
    with serving(clip, polls=1) as server:
        first = json.loads(asked(server, body={"prompt": "a"}, key="one"))["id"]
        assert server.seen()["doubles"] == 0
        asked(server, body={"prompt": "b"}, key="one")
        assert server.seen()["doubles"] == 1, "the same key"
        asked(server, body={"prompt": "a"}, key="two")
        assert server.seen()["doubles"] == 2, "the same prompt"
        with pytest.raises(HTTPError, match="404"):
            asked(server, f"/{first}/content")
        asked(server, f"/{first}")
        assert asked(server, f"/{first}/content") == clip.read_bytes() + first.encode()
        seen = server.seen()
    told = [seen[name] for name in ("jobs", "polls", "errors", "least_polls", "least_bytes")]
    assert told == [3, 1, 1, 0, 0]


SEEN = {"jobs": 2, "doubles": 0, "errors": 0, "least_bytes": 64, "most_bytes": 64, "clip": 64, "least_polls": 3}


@pytest.mark.parametrize(
    ("wrong", "files"),
    [
        ({"jobs": 1}, [64, 64]),
        ({"doubles": 1}, [64, 64]),
        ({"errors": 1}, [64, 64]),
        ({"least_bytes": 0}, [64, 64]),
        ({"most_bytes": 128}, [64, 64]),
        ({"clip": 32}, [64, 64]),
        ({"least_polls": 2}, [64, 64]),
        ({}, [64]),
        ({}, [64, 63]),
    ],
)
def test_a_side_that_did_not_do_all_of_the_work_breaks_the_benchmark(wrong: dict[str, int], files: list[int]) -> None:
    runner.check(SEEN, [64, 64], 2, 64)
    with pytest.raises(Broken):
        runner.check({**SEEN, **wrong}, files, 2, 64)


def test_prompts_differ_so_that_no_two_jobs_are_alike() -> None:
    assert len({material.prompt(number) for number in range(1000)}) == 1000


def test_an_environment_within_the_repository_is_refused() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "run.py"), "--venv", str(ROOT / "venv")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "inside the repository" in ended.stderr
    assert not (ROOT / "venv").exists()

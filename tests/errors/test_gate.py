"""The gate of the error parser: what a person read in each answer is what the program finds there."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.classes import Asked, classify
from pipeline.jobs import Failure, FailureKind
from pipeline.videos import Status, parse_video

CASES: list[dict[str, Any]] = yaml.load(Path(__file__).with_name("cases.yaml").read_text("utf-8"), yaml.CSafeLoader)

#: Classes that no answer has: what never left, and what is ours.
SILENT = {FailureKind.NOT_SENT, FailureKind.STUCK, FailureKind.ABANDONED}


def failure_of(asked: str, status: int, headers: dict[str, str], body: bytes) -> Failure:
    """What the client makes of an answer: the Video in it goes first, whatever the status."""
    video = parse_video(body) if asked == "status" else None
    if video is None:
        return classify(Asked[asked.upper()], status, headers, body)
    assert video.status is Status.FAILED
    assert video.failure is not None
    return video.failure


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_what_a_person_read_is_what_is_found(case: dict[str, Any]) -> None:
    failure = failure_of(case["asked"], case["status"], case.get("headers", {}), case["body"].encode())
    found = {"class": failure.kind.value, "param": failure.param, "code": failure.code}
    assert found == {key: case[key] for key in found}
    assert case["shows"] in failure.message
    for noise in case.get("hides", ()):
        assert noise not in failure.message


def test_the_gate_is_wide() -> None:
    assert len({case["name"] for case in CASES}) == len(CASES) >= 85
    assert {FailureKind(case["class"]) for case in CASES} == set(FailureKind) - SILENT
    assert {case["asked"].upper() for case in CASES} == set(Asked.__members__)

"""The recorded answers of two versions of a gateway, read in place, against what a person read in them."""

import json
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml
from errors.test_gate import failure_of

PAIRS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "litellm_pairs.jsonl"
LABELS: list[dict[str, Any]] = yaml.load(Path(__file__).with_name("recorded.yaml").read_text("utf-8"), yaml.CSafeLoader)
WRAPPING = re.compile(r'litellm\.[A-Z]|Exception|Model Group|\{"error')

pytestmark = pytest.mark.skipif(not PAIRS.exists(), reason="the recorded gateway answers are not on this machine")


def answers() -> Iterator[tuple[int, dict[str, Any], dict[str, Any]]]:
    """Every answer that is no 200, with its only label. One that never came is none."""
    for line in PAIRS.read_text("utf-8").splitlines():
        pair = json.loads(line)
        if pair["response"]["status"] in {200, None}:
            continue
        fitting = [
            number
            for number, label in enumerate(LABELS)
            if fnmatchcase(pair["gateway"], label["gateway"]) and fnmatchcase(pair["case"], label["case"])
        ]
        assert len(fitting) == 1, f"{pair['gateway']} {pair['case']} has {len(fitting)} labels"
        yield fitting[0], LABELS[fitting[0]], pair


def test_every_answer_is_what_a_person_read_in_it() -> None:
    wrong, used = [], set()
    for number, label, pair in answers():
        used.add(number)
        answer = pair["response"]
        body = answer["body"] if isinstance(answer["body"], str) else json.dumps(answer["body"])
        failure = failure_of(label["asked"], answer["status"], answer["headers"], body.encode())
        found, expected = (failure.kind.value, failure.param), (label["class"], label.get("param"))
        if found != expected or WRAPPING.search(failure.message):
            wrong.append((pair["gateway"], pair["case"], found, expected, failure.message[:300]))
    assert not wrong
    assert used == set(range(len(LABELS))), "a label without an answer"

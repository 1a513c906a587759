"""20,000 mutated manifests, in parts that several processes share. More of them: ``python tests/fuzz/manifests.py``."""

from collections import Counter
from pathlib import Path
from random import Random

import pytest
from fuzz import manifests, mutation, promises

SEED = 20260101
PART = 1_000
#: What a part must have met, or it looks at nothing.
MET = {
    *("good", "syntax", "unknown-key", "missing-key", "wrong-type", "undefined-name", "alias", "duplicate-key"),
    *("ragged-row", "table-syntax"),
}


@pytest.mark.parametrize("part", range(20))
def test_whatever_is_written_ends_with_jobs_or_with_problems_at_their_places(part: int, tmp_path: Path) -> None:
    rules = Counter[str]()
    numbers = range(part * PART, (part + 1) * PART)
    found = [*manifests.failures(tmp_path, numbers, SEED, rules)]
    assert not found, f"python tests/fuzz/manifests.py --seed {SEED} --first {found[0][0]} --cases 1\n{found[0][2]}"
    assert rules.keys() >= MET
    assert len(rules) > 30


@pytest.mark.parametrize("example", mutation.examples(), ids=lambda example: example.manifest)
def test_what_is_mutated_is_good(example: mutation.Example, tmp_path: Path) -> None:
    manifests.write(tmp_path, example.files, {})
    loaded, problems = promises.outcome(tmp_path / example.manifest)
    assert loaded
    assert promises.judged(tmp_path / example.manifest, loaded, problems) == []


def test_a_case_is_made_by_its_seed_and_number_alone() -> None:
    known = mutation.examples()
    again = mutation.examples.__wrapped__()
    assert manifests.case(4711, SEED, known) == manifests.case(4711, SEED, again)
    assert len({str(manifests.case(number, SEED, known)) for number in range(100)}) > 95


@pytest.mark.parametrize("change", mutation.CHANGES)
def test_every_way_to_change_a_file_changes_it_and_takes_an_empty_one(change: mutation.Change) -> None:
    data = mutation.examples()[0].files["anchors.yaml"]
    assert len({change(data, Random(number)) for number in range(50)}) > 5
    assert isinstance(change(b"", Random(1)), bytes)

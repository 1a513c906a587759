"""A manifest that was built in code is read as a file with the same content would be."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as some

from pipeline import files
from pipeline.errors import ManifestError, UsageError


def manifest(**job: Any) -> dict[str, Any]:
    return {"version": 1, "name": "built", "provider": "simulator", "jobs": [{"id": "a", "prompt": "A fox", **job}]}


def test_a_value_and_a_file_are_the_same_jobs(tmp_path: Path) -> None:
    built = manifest(seconds="8", takes=2, matrix={"size": ["1280x720", "720x1280"]}, tags=["no", "0o17", "1e3"])
    written = tmp_path / "built.yaml"
    written.write_text(yaml.safe_dump(built).replace("0o17", "'0o17'").replace("1e3", "'1e3'"))
    of_the_file, of_the_value = (files.load(one, variables={}).specs for one in (written, built))
    assert [(spec.name, spec.request_hash, spec.tags) for spec in of_the_value] == [
        (spec.name, spec.request_hash, spec.tags) for spec in of_the_file
    ]
    assert len(of_the_value) == 4


_TEXT = some.text(some.characters(exclude_categories=["Cs"], exclude_characters="{"), min_size=1, max_size=40)
_NUMBER = some.integers(-(2**53), 2**53) | some.floats(allow_nan=False, allow_infinity=False)
_JSON = some.recursive(
    some.none() | some.booleans() | _NUMBER | _TEXT,
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(some.dictionaries(_TEXT, _JSON, max_size=3), _TEXT)
def test_every_value_arrives_as_it_was(metadata: dict[str, Any], prompt: str) -> None:
    (spec,) = files.load(manifest(prompt=f"A {prompt}", metadata=metadata), variables={}).specs
    assert spec.request["prompt"] == f"A {prompt}"
    assert spec.metadata == metadata


def test_mistakes_are_told_at_their_line_in_its_json() -> None:
    built = manifest(seconds=4)
    with pytest.raises(ManifestError) as caught:
        files.load(built, variables={})
    (problem,) = caught.value.problems
    assert (problem.file, problem.rule) == ("<manifest>", "wrong-type")
    assert json.dumps(built, indent=2).splitlines()[problem.line - 1] == '      "seconds": 4'
    assert "<manifest>:9:18: wrong-type: seconds must be text" in str(caught.value)


def test_what_it_names_is_looked_for_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prompts.txt").write_text("A fox\nA crow\n")
    built = manifest(id="a-{{ row_number }}", prompt="{{ row.prompt }}", **{"from": "prompts.txt"})
    assert [spec.request["prompt"] for spec in files.load(built, variables={}).specs] == ["A fox", "A crow"]


@pytest.mark.parametrize("value", [{1, 2}, float("nan"), Path("x"), "\ud800"])
def test_what_is_no_json_is_refused(value: Any) -> None:
    with pytest.raises(UsageError, match="no value of JSON"):
        files.load(manifest(metadata={"x": value}), variables={})

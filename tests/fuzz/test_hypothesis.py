"""Manifests that Hypothesis makes: any bytes, any text, and structures of the language's own keys with any values.

The promises are those of ``promises.py``. Derandomized, so that a failure here is a failure everywhere.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from fuzz import mutation, promises
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

bounded = settings(
    max_examples=300,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

HEAD = {"version": 1, "name": "made", "provider": "simulator"}
FIELDS = {
    "prompt": ["A city", "A fox, {{ style }}", "{{ row.caption }}"],
    "size": ["1280x720", "720x1280", "{{ size }}"],
    "seconds": ["4", "8", 8],
    "id": ["a", "b-{{ row_number }}", "c-{{ row.key }}"],
    "from": ["captions.csv", "nothing.csv"],
    "takes": [1, 2, 0],
}
words = st.sampled_from(mutation.KEYS)
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.sampled_from([text for texts in FIELDS.values() for text in texts]),
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words | st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
jobs = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            **{name: st.sampled_from(texts) | values for name, texts in FIELDS.items()},
            "matrix": st.dictionaries(words, st.lists(leaves, max_size=3), max_size=3) | values,
            "columns": st.dictionaries(words, st.sampled_from(["caption", "key", "length"]), max_size=2) | values,
            "tags": st.lists(leaves, max_size=3) | values,
            "metadata": st.dictionaries(st.text(max_size=5), values, max_size=3) | values,
        },
    ),
    min_size=1,
    max_size=4,
)
manifests = st.fixed_dictionaries(
    {**{key: st.just(value) for key, value in HEAD.items()}, "jobs": jobs},
    optional={
        "vars": st.dictionaries(st.sampled_from(["style", "size", "time"]), st.text(max_size=9), max_size=3) | values,
        "defaults": st.dictionaries(words, values, max_size=3) | values,
        "output": st.fixed_dictionaries({"filename": st.text(max_size=9).map(lambda text: f"{text}{{{{ id }}}}.mp4")}),
        "limits": st.dictionaries(words, leaves, max_size=2),
        "include": st.lists(st.sampled_from(["looks.yaml", "deep.yaml", "*.yaml", "m.yaml"]) | leaves, max_size=2),
        "x-a": values,
    },
)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """A manifest that is not written yet, beside a table and two files that it may include."""
    seeds = Path(__file__).parent / "seeds"
    for name in ("captions.csv", "looks.yaml", "deep.yaml"):
        (tmp_path / name).write_bytes((seeds / name).read_bytes())
    return tmp_path / "m.yaml"


def check(manifest: Path, data: bytes) -> None:
    manifest.write_bytes(data)
    assert promises.broken(manifest) == []


@bounded
@given(data=st.binary(max_size=200))
def test_any_bytes(manifest: Path, data: bytes) -> None:
    check(manifest, data)


@bounded
@given(text=st.text(max_size=200), key=words)
def test_any_text_also_as_a_value(manifest: Path, text: str, key: str) -> None:
    check(manifest, text.encode())
    check(manifest, f"version: 1\nname: made\nprovider: simulator\njobs:\n  - id: a\n    {key}: {text}\n".encode())


@bounded
@given(text=st.text(max_size=100), suffix=st.sampled_from([".txt", ".csv", ".tsv", ".jsonl", ".parquet"]))
def test_any_text_as_a_table(manifest: Path, text: str, suffix: str) -> None:
    job = {"id": "a-{{ row_number }}", "from": f"t{suffix}", "prompt": "{{ row.prompt }}"}
    (manifest.parent / f"t{suffix}").write_text(text, "utf-8", newline="")
    check(manifest, json.dumps({**HEAD, "jobs": [job]}).encode())
    (manifest.parent / f"t{suffix}").write_text(f"prompt\n{text}", "utf-8", newline="")
    check(manifest, json.dumps({**HEAD, "jobs": [job]}).encode())


@bounded
@given(value=manifests, flow=st.sampled_from([None, True, False]), style=st.sampled_from(["", '"', "'", "|", ">"]))
def test_any_structure_of_the_languages_keys(manifest: Path, value: Any, flow: bool | None, style: str) -> None:
    check(manifest, yaml.safe_dump(value, default_flow_style=flow, default_style=style, allow_unicode=True).encode())
    check(manifest, json.dumps(value).encode())


@bounded
@given(value=values)
def test_any_value_instead_of_the_language(manifest: Path, value: Any) -> None:
    check(manifest, json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))

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
PROMPTS = ["A city", "A fox, {{ style }}", ["One", "Two"]]
FIELDS = {
    "size": ["1280x720", "720x1280", "{{ size }}"],
    "seconds": ["4", "8"],
    "takes": [1, 2],
    "tags": [["hero"], []],
    "matrix": [{"time": ["dawn", "night"]}, {"size": ["1280x720"], "exclude": [{"size": "1280x720"}]}],
    "metadata": [{"project": "spring"}],
    "enabled": [False],
}
TABLE = {"id": "row-{{ row.key }}", "from": "captions.csv", "columns": {"prompt": "caption"}}
words = st.sampled_from(mutation.KEYS)
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.sampled_from(["4", "1280x720", "{{ style }}", "{{ row.key }}", "captions.csv"]),
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words | st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
none: st.SearchStrategy[dict[str, Any]] = st.just({})
slips = none | none | none | st.dictionaries(words, values, min_size=1, max_size=2)


def with_slips(good: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Make mappings that are good, and sometimes have a key or a value of chance besides."""
    return st.builds(lambda value, slip: {**value, **slip}, good, slips)


fields = {name: st.sampled_from(texts) for name, texts in FIELDS.items()}
job = with_slips(st.fixed_dictionaries({"prompt": st.sampled_from(PROMPTS)}, optional=fields) | st.just(TABLE))
manifests = with_slips(
    st.fixed_dictionaries(
        {
            **{key: st.just(value) for key, value in HEAD.items()},
            "vars": with_slips(st.just({"style": "grainy", "size": "720x1280"})),
            "jobs": st.lists(job, min_size=1, max_size=4).map(
                lambda jobs: [{"id": f"job-{number}", **job} for number, job in enumerate(jobs)]
            ),
        },
        optional={
            "defaults": with_slips(st.fixed_dictionaries({}, optional={"seconds": fields["seconds"]})),
            "output": st.fixed_dictionaries({"filename": st.sampled_from(["a/{{ id }}.mp4", "{{ take }}.mp4"])}),
            "limits": with_slips(st.just({"downloads": 2})),
            "include": st.lists(st.sampled_from(["looks.yaml", "deep.yaml", "*.yaml", "m.yaml"]), max_size=2),
            "x-a": values,
        },
    )
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
    check(manifest, json.dumps(value, ensure_ascii=False).encode())


@bounded
@given(value=values)
def test_any_value_instead_of_the_language(manifest: Path, value: Any) -> None:
    check(manifest, json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))

"""The one spelling of a JSON value: what a job's identity is made of may not depend on how fast it is spelled."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.jobs import _spelling, canonical_json

_LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
_VALUES = st.recursive(
    _LEAVES, lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(), inner), max_leaves=30
)


@given(_VALUES)
def test_a_value_is_spelled_as_python_spells_it(value: object) -> None:
    expected = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    assert canonical_json(value) == expected
    for gone in (None, lambda: None):  # in another Python
        assert "".join(_spelling(gone)(value, 0)) == expected


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], {"a": {"b": -float("inf")}}])
def test_what_json_does_not_know_is_no_value(value: object) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(value)


def test_what_is_no_value_is_none_however_often_it_is_asked_for() -> None:
    for _ in range(2):
        with pytest.raises(TypeError, match="set is not JSON serializable"):
            canonical_json({"a": [{1}]})
        assert canonical_json({"a": [1]}) == '{"a":[1]}'

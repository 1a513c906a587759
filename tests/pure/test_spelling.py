"""Documents as text: the letters of the library's own writer, also of what is read while it is written."""

import json
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.jobs import State
from pipeline.spelling import spelled

PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(State)
VALUES = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=5), inner, max_size=4)
        | st.dictionaries(st.text(max_size=5), inner, max_size=4).map(OrderedDict)
    ),
    max_leaves=20,
)


@settings(max_examples=300)
@given(VALUES)
def test_a_document_is_spelled_as_json_spells_it(document: Any) -> None:
    assert "".join(spelled(document)) == json.dumps(document, indent=2)


@settings(max_examples=100)
@given(st.dictionaries(st.text(max_size=5), st.tuples(st.booleans(), st.lists(VALUES, max_size=4)), max_size=4))
def test_what_is_read_meanwhile_is_an_array(parts: dict[str, tuple[bool, list[Any]]]) -> None:
    document = {key: iter(values) if later else values for key, (later, values) in parts.items()}
    assert "".join(spelled(document)) == json.dumps({key: values for key, (_, values) in parts.items()}, indent=2)


def test_what_is_long_comes_in_pieces() -> None:
    read = 0

    def jobs() -> Iterator[dict[str, str]]:
        nonlocal read
        for _ in range(5000):
            read += 1
            yield {"job": "x" * 100}

    pieces = spelled({"head": 1, "jobs": jobs(), "exit": 0})
    met = [(read, len(piece)) for piece in pieces]
    assert max(length for _, length in met) < 100_000
    assert len({number for number, _ in met}) > 5, "what was read is written before the rest is"

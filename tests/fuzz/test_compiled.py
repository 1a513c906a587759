"""The compiled validator and jsonschema: with either alone everything is found that is found with both."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from fuzz import manifests, mutation, promises
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from pipeline import compiled, providers, shipped, source, validation
from pipeline.breaches import explainer
from pipeline.compiled import keeper
from pipeline.validation import checker, findings, resolved

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
WRITTEN = sorted(path for kind in ("valid", "invalid") for path in (EXAMPLES / kind).glob("*.yaml"))
MANIFEST = resolved(shipped.schema("manifest"))


@contextmanager
def jsonschema_alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if no schema could be compiled."""

    def none(*_args: object, **_more: object) -> None:
        raise ValueError("not today")

    providers._ours.cache_clear()
    with monkeypatch.context() as changed:
        changed.setattr(jsonschema_rs, "Draft202012Validator", none)
        changed.setattr(validation, "_PREPARED", {})
        assert not keeper({})(1)
        yield
    providers._ours.cache_clear()


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.stem)
def test_the_examples_come_to_the_same_either_way(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = promises.outcome(path)
    with jsonschema_alone(monkeypatch):
        alone = promises.outcome(path)
    assert alone[1] == both[1]
    assert (alone[0] and alone[0].specs) == (both[0] and both[0].specs)


@pytest.mark.parametrize("part", range(4))
def test_mutated_manifests_come_to_the_same_either_way(
    part: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, lying = mutation.examples(), dict[str, bytes]()
    for number in range(part * 75, (part + 1) * 75):
        manifest, written = manifests.case(number, 8, known)
        manifests.write(tmp_path, written, lying)
        lying = written
        both = promises.outcome(tmp_path / manifest)
        with jsonschema_alone(monkeypatch):
            alone = promises.outcome(tmp_path / manifest)
        assert alone[1] == both[1], number
        assert (alone[0] and alone[0].specs) == (both[0] and both[0].specs), number


@pytest.mark.parametrize("path", sorted((EXAMPLES / "valid").glob("*.yaml")), ids=lambda path: path.stem)
def test_what_is_right_is_not_explained(path: Path) -> None:
    """Else the quick way would be no way at all."""
    document, _ = source.parse(path.read_bytes(), file=str(path))
    assert document is not None
    told = resolved(providers.language("manifest", providers.profile(document.value["provider"])))
    assert keeper(told)(document.value)


@pytest.mark.parametrize("name", shipped.schema_names())
def test_every_schema_of_ours_is_compiled(name: str) -> None:
    compiled._translated(resolved(shipped.schema(name)))


def test_no_keyword_is_forgotten_that_jsonschema_heeds() -> None:
    beside = {"then", "else", "maxContains", "minContains"}
    assert {*Draft202012Validator.VALIDATORS, *beside} - {"format"} == compiled._SAYING


def test_of_a_long_list_every_wrong_entry_is_explained() -> None:
    jobs: list[Any] = [{"id": f"a-{number}", "prompt": "A city"} for number in range(500)]
    jobs[3], jobs[77], jobs[499] = {"id": 4}, "nothing", {**jobs[0], "sise": 1, "takes": 0}
    value = {"version": 1, "name": "made", "provider": "simulator", "jobs": jobs, "nam": 1}
    short = [{**value, "jobs": jobs[start : start + 50]} for start in range(0, 500, 50)]
    separate = [
        ((*found.path[:1], int(found.path[1]) + start * 50, *found.path[2:]) if found.path[0] == "jobs" else found.path)
        for start, part in enumerate(short)
        for found in findings(part, MANIFEST)
    ]
    assert dict.fromkeys(separate) == dict.fromkeys(found.path for found in findings(value, MANIFEST))
    assert len(findings(value, MANIFEST)) == 5


def agree(schema: Any, value: Any) -> None:
    """Where the compiled one says yes, jsonschema has nothing against it."""
    if keeper(schema)(value):
        assert [*explainer(schema)(value)] == []


LONE, DEEP = "\ud800", eval("[" * 90 + "]" * 90)


@pytest.mark.parametrize(
    "value",
    [
        *(0, 1, -1, 1.0, -0.0, 0.1, 0.3, 1e300, 2**53 + 1, 10**18, 10**30, True, False, None),
        *("", "a", "a\n", "\n", "1", "é", "e\u0301", "\U0001f600", LONE, "a\r", "a\u2028", "\u0661", "\u017f"),
        *([], [1], [1, 1.0], [1, True], [0, False], [[1], [True]], [{"a": 1}, {"a": True}], ["a", LONE], DEEP),
        *({}, {"a": 1}, {"a\n": 1}, {LONE: 1}, {"b": None}, {"a": {"a": "a"}}, {1: 2}, {None: 1}, {"x-a": LONE}),
        *(b"a", {1, 2}, complex(1)),
    ],
    ids=ascii,
)
@pytest.mark.parametrize(
    "schema",
    [
        *({}, True, False, *({"type": kind} for kind in ("string", "integer", "number", "boolean", "null", "array"))),
        *({"const": 1}, {"const": 1.0}, {"enum": [True, "a", None]}, {"enum": [0, 2**53 + 1]}, {"const": [1]}),
        *({"maximum": 2**53}, {"exclusiveMaximum": float(2**53)}, {"minimum": 0.1}, {"exclusiveMinimum": 1}),
        *({"multipleOf": 0.1}, {"format": "ipv4"}, {"uniqueItems": True}, {"minLength": 1, "maxLength": 1}),
        *(
            {"pattern": form}
            for form in (
                "^a$",
                "a$",
                "^.$",
                r"^\d$",
                r"^\w$",
                r"\s",
                "(?i)S",
                "^[^b]$",
                r"^\D$",
                r"^[^\d]$",
                "^(?!a$)",
                "",
            )
        ),
        *({"propertyNames": {"pattern": form}} for form in ("^a$", "^(?!(a)$)")),
        *({"patternProperties": {form: False}} for form in ("^a$", "^a", "^x-", r"^\w", "^(?!(a)$)")),
        *({"patternProperties": {form: {}}, "additionalProperties": False} for form in ("^a$", "a", "^(?!(a)$)")),
        *({"properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False},),
        *({"if": {"type": "string"}, "then": {"maxLength": 1}, "else": {"type": "array"}}, {"not": {"type": "null"}}),
        *({"prefixItems": [{"const": 1}], "items": False}, {"contains": {"const": 1}}, {"maxItems": 1, "minItems": 1}),
        *({"oneOf": [{"type": "integer"}, {"minimum": 1}]}, {"anyOf": [{"type": "null"}, {"const": "a"}]}),
        *({"contains": {}, "minContains": 2}, {"unevaluatedItems": False}, {"dependentRequired": {"a": ["b"]}}),
    ],
    ids=ascii,
)
def test_where_the_two_might_differ_the_compiled_one_says_nothing(schema: Any, value: Any) -> None:
    agree(schema, value)


def compiles(form: str) -> bool:
    try:
        re.compile(form)
    except re.error:
        return False
    return True


finite = st.floats(allow_nan=False, allow_infinity=False)  # JSON has no others, and ``source`` lets none through
scalars = st.none() | st.booleans() | st.integers() | finite | st.text(max_size=4) | st.sampled_from([1, 1.0, "a"])
names = st.sampled_from(["a", "b", "x-a", "a\n", ""])
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=6
)
small = st.integers(0, 3)
parts = st.sampled_from(
    ["a", "b", "^", "$", ".", "[a-c]", "[^a]", "(?!a$)", "(?:a|b)", "*", "+", "?", r"\.", "\n", "é"]
)
forms = st.lists(parts, max_size=4).map("".join).filter(compiles)
kinds = st.sampled_from(["null", "boolean", "integer", "number", "string", "array", "object"])


def _keywords(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    listed, mapped = st.lists(inner, min_size=1, max_size=2), st.dictionaries(names, inner, max_size=2)
    return st.fixed_dictionaries(
        {},
        optional={
            "type": kinds | st.lists(kinds, min_size=1, max_size=2, unique=True),
            "enum": st.lists(values, min_size=1, max_size=3),
            "const": values,
            "pattern": forms,
            **dict.fromkeys(("minimum", "exclusiveMaximum"), st.integers(-2, 2) | st.floats(-2, 2)),
            **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems", "maxProperties"), small),
            "uniqueItems": st.booleans(),
            "required": st.lists(names, max_size=2, unique=True),
            "properties": mapped,
            "patternProperties": st.dictionaries(forms, inner, max_size=2),
            **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), listed),
            **dict.fromkeys(("additionalProperties", "items", "not", "propertyNames", "if", "then", "contains"), inner),
        },
    )


schemas = st.recursive(st.booleans() | _keywords(st.booleans()), _keywords, max_leaves=5)


@settings(max_examples=600, derandomize=True, database=None, deadline=None)
@given(schema=schemas, value=values)
def test_whatever_the_schema_the_compiled_one_says_yes_only_where_jsonschema_does(schema: Any, value: Any) -> None:
    agree(schema, value)


def test_a_pattern_that_is_read_differently_is_read_as_python_reads_it() -> None:
    digits = {"pattern": r"^\d+$"}
    assert keeper(digits)("\u0661")
    assert not keeper(digits)("a")
    assert checker(digits)("1\n")[0].rule == "wrong-form"

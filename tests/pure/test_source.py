"""YAML text -> values and places: the types, the bounds, and every hostile text an ordinary problem."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from pipeline.document import Document, Place, Text
from pipeline.errors import Problem
from pipeline.source import MAX_NODES, _Building, parse


def document(text: str | bytes) -> Document:
    found, problems = parse(text.encode() if isinstance(text, str) else text, file="m.yaml")
    assert found is not None
    assert problems == []
    return found


def problems(text: str | bytes) -> list[Problem]:
    found, problems = parse(text.encode() if isinstance(text, str) else text, file="m.yaml")
    assert found is None or problems
    return problems


def told(text: str | bytes) -> list[tuple[int, int, str]]:
    return [(problem.line, problem.column, problem.rule) for problem in problems(text)]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("null", None), ("Null", None), ("NULL", None), ("~", None), ("", None),
        ("true", True), ("True", True), ("TRUE", True), ("false", False), ("False", False), ("FALSE", False),
        ("yes", "yes"), ("no", "no"), ("on", "on"), ("off", "off"), ("y", "y"), ("tRue", "tRue"),
        ("0", 0), ("-0", 0), ("4", 4), ("+4", 4), ("-12", -12), ("0755", 755), ("0o17", 15), ("0xff", 255),
        ("1_000", "1_000"), ("0b11", "0b11"), ("0o8", "0o8"), ("-0x1", "-0x1"), ("+", "+"), ("4a", "4a"),
        ("1.5", 1.5), (".5", 0.5), ("1.", 1.0), ("1e3", 1000.0), ("-1.5E-2", -0.015), ("1e", "1e"), (".", "."),
        ("16:9", "16:9"), ("12:30:45", "12:30:45"), ("2026-01-01", "2026-01-01"), ("1280x720", "1280x720"), ("=", "="),
        ('"4"', "4"), ("'true'", "true"), ('"<<"', "<<"), ("<<", "<<"), ("nULL", "nULL"),
        ("999999999999999999", 10**18 - 1),
    ],
)  # fmt: skip
def test_plain_scalars_have_the_types_of_yaml_1_2(written: str, value: Any) -> None:
    found = document(f"a: {written}\n").value["a"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("written", [".inf", "-.Inf", "+.INF", ".nan", ".NaN", "1e999", "9" * 5000, "0x" + "f" * 40])
def test_numbers_that_json_cannot_hold_are_problems(written: str) -> None:
    assert told(f"a: {written}") == [(1, 4, "number")]


TEXT = """\
# comment
first: 1
é狐: { "q": [a, {b: c}], 'r s': | }
list:
  - x
  -   y: 1
      z:
  - - deep
"last": >-
  folded
"""


def test_every_key_and_value_knows_where_it_is_written() -> None:
    found = document(TEXT.replace("|", "p"))
    places = {
        ("first",): ((2, 1), (2, 8)),
        ("é狐",): ((3, 1), (3, 5)),
        ("é狐", "q"): ((3, 7), (3, 12)),
        ("é狐", "q", 0): ((3, 13), (3, 13)),
        ("é狐", "q", 1, "b"): ((3, 17), (3, 20)),
        ("é狐", "r s"): ((3, 25), (3, 32)),
        ("list",): ((4, 1), (5, 3)),
        ("list", 1): ((6, 7), (6, 7)),
        ("list", 1, "z"): ((7, 7), (7, 9)),
        ("list", 2, 0): ((8, 7), (8, 7)),
        ("last",): ((9, 1), (9, 9)),
    }
    for path, (key, value) in places.items():
        assert found.key_at(path) == Place("m.yaml", *key), path
        assert found.value_at(path) == Place("m.yaml", *value), path
    assert found.value_at(()) == Place("m.yaml", 2, 1)


def test_a_path_that_is_not_there_is_an_error() -> None:
    found = document("a: [x]\n")
    with pytest.raises(KeyError):
        found.value_at(("b",))
    with pytest.raises(IndexError):
        found.value_at(("a", 1))


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_lines_may_end_in_any_way(ends: str) -> None:
    found = document(f"a: 1{ends}b: |{ends}  x{ends}  y{ends}c: 1{ends}")
    assert found.value == {"a": 1, "b": "x\ny\n", "c": 1}
    assert found.key_at(("c",)) == Place("m.yaml", 5, 1)


def test_a_byte_order_mark_is_no_character() -> None:
    assert document(b"\xef\xbb\xbfa: 1").key_at(("a",)) == Place("m.yaml", 1, 1)


def test_what_came_in_by_alias_or_merge_is_where_it_is_written() -> None:
    found = document(
        """\
base: &base
  # a comment
  size: &size big
  deep: { a: 1 }
other: &other { size: small, more: 2, <<: *base }
jobs:
  - <<: [*other, *base]
    own: *size
    'deep': {}
  - *base
"""
    )
    assert found.value["jobs"][0] == {"own": "big", "deep": {}, "size": "small", "more": 2}
    assert found.value["jobs"][1] == found.value["base"]
    assert found.value_at(("base",)).line == 3
    assert found.value_at(("base", "size")) == Place("m.yaml", 3, 15)
    assert found.value_at(("other",)) == Place("m.yaml", 5, 15)
    assert found.value_at(("other", "deep", "a")) == Place("m.yaml", 4, 14)
    assert found.key_at(("jobs", 0, "size")) == Place("m.yaml", 5, 17)
    assert found.value_at(("jobs", 0, "more")).line == 5
    assert found.value_at(("jobs", 0, "own")) == Place("m.yaml", 3, 15)
    assert found.key_at(("jobs", 0, "own")) == Place("m.yaml", 8, 5)
    assert found.value_at(("jobs", 0, "deep")) == Place("m.yaml", 9, 13)
    assert found.key_at(("jobs", 1, "deep")) == Place("m.yaml", 4, 3)


def test_explicit_keys_win_over_merged_ones_wherever_they_stand() -> None:
    text = "a: &a {x: 1, y: 1}\nb: {x: 2, <<: *a}\nc: {<<: *a, x: 3}\nd: {<<: {x: 4}, <: 5}\n"
    value = document(text).value
    assert value["b"] == {"x": 2, "y": 1}
    assert value["c"] == {"x": 3, "y": 1}
    assert value["d"] == {"x": 4, "<": 5}


def test_a_merge_key_is_one_only_as_a_plain_key_of_a_mapping() -> None:
    assert document("[<<, {a: <<}, {'<<': {b: 1}}]").value == ["<<", {"a": "<<"}, {"<<": {"b": 1}}]
    assert document("<<").value == "<<"


def test_merges_are_shallow_and_leave_their_source_alone() -> None:
    value = document("a: &a {m: {x: 1}}\nb: {<<: *a, n: 1}\nc: {<<: *a, m: {y: 2}}\n").value
    assert value == {"a": {"m": {"x": 1}}, "b": {"n": 1, "m": {"x": 1}}, "c": {"m": {"y": 2}}}


def test_the_last_anchor_of_a_name_counts() -> None:
    assert document("[&a 1, *a, &a [&a 2, *a], *a, &b , *b]").value == [1, 1, [2, 2], 2, None, None]


def test_an_alias_may_be_a_key() -> None:
    found = document("&k name: 1\nother: { *k : 2 }\n")
    assert found.value == {"name": 1, "other": {"name": 2}}
    assert found.key_at(("other", "name")) == Place("m.yaml", 2, 10)


def test_an_anchored_nothing_is_at_its_anchor() -> None:
    assert document("a: &x\nb: 1\n").value_at(("a",)) == Place("m.yaml", 1, 4)


def test_tokens_are_as_written() -> None:
    found = document("a: 007\nb: [+1.50, ~, true]\n")
    assert found.token_at(("a",)) == "007"
    assert [found.token_at(("b", index)) for index in range(3)] == ["+1.50", "~", "true"]


@pytest.mark.parametrize(
    ("text", "nth", "line", "column"),
    [
        ("a: x {{ y }} {{ z }}", 1, 1, 14),
        ("a: 'it''s {{ y }}'", 0, 1, 11),
        ('a: "\\u00e9\\n {{ y }}"', 0, 1, 14),
        ("a: |-  # {{ no }}\n  x\n   {{ y }}\n", 0, 3, 4),
        ("a: >\n  x {{ y }}\n\n  {{ z }}\n", 1, 4, 3),
        ("a: x\n  y {{ z }}\n", 0, 2, 5),
        ("a: &anchor  # {{ no }}\n  {{z: 1}: 1}", 0, 2, 3),
    ],
)
def test_occurrences_are_found_in_every_style(text: str, nth: int, line: int, column: int) -> None:
    found, _ = parse(text.encode(), file="m.yaml")
    assert found is not None
    assert found.occurrence_at(("a",), "{{", nth) == Place("m.yaml", line, column)


def test_all_problems_that_can_be_read_past_are_told_at_once() -> None:
    text = "a: 1\nb: !t 2\na: 3\n4: 5\nc: *x\nd: {e: 1, e: 2, [f]: 3}\na: 4\n"
    assert sorted(told(text)) == [
        (2, 4, "tag"), (3, 1, "duplicate-key"), (4, 1, "key-type"), (5, 4, "alias"), (6, 11, "duplicate-key"),
        (6, 17, "key-type"), (7, 1, "duplicate-key"),
    ]  # fmt: skip


def test_duplicates_name_the_first_place_and_the_first_value_stays() -> None:
    found, seen = parse(b"x: {a: 1, b: 2, <<: {c: 3}, d: 4, b: 5, d: 6, e: 7, e: 8}", file="m.yaml")
    assert found is not None
    assert found.value == {"x": {"a": 1, "b": 2, "d": 4, "e": 7, "c": 3}}
    assert [problem.message for problem in seen] == [
        'the key "b" is already written at line 1, column 11',
        'the key "d" is already written at line 1, column 29',
        'the key "e" is already written at line 1, column 47',
    ]
    assert found.value_at(("x", "d")) == Place("m.yaml", 1, 32)
    assert found.value_at(("x", "c")) == Place("m.yaml", 1, 25)


def test_a_key_that_is_also_merged_is_no_duplicate() -> None:
    assert document("a: &a {x: 1}\nb: {<<: *a, x: 2}\n").value["b"] == {"x": 2}


def nested(brackets: int) -> str:
    return "[" * brackets + "]" * brackets


def test_the_depth_is_bounded_exactly() -> None:
    assert document(nested(64))
    assert told(nested(65)) == [(1, 65, "too-deep")]
    assert told("- " * 65 + "a") == [(1, 129, "too-deep")]


def test_the_depth_counts_through_aliases() -> None:
    def both(brackets: int) -> str:
        return f"a: &a {nested(40)}\nb: {'[' * brackets}*a{']' * brackets}\n"

    assert document(both(23))
    assert told(both(24)) == [(2, 28, "too-deep")]


def bomb(levels: int) -> Iterator[str]:
    yield "a0: &a0 [x, x]\n"
    for level in range(1, levels):
        yield f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n"


def merge_bomb(levels: int) -> Iterator[str]:
    yield "a0: &a0 {k: 1, l: 2}\n"
    for level in range(1, levels):
        yield f"a{level}: &a{level} {{k{level}: 1, <<: [*a{level - 1}, *a{level - 1}, *a{level - 1}]}}\n"


def merge_chain(levels: int) -> Iterator[str]:
    yield "a0: &a0 {k: 1}\n"
    for level in range(1, levels):
        yield f"a{level}: &a{level} {{k{level}: 1, <<: *a{level - 1}}}\n"


HOSTILE = {
    "brackets": (b"[" * 900, (1, 65, "too-deep")),
    "braces": (b"{" * 900, (1, 1, "unquoted-placeholder")),
    "mixed brackets": (b"[{" * 450, (1, 65, "too-deep")),
    "dashes": (b"- " * 100_000, (1, 129, "too-deep")),
    "question marks": (b"? " * 100_000, (1, 129, "too-deep")),
    "indentation": ("".join(f"{' ' * depth}a:\n" for depth in range(1000)).encode(), (65, 65, "too-deep")),
    "alias bomb": ("".join(bomb(10)).encode(), (7, 15, "too-many-nodes")),
    "merge bomb": ("".join(merge_bomb(30)).encode(), (12, 25, "too-many-nodes")),
    "merge chain": ("".join(merge_chain(3000)).encode(), (634, 27, "too-many-nodes")),
    "deep aliases": (
        b"- &a0 [x]\n" + b"".join(b"- &a%d [*a%d]\n" % (n + 1, n) for n in range(99)),
        (64, 9, "too-deep"),
    ),
    "recursive list": (b"&a [*a]", (1, 5, "alias")),
    "recursive mapping": (b"a: &a {b: *a}", (1, 11, "alias")),
    "recursive merge": (b"a: &a {<<: *a}", (1, 12, "alias")),
    "undefined alias": (b"a: *b", (1, 4, "alias")),
    "duplicate keys": (b"a: 1\n" * 20_000, (2, 1, "duplicate-key")),
    "UTF-16": ("version: 1".encode("utf-16"), (1, 1, "encoding")),
    "UTF-16 without mark": ("a: 1".encode("utf-16-le"), (1, 2, "character")),
    "UTF-32": ("a: 1".encode("utf-32"), (1, 1, "encoding")),
    "Latin-1": ("a: 1\nb: é".encode("latin-1"), (2, 4, "encoding")),
    "mark and Latin-1": (b"\xef\xbb\xbfa: \xe9", (1, 4, "encoding")),
    "surrogate": (b"a: \xed\xa0\x80", (1, 4, "encoding")),
    "surrogate escape": (b'a: "\\ud800"', (1, 7, "syntax")),
    "NUL": (b"a: \0", (1, 4, "character")),
    "escape": (b"a: \x1b[31m", (1, 4, "character")),
    "next line": ("a: b\x85c".encode(), (1, 5, "character")),
    "line separator": ("a: b\u2028c".encode(), (1, 5, "character")),
    "key of 1 MB": (b"x" * 1_000_000 + b": 1", (1, 1_000_001, "syntax")),
    "tab": (b"a:\n\tb: 1\n", (2, 1, "tab")),
    "tags": (b"a: !!python/object/apply:os.system [x]", (1, 4, "tag")),
    "tag directives": (b"%TAG !a! x\n" * 100_000 + b"---\na: 1\n", (1, 1, "tag")),
    "other version": (b"%YAML 3.0\n---\na: 1\n", (1, 1, "syntax")),
    "two documents": (b"a: 1\n---\nb: 1\n", (2, 1, "several-documents")),
    "nothing": (b"", (1, 1, "empty-file")),
    "only a comment": (b"# x\n", (1, 1, "empty-file")),
    "only a null": (b"---\n~\n", (1, 1, "empty-file")),
    "every byte": (bytes(range(256)), (3, 115, "encoding")),
    "open quote": (b'a: "b\nc: d\n', (1, 4, "syntax")),
    "open list": (b"a: [1, 2\n", (1, 4, "syntax")),
}


@pytest.mark.parametrize(("data", "first"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_is_an_ordinary_problem_within_a_second(data: bytes, first: tuple[int, int, str]) -> None:
    start = time.process_time()
    found = problems(data)
    assert time.process_time() - start < 1
    assert (found[0].line, found[0].column, found[0].rule) == first
    assert all(problem.message and problem.fix for problem in found)


@pytest.mark.parametrize("opening", [b"[", b"{", b"[{"])
def test_what_libyaml_itself_does_not_take_is_nested_too_deep(opening: bytes) -> None:
    """Since 0.2.6 it has a bound of its own, at which it complains before it has handed out what it has read."""
    start = time.process_time()
    found = problems(opening * 100_000)
    assert time.process_time() - start < 1
    assert found[0].rule in {"too-deep", "unquoted-placeholder"}


def test_long_lines_and_long_lists_are_read() -> None:
    assert len(document(b'a: "' + b"x" * 1_000_000 + b'"').value["a"]) == 1_000_000
    assert len(document(b"[" + b"a, " * 50_000 + b"]").value) == 50_000


def test_the_number_of_values_is_bounded_exactly() -> None:
    def read(already: int) -> list[str]:
        building = _Building(Text.of("m.yaml", "a: 1"))
        building.marks.frombytes(bytes(already * building.marks.itemsize))
        building.after.frombytes(bytes(already * building.after.itemsize))
        return [problem.rule for problem in building.document(b"a: 1")[1]]

    assert read(MAX_NODES - 3) == []
    assert read(MAX_NODES - 2) == ["too-many-nodes"]


def test_a_placeholder_without_quotes_hides_no_other_mistake() -> None:
    assert told("p: {{ x }}\n1: y\n") == [(1, 4, "unquoted-placeholder"), (2, 1, "key-type")]


def test_a_file_beyond_the_bound_is_not_read() -> None:
    assert told(b"#" * ((64 << 20) + 1)) == [(1, 1, "too-large")]


@pytest.mark.parametrize(
    ("text", "place", "rule"),
    [
        ("p: {{ x }}", (1, 4), "unquoted-placeholder"),
        ("p: {{ x }} and more", (1, 4), "unquoted-placeholder"),
        ("p: [a, {{ x }}]", (1, 8), "unquoted-placeholder"),
        ("{p: cap-{{ x }}, q: 1}", (1, 9), "unquoted-placeholder"),
        ("p: {{{ x }}}", (1, 4), "unquoted-placeholder"),
        ("p: {{a: 1}: 2}", (1, 4), "unquoted-placeholder"),
        ("p: { {a: 1}: 2}", (1, 6), "key-type"),
    ],
)
def test_placeholders_without_quotes_have_a_rule_of_their_own(text: str, place: tuple[int, int], rule: str) -> None:
    assert [(p.line, p.column, p.rule) for p in problems(text)] == [(*place, rule)]

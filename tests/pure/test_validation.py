"""Every broken rule is said once, at its token, with what to write instead."""

import pytest

from pipeline import hints
from pipeline.sayings import Finding
from pipeline.source import parse
from pipeline.validation import checker, findings, mended, problems

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["id", "seconds"],
    "patternProperties": {"^x-": {}},
    "properties": {
        "id": {"type": "string", "pattern": "^[a-z]+$", "description": "Small letters.", "examples": ["city"]},
        "seconds": {"$ref": "#/$defs/seconds"},
        "size": {"enum": ["720x1280", "1280x720", "1024x1792", "1792x1024"]},
        "takes": {"type": "integer", "minimum": 1, "maximum": 5},
        "tags": {"type": "array", "items": {"type": "string"}},
        "only": {"const": True},
        "odd": {"multipleOf": 2},
        "inner": {"type": "object", "additionalProperties": False, "properties": {"deep": {"type": "string"}}},
    },
    "$defs": {"seconds": {"type": "string", "examples": ["4"]}},
}

FORBIDDEN_FIX = (
    "remove it: `provider` names a profile; an address or a key comes from the command line or the environment"
)
SIZES = ["720x1280", "1280x720", "1024x1792", "1792x1024"]


def said(text: str) -> list[tuple[int, int, str, str, str | None]]:
    document, wrong = parse(text.encode(), file="m.yaml")
    assert document is not None
    assert wrong == []
    found = sorted(problems(document, SCHEMA), key=lambda problem: (problem.line, problem.column))
    return [(p.line, p.column, p.rule, p.message, p.fix) for p in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{id: a, seconds: '4'}", None),
        ("{id: a, seconds: '4', x-any: [1]}", None),
        ("{seconds: '4'}", (1, 1, "missing-key", '"id" is missing', "add id: city")),
        ("{id: a}", (1, 1, "missing-key", '"seconds" is missing', 'add seconds: "4"')),
        (
            "{id: a, duration: '4'}",
            (1, 9, "unknown-key", 'unknown key "duration": here it is called seconds', "write seconds"),
        ),
        ("{id: a, secnds: '4'}", (1, 9, "unknown-key", 'unknown key "secnds"', "write seconds")),
        ("{ID: a, seconds: '4'}", (1, 2, "unknown-key", 'unknown key "ID": here it is called id', "write id")),
        (
            "{id: a, seconds: '4', deep: x}",
            (1, 23, "unknown-key", 'unknown key "deep" here', "move it to `inner`"),
        ),
        (
            "{id: a, seconds: '4', API-Key: x}",
            (
                1,
                23,
                "unknown-key",
                'unknown key "API-Key": a manifest cannot decide where the key goes',
                FORBIDDEN_FIX,
            ),
        ),
        ("{id: a, seconds: 4}", (1, 18, "wrong-type", "seconds must be text, not the number 4", 'write "4"')),
        ("{id: a, seconds: 0.50}", (1, 18, "wrong-type", "seconds must be text, not the number 0.5", 'write "0.50"')),
        ("{id: true, seconds: '4'}", (1, 6, "wrong-type", "id must be text, not true", 'write "true"')),
        (
            "{id: , seconds: '4'}",
            (1, 6, "wrong-type", "id must be text, not nothing", "write a value, or remove the key"),
        ),
        ("{id: A9, seconds: '4'}", (1, 6, "wrong-form", 'id cannot be "A9". Small letters.', "write another")),
        ("{id: AB, seconds: '4'}", (1, 6, "wrong-form", 'id cannot be "AB". Small letters.', "write ab")),
        ('{id: "a\\n", seconds: "4"}', (1, 6, "wrong-form", 'id cannot be "a\\n". Small letters.', "write a")),
        (
            "{id: a, seconds: '4', takes: 9}",
            (1, 30, "out-of-bounds", "takes must be at most 5, not 9", "write 5 or less"),
        ),
        (
            "{id: a, seconds: '4', takes: '3'}",
            (1, 30, "wrong-type", 'takes must be a whole number, not "3"', "write 3 without quotes"),
        ),
        ("{id: a, seconds: '4', tags: x}", (1, 29, "wrong-type", 'tags must be a list, not "x"', "write [x]")),
        (
            "{id: a, seconds: '4', tags: [x, 4]}",
            (1, 33, "wrong-type", "an entry of tags must be text, not the number 4", 'write "4"'),
        ),
        ("{id: a, seconds: '4', only: no}", (1, 29, "wrong-value", 'only must be true, not "no"', "write true")),
        ("{id: a, seconds: '4', odd: 3}", (1, 28, "schema", "odd: 3 is not a multiple of 2", None)),
        ("- a", (1, 1, "wrong-type", "the file must be a mapping, not a list", "write a mapping")),
    ],
)
def test_each_broken_rule_is_said_at_its_token(
    text: str, expected: tuple[int, int, str, str, str | None] | None
) -> None:
    assert said(text) == ([expected] if expected else [])


def test_all_mistakes_are_found_at_once() -> None:
    text = "id: 1\nsise: x\ntakes: 0\ntags:\n  - 1\n  - {}\ninner: { deep: 1, more: 2 }\nseconds: 4\n"
    assert [(line, column, rule) for line, column, rule, *_ in said(text)] == [
        (1, 5, "wrong-type"), (2, 1, "unknown-key"), (3, 8, "out-of-bounds"), (5, 5, "wrong-type"),
        (6, 5, "wrong-type"), (7, 16, "wrong-type"), (7, 19, "unknown-key"), (8, 10, "wrong-type"),
    ]  # fmt: skip


def test_what_is_written_once_is_said_once() -> None:
    text = "- &a {id: 4, seconds: '4'}\n- *a\n- <<: *a\n"
    document, _ = parse(text.encode(), file="m.yaml")
    assert document is not None
    found = problems(document, {"items": SCHEMA, "$defs": SCHEMA["$defs"]})
    assert [(p.line, p.column, p.rule) for p in found] == [(1, 11, "wrong-type")]


@pytest.mark.parametrize(
    ("written", "nearest"),
    [
        ("1920x1080", "1792x1024"),
        ("1080x1920", "1024x1792"),
        ("1280X720", "1280x720"),
        ("1280 x 720", "1280x720"),
        ("1280*720", "1280x720"),
        ("640x360", "1280x720"),
        ("720x1281", "720x1280"),
        ("3840x2160", "1792x1024"),
        ("16:9", "1280x720"),
        ("9:16", "720x1280"),
        ("1024x1024", None),
        ("landscape", None),
        ("1x1" * 1000, None),
    ],
)
def test_the_nearest_size_has_the_same_orientation_and_the_nearest_number_of_pixels(
    written: str, nearest: str | None
) -> None:
    assert hints.value(written, SIZES) == nearest


@pytest.mark.parametrize(
    ("written", "nearest"),
    [("5", "4"), ("6", "4"), ("7", "8"), ("100", "12"), ("4s", "4"), ("10 seconds", "8"), ("8.0", "8"), ("long", None)],
)
def test_the_nearest_number_is_the_smaller_of_two(written: str, nearest: str | None) -> None:
    assert hints.value(written, ["4", "8", "12"]) == nearest


@pytest.mark.parametrize(
    ("text", "yaml"),
    [("4", '"4"'), ("1280x720", "1280x720"), ("true", '"true"'), ("a b", "a b"), ("a: b", '"a: b"'), ("", '""')],
)
def test_fixes_quote_what_yaml_would_read_as_something_else(text: str, yaml: str) -> None:
    assert hints.spelled(text) == yaml
    document, _ = parse(f"a: {yaml}".encode(), file="m.yaml")
    assert document is not None
    assert document.value == {"a": text}


@pytest.mark.parametrize("word", [wrong for wrong, _ in hints.WRONG_NAMES])
def test_no_word_that_is_ours_is_called_wrong_where_it_is_allowed(word: str) -> None:
    assert hints.known(word, [word]) == word


def test_hints_for_hostile_names_cost_nothing() -> None:
    assert hints.close("x" * 1_000_000, [f"{'y' * 1000}{n}" for n in range(100_000)]) is None


def test_what_is_wrong_is_left_out_and_the_rest_stays() -> None:
    text = "id: 007\nsise: x\ntakes: 0\ntags: [a, 1, {}]\nx-a: 1\ninner: &i { deep: [x] }\nx-i: *i\n"
    document, _ = parse(text.encode(), file="m.yaml")
    assert document is not None
    value = mended(document, findings(document.value, SCHEMA))
    assert value == {"id": "007", "tags": ["a", "1", None], "x-a": 1, "inner": {}, "x-i": {"deep": ["x"]}}
    assert document.value["inner"] == {"deep": ["x"]}


REQUEST = {
    "type": "object",
    "additionalProperties": False,
    "required": ["model", "prompt"],
    "properties": {
        "model": {"enum": ["sora-2"]},
        "prompt": {"type": "string", "minLength": 1, "maxLength": 5},
        "metadata": {"type": "object", "maxProperties": 1},
        "seconds": {"enum": ["4"]},
    },
}

REQUESTS = [
    {"model": "sora-2", "prompt": "a"},
    {"model": "sora-2", "prompt": ""},
    {"model": "sora-2", "prompt": "b"},
    {"model": "sora-2", "prompt": "too long"},
    {"model": "sora-1", "prompt": "a"},
    {"model": "sora-1", "prompt": "too long"},
    {"model": "sora-2", "prompt": "a", "metadata": {}},
    {"model": "sora-2", "prompt": "a", "metadata": {"a": 1, "b": 2}},
    {"model": "sora-2", "prompt": "", "metadata": {"a": 1, "b": 2}},
    {"model": "sora-2"},
    {"model": "sora-2", "metadata": {}},
    {"prompt": "a", "fps": 24},
    {"prompt": "a", "fps": [24]},
    {},
]


def test_the_quick_check_of_requests_finds_what_the_slow_one_finds() -> None:
    check = checker(REQUEST)

    def order(finding: Finding) -> str:
        return repr(finding)

    for request in REQUESTS * 2:
        assert sorted(check(request), key=order) == sorted(findings(request, REQUEST), key=order), request

"""Tables of prompts: bytes to rows, and every row that cannot be read a problem at its line."""

from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest

from pipeline.errors import Problem
from pipeline.tables import MAX_ROWS, Row, Table, read


def opened(data: str | bytes, file: str) -> Table | list[Problem]:
    raw = BytesIO(data.encode() if isinstance(data, str) else data)
    lines = TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline="")
    return read(lines, file=file, suffix=Path(file).suffix.lower())


def parse(data: str | bytes, file: str) -> tuple[list[Row], list[Problem]]:
    table = opened(data, file)
    if not isinstance(table, Table):
        return [], table
    items = list(table.rows)
    return [i for i in items if isinstance(i, Row)], [i for i in items if isinstance(i, Problem)]


def rows(data: str | bytes, file: str) -> list[tuple[int, dict[str, object]]]:
    found, problems = parse(data, file=file)
    assert problems == []
    return [(row.line, dict(row.cells)) for row in found]


def told(data: str | bytes, file: str) -> list[tuple[int, int, str]]:
    _, problems = parse(data, file=file)
    assert all(problem.message and problem.fix and problem.file == file for problem in problems)
    return [(problem.line, problem.column, problem.rule) for problem in problems]


def test_text_has_one_prompt_a_line() -> None:
    text = "\ufeffone\r\n\n  two\t\rthree\u2028still three\x85and still\n"
    assert rows(text, "p.txt") == [
        (1, {"prompt": "one"}),
        (3, {"prompt": "two"}),
        (4, {"prompt": "three\u2028still three\x85and still"}),
    ]


def test_csv_has_a_header_and_cells_of_several_lines() -> None:
    text = 'a, b c ,d\n1,"two\nlines","say ""x"""\n\n4,,\n'
    assert rows(text, "p.CSV") == [
        (2, {"a": "1", "b c": "two\nlines", "d": 'say "x"'}),
        (5, {"a": "4", "b c": "", "d": ""}),
    ]


def test_json_lines_keep_the_spelling_of_numbers() -> None:
    text = '{"a": 1.50, "b": true, "c": "\\ud83e\\udd8a", "d": null}\n \n{"e": [1], "a": 10000000000000000000000}'
    assert rows(text, "p.jsonl") == [
        (1, {"a": "1.50", "b": "true", "c": "🦊", "d": None}),
        (3, {"e": ["1"], "a": "10000000000000000000000"}),
    ]


@pytest.mark.parametrize(
    ("file", "data", "expected"),
    [
        ("p.txt", "", [(1, 1, "empty-table")]),
        ("p.txt", " \n\t\n", [(1, 1, "empty-table")]),
        ("p.csv", "a,b\n", [(1, 1, "empty-table")]),
        ("p.jsonl", "\n", [(1, 1, "empty-table")]),
        ("p.txt", "one\ntw\0o\n", [(2, 3, "character")]),
        ("p.txt", "café".encode("latin-1"), [(1, 4, "encoding")]),
        ("p.txt", "a".encode("utf-16"), [(1, 1, "encoding")]),
        ("p.csv", "a,a\n1,2\n", [(1, 1, "table-header")]),
        ("p.csv", "\na,\n1,2\n", [(2, 1, "table-header")]),
        ("p.csv", "a,b\n1\n1,2\n1,2,3\n", [(2, 1, "ragged-row"), (4, 1, "ragged-row")]),
        ("p.csv", 'a\n1\n"x\ny"z\n2\n', [(3, 1, "table-syntax")]),
        ("p.csv", 'a\n1\n"open\n2\n', [(3, 1, "table-syntax")]),
        ("p.csv", f"a\n{'x' * 200_000}\n", [(2, 1, "table-syntax")]),
        ("p.jsonl", '{"a": 1}\n{"a" 1}\n', [(2, 6, "table-syntax")]),
        (
            "p.jsonl",
            '[]\n"a"\n{"a": "x"} x\n',
            [(1, 1, "table-syntax"), (2, 1, "table-syntax"), (3, 12, "table-syntax")],
        ),
        ("p.jsonl", '{"a": 1, "a": 2}', [(1, 1, "table-syntax")]),
        ("p.jsonl", '{"a": Infinity}', [(1, 1, "table-syntax")]),
        ("p.jsonl", '{"a": ["\\ud800"]}', [(1, 1, "character")]),
        ("p.jsonl", '{"\\udfff": 1}', [(1, 1, "character")]),
        ("p.jsonl", "[" * 100_000, [(1, 1, "table-syntax")]),
    ],
)
def test_what_cannot_be_read_is_a_problem_at_its_line(
    file: str, data: str | bytes, expected: list[tuple[int, int, str]]
) -> None:
    assert told(data, file) == expected


def test_rows_that_can_be_read_are_there_beside_problems() -> None:
    table = opened(b"a,b\n1\n1,2\n", file="p.csv")
    assert isinstance(table, Table)
    assert [*table.columns] == ["a", "b"]
    assert [type(item) for item in table.rows] == [Problem, Row]


def test_there_are_no_more_rows_than_anybody_can_pay() -> None:
    assert told(b"x\n" * (MAX_ROWS + 5), "p.txt") == [(MAX_ROWS + 1, 1, "too-many-jobs")]

"""Tables of prompts, a row for each job: ``.txt``, ``.csv`` and ``.jsonl`` from bytes to values. Pure.

``.txt`` has one prompt a line, in the column ``prompt``. ``.csv`` has a header. ``.jsonl`` has one object a line;
numbers keep the spelling that they have there. Blank lines are no rows.
"""

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, NamedTuple

from pipeline.document import MAX_PROBLEMS, Place, Text, decode
from pipeline.errors import Problem

MAX_BYTES = 256 << 20
MAX_ROWS = 1_000_000


class Row(NamedTuple):
    """A row at the line where it starts. Cells of ``.jsonl`` may be no text: None, a list or a mapping."""

    line: int
    cells: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """``columns`` are those that any row has, in the order of the file."""

    file: str
    columns: tuple[str, ...]
    rows: list[Row]

    def place(self, row: Row) -> Place:
        return Place(self.file, row.line, 1)


def parse(data: bytes, *, file: str) -> tuple[Table | None, list[Problem]]:
    """Return the rows that can be read and a problem for each that cannot; None where there are no rows.

    The suffix of ``file`` is one of FORMATS.
    """
    text, problems = decode(data, file=file, table=True)
    if problems:
        return None, problems
    rows: list[Row] = []
    for row in FORMATS[PurePath(file).suffix.lower()](text):
        if isinstance(row, Row):
            rows.append(row)
        else:
            problems.append(row)
        if len(rows) > MAX_ROWS or len(problems) >= MAX_PROBLEMS:
            break
    if len(rows) > MAX_ROWS:
        problems.append(
            Place(file, rows.pop().line, 1).problem("too-many-jobs", f"more than {MAX_ROWS:,} rows", "split it")
        )
    if not rows:
        return None, problems or [Place(file, 1, 1).problem("empty-table", "the table has no rows", "add one")]
    columns = dict.fromkeys(column for row in rows for column in row.cells)
    return Table(file, tuple(columns), rows), problems


def _text_rows(text: Text) -> Iterator[Row | Problem]:
    for number, line in text.lines():
        prompt = line.strip()
        if prompt:
            yield Row(number, {"prompt": prompt})


def _csv_rows(text: Text) -> Iterator[Row | Problem]:
    reader = csv.reader((line for _, line in text.lines()), strict=True)
    header: list[str] | None = None
    start = 1
    try:
        for cells in reader:
            place, start = Place(text.file, start, 1), reader.line_num + 1
            if not cells:
                continue
            if header is None:
                header = [name.strip() for name in cells]
                if "" in header or len(set(header)) < len(header):
                    yield place.problem("table-header", "every column needs a name of its own", "mend the first row")
                    return
            elif len(cells) == len(header):
                yield Row(place.line, dict(zip(header, cells, strict=True)))
            else:
                message = f"cells in this row: {len(cells)}; columns in the first: {len(header)}"
                yield place.problem("ragged-row", message, "put a cell that holds a comma in quotes")
    except csv.Error as error:
        fix = "put cells with commas or quotes in double quotes, and write a double quote inside twice"
        yield Place(text.file, start, 1).problem("table-syntax", f"this row is not CSV: {error}", fix)


def _json_rows(text: Text) -> Iterator[Row | Problem]:
    for number, line in text.lines():
        if not line.strip():
            continue
        place = Place(text.file, number, 1)
        try:
            cells = _DECODER.decode(line)
        except json.JSONDecodeError as error:
            place = place._replace(column=min(error.colno, len(line)))
            yield place.problem("table-syntax", f"this line is not JSON: {error.msg}", _JSON_FIX)
        except (ValueError, RecursionError) as error:
            yield place.problem("table-syntax", f"this line cannot be read: {error}", _JSON_FIX)
        else:
            yield _json_row(place, line, cells)


def _json_row(place: Place, line: str, cells: Any) -> Row | Problem:
    if not isinstance(cells, dict):
        return place.problem("table-syntax", "this line is no JSON object", _JSON_FIX)
    if "\\u" in line:
        try:
            json.dumps(cells, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            return place.problem("character", "half of a surrogate pair is no character", "write both halves")
    return Row(place.line, {key: _WORDS[cell] if isinstance(cell, bool) else cell for key, cell in cells.items()})


_JSON_FIX = 'write one object a line, like {"prompt": "A city"}'
_WORDS = {True: "true", False: "false"}


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has the same key twice")
    return found


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_int=str, parse_float=str, parse_constant=_refuse)

FORMATS: Mapping[str, Callable[[Text], Iterator[Row | Problem]]] = {
    ".txt": _text_rows,
    ".csv": _csv_rows,
    ".jsonl": _json_rows,
}

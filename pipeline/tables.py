"""Tables of prompts, a row for each job: lines to values, one at a time. Pure.

``.txt`` has one prompt a line, in the column ``prompt``. ``.csv`` and ``.tsv`` have a header. ``.jsonl`` has one object
a line, and the columns of its first; numbers keep the spelling that they have there. Blank lines are no rows.
"""

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

from pipeline.document import Place
from pipeline.errors import Problem

MAX_BYTES = 4 << 30
MAX_LINE = 16 << 20
MAX_ROWS = 1_000_000
_LISTED = 20
"""Characters of one line that are said to be wrong."""


class Number(str):
    """A number as it is spelled in the table."""

    __slots__ = ()


class Header(NamedTuple):
    """The columns of a table. Comes before its first row."""

    columns: tuple[str, ...]


class Row(NamedTuple):
    """The ``number``-th row, from 1, at the line where it starts, with its text.

    Cells may be no text: None, a list or a mapping.
    """

    number: int
    line: int
    cells: Mapping[str, Any]
    text: str = ""


Item = Header | Row | Problem


@dataclass(frozen=True, slots=True)
class Table:
    """Rows and what is wrong between them, in the order of the file; they can be read once.

    ``columns`` has the place of each column in a row.
    """

    file: str
    columns: Mapping[str, int]
    rows: Iterator[Row | Problem]
    locate: Callable[[Row, str], tuple[int, int]]

    def place(self, row: Row, column: str | None = None) -> Place:
        """Return where the row starts, or where its cell does."""
        line, start = (0, 1) if column is None else self.locate(row, column)
        return Place(self.file, row.line + line, start)


def table(items: Iterator[Item], file: str, locate: Callable[[Row, str], tuple[int, int]]) -> Table | list[Problem]:
    """Return the table whose header comes among the items, or why there is none."""
    before: list[Problem] = []
    for item in items:
        if isinstance(item, Header):
            columns = {name: index for index, name in enumerate(item.columns)}
            return Table(file, columns, _counted(items, file, before), locate)
        if isinstance(item, Problem):
            before.append(item)
    return before or [_no_rows(file)]


def _counted(items: Iterator[Item], file: str, before: list[Problem]) -> Iterator[Row | Problem]:
    yield from before
    empty = not before
    for item in items:
        if isinstance(item, Header):
            continue
        empty = False
        if isinstance(item, Row) and item.number > MAX_ROWS:
            yield Place(file, item.line, 1).problem("too-many-jobs", f"more than {MAX_ROWS:,} rows", "split it")
            return
        yield item
    if empty:
        yield _no_rows(file)


def _no_rows(file: str) -> Problem:
    return Place(file, 1, 1).problem("empty-table", "the table has no rows", "add one")


def read(lines: Iterable[str], *, file: str, suffix: str) -> Table | list[Problem]:
    """Return the table in lines of text, bytes that are no UTF-8 as lone surrogates, or why there is none.

    ``suffix`` is one of FORMATS.
    """
    reader, locate = FORMATS[suffix]
    return table(reader(_Lines(lines, file)), file, locate)


_BAD = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


class _Lines:
    """Lines without the characters that are no text.

    ``taken`` are those since the last row, ``faults`` what was wrong in them. After bytes that are no UTF-8 there are
    no more lines: they would not be what the author sees.
    """

    def __init__(self, lines: Iterable[str], file: str) -> None:
        self.file = file
        self.number = 0
        self.taken: list[str] = []
        self.faults: list[Problem] = []
        self._lines = iter(lines)

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self.number += 1
            place = Place(self.file, self.number, 1)
            if len(line) >= MAX_LINE:
                self.faults.append(place.problem("too-large", f"a line of more than {MAX_LINE >> 20} MiB", "split it"))
                return
            bad = [*islice(_BAD.finditer(line), _LISTED)]
            for found in bad:
                self.faults.append(_bad_character(place._replace(column=found.start() + 1), line))
                if self.faults[-1].rule == "encoding":
                    return
            self.taken.append(_BAD.sub("", line) if bad else line)
            yield self.taken[-1]

    def row(self) -> tuple[int, str]:
        """Return the number of the first line since the last row, and the text since then."""
        start, text = self.number - len(self.taken) + 1, "".join(self.taken)
        self.taken.clear()
        return start, text

    def wrong(self) -> Iterator[Problem]:
        yield from self.faults
        self.faults.clear()


def _bad_character(place: Place, line: str) -> Problem:
    char = line[place.column - 1]
    if char < "\ud800":
        return place.problem("character", f"the character U+{ord(char):04X} cannot stand here", "remove it")
    utf16 = place.line == 1 and line.startswith(("\udcff\udcfe", "\udcfe\udcff"))
    fix = "it is UTF-16: save it as UTF-8" if utf16 else "save it as UTF-8"
    return place.problem("encoding", "the file is not UTF-8 text", fix)


def _text_rows(lines: _Lines) -> Iterator[Item]:
    yield Header(("prompt",))
    number = 0
    for line in lines:
        yield from lines.wrong()
        start, text = lines.row()
        prompt = line.strip()
        if prompt:
            number += 1
            yield Row(number, start, {"prompt": prompt}, text)
    yield from lines.wrong()


def _csv_rows(lines: _Lines, *, delimiter: str) -> Iterator[Item]:
    reader = csv.reader(lines, strict=True, delimiter=delimiter)
    header: list[str] | None = None
    separator = "tab" if delimiter == "\t" else "comma"
    number = 0
    try:
        for cells in reader:
            yield from lines.wrong()
            start, text = lines.row()
            if not cells:
                continue
            place = Place(lines.file, start, 1)
            if header is None:
                header = [name.strip() for name in cells]
                if "" in header or len(set(header)) < len(header):
                    yield place.problem("table-header", "every column needs a name of its own", "mend the first row")
                    return
                yield Header(tuple(header))
            elif len(cells) == len(header):
                number += 1
                # A table that was saved with other ends of lines asks for the same videos.
                clean = [_LINE_END.sub("\n", cell) if "\r" in cell else cell for cell in cells]
                yield Row(number, start, dict(zip(header, clean, strict=True)), text)
            else:
                number += 1
                has = f"{len(cells)} cell{'s'[: len(cells) != 1]}"
                message = f"row {number} has {has}, and there are {len(header)} columns"
                yield place.problem("ragged-row", message, f"put a cell that holds a {separator} in quotes")
    except csv.Error as error:
        if not lines.faults:
            place, limit = Place(lines.file, lines.row()[0], 1), csv.field_size_limit()
            if "field limit" in str(error):
                message, fix = (
                    f"a cell of this row has more than {limit:,} characters",
                    "shorten it, or close its quote",
                )
            else:
                message = f"this row is not CSV: {error}"
                fix = "put cells with commas or quotes in double quotes, and write a double quote inside twice"
            yield place.problem("table-syntax", message, fix)
    yield from lines.wrong()


_LINE_END = re.compile(r"\r\n?|\n")


def _json_rows(lines: _Lines) -> Iterator[Item]:
    number, headed = 0, False
    for line in lines:
        yield from lines.wrong()
        start, text = lines.row()
        if not line.strip():
            continue
        number += 1
        found = _json_row(Place(lines.file, start, 1), line)
        if isinstance(found, Problem):
            yield found
            continue
        if not headed:
            headed = True
            yield Header(tuple(found))
        yield Row(number, start, found, text)
    yield from lines.wrong()


def _json_row(place: Place, line: str) -> dict[str, Any] | Problem:
    try:
        cells = _DECODER.decode(line)
    except json.JSONDecodeError as error:
        place = place._replace(column=min(error.colno, len(line)))
        return place.problem("table-syntax", f"this line is not JSON: {error.msg}", _JSON_FIX)
    except (ValueError, RecursionError) as error:
        return place.problem("table-syntax", f"this line cannot be read: {error}", _JSON_FIX)
    if not isinstance(cells, dict):
        return place.problem("table-syntax", "this line is no JSON object", _JSON_FIX)
    if "\\u" in line:
        try:
            json.dumps(cells, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            return place.problem("character", "half of a surrogate pair is no character", "write both halves")
    return {key: _WORDS[cell] if isinstance(cell, bool) else cell for key, cell in cells.items()}


_JSON_FIX = 'write one object a line, like {"prompt": "A city"}'
_WORDS = {True: "true", False: "false"}


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has the same key twice")
    return found


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_int=Number, parse_float=Number, parse_constant=_refuse)


def _at_text(row: Row, _column: str) -> tuple[int, int]:
    return 0, len(row.text) - len(row.text.lstrip()) + 1


def _at_csv_cell(row: Row, column: str, *, delimiter: str) -> tuple[int, int]:
    """Return how many lines below the row's first the cell starts, and in which column."""
    left = [*row.cells].index(column)
    quoted, opening, index = False, True, 0
    while left:
        char = row.text[index]
        if quoted or (opening and char == '"'):
            quoted = quoted != (char == '"')  # a doubled quote closes and opens again
            opening = char == '"'
        else:
            opening = char == delimiter
            left -= opening
        index += 1
    before = _LINE_END.split(row.text[:index])
    return len(before) - 1, len(before[-1]) + 1


def _at_json_cell(row: Row, column: str) -> tuple[int, int]:
    line, index = row.text, row.text.index("{") + 1
    while True:
        name, index = _DECODER.raw_decode(line, line.index('"', index))
        after = line.index(":", index) + 1
        start = len(line) - len(line[after:].lstrip())
        if name == column:
            return 0, start + 1
        _, index = _DECODER.raw_decode(line, start)
        index = line.find(",", index)
        if index < 0:
            return 0, 1


_Reader = Callable[[_Lines], Iterator[Item]]
FORMATS: Mapping[str, tuple[_Reader, Callable[[Row, str], tuple[int, int]]]] = {
    ".txt": (_text_rows, _at_text),
    ".csv": (partial(_csv_rows, delimiter=","), partial(_at_csv_cell, delimiter=",")),
    ".tsv": (partial(_csv_rows, delimiter="\t"), partial(_at_csv_cell, delimiter="\t")),
    ".jsonl": (_json_rows, _at_json_cell),
}

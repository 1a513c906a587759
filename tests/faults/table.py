"""The fault table of ``docs/reliability.md``, read from the page itself: there is no second copy to go stale. Pure.

A row has a number, what goes wrong, what happens, its tests, and the mutants that turn them red. A mutant is written
as ``file``: ``this`` → ``that``, with ``, in `function` `` behind the file where ``this`` occurs elsewhere too. A row
that is not ours, or not yet, has no tests and no mutants, and says why in their place.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

HEADING = "## The fault table"
NUMBERS = range(1, 58)
"""Of the faults that the table must speak of."""

_REASONS = ("Not ours: ", "Not yet: ")
_CELL = re.compile(r"(?<!\\)\|")
_LINE = re.compile(r" *<br> *")
_TEST = re.compile(r"`(tests/[\w/]+\.py::[^`]+)`")
_MUTANT = re.compile(r"`([\w/.]+)`(?:, in `(\w+)`)?: `([^`]+)` → `([^`]+)`")


class Wrong(Exception):
    """The page, or a mutant in it, is not as it should be."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One line of the code made wrong: ``this`` becomes ``that``, in the one place of the file, or of its function."""

    file: str
    function: str | None
    this: str
    that: str

    def applied(self, text: str) -> str:
        """Return the file's text with the mutant in it. Raises Wrong where it is not there exactly once."""
        first, last = _lines_of(text, self.function) if self.function else (0, len(text.splitlines()))
        lines = text.splitlines(keepends=True)
        places = [number for number in range(first, last) for _ in range(lines[number].count(self.this))]
        if len(places) != 1:
            raise Wrong(f"{self.file}: {self.this!r} is there {len(places)} times")
        lines[places[0]] = lines[places[0]].replace(self.this, self.that)
        made = "".join(lines)
        try:
            compile(made, self.file, "exec")
        except SyntaxError as error:
            raise Wrong(f"{self.file}: {self.that!r} is no Python there: {error.msg}") from error
        return made

    def __str__(self) -> str:
        return f"{self.file}: {self.this} → {self.that}"


@dataclass(frozen=True, slots=True)
class Row:
    """A fault. ``reason`` says why a row has no tests; ``tests`` are as pytest calls them, with all of their cases."""

    number: int
    fault: str
    behaviour: str
    tests: tuple[str, ...]
    mutants: tuple[Mutant, ...]
    reason: str | None


def rows(page: str) -> list[Row]:
    """Return the rows of the page's tables below the heading. Raises Wrong for one that cannot be read."""
    return [_row(line) for line in _table_lines(page)]


def shows(test: str, nodeid: str) -> bool:
    """Tell whether pytest's name of a test is that test, or one of its cases."""
    return nodeid == test or nodeid.startswith(f"{test}[")


def flaws(found: list[Row], sources: Mapping[str, str]) -> Iterator[str]:
    """Yield what is wrong with the table. ``sources`` holds the texts of the files that mutants name."""
    numbers = [row.number for row in found]
    yield from (f"row {number} is missing" for number in NUMBERS if number not in numbers)
    if numbers != sorted(numbers):
        yield "the rows are not in their order"
    for row in found:
        if row.reason is None and not (row.tests and row.mutants):
            yield f"row {row.number} needs a test and a mutant, or a reason"
        for mutant in row.mutants:
            try:
                mutant.applied(sources[mutant.file])
            except Wrong as error:
                yield f"row {row.number}: {error}"


def _table_lines(page: str) -> Iterator[str]:
    _, heading, below = page.partition(f"\n{HEADING}\n")
    if not heading:
        raise Wrong(f"the page has no heading {HEADING!r}")
    for line in below.splitlines():
        if line.startswith("## "):
            return
        if re.match(r"\| *[0-9]", line):
            yield line


def _row(line: str) -> Row:
    cells = [cell.strip().replace(r"\|", "|") for cell in _CELL.split(line)[1:-1]]
    if len(cells) != 5:
        raise Wrong(f"a row has {len(cells)} cells instead of 5: {line[:60]}")
    number, fault, behaviour, shown, mutated = cells
    if not (number.isdecimal() and fault and behaviour):
        raise Wrong(f"a row needs a number, a fault, and what happens: {line[:60]}")
    if shown.startswith(_REASONS) and not mutated:
        return Row(int(number), fault, behaviour, (), (), shown)
    tests = tuple(_matched(_TEST, text, number)[1] for text in _LINE.split(shown))
    mutants = tuple(Mutant(*_matched(_MUTANT, text, number).groups()) for text in _LINE.split(mutated))
    return Row(int(number), fault, behaviour, tests, mutants, None)


def _matched(pattern: re.Pattern[str], text: str, number: str) -> re.Match[str]:
    found = pattern.fullmatch(text)
    if found is None:
        raise Wrong(f"row {number}: this is neither a test nor a mutant: {text!r}")
    return found


def _lines_of(text: str, function: str) -> tuple[int, int]:
    """Return the first line of the file's one function of that name, from 0, and the one behind it."""
    tree = ast.parse(text)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    found = [node for node in functions if node.name == function]
    if len(found) != 1 or found[0].end_lineno is None:
        raise Wrong(f"there are {len(found)} functions {function}")
    return found[0].lineno - 1, found[0].end_lineno

"""A terminal, as far as a live table uses one: it moves its cursor, erases, scrolls, and has another size by and by.

There are two kinds of it. One breaks lines anew when it becomes narrower, as most do today; the other cuts them.
"""

import re
from dataclasses import dataclass, field

from rich.cells import cell_len

_TOKEN = re.compile(
    r"\x1b\[(\??)([\d;]*)([A-Za-z])|\x1b\][^\x07]*\x07|([\x00-\x1f])|([^\x00-\x1f\x1b])|(\x1b.?)", re.DOTALL
)
_UNFINISHED = re.compile(r"\x1b(\[\??[\d;]*)?\Z")


@dataclass
class _Row:
    cells: list[str] = field(default_factory=list)
    goes_on: bool = False


class Terminal:
    """``broken`` counts lines that did not fit when they were printed. What was scrolled away is above ``screen``."""

    def __init__(self, columns: int, rows: int, *, reflows: bool = True) -> None:
        self.columns, self.rows, self.reflows = columns, rows, reflows
        self.broken = 0
        self.cursor_is_shown = True
        self.unknown: list[str] = []
        self._lines = [_Row()]
        self._x = self._y = 0
        self._rest = ""

    def write(self, text: str) -> None:
        text = self._rest + text
        cut = _UNFINISHED.search(text)
        self._rest = text[cut.start() :] if cut else ""
        for token in _TOKEN.finditer(text[: cut.start()] if cut else text):
            private, numbers, command, control, letter, escape = token.groups()
            if command:
                self._obey(private + command, [int(number or 0) for number in numbers.split(";")])
            elif control:
                self._control(control)
            elif letter:
                self._print(letter)
            elif escape:
                self.unknown.append(escape)

    def resize(self, columns: int, rows: int) -> None:
        if self.reflows:
            self._reflow(columns)
        else:
            for line in self._lines:
                del line.cells[columns:]
        self.columns, self.rows = columns, rows
        self._x = min(self._x, columns - 1)

    @property
    def screen(self) -> list[str]:
        """The lines that can be seen."""
        return [_text(line) for line in self._lines[self._top :]]

    @property
    def everything(self) -> list[str]:
        """The lines that can be seen, and those above."""
        return [_text(line) for line in self._lines]

    @property
    def _top(self) -> int:
        return max(0, len(self._lines) - self.rows)

    def _print(self, letter: str) -> None:
        width = cell_len(letter)
        if not width:
            return
        if self._x + width > self.columns:
            self.broken += 1
            self._lines[self._y].goes_on = True
            self._down()
            self._x = 0
        cells = self._lines[self._y].cells
        cells += [" "] * (self._x + width - len(cells))
        cells[self._x : self._x + width] = [letter, *[""] * (width - 1)]
        self._x += width

    def _control(self, letter: str) -> None:
        if letter == "\r":
            self._x = 0
        elif letter == "\n":
            self._x = 0
            self._down()
        else:
            self.unknown.append(letter)

    def _down(self) -> None:
        self._y += 1
        if self._y == len(self._lines):
            self._lines.append(_Row())

    def _obey(self, command: str, numbers: list[int]) -> None:
        match command:
            case "A":
                self._y = max(self._top, self._y - max(1, numbers[0]))
            case "K":
                assert numbers[0] == 2
                self._lines[self._y] = _Row()
            case "H":
                self._y, self._x = self._top, 0
            case "J":
                for number in range(self._top, len(self._lines)):
                    self._lines[number] = _Row()
            case "?h" | "?l":
                if numbers == [25]:
                    self.cursor_is_shown = command == "?h"
            case "m":
                pass
            case _:
                self.unknown.append(command)

    def _reflow(self, columns: int) -> None:
        """Break every line anew that was printed as one. The cursor stays at its letter."""
        lines: list[_Row] = []
        whole: list[str] = []
        cursor: int | None = None
        for number, line in enumerate(self._lines):
            if number == self._y:
                cursor = len(whole) + self._x
            whole += line.cells
            if not line.goes_on:
                pieces = [whole[at : at + columns] for at in range(0, max(1, len(whole)), columns)]
                if cursor is not None:
                    self._y, self._x = len(lines) + min(cursor // columns, len(pieces) - 1), cursor % columns
                    cursor = None
                lines += [_Row(piece, goes_on=piece is not pieces[-1]) for piece in pieces]
                whole = []
        self._lines = lines


def _text(line: _Row) -> str:
    return "".join(line.cells).rstrip()

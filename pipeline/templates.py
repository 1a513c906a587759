r"""``{{ name }}`` in a manifest's texts: plain substitution, one pass. Pure.

No expressions, no environment, no attributes. What is put in is never read as a template again. ``\{{`` stands for
``{{`` itself.
"""

import operator
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from pipeline import hints

ROW = "row."
ROW_NUMBER = "row_number"
MAX_TEXT = 16 << 20
"""Characters of one text with everything in it."""
TOO_LONG = ("too-large", f"with everything in it, this text has more than {MAX_TEXT >> 20} MiB", "put less into it")
_MAX_NAME = 200
_ENTRY = 128


class TextTooLong(Exception):
    """What a row puts into a text makes it longer than MAX_TEXT."""


class Slot(NamedTuple):
    """A part of a text that differs from row to row: a column by its name, or with None the row's number."""

    column: str | None


@dataclass(frozen=True, slots=True)
class Template:
    """A text with slots. Texts without any are plain str."""

    parts: tuple[str | Slot, ...]


class Fault(NamedTuple):
    """A placeholder that cannot be filled: the nth ``{{`` (from 0) of the text at the path."""

    path: tuple[str | int, ...]
    nth: int
    rule: str
    message: str
    fix: str


@dataclass(frozen=True, slots=True)
class Scope:
    """What names mean, and which were ``used``.

    ``columns`` are those of the job's table: none without one, None where it cannot be read. ``rows``: a table could
    help.
    """

    names: Mapping[str, str | Slot]
    columns: Collection[str] | None = ()
    table: str | None = None
    advice: str = "declare it in `vars`"
    used: set[str] = field(default_factory=set)
    rows: bool = True

    def meaning(self, name: str) -> str | Slot | None:
        if name in self.names:
            self.used.add(name)
            return self.names[name]
        column = name.removeprefix(ROW)
        there = self.columns is None or column in self.columns
        return Slot(column) if name.startswith(ROW) and there else None

    def unknown(self, name: str) -> tuple[str, str, str]:
        """Return rule, message and fix for a name that means nothing here."""
        inner = name.partition(".")[2]
        if inner in self.names and not name.startswith(ROW):
            return "undefined-name", f"nothing is called {name} here", f"write {{{{ {inner} }}}}"
        if not _NAME.fullmatch(name):
            message = "between {{ and }} stands one name: no expressions, no environment"
            return "placeholder", message, r"write a name, or \{{ for a literal {{"
        if self.table is None and self.rows and (name.startswith(ROW) or name == ROW_NUMBER):
            return "undefined-name", f"{name} is defined only in a job with `from`", "add from: prompts.csv"
        if name.startswith(ROW) and self.rows:
            columns = list(self.columns or ())
            meant = hints.close(name.removeprefix(ROW), columns)
            fix = f"write {{{{ {ROW}{meant or next(iter(columns), 'column')} }}}}"
            return "undefined-name", f"{self.table} has no such column, only {', '.join(columns[:20])[:300]}", fix
        if name in (self.columns or ()):
            return "undefined-name", f"{name} is a column of the table", f"write {{{{ {ROW}{name} }}}}"
        meant = hints.close(name, self.names)
        return "undefined-name", f"nothing is called {name} here", f"write {{{{ {meant} }}}}" if meant else self.advice


_NAME = re.compile(r"(row\.)?[^\W\d][\w-]*|row\..+")
_TOKEN = re.compile(r"\\\{\{|\{\{([^{}]*)\}\}|\{\{")


def bound(value: Any, scope: Scope, faults: list[Fault], path: tuple[str | int, ...] = ()) -> Any:
    """Return the value with the placeholders of all its texts filled, or left as slots where rows decide.

    Where nothing is to be filled it is the same value. Keys are no templates. What cannot be filled is added to
    ``faults`` and left out.
    """
    if isinstance(value, str):
        return _bound_text(value, scope, faults, path) if _has_placeholder(value) else value
    if isinstance(value, dict):
        mapping = {key: bound(inner, scope, faults, (*path, key)) for key, inner in value.items()}
        return value if all(mapping[key] is value[key] for key in value) else mapping
    if isinstance(value, list):
        entries = [bound(inner, scope, faults, (*path, index)) for index, inner in enumerate(value)]
        return value if all(map(operator.is_, entries, value)) else entries
    return value


@lru_cache(64)
def _has_placeholder(text: str) -> bool:
    """Search a text once, which may be 20 MiB of an image that all jobs share."""
    return "{{" in text


def growth(new: Any, old: Any) -> int:
    """Return about how many bytes of memory a value takes beside the one that it was made of."""
    if new is old:
        return 0
    if isinstance(new, str):
        return len(new)
    if isinstance(new, Template):
        return sum(len(part) for part in new.parts if isinstance(part, str))
    if isinstance(new, dict):
        before = old if isinstance(old, dict) else {}
        return sum(_ENTRY + growth(inner, before.get(key)) for key, inner in new.items())
    if isinstance(new, list):
        pairs = (
            zip(new, old, strict=True) if isinstance(old, list) and len(old) == len(new) else ((e, None) for e in new)
        )
        return sum(_ENTRY + growth(inner, before) for inner, before in pairs)
    return 0


def count(value: Any) -> int:
    """Return how many placeholders a value may have."""
    if isinstance(value, str):
        return value.count("{{") if _has_placeholder(value) else 0
    if isinstance(value, dict):
        return sum(map(count, value.values()))
    return sum(map(count, value)) if isinstance(value, list) else 0


def names_in(value: Any) -> frozenset[str]:
    """Return the names between the ``{{`` and ``}}`` of all texts in a value as it is written."""
    if isinstance(value, str):
        return frozenset(token[1].strip() for token in _TOKEN.finditer(value) if token[1] is not None)
    if isinstance(value, dict):
        return frozenset().union(*map(names_in, value.values()))
    return frozenset().union(*map(names_in, value)) if isinstance(value, list) else frozenset()


def slots(value: Any) -> frozenset[str | None]:
    """Return the columns that a bound value depends on, with None for the row's number."""
    if isinstance(value, Template):
        return frozenset(part.column for part in value.parts if isinstance(part, Slot))
    if isinstance(value, dict):
        return frozenset().union(*map(slots, value.values()))
    return frozenset().union(*map(slots, value)) if isinstance(value, list) else frozenset()


def filled(value: Any, cells: Mapping[str, str], number: int = 0) -> Any:
    """Return a bound value for one row. The cells have every column of ``slots``.

    Raises TextTooLong.
    """
    if isinstance(value, Template):
        parts = [part if isinstance(part, str) else _cell(part, cells, number) for part in value.parts]
        if sum(map(len, parts)) > MAX_TEXT:
            raise TextTooLong
        return "".join(parts)
    if isinstance(value, dict):
        return {key: filled(inner, cells, number) for key, inner in value.items()}
    return [filled(inner, cells, number) for inner in value] if isinstance(value, list) else value


def _cell(slot: Slot, cells: Mapping[str, str], number: int) -> str:
    return str(number) if slot.column is None else cells[slot.column]


def _bound_text(text: str, scope: Scope, faults: list[Fault], path: tuple[str | int, ...]) -> str | Template:
    parts = list(_parts(text, scope, faults, path))
    if sum(len(part) for part in parts if isinstance(part, str)) > MAX_TEXT:
        faults.append(Fault(path, 0, *TOO_LONG))
        return ""
    return Template(tuple(parts)) if any(isinstance(part, Slot) for part in parts) else "".join(map(str, parts))


def _parts(text: str, scope: Scope, faults: list[Fault], path: tuple[str | int, ...]) -> Iterator[str | Slot]:
    end = 0
    for nth, token in enumerate(_TOKEN.finditer(text)):
        yield text[end : token.start()]
        end = token.end()
        if token[0].startswith("\\"):
            yield "{{"
        elif token[1] is None:
            faults.append(Fault(path, nth, "placeholder", "{{ without }}", r"close it, or write \{{ for a literal {{"))
        else:
            name = token[1].strip()[:_MAX_NAME]
            meaning = scope.meaning(name)
            if meaning is None:
                faults.append(Fault(path, nth, *scope.unknown(name)))
            else:
                yield meaning
    yield text[end:]

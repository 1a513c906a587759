"""``matrix`` and lists of prompts: the combinations of their values, each a job of its own. Pure.

As in GitHub Actions: every combination of the axes, without those that an entry of ``exclude`` fits; then each entry of
``include`` adds its keys to all combinations whose own values it does not change, or else is a combination itself.
"""

import hashlib
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

from pipeline import hints
from pipeline.document import Document, Path
from pipeline.errors import Problem
from pipeline.jobs import canonical_json

MAX_COMBINATIONS = 100_000
MAX_WORK = 20_000_000
"""Combinations times the entries that each is held against."""

_IN_NAMES = re.compile(r"[A-Za-z0-9._-]{1,32}")


class Cell(NamedTuple):
    """One value of an axis, and where it is written."""

    value: Any
    document: Document
    path: Path

    @property
    def word(self) -> str:
        """The cell in a job's name: as it is where file names can hold it, else a part of its hash."""
        text = self.value if isinstance(self.value, str) else canonical_json(self.value)
        return text if _IN_NAMES.fullmatch(text) else hashlib.sha256(text.encode()).hexdigest()[:8]

    @property
    def spelling(self) -> str:
        return canonical_json(self.value)


@dataclass(frozen=True, slots=True)
class Combination:
    """The cells of one job by axis. ``suffix`` follows the id in its name."""

    cells: Mapping[str, Cell]
    suffix: str = ""


class Matrix:
    """``axes`` has the cells of each name that varies; ``include`` and ``exclude`` the entries of a job's matrix."""

    def __init__(
        self,
        axes: Mapping[str, Sequence[Cell]],
        include: Sequence[Mapping[str, Cell]],
        exclude: Sequence[Cell],
        written: Collection[str],
        prompts_are_listed: bool,
    ) -> None:
        """An entry of ``exclude`` is a cell whose value is a mapping. ``written`` has the wrong axes too.

        A list of prompts is an axis that every combination has.
        """
        self.axes, self.include, self.exclude, self._written = axes, include, exclude, written
        self._prompts_are_listed = prompts_are_listed

    @property
    def names(self) -> frozenset[str]:
        """Every name that some combination gives a value."""
        return frozenset(self.axes).union(*self.include)

    @property
    def size(self) -> int:
        """How many combinations there can be, before any is made."""
        return math.prod(map(len, self.axes.values())) + len(self.include)

    @property
    def work(self) -> int:
        return self.size * (1 + len(self.include) + len({frozenset(cell.value) for cell in self.exclude}))

    def combinations(self) -> tuple[list[Combination], list[Problem]]:
        """Return the combinations, and what is wrong or of no use in ``exclude``. Ask for ``work`` before."""
        kept, problems = self._without_excluded()
        original = [dict(cells) for cells in kept]
        alone: list[dict[str, Cell]] = []
        prompts: Sequence[Cell] = self.axes.get("prompt", ()) if self._prompts_are_listed else ()
        for entry in self.include:
            overlap = [name for name in entry if name in self.axes]
            fitting = [
                index
                for index, cells in enumerate(kept)
                if all(cells[name].spelling == entry[name].spelling for name in overlap)
            ]
            for index in fitting:
                original[index].update({name: cell for name, cell in entry.items() if name not in self.axes})
            if not fitting and prompts and "prompt" not in entry:
                alone += [{**entry, "prompt": prompt} for prompt in prompts]
            elif not fitting:
                alone.append(dict(entry))
        found = [Combination(cells, self._suffix(cells, self.axes)) for cells in original]
        return found + [Combination(cells, self._suffix(cells, {**self.axes, **cells})) for cells in alone], problems

    def _without_excluded(self) -> tuple[list[dict[str, Cell]], list[Problem]]:
        rules, problems = self._excluded()
        unused = {cell.path: cell for wanted in rules.values() for cell in wanted.values()}
        kept: list[dict[str, Cell]] = []
        for cells in product(*self.axes.values()) if self.axes else ():
            combination = dict(zip(self.axes, cells, strict=True))
            out = False
            for names, wanted in rules.items():
                hit = wanted.get(tuple(combination[name].spelling for name in names))
                if hit is not None:
                    unused.pop(hit.path, None)
                    out = True
            if not out:
                kept.append(combination)
        for cell in unused.values():
            place = cell.document.value_at(cell.path)
            message = "no combination has these values: nothing is left out"
            problems.append(place.warning("unused-exclude", message, "write values of the axes, or remove the entry"))
        return kept, problems

    def _excluded(self) -> tuple[dict[tuple[str, ...], dict[tuple[str, ...], Cell]], list[Problem]]:
        """Return the entries of ``exclude`` by their names and values, and those whose names are no axes."""
        rules: dict[tuple[str, ...], dict[tuple[str, ...], Cell]] = {}
        problems: list[Problem] = []
        for cell in self.exclude:
            strange = [name for name in cell.value if name not in self.axes]
            for name in strange:
                if name in self._written:
                    continue
                meant = hints.close(name, self.axes)
                fix = f"write {meant}" if meant else f"axes here: {', '.join(self.axes) or 'none'}"
                place = cell.document.key_at((*cell.path, name))
                problems.append(place.problem("exclude", f"the matrix has no axis {hints.spelled(name)}", fix))
            names = tuple(sorted(cell.value))
            if names and not strange:
                values = tuple(canonical_json(cell.value[name]) for name in names)
                rules.setdefault(names, {}).setdefault(values, cell)
        return rules, problems

    @staticmethod
    def _suffix(cells: Mapping[str, Cell], names: Mapping[str, object]) -> str:
        words = [cells[name].word for name in names if name in cells]
        return f"@{'-'.join(words)}" if words else ""


def matrix_of(written: Mapping[str, Any], document: Document, path: Path, prompts: Sequence[Cell] | None) -> Matrix:
    """Return the matrix that is written in the document at the path, with an axis for a list of prompts."""
    axes = {
        name: list(_cells(values, document, (*path, name)))
        for name, values in written.items()
        if name not in {"include", "exclude"}
    }
    include = [
        {name: Cell(value, document, (*path, "include", index, name)) for name, value in entry.items()}
        for index, entry in enumerate(written.get("include", ()))
        if entry
    ]
    exclude = [cell for cell in _cells(written.get("exclude", ()), document, (*path, "exclude")) if cell.value]
    prompt_axis = {"prompt": prompts} if prompts is not None else {}
    return Matrix({**axes, **prompt_axis}, include, exclude, document.names_at(path), prompts is not None)


def _cells(values: Sequence[Any], document: Document, path: Path) -> Iterator[Cell]:
    """What is wrong in a list was said, and is a null."""
    for index, value in enumerate(values):
        if value is not None:
            yield Cell(value, document, (*path, index))

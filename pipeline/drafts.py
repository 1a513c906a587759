"""An entry of ``jobs`` -> its drafts: everything filled in that does not depend on the rows of a table. Pure.

A draft is one combination of the entry's matrix; an entry without a matrix has one draft.
"""

from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import islice
from typing import Any

from pipeline import hints
from pipeline.document import Path, Place
from pipeline.errors import Problem
from pipeline.manifest import Entry, Layer, Manifest, is_there, merged
from pipeline.matrix import MAX_COMBINATIONS, MAX_WORK, Cell, Combination, Matrix, matrix_of
from pipeline.tables import Table
from pipeline.templates import ROW_NUMBER, Fault, Scope, Slot, Template, bound, count, growth, slots
from pipeline.validation import hitting

MAX_JOBS = 1_000_000
MAX_BYTES = 512 << 20
"""What texts and mappings of all jobs may come to, beside those that they share."""
_EFFORT = 128
"""Bytes that filling in a placeholder counts as: it takes time."""

_MAX_FAULTS = 1000
"""Placeholders of one draft that are said to be wrong: each is looked for in its text from the start."""

_SHAPING = frozenset({"from", "columns", "keep_columns", "matrix", "takes", "enabled"})
"""Keys that say which jobs an entry is. They are no part of any."""

REQUEST_FIELDS = frozenset({"prompt", "model", "size", "seconds", "input_reference"})
"""The API's words for what a video is. A cell or a column that has such a name gives the field."""

_MERGED_WITH_CELLS = frozenset({"metadata", "extra_body"})


_ALONE = Combination({})
"""Of an entry without a matrix."""


class Found:
    """What is wrong so far: every problem once, with the entries that it hits."""

    def __init__(self) -> None:
        self._hits: dict[Problem, set[Place]] = {}

    def __len__(self) -> int:
        return len(self._hits)

    def add(self, problem: Problem, entry: Entry) -> None:
        self._hits.setdefault(problem, set()).add(entry.layer().value_place)

    def problems(self) -> Iterator[Problem]:
        """Yield the problems; one that hits several entries says how many."""
        for problem, entries in self._hits.items():
            yield hitting(problem, len(entries))


@dataclass(frozen=True, slots=True)
class Draft:
    """One combination of an entry.

    ``fields`` are the keys of its jobs but those that shape them. ``slots`` has the columns that each field depends on,
    for the fields that depend on any. ``wrong`` are fields that lack because something is wrong with them.
    """

    combination: Combination
    fields: Mapping[str, Any]
    slots: Mapping[str, AbstractSet[str | None]]
    wrong: AbstractSet[str]

    @property
    def used(self) -> AbstractSet[str]:
        """The columns that a row must have a text in."""
        return {column for columns in self.slots.values() for column in columns if column is not None}


@dataclass(frozen=True, slots=True)
class Drafted:
    """An entry of ``jobs`` and its drafts. ``kept`` are the columns that go into the metadata of each job."""

    entry: Entry
    table: Table | None
    drafts: Sequence[Draft]
    takes: int
    enabled: bool
    kept: Sequence[str]
    has_readable_rows: bool

    def named(self, name: str) -> Combination:
        """Return the first combination that has the name, where no table has to do with it."""
        names = (f"{draft.fields.get('id')}{draft.combination.suffix}".lower() for draft in self.drafts)
        return self.drafts[[*names].index(name.lower())].combination


class Drafting:
    """Drafts entry after entry. ``used`` are the names that any text has used."""

    def __init__(self, manifest: Manifest, defaults: Mapping[str, Any], found: Found, advice: Found) -> None:
        """``defaults`` are the profile's, under those of the manifest."""
        self._manifest = manifest
        self._variables: dict[str, str | Slot] = dict(manifest.variables)
        self._found, self._advice = found, advice
        self._defaults = merged(defaults, manifest.defaults)
        self.used: set[str] = set()
        self._room = MAX_BYTES

    @property
    def is_full(self) -> bool:
        return self._room < 0

    def has_room(self, entry: Entry, growth: int) -> bool:
        """Tell whether all jobs so far and one more that adds so many bytes can be held; say it once where not."""
        before, self._room = self._room, self._room - growth
        if before >= 0 > self._room:
            message = f"with this job, the texts of all jobs come to more than {MAX_BYTES >> 20} MiB"
            self._add(entry.layer().value_place, "too-large", message, "split the manifest", entry)
        return not self.is_full

    def drafted(self, entry: Entry, table: Table | None) -> Drafted:
        """Return the entry's drafts. What has no table although it needs one is checked as far as possible."""
        job = entry.job
        fields = merged(self._defaults, job)
        takes = int(fields.get("takes", 1))
        fields = {name: value for name, value in fields.items() if name not in _SHAPING and not name.startswith("x-")}
        fields |= self._columns(entry, table)
        elsewhere = {*job.get("matrix", {}), *job.get("columns", {})}
        if self.wants_table(entry) and "prompt" not in fields and "prompt" not in elsewhere:
            fields |= self._prompt_column(entry, table)
        combinations = self._combinations(entry, fields)
        drafts = []
        wrong = {name for name in REQUEST_FIELDS if name not in fields and self._is_said(entry, name)}
        counts = {name: count(value) for name, value in fields.items()}
        still = {name for name, number in counts.items() if not number}
        effort = _EFFORT * sum(counts.values())
        for combination in combinations:
            draft = self._draft(entry, fields, combination, table, wrong=wrong, still=still)
            written = {name: job.get(name, self._defaults.get(name)) for name in draft.fields}
            added = sum(growth(value, written[name]) for name, value in draft.fields.items())
            if not self.has_room(entry, added + effort):
                break
            drafts.append(draft)
        kept = self._kept(entry, fields, table)
        if table is not None and drafts:
            self._unused_columns(entry, table, {*kept}.union(*(draft.used for draft in drafts)))
        readable = table is not None or not self.wants_table(entry)
        return Drafted(entry, table, drafts, takes, job.get("enabled", True), kept, readable)

    def wants_table(self, entry: Entry) -> bool:
        """Tell whether a job is to have its rows from a table, though what it says of it may be wrong."""
        said = self._manifest.said  # of most manifests nothing, and each entry asks
        return "from" in entry.job or (bool(said) and self._manifest.is_said(entry.layer(("from",))))

    def _is_said(self, entry: Entry, field: str) -> bool:
        """Tell whether it was said why a field lacks: something is wrong where it should be."""
        given = "columns" in entry.job and field in entry.job["columns"]  # by a column that is not there
        if given or (field == "prompt" and self.wants_table(entry)):
            return True
        if not self._manifest.said:
            return False
        own = [entry.layer(path) for path in ((field,), ("matrix", field), ("columns", field))]
        defaults = [Layer(layer.document, (*layer.path, field)) for layer in self._manifest.default_layers]
        return any(map(self._manifest.is_said, (*own, *defaults)))

    def written(self, entry: Entry, draft: Draft | None, path: Path) -> Layer:
        """Return where the value at the path of a draft is written."""
        cell = draft.combination.cells.get(str(path[0])) if draft and path else None
        if cell is not None and path[0] in REQUEST_FIELDS | _MERGED_WITH_CELLS:
            layer = Layer(cell.document, (*cell.path, *path[1:]))
            if is_there(layer):
                return layer
        column = entry.layer(("columns", *path))
        return column if len(path) == 1 and is_there(column) else self._manifest.written(entry, path)

    def _columns(self, entry: Entry, table: Table | None) -> dict[str, Template]:
        """Return the fields that ``columns`` takes from the table."""
        job = entry.job
        for name in ("columns", "keep_columns"):
            if name in job and not self.wants_table(entry):
                place = entry.layer((name,)).key_place
                self._found.add(place.problem("no-table", f"`{name}` needs a table", "add from: prompts.csv"), entry)
        found = {}
        for field, column in job.get("columns", {}).items() if self.wants_table(entry) else ():
            if field in job or field in job.get("matrix", {}):
                other = "the job itself" if field in job else "the matrix"
                message = f"{field} is given twice: by `columns`, and by {other}"
                self._add(entry.layer(("columns", field)).key_place, "conflict", message, "keep one of them", entry)
            elif self._has_column(entry, table, ("columns", field), column):
                found[field] = Template((Slot(column),))
        return found

    def _kept(self, entry: Entry, fields: Mapping[str, Any], table: Table | None) -> list[str]:
        kept = []
        for index, column in enumerate(entry.job.get("keep_columns", ())):
            path = ("keep_columns", index)
            if column is None or not self._has_column(entry, table, path, column):
                continue
            if column in fields.get("metadata", {}):
                message = f"the job's metadata has {hints.spelled(column)} already"
                self._add(entry.layer(path).value_place, "conflict", message, "keep one of them", entry)
            else:
                kept.append(column)
        return kept

    def _has_column(self, entry: Entry, table: Table | None, path: Path, column: str) -> bool:
        if table is None or column in table.columns:
            return table is not None
        meant = hints.close(column, table.columns)
        fix = (
            f"write {hints.spelled(meant)}"
            if meant
            else f"write one of {hints.listed(islice(table.columns, 20))[:300]}"
        )
        message = f"{entry.job['from']} has no column {hints.spelled(column)}"
        self._add(entry.layer(path).value_place, "undefined-column", message, fix, entry)
        return False

    def _prompt_column(self, entry: Entry, table: Table | None) -> dict[str, Template]:
        """A table's column ``prompt`` is the prompt of a job that has none."""
        if table is None or "prompt" in table.columns:
            return {"prompt": Template((Slot("prompt"),))}
        near = next(
            (column for column in table.columns if hints.known(column, ("prompt",))),
            next(iter(table.columns), "column"),
        )
        message = 'the table has no column "prompt", and the job has no `prompt`'
        fix = f"add columns: {{ prompt: {hints.spelled(near)} }}"
        self._add(entry.layer(("from",)).value_place, "no-prompt", message, fix, entry)
        return {}

    def _unused_columns(self, entry: Entry, table: Table, used: AbstractSet[str]) -> None:
        unused = [column for column in table.columns if column not in used]
        if unused:
            names = f"{hints.listed(unused[:20])[:300]}{' ...' if len(unused) > 20 else ''}"
            place = entry.layer(("from",)).value_place
            message = f"nothing uses these columns of the table: {names}"
            fix = "write {{ row.column }} in a text, or list them in `keep_columns`"
            self._advice.add(place.warning("unused-column", message, fix), entry)

    def _combinations(self, entry: Entry, fields: Mapping[str, Any]) -> list[Combination]:
        if "matrix" not in entry.job and not isinstance(fields.get("prompt"), list):
            return [_ALONE]
        matrix = self._matrix(entry, fields)
        if not matrix.names:
            return [_ALONE]
        if matrix.size > MAX_COMBINATIONS or matrix.work > MAX_WORK:
            message = f"the matrix has more than {min(matrix.size - 1, MAX_COMBINATIONS):,} combinations to work out"
            place = entry.layer(("matrix",) if "matrix" in entry.job else ("prompt",)).value_place
            self._add(place, "too-many-jobs", message, "make it smaller, or split the job", entry)
            return []
        combinations, problems = matrix.combinations()
        for problem in problems:
            (self._found if problem.severity == "error" else self._advice).add(problem, entry)
        return combinations

    def _matrix(self, entry: Entry, fields: Mapping[str, Any]) -> Matrix:
        job = entry.job
        written = job.get("matrix", {})
        for name in written:
            if name in job and name in REQUEST_FIELDS:
                message = f"{name} is given twice: by the matrix, and by the job itself"
                place = entry.layer(("matrix", name)).key_place
                self._add(place, "conflict", message, "keep one of them", entry)
        prompts = None
        if isinstance(fields.get("prompt"), list) and "prompt" not in written:
            document, path = self._manifest.written(entry, ("prompt",))
            texts = enumerate(fields["prompt"])
            prompts = [Cell(text, document, (*path, index)) for index, text in texts if text is not None]
        document, path = entry.layer(("matrix",))
        return matrix_of(written, document, path, prompts)

    def _draft(
        self,
        entry: Entry,
        fields: Mapping[str, Any],
        combination: Combination,
        table: Table | None,
        *,
        wrong: AbstractSet[str],
        still: AbstractSet[str],
    ) -> Draft:
        """``still`` are fields without placeholders."""
        if combination is _ALONE and len(still) == len(fields) and not self.wants_table(entry):
            return Draft(combination, fields, {}, wrong)
        names: dict[str, str | Slot] = {}
        own = dict(fields)
        for name, cell in combination.cells.items():
            if name in _MERGED_WITH_CELLS:
                own[name] = merged(own.get(name, {}), cell.value)
                continue
            names[name] = cell.value
            if name in REQUEST_FIELDS:
                own[name] = cell.value
        if self.wants_table(entry):
            names[ROW_NUMBER] = Slot(None)
            columns = table.columns if table else None
            scope = Scope(ChainMap(names, self._variables), columns, entry.job.get("from", ""), used=self.used)
        else:
            scope = Scope(ChainMap(names, self._variables), used=self.used)
        faults: list[Fault] = []
        filled = {
            name: value if name in still and value is fields.get(name) else bound(value, scope, faults, (name,))
            for name, value in own.items()
        }
        depends = {name: slots(value) for name, value in filled.items()}
        for fault in faults:
            filled.pop(str(fault.path[0]), None)
        wrong = {*wrong, *(str(fault.path[0]) for fault in faults)}
        found = {name: columns for name, columns in depends.items() if columns and name in filled}
        draft = Draft(combination, filled, found, wrong)
        for fault in faults[:_MAX_FAULTS]:
            document, path = self.written(entry, draft, fault.path)
            place = document.occurrence_at(path, "{{", fault.nth)
            self._add(place, fault.rule, fault.message, fault.fix, entry)
        return draft

    def _add(self, place: Place, rule: str, message: str, fix: str, entry: Entry) -> None:
        self._found.add(place.problem(rule, message, fix), entry)

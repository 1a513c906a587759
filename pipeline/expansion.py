"""A manifest, a profile's rules and tables -> the jobs, and every mistake in them at its place. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline import hints, naming
from pipeline.document import MAX_PROBLEMS, Place
from pipeline.errors import Problem
from pipeline.filenames import Filenames
from pipeline.jobs import Spec
from pipeline.manifest import Manifest, merged
from pipeline.profile import RequestRules
from pipeline.sayings import MISSING, Finding, shown
from pipeline.tables import Row, Table
from pipeline.templates import ROW_NUMBER, Fault, Scope, Slot, Template, bound, filled, slots
from pipeline.validation import Schema, request_rules

MAX_JOBS = 1_000_000

_MAX_FAULTS = 1000
"""Placeholders of one job that are said to be wrong: each is looked for in its text from the start."""

_OURS = frozenset({"id", "tags", "takes", "from"})
"""Keys of a job that are no part of its request. The others are in the API's words."""


def expand(
    manifest: Manifest, rules: RequestRules, schema: Schema, tables: Mapping[str, Table | None]
) -> tuple[list[Spec], list[Problem]]:
    """Return the jobs of a manifest that has no problems; of another as many as can be told, and the problems.

    ``tables`` has what ``manifest.tables`` names, with None for what could not be read.
    """
    expansion = _Expansion(manifest, rules, schema)
    for index, job in enumerate(manifest.jobs):
        if job is not None and len(expansion.problems) < MAX_PROBLEMS:
            expansion.add(index, job, tables.get(job.get("from", "")))
    return expansion.specs, [*expansion.problems, *expansion.filenames.problems]


@dataclass(frozen=True, slots=True)
class _Draft:
    """An entry of ``jobs``, with everything filled in that does not depend on rows.

    ``slots`` has the columns that each field depends on, for the fields that depend on any.
    """

    index: int
    takes: int
    fields: Mapping[str, Any]
    slots: Mapping[str, frozenset[str | None]]
    table: Table | None

    @property
    def rows(self) -> Sequence[Row]:
        return self.table.rows if self.table else _NO_TABLE

    def place(self, row: Row) -> Place | None:
        return self.table.place(row) if self.table else None


_ID_FIX = "mend the row, or put {{ row_number }} into the id"
_NO_TABLE = (Row(0, {}),)


class _Expansion:
    """What is known of all jobs so far."""

    def __init__(self, manifest: Manifest, rules: RequestRules, schema: Schema) -> None:
        self.manifest = manifest
        self.rules = rules
        self.check = request_rules(schema)
        self.problems: dict[Problem, None] = {}
        self.specs: list[Spec] = []
        self.count = 0
        self.ids: dict[str, int] = {}  # the first spec of each id, in small letters
        self.filenames = Filenames(manifest)
        self.names: dict[str, str | Slot] = dict(manifest.variables)
        self.names_in_rows = self.names | {ROW_NUMBER: Slot(None)}

    def add(self, index: int, job: Mapping[str, Any], table: Table | None) -> None:
        """Take in an entry of ``jobs``. What has no table although it needs one is checked as far as possible."""
        draft = self._draft(index, job, table)
        if ("from" in job and table is None) or not self._fits(draft):
            return
        named = self._has_names(draft)
        asked = [name for name in draft.fields if name not in _OURS and (name != "metadata" or self.rules.metadata)]
        fixed = {name: value for name, value in draft.fields.items() if name not in draft.slots}
        varied = [(name, draft.fields[name]) for name in draft.slots]
        used = frozenset[str | None]().union(*draft.slots.values()) - {None}
        for number, row in enumerate(draft.rows, 1):
            if len(self.problems) >= MAX_PROBLEMS:
                return
            if used and not self._has_cells(draft, row, used):
                continue
            fields = fixed | {name: filled(value, row.cells, number) for name, value in varied}
            request = {name: fields[name] for name in asked}
            for finding in self.check(request):
                self._found(draft, row, finding)
            if named:
                self._name(draft, row, fields, request)

    def _draft(self, index: int, job: Mapping[str, Any], table: Table | None) -> _Draft:
        fields = merged(merged(self.rules.defaults, self.manifest.defaults), job)
        scope = Scope(self.names)
        if "from" in job:
            scope = Scope(self.names_in_rows, table.columns if table else None, job["from"])
            if "prompt" not in fields and self._has_prompts(index, table):
                fields["prompt"] = Template((Slot("prompt"),))
        faults: list[Fault] = []
        fields = {
            name: bound(value, scope, faults, (name,))
            for name, value in fields.items()
            if not name.startswith("x-") and name != "from"
        }
        for fault in faults[:_MAX_FAULTS]:
            self._fault(self.manifest.written(index, fault.path), fault)
            fields.pop(str(fault.path[0]), None)
        depends = {name: slots(value) for name, value in fields.items()}
        takes = int(fields.pop("takes", 1))
        return _Draft(index, takes, fields, {name: found for name, found in depends.items() if found}, table)

    def _has_prompts(self, index: int, table: Table | None) -> bool:
        if table is None or "prompt" in table.columns:
            return True
        columns = [*(column for column in table.columns if hints.known(column, ("prompt",))), *table.columns, "column"]
        place = self.manifest.document.value_at(("jobs", index, "from"))
        message = 'the table has no column "prompt", and the job has no `prompt`'
        self.problems[place.problem("no-prompt", message, f'add prompt: "{{{{ row.{columns[0]} }}}}"')] = None
        return False

    def _fits(self, draft: _Draft) -> bool:
        before, self.count = self.count, self.count + draft.takes * len(draft.rows)
        if before <= MAX_JOBS < self.count:
            message = f"with this job there are more than {MAX_JOBS:,} videos"
            self._problem(draft, (), "too-many-jobs", message, "split the manifest")
        return self.count <= MAX_JOBS

    def _has_names(self, draft: _Draft) -> bool:
        """Return whether each of the job's rows can have a name of its own."""
        if "id" not in draft.fields:
            return False
        if "id" in draft.slots or len(draft.rows) == 1:
            return True
        job_id = draft.fields["id"]
        message = f"all {len(draft.rows):,} rows would have the id {shown(job_id)}"
        self._problem(draft, ("id",), "id-not-per-row", message, f'write id: "{job_id[:100]}-{{{{ row_number }}}}"')
        return False

    def _name(self, draft: _Draft, row: Row, fields: Mapping[str, Any], request: Mapping[str, Any]) -> None:
        """Add the takes of one row, under names that nothing else has."""
        job_id: str = fields["id"]
        origin = str(draft.place(row) or self.manifest.document.value_at(("jobs", draft.index)))
        if not naming.ID.fullmatch(job_id):
            near = naming.slug(job_id)
            fix = f"write {hints.spelled(near)}" if near and "id" not in draft.slots else _ID_FIX
            message = f"the id {shown(job_id)} is not usable: {naming.ID_RULE}"
            self._problem(draft, ("id",), "id", message, fix, at=_place_of("id", draft, row))
            return
        first = self.ids.setdefault(job_id.lower(), len(self.specs))
        if first < len(self.specs):
            self._duplicate(draft, row, job_id, self.specs[first], origin)
            return
        tags, metadata = tuple(fields.get("tags", ())), fields.get("metadata", {})
        for take in range(1, draft.takes + 1):
            name = naming.job_name(job_id, take)
            output = self.filenames.path(name, take)
            self.specs.append(Spec(name, take, request, output, origin, tags, metadata))

    def _duplicate(self, draft: _Draft, row: Row, job_id: str, first: Spec, origin: str) -> None:
        if first.origin == origin:
            message = "another job gives the same ids to the same rows" if draft.table else "the job is here twice"
            self._problem(draft, ("id",), "duplicate-id", message, "give it an id of its own")
            return
        other = first.name.rpartition("#")[0]
        alike = "" if other == job_id else f" as {shown(other)}: upper and lower case are one"
        message = f"the id {shown(job_id)} is already used at {first.origin}{alike}"
        fix = _ID_FIX if "id" in draft.slots else "write another"
        self._problem(draft, ("id",), "duplicate-id", message, fix, at=_place_of("id", draft, row))

    def _has_cells(self, draft: _Draft, row: Row, used: frozenset[str | None]) -> bool:
        lacking = [column for column in used if not isinstance(row.cells.get(str(column)), str)]
        for column in lacking:
            there = "is no text" if column in row.cells else "is not there"
            place = draft.place(row)
            if place:
                self.problems[place.problem("row-cell", f'column "{column}" {there} in this row', "write text")] = None
        return not lacking

    def _found(self, draft: _Draft, row: Row, finding: Finding) -> None:
        """Put a finding about a request where its value is written: in the row, or in the manifest."""
        field = str(finding.path[0])
        if finding.rule == MISSING:
            if not self._is_said(draft, field):
                self._problem(draft, (), MISSING, finding.message, finding.fix)
            return
        place = _place_of(field, draft, row)
        if place:
            columns = sorted(f'column "{name}"' if name is not None else ROW_NUMBER for name in draft.slots[field])
            finding = replace(finding, message=f"{finding.message} ({', '.join(columns)})")
        self._problem(draft, finding.path, finding.rule, finding.message, finding.fix, at=place, on_key=finding.on_key)

    def _is_said(self, draft: _Draft, field: str) -> bool:
        """Return whether it was said why the field lacks: no column for it, a value of another type, a wrong name."""
        if draft.table and field == "prompt":
            return True
        value = self.manifest.document.value
        defaults = value.get("defaults")
        written = {**value["jobs"][draft.index], **(defaults if isinstance(defaults, dict) else {})}
        return any(hints.known(name, (field,)) or hints.close(name, (field,)) for name in written)

    def _problem(
        self,
        draft: _Draft,
        path: Sequence[str | int],
        rule: str,
        message: str,
        fix: str | None = None,
        *,
        at: Place | None = None,
        on_key: bool = False,
    ) -> None:
        """Add a problem at a place in a table, or where the value at the path of a job is written."""
        if at is None:
            document, written = self.manifest.document, self.manifest.written(draft.index, path)
            at = document.key_at(written) if on_key else document.value_at(written)
        self.problems[at.problem(rule, message, fix)] = None

    def _fault(self, path: Sequence[str | int], fault: Fault) -> None:
        place = self.manifest.document.occurrence_at(path, "{{", fault.nth)
        self.problems[place.problem(fault.rule, fault.message, fault.fix)] = None


def _place_of(field: str, draft: _Draft, row: Row) -> Place | None:
    """Return the row's place for a field that depends on it."""
    return draft.place(row) if field in draft.slots else None

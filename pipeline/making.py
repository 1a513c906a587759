"""A draft and its rows -> jobs under names of their own, and what is wrong with each. Pure."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from pipeline import hints, naming
from pipeline.bodies import inexpressible
from pipeline.document import Document, Path, Place
from pipeline.drafts import Draft, Drafted, Drafting, Found
from pipeline.filenames import Filenames
from pipeline.firsts import Names, Requests
from pipeline.images import Image
from pipeline.jobs import Spec
from pipeline.manifest import Entry, Layer, Manifest
from pipeline.matrix import Combination
from pipeline.packing import Packed
from pipeline.profile import RequestRules
from pipeline.references import Unfit, resolved, unfit_size
from pipeline.sayings import MISSING, Finding, shown
from pipeline.tables import Number, Row, Table
from pipeline.templates import ROW_NUMBER, TOO_LONG, TextTooLong, filled, growth
from pipeline.validation import Schema, checker, edit_at

_OURS = frozenset({"id", "tags", "metadata", "extra_body"})
"""Keys of a draft that are no part of its request as they are. The others are in the API's words."""

NO_TABLE = (Row(0, 0, {}),)
"""The row of an entry without a table."""

Images = Callable[[Document, str], Image | str]
"""What gives the image at a path or in a data URL, as a file's text names it, or says why it is none."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Where one job comes from. ``written`` tells where the value at a path of it is; ``kept`` are columns."""

    spec: Spec
    entry: Entry
    draft: Draft
    table: Table | None
    row: Row
    kept: Sequence[str]
    written: Callable[[Path], Layer]


_ID_FIX = "mend the row, or put {{ row_number }} into the id"


class Collected:
    """What is known of all jobs so far."""

    def __init__(
        self, manifest: Manifest, rules: RequestRules, schema: Schema, images: Images, traced: Collection[str]
    ) -> None:
        self.manifest, self.rules = manifest, rules
        self.check = checker(schema)
        own = rules.extra_body if isinstance(rules.extra_body, Mapping) else None
        self.check_extra = checker({"properties": own, "additionalProperties": False} if own else {})
        self.images = images
        self.found, self.advice = Found(), Found()
        self.drafting = Drafting(manifest, rules.defaults, self.found, self.advice)
        self.filenames = Filenames(manifest)
        self.specs = Packed()
        self.pictures: dict[str, Image] = {}
        self.traces: dict[str, Trace] = {}
        self.traced = traced
        self.names, self.requests = Names(self.specs), Requests(self.specs)


class Maker:
    """Makes the jobs of one draft, row by row."""

    def __init__(self, collected: Collected, drafted: Drafted, draft: Draft) -> None:
        self._all = collected
        self._entry, self._table, self._drafted, self._draft = drafted.entry, drafted.table, drafted, draft
        self._used = draft.used
        self._fixed = {name: value for name, value in draft.fields.items() if name not in draft.slots}
        self._varied = [(name, draft.fields[name]) for name in draft.slots]
        self._asked = [name for name in draft.fields if name not in _OURS]
        self._same_id_said = False

    def make(self, row: Row) -> None:
        """Add the job of a row, or what is wrong in it."""
        if self._used and not self._has_cells(row):
            return
        try:
            fields = self._fixed | {name: filled(value, row.cells, row.number) for name, value in self._varied}
        except TextTooLong:
            self._problem(row, (), *TOO_LONG)
            return
        added = sum(growth(fields[name], value) for name, value in self._varied)
        if not self._all.drafting.has_room(self._entry, added):
            return
        request = {name: fields[name] for name in self._asked}
        if self._all.rules.metadata and "metadata" in fields:
            request["metadata"] = fields["metadata"]
        image = self._picture(row, request) if "input_reference" in request else None
        for finding in self._all.check(request):
            self._breaks(row, finding)
        unfit = unfit_size(image, request) if image is not None else None
        if unfit is not None:
            self._problem(row, ("input_reference",), *unfit)
        extra = fields.get("extra_body", {}) if self._all.rules.extra_body else {}
        for finding in self._all.check_extra(extra) if extra else ():
            self._breaks(row, replace(finding, path=("extra_body", *finding.path)))
        request |= extra
        for finding in inexpressible(request, self._all.rules):
            self._breaks(row, finding)
        if self._may_have_a_name(row):
            self._name(row, fields, request)

    def check_what_no_row_decides(self) -> None:
        row, request = NO_TABLE[0], {name: self._fixed[name] for name in self._asked if name in self._fixed}
        if "input_reference" in request:
            self._picture(row, request)
        for finding in self._all.check(request):
            if finding.rule != MISSING:
                self._breaks(row, finding)

    def _has_cells(self, row: Row) -> bool:
        lacking = [column for column in self._used if not isinstance(row.cells.get(column), str)]
        for column in lacking:
            there = column in row.cells
            place = self._table.place(row, column if there else None) if self._table else None
            if place:
                message = f'row {row.number}: column "{column}" {"is no text" if there else "is not there"}'
                self._all.found.add(place.problem("row-cell", message, "write text"), self._entry)
        return not lacking

    def _picture(self, row: Row, request: dict[str, Any]) -> Image | None:
        """Put what stands for an image in the place of its path or data URL; say why where it has none."""
        document = self._all.drafting.written(self._entry, self._draft, ("input_reference",)).document
        found = resolved(
            request["input_reference"], self._all.rules.input_reference, partial(self._all.images, document)
        )
        if isinstance(found, Unfit):
            del request["input_reference"]
            self._problem(row, ("input_reference",), *found)
        elif isinstance(found, Image):
            request["input_reference"] = found.reference
            self._all.pictures.setdefault(found.sha256, found)
            return found
        return None

    def _breaks(self, row: Row, finding: Finding) -> None:
        """Put a finding about a request where its value is written: in the row, or in the manifest."""
        if finding.rule == MISSING:
            if finding.path[0] not in self._draft.wrong:
                self._problem(row, (), MISSING, finding.message, finding.fix)
            return
        message, fix, rewrite = finding.message, finding.fix, finding.rewrite
        self._problem(row, finding.path, finding.rule, message, fix, on_key=finding.on_key, rewrite=rewrite)

    def _may_have_a_name(self, row: Row) -> bool:
        """Return whether the row can have a name of its own."""
        if "id" not in self._draft.fields:
            return False
        if "id" in self._draft.slots or row.number <= 1:
            return True
        if not self._same_id_said:
            self._same_id_said = True
            job_id = self._draft.fields["id"]
            message = f"all rows would have the id {shown(job_id)}"
            fix = f'write id: "{job_id[:100]}-{{{{ row_number }}}}"'
            self._problem(row, ("id",), "id-not-per-row", message, fix)
        return False

    def _name(self, row: Row, fields: Mapping[str, Any], request: Mapping[str, Any]) -> None:
        """Add the takes of one row, under names that nothing else has."""
        job_id: str = fields["id"]
        if not naming.ID.fullmatch(job_id):
            near = naming.slug(job_id)
            fix = f"write {hints.spelled(near)}" if near else "write letters and digits"
            fix = _ID_FIX if "id" in self._draft.slots else fix
            message = f"the id {shown(job_id)} is not usable: {naming.ID_RULE}"
            self._problem(row, ("id",), "id", message, fix)
            return
        everything, job_id = self._all, f"{job_id}{self._draft.combination.suffix}"
        origin = str(self._table.place(row) if self._table else self._entry.layer().value_place)
        first = everything.names.first(job_id)
        if first is not None:
            self._duplicate(row, job_id, everything.specs[first], origin)
            return
        tags = tuple(tag for tag in fields.get("tags", ()) if tag is not None)
        metadata = fields.get("metadata", {})
        if self._drafted.kept:
            metadata = {**metadata, **{column: _typed(row.cells.get(column)) for column in self._drafted.kept}}
        for take in range(1, self._drafted.takes + 1):
            name = naming.job_name(job_id, take)
            output = everything.filenames.path(name, take, self._id_place)
            spec = Spec(name, take, request, output, origin, tags, metadata, self._drafted.enabled)
            everything.specs.append(spec)
            if name in everything.traced:
                written = partial(everything.drafting.written, self._entry, self._draft)
                kept = self._drafted.kept
                everything.traces[name] = Trace(spec, self._entry, self._draft, self._table, row, kept, written)
        if self._drafted.enabled:
            self._compare(row, len(everything.specs) - self._drafted.takes)

    def _id_place(self) -> Place:
        return self._all.drafting.written(self._entry, self._draft, ("id",)).value_place

    def _compare(self, row: Row, position: int) -> None:
        """Warn of a job that asks for what another one asks for: both are paid."""
        specs = self._all.specs
        spec = specs[position]
        before = self._all.requests.first(position, spec)
        if before is not None:
            first = specs[before]
            place = self._table.place(row) if self._table else self._entry.layer().value_place
            names = [name.rpartition("#")[0] for name in (spec.name, first.name)]
            message = f"{names[0]} is the same request as {names[1]} at {first.origin}: both are paid for"
            fix = "remove one, or write `takes` for several renders of one request"
            self._all.advice.add(place.warning("same-request", message, fix), self._entry)

    def _duplicate(self, row: Row, job_id: str, first: Spec, origin: str) -> None:
        if first.origin == origin:
            if self._draft.combination.cells and not self._table:
                message = f"two combinations would have the name {job_id}, and upper and lower case are one"
                place = self._clash(self._drafted.named(job_id))
                self._all.found.add(place.problem("duplicate-id", message, "write other values"), self._entry)
                return
            message = "another job gives the same ids to the same rows" if self._table else "the job is here twice"
            place = self._entry.layer(("id",)).value_place
            self._all.found.add(place.problem("duplicate-id", message, "give it an id of its own"), self._entry)
            return
        other = first.name.rpartition("#")[0]
        alike = "" if other == job_id else f" as {shown(other)}: upper and lower case are one"
        message = f"the id {shown(job_id)} is already used at {first.origin}{alike}"
        fix = _ID_FIX if "id" in self._draft.slots else "write another"
        self._problem(row, ("id",), "duplicate-id", message, fix)

    def _source(self, layer: Layer) -> Layer | None:
        """Return where the whole text of a value comes from, if that is a variable or a cell of the matrix."""
        alone = _ALONE.fullmatch(layer.value) if isinstance(layer.value, str) else None
        if alone is None:
            return None
        cell = self._draft.combination.cells.get(alone[1])
        if cell is not None:
            return Layer(cell.document, cell.path)
        manifest = self._all.manifest
        layer_of_name = manifest.declared.get(alone[1])
        declared = layer_of_name is not None and manifest.variables[alone[1]] == layer_of_name.value
        return layer_of_name if declared else None

    def _clash(self, first: Combination) -> Place:
        """Return the place of the one cell in which two combinations of a name differ, else of the matrix."""
        cells = self._draft.combination.cells
        other = [cell for name, cell in cells.items() if first.cells.get(name) != cell]
        if len(other) == 1:
            return other[0].document.value_at(other[0].path)
        return self._entry.layer(("matrix",) if "matrix" in self._entry.job else ()).value_place

    def _problem(
        self,
        row: Row,
        path: Path,
        rule: str,
        message: str,
        fix: str | None,
        *,
        on_key: bool = False,
        rewrite: str | None = None,
    ) -> None:
        """Add a problem where the value at the path is written: in a cell, in a row, or in the manifest."""
        columns = self._draft.slots.get(str(path[0])) if path else None
        if columns and self._table:
            names = sorted(f'column "{name}"' if name is not None else ROW_NUMBER for name in columns)
            only = next(iter(columns)) if len(columns) == 1 else None
            message = f"{message} (row {row.number}, {', '.join(names)})"
            self._all.found.add(self._table.place(row, only).problem(rule, message, fix), self._entry)
            return
        layer = self._all.drafting.written(self._entry, self._draft, path)
        source = self._source(layer) if path and path[0] != "id" else None
        if source is not None:
            self._all.found.add(source.value_place.problem(rule, f"{message} (it is {path[0]})", fix), self._entry)
            return
        place = layer.key_place if on_key else layer.value_place
        edit = edit_at(layer.document, layer.path, rewrite, on_key=on_key) if rewrite else None
        self._all.found.add(place.problem(rule, message, fix, edit), self._entry)


_ALONE = re.compile(r"\{\{\s*([^{}\s]+)\s*\}\}")


def _typed(cell: Any) -> Any:
    """Return a cell as JSON has it: numbers are texts only where texts are made of them."""
    if isinstance(cell, Number):
        return float(cell) if set(cell) & set(".eE") else int(cell)
    if isinstance(cell, list):
        return [_typed(inner) for inner in cell]
    return {key: _typed(inner) for key, inner in cell.items()} if isinstance(cell, dict) else cell

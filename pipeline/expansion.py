"""A manifest, a profile's rules and tables -> the jobs, and every mistake in them at its place. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pipeline import hints, naming
from pipeline.document import MAX_PROBLEMS, Document, Path
from pipeline.drafts import MAX_JOBS, REQUEST_FIELDS, Draft, Drafted, Drafting, Found
from pipeline.errors import Edit, Problem
from pipeline.filenames import Filenames
from pipeline.images import Image
from pipeline.jobs import Spec
from pipeline.manifest import Entry, Layer, Manifest
from pipeline.profile import RequestRules
from pipeline.references import Unfit, resolved, unfit_size
from pipeline.sayings import MISSING, Finding, shown
from pipeline.tables import Number, Row, Table
from pipeline.templates import ROW_NUMBER, filled
from pipeline.validation import Schema, request_rules

_OURS = frozenset({"id", "tags", "metadata", "extra_body"})
"""Keys of a draft that are no part of its request as they are. The others are in the API's words."""

_NO_TABLE = (Row(0, 0, {}),)

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


@dataclass(frozen=True, slots=True)
class Expanded:
    """The jobs of a manifest that has no problems; of another as many as can be told, and the problems.

    ``advice`` is about all jobs together, so it is worth nothing where there are problems.
    ``images`` are those that the jobs refer to, by sha256. ``used`` are the names of ``vars`` that any text uses.
    """

    specs: list[Spec]
    problems: list[Problem]
    advice: list[Problem]
    images: Mapping[str, Image]
    used: frozenset[str]
    trace: Trace | None


def expand(
    manifest: Manifest,
    rules: RequestRules,
    schema: Schema,
    *,
    tables: Callable[[Entry], Table | None],
    images: Images,
    traced: str | None = None,
) -> Expanded:
    """Expand the entries of ``jobs``.

    ``tables`` opens the table of an entry that has ``from``; it gives None for what cannot be read. ``traced`` is the
    name of a job whose origin is wanted.
    """
    expansion = _Expansion(manifest, rules, schema, images, traced)
    for entry in manifest.entries:
        if len(expansion.found) < MAX_PROBLEMS:
            expansion.add(entry, tables(entry) if "from" in entry.job else None)
    problems = [*expansion.found.problems(), *expansion.filenames.problems]
    used = frozenset(expansion.drafting.used)
    advice = [*expansion.advice.problems()]
    return Expanded(expansion.specs, problems, advice, expansion.pictures, used, expansion.trace)


_ID_FIX = "mend the row, or put {{ row_number }} into the id"


class _Expansion:
    """What is known of all jobs so far."""

    def __init__(
        self, manifest: Manifest, rules: RequestRules, schema: Schema, images: Images, traced: str | None
    ) -> None:
        self.manifest, self.rules = manifest, rules
        self.check = request_rules(schema)
        self.images = images
        self.found, self.advice = Found(), Found()
        self.drafting = Drafting(manifest, rules.defaults, self.found, self.advice)
        self.filenames = Filenames(manifest)
        self.specs: list[Spec] = []
        self.pictures: dict[str, Image] = {}
        self.trace: Trace | None = None
        self.traced = traced
        self.count = 0
        self.ids: dict[str, int] = {}  # the first spec of each id, in small letters
        self.requests: dict[tuple[int, str], Spec] = {}  # the first spec of each take and prompt

    def add(self, entry: Entry, table: Table | None) -> None:
        drafted = self.drafting.drafted(entry, table)
        for draft in drafted.drafts:
            self._check_extra(entry, draft)
        if not drafted.has_readable_rows:
            return
        makers = [_Maker(self, drafted, draft) for draft in drafted.drafts]
        for row in self._rows(drafted):
            before, self.count = self.count, self.count + drafted.takes * len(makers)
            if before > MAX_JOBS:
                return
            if self.count > MAX_JOBS:
                message = f"with this job there are more than {MAX_JOBS:,} videos"
                self.found.add(entry.layer().value_place.problem("too-many-jobs", message, "split the manifest"), entry)
                return
            for maker in makers:
                maker.make(row)

    def _rows(self, drafted: Drafted) -> Iterator[Row]:
        """Yield the rows that can be read; one without cells for an entry without a table."""
        for item in drafted.table.rows if drafted.table else _NO_TABLE:
            if isinstance(item, Row):
                yield item
            else:
                self.found.add(item, drafted.entry)
            if len(self.found) >= MAX_PROBLEMS:
                return

    def _check_extra(self, entry: Entry, draft: Draft) -> None:
        extra = draft.fields.get("extra_body")
        if not extra:
            return
        if not self.rules.extra_body:
            place = self.drafting.written(entry, draft, ("extra_body",)).key_place
            message = "the provider's rules allow no further fields in a request"
            self.found.add(place.problem("unsupported", message, "remove it, or choose another provider"), entry)
        for name in extra:
            if name in REQUEST_FIELDS or name == "metadata":
                place = self.drafting.written(entry, draft, ("extra_body", name)).key_place
                message = f"{name} is a field of its own"
                self.found.add(place.problem("conflict", message, f"write {name} beside `extra_body`"), entry)


class _Maker:
    """Makes the jobs of one draft, row by row."""

    def __init__(self, expansion: _Expansion, drafted: Drafted, draft: Draft) -> None:
        self.all = expansion
        self.entry, self.table, self.drafted, self.draft = drafted.entry, drafted.table, drafted, draft
        self.used = draft.used
        self.fixed = {name: value for name, value in draft.fields.items() if name not in draft.slots}
        self.varied = [(name, draft.fields[name]) for name in draft.slots]
        self.asked = [name for name in draft.fields if name not in _OURS]
        self.same_id_said = False

    def make(self, row: Row) -> None:
        """Add the job of a row, or what is wrong in it."""
        if self.used and not self._has_cells(row):
            return
        fields = self.fixed | {name: filled(value, row.cells, row.number) for name, value in self.varied}
        request = {name: fields[name] for name in self.asked}
        if self.all.rules.metadata and "metadata" in fields:
            request["metadata"] = fields["metadata"]
        image = self._picture(row, request) if "input_reference" in request else None
        for finding in self.all.check(request):
            self._breaks(row, finding)
        unfit = unfit_size(image, request) if image is not None else None
        if unfit is not None:
            self._problem(row, ("input_reference",), *unfit)
        request |= fields.get("extra_body", {}) if self.all.rules.extra_body else {}
        if self._may_have_a_name(row):
            self._name(row, fields, request)

    def _has_cells(self, row: Row) -> bool:
        lacking = [column for column in self.used if not isinstance(row.cells.get(column), str)]
        for column in lacking:
            there = column in row.cells
            place = self.table.place(row, column if there else None) if self.table else None
            if place:
                message = f'row {row.number}: column "{column}" {"is no text" if there else "is not there"}'
                self.all.found.add(place.problem("row-cell", message, "write text"), self.entry)
        return not lacking

    def _picture(self, row: Row, request: dict[str, Any]) -> Image | None:
        """Put what stands for an image in the place of its path or data URL; say why where it has none."""
        document = self.all.drafting.written(self.entry, self.draft, ("input_reference",)).document
        found = resolved(request["input_reference"], self.all.rules.input_reference, partial(self.all.images, document))
        if isinstance(found, Unfit):
            del request["input_reference"]
            self._problem(row, ("input_reference",), *found)
        elif isinstance(found, Image):
            request["input_reference"] = found.reference
            self.all.pictures.setdefault(found.sha256, found)
            return found
        return None

    def _breaks(self, row: Row, finding: Finding) -> None:
        """Put a finding about a request where its value is written: in the row, or in the manifest."""
        field = str(finding.path[0])
        if finding.rule == MISSING:
            if not self._is_said(field):
                self._problem(row, (), MISSING, finding.message, finding.fix)
            return
        message, fix, rewrite = finding.message, finding.fix, finding.rewrite
        self._problem(row, finding.path, finding.rule, message, fix, on_key=finding.on_key, rewrite=rewrite)

    def _is_said(self, field: str) -> bool:
        """Return whether it was said why the field lacks: no column for it, a value of another type, a wrong name."""
        if self.table and field == "prompt":
            return True
        written: set[str] = set()
        for layer in (self.entry.layer(), *self.all.manifest.default_layers):
            written |= layer.value.keys() if isinstance(layer.value, dict) else set()
        return any(hints.known(name, (field,)) or hints.close(name, (field,)) for name in written)

    def _may_have_a_name(self, row: Row) -> bool:
        """Return whether the row can have a name of its own."""
        if "id" not in self.draft.fields:
            return False
        if "id" in self.draft.slots or row.number <= 1:
            return True
        if not self.same_id_said:
            self.same_id_said = True
            job_id = self.draft.fields["id"]
            message = f"all rows would have the id {shown(job_id)}"
            fix = f'write id: "{job_id[:100]}-{{{{ row_number }}}}"'
            self._problem(row, ("id",), "id-not-per-row", message, fix)
        return False

    def _name(self, row: Row, fields: Mapping[str, Any], request: Mapping[str, Any]) -> None:
        """Add the takes of one row, under names that nothing else has."""
        job_id: str = fields["id"]
        if not naming.ID.fullmatch(job_id):
            near = naming.slug(job_id)
            fix = f"write {hints.spelled(near)}" if near and "id" not in self.draft.slots else _ID_FIX
            message = f"the id {shown(job_id)} is not usable: {naming.ID_RULE}"
            self._problem(row, ("id",), "id", message, fix)
            return
        everything, job_id = self.all, f"{job_id}{self.draft.combination.suffix}"
        origin = str(self.table.place(row) if self.table else self.entry.layer().value_place)
        first = everything.ids.setdefault(job_id.lower(), len(everything.specs))
        if first < len(everything.specs):
            self._duplicate(row, job_id, everything.specs[first], origin)
            return
        tags = tuple(tag for tag in fields.get("tags", ()) if tag is not None)
        metadata = fields.get("metadata", {})
        if self.drafted.kept:
            metadata = {**metadata, **{column: _typed(row.cells.get(column)) for column in self.drafted.kept}}
        for take in range(1, self.drafted.takes + 1):
            name = naming.job_name(job_id, take)
            output = everything.filenames.path(name, take)
            spec = Spec(name, take, request, output, origin, tags, metadata, self.drafted.enabled)
            everything.specs.append(spec)
            if name == everything.traced:
                written = partial(everything.drafting.written, self.entry, self.draft)
                everything.trace = Trace(spec, self.entry, self.draft, self.table, row, self.drafted.kept, written)
        if self.drafted.enabled:
            self._compare(row, everything.specs[-self.drafted.takes])

    def _compare(self, row: Row, spec: Spec) -> None:
        """Warn of a job that asks for what another one asks for: both are paid."""
        first = self.all.requests.setdefault((spec.take, str(spec.request.get("prompt"))), spec)
        if first is not spec and first.request_hash == spec.request_hash:
            place = self.table.place(row) if self.table else self.entry.layer().value_place
            message = f"the same request as {first.name.rpartition('#')[0]} at {first.origin}: both are paid for"
            fix = "remove one, or write `takes` for several renders of one request"
            self.all.advice.add(place.warning("same-request", message, fix), self.entry)

    def _duplicate(self, row: Row, job_id: str, first: Spec, origin: str) -> None:
        if first.origin == origin:
            if self.draft.combination.cells and not self.table:
                message, fix = f"two combinations would have the name {job_id}", "write other values"
                place = self.entry.layer(("matrix",) if "matrix" in self.entry.job else ()).value_place
                self.all.found.add(place.problem("duplicate-id", message, fix), self.entry)
                return
            message = "another job gives the same ids to the same rows" if self.table else "the job is here twice"
            place = self.entry.layer(("id",)).value_place
            self.all.found.add(place.problem("duplicate-id", message, "give it an id of its own"), self.entry)
            return
        other = first.name.rpartition("#")[0]
        alike = "" if other == job_id else f" as {shown(other)}: upper and lower case are one"
        message = f"the id {shown(job_id)} is already used at {first.origin}{alike}"
        fix = _ID_FIX if "id" in self.draft.slots else "write another"
        self._problem(row, ("id",), "duplicate-id", message, fix)

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
        columns = self.draft.slots.get(str(path[0])) if path else None
        if columns and self.table:
            names = sorted(f'column "{name}"' if name is not None else ROW_NUMBER for name in columns)
            only = next(iter(columns)) if len(columns) == 1 else None
            message = f"{message} (row {row.number}, {', '.join(names)})"
            self.all.found.add(self.table.place(row, only).problem(rule, message, fix), self.entry)
            return
        layer = self.all.drafting.written(self.entry, self.draft, path)
        place = layer.key_place if on_key else layer.value_place
        old = layer.document.spelled_at(layer.path, key=on_key) if rewrite else None
        edit = Edit(old, rewrite) if rewrite and old else None
        self.all.found.add(place.problem(rule, message, fix, edit), self.entry)


def _typed(cell: Any) -> Any:
    """Return a cell as JSON has it: numbers are texts only where texts are made of them."""
    if isinstance(cell, Number):
        return float(cell) if set(cell) & set(".eE") else int(cell)
    if isinstance(cell, list):
        return [_typed(inner) for inner in cell]
    return {key: _typed(inner) for key, inner in cell.items()} if isinstance(cell, dict) else cell

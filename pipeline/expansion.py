"""A manifest, a profile's rules and tables -> the jobs, and every mistake in them at its place. Pure."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipeline.document import MAX_PROBLEMS
from pipeline.drafts import MAX_JOBS, REQUEST_FIELDS, Draft, Drafted
from pipeline.errors import Problem
from pipeline.images import Image
from pipeline.jobs import Spec
from pipeline.making import NO_TABLE, Collected, Images, Maker, Trace
from pipeline.manifest import Entry, Manifest
from pipeline.profile import RequestRules
from pipeline.tables import Row, Table
from pipeline.validation import Schema


@dataclass(frozen=True, slots=True)
class Expanded:
    """The jobs of a manifest that has no problems; of another as many as can be told, and the problems.

    ``advice`` is about all jobs together, so it is worth nothing where there are problems.
    ``images`` are those that the jobs refer to, by sha256. ``used`` are the names of ``vars`` that any text uses.
    """

    specs: Sequence[Spec]
    problems: list[Problem]
    advice: list[Problem]
    images: Mapping[str, Image]
    used: frozenset[str]
    traces: Mapping[str, Trace]


def expand(
    manifest: Manifest,
    rules: RequestRules,
    schema: Schema,
    *,
    tables: Callable[[Entry], Table | None],
    images: Images,
    turn: Callable[[], None],
    traced: Collection[str] = (),
) -> Expanded:
    """Expand the entries of ``jobs``.

    ``tables`` opens the table of an entry that has ``from``; it gives None for what cannot be read. ``turn`` is called
    before each row, and may raise. ``traced`` are the names of jobs whose origin is wanted.
    """
    collected = Collected(manifest, rules, schema, images, traced)
    expansion = _Expansion(collected, turn)
    for entry in manifest.entries:
        if len(collected.found) < MAX_PROBLEMS and not collected.drafting.is_full:
            expansion.add(entry, tables(entry) if "from" in entry.job else None)
    problems = [*collected.found.problems(), *collected.filenames.problems]
    used = frozenset(collected.drafting.used)
    advice = [*collected.advice.problems()]
    return Expanded(collected.specs.few(), problems, advice, collected.pictures, used, collected.traces)


class _Expansion:
    """Takes in entry after entry."""

    def __init__(self, collected: Collected, turn: Callable[[], None]) -> None:
        self._all = collected
        self._turn = turn
        self._count = 0

    def add(self, entry: Entry, table: Table | None) -> None:
        drafted = self._all.drafting.drafted(entry, table)
        for draft in drafted.drafts:
            self._check_extra(entry, draft)
        makers = [Maker(self._all, drafted, draft) for draft in drafted.drafts]
        if not drafted.has_readable_rows:
            for maker in makers:
                maker.check_what_no_row_decides()
            return
        for row in self._rows(drafted):
            self._turn()
            before, self._count = self._count, self._count + drafted.takes * len(makers)
            if before > MAX_JOBS:
                return
            if self._count > MAX_JOBS:
                message = f"with this job there are more than {MAX_JOBS:,} videos"
                self._all.found.add(
                    entry.layer().value_place.problem("too-many-jobs", message, "split the manifest"), entry
                )
                return
            for maker in makers:
                maker.make(row)

    def _rows(self, drafted: Drafted) -> Iterator[Row]:
        """Yield the rows that can be read; one without cells for an entry without a table."""
        for item in drafted.table.rows if drafted.table else NO_TABLE:
            if isinstance(item, Row):
                yield item
            else:
                self._all.found.add(item, drafted.entry)
            if len(self._all.found) >= MAX_PROBLEMS:
                return

    def _check_extra(self, entry: Entry, draft: Draft) -> None:
        extra = draft.fields.get("extra_body")
        if not extra:
            return
        if not self._all.rules.extra_body:
            document, path = self._all.drafting.written(entry, draft, ("extra_body",))
            place = document.key_at(path[:-1] if isinstance(path[-1], int) else path)
            message = "the provider's rules allow no further fields in a request"
            self._all.found.add(place.problem("unsupported", message, "remove it, or choose another provider"), entry)
        for name in extra:
            if name in REQUEST_FIELDS or name == "metadata":
                place = self._all.drafting.written(entry, draft, ("extra_body", name)).key_place
                message = f"{name} is a field of its own"
                self._all.found.add(place.problem("conflict", message, f"write {name} beside `extra_body`"), entry)

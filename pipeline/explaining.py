"""Where every value of a job comes from: a place in the manifest or a table, the command line, the profile. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.document import Place
from pipeline.jobs import Spec
from pipeline.making import Trace
from pipeline.manifest import Manifest
from pipeline.templates import ROW, ROW_NUMBER, names_in


@dataclass(frozen=True, slots=True)
class Source:
    """Where a value is written; ``name`` is the placeholder that it fills, None for the value itself.

    ``place`` is None for what no file says: then ``word`` does.
    """

    name: str | None
    place: Place | None
    word: str = ""

    def __str__(self) -> str:
        where = str(self.place) if self.place else self.word
        return where if self.name is None else f"{self.name} from {where}"


@dataclass(frozen=True, slots=True)
class Origin:
    """A value of a job, by the keys that lead to it, and where it and all that was put into it come from."""

    path: tuple[str, ...]
    value: Any
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Explained:
    spec: Spec
    origins: tuple[Origin, ...]


def explained(manifest: Manifest, trace: Trace, *, given: Mapping[str, str]) -> Explained:
    """Return where every value of the traced job comes from. ``given`` are the variables of the command line."""
    asker = _Asker(manifest, trace, given)
    fields = {**trace.spec.request, "metadata": dict(trace.spec.metadata), "tags": list(trace.spec.tags)}
    found = [
        origin for name, value in fields.items() if value not in ({}, []) for origin in asker.origins((name,), value)
    ]
    return Explained(trace.spec, tuple(found))


class _Asker:
    def __init__(self, manifest: Manifest, trace: Trace, given: Mapping[str, str]) -> None:
        self._manifest, self._trace, self._given = manifest, trace, given

    def origins(self, path: tuple[str, ...], value: Any) -> Iterator[Origin]:
        whole = path[0] == "input_reference" or not isinstance(value, dict) or not value
        if whole:
            yield Origin(path, value, tuple(self._sources(path)))
            return
        for key, inner in value.items():
            yield from self.origins((*path, key), inner)

    def _sources(self, path: tuple[str, ...]) -> Iterator[Source]:
        trace = self._trace
        if path[0] in trace.draft.fields.get("extra_body", {}):
            path = ("extra_body", *path)
        if path[0] == "metadata" and len(path) == 2 and path[1] in trace.kept:
            yield self._column(path[1], None)
            return
        layer = trace.written(path)
        if layer.path == trace.entry.layer().path:
            slots = trace.draft.slots.get(path[0], frozenset())
            if slots:
                yield from (self._column(column, None) for column in slots if column is not None)
            else:
                yield Source(None, None, f"the profile {self._manifest.provider}")
            return
        if layer.path[-2:-1] == ("columns",):
            yield self._column(str(layer.value), None)
        yield Source(None, layer.value_place)
        for name in sorted(names_in(layer.value)):
            yield self._name(name)

    def _name(self, name: str) -> Source:
        trace = self._trace
        cell = trace.draft.combination.cells.get(name)
        if cell is not None:
            return Source(name, cell.document.value_at(cell.path))
        if name in self._given or name in self._manifest.remembered:
            before = "" if name in self._given else ", as the ledger remembers"
            return Source(name, None, f"--var {name}{before}")
        if name in self._manifest.declared:
            return Source(name, self._manifest.declared[name].value_place)
        if name == ROW_NUMBER and trace.table is not None:
            return Source(name, trace.table.place(trace.row))
        return self._column(name.removeprefix(ROW), name)

    def _column(self, column: str, name: str | None) -> Source:
        table = self._trace.table
        return Source(name, table.place(self._trace.row, column) if table else None)


def explain_document(found: Explained) -> dict[str, Any]:
    """Return the document of ``explain --job --json``."""
    spec = found.spec
    return {
        "schema_version": 1,
        "job": spec.name,
        "request_hash": spec.request_hash,
        "request": dict(spec.request),
        "output": f"videos/{spec.output}",
        "origin": spec.origin,
        "values": [
            {
                "path": list(origin.path),
                "value": origin.value,
                "sources": [source_document(source) for source in origin.sources],
            }
            for origin in found.origins
        ],
    }


def source_document(source: Source) -> dict[str, Any]:
    place = source.place
    where = {"file": place.file, "line": place.line, "column": place.column} if place else {"word": source.word}
    return {"name": source.name, **where}

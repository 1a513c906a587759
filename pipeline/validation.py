"""A value and a JSON Schema -> every mistake, at the place of its token. Pure.

The rules themselves stand in ``schemas/``. A finding knows its path in the value and not its place, because the
same value may be written once and used by many jobs.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

from pipeline.compiled import keeper
from pipeline.document import MAX_PROBLEMS, Document, Path
from pipeline.errors import Edit, Problem
from pipeline.sayings import MISSING, Finding, findings_of
from pipeline.scalars import core_value

if TYPE_CHECKING:
    from jsonschema import ValidationError

Schema = Mapping[str, Any]

MAX_FINDINGS = 100_000
"""Findings about one value: what an anchor brings into many jobs is found in each."""


def findings(value: Any, schema: Schema) -> list[Finding]:
    """Return everything in the value that breaks the schema."""
    return checker(schema)(value)


def checker(schema: Schema) -> Callable[[Any], list[Finding]]:
    """Return ``findings`` for many values: the schema is prepared once."""
    rules = _prepared(schema)
    keeps, explained = rules.keeps, rules.explained
    return lambda value: [] if keeps(value) else explained(value)


def problems(document: Document, schema: Schema) -> list[Problem]:
    """Return everything in the document that breaks the schema, at its place."""
    return located(findings(document.value, schema), document)


def located(found: Sequence[Finding], document: Document) -> list[Problem]:
    """Return the findings about a document's value as problems at their places, each once.

    What an anchor brings into several entries of ``jobs`` says into how many.
    """
    entries: dict[Problem, set[str | int]] = {}
    edits: dict[Problem, Edit | None] = {}
    for finding in found:
        hit = finding.path[1] if len(finding.path) > 1 and finding.path[0] == "jobs" else "elsewhere"
        problem = _located(finding, document)
        bare = replace(problem, edit=None)
        entries.setdefault(bare, set()).add(hit)
        # What is certain by one way to it, and not by another, is not certain.
        edits[bare] = problem.edit if edits.get(bare, problem.edit) == problem.edit else None
    told = ((replace(bare, edit=edits[bare]), hits) for bare, hits in entries.items())
    return [hitting(problem, len(hits)) for problem, hits in islice(told, MAX_PROBLEMS)]


def hitting(problem: Problem, entries: int) -> Problem:
    """Return the problem; one that hits several entries of ``jobs`` says how many."""
    return replace(problem, message=f"{problem.message} (in {entries:,} jobs)") if entries > 1 else problem


def mended(document: Document, found: Sequence[Finding]) -> Any:
    """Return the document's value without what is wrong in it, so that the rest can be checked further.

    Text that lacks its quotes gets them; a wrong or unknown entry of a mapping goes; one of a list becomes a null.
    """
    wrong = [finding for finding in found if finding.path and finding.rule != MISSING]
    return _mended(document.value, wrong, 0, document) if wrong else document.value


def _mended(value: Any, found: Sequence[Finding], depth: int, document: Document) -> Any:
    by_step: dict[Any, list[Finding]] = {}
    for finding in found:
        by_step.setdefault(finding.path[depth], []).append(finding)
    value = value.copy()
    for step, below in by_step.items():
        here = next((finding for finding in below if len(finding.path) == depth + 1), None)
        if here is None:
            value[step] = _mended(value[step], below, depth + 1, document)
        elif here.quotable:
            value[step] = document.token_at(here.path)
        elif isinstance(value, list):
            value[step] = None
        else:
            del value[step]
    return value


def _located(finding: Finding, document: Document) -> Problem:
    path = finding.path[:-1] if finding.rule == MISSING else finding.path
    place = (document.key_at if finding.on_key else document.value_at)(path)
    rewrite = json.dumps(document.token_at(finding.path)) if finding.quotable else finding.rewrite
    fix = f"write {rewrite}" if finding.quotable else finding.fix
    edit = edit_at(document, path, rewrite, on_key=finding.on_key) if rewrite else None
    return place.problem(finding.rule, finding.message, fix, edit)


def edit_at(document: Document, path: Path, new: str, *, on_key: bool) -> Edit | None:
    """Return the edit that writes a new key or value at the path, in the quotes that are there.

    None where letters cannot simply be exchanged, or where other parts of the file share them in another meaning.
    """
    old = document.spelled_at(path, key=on_key)
    if old is None or document.is_shared(path):
        return None
    if old[0] in "\"'" and new.startswith("["):
        return Edit(old, f"[{old}]")
    is_text = on_key or not isinstance(core_value(new), int)
    return Edit(old, f"{old[0]}{new}{old[0]}" if old[0] in "\"'" and is_text and new[0] not in "\"'" else new)


def schema_problem(schema: Schema) -> str | None:
    """Return why a value is no JSON Schema that requests can be held against, or None where it is one."""
    from pipeline.breaches import no_schema  # noqa: PLC0415  # as above

    if why := no_schema(schema):
        return why
    try:
        whole = resolved(schema)
    except (KeyError, RecursionError):
        return "a $ref leads nowhere, or to itself"
    return "a $ref can only lead to an entry of its $defs" if _refers(whole) else None


def resolved(schema: Schema) -> Schema:
    """Return the schema with what its references to ``$defs`` lead to in their place. It may be shared: change none."""
    return _prepared(schema).whole


class _Rules:
    """A schema, prepared. ``keeps`` tells of most values that are right that they are; ``explained`` is never wrong.

    Local references are resolved here, once, and not again for every value.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self.whole: Schema = _resolved(schema, schema.get("$defs", {}))
        self.keeps = keeper(self.whole)

    def explained(self, value: Any) -> list[Finding]:
        """Return everything in the value that breaks the schema, as jsonschema finds it."""
        found = (finding for error in self._errors(value) for finding in findings_of(error, self._schema))
        return list(dict.fromkeys(islice(found, MAX_FINDINGS)))

    @cached_property
    def _errors(self) -> "Callable[[Any], Iterator[ValidationError]]":
        from pipeline.breaches import explainer  # noqa: PLC0415  # jsonschema is slow to import, and rarely wanted

        return explainer(self.whole)


def _prepared(schema: Schema) -> _Rules:
    """Prepare a schema once a process, by its words: each file, job and profile brings the same ones again."""
    words = repr(schema)
    if words not in _PREPARED:
        if len(_PREPARED) >= _MOST_PREPARED:
            _PREPARED.clear()
        _PREPARED[words] = _Rules(schema)
    return _PREPARED[words]


_MOST_PREPARED = 64
_PREPARED: dict[str, _Rules] = {}


def _resolved(schema: Any, definitions: Schema) -> Any:
    if isinstance(schema, list):
        return [_resolved(part, definitions) for part in schema]
    if not isinstance(schema, dict):
        return schema
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/$defs/"):
        told = _resolved(definitions[reference.removeprefix("#/$defs/")], definitions)
        beside = {key: part for key, part in schema.items() if key not in {"$ref", "$defs"}}
        return {**_resolved(beside, definitions), "allOf": [told, *beside.get("allOf", ())]} if beside else told
    return {key: _part(key, part, definitions) for key, part in schema.items() if key != "$defs"}


def _part(key: str, part: Any, definitions: Schema) -> Any:
    """Return a part of a schema, resolved. A property of which nothing, or only no, is said is a mapping too."""
    told = _resolved(part, definitions)
    if key != "properties" or not isinstance(told, dict):
        return told
    return {name: _PLAIN[inner] if isinstance(inner, bool) else inner for name, inner in told.items()}


_PLAIN: Mapping[bool, Schema] = {True: {}, False: {"not": True}}


def _refers(schema: Any) -> bool:
    if isinstance(schema, dict):
        return any(key in {"$ref", "$dynamicRef"} or _refers(part) for key, part in schema.items())
    return isinstance(schema, list) and any(map(_refers, schema))

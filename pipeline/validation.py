"""A value and a JSON Schema -> every mistake, at the place of its token. Pure.

The rules themselves stand in ``schemas/``. A finding knows its path in the value and not its place, because the
same value may be written once and used by many jobs.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator, SchemaError, ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import extend

from pipeline.document import MAX_PROBLEMS, Document, Path
from pipeline.errors import Edit, Problem
from pipeline.sayings import MISSING, Finding, findings_of
from pipeline.scalars import core_value

Schema = Mapping[str, Any]

MAX_FINDINGS = 100_000
"""Findings about one value: what an anchor brings into many jobs is found in each."""


def findings(value: Any, schema: Schema) -> list[Finding]:
    """Return everything in the value that breaks the schema."""
    return _findings(value, _compiled(schema), schema)


def checker(schema: Schema) -> Callable[[Any], list[Finding]]:
    """Return ``findings`` for many values: the schema is prepared once."""
    rules = _compiled(schema)
    return lambda value: _findings(value, rules, schema)


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


def request_rules(schema: Schema) -> Callable[[Mapping[str, Any]], Sequence[Finding]]:
    """Return what finds everything in a request that breaks the schema, quickly for many requests.

    Only prompts and metadata differ from job to job, and mostly only their own rules in ``properties`` speak of them:
    then the rest is checked once for each combination of values that occurs.
    """
    rules = _compiled(schema)
    if not _leaves_free(rules.schema):
        return lambda request: _findings(request, rules, schema)
    free = {
        name: (rules.evolve(schema=rules.schema["properties"][name]), {"properties": {name: inner}})
        for name, inner in rules.schema.get("properties", {}).items()
        if name in _FREE
    }
    known: dict[str, Sequence[Finding]] = {}

    def check(request: Mapping[str, Any]) -> Sequence[Finding]:
        combination = repr([name if name in free else (name, value) for name, value in request.items()])
        found = known.get(combination)
        if found is None:
            found = [f for f in _findings(request, rules, schema) if f.rule == MISSING or not free.keys() & f.path[:1]]
            known[combination] = found
        for name, (own, alone) in free.items():
            if name in request and not own.is_valid(request[name]):
                found = [*found, *findings({name: request[name]}, alone)]
        return found

    return check


_FREE = frozenset({"prompt", "metadata"})
_OF_ONE_KEY_EACH = frozenset({"properties", "required", "additionalProperties", "type", "title", "description"})


def _leaves_free(schema: Schema) -> bool:
    """Tell whether nothing but ``properties`` speaks of a prompt or of metadata."""
    rest = {key: rules for key, rules in schema.items() if key not in _OF_ONE_KEY_EACH and not key.startswith("$")}
    text = json.dumps(rest)
    return not (rest.keys() - {"allOf"} or "Properties" in text or any(f'"{name}"' in text for name in _FREE))


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


def _findings(value: Any, rules: Any, schema: Schema) -> list[Finding]:
    found = (finding for error in rules.iter_errors(value) for finding in findings_of(error, schema))
    return list(dict.fromkeys(islice(found, MAX_FINDINGS)))


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
    try:
        Draft202012Validator.check_schema(schema)
        whole = resolved(schema)
    except SchemaError as error:
        return f"{error.json_path}: {error.message}"[:300]
    except (KeyError, RecursionError):
        return "a $ref leads nowhere, or to itself"
    return "a $ref can only lead to an entry of its $defs" if _refers(whole) else None


def resolved(schema: Schema) -> Schema:
    """Return the schema with what its references to ``$defs`` lead to in their place. It may be shared: change none."""
    return _prepared(schema)[0]


def _compiled(schema: Schema) -> Any:
    """Local references are resolved here, once, and not again for every value."""
    return _prepared(schema)[1]


def _prepared(schema: Schema) -> tuple[Schema, Any]:
    """Prepare a schema once a process, by its words: each file, job and profile brings the same ones again."""
    words = repr(schema)
    if words not in _PREPARED:
        if len(_PREPARED) >= _MOST_PREPARED:
            _PREPARED.clear()
        whole: Schema = _resolved(schema, schema.get("$defs", {}))
        _PREPARED[words] = whole, _Validator(whole)
    return _PREPARED[words]


_MOST_PREPARED = 64
_PREPARED: dict[str, tuple[Schema, Any]] = {}


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


def _pattern(_rules: Validator, pattern: str, value: Any, _schema: Schema) -> Iterator[ValidationError]:
    """In JSON Schema ``$`` is the end of the text; in Python it also stands before a last line break."""
    python = f"{pattern[:-1]}\\Z" if pattern.endswith("$") else pattern
    if isinstance(value, str) and not re.search(python, value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


_Validator = extend(Draft202012Validator, {"pattern": _pattern})  # type: ignore[no-untyped-call]

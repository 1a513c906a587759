"""What is wrong in a profile though its schema allows it: rules that are none, and what they say no to. Pure."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pipeline.bodies import REFERENCE
from pipeline.document import Document
from pipeline.errors import Problem
from pipeline.sayings import MISSING, shown
from pipeline.validation import Schema, findings, resolved, schema_problem

REQUESTS = "-request.schema.json"
"""How the names of the schemas end that requests can be held against."""


def unsound(document: Document, names: Sequence[str], schema: Callable[[str], Schema]) -> list[Problem]:
    """Return what is wrong with the rules for requests in a profile that its schema has accepted.

    ``names`` are those of the schemas that there are; ``schema`` gives one of them.
    """
    rules = document.value["request"]
    found = [*_no_schemas(document, rules, names)]
    return found or [*_no_defaults(document, rules, schema), *_one_name(document, rules)]


def _no_schemas(document: Document, rules: Mapping[str, Any], names: Sequence[str]) -> Iterator[Problem]:
    """Yield what names no schema, and what is none."""
    fitting = [name for name in names if name.endswith(REQUESTS)]
    if isinstance(rules["schema"], str) and rules["schema"] not in fitting:
        message = f"there is no schema of requests that is called {shown(rules['schema'])}"
        place = document.value_at(("request", "schema"))
        yield place.problem("schema", message, f"write one of {', '.join(fitting)}")
    extra = rules.get("extra_body")
    written = {"schema": rules["schema"], "extra_body": {"properties": extra} if isinstance(extra, dict) else None}
    for key, told in written.items():
        wrong = schema_problem(told) if isinstance(told, dict) else None
        if wrong is not None:
            place = document.value_at(("request", key))
            yield place.problem("schema", f"this is no JSON Schema: {wrong}", "mend it")


def _no_defaults(document: Document, rules: Mapping[str, Any], schema: Callable[[str], Schema]) -> Iterator[Problem]:
    """Yield the defaults that the profile's own rules never allow: a manifest would be blamed for them."""
    told = schema(rules["schema"]) if isinstance(rules["schema"], str) else rules["schema"]
    whole = resolved(told)
    known = {"properties": whole["properties"], "additionalProperties": whole.get("additionalProperties", {})}
    for finding in findings(rules["defaults"], known):
        if finding.rule != MISSING:
            path = ("request", "defaults", *finding.path)
            place = (document.key_at if finding.on_key else document.value_at)(path)
            yield place.problem(finding.rule, finding.message, finding.fix)


def _one_name(document: Document, rules: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the fields that have the name of another one on the wire."""
    told: Mapping[str, Any] = rules.get("fields", {})
    sent = ("model", "prompt", "size", "seconds", *(["metadata"] if rules.get("metadata") else []))
    taken = Counter(told.get(name, {}).get("name", name) for name in sent)
    ours = [(("fields", name), told[name].get("name", name), 1) for name in sent if name in told]
    travels = rules.get("input_reference", {}).items()
    theirs = [(("input_reference", what), travel.get("field", REFERENCE), 0) for what, travel in travels]
    for path, name, itself in (*ours, *theirs):
        if taken[name] > itself:
            place = document.value_at(("request", *path))
            yield place.problem("conflict", f"another field is called {shown(name)} too", "give it a name of its own")

"""Profiles as data: every field, what a request schema allows each model, two profiles side by side. Pure.

A field is the keys that lead to it. What a profile is silent about has the default of ``schemas/profile.schema.json``;
what has no default is absent. What requests may say is told by model: ``models``, a model's name, a field. And the
cheapest request that a profile allows.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from math import inf
from typing import Any, NamedTuple

from pipeline.profile import Profile
from pipeline.validation import findings

Field = tuple[str, ...]
Schema = Mapping[str, Any]

MODELS = "models"
OTHER = "*"
"""Stands for every model that is not named."""

_TOLD_ELSEWHERE = frozenset({"model", "input_reference", "metadata"})
_NO_RULE = frozenset({"title", "description", "examples", "default", "type", "$comment"})


class Fact(NamedTuple):
    """What a field is, what it means, and whether the profile says so itself (else it is the default)."""

    value: Any
    meaning: str
    given: bool = True


class Row(NamedTuple):
    """A field of one profile, or of several side by side. None is where one of them has no such field."""

    field: Field
    facts: tuple[Fact | None, ...]

    @property
    def differs(self) -> bool:
        values = [fact and fact.value for fact in self.facts]
        return any(value != values[0] for value in values)


def facts(profile: Mapping[str, Any], schema: Schema, rules: Schema, more: Iterable[str] = ()) -> dict[Field, Fact]:
    """Return all that a profile says, and what its request schema, ``rules``, allows its models and ``more`` ones."""
    found = dict(_told(profile, schema, schema, ()))
    for model in dict.fromkeys([*models(profile, rules), *more]):
        if takes(rules, model):
            for name, rule in taken(rules, model).items():
                found[MODELS, model, name] = Fact(rule, _meaning(rules.get("properties", {}).get(name, {})))
    return found


def side_by_side(told: Sequence[Mapping[Field, Fact]]) -> list[Row]:
    """Return every field that any of them has, in the order that they have in common."""
    fields: list[Field] = []
    for one in told:
        place = 0
        for field in one:
            if field not in fields:
                fields.insert(place, field)
            place = fields.index(field) + 1
    return [Row(field, tuple(one.get(field) for one in told)) for field in fields]


def models(profile: Mapping[str, Any], rules: Schema) -> list[str]:
    """Return the models that a profile names, and ``OTHER`` where its request schema takes any name."""
    named = _closed([rules.get("properties", {}).get("model", {})])
    if named is not None:
        return [str(name) for name in named]
    default = profile["request"]["defaults"].get("model")
    priced = profile.get("price", {}).get("per_second", {})
    return [*dict.fromkeys([*([default] if default else []), *priced]), OTHER]


def takes(rules: Schema, model: str) -> bool:
    """Tell whether requests may name this model."""
    return not findings(model, rules.get("properties", {}).get("model", {}))


def taken(rules: Schema, model: str) -> dict[str, Any]:
    """Return what each field of a request may be for a model: a list of values, or the rules of JSON Schema for it.

    What depends on more than the model is left out.
    """
    parts = [*_applying(rules, model)]
    names = dict.fromkeys(name for part in parts for name in part.get("properties", {}))
    return {name: _rule(name, parts) for name in names if name not in _TOLD_ELSEWHERE}


def cheapest(profile: Profile, named: Iterable[str], rules: Schema) -> dict[str, Any]:
    """Return model, size and seconds of the cheapest request that a profile allows, of those it has values for.

    Where no price is known: the fewest seconds and pixels, of the default model.
    """
    defaults = profile.request.defaults
    names = sorted(named, key=lambda name: name != defaults.get("model"))
    wanted = [name for name in names if name != OTHER] or [OTHER]
    found: list[dict[str, Any]] = []
    for model in wanted:
        allowed = taken(rules, model)
        sizes, lengths = (
            allowed[name] if isinstance(allowed.get(name), list) else [defaults[name]] for name in ("size", "seconds")
        )
        told = {} if model == OTHER else {"model": model}
        found += ({**told, "size": size, "seconds": seconds} for size, seconds in product(sizes, lengths))
    return min(found, key=lambda request: _expense(profile.cost(request), request))


def _expense(cost: float | None, request: Mapping[str, Any]) -> tuple[float, float, float]:
    width, _, height = str(request["size"]).partition("x")
    pixels = int(width) * int(height) if (width + height).isascii() and (width + height).isdigit() else inf
    return inf if cost is None else cost, float(request["seconds"]), pixels


def _rule(name: str, parts: Sequence[Schema]) -> Any:
    written = [part["properties"][name] for part in parts if name in part.get("properties", {})]
    told = [rule for rule in written if isinstance(rule, dict)]
    values = _closed(told)
    if values is not None:
        return values
    return {word: value for rule in told for word, value in rule.items() if word not in _NO_RULE}


def _closed(rules: Sequence[Schema]) -> list[Any] | None:
    """Return the values that all rules allow, or None where no rule lists them."""
    lists = [rule["enum"] if "enum" in rule else [rule["const"]] for rule in rules if {"enum", "const"} & rule.keys()]
    if not lists:
        return None
    return [value for value in lists[0] if not any(findings(value, rule) for rule in rules)]


def _applying(rules: Schema, model: str) -> Iterator[Schema]:
    """Yield the parts of a schema that hold for a model."""
    yield rules
    condition = rules.get("if")
    if isinstance(condition, dict) and condition.get("properties", {}).keys() <= {"model"}:
        branch = rules.get("else" if findings({"model": model}, condition) else "then")
        if isinstance(branch, dict):
            yield from _applying(branch, model)
    for part in rules.get("allOf", ()):
        if isinstance(part, dict):
            yield from _applying(part, model)


def _told(value: Any, schema: Schema, root: Schema, path: Field) -> Iterator[tuple[Field, Fact]]:
    """Yield the fields of a mapping, or of one that is silent (None), as the schema has them."""
    schema = _resolved(schema, root)
    if value is None and schema.keys() & {"required", "minProperties"}:
        return  # it has no default as a whole
    known = schema.get("properties", {})
    for name, inner in known.items():
        yield from _field((value or {}).get(name), inner, root, (*path, name))
    for name in [name for name in value or {} if name not in known]:
        inner = schema.get("additionalProperties")
        rule = inner if isinstance(inner, dict) else {}
        described = {"description": schema.get("description", ""), **rule}
        if isinstance(value[name], dict) and "additionalProperties" in rule:
            yield from _told(value[name], described, root, (*path, name))
        else:
            yield (*path, name), Fact(value[name], _meaning(described))


def _field(value: Any, schema: Schema, root: Schema, path: Field) -> Iterator[tuple[Field, Fact]]:
    schema = _resolved(schema, root)
    is_mapping = schema.get("type") == "object" or (isinstance(value, dict) and path != ("request", "schema"))
    if is_mapping and (value is not None or "properties" in schema):
        yield from _told(value, schema, root, path)
    elif value is not None:
        yield path, Fact(value, _meaning(schema))
    elif "default" in schema:
        yield path, Fact(schema["default"], _meaning(schema), given=False)


def _resolved(schema: Schema, root: Schema) -> Schema:
    reference = schema.get("$ref", "")
    return root["$defs"][reference.removeprefix("#/$defs/")] if reference.startswith("#/$defs/") else schema


def _meaning(schema: Schema) -> str:
    """Return the first sentence of a description."""
    text = schema.get("description", "")
    first = re.match(r".+?[.!?](?=\s+[A-Z`]|\s*$)", text)
    return first[0] if first else text

"""What jsonschema has against a value: it explains what is wrong. Pure."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator, SchemaError, ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import extend

from pipeline.compiled import keeper, searching


def explainer(schema: Mapping[str, Any]) -> Callable[[Any], Iterator[ValidationError]]:
    """Return what yields all that jsonschema has against a value. References are resolved before."""
    return _Validator(schema).iter_errors  # type: ignore[no-any-return]


def no_schema(schema: Any) -> str | None:
    """Return why a value is no JSON Schema, or None where it is one."""
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return f"{error.json_path}: {error.message}"[:300]
    return None


def _items(rules: Any, items: Any, value: Any, schema: Mapping[str, Any]) -> Iterator[ValidationError]:
    """Of a long list with a few wrong entries only those are looked at."""
    if not isinstance(value, list) or len(value) < _LONG or isinstance(items, bool) or "prefixItems" in schema:
        yield from Draft202012Validator.VALIDATORS["items"](rules, items, value, schema)
        return
    keeps = keeper(items)
    for index, entry in enumerate(value):
        if not keeps(entry):
            yield from rules.descend(entry, items, path=index)


_LONG = 100


def _pattern(_rules: Validator, pattern: str, value: Any, _schema: Mapping[str, Any]) -> Iterator[ValidationError]:
    if isinstance(value, str) and not searching(pattern)(value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


_Validator = extend(Draft202012Validator, {"items": _items, "pattern": _pattern})  # type: ignore[no-untyped-call]

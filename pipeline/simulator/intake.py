"""The fields of a create request -> the request that is carried out, or a refusal. Pure."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Never

from pipeline.jobs import canonical_json
from pipeline.simulator.dialects import Taking
from pipeline.simulator.refusals import refused, request_rules

_NOT_JSON = "We could not parse the JSON body of your request: it must be one JSON object, in UTF-8."


def parsed(body: bytes) -> dict[str, Any]:
    """Return the object in a JSON body. Raises Refused where there is none."""
    try:
        value = json.loads(body, parse_constant=_no_constant)
        canonical_json(value).encode()  # refuses what no JSON text can hold: half a surrogate pair, an endless number
    except (ValueError, RecursionError):
        raise refused(400, _NOT_JSON, reason="body") from None
    if not isinstance(value, dict):
        raise refused(400, _NOT_JSON, reason="body")
    return value


def _no_constant(name: str) -> Never:
    raise ValueError(name)


class Intake:
    """The dialect's rules for a create request, prepared once; ``strict`` are those of the API as it is documented.

    An image is text under the strict ones: what stands for one in a campaign's own records is no image to a server.
    """

    def __init__(self, rules: Taking, strict: Mapping[str, Any]) -> None:
        schema = rules.schema or _with_images_as_text(strict)
        self._rules = rules
        self._check = request_rules(schema)
        self._known = None if schema.get("additionalProperties") is False else schema.get("properties", {}).keys()

    def __call__(self, fields: Mapping[str, Any], uploads: Mapping[str, Any]) -> dict[str, Any]:
        """Return the request as it is carried out. Raises Refused for its first mistake."""
        names, coerce = self._rules.aliases, self._rules.coerce
        asked = {names.get(name, name): value for name, value in fields.items() if names.get(name) not in fields}
        asked = {name: _COERCE[coerce[name]](value) if name in coerce else value for name, value in asked.items()}
        asked = {name: value for name, value in asked.items() if name not in self._rules.dropped}
        # What was uploaded has no place in a schema for JSON.
        self._check(asked | {name: upload for name, upload in uploads.items() if name not in self._rules.files})
        kept = {name: value for name, value in asked.items() if self._known is None or name in self._known}
        return kept | {name: upload for name, upload in uploads.items() if name in self._rules.files}


def _with_images_as_text(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    rules = schema.get("properties", {})
    if "input_reference" not in rules:
        return schema
    return {**schema, "properties": {**rules, "input_reference": {"type": "string", "minLength": 1}}}


def _to_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _to_number(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10 else value


_COERCE: Mapping[str, Callable[[Any], Any]] = {"string": _to_text, "integer": _to_number}

"""Which field of a request a server's refusal speaks of: by its name on the wire, or by its value in the message. Pure.

Gateways call a wrong parameter a content policy violation; what they wrap says the truth, and which field it is.
"""

from collections.abc import Mapping
from typing import Any

from pipeline.jobs import Failure, FailureKind
from pipeline.profile import RequestRules

_OF_THE_REQUEST = frozenset({FailureKind.INVALID_REQUEST, FailureKind.MODERATION_INPUT})
_IN_QUOTES = ("'{}'", '"{}"', "`{}`")


def field_of(failure: Failure, request: Mapping[str, Any], rules: RequestRules) -> str | None:
    """Return the field, by the manifest's name, that was refused; None where the answer does not say."""
    if failure.kind not in _OF_THE_REQUEST:
        return None
    on_the_wire = {field.name: name for name, field in rules.fields.items()}
    for travel in (rules.input_reference.image, rules.input_reference.url):
        if travel is not None:
            on_the_wire[travel.field] = "input_reference"
    if failure.param is not None:
        named = failure.param.replace("[", ".").split(".")[0]
        name = on_the_wire.get(named, named)
        return name if name in request else None
    quoted = [name for name, value in request.items() if _is_quoted(value, failure.message)]
    return quoted[0] if len(quoted) == 1 else None


def _is_quoted(value: object, message: str) -> bool:
    return isinstance(value, str | int) and any(form.format(value) in message for form in _IN_QUOTES)

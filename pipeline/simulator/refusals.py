"""What the simulator says no with, and the rules for a request, told in OpenAI's words. Pure."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator, ValidationError


class Refused(Exception):
    """A request that gets an error instead of what it asked for.

    ``error`` is OpenAI's: message, type, param, code. How a dialect words it depends on the ``reason``; ``model`` is
    the one that was asked for, ``facts`` are further names for the dialect's words.
    """

    def __init__(
        self,
        status: int,
        error: Mapping[str, Any],
        *,
        reason: str,
        model: str | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(error["message"])
        self.status, self.error, self.reason, self.model, self.facts = status, error, reason, model, facts or {}

    @property
    def body(self) -> dict[str, Any]:
        """OpenAI's own envelope."""
        return {"error": self.error}


def refused(
    status: int,
    message: str,
    *,
    reason: str,
    code: str | None = None,
    param: str | None = None,
    kind: str = "invalid_request_error",
    **facts: Any,
) -> Refused:
    """Return a refusal in OpenAI's words."""
    return Refused(status, _error(message, code, param, kind), reason=reason, facts=facts)


def request_rules(schema: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], None]:
    """Return the check of a create request against a JSON Schema. It raises Refused for the first mistake."""
    validator = Draft202012Validator(schema)

    def check(request: Mapping[str, Any]) -> None:
        mistakes = sorted(map(_Mistake.of, validator.iter_errors(request)), key=_rank)
        if mistakes:
            told = _TELLERS.get(mistakes[0].keyword, _odd)(mistakes[0])
            model, missing = request.get("model"), mistakes[0].keyword == "required"
            group = model[:100] if isinstance(model, str) else None
            raise Refused(400, told, reason="missing" if missing else "invalid", model=group)

    return check


def _error(message: str, code: str | None, param: str | None, kind: str = "invalid_request_error") -> dict[str, Any]:
    return {"message": message, "type": kind, "param": param, "code": code}


@dataclass(frozen=True, slots=True)
class _Mistake:
    """One broken rule: of which parameter ("" for the whole), its value, the schema's keyword and what that says."""

    param: str
    value: Any
    keyword: str
    rule: Any
    known: Collection[str]

    @classmethod
    def of(cls, error: ValidationError) -> "_Mistake":
        known = error.schema.get("properties", {}) if isinstance(error.schema, Mapping) else {}
        path = ".".join(map(str, error.absolute_path))
        return cls(path, error.instance, str(error.validator), error.validator_value, known)


def _rank(mistake: _Mistake) -> tuple[bool, str]:
    return mistake.keyword != "additionalProperties", mistake.param


def _missing(mistake: _Mistake) -> dict[str, Any]:
    name = next(name for name in mistake.rule if name not in mistake.value)
    return _error(f"Missing required parameter: '{name}'.", "missing_required_parameter", name)


def _unknown(mistake: _Mistake) -> dict[str, Any]:
    name = next(name for name in mistake.value if name not in mistake.known)[:100]
    return _error(f"Unknown parameter: '{name}'.", "unknown_parameter", name)


def _wrong_type(mistake: _Mistake) -> dict[str, Any]:
    return _not_a(mistake, _ARTICLES.get(mistake.rule, mistake.rule))


def _wrong_value(mistake: _Mistake) -> dict[str, Any]:
    options = [f"'{option}'" for option in mistake.rule]
    if not isinstance(mistake.value, str):
        return _not_a(mistake, f"one of {_listed(options, 'or')}" if len(options) > 1 else options[0])
    supported = f"Supported values are: {_listed(options, 'and')}."
    return _error(f"Invalid value: '{mistake.value[:100]}'. {supported}", "invalid_value", mistake.param)


def _not_a(mistake: _Mistake, expected: str) -> dict[str, Any]:
    got = next(word for kind, word in _GOT if isinstance(mistake.value, kind))
    message = f"Invalid type for '{mistake.param}': expected {expected}, but got {got} instead."
    return _error(message, "invalid_type", mistake.param)


def _too_short(mistake: _Mistake) -> dict[str, Any]:
    got = f"a string with length {len(mistake.value)}" if mistake.value else "an empty string"
    expected = f"Expected a string with minimum length {mistake.rule}, but got {got} instead."
    message = f"Invalid '{mistake.param}': string too short. {expected}"
    return _error(message, "string_below_min_length", mistake.param)


def _too_long(mistake: _Mistake) -> dict[str, Any]:
    got = f"a string with length {len(mistake.value)}"
    expected = f"Expected a string with maximum length {mistake.rule}, but got {got} instead."
    message = f"Invalid '{mistake.param}': string too long. {expected}"
    return _error(message, "string_above_max_length", mistake.param)


def _odd(mistake: _Mistake) -> dict[str, Any]:
    return _error(f"Invalid value for '{mistake.param}'.", "invalid_value", mistake.param)


def _listed(options: Sequence[str], word: str) -> str:
    """Return ``a``, ``a and b``, ``a, b, and c``."""
    if len(options) < 3:
        return f" {word} ".join(options)
    return f"{', '.join(options[:-1])}, {word} {options[-1]}"


_TELLERS: Mapping[str, Callable[[_Mistake], dict[str, Any]]] = {
    "additionalProperties": _unknown,
    "enum": _wrong_value,
    "maxLength": _too_long,
    "minLength": _too_short,
    "required": _missing,
    "type": _wrong_type,
}
_ARTICLES = {"string": "a string", "object": "an object", "integer": "an integer", "array": "an array"}
# bool before int: a bool is an int to Python.
_GOT: tuple[tuple[type, str], ...] = (
    (bool, "a boolean"),
    (int, "an integer"),
    (float, "a decimal number"),
    (str, "a string"),
    (list, "an array"),
    (dict, "an object"),
    (object, "null"),
)

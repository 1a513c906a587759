"""A JSON Schema, compiled: whether a value keeps it, told quickly. Pure.

It says yes, and nothing else: what it does not say yes to is looked at by jsonschema, which says why (``breaches``). So
where the two libraries may differ (a keyword, a form of patterns, a value that is none of JSON) nothing is said here.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import jsonschema_rs

Keeper = Callable[[Any], bool]


class _Unlike(Exception):
    """A schema has what the two libraries may read differently."""


def keeper(schema: Mapping[str, Any] | bool) -> Keeper:
    """Return what tells of a value of JSON, whose numbers are finite, that it keeps the schema for certain.

    There are schemas of which it never tells it.
    """
    try:
        rules = jsonschema_rs.Draft202012Validator(_translated(schema), keywords={_PATTERN: _Pattern})
    except (_Unlike, ValueError, re.error):
        return lambda value: False

    def keeps(value: Any) -> bool:
        try:
            return rules.is_valid(value)
        except ValueError:  # half of a surrogate pair, nested too deep, or no value of JSON
            return False

    return keeps


def _translated(schema: Any) -> Any:
    """Return the schema as both libraries understand it alike, and without what says nothing to either."""
    if not isinstance(schema, dict):
        return schema
    return dict(_keyword(word, argument) for word, argument in schema.items() if word in _SAYING)


def _keyword(word: str, argument: Any) -> tuple[str, Any]:
    if word in _UNLIKE:
        raise _Unlike
    if word == "pattern":
        end = argument.endswith("$")
        told = _alike(argument[: len(argument) - end])
        return (_PATTERN, argument) if told is None else (word, f"{told}{'$' * end}")
    if word == "patternProperties":
        return word, {_form(form): _translated(inner) for form, inner in argument.items()}
    if word == "properties":
        return word, {name: _translated(inner) for name, inner in argument.items()}
    if isinstance(argument, list) and word in _LISTS:
        return word, [_translated(inner) for inner in argument]
    return word, _translated(argument) if word in _OF_A_SCHEMA else argument


def _form(pattern: str) -> str:
    told = _alike(pattern)
    if told is None:
        raise _Unlike
    return told


def _alike(pattern: str) -> str | None:
    """Return a pattern of Python as it is written here, or None for one that may mean something else.

    In Python ``$`` stands before a last line break too, here only at the very end.
    """
    return pattern.replace("$", "(?=\n?$)") if _ALIKE.fullmatch(pattern) else None


_ALIKE = re.compile(r"([\w ,:;/@#%&=<>!~.-]|\\[.*+?/(){}|\[\]^-]|\[\^?[\w .,:;/@-]+\]|\(\?[:!=]|[()|*+?^$])*", re.ASCII)

_UNLIKE = frozenset(
    {
        *("$ref", "$dynamicRef", "dependentRequired", "dependentSchemas", "multipleOf"),
        *("maxContains", "minContains", "unevaluatedItems", "unevaluatedProperties"),
    }
)
"""Keywords that are left to jsonschema: they are rare, or, as ``multipleOf``, rounded in another way."""
_LISTS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_OF_A_SCHEMA = frozenset({"additionalProperties", "contains", "if", "items", "not", "propertyNames", "then", "else"})
_ALIKE_WORDS = frozenset(
    {
        *("type", "enum", "const", "required", "uniqueItems", "minimum", "maximum", "exclusiveMinimum"),
        *("exclusiveMaximum", "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"),
        *("properties", "patternProperties", "pattern"),
    }
)
_SAYING = _ALIKE_WORDS | _LISTS | _OF_A_SCHEMA | _UNLIKE
"""Keywords that jsonschema heeds. All others are for people and editors, or, as ``format``, not heeded."""

_PATTERN = "python-pattern"


class _Pattern:
    """The keyword ``pattern`` as ``breaches`` reads it."""

    def __init__(self, _schema: Mapping[str, Any], pattern: str, _path: object) -> None:
        self._search = searching(pattern)

    def validate(self, value: Any) -> None:
        if isinstance(value, str) and not self._search(value):
            raise ValueError


def searching(pattern: str) -> Callable[[str], object]:
    """In JSON Schema ``$`` is the end of the text; in Python it also stands before a last line break."""
    return re.compile(f"{pattern[:-1]}\\Z" if pattern.endswith("$") else pattern).search

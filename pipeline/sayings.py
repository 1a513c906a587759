"""Broken rules of JSON Schema in words for people: what was expected, and what to write. Pure.

One function for each keyword. Messages name no index and no job, so that a mistake which is written once and used
by many jobs is one mistake.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pipeline import hints

if TYPE_CHECKING:
    from jsonschema import ValidationError

MISSING = "missing-key"


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken rule. ``on_key``: the key at the path is wrong, not its value.

    ``quotable``: the value is text that was written without quotes, which made it a number or a bool. ``rewrite`` is
    what may be written instead without a doubt. ``meant`` is the key that an unknown one stands for. The path of a
    missing key ends with that key.
    """

    rule: str
    message: str
    path: tuple[str | int, ...] = ()
    fix: str | None = None
    on_key: bool = False
    quotable: bool = False
    rewrite: str | None = None
    meant: str | None = None


@dataclass(frozen=True, slots=True)
class _Broken:
    """What jsonschema says: the keyword with its argument, the value that breaks it, and the schema around it."""

    keyword: str
    wanted: Any
    given: Any
    schema: Mapping[str, Any]
    path: tuple[str | int, ...]
    said: str

    @property
    def label(self) -> str:
        last = self.path[-1] if self.path else "the file"
        return f"an entry of {self.path[-2]}" if isinstance(last, int) and len(self.path) > 1 else str(last)


def findings_of(error: "ValidationError", root: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what one of jsonschema's errors means; ``root`` is the whole schema."""
    schema: Any = error.schema
    path = tuple(error.absolute_path)
    broken = _Broken(str(error.validator), error.validator_value, error.instance, schema, path, error.message)
    if broken.keyword == "additionalProperties":
        return _unknown_keys(broken, root)
    if broken.keyword == "required":
        return _missing_keys(broken, root)
    if broken.keyword == "uniqueItems":
        return _repeated(broken)
    return iter([_SAYINGS.get(broken.keyword, _as_it_is)(broken)])


def shown(value: Any) -> str:
    """Return a value as a message shows it: short, and text in quotes."""
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    beginning = value[:61] if isinstance(value, str) else value
    beginning = masked(beginning) if isinstance(beginning, str) else beginning
    text = "nothing" if value is None else json.dumps(beginning, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:56]} ..."


def masked(text: str) -> str:
    """Return the text without a user and a password in an address: what is shown may be kept."""
    return re.sub(r"(?<=://)[^/@\s]*@", "***@", text)


_OF_THE_TOP_FILE = frozenset({"name", "provider", "limits", "budget", "retry", "output"})
_NO_ADDRESS = (
    "remove it: `provider` names a profile; an address or a key comes from the command line or the environment"
)
_FORBIDDEN = re.compile(
    r"base_?url|ur[li]|endpoint|host|address|(extra_)?headers?|(api_?)?key(_env)?|token|secret|authorization|auth"
    r"|credentials|password",
)
_NETWORK = re.compile(r"(https?_|all_)?pro(xy|xies)(_url)?|ca_?(file|bundle|certs?)|(ssl_)?verify(_ssl)?|insecure")


def _unknown_keys(broken: _Broken, root: Mapping[str, Any]) -> Iterator[Finding]:
    allowed = {name: rules for name, rules in broken.schema.get("properties", {}).items() if rules != {"not": {}}}
    told = {key: _unknown_key(key, allowed, root) for key in _strange(broken)}
    times = Counter(meant for _, _, meant in told.values())
    for key, (message, fix, meant) in told.items():
        free = meant is not None and meant not in broken.given and times[meant] == 1
        rewrite = meant if free and hints.is_certain(key, meant) else None
        yield Finding("unknown-key", message, (*broken.path, key), fix, on_key=True, rewrite=rewrite, meant=meant)


def _strange(broken: _Broken) -> list[str]:
    """Return the keys that the schema has no word about."""
    known, patterns = broken.schema.get("properties", {}), broken.schema.get("patternProperties", {})
    return [key for key in broken.given if key not in known and not any(re.search(form, key) for form in patterns)]


def _unknown_key(key: str, allowed: Mapping[str, Any], root: Mapping[str, Any]) -> tuple[str, str, str | None]:
    """Return message and fix, and the key that was probably meant."""
    if not allowed:
        return f"{shown(key)} cannot be a name here", "use letters, digits, _ and -, and start with a letter", None
    said = f"unknown key {shown(key)}"
    meant = hints.known(key, allowed)
    if meant:
        return f"{said}: here it is called {meant}", f"write {meant}", meant
    return _strange_key(key, said, allowed, root)


def _strange_key(
    key: str, said: str, allowed: Mapping[str, Any], root: Mapping[str, Any]
) -> tuple[str, str, str | None]:
    """Return message, fix and meaning of a key that no other tool has."""
    if _FORBIDDEN.fullmatch(key.lower().replace("-", "_")):
        return (
            f"{said}: a manifest cannot decide where the key goes",
            _NO_ADDRESS,
            None,
        )
    if _NETWORK.fullmatch(key.lower().replace("-", "_")):
        message = f"{said}: no file decides what lies between here and the server"
        return message, "remove it: --proxy and --ca-file say so on the command line", None
    if key in _OF_THE_TOP_FILE and root.get("required") == ["version"]:
        return f"{said}: only the file that is run has it", "remove it here", None
    homes = _homes(root, key, "the top of the file")
    if homes:
        return f"{said} here", f"move it to {' or '.join(homes)}", None
    meant = hints.close(key, allowed)
    inside = next(
        ((name, near) for name, rules in allowed.items() if (near := hints.known(key, rules.get("properties", {})))),
        None,
    )
    if inside and not meant:
        return f"{said}: it is {inside[1]} in `{inside[0]}`", f"write {inside[0]}: {{ {inside[1]}: ... }}", None
    return said, f"write {meant}" if meant else f"known here: {', '.join(allowed)}", meant


def _homes(schema: Any, key: str, label: str) -> list[str]:
    """Return in which mappings of a schema the key is known."""
    homes = []
    for name, inner in schema.get("properties", {}).items():
        if inner == {"not": {}}:
            continue
        if name == key:
            homes.append(label)
        elif isinstance(inner, dict):
            homes += _homes(inner, key, f"`{name}`") + _homes(inner.get("items", {}), key, f"an entry of `{name}`")
    return homes


def _missing_keys(broken: _Broken, root: Mapping[str, Any]) -> Iterator[Finding]:
    """A key that is there under a wrong name is not said to be missing as well. A ``then`` has no keys of its own."""
    schema = broken.schema if "properties" in broken.schema else root
    allowed = schema.get("properties", {})
    unknown = _strange(replace(broken, schema=schema))
    meant = {hints.known(key, allowed) or hints.close(key, allowed) for key in unknown}
    for name in broken.wanted:
        if name not in broken.given and name not in meant:
            rules = allowed.get(name, {})
            example = rules.get("const", next(iter(rules.get("examples", ())), None))
            spelled = hints.spelled(example) if isinstance(example, str) else example
            yield Finding(MISSING, f'"{name}" is missing', (*broken.path, name), f"add {name}: {spelled or '...'}")


_TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
}


def _repeated(broken: _Broken) -> Iterator[Finding]:
    """Yield every entry of a list that stands in it before."""
    seen: set[str] = set()
    for index, entry in enumerate(broken.given):
        spelling = json.dumps(entry, sort_keys=True)
        if spelling in seen:
            message = f"{shown(entry)} is in this list already"
            yield Finding("duplicate-value", message, (*broken.path, index), "remove it")
        seen.add(spelling)


def _wrong_type(broken: _Broken) -> Finding:
    value = broken.given
    wanted = [broken.wanted] if isinstance(broken.wanted, str) else list(broken.wanted)
    quotable = "string" in wanted and isinstance(value, bool | int | float)
    allowed = broken.schema.get("then", {}).get("enum")
    if quotable and allowed and str(value) not in allowed:
        return _not_allowed(replace(broken, wanted=allowed))
    number = "the number " if quotable and not isinstance(value, bool) else ""
    words = " or ".join(_TYPES.get(kind, kind) for kind in wanted)
    message = f"{broken.label} must be {words}, not {number}{shown(value)}"
    fix, rewrite = _type_fix(broken, wanted[0])
    return Finding("wrong-type", message, broken.path, fix, quotable=quotable, rewrite=rewrite)


def _type_fix(broken: _Broken, wanted: str) -> tuple[str, str | None]:
    """Return a fix for people, and what a program may write instead."""
    value = broken.given
    if value is None:
        in_list = bool(broken.path) and isinstance(broken.path[-1], int)
        return f"write a value, or remove the {'entry' if in_list else 'key'}", None
    if wanted == "array" and isinstance(value, str) and len(value) <= 60 and _is_of_texts(broken.schema):
        entry = f"[{hints.spelled(value)}]"
        return f"write {entry}", entry if re.fullmatch(r"[\w.-]+", value) else None
    if wanted == "array":
        return "start each entry with a dash", None
    if wanted == "boolean" and str(value).lower() in _BOOLS:
        return f"write {_BOOLS[str(value).lower()]}", _BOOLS[str(value).lower()]
    if wanted in {"integer", "number"} and isinstance(value, str) and re.fullmatch(r"[1-9][0-9]{0,8}", value):
        return f"write {value} without quotes", value
    return f"write {_TYPES.get(wanted, wanted)}", None


def _is_of_texts(schema: Mapping[str, Any]) -> bool:
    return bool(schema.get("items", {}).get("type") == "string")


_BOOLS = dict.fromkeys(("yes", "on", "true", "y"), "true") | dict.fromkeys(("no", "off", "false", "n"), "false")


def _not_allowed(broken: _Broken) -> Finding:
    allowed = [value for value in broken.wanted if isinstance(value, str)]
    if not allowed:
        words = f"one of {', '.join(map(json.dumps, broken.wanted))}"
        message = f"{broken.label} must be {words}, not {shown(broken.given)}"
        return Finding("wrong-value", message, broken.path, f"write {words}")
    one = len(allowed) == 1
    message = f"{broken.label} must be {'' if one else 'one of '}{hints.listed(allowed)}, not {shown(broken.given)}"
    nearest = allowed[0] if one else hints.value(str(broken.given), allowed)
    fix = hints.spelled(nearest) if nearest else f"one of {hints.listed(allowed)}"
    rewrite = fix if nearest and hints.is_same(str(broken.given), nearest) else None
    return Finding("wrong-value", message, broken.path, f"write {fix}", rewrite=rewrite)


def _not_the_one(broken: _Broken) -> Finding:
    wanted = json.dumps(broken.wanted)
    message = f"{broken.label} must be {wanted}, not {shown(broken.given)}"
    rewrite = wanted if str(broken.given) == wanted else None
    return Finding("wrong-value", message, broken.path, f"write {wanted}", rewrite=rewrite)


def _wrong_form(broken: _Broken) -> Finding:
    means = broken.schema.get("description", f"it must fit {broken.wanted}")
    slug = re.sub(r"[^a-z0-9._-]+", "-", broken.given[:100].lower()).strip("._-")
    near = next((text for text in (slug, slug.upper()) if re.search(broken.wanted, text)), None)
    fix = f"write {hints.spelled(near)}" if near else "write another"
    return Finding("wrong-form", f"{broken.label} cannot be {shown(broken.given)}. {means}", broken.path, fix)


def _out_of_bounds(broken: _Broken) -> Finding:
    sized = isinstance(broken.given, str | list | dict)
    has = f"{len(broken.given):,}" if sized else shown(broken.given)
    must, fix = (words.format(broken.wanted) for words in _BOUNDS[broken.keyword])
    return Finding("out-of-bounds", f"{broken.label} must {must}, not {has}", broken.path, fix)


_BOUNDS = {
    "minimum": ("be at least {}", "write {} or more"),
    "exclusiveMinimum": ("be more than {}", "write more than {}"),
    "maximum": ("be at most {:,}", "write {} or less"),
    "minLength": ("have at least {} character", "write some text"),
    "maxLength": ("have at most {:,} characters", "shorten it"),
    "minItems": ("have at least {} entry", "add an entry"),
    "maxItems": ("have at most {:,} entries", "split the job"),
    "minProperties": ("have at least {} key", "add a key"),
}


def _excluded(broken: _Broken) -> Finding:
    if broken.wanted != {}:
        return Finding("wrong-value", f"{broken.label} cannot be {shown(broken.given)}", broken.path, "write another")
    message = f'"{broken.label}" has a meaning of its own'
    return Finding("reserved-name", message, broken.path, "call it something else", on_key=True)


def _as_it_is(broken: _Broken) -> Finding:
    return Finding("schema", f"{broken.label}: {broken.said[:200]}", broken.path)


_SAYINGS: Mapping[str, Callable[[_Broken], Finding]] = {
    "type": _wrong_type,
    "enum": _not_allowed,
    "const": _not_the_one,
    "pattern": _wrong_form,
    "not": _excluded,
    **dict.fromkeys(_BOUNDS, _out_of_bounds),
}

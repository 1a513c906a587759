"""What an answer that is no success says, out of every envelope that servers use. Pure: bytes in, a Complaint out.

Gateways wrap an upstream's error as text into their own, also several times: ``error.message`` then holds the real one
as JSON, as escaped JSON or as a Python dictionary behind names such as ``ContentPolicyViolationError``, which prove
nothing. The innermost error is the true one. Reading is total on any bytes, and its work grows as they do.
"""

import html
import json
import re
from dataclasses import dataclass, replace
from typing import Any

LONGEST_MESSAGE = 2000
"""Characters of a message that are kept."""

_LONGEST_PAGE = 300
_INSPECTED = 1 << 16
_DEEPEST = 24
_ESCAPES = 8
_OPENINGS = 4


@dataclass(frozen=True, slots=True)
class Complaint:
    """What a server says. ``message`` may be empty; ``param`` is the request's field, as the server names it.

    ``named`` is the field that the message names for sure, ``number`` an HTTP status that stands as the code.
    ``structured``: it came as whole JSON, so it is the word of an API and not of a page in front of it. ``quoted``:
    that JSON is no envelope, so the message is all of it: to be shown, and no more, for the prompt may be in it.
    """

    message: str = ""
    code: str | None = None
    type: str | None = None
    param: str | None = None
    number: int | None = None
    structured: bool = False
    quoted: bool = False

    @property
    def named(self) -> str | None:
        if self.code == "model_not_found" or _NAMES_THE_MODEL.search(self.message):
            return "model"
        found = _NAMES_A_FIELD.search(self.message)
        return found and next(name for name in found.groups() if name)


def read(body: bytes) -> Complaint:
    """Return what an answer's body says."""
    written = body.decode("utf-8-sig", "replace")
    value = _decoded(written)
    if value is None and written.lstrip()[:1] == "{":
        cut = complaint(_salvaged(written[:_INSPECTED]))
        return replace(cut, structured=False) if cut else Complaint(_plain(written))
    if not isinstance(value, dict | list):
        return Complaint(_plain(value if isinstance(value, str) else written))
    return complaint(value) or Complaint(_plain(written), structured=True, quoted=True)


def complaint(value: Any) -> Complaint | None:
    """Return what the value of an envelope says, or None where it is no envelope."""
    if value is None or (isinstance(value, dict) and not value.keys() & _KEYS):
        return None
    layers: list[Complaint] = []
    while value is not None and len(layers) < _DEEPEST:
        said, value = _layer(value, settled=any(layer.param for layer in layers))
        layers.append(said)
    layers.reverse()
    return Complaint(
        message=next((said.message for said in layers if said.message), ""),
        code=next((said.code for said in layers if said.code), None),
        type=next((said.type for said in layers if said.type), None),
        param=next((said.param for said in layers if said.param), None),
        number=next((said.number for said in layers if said.number), None),
        structured=True,
    )


def text(value: Any) -> str | None:
    """Return a JSON text or number as text that can be stored, or None for anything else."""
    return storable(str(value)) if isinstance(value, str | int | float) and not isinstance(value, bool) else None


def storable(written: str) -> str:
    """Return the text without halves of surrogate pairs, which JSON can carry and no file can."""
    return written if written.isascii() else written.encode("utf-8", "replace").decode()


_KEYS = frozenset({"error", "errors", "detail", "message", "msg", "code"})
_NONE = frozenset({"", "None", "null", "none"})

_NAME = r"(?:litellm\.)?[A-Z][A-Za-z]{0,80}(?:Error|Exception)"
_EXCEPTION_NAMES = re.compile(rf"(?<![\w.])(?:{_NAME}\s?[:-]\s|{_NAME}\s(?={_NAME}\s?[:-]\s))+(?:None - )?")
_TAIL = re.compile(
    r"\nLiteLLM: model group |\. Received Model Group=|\nTraceback \(most recent call last\)"
    r"|\nmodel=[^\n]{0,200} content_policy_fallback="
)
_MARKUP = re.compile(r"<(?:!doctype|html|head|body|h1|\?xml)\b", re.IGNORECASE)
_HIDDEN = re.compile(r"<(script|style)\b.*?(?:</\1|\Z)", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^<>]{0,1000}>")

_OPENING = re.compile(r"\{\s*(\\*)([\"'])(?:error|errors|detail|message|code)\1\2\s*:")
_ESCAPED = re.compile(r"\\([\"\\/])")
_LITERAL = re.compile(r"'((?:[^'\\]|\\.)*)'?|\"(?:[^\"\\]|\\.)*\"?|\b(?:None|True|False|nan|inf)\b", re.DOTALL)
_LITERALS = {"None": "null", "True": "true", "False": "false", "nan": "null", "inf": "null"}
_IN_QUOTES = re.compile(r"\\(.)|\"", re.DOTALL)
_PAIR = re.compile(r'"(message|code|type|param)"\s*:\s*"((?:[^"\\]|\\.)*)', re.DOTALL)

_FIELD = r"([A-Za-z_][\w.\[\]]{0,99})"
_NAMES_A_FIELD = re.compile(
    rf"(?:unknown|unrecognized|unsupported|missing required) (?:request )?(?:parameter|argument|field)(?: supplied)?"
    rf":? ['\"`]?{_FIELD}|invalid (?:type|value) for ['\"`]{_FIELD}['\"`]"
    rf"|validation errors? for \w{{1,100}}\n{_FIELD}\n",
    re.IGNORECASE,
)
_NAMES_THE_MODEL = re.compile(r"invalid model name passed in model=|\Amodel mismatch\b", re.IGNORECASE)


def _layer(value: Any, *, settled: bool) -> tuple[Complaint, Any]:
    """Return what one layer says, and the one inside of it or None.

    ``settled``: a layer around it has named the wrong field. Who does so has found the mistake, and what looks like an
    error in its message is quoted from the request.
    """
    if isinstance(value, str):
        inside = None if settled else _embedded(value[:_INSPECTED])
        return Complaint("" if inside else _cleaned(value)), inside
    if isinstance(value, list):
        return _problems([item for item in value if isinstance(item, dict | str)])
    if not isinstance(value, dict):
        return Complaint(text(value) or ""), None
    written = text(value.get("code"))
    number = int(written) if written and re.fullmatch(r"[1-5][0-9][0-9]", written, re.ASCII) else None
    said = {name: _word(value.get(name)) for name in ("code", "type", "param")}
    inside = next(
        (value[key] for key in ("error", "detail", "errors") if isinstance(value.get(key), dict | list)), None
    )
    if not inside:
        error, detail = value.get("error"), value.get("detail")
        inside = value.get("message") or value.get("msg") or error or detail
        if isinstance(error, str) and inside is not error:
            said["code"] = said["code"] or _word(error)
    if number is not None:
        said["code"] = None
    return Complaint(code=said["code"], type=said["type"], param=said["param"], number=number), inside or None


def _problems(items: list[Any]) -> tuple[Complaint, Any]:
    """Return what FastAPI's list of problems says, or the first of another list."""
    problems = [item for item in items[:5] if isinstance(item, dict) and "msg" in item]
    if not problems:
        return Complaint(), items[0] if items else None
    found = [(_place(item.get("loc")), _cleaned(text(item["msg"]) or "")) for item in problems]
    message = "; ".join(f"{place}: {problem}" if place else problem for place, problem in found)
    return Complaint(message[:LONGEST_MESSAGE], param=found[0][0]), None


def _place(location: Any) -> str | None:
    """Return the field's name, as dotted names; of broken JSON FastAPI tells a character's number instead."""
    parts = location[1:20] if isinstance(location, list) else []
    return _word(".".join(text(part) or "" for part in parts)) if parts and isinstance(parts[0], str) else None


def _word(value: Any) -> str | None:
    """Return a code as text; servers also write ``"None"`` for none."""
    word = text(value)
    return None if word is None or word in _NONE else word[:200]


def _embedded(message: str) -> Any:
    """Return the upstream's envelope from inside a gateway's message; the text around it is the gateway's."""
    for number, opening in enumerate(_OPENING.finditer(message)):
        if number == _OPENINGS:
            break
        rest, escapes, quote = message[opening.start() :], opening[1], opening[2]
        for _ in range(min(len(escapes).bit_length(), _ESCAPES)):  # each level doubles them, and adds one
            rest = _ESCAPED.sub(r"\1", rest)
        try:
            value, _ = _DECODER.raw_decode(_as_json(rest) if quote == "'" else rest)
        except (ValueError, RecursionError):
            value = _salvaged(rest) if quote == '"' else None
        if isinstance(value, dict) and value.keys() & {"error", "errors", "detail", "message"}:
            return value
    return None


def _as_json(written: str) -> str:
    """Return the repr of a Python dictionary as JSON, as far as servers print one."""

    def literal(found: re.Match[str]) -> str:
        if found[0] in _LITERALS:
            return _LITERALS[found[0]]
        if found[1] is None:
            return found[0]
        quoted = _IN_QUOTES.sub(lambda inner: {"'": "'", None: r"\""}.get(inner[1], inner[0]), found[1])
        return f'"{quoted}"'

    return _LITERAL.sub(literal, written)


def _salvaged(written: str) -> dict[str, Any] | None:
    """Return what is left of an envelope that was cut, where its message has begun."""
    found: dict[str, Any] = {}
    for pair in _PAIR.finditer(written):
        whole = written[pair.end() : pair.end() + 1] == '"'
        if pair[1] not in found and (whole or pair[1] == "message"):
            found[pair[1]] = _decoded(f'"{pair[2]}"') or pair[2]
    return found if "message" in found else None


def _decoded(written: str) -> Any:
    try:
        return _DECODER.decode(written)
    except (ValueError, RecursionError):
        return None


_DECODER = json.JSONDecoder(strict=False, parse_constant=lambda _: None)


def _cleaned(message: str) -> str:
    """Return a gateway's message without its exceptions' names, its advice and its traceback."""
    message = message[:_INSPECTED]
    tail = _TAIL.search(message)
    message = _EXCEPTION_NAMES.sub("", message[: tail.start()] if tail else message).strip()
    return _plain(message) if _MARKUP.search(message) else storable(message)[:LONGEST_MESSAGE]


def _plain(page: str) -> str:
    """Return the beginning of a page as one line, without its tags."""
    shown = html.unescape(_TAG.sub(" ", _HIDDEN.sub(" ", page[:20_000])))
    return storable(" ".join(shown.split())[:_LONGEST_PAGE])

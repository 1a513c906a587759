"""Documents as text, piece by piece: a million jobs in one are written as they are read. Pure.

The letters are those of ``json.dumps(document, indent=2)``, whose own writer of indented text is slower, and takes
nothing that is not there yet.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from json.encoder import encode_basestring_ascii
from typing import Any

_PIECE = 1 << 16
_PLAIN: Mapping[type, Callable[[Any], str]] = {
    str: encode_basestring_ascii,
    int: int.__repr__,
    bool: lambda value: "true" if value else "false",
    type(None): lambda value: "null",
}


def spelled(document: Any) -> Iterator[str]:
    """Yield the document's text. An iterator that is one of its values is an array, and is read as it is written."""
    if not (isinstance(document, Mapping) and any(isinstance(value, Iterator) for value in document.values())):
        yield _text(document, "\n")
        return
    before = "{"
    for key, value in document.items():
        yield f"{before}\n  {encode_basestring_ascii(key)}: "
        before = ","
        if isinstance(value, Iterator):
            yield from _array(value, "\n  ")
        else:
            yield _text(value, "\n  ")
    yield "\n}"


def _array(values: Iterator[Any], margin: str) -> Iterator[str]:
    """Yield an array of what is not there yet, in pieces of some length."""
    before, inner, piece, length = "[", f"{margin}  ", list[str](), 0
    for value in values:
        piece.append(f"{before}{inner}{_text(value, inner)}")
        before = ","
        length += len(piece[-1])
        if length > _PIECE:
            yield "".join(piece)
            piece, length = [], 0
    yield "[]" if before == "[" else f"{''.join(piece)}{margin}]"


def _text(value: Any, margin: str) -> str:
    """Return a value's text; ``margin`` is how a line of what is around it begins."""
    plain = _PLAIN.get(type(value))
    if plain is not None:
        return plain(value)
    inner = f"{margin}  "
    if isinstance(value, dict) and value:
        items = [f"{inner}{encode_basestring_ascii(key)}: {_text(one, inner)}" for key, one in value.items()]
        return f"{{{','.join(items)}{margin}}}"
    if isinstance(value, list | tuple) and value:
        return f"[{','.join([f'{inner}{_text(one, inner)}' for one in value])}{margin}]"
    return json.dumps(value)

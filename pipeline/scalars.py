"""Plain scalars as YAML 1.2's core schema reads them. Pure."""

import math
import re
from typing import Any

_WORDS = {
    word: value
    for value, words in ((None, "~ null Null NULL"), (True, "true True TRUE"), (False, "false False FALSE"))
    for word in words.split()
} | {"": None}
_TYPED = frozenset("+-.0123456789~nNtTfF")
_INTEGER = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


def core_value(text: str) -> Any:
    """Return a plain scalar as YAML 1.2's core schema reads it; a number that not every reader holds is infinite."""
    if text and text[0] not in _TYPED:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text) if len(text) <= 18 else math.inf
    if _BASED.fullmatch(text):
        return int(text, 0) if len(text) <= 17 else math.inf
    if _FLOAT.fullmatch(text):
        return float(text)
    return math.inf if _NOT_FINITE.fullmatch(text) else text

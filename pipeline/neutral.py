"""Text that others wrote (a prompt, an id, a server's sentence), made harmless to look at. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

#: What a terminal obeys, what turns the direction of reading, and what cannot be written as UTF-8: each as its escape.
WRITTEN_OUT = (
    {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}
    | {code: f"\\u{code:04x}" for code in (0x061C, 0x200B, 0x200E, 0x200F, 0x2028, 0x2029, 0xFEFF)}
    | {code: f"\\u{code:04x}" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), *range(0xD800, 0xE000))}
)
_ON_LINES = {code: escape for code, escape in WRITTEN_OUT.items() if code not in {ord("\n"), ord("\t")}} | {13: ""}


def on_lines(text: str) -> str:
    """Return the text with its lines and tabs, and everything else that is obeyed written out."""
    return text.translate(_ON_LINES)


def throughout(value: Any) -> Any:
    """Return a JSON value with every text in it, names too, made harmless."""
    if isinstance(value, str):
        return on_lines(value)
    if isinstance(value, Mapping):
        return {on_lines(str(name)): throughout(inner) for name, inner in value.items()}
    if isinstance(value, Sequence):
        return [throughout(inner) for inner in value]
    return value

"""What libyaml could not read, in words for people, at the place where a person would look. Pure."""

import re
from collections.abc import Mapping

import yaml

from pipeline.document import Place, Text
from pipeline.errors import Edit


def unreadable(error: yaml.YAMLError, text: Text, opened: int) -> tuple[Place, str, str, str, Edit | None]:
    """Return place, rule, message, fix and edit for the error that ended the reading.

    ``opened`` is the index of the innermost mapping or list that is not closed.
    """
    said = getattr(error, "problem", None) or "this is not YAML"
    mark, context = getattr(error, "problem_mark", None), getattr(error, "context_mark", None)
    index: int = mark.index if mark else 0
    if context and (said in _SAID_LATE or index >= len(text.text)):
        index = context.index
    place, char = text.place(index), text.text[index : index + 1]
    if said == _NESTED:  # libyaml 0.2.6 has a bound of its own, and reads ahead of what it hands out
        return place, "too-deep", "nested too deep to be read", "nest less", None
    if text.text.startswith("{{", index):
        return place, *UNQUOTED, unquoted_edit(text, index)
    if char == "\t":
        return place, "tab", "a tab cannot indent", "use spaces", None
    cause = _cause(said, index, text, opened)
    if cause:
        index, message, fix = cause
        return text.place(index), "syntax", message, fix, None
    message, fix = _SAYINGS.get(said, (said, "put text in quotes, or mend the indentation"))
    if (message, fix) == _INDENT and not _starts_its_line(index, text):
        message, fix = _BEHIND
    return place, "syntax", message.replace("CHAR", char), fix, None


def _cause(said: str, index: int, text: Text, opened: int) -> tuple[int, str, str] | None:
    """Return index, message and fix of what probably made the reading end further down."""
    line, start = text.line(index), text.start(index)
    if text.text[opened : opened + 1] in _UNCLOSED and text.start(opened) < start:
        beyond = not text.text[index:].strip()
        if beyond or _indentation(line) <= _indentation(text.line(opened)):
            return opened, *_UNCLOSED[text.text[opened]]
    before = text.text[:start].rstrip("\r\n")
    while before and _BLANK.match(above := text.line(len(before))):
        before = before[: len(before) - len(above)].rstrip("\r\n")
    above = text.line(len(before)) if before else ""
    if _TIGHT_DASH.match(above):
        return text.start(len(before)) + above.index("-"), "a dash wants a space behind it", 'write "- " before the key'
    key = _KEY.match(line)
    if said == _MAPPING and key and key.end() == index - start and _indentation(line) > _indentation(above):
        return start + _indentation(line), "this line is indented deeper than those it belongs to", "align it with them"
    return None


def _starts_its_line(index: int, text: Text) -> bool:
    return not text.text[text.start(index) : index].strip()


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def unquoted_edit(text: Text, index: int) -> Edit | None:
    """Return the quotes that a line's value lacks, where the value begins at the index and ends on its line."""
    line = text.line(index)
    found = _UNQUOTED_VALUE.match(line)
    starts = found is not None and found.start(1) == text.place(index).column - 1
    return Edit(found[1], f'"{found[1]}"') if found is not None and starts else None


UNQUOTED = ("unquoted-placeholder", "without quotes, {{ starts a mapping", 'put the whole text in quotes: "{{ name }}"')
_UNQUOTED_VALUE = re.compile(r"[ \t]*(?:- +)*[\w-]+:[ \t]+(\{\{[^\"\\#\r\n]*?)[ \t]*$")
_NESTED = "exceeded maximum nesting depth"
_SAID_LATE = {
    "found unexpected end of stream",
    "found unexpected document indicator",
    "could not find expected ':'",
}
_QUOTE = ("the quote that opens here is never closed", "close it on the same line")
_BEHIND = ("this cannot stand behind what the line has before", "put all of the text in one pair of quotes")
_BLANK = re.compile(r"[ \t]*(#|$)")
_TIGHT_DASH = re.compile(r" *-[A-Za-z_][\w-]*:( |$)")
_KEY = re.compile(r" *(?:- +)*[\"']?[\w-]+[\"']? *")
_INDENT = ("this line's indentation fits nothing above it", "align it with the lines that it belongs to")
_NO_VALUE = "did not find expected node content"
_MAPPING = "mapping values are not allowed in this context"
_UNCLOSED = {
    "[": ("the list is not closed, or lacks a comma", "write , or ] here"),
    "{": ("the mapping is not closed, or lacks a comma", "write , or } here"),
}
_SAYINGS: Mapping[str, tuple[str, str]] = {
    _NO_VALUE: ("a value is missing here", "write one, or remove the comma"),
    _MAPPING: (
        "a colon and a space cannot stand in text without quotes",
        "put the text in quotes, or mend the indentation",
    ),
    "found character that cannot start any token": ("text without quotes cannot start with CHAR", "put it in quotes"),
    "found unknown escape character": (
        "this text has a backslash that means nothing in double quotes",
        r"write \\ for a backslash: \\{{ is a literal {{",
    ),
    "could not find expected ':'": ("this line is neither key: value nor part of a list", "write key: value"),
    "did not find expected key": _INDENT,
    "did not find expected '-' indicator": _INDENT,
    "did not find expected ',' or ']'": _UNCLOSED["["],
    "did not find expected ',' or '}'": _UNCLOSED["{"],
    "block sequence entries are not allowed in this context": (
        "a list cannot begin on the line of its key",
        "put text that begins with a dash in quotes, or begin the list on the next line",
    ),
    "found invalid Unicode character escape code": ("this escape is no character", "write the character itself"),
    "found unexpected end of stream": _QUOTE,
    "found unexpected document indicator": _QUOTE,
}

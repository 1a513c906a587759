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
    if said == _NO_VALUE and not text.text[index:].strip() and text.text[opened : opened + 1] in _UNCLOSED:
        index, said = opened, _UNCLOSED[text.text[opened]]
    place, char = text.place(index), text.text[index : index + 1]
    if text.text.startswith("{{", index):
        return place, *UNQUOTED, unquoted_edit(text, index)
    if char == "\t":
        return place, "tab", "a tab cannot indent", "use spaces", None
    message, fix = _SAYINGS.get(said, (said, "put text in quotes, or mend the indentation"))
    return place, "syntax", message.replace("CHAR", char), fix, None


def unquoted_edit(text: Text, index: int) -> Edit | None:
    """Return the quotes that a line's value lacks, where the value begins at the index and ends on its line."""
    line = text.line(index)
    found = _UNQUOTED_VALUE.match(line)
    starts = found is not None and found.start(1) == text.place(index).column - 1
    return Edit(found[1], f'"{found[1]}"') if found is not None and starts else None


UNQUOTED = ("unquoted-placeholder", "without quotes, {{ starts a mapping", 'put the whole text in quotes: "{{ name }}"')
_UNQUOTED_VALUE = re.compile(r"[ \t]*(?:- +)*[\w-]+:[ \t]+(\{\{[^\"\\#\r\n]*?)[ \t]*$")
_SAID_LATE = {
    "found unexpected end of stream",
    "found unexpected document indicator",
    "could not find expected ':'",
}
_QUOTE = ("the quote that opens here is never closed", "close it on the same line")
_INDENT = ("this line's indentation fits nothing above it", "align it with the lines that it belongs to")
_NO_VALUE = "did not find expected node content"
_UNCLOSED = {"[": "did not find expected ',' or ']'", "{": "did not find expected ',' or '}'"}
_SAYINGS: Mapping[str, tuple[str, str]] = {
    _NO_VALUE: ("a value is missing here", "write one, or remove the comma"),
    "mapping values are not allowed in this context": (
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
    "did not find expected ',' or ']'": ("the list is not closed, or lacks a comma", "write , or ] here"),
    "did not find expected ',' or '}'": ("the mapping is not closed, or lacks a comma", "write , or } here"),
    "found unexpected end of stream": _QUOTE,
    "found unexpected document indicator": _QUOTE,
}

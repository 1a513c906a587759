"""A YAML file as a value, with the place of every key and value in it. Pure.

Positions cost eight bytes a node, beside the value and the text: a path is walked when somebody asks for it.
"""

import codecs
import re
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

from pipeline.errors import Edit, Problem

MAX_PROBLEMS = 10_000
"""Problems that one check keeps: nobody reads more, and each costs memory."""

Path = Sequence[str | int]


class Place(NamedTuple):
    """Where something is written. Lines and columns count from 1, in code points."""

    file: str
    line: int
    column: int

    def problem(self, rule: str, message: str, fix: str | None = None, edit: Edit | None = None) -> Problem:
        return Problem(rule, message, self.file, self.line, self.column, fix, edit=edit)

    def warning(self, rule: str, message: str, fix: str) -> Problem:
        return Problem(rule, message, self.file, self.line, self.column, fix, "warning")

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Text:
    """A file's text, and the index at which each of its lines starts."""

    file: str
    text: str
    starts: "array[int]"

    @classmethod
    def of(cls, file: str, text: str) -> "Text":
        starts = array("I", [0])
        if "\r" in text:
            starts.extend(end.end() for end in _LINE_END.finditer(text))
            return cls(file, text, starts)
        index = 0
        while index := text.find("\n", index) + 1:
            starts.append(index)
        return cls(file, text, starts)

    def place(self, index: int) -> Place:
        line = bisect_right(self.starts, index)
        return Place(self.file, line, index - self.starts[line - 1] + 1)

    def start(self, index: int) -> int:
        """Return the index at which the line that the index is on starts."""
        return self.starts[bisect_right(self.starts, index) - 1]

    def line(self, index: int) -> str:
        """Return the line that the index is on, without its end."""
        line = bisect_right(self.starts, index)
        end = self.starts[line] if line < len(self.starts) else None
        return self.text[self.starts[line - 1] : end].rstrip("\r\n")


_LINE_END = re.compile(r"\r\n?|\n")
# libyaml breaks lines at NEL, LS and PS, and YAML 1.2 does not: two readers would not agree on the text.
_IN_ASCII = bytes([*b"\t\n\r", *range(0x20, 0x7F)])
_NOT_IN_YAML = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def decode(data: bytes, *, file: str) -> tuple[Text, list[Problem]]:
    """Return the text of a UTF-8 file, with or without a byte order mark, and what is wrong with its characters."""
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        text = Text.of(file, data.decode())
    except UnicodeDecodeError as error:
        before = Text.of(file, data[: error.start].decode())
        utf16 = data[:2] in {b"\xff\xfe", b"\xfe\xff"}
        fix = "it is UTF-16: save it as UTF-8" if utf16 else "save it as UTF-8"
        return before, [before.place(len(before.text)).problem("encoding", "the file is not UTF-8 text", fix)]
    suspect = data.translate(None, _IN_ASCII)  # most files have little else, and this is fifteen times faster
    if not _NOT_IN_YAML.search(suspect.decode()):
        return text, []
    forbidden = islice(_NOT_IN_YAML.finditer(text.text), MAX_PROBLEMS)
    return text, [_forbidden(text, found.start()) for found in forbidden]


def _forbidden(text: Text, index: int) -> Problem:
    code = ord(text.text[index])
    fix = "remove it" if code < 0x20 else f'remove it, or write "\\u{code:04x}" inside double quotes'
    return text.place(index).problem("character", f"the character U+{code:04X} cannot stand here", fix)


@dataclass(frozen=True, slots=True)
class Document:
    """A YAML file as a value, with the place of every key and value in it.

    ``value`` is made of dict, list, str, int, float, bool and None. Aliased parts are shared: treat it as immutable.
    A path is the keys and indexes that lead from the root to a value. What came in by an alias or a merge key has
    the place where it is written. Asking for a path that is not there raises KeyError or IndexError.
    """

    value: Any
    text: Text
    marks: "array[int]"
    """The index in the text of every node, in the order of writing; of a mapping, key and value in turn."""
    after: "array[int]"
    """Of every node, the first node behind it and its children."""
    aliases: Mapping[int, int]
    """The anchored node of each alias."""
    merges: Mapping[int, Sequence[int]]
    """The mappings that a ``<<`` key draws in, by the key's node; none for a key that was refused."""
    mappings: Mapping[int, Mapping[str, Any]]
    """The values of all mappings that are drawn in."""
    _large: dict[int, Any] = field(default_factory=dict)
    _merged: dict[int, bool] = field(default_factory=dict)
    _sources: list[int] = field(default_factory=list)

    def value_at(self, path: Path) -> Place:
        return self.text.place(self.marks[self._walk(path)[1]])

    def key_at(self, path: Path) -> Place:
        """Return the place of a key; of a list's entry, which has none, that of the entry."""
        return self.text.place(self.marks[self._walk(path)[0]])

    def token_at(self, path: Path) -> str:
        """Return a plain number, bool or null as it is written: ``007``, not 7."""
        token = _TOKEN.match(self.text.text, self.marks[self._walk(path)[1]])
        return token[0] if token else ""

    def spelled_at(self, path: Path, *, key: bool = False) -> str | None:
        """Return a key, or a value that is one line of text or no text, as it is written; None for anything else."""
        node_of_key, node = self._walk(path)
        index = self.marks[node_of_key if key else node]
        meant = path[-1] if key else self._value(path)
        if not isinstance(meant, str):
            return self.token_at(path) or None
        text = self.text.text
        return next((spelling for mark in _QUOTES if text.startswith(spelling := f"{mark}{meant}{mark}", index)), None)

    def is_shared(self, path: Path) -> bool:
        """Tell whether other parts of the file mean something else by what is written at the path.

        What merge keys alone draw in means the same everywhere; what an alias stands for may not.
        """
        node, value = 0, self.value
        for step in path:
            key, child = self._child(node, value, step)
            if child in self.aliases or not (node <= key < self.after[node] or self._is_only_merged(key)):
                return True
            node, value = child, value[step]
        return False

    def _is_only_merged(self, key: int) -> bool:
        """Tell whether all aliases to the merged mapping that has this key are those of merge keys."""
        if not self._merged:
            merged = Counter(source for sources in self.merges.values() for source in sources)
            targets = Counter(self.aliases.values())
            self._merged.update((source, merged[source] == targets[source]) for source in sorted(merged))
            self._sources.extend(self._merged)
        before = bisect_right(self._sources, key) - 1
        while before >= 0 and self.after[self._sources[before]] <= key:
            before -= 1
        return before >= 0 and self._merged[self._sources[before]]

    def style_at(self, path: Path) -> str:
        """Return the character that a scalar begins with: a quote, ``|``, ``>``, or its own first."""
        index = self.marks[self._walk(path)[1]]
        return self.text.text[index : index + 1]

    @property
    def has_comments(self) -> bool:
        """Whether a comment may stand behind anything on its line."""
        return " #" in self.text.text or "\t#" in self.text.text

    def comment_at(self, path: Path) -> Place | None:
        """Return the place of a comment behind a text without quotes on its line."""
        index, value = self.marks[self._walk(path)[1]], self._value(path)
        text = self.text.text
        if not isinstance(value, str) or not value or not text.startswith(value, index):
            return None
        found = _COMMENT.match(text, index + len(value))
        return self.text.place(found.end() - 1) if found else None

    def names_at(self, path: Path) -> Collection[str]:
        """Return the keys of the mapping at a path, as they are written; none where there is no mapping."""
        try:
            value = self._value(path)
        except (KeyError, IndexError, TypeError):
            return ()
        return value if isinstance(value, dict) else ()

    def _value(self, path: Path) -> Any:
        value = self.value
        for step in path:
            value = value[step]
        return value

    def occurrence_at(self, path: Path, needle: str, nth: int) -> Place:
        """Return the place of the nth needle (from 0) in a scalar as it is written, in any of YAML's styles."""
        text, index = self.text.text, self.marks[self._walk(path)[1]]
        found = text.find("\n", index) if text[index] in "|>" else index  # a header's line may hold a comment
        for _ in range(nth):
            found = text.find(needle, found) + len(needle)
        found = text.find(needle, found)
        return self.text.place(index if found < 0 else found)

    def _walk(self, path: Path) -> tuple[int, int]:
        """Return the nodes of the key and of the value at the path."""
        key = node = 0
        value = self.value
        for step in path:
            key, node = self._child(node, value, step)
            node = self.aliases.get(node, node)
            value = value[step]
        return key, node

    def _child(self, node: int, value: Any, step: str | int) -> tuple[int, int]:
        """Return the nodes of the key and of the value of one child; an entry of a list is both."""
        if not self.merges and isinstance(value, dict) and len(value) <= _FEW:  # the usual case, and asked for each job
            key = node + 1
            for name in value:
                if name == step:
                    return key, self.after[key]
                key = self.after[self.after[key]]
            raise KeyError(step)
        found = self._children(node, value)[step]
        return found if isinstance(found, tuple) else (found, found)

    def _children(self, node: int, value: Any) -> Any:
        """Return an entry's node, or a key's and its value's. Kept for large containers: they are asked often."""
        children = self._large.get(node)
        if children is None:
            children = self._keys(node, value) if isinstance(value, dict) else entries(self.after, node)
            if len(children) > _FEW:
                self._large[node] = children
        return children

    def _keys(self, node: int, value: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
        """A value has its written keys first, in their order; then those that came in, the first source's first."""
        found: dict[str, tuple[int, int]] = {}
        todo = [(node, value)]
        while todo:
            node, mapping = todo.pop()
            names, sources = iter(mapping), list[int]()
            for key, child in pairs(self.after, node):
                if key in self.merges:
                    sources += self.merges[key]
                else:
                    found.setdefault(next(names), (key, child))
            todo += [(source, self.mappings[source]) for source in reversed(sources)]
        return found


_FEW = 8
_TOKEN = re.compile(r"[\w.+~-]*")
_QUOTES = ('"', "'", "")
_COMMENT = re.compile(r"[ \t]+#")


def entries(after: Sequence[int], node: int) -> "array[int]":
    """Return the nodes of a list's entries."""
    found, entry = array("I"), node + 1
    while entry < after[node]:
        found.append(entry)
        entry = after[entry]
    return found


def pairs(after: Sequence[int], node: int) -> Iterator[tuple[int, int]]:
    """Yield the nodes of key and value of a mapping's complete pairs; an open mapping ends where the nodes do."""
    key, end = node + 1, after[node] or len(after)
    while key < end and after[key] < end:
        yield key, after[key]
        key = after[after[key]]

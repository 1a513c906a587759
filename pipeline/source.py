"""YAML text -> JSON values and their places. Pure.

The types are those of YAML 1.2's core schema, so that we read what editors and every other 1.2 parser read: ``no``,
``on``, ``16:9``, ``2026-01-01`` and ``1_000`` are text, ``0755`` is 755. Whatever JSON does not have is a problem:
tags, keys that are no text, infinities. Anchors, aliases and merge keys work; a merge is shallow, and a key that is
written in the mapping wins over one that comes in by ``<<``.

The parser's events are read one by one, and the bounds below are checked before anything grows: libyaml's own tree
builder recurses in C and can be made to crash the process.
"""

import math
import re
from array import array
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import yaml
from yaml import CSafeLoader

from pipeline.document import MAX_PROBLEMS, Document, Text, decode, entries, pairs
from pipeline.errors import Edit, Problem
from pipeline.scalars import core_value
from pipeline.syntax import UNQUOTED, unquoted_edit, unreadable

MAX_BYTES = 64 << 20
MAX_DEPTH = 64
MAX_NODES = 5_000_000
MAX_ALIASED = 1_000_000


def parse(data: bytes, *, file: str) -> tuple[Document | None, list[Problem]]:
    """Return the one document of a YAML file, and its problems.

    The document is None where the text cannot be read at all. Otherwise what is wrong was left out of it (a
    duplicate key, a key that is no text) or is a null (an alias to nothing), and the rest can be checked further.
    """
    if len(data) > MAX_BYTES:
        message = f"the file is larger than {MAX_BYTES >> 20} MiB"
        return None, [Text.of(file, "").place(0).problem("too-large", message, _SPLIT)]
    text, problems = decode(data, file=file)
    if not problems and "%TAG" in text.text:
        problems = [
            text.place(found.start()).problem("tag", "directives that name tags are not read", "remove the line")
            for found in islice(_TAG_DIRECTIVE.finditer(text.text), MAX_PROBLEMS)
        ]
    return (None, problems) if problems else _Building(text).document(data)


# libyaml compares each with all before it.
_TAG_DIRECTIVE = re.compile(r"^%TAG", re.MULTILINE)


class _Anchored(NamedTuple):
    """What an alias stands for. ``nodes`` counts it with everything below, aliases followed."""

    node: int
    value: Any
    nodes: int
    height: int


class _Open:
    """A mapping or list whose end has not been read."""

    __slots__ = ("add", "anchor", "counted", "flow", "height", "key", "key_node", "keys", "merged", "node", "value")

    def __init__(self, value: Any, node: int, anchor: str | None, counted: int) -> None:
        self.value, self.node, self.anchor, self.counted = value, node, anchor, counted
        self.add: Callable[[Any], None] | None = value.append if value.__class__ is list else None
        self.height = 1
        self.key: Any = _NO_KEY
        self.key_node = 0
        self.keys: dict[str, int] | None = None  # nodes by key, from the first duplicate on
        self.flow = False
        self.merged: Sequence[int] = ()


_NO_KEY, _MERGE, _REFUSED = object(), object(), object()


class _Building:
    """One pass over the events. ``over`` is set by what cannot be read past."""

    def __init__(self, text: Text) -> None:
        self.text = text
        self.problems: list[Problem] = []
        self.over = False
        self.roots: list[Any] = []
        self.stack = [_Open(self.roots, 0, None, 0)]
        self.marks, self.after = array("I"), array("I")
        self.aliased = 0
        self.anchors: dict[str, _Anchored | _Open] = {}
        self.aliases: dict[int, int] = {}
        self.merges: dict[int, tuple[int, ...]] = {}
        self.mappings: dict[int, Mapping[str, Any]] = {}
        self.names: dict[str, str] = {}

    def document(self, data: bytes) -> tuple[Document | None, list[Problem]]:
        """Read the text, which is also given as it lay on the disk: the parser makes no copy of that."""
        try:
            following = CSafeLoader(data).get_event
            while event := following():
                handle = _HANDLERS.get(event.__class__)
                if handle:
                    handle(self, event)
                    if self.over or len(self.problems) > MAX_PROBLEMS:
                        return None, self.problems
        except yaml.YAMLError as error:
            self._unreadable(error)
            return None, self.problems
        if not self.roots or self.roots[0] is None:
            self.stop(0, "empty-file", "the file has no content", "write key: value")
            return None, self.problems
        parts = (self.marks, self.after, self.aliases, self.merges, self.mappings)
        return Document(self.roots[0], self.text, *parts), self.problems

    def problem(self, index: int, rule: str, message: str, fix: str | None = None, edit: Edit | None = None) -> None:
        self.problems.append(self.text.place(index).problem(rule, message, fix, edit))

    def stop(self, index: int, rule: str, message: str, fix: str | None = None) -> None:
        self.problem(index, rule, message, fix)
        self.over = True

    def start_document(self, event: Any) -> None:
        if self.roots:
            message = "a second document starts here: a file holds one"
            self.stop(event.start_mark.index, "several-documents", message, "put it into a file of its own")

    def scalar(self, event: Any) -> None:
        """Most of what is in a file is this, so what is usual is done here and now: a call for each costs a fifth."""
        text, plain, node = event.value, not event.style, len(self.marks)
        if event.tag is None and event.anchor is None and node < MAX_NODES:
            self.marks.append(event.start_mark.index)
            self.after.append(node + 1)
        else:
            node = self._enter(event, empty=not text)
        value: Any = core_value(text) if plain and event.tag is None else text
        if value.__class__ is float and not math.isfinite(value):
            message = f"{text[:40]} is no number that JSON can hold"
            self.problem(self.marks[node], "number", message, "put it in quotes")
            value = None
        if event.anchor is not None:
            self.anchors[event.anchor] = _Anchored(node, value, 1, 0)
        top = self.stack[-1]
        if top.add:
            top.add(value)
        elif top.key.__class__ is str:
            top.value[top.key] = value
            top.key = _NO_KEY
        elif top.key is _NO_KEY:
            self._key(top, node, _MERGE if plain and text == "<<" else value)
        else:
            self._complete(node, value, 0)

    def start_mapping(self, event: Any) -> None:
        self._start(event, {})

    def start_list(self, event: Any) -> None:
        self._start(event, [])

    def end(self, _event: Any) -> None:
        ended = self.stack.pop()
        for source in ended.merged:
            for key, value in self.mappings[source].items():
                ended.value.setdefault(key, value)
        if ended.anchor is not None and self.anchors.get(ended.anchor) is ended:
            nodes = len(self.marks) + self.aliased - ended.counted
            self.anchors[ended.anchor] = _Anchored(ended.node, ended.value, nodes, ended.height)
        self._complete(ended.node, ended.value, ended.height)

    def alias(self, event: Any) -> None:
        index = event.start_mark.index
        anchor = self.anchors.get(event.anchor)
        node = self._node(index)
        if not isinstance(anchor, _Anchored):
            what = "is inside what it stands for" if anchor else "has no anchor before it"
            fix = "write what it should hold" if anchor else f"write &{event.anchor[:60]} before a value further up"
            if _MORE_TEXT.match(self.text.text, event.end_mark.index):
                fix = "put the text in quotes if it begins with a star"
            self.problem(index, "alias", f"*{event.anchor[:60]} {what}", fix)
            self._complete(node, None, 0)
            return
        self.aliased += anchor.nodes
        self.aliases[node] = anchor.node
        if self.aliased > MAX_ALIASED:
            self.stop(index, "too-many-nodes", f"aliases add more than {MAX_ALIASED:,} values", _SPLIT)
        if len(self.stack) - 1 + anchor.height > MAX_DEPTH:
            self.stop(index, "too-deep", f"nested deeper than {MAX_DEPTH} levels, aliases followed", _FLATTEN)
        self._complete(node, anchor.value, anchor.height)

    def _start(self, event: Any, value: Any) -> None:
        index, top = event.start_mark.index, self.stack[-1]
        if len(self.stack) > MAX_DEPTH:
            self.stop(index, "too-deep", f"nested deeper than {MAX_DEPTH} levels", _FLATTEN)
        elif top.flow and top.value == {} and top.key is _NO_KEY and _PLACEHOLDER.match(self.text.text, index - 1):
            self.problem(index - 1, *UNQUOTED, unquoted_edit(self.text, index - 1))
        counted = len(self.marks) + self.aliased
        node = self._enter(event)
        self.after[node] = 0  # open
        opened = _Open(value, node, event.anchor, counted)
        opened.flow = event.flow_style and value == {}
        self.stack.append(opened)
        if event.anchor is not None:
            self.anchors[event.anchor] = opened

    def _enter(self, event: Any, *, empty: bool = False) -> int:
        """Add a node that may have an anchor or a tag before it."""
        index = event.start_mark.index
        if event.tag is not None:
            self.problem(index, "tag", "a tag cannot stand here: values have the types of JSON", "remove it")
        elif event.anchor is not None and not empty:
            anchor = _ANCHOR.match(self.text.text, index)
            index = anchor.end() if anchor else index
        return self._node(index)

    def _node(self, index: int) -> int:
        """Add a node, which ends at once as long as nothing is known to be in it."""
        node = len(self.marks)
        self.marks.append(index)
        self.after.append(node + 1)
        if node >= MAX_NODES:
            self.stop(index, "too-many-nodes", f"more than {MAX_NODES:,} values", _SPLIT)
        return node

    def _complete(self, node: int, value: Any, height: int) -> None:
        self.after[node] = len(self.after)
        top = self.stack[-1]
        if height >= top.height:
            top.height = height + (top.key is not _MERGE)
        if top.value.__class__ is list:
            top.value.append(value)
        elif top.key is _NO_KEY:
            self._key(top, node, value)
        else:
            key, top.key = top.key, _NO_KEY
            if key is _MERGE:
                self._merge(top, node, value)
            elif key is not _REFUSED:
                top.value[key] = value

    def _key(self, top: _Open, node: int, key: Any) -> None:
        top.key_node = node
        if key.__class__ is str:
            if key not in top.value:
                top.key = self.names.setdefault(key, key)
                if top.keys is not None:
                    top.keys[key] = node
                return
            self._duplicate(top, node, key)
        elif key is _MERGE:
            top.key = _MERGE
            if top.merged:
                message = "a second << in one mapping"
                self.problem(self.marks[node], "duplicate-key", message, "write one: <<: [*first, *second]")
            return
        elif not (isinstance(key, dict) and self.problems and self.problems[-1].rule == UNQUOTED[0]):
            message = "a key must be text"
            fix = "write text" if isinstance(key, dict | list) else "put it in quotes"
            self.problem(self.marks[node], "key-type", message, fix)
        top.key = _REFUSED
        self.merges[node] = ()

    def _duplicate(self, top: _Open, node: int, key: str) -> None:
        if top.keys is None:
            written = (found for found, _ in pairs(self.after, top.node) if found not in self.merges)
            top.keys = dict(zip(top.value, written, strict=False))
        first = self.text.place(self.marks[top.keys[key]])
        message = f'the key "{key[:100]}" is already written at line {first.line}, column {first.column}'
        self.problem(self.marks[node], "duplicate-key", message, "keep one of them")

    def _merge(self, top: _Open, node: int, value: Any) -> None:
        many = isinstance(value, list)
        values = value if many else [value]
        if not all(isinstance(source, dict) for source in values):
            self.merges[top.key_node] = ()
            if self.problems and self.problems[-1].rule == "alias" and many and None in values:
                return
            self.problem(self.marks[node], "merge", "<< takes a mapping, or a list of mappings", "write <<: *anchor")
            return
        written = entries(self.after, self.aliases.get(node, node)) if many else [node]
        sources = tuple(self.aliases.get(source, source) for source in written)
        self.merges[top.key_node] = sources
        self.mappings.update(zip(sources, values, strict=True))
        top.merged = (*top.merged, *sources)

    def _unreadable(self, error: yaml.YAMLError) -> None:
        place, rule, message, fix, edit = unreadable(
            error, self.text, self.marks[self.stack[-1].node] if self.marks else 0
        )
        last = self.problems[-1] if self.problems else None
        follows = last and last.rule in {UNQUOTED[0], "alias"} and last.line == place.line
        if not follows:
            self.problems.append(place.problem(rule, message, fix, edit))


_SPLIT, _FLATTEN = "split the file", "nest less"
_MORE_TEXT = re.compile(r"[ \t]+[^\s#:,\]}]")
_PLACEHOLDER = re.compile(r"(?<!\{)\{\{")
_ANCHOR = re.compile(r"&[^\s,\[\]{}]+(?:\s+(?:#[^\r\n]*)?)*")

_HANDLERS: Mapping[type, Callable[[_Building, Any], None]] = {
    yaml.DocumentStartEvent: _Building.start_document,
    yaml.ScalarEvent: _Building.scalar,
    yaml.MappingStartEvent: _Building.start_mapping,
    yaml.SequenceStartEvent: _Building.start_list,
    yaml.MappingEndEvent: _Building.end,
    yaml.SequenceEndEvent: _Building.end,
    yaml.AliasEvent: _Building.alias,
}

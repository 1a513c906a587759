"""A YAML writer that remembers where it wrote every key and value, in styles that chance picks.

It knows YAML's styles and nothing of the language. Lines and columns are counted while writing, from 1, in code points;
nothing that reads YAML is asked.
"""

import json
import re
from collections.abc import Iterable
from random import Random


class Node:
    """Something in the file. ``line`` and ``column`` are set when it is written; an anchor stands before it."""

    def __init__(self) -> None:
        self.line = self.column = 0
        self.anchor: str | None = None


class Scalar(Node):
    """A text, which may be quoted in any way; ``raw`` is written as it is."""

    def __init__(self, text: str, *, raw: bool = False) -> None:
        super().__init__()
        self.text, self.raw = text, raw


class Mapping(Node):
    """Pairs of nodes; the same key may be there twice."""

    def __init__(self, pairs: Iterable[tuple[Node, Node]] = ()) -> None:
        super().__init__()
        self.pairs = list(pairs)

    def add(self, key: str, value: Node, *, first: bool = False) -> Node:
        """Add a pair, at the beginning or at the end, and return the node of the key."""
        node = Scalar(key, raw=key == "<<")
        self.pairs.insert(0 if first else len(self.pairs), (node, value))
        return node

    def key(self, name: str) -> Scalar:
        return next(key for key, _ in self.pairs if isinstance(key, Scalar) and key.text == name)

    def get(self, name: str) -> Node:
        return next(value for key, value in self.pairs if isinstance(key, Scalar) and key.text == name)

    def has(self, name: str) -> bool:
        return any(isinstance(key, Scalar) and key.text == name for key, _ in self.pairs)

    def drop(self, name: str) -> None:
        self.pairs = [(key, value) for key, value in self.pairs if not (isinstance(key, Scalar) and key.text == name)]

    def put(self, name: str, value: Node) -> Node:
        """Give the key this value, where it stands or at the end, and return the value."""
        for index, (key, _) in enumerate(self.pairs):
            if isinstance(key, Scalar) and key.text == name:
                self.pairs[index] = key, value
                return value
        self.add(name, value)
        return value


class Sequence(Node):
    """A list of nodes."""

    def __init__(self, items: Iterable[Node] = ()) -> None:
        super().__init__()
        self.items = list(items)


def node(value: object) -> Node:
    """Return a node for a value: str is text in any style, other scalars are written as YAML has them."""
    if isinstance(value, Node):
        return value
    if isinstance(value, dict):
        return Mapping((node(key), node(inner)) for key, inner in value.items())
    if isinstance(value, list):
        return Sequence(map(node, value))
    if isinstance(value, str):
        return Scalar(value)
    return Scalar(json.dumps(value), raw=True)


_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_ .-]*[A-Za-z0-9]|[A-Za-z_]")
_PLAIN_IN_BLOCKS = re.compile(r"[A-Za-z]([\w ,.{}-]*\S)?")
_WORDS = {"null", "true", "false"}


class Writer:
    """Writes one file. ``end`` is what ends a line."""

    def __init__(self, random: Random, *, end: str = "\n") -> None:
        self.random, self.end = random, end
        self.text = ""
        self.line = self.column = 1

    def document(self, root: Mapping) -> str:
        self._comments("")
        self._block_mapping(root, "", 0)
        return self.text

    def _put(self, text: str) -> None:
        """Write text that has no line break."""
        self.text += text
        self.column += len(text)

    def _break(self) -> None:
        self.text += self.end
        self.line, self.column = self.line + 1, 1

    def _chance(self, share: float) -> bool:
        return self.random.random() < share

    def _comments(self, indent: str) -> None:
        while self._chance(0.1):
            self._put(self.random.choice(("", f"{indent}# {{{{ no }}}} prompt: x", f"{indent}#🦊", "# - [")))
            self._break()

    def _finish_line(self) -> None:
        if self._chance(0.1):
            # libyaml takes no tab behind a dash, although YAML 1.2 does.
            tab = "" if self.text.endswith("-") else "\t# é"
            self._put(self.random.choice(("  ", " # why not: {{ x }}", tab, " #")))
        self._break()

    def _begin(self, written: Node, *, alone: bool = False) -> None:
        """Write the anchor, and note the place of what follows."""
        if written.anchor:
            self._put(f"&{written.anchor}" + ("" if alone else " "))
        written.line, written.column = self.line, self.column

    def _block_mapping(self, mapping: Mapping, indent: str, begun: int) -> None:
        """Write the pairs, each on a line; ``begun``: the first one's line is begun already."""
        for number, (key, value) in enumerate(mapping.pairs):
            if number or not begun:
                self._comments(indent)
                self._put(indent)
            if not number:
                mapping.line, mapping.column = self.line, self.column
            self._flow(key, is_key=True)
            self._put(":")
            self._value(value, indent, in_mapping=True)

    def _block_list(self, items: Sequence, indent: str, begun: int) -> None:
        for number, item in enumerate(items.items):
            if number or not begun:
                self._comments(indent)
                self._put(indent)
            if not number:
                items.line, items.column = self.line, self.column
            self._put("-")
            self._value(item, indent, in_mapping=False)

    def _value(self, value: Node, indent: str, *, in_mapping: bool) -> None:
        """Write the value behind a colon or a dash, and the end of its line."""
        inner = indent + " " * (2 if not in_mapping else self.random.choice((2, 2, 2, 4, 1)))
        if isinstance(value, Mapping) and value.pairs and not value.anchor and not in_mapping and self._chance(0.7):
            spaces = self.random.choice((1, 1, 1, 3))
            self._put(" " * spaces)
            self._block_mapping(value, indent + " " * (1 + spaces), 1)
        elif isinstance(value, Mapping) and value.pairs and self._chance(0.5):
            if value.anchor:
                self._put(f" &{value.anchor}")
            self._finish_line()
            self._block_mapping(value, inner, 0)
        elif isinstance(value, Sequence) and value.items and self._chance(0.6):
            if value.anchor:
                self._put(f" &{value.anchor}")
            self._finish_line()
            self._block_list(value, indent if in_mapping and self._chance(0.5) else inner, 0)
        elif (
            isinstance(value, Scalar) and not value.raw and _PLAIN_IN_BLOCKS.fullmatch(value.text) and self._chance(0.3)
        ):
            self._put(" ")
            self._begin(value)
            self._put(self.random.choice(("|-", ">-")))
            self._finish_line()
            self._put(inner + value.text)
            self._break()
        else:
            self._put(" " * self.random.choice((1, 1, 1, 2, 5)))
            self._flow(value, in_block=True)
            self._finish_line()

    def _flow(self, value: Node, *, is_key: bool = False, in_block: bool = False) -> None:
        self._begin(value)
        if isinstance(value, Scalar):
            self._put(value.text if value.raw else self._spelled(value.text, is_key=is_key, in_block=in_block))
            return
        pairs = value.pairs if isinstance(value, Mapping) else [(None, item) for item in value.items]  # type: ignore[attr-defined]
        opening, closing = "{}" if isinstance(value, Mapping) else "[]"
        self._put(opening + self.random.choice(("", " ")))
        for number, (key, inner) in enumerate(pairs):
            if number:
                self._put(self.random.choice((", ", ",", " , ", ",  ")))
            if key is not None:
                self._flow(key, is_key=True)
                self._put(": ")
            self._flow(inner)
        # A plain word may end a line before the bracket; `*name}` would not be an alias of `name`.
        self._put(" " + closing)

    def _spelled(self, text: str, *, is_key: bool, in_block: bool) -> str:
        plain = _PLAIN_IN_BLOCKS if in_block and not is_key else _PLAIN
        style = self.random.choice(("plain", "plain", "single", "double"))
        if style == "plain" and plain.fullmatch(text) and text.lower() not in _WORDS and "  " not in text:
            return text
        if style == "single":
            return "'" + text.replace("'", "''") + "'"
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

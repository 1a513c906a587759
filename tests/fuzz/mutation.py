"""The good examples, and what chance makes of them: bytes, lines and tokens put in, cut out, doubled and exchanged.

Everything comes from a ``random.Random`` that is handed in. Nothing here knows what is a mistake.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

from pipeline import shipped

TESTS = Path(__file__).resolve().parent.parent
_FOLDERS = (TESTS / "examples" / "valid", TESTS.parent / "manifests", TESTS / "fuzz" / "seeds")


@dataclass(frozen=True)
class Example:
    """A good manifest: the name of its file, and the content of that file and of all that it names."""

    manifest: str
    files: Mapping[str, bytes]


@cache
def examples() -> list[Example]:
    """Return the good manifests of the repository, each with the files that it uses."""
    return [_example(folder, path) for folder in _FOLDERS for path in sorted(folder.glob("*.yaml")) if _is_whole(path)]


def _is_whole(path: Path) -> bool:
    return b"\nprovider:" in path.read_bytes()


def _example(folder: Path, manifest: Path) -> Example:
    others = [path for path in sorted(folder.rglob("*")) if path.is_file() and not _is_whole(path)]
    used, new = dict[str, bytes](), [manifest]
    while new:
        path = new.pop()
        used[str(path.relative_to(folder))] = data = path.read_bytes()
        named = [other for other in others if _names(data, other)]
        new += [other for other in named if str(other.relative_to(folder)) not in used]
    return Example(manifest.name, used)


def _names(data: bytes, path: Path) -> bool:
    return path.name.encode() in data or f"{path.parent.name}/*{path.suffix}".encode() in data


def _keys(schema: object) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        for inner in schema.values():
            yield from _keys(inner)


KEYS = sorted({*_keys(shipped.schema("manifest")), "<<", "x-a", "base_url", "duration", "n", "fps"})
#: Each is a value, or a key and its value, so that a line with it is YAML in most places.
VALUES = (
    *("null", "~", "true", "no", "-1", "0", "1", "4", "12", "007", "1.5", "1e999", ".inf", ".nan", "0x1F", "9" * 400),
    *("1000", "999999999999", '""', "''", '"4"', "1280x720", "1920x1080", "16:9", "2026-01-01", "a" * 300, "A", "a"),
    *("[]", "{}", "[a, a]", "[[]]", "[null]", "{a: {b: {c: 1}}}", "{a: 1, a: 2}", "[1, {x: y}]", "{<<: {a: 1}}"),
    *("&a", "*a", "*a ", "&a *a", "&look", "*look", "*hero", "<<: *a", "<<: [*a, *a]", "<<: x", "? a", "!!str", "!x"),
    *("x {{ style }}", "x {{", "x }}", "x {{ }}", "x{{ row_number }}", "x{{ row.key }}", "x {{ id }}", "\\{{", "x {{{"),
    *('"{{ style }}"', '"{{ nobody }}"', '"{{ row.nothing }}"', "'{{ time }}'", '"\\u0000"', '"\\x9b"', '"\\ud800"'),
    *("from: animals.txt", "from: captions.csv", "from: ../x.txt", "from: dot.png", "from: nothing.parquet"),
    *("include: [looks.yaml]", "include: [rich.yaml]", "include: ['*.yaml']", "include: ['**/*']", "include: [/dev]"),
    *("input_reference: dot.png", "input_reference: http://a/b.png", "input_reference: https://a/b.png"),
    *("input_reference: 'data:image/png;base64,AAAA'", "input_reference: /proc/self/environ", "size: 720x1280"),
    *("matrix: {a: [b, c]}", "matrix: {size: [720x1280]}", "exclude: [{time: dawn}]", "columns: {prompt: key}"),
    *("keep_columns: [key]", "extra_body: {fps: 24}", "takes: 3", "prompt: x", "prompt: [x, y]", "id: a", "id: city"),
    *("{{ style }}", "{{ nobody }}", "[*a]", "{<<: *look}", "x # y", "yes", "on", '"{{ a.b }}"', "'{{'", "'}}'"),
)
WORDS = (
    *VALUES,
    *("|", ">", "|-", ">-", "|2", ">+", "# x", " # x", "- ", ": ", ", ", "---\n", "...\n", "%YAML 1.2\n", "  ", "\n"),
)
BITS = (
    *(b"\xff", b"\xc3", b"\xf0\x9f", b"\xff\xfe", b"\xed\xa0\x80"),
    *(
        piece.encode()
        for piece in (
            *"[]{}|#!%\\\"',~\n\r\t\0\x1b\x7f\x85\u2028\u200b\u202e\ufeffé🦊&*:-? @`",
            *WORDS,
            *KEYS,
        )
    ),
)

Change = Callable[[bytes, Random], bytes]


def _spot(data: bytes, random: Random) -> tuple[int, int]:
    start = random.randrange(len(data) + 1)
    return start, min(len(data), start + random.choice((0, 1, 1, 2, 4, 12, 40)))


def _insert(data: bytes, random: Random) -> bytes:
    start, _ = _spot(data, random)
    return data[:start] + random.choice(BITS) + data[start:]


def _overwrite(data: bytes, random: Random) -> bytes:
    start, end = _spot(data, random)
    return data[:start] + random.choice(BITS) + data[end:]


def _delete(data: bytes, random: Random) -> bytes:
    start, end = _spot(data, random)
    return data[:start] + data[end:]


def _duplicate(data: bytes, random: Random) -> bytes:
    start, end = _spot(data, random)
    return data[:end] + data[start:end] * random.choice((1, 1, 2, 30)) + data[end:]


def _exchange(data: bytes, random: Random) -> bytes:
    first, second = sorted(_spot(data, random) for _ in range(2))
    if first[1] > second[0]:
        return data
    return (
        data[: first[0]] + data[slice(*second)] + data[first[1] : second[0]] + data[slice(*first)] + data[second[1] :]
    )


def _flip(data: bytes, random: Random) -> bytes:
    start, _ = _spot(data, random)
    return data[:start] + bytes([random.randrange(256)]) + data[start + 1 :]


def _cut_off(data: bytes, random: Random) -> bytes:
    return data[: _spot(data, random)[0]]


def _of_lines(change: Callable[[list[bytes], int, Random], None]) -> Change:
    def changed(data: bytes, random: Random) -> bytes:
        lines = data.splitlines(keepends=True) or [b""]
        change(lines, random.randrange(len(lines)), random)
        return b"".join(lines)

    return changed


def _indent(lines: list[bytes], at: int, random: Random) -> None:
    for index in range(at, min(len(lines), at + random.choice((1, 1, 2, 4)))):
        bare = lines[index].lstrip(b" ")
        depth = max(0, len(lines[index]) - len(bare) + random.choice((-4, -2, -1, 1, 2, 4)))
        lines[index] = random.choice((b" " * depth, b" " * depth, b" " * depth, b"\t")) + bare


def _drop_line(lines: list[bytes], at: int, random: Random) -> None:
    del lines[at : at + random.choice((1, 1, 2, 5))]


def _double_line(lines: list[bytes], at: int, random: Random) -> None:
    lines[at:at] = lines[at : at + random.choice((1, 1, 2, 5))]


def _move_line(lines: list[bytes], at: int, random: Random) -> None:
    lines.insert(random.randrange(len(lines)), lines.pop(at))


def _swap_lines(lines: list[bytes], at: int, random: Random) -> None:
    other = random.randrange(len(lines))
    lines[at], lines[other] = lines[other], lines[at]


def _join_lines(lines: list[bytes], at: int, random: Random) -> None:
    lines[at] = lines[at].rstrip(b"\r\n") + random.choice((b"", b" ", b", "))


def _end_line(lines: list[bytes], at: int, random: Random) -> None:
    lines[at] = lines[at].rstrip(b"\r\n") + random.choice((b"\r\n", b"\r", b"\n\n", b" # x\n", b" \n", b":\n"))


def _misplace_key(lines: list[bytes], at: int, random: Random) -> None:
    """Put a key of the language on a line of its own, indented like the line there."""
    indent = lines[at][: len(lines[at]) - len(lines[at].lstrip(b" -"))].replace(b"-", b" ")
    dash = random.choice((b"", b"", b"", b"- "))
    lines.insert(at, indent + dash + f"{random.choice(KEYS)}: {random.choice(VALUES)}\n".encode())


_TOKEN = re.compile(rb"\{\{[^}\n]*\}\}|\"[^\"\n]*\"|'[^'\n]*'|[\w.<-]+|[^\w\s]")


def _of_tokens(change: Callable[[list[bytes], Random], bytes]) -> Change:
    def changed(data: bytes, random: Random) -> bytes:
        tokens = [*_TOKEN.finditer(data)]
        if not tokens:
            return data + random.choice(BITS)
        token = random.choice(tokens)
        return data[: token.start()] + change([other[0] for other in (token, *tokens)], random) + data[token.end() :]

    return changed


def _another_token(tokens: list[bytes], random: Random) -> bytes:
    return random.choice(tokens)


def _a_word(_: list[bytes], random: Random) -> bytes:
    return random.choice(WORDS).encode()


def _a_value(_: list[bytes], random: Random) -> bytes:
    return random.choice(VALUES).encode()


def _a_key(_: list[bytes], random: Random) -> bytes:
    return random.choice(KEYS).encode()


def _anchored(tokens: list[bytes], random: Random) -> bytes:
    return random.choice((b"&a ", b"&look ", b"!!str ", b"- ", b"? ", b"[", b"{", b"<<: ")) + tokens[0]


def _aliased(_: list[bytes], random: Random) -> bytes:
    return random.choice((b"*a", b"*look", b"*hero", b"*long", b"*nobody"))


def _wrapped(tokens: list[bytes], random: Random) -> bytes:
    before, after = random.choice(
        (("[", "]"), ("{", "}"), ("{{", "}}"), ("{a: ", "}"), ('"', '"'), ("'", "'"), ("[", ""))
    )
    return before.encode() + tokens[0] + after.encode()


def _misspelt(tokens: list[bytes], random: Random) -> bytes:
    word, at = tokens[0], random.randrange(len(tokens[0]))
    return random.choice((word[:at] + word[at + 1 :], word[:at] + word[at : at + 1] + word[at:], word.swapcase()))


#: After most of these the text is still YAML, so that the rest of the check is reached.
GENTLE: Sequence[Change] = (
    *map(_of_lines, (_drop_line, _double_line, _move_line, _swap_lines)),
    *[_of_lines(_misplace_key)] * 3,
    *map(_of_tokens, (_another_token, _a_value, _a_value, _a_key, _anchored, _aliased, _misspelt, _misspelt)),
)
CHANGES: Sequence[Change] = (
    *GENTLE,
    *(_insert, _overwrite, _delete, _duplicate, _exchange, _flip, _cut_off),
    *map(_of_lines, (_indent, _join_lines, _end_line)),
    *map(_of_tokens, (_a_word, _a_key, _wrapped)),
)


def mutated(example: Example, random: Random) -> dict[str, bytes]:
    """Return the example's files with one to four changes in one of them, or in several."""
    changed = dict(example.files)
    names = sorted(changed)
    changes = random.choice((GENTLE, GENTLE, CHANGES))
    for _ in range(random.choice((1, 1, 1, 2, 2, 3, 4))):
        name = example.manifest if random.random() < 0.6 else random.choice(names)
        changed[name] = random.choice(changes)(changed[name], random)
    return changed

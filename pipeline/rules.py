"""What each code of a problem means: the page ``docs/rules.md`` as values. Pure.

A section ``## code`` has a sentence that sums it up, its severity, advice, and examples. An example is a manifest, or
a part of one, in a block ``yaml wrong`` or ``yaml right``; a block with ``name=FILE`` is a file beside the manifest
above it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, cast

Severity = Literal["error", "warning"]
Verdict = Literal["wrong", "right"]


@dataclass(frozen=True, slots=True)
class Example:
    """A manifest that breaks the rule, or one that keeps it, and the files beside it by their names."""

    verdict: Verdict
    manifest: str
    files: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """One section. ``text`` is all of it below its heading, as it is on the page."""

    code: str
    summary: str
    severity: Severity
    advice: tuple[str, ...]
    examples: tuple[Example, ...]
    text: str


def parse(page: str) -> dict[str, Rule]:
    """Return the rules of the page by their codes, in its order. Raises ValueError for a section of another form."""
    _, *sections = _HEADING.split(page)
    codes, texts = sections[::2], sections[1::2]
    if len(set(codes)) < len(codes):
        raise ValueError("a code has two sections")
    return {code: _rule(code, text.strip()) for code, text in zip(codes, texts, strict=True)}


_HEADING = re.compile(r"^## (.+)\n", re.MULTILINE)
_BLOCK = re.compile(r"^```(?P<info>\S[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_SEVERITY = re.compile(r"Severity: (error|warning)")


def _rule(code: str, text: str) -> Rule:
    summary, severity, *advice = (
        " ".join(paragraph.split()) for paragraph in re.split(r"\n{2,}", _BLOCK.sub("", text)) if paragraph.strip()
    )
    found = _SEVERITY.fullmatch(severity)
    if not found or not advice:
        raise ValueError(f"{code}: a section is a sentence, a severity, and advice")
    return Rule(code, summary, cast(Severity, found[1]), tuple(advice), tuple(_examples(code, text)), text)


def _examples(code: str, text: str) -> Iterator[Example]:
    example: Example | None = None
    for block in _BLOCK.finditer(text):
        words = block["info"].split()[1:]
        if words in (["wrong"], ["right"]):
            if example:
                yield example
            example = Example(cast(Verdict, words[0]), block["text"])
        elif example and len(words) == 1 and words[0].startswith("name="):
            beside = (*example.files, (words[0].removeprefix("name="), block["text"]))
            example = Example(example.verdict, example.manifest, beside)
        else:
            raise ValueError(f"{code}: a block is wrong, right, or has a name=, not {block['info']!r}")
    if example:
        yield example

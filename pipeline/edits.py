"""Carrying out the edits of problems in a file's text, letter by letter around them. Pure."""

from collections.abc import Iterable
from difflib import unified_diff

from pipeline.document import Text
from pipeline.errors import Edit, Problem


def edited(file: str, text: str, problems: Iterable[Problem]) -> str:
    """Return the text of a file with the edits of the problems in it; where two overlap, with the first one's."""
    starts = Text.of(file, text).starts
    edits: dict[int, Edit] = {}
    for problem in problems:
        if problem.edit is not None and problem.file == file:
            edits.setdefault(starts[problem.line - 1] + problem.column - 1, problem.edit)
    pieces: list[str] = []
    end = 0
    for start, edit in sorted(edits.items()):
        if start >= end and text.startswith(edit.old, start):
            pieces += text[end:start], edit.new
            end = start + len(edit.old)
    return "".join([*pieces, text[end:]])


def difference(file: str, before: str, after: str) -> str:
    """Return what changed in a file, as ``diff -u`` shows it."""
    lines = unified_diff(before.splitlines(keepends=True), after.splitlines(keepends=True), file, file)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)

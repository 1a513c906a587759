"""A profile as the text of a YAML file, with what was learned of its server written into it. Pure."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

from pipeline.symptoms import Lesson

_MARGIN = "  "
_PLAIN_KEY = re.compile(r"[a-z][a-z0-9_]*")
_NO_TEXT = frozenset({"true", "false", "null"})


def taught(profile: Mapping[str, Any], lessons: Sequence[Lesson]) -> dict[str, Any]:
    """Return the profile with what was learned in the place of what it says."""
    found: dict[str, Any] = deepcopy(dict(profile))
    for lesson in lessons:
        *folders, last = lesson.field
        place = found
        for key in folders:
            place = place.setdefault(key, {})
        place[last] = lesson.value
    return found


def outline(profile: Mapping[str, Any], lessons: Sequence[Lesson], head: Sequence[str]) -> str:
    """Return the text: ``head`` as comments, then the profile, and above each value that was learned how it was."""
    notes = {lesson.field: f"learned: {lesson.how}" for lesson in lessons}
    return "\n".join([*(f"# {_comment(line)}" for line in head), *_lines(profile, (), notes)]) + "\n"


def _lines(value: Mapping[str, Any], path: tuple[str, ...], notes: Mapping[tuple[str, ...], str]) -> Iterator[str]:
    margin = _MARGIN * len(path)
    for name, inner in value.items():
        here = (*path, name)
        key = name if _PLAIN_KEY.fullmatch(name) and name not in _NO_TEXT else _flow(name)
        if here in notes:
            yield f"{margin}# {_comment(notes[here])}"
        if isinstance(inner, Mapping) and inner:
            yield f"{margin}{key}:"
            yield from _lines(inner, here, notes)
        else:
            yield f"{margin}{key}: {_flow(inner)}"


def _flow(value: Any) -> str:
    """Return a value as JSON, which is YAML too."""
    return json.dumps(value, ensure_ascii=False)


def _comment(text: str) -> str:
    """Return the text on one line, without what a YAML file may not have."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:500]

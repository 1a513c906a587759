"""In which fields two requests differ. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_WHOLE = frozenset({"input_reference"})
"""Fields that are one value, though they may look like a mapping."""

_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Change:
    """A field that has another value than before. None stands for none; ``path`` are the keys that lead to it."""

    path: tuple[str, ...]
    old: Any
    new: Any

    @property
    def field(self) -> str:
        return ".".join(self.path)


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    """Return what differs, mappings key by key, in the order of the later one; what it lacks comes last."""
    return tuple(_changes((), before, after))


def _changes(path: tuple[str, ...], before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    for key in dict.fromkeys((*after, *before)):
        old, new = before.get(key, _ABSENT), after.get(key, _ABSENT)
        if old == new and isinstance(old, bool) == isinstance(new, bool):
            continue
        here = (*path, key)
        if isinstance(old, Mapping) and isinstance(new, Mapping) and key not in _WHOLE:
            yield from _changes(here, old, new)
        else:
            yield Change(here, None if old is _ABSENT else old, None if new is _ABSENT else new)


def pixels(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a request affects its video: all but the metadata."""
    return {key: value for key, value in request.items() if key != "metadata"}

"""Saved plans on the disk."""

import os
from pathlib import Path

from pipeline import folder
from pipeline.errors import UsageError
from pipeline.saved import Saved, is_saved, saved_from, text_of

_MAX_BYTES = 1 << 30
_PEEKED = 200


def save(path: Path, plan: Saved) -> None:
    """Write the plan, whole or not at all. An older plan is replaced; UsageError is raised for anything else there."""
    beside = path.with_name(f".{path.name}.part")
    try:
        if os.path.lexists(path) and not (path.is_file() and _is_plan(path)):
            raise UsageError(f"{path} is no saved plan, and stays as it is: choose another name")
        beside.write_text(text_of(plan), "utf-8")
        beside.replace(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error


def _is_plan(path: Path) -> bool:
    with path.open(encoding="utf-8", errors="replace") as file:
        return is_saved(file.read(_PEEKED))


def load(path: Path) -> Saved:
    """Return the plan in the file. Raises UsageError for what is none, cannot be read, or was changed."""
    text = folder.bytes_of(path, _MAX_BYTES).decode("utf-8", errors="replace")
    return saved_from(text, name=str(path), folder=path.parent.resolve())


def named(other: Path, folder: Path) -> str:
    """Return how a plan in the folder names a file or another folder: by the way from its own."""
    return Path(os.path.relpath(other.resolve(), folder)).as_posix()


def manifest_of(plan: Saved, path: Path) -> Path:
    """Return the manifest that a plan at the path names, as the command line would name it."""
    named = Path(os.path.normpath(path.parent / plan.manifest))
    meant = plan.folder / plan.manifest
    return named if named.exists() and named.samefile(meant) else meant.resolve()

"""The only module that writes manifests, their locks, and profiles; and the schema that editors read beside one."""

import os
from pathlib import Path

from pipeline.errors import UsageError

SCHEMA = "callsheet.schema.json"
_OURS = '"urn:callsheet:manifest:'


def write(manifest: Path, text: str, schema: str) -> Path:
    """Write a new manifest, and the schema beside it where that is missing or of another version; return its path.

    Raises UsageError, and writes nothing, where the manifest exists or a foreign file has the schema's name.
    """
    beside = manifest.parent / SCHEMA
    refuse_to_replace(manifest)
    try:
        known = beside.read_text("utf-8", errors="replace") if beside.exists() else ""
        if known and _OURS not in known:
            raise UsageError(f"{beside} is no schema of callsheet, and stays as it is: choose another folder")
        if known != schema:
            write_over(beside, schema)
    except OSError as error:
        raise UsageError(f"{manifest} cannot be written: {error.strerror}") from error
    write_new(manifest, text)
    return beside


def write_new(path: Path, text: str) -> None:
    """Write a new file. Raises UsageError where it exists, or cannot be written."""
    refuse_to_replace(path)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error


def write_over(path: Path, text: str) -> None:
    """Write a file whole, or leave the one that is there. Raises UsageError where it cannot be written."""
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error


def refuse_to_replace(path: Path) -> None:
    """Raise UsageError for a name that something has."""
    try:
        taken = path.exists() or path.is_symlink()
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
    if taken:
        raise UsageError(f"{path} exists and stays as it is: choose another name")

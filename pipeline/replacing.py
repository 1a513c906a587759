"""What lies where an export is to go: nothing, an export before it, or somebody else's files, which stay."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.disk import storage_errors
from pipeline.errors import UsageError
from pipeline.staging import SUMS, sums
from pipeline.videos import parse_object

ABOUT, CARD = "export.json", "README.md"
KIND = "callsheet export"
_BIG = (".mp4", ".tar")


@dataclass(frozen=True, slots=True)
class Before:
    """An export that is there, by its own description. ``card`` is its README.md where a person has changed that."""

    about: Mapping[str, Any]
    card: str | None

    @property
    def shards(self) -> int | None:
        found = self.about.get("shards")
        return found if isinstance(found, int) and found > 0 else None


def before(place: Path, *, campaign: str, form: str) -> Before | None:
    """Return the export that is to be replaced, or None for a place that is free.

    Raises UsageError for a folder that is no export of this campaign in this format, or has a file in it that the
    export did not write, or has a table in it that somebody has changed: nobody's work is removed.
    """
    with storage_errors(place):
        if not os.path.lexists(place):
            return None
        if not place.is_dir():
            raise UsageError(f"{place} is no folder")
        if not any(place.iterdir()):
            return None
        about = _about(place / ABOUT)
        if about is None or not (place / SUMS).is_file():
            raise UsageError(f"{place} is not empty, and no export: it stays as it is. Choose another folder")
        if (about.get("campaign"), about.get("format")) != (campaign, form):
            what = f"{about.get('campaign')!r} as {about.get('format')}"
            raise UsageError(f"{place} is an export of {what}: it stays as it is. Choose another folder")
        return Before(about, _changed_card(place, about))


def _about(path: Path) -> dict[str, Any] | None:
    if path.is_symlink() or not path.is_file():
        return None
    found = parse_object(path.read_bytes())
    return found if found is not None and found.get("kind") == KIND else None


def _changed_card(place: Path, about: Mapping[str, Any]) -> str | None:
    """Return the card that a person has changed, None for our own. Raises UsageError for anything else of theirs."""
    ours, small = {SUMS}, dict[str, str]()
    for path, sha256 in sums(place):
        ours.add(path)
        if not path.endswith(_BIG):
            small[path] = sha256
    card = None
    for path in _files(place):
        if path not in ours:
            raise UsageError(f"{place / path} is none of the export's files: it stays as it is. Move it elsewhere")
        if path == CARD and (about.get("card_sha256") != _sha256(place / path)):
            card = (place / path).read_text("utf-8", errors="replace")
        elif path in small and path != CARD and small[path] != _sha256(place / path):
            raise UsageError(f"{place / path} was changed after it was exported: it stays as it is. Move it elsewhere")
    return card


def _files(place: Path) -> Iterator[str]:
    """Yield everything that is no folder, relative to the place; a link to a folder is none."""
    for folder, folders, names in os.walk(place):
        for name in (*names, *(name for name in folders if (Path(folder) / name).is_symlink())):
            yield (Path(folder) / name).relative_to(place).as_posix()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

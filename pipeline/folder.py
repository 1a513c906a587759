"""The only module that opens what a manifest names: included files, tables, images.

A manifest may come from a stranger's pull request, so nothing is opened outside the folder that the manifest lies in,
nothing but regular files, and of none more than its bound. Every refusal is a problem where the name is written.
"""

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO

from pipeline import images, parquet, source, tables
from pipeline.document import Document
from pipeline.errors import Problem, UsageError
from pipeline.images import Image
from pipeline.manifest import Entry, Layer
from pipeline.sayings import shown
from pipeline.tables import Table


def content(path: Path, most: int) -> bytes:
    """Return what is in a regular file. Raises OSError for anything else, and for a file of more bytes."""
    with _opened(path, most) as file:
        return file.read(most)


def why(error: Exception) -> str:
    """Return in words for people why a file could not be read."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


class Folder:
    """The folder of one manifest. ``problems`` are those of the files that could not be read."""

    def __init__(self, manifest: Path) -> None:
        self.problems = list[Problem]()
        self._root = manifest.parent.resolve()
        self._images: dict[Path | str, Image | str] = {}

    def document(self, layer: Layer, written: str, path: Path, most: int) -> Document | None:
        """Return an included file; None, with a problem, where it cannot be read."""
        try:
            data = content(path, most)
        except (OSError, ValueError) as error:
            self.refuse(layer, "include", f"{shown(written)} cannot be read: {why(error)}", "check the path")
            return None
        document, problems = source.parse(data, file=str(Path(layer.document.text.file).parent / written))
        self.problems += problems
        return document

    def table(self, entry: Entry) -> Table | None:
        """Return the table of an entry with ``from``, which is read while it is used."""
        layer, written = entry.layer(("from",)), entry.job["from"]
        suffix = Path(written).suffix.lower()
        if suffix not in {*tables.FORMATS, parquet.SUFFIX}:
            fix = f"save it as one of {', '.join((*tables.FORMATS, parquet.SUFFIX))}"
            self.refuse(layer, "from", f"{shown(written)} has no suffix that tells the kind of table", fix)
            return None
        path = self.inside(layer, written, "from", "the table")
        if path is None:
            return None
        file = str(Path(layer.document.text.file).parent / written)
        try:
            opened = _opened(path, tables.MAX_BYTES)
        except (OSError, ValueError) as error:
            self.refuse(layer, "from", f"the table {shown(written)} cannot be read: {why(error)}", "check the path")
            return None
        if suffix == parquet.SUFFIX:
            found = parquet.read(opened, file=file)
        else:
            found = tables.read(_lines(opened), file=file, suffix=suffix)
        if isinstance(found, Table):
            return found
        self.problems += found
        return None

    def image(self, document: Document, written: str) -> Image | str:
        """Return the image at a path, or in a data URL, as a file of the manifest names it; or why there is none."""
        if written.startswith("data:"):
            if written not in self._images:
                self._images[written] = images.from_data_url(written)
            return self._images[written]
        try:
            path = self._resolved(document, written)
            if path is None:
                return "the image lies outside the manifest's folder"
            if path not in self._images:
                found = images.examine(content(path, images.MAX_BYTES))
                self._images[path] = replace(found, data=None, path=path) if isinstance(found, Image) else found
        except (OSError, ValueError, RuntimeError) as error:
            return f"the image {shown(written)} cannot be read: {why(error)}"
        found = self._images[path]
        return found if isinstance(found, Image) else f"{shown(written)} cannot be sent: {found}"

    def _resolved(self, document: Document, written: str) -> Path | None:
        """Return the path, links followed, as a file names it; None where it leads out of the folder."""
        path = (Path(document.text.file).parent / written).resolve()
        return path if path.is_relative_to(self._root) else None

    def inside(self, layer: Layer, written: str, rule: str, what: str) -> Path | None:
        """Return the path, links followed, that a file names; None, with a problem, where it leads out of here."""
        try:
            path = self._resolved(layer.document, written)
        except (OSError, ValueError, RuntimeError) as error:
            self.refuse(layer, rule, f"{what} cannot be read: {why(error)}", "check the path")
            return None
        if path is None:
            self.refuse(layer, rule, f"{what} lies outside the manifest's folder", "move it there")
        return path

    def refuse(self, layer: Layer, rule: str, message: str, fix: str) -> None:
        """Note a problem where a path is written."""
        self.problems.append(layer.value_place.problem(rule, message, fix))


def _opened(path: Path, most: int) -> BinaryIO:
    """Open a regular file; nothing else is waited for. Raises OSError for others, and for one of more bytes."""
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    found = os.fstat(file.fileno())
    if stat.S_ISREG(found.st_mode) and found.st_size <= most:
        return file
    file.close()
    if stat.S_ISREG(found.st_mode):
        raise OSError(errno.EFBIG, f"it is larger than {most >> 20:,} MiB")
    raise OSError(errno.EINVAL, "it is no regular file")


def _lines(file: BinaryIO) -> Iterator[str]:
    """Yield the lines of a text with their ends; bytes that are no UTF-8 become lone surrogates."""
    with TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
        while line := text.readline(tables.MAX_LINE):
            yield line


def bytes_of(path: Path, most: int) -> bytes:
    """Return what is in a file that an option names. Raises UsageError for one that cannot be read, or has more."""
    try:
        return content(path, most)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {why(error)}") from error

"""``include``: the files that a manifest is made of.

Each file is valid by itself: anchors do not cross files, and paths lead from the file that names them.
"""

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path, PurePath

from pipeline import source
from pipeline.document import Document
from pipeline.folder import Folder, why
from pipeline.manifest import Layer, Part
from pipeline.sayings import shown

MAX_FILES = 1000
MAX_DEPTH = 16
MAX_ENTRIES = 100_000


class Including:
    """Follows ``include`` from one file, and reads every file once. ``read`` turns a document into a part."""

    def __init__(self, folder: Folder, read: Callable[[Document, bool], Part]) -> None:
        """``read`` is told whether the document is included."""
        self._folder, self._read = folder, read
        self._above: list[Path] = []
        self._seen: set[Path] = set()
        self._left = source.MAX_BYTES
        self._parts: list[Part] = []

    def parts(self, document: Document) -> list[Part]:
        """Return the files that a manifest is made of: before each those that it includes."""
        self._follow(Path(document.text.file).resolve(), document)
        return self._parts

    def _follow(self, path: Path, document: Document) -> None:
        part = self._read(document, bool(self._above))
        self._above.append(path)
        self._seen.add(path)
        for index, written in enumerate(part.value.get("include", ())):
            layer = Layer(document, ("include", index))
            for name in self._names(layer, written) if written is not None else ():
                self._include(layer, name)
        self._above.pop()
        self._parts.append(part)

    def _include(self, layer: Layer, written: str) -> None:
        path = self._folder.inside(layer, written, "include", "the file")
        if path in self._above:
            chain = " -> ".join(above.name for above in [*self._above[self._above.index(path) :], path])
            message = f"the files include one another: {chain}"
            self._folder.refuse(layer, "include-cycle", message[:300], "remove one of them")
        elif path is None or path in self._seen:
            return
        elif len(self._above) > MAX_DEPTH or len(self._seen) >= MAX_FILES:
            bound = f"{MAX_FILES:,} files" if len(self._seen) >= MAX_FILES else f"{MAX_DEPTH} files in one another"
            self._folder.refuse(layer, "include", f"more than {bound}", "include fewer")
        else:
            document = self._folder.document(layer, written, path, self._left)
            if document is not None:
                self._left -= len(document.text.text)
                self._follow(path, document)

    def _names(self, layer: Layer, written: str) -> list[str]:
        """Return the paths that a pattern fits, in alphabetical order; a path without a pattern as it is."""
        if not set(written) & set("*?["):
            return [written]
        parts, parent = PurePath(written).parts, Path(layer.document.text.file).parent
        try:
            unusable = ".." in parts or any("**" in part and part != "**" for part in parts)
            names = [] if unusable else sorted(islice(fitting(parent, parts), MAX_FILES + 1))
        except (OSError, ValueError) as error:
            self._folder.refuse(layer, "include", f"not a pattern of paths: {why(error)}", "write jobs/*.yaml")
            return []
        if not names:
            self._folder.refuse(layer, "include", f"no file below this one fits {shown(written)}", "check the pattern")
        return names


def fitting(folder: Path, pattern: Sequence[str]) -> Iterator[str]:
    """Yield the paths of the files below a folder that fit a pattern, of which ``**`` is any number of folders.

    No link is followed, so nothing outside is looked at and nothing twice. Raises OSError for a folder that cannot be
    read, and for one with more than MAX_ENTRIES below it.
    """
    todo, entries = [(folder, "", tuple(pattern))], 0
    while todo:
        here, name, parts = todo.pop()
        for entry in os.scandir(here):
            entries += 1
            if entries > MAX_ENTRIES:
                raise OSError(errno.EFBIG, f"more than {MAX_ENTRIES:,} files to look at")
            path, rest = f"{name}{entry.name}", parts
            if parts[0] == "**":
                if entry.is_dir(follow_symlinks=False):
                    todo.append((here / entry.name, f"{path}/", parts))
                rest = parts[1:]
            if not rest or not fnmatchcase(entry.name, rest[0]):
                continue
            if len(rest) == 1 and entry.is_file():
                yield path
            elif len(rest) > 1 and entry.is_dir(follow_symlinks=False):
                todo.append((here / entry.name, f"{path}/", rest[1:]))

"""``include``: the files that a manifest is made of.

Each file is valid by itself: anchors do not cross files, and paths lead from the file that names them.
"""

from collections.abc import Callable
from itertools import islice
from pathlib import Path

from pipeline import source
from pipeline.document import Document
from pipeline.folder import Folder, why
from pipeline.manifest import Layer, Part
from pipeline.sayings import shown

MAX_FILES = 1000
MAX_DEPTH = 16


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
        parent = Path(layer.document.text.file).parent
        names: list[str] = []
        try:
            if ".." not in Path(written).parts:
                found = (path for path in parent.glob(written) if path.is_file())
                names = sorted(str(path.relative_to(parent)) for path in islice(found, MAX_FILES + 1))
        except (OSError, ValueError, NotImplementedError, IndexError) as error:
            self._folder.refuse(layer, "include", f"not a pattern of paths: {why(error)}", "write jobs/*.yaml")
            return []
        if not names:
            self._folder.refuse(layer, "include", f"no file below this one fits {shown(written)}", "check the pattern")
        return names

"""What the code blocks of a page are, and what its writer says about them.

For writers of pages. Every ``sh`` block of README.md and docs/*.md is run, from the top of the page to its end, in one
empty folder for each page that has ``manifests/`` in it. A comment above a block says what cannot be seen:

- ``<!-- file: NAME -->`` above a block of any language: from here on the folder has this file, with this text.
  ``<!-- file: NAME`` with lines below it up to ``-->`` is a file that the page takes for granted and does not show.
- ``<!-- before: COMMAND -->``: what the reader has done before, without being told by this page.
- ``<!-- exit: 2 -->``: the last command of the block ends with this code. All others end with 0.
- ``<!-- needs: key -->``: at the reader's the block spends money or asks a real server. Here the simulator is in the
  place of each server whose profile the block names, with any key, and ``run`` is told ``--yes``, as the reader would
  say. A key is written as ``...``, an address as ``https://videos.example.com/v1``. `test_pages.py` lists these blocks.
- ``<!-- shell -->``: a real shell runs the block. A ``callsheet`` in it is a process that can be killed: no video is
  finished within a minute. It costs a second of processor time.
- ``<!-- not run: REASON -->``: nobody runs it here. `test_pages.py` has the list of these blocks too.
- ``<!-- soon -->``: not run yet; the list has them as well.

A ``text`` block right below an ``sh`` block is what the block's last command prints, line by line; ``…`` stands for any
letters of a line, and a line with nothing else for any number of lines.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

_WORDS = {"file", "before", "exit", "needs", "shell", "not run", "soon", "command"}
_PART = re.compile(
    r"^<!-- (?P<word>[a-z ]+?)(?:: (?P<said>[^\n]*?))?(?: -->|\n(?P<hidden>.*?)^-->)$"
    r"|^(?P<fence>`{3,})(?P<language>[\w-]*)\n(?P<text>.*?)^(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)
_SHOWN = re.compile(r"\s*^```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Unclear(Exception):
    """A page says what nobody understands."""


@dataclass(frozen=True, slots=True)
class File:
    """A file that the folder has from here on."""

    name: str
    text: str


@dataclass(slots=True)
class Block:
    """Commands, and what the page says about them. ``shown`` is what the last one prints, where the page shows it."""

    text: str
    line: int
    markers: dict[str, str] = field(default_factory=dict)
    shown: str | None = None

    @property
    def first(self) -> str:
        """The first line, by which lists name the block."""
        return self.text.partition("\n")[0].partition("  ")[0].removesuffix(" \\")

    @property
    def exit_code(self) -> int:
        """How the last command ends."""
        return int(self.markers.get("exit", 0))


def parts(page: str) -> Iterator[File | Block]:
    """Give what happens on a page, in its order. Raises Unclear for markers that mean nothing where they stand."""
    markers: dict[str, str] = {}
    end = 0
    for found in _PART.finditer(page):
        if markers and page[end : found.start()].strip():
            raise Unclear(f"line {_line(found)}: nothing follows {sorted(markers)}")
        end = found.end()
        if found["word"]:
            part = _comment(found, markers)
        else:
            part, markers = _fence(found, markers), {}
        if part:
            yield part
    if markers:
        raise Unclear(f"nothing follows {sorted(markers)}")


def _comment(found: re.Match[str], markers: dict[str, str]) -> File | Block | None:
    """Return what a comment is by itself; what it says of the block below it goes to the markers."""
    word, said, hidden = found["word"], found["said"] or "", found["hidden"]
    if word not in _WORDS or (word != "file" and hidden is not None):
        raise Unclear(f"line {_line(found)}: nobody knows what {word} means")
    if hidden is not None:
        return File(said, hidden)
    if word == "before":
        return Block(said + "\n", _line(found))
    markers[word] = said
    return None


def _fence(found: re.Match[str], markers: dict[str, str]) -> File | Block | None:
    if "file" in markers:
        return File(markers["file"], found["text"])
    if found["language"] == "sh":
        shown = _SHOWN.match(found.string, found.end())
        return Block(found["text"], _line(found), markers, shown and shown[1])
    if found["language"] in {"bash", "console", "shell"}:
        raise Unclear(f"line {_line(found)}: commands stand in blocks called sh")
    if markers:
        raise Unclear(f"line {_line(found)}: {sorted(markers)} say nothing about {found['language'] or 'this'}")
    return None


def _line(found: re.Match[str]) -> int:
    return found.string.count("\n", 0, found.start()) + 1


def fits(said: str, shown: str) -> bool:
    """Tell whether a page shows what was said, where ``…`` stands for what differs each time."""
    lines = [
        "(?:[^\n]*\n)*?" if line.strip() == "…" else re.escape(line.rstrip()).replace("…", "[^\n]*?") + " *\n"
        for line in shown.splitlines()
    ]
    return re.fullmatch("".join(lines), said) is not None

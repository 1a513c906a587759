"""As much of a shell as pages need: one command a line, variables, redirections, patterns of file names.

``callsheet`` runs in this process, because to start one costs a second. ``sqlite3 FILE QUERY`` is done by Python's own.
A few tools of every machine are started; any other word is an error, so that nothing is left out in silence.
"""

import os
import re
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir, closing
from dataclasses import dataclass, field
from pathlib import Path

from gateway import ENVIRONMENT, Ended, call
from pages.blocks import Block, Unclear

TOOLS = {"cat", "cp", "grep", "head", "ls", "mkdir", "mv", "rm", "sed", "sha256sum", "tail", "touch", "wc"}
ELSEWHERE = "https://videos.example.com/v1"
"""The address of a server like OpenAI's, on all pages."""

KEY = "any-key-will-do"
"""What stands where a page has ``...`` for the reader's own key."""

_ASSIGNED = re.compile(r"[A-Za-z_]\w*=")
_WORD = re.compile(
    r"""\s*(?:(?P<comment>\#.*)|(?P<redirect>[12]?>)(?![>&])|(?P<foreign>[|&;<>`(]+)"""
    r"""|(?P<word>(?:[^\s'"|&;<>`(\\]|'[^']*'|"[^"]*"|\\.)+)|\s*$)"""
)
_REDIRECTS = {">": 1, "1>": 1, "2>": 2}


@dataclass
class Shell:
    """A folder and the variables in it.

    ``servers`` are variables that lead commands to servers on this machine; with ``slow`` they wait long for a video.
    """

    folder: Path
    servers: dict[str, str]
    slow: dict[str, str] = field(default_factory=dict)
    exported: dict[str, str] = field(default_factory=dict)

    def run(self, block: Block) -> str:
        """Run a block and return what its last command prints, standard output first.

        Raises AssertionError where a command does not end as the page says.
        """
        if "shell" in block.markers:
            return self._ended_as_said(self._real(block.text), block.line, block.exit_code)
        said, lines = "", list(commands(block.text))
        if not lines:
            raise Unclear(f"line {block.line}: no command")
        for words in lines:
            ended = self._command(words, asks="needs" in block.markers)
            said = self._ended_as_said(ended, block.line, block.exit_code if words is lines[-1] else 0)
        return said

    def _ended_as_said(self, ended: Ended, line: int, wanted: int) -> str:
        said = f"{ended.stdout}{ended.stderr}"
        assert ended.returncode == wanted, f"line {line}: {ended.args} ended with {ended.returncode}:\n{said}"
        return said

    def _command(self, words: list[str], *, asks: bool) -> Ended:
        variables, words, into = self._taken_apart(words)
        if words[0] == "export":
            self.exported.update(_assigned(word) for word in words[1:])
            return Ended(words, 0, "", "")
        if asks:
            words = [self.servers["CALLSHEET_OPENAI_BASE_URL"] if word == ELSEWHERE else word for word in words]
            words += ["--yes"] * (words[1] == "run" or "--spend" in words)
        ended = self._carried_out(words, variables)
        for stream, path in into.items():
            (self.folder / path).write_text(ended.stdout if stream == 1 else ended.stderr)
        return ended

    def _carried_out(self, words: list[str], variables: dict[str, str]) -> Ended:
        if Path(words[0]).name == "callsheet":
            return call(self.folder, *words[1:], **self.servers | self.exported | variables)
        if words[0] == "sqlite3":
            with chdir(self.folder), closing(sqlite3.connect(f"file:{words[1]}?mode=ro", uri=True)) as connection:
                rows = connection.execute(words[2]).fetchall()
            return Ended(words, 0, "".join("|".join(map(str, row)) + "\n" for row in rows), "")
        if words[0] not in TOOLS:
            raise Unclear(f"{words[0]} is no command that pages run: add it to TOOLS, or a marker to its block")
        return subprocess.run(words, cwd=self.folder, env=ENVIRONMENT, capture_output=True, text=True)

    def _taken_apart(self, words: list[str]) -> tuple[dict[str, str], list[str], dict[int, str]]:
        """Return what a command line sets, what it runs, and into which files it writes."""
        variables, rest, into = {}, [], {}
        left = iter(words)
        for word in left:
            if word in _REDIRECTS:
                into[_REDIRECTS[word]] = next(left)
            elif not rest and _ASSIGNED.match(word):
                variables |= [_assigned(word)]
            else:
                rest += self._files(word)
        if not rest:
            raise Unclear(f"{words} runs nothing")
        return variables, rest, into

    def _files(self, word: str) -> list[str]:
        found = sorted(str(path.relative_to(self.folder)) for path in self.folder.glob(word)) if "*." in word else []
        return found or [word]

    def _real(self, text: str) -> Ended:
        tools = f"{Path(sys.executable).parent}{os.pathsep}{ENVIRONMENT['PATH']}"
        around = ENVIRONMENT | {"HOME": str(self.folder), "PATH": tools} | self.servers | self.slow | self.exported
        return subprocess.run(["sh", "-c", text], cwd=self.folder, env=around, capture_output=True, text=True)


def _assigned(word: str) -> tuple[str, str]:
    name, _, value = word.partition("=")
    return name, KEY if value == "..." else value


def commands(text: str) -> Iterator[list[str]]:
    """Give the words of each command. Raises Unclear for what only a real shell can do."""
    for line in text.replace("\\\n", " ").splitlines():
        words = []
        for found in _WORD.finditer(line):
            if found["foreign"] or "$" in (found["word"] or ""):
                raise Unclear(f"`{line}` needs a real shell: mark the block with shell")
            if found["redirect"]:
                words.append(found["redirect"])
            elif found["word"]:
                words += shlex.split(found["word"])
        if words:
            yield words

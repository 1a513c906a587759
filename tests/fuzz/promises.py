"""What holds of a manifest's check whatever is in the files: one function that says what does not.

Only what ``pipeline.files.load`` promises may enter, and nothing of how the files came to be.
"""

import codecs
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline import pages
from pipeline.errors import ManifestError, Problem
from pipeline.files import Loaded, load
from pipeline.jobs import Spec, canonical_json
from pipeline.render import safe

RULES = pages.rulebook()

_HASH = re.compile(r"[0-9a-f]{64}")
_LONGEST = 1000
_LINE_END = re.compile(r"\r\n?|\n")
#: Of a Parquet file lines are rows and columns are columns.
_WITHOUT_LINES = {".parquet"}


def outcome(manifest: Path) -> tuple[Loaded | None, Sequence[Problem]]:
    """Return what a manifest's check gives: what was loaded, or nothing, and the problems. Anything else is raised."""
    try:
        loaded = load(manifest, variables={})
    except ManifestError as error:
        return None, error.problems
    return loaded, loaded.warnings


def broken(manifest: Path) -> list[str]:
    """Return the promises that the check of a manifest breaks, in words."""
    return judged(manifest, *outcome(manifest))


def judged(manifest: Path, loaded: Loaded | None, problems: Sequence[Problem]) -> list[str]:
    found = list(_of_problems(manifest, problems))
    if (loaded is None) != any(problem.severity == "error" for problem in problems):
        found.append("it has errors exactly where it was not loaded")
    if len(set(problems)) < len(problems):
        found.append("no problem is said twice")
    return found + (list(_of_specs(loaded.specs)) if loaded else [])


def _of_problems(manifest: Path, problems: Sequence[Problem]) -> Iterator[str]:
    texts: dict[str, str] = {}
    for problem in problems:
        path = Path(problem.file)
        if problem.file not in texts:
            texts[problem.file] = _text(path)
        for promise, kept in (
            ("every rule has a section", problem.rule in RULES),
            ("a problem is an error or a warning", problem.severity in {"error", "warning"}),
            ("message and fix are a few words that can be printed", _words(problem.message) and _words(problem.fix)),
            ("the file is there", path == manifest or path.is_file()),
            ("the place is in the file", path.suffix in _WITHOUT_LINES or _inside(problem, texts[problem.file])),
            ("what an edit replaces stands at its place", not problem.edit or _stands(problem, texts[problem.file])),
        ):
            if not kept:
                yield f"{promise}: {problem}"


def _of_specs(specs: Sequence[Spec]) -> Iterator[str]:
    if not specs:
        yield "what has no mistakes has jobs"
    for what, values in (("name", [spec.name for spec in specs]), ("output", [spec.output for spec in specs])):
        twice = [value for value, count in Counter(map(str.casefold, values)).items() if count > 1 or not value]
        if twice:
            yield f"every job has an {what} of its own: {twice[:3]}"
    for spec in specs:
        if not _HASH.fullmatch(spec.request_hash):
            yield f"a request has a hash: {spec}"
        if json.loads(canonical_json(spec.request).encode()) != spec.request:
            yield f"a request is JSON: {spec}"
        if json.loads(canonical_json(spec.metadata).encode()) != spec.metadata:
            yield f"metadata are JSON: {spec}"
        if not Path(spec.origin.rsplit(":", 2)[0]).is_file():
            yield f"a job comes from a file: {spec}"


def _words(words: str | None) -> bool:
    if not words or not words.strip() or len(words) > _LONGEST:
        return False
    return not any(unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in safe(words))


def _text(path: Path) -> str:
    """Return a file's text, with a character for each byte that is no UTF-8."""
    data = path.read_bytes() if path.is_file() else b""
    return data.removeprefix(codecs.BOM_UTF8).decode(errors="surrogateescape")


def _inside(problem: Problem, text: str) -> bool:
    lines = _LINE_END.split(text)
    return 1 <= problem.line <= len(lines) and 1 <= problem.column <= len(lines[problem.line - 1]) + 1


def _stands(problem: Problem, text: str) -> bool:
    starts = [0, *(found.end() for found in _LINE_END.finditer(text))]
    old = problem.edit.old if problem.edit else ""
    return bool(old) and text.startswith(old, starts[problem.line - 1] + problem.column - 1)

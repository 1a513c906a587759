"""Good and bad manifests as files: to add a case, add a file. README.md beside this one says how.

``invalid/x.yaml`` has its problems marked in it, below the line of each, and in ``x.expected`` where no comment can
stand. The marks were set by people who read the manifest and asked which token is wrong; no expectation was ever made
by the program. ``valid/x.yaml`` has the jobs that come out of it in ``x.json``. The first draft of a JSON file may come
from the program; every value in it was then read against the manifest by a person.
"""

import json
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pytest

from pipeline import rules
from pipeline.errors import ManifestError, Problem
from pipeline.files import load
from pipeline.jobs import Spec

HERE = Path(__file__).parent
VALID = sorted((HERE / "valid").glob("*.yaml"))
INVALID = sorted((HERE / "invalid").glob("*.yaml"))

EXCEPTIONS: dict[str, str] = {
    "alias-of-another-type.yaml": "a mistake behind an alias is shown where it is written, not at the alias",
}
"""Files of ``invalid`` whose marks the program does not agree with, and why."""

NOT_IN_A_FILE = {
    "undeclared-variable": "needs --var",
    "file": "a file that cannot be read can hardly be kept in git; a folder can",
    "too-large": "needs 64 MiB",
    "schema": "needs a profile with a schema of its own",
}
"""Codes of rules that have no two cases here, and why."""

MARK = re.compile(r"#(?:<| *(\^)) ([a-z-]+)")


def name_of(path: Path) -> str:
    return path.stem


def marks_in(path: Path) -> list[str]:
    """Return the problems that are marked in a file, as ``line:column rule``; a mark is for the line above it."""
    found, marked = [], 0
    text = path.read_bytes().decode("utf-8-sig", "replace")
    for number, line in enumerate(re.split(r"\r\n?|\n", text), start=1):
        mark = MARK.fullmatch(line)
        if mark:
            found.append(f"{marked}:{mark.start(1) + 1 if mark[1] else 1} {mark[2]}")
        else:
            marked = number
    return found


def expected(path: Path) -> list[str]:
    """Return the problems that are marked in a manifest, and those in the file beside it."""
    beside = path.with_suffix(".expected")
    lines = beside.read_text("utf-8").splitlines() if beside.exists() else []
    return sorted(lines + (marks_in(path) if path.is_file() else []))


def shown(path: Path, problems: Sequence[Problem]) -> list[str]:
    """Return the problems as they are marked: those in other files have the file's path before them."""
    lines = []
    for problem in problems:
        file = "" if problem.file == str(path) else f"{Path(os.path.relpath(problem.file, path.parent)).as_posix()}:"
        lines.append(f"{file}{problem.line}:{problem.column} {problem.rule}")
    return sorted(lines)


def checked(path: Path) -> tuple[Sequence[Problem], list[Spec]]:
    """Return the problems and warnings of a manifest, and its jobs if it has no problems."""
    try:
        loaded = load(path, variables={})
    except ManifestError as error:
        return error.problems, []
    return loaded.warnings, loaded.specs


@pytest.mark.parametrize("path", VALID, ids=name_of)
def test_a_valid_manifest_gives_exactly_the_jobs_beside_it(path: Path) -> None:
    problems, specs = checked(path)
    jobs = [asdict(spec) | {"origin": Path(spec.origin).name, "enabled": spec.enabled} for spec in specs]
    jobs = [{key: value for key, value in job.items() if (key, value) != ("enabled", True)} for job in jobs]
    assert json.loads(json.dumps(jobs)) == json.loads(path.with_suffix(".json").read_text("utf-8"))
    assert shown(path, problems) == expected(path)
    assert bool(problems) == path.name.startswith("warns-")


@pytest.mark.parametrize("path", [path for path in INVALID if path.name not in EXCEPTIONS], ids=name_of)
def test_every_mistake_is_shown_at_its_token(path: Path) -> None:
    problems, _ = checked(path)
    assert shown(path, problems) == expected(path)
    assert problems
    assert all(problem.message and problem.fix for problem in problems)


def test_the_program_agrees_with_at_least_98_of_100_files() -> None:
    assert len(EXCEPTIONS) <= 0.02 * len(INVALID)


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_an_exception_is_still_one(name: str) -> None:
    path = HERE / "invalid" / name
    assert shown(path, checked(path)[0]) != expected(path)


def test_every_rule_has_two_cases() -> None:
    cases = Counter(code for path in INVALID for code in {mark.split()[-1] for mark in expected(path)})
    codes = rules.parse((HERE.parent.parent / "docs" / "rules.md").read_text("utf-8"))
    assert {code for code in codes if cases[code] < 2} <= NOT_IN_A_FILE.keys()
    assert cases.keys() <= codes.keys()

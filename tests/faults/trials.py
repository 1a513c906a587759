"""Copies of the tree in which a mutant is made, and tests that must notice it.

A copy is a folder with the code, its data and its tests; pytest runs in it, on its package and no other. A mutant
counts as caught when a test that passes without it fails with it: by what it asserts, or by an error of the code. A
test that cannot even begin, or does not end in time, has noticed nothing.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from random import Random
from tempfile import TemporaryDirectory

from faults.table import Mutant, Row, flaws, shows

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 120.0
"""Seconds for the tests of a row, with a mutant in the code, on a machine that has other things to do."""

_TAKEN = ("pipeline", "schemas", "manifests", "tests", "pyproject.toml")
_LEFT = shutil.ignore_patterns("__pycache__", ".*_cache")


@dataclass(frozen=True, slots=True)
class Heard:
    """What a run of pytest said: the tests that it collected, with their marks, and what came of those that ran.

    ``outcomes`` are ``passed``, ``failed``, ``skipped`` and ``error``, the last where a test could not begin or end.
    """

    marks: dict[str, list[str]]
    outcomes: dict[str, str]
    output: str
    in_time: bool = True

    def of(self, test: str) -> set[str]:
        """Return what came of a test's cases."""
        return {outcome for nodeid, outcome in self.outcomes.items() if shows(test, nodeid)}


class Copy:
    """A copy of the tree, for one mutant at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def mutated(self, mutant: Mutant) -> Iterator[None]:
        """Have the mutant in the code. Raises Wrong where its place is not there exactly once."""
        path = self.folder / mutant.file
        before = path.read_text("utf-8")
        path.write_text(mutant.applied(before), "utf-8")
        try:
            yield
        finally:
            path.write_text(before, "utf-8")

    def collect(self, tests: Collection[str]) -> Heard:
        """Ask pytest for all tests of the files, without running one."""
        files = sorted({test.partition("::")[0] for test in tests})
        return self._pytest(["--collect-only", *files], seconds=300)

    def run(self, tests: Sequence[str], *, seconds: float, first_failure: bool = False) -> Heard:
        return self._pytest([*(["-x"] if first_failure else []), *tests], seconds=seconds)

    def _pytest(self, arguments: Sequence[str], *, seconds: float) -> Heard:
        words = self.folder / "witness.jsonl"
        words.unlink(missing_ok=True)
        options = ["-q", "--tb=short", "-p", "no:cacheprovider", "-p", "faults.witness"]
        path = os.pathsep.join([str(self.folder), str(self.folder / "tests")])
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", *options, *arguments],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": path, "FAULTS_WITNESS": str(words)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output, in_time = process.communicate(timeout=seconds)[0], True
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # the session is its own: a test may have started others
            output, in_time = process.communicate()[0], False
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
        return self._heard(words, output, in_time=in_time)

    def _heard(self, words: Path, output: str, *, in_time: bool) -> Heard:
        heard = Heard({}, {}, output, in_time)
        for line in words.read_text("utf-8").splitlines() if words.exists() else []:
            said = json.loads(line)
            if "package" in said and Path(said["package"]) != self.folder / "pipeline":
                raise RuntimeError(f"not the copy was tested, but {said['package']}")
            if "marks" in said:
                heard.marks[said["test"]] = said["marks"]
            elif "when" in said:
                outcome = "error" if said["when"] != "call" and said["outcome"] == "failed" else said["outcome"]
                heard.outcomes[said["test"]] = outcome
        return heard


@contextmanager
def copied() -> Iterator[Copy]:
    """Give a copy of the tree, and take it away again."""
    with TemporaryDirectory(prefix="callsheet-faults-") as made:
        folder = Path(made).resolve()
        for name in _TAKEN:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, folder / name, ignore=_LEFT)
            else:
                shutil.copy(ROOT / name, folder / name)
        # By content: with times, a change of the same length within a second would go unseen.
        compiling = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash", "pipeline"]
        subprocess.run(compiling, cwd=folder, check=True)
        yield Copy(folder)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a mutant: ``red`` are the row's tests that failed, ``why`` says why it does not count as caught."""

    row: Row
    mutant: Mutant
    red: frozenset[str]
    why: str | None = None


def sample(rows: Sequence[Row], number: int) -> list[Row]:
    """Return so many rows, the same for the same code: code that has changed is asked for others."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / "pipeline").rglob("*.py")):
        digest.update(path.read_bytes())
    ours = [row for row in rows if row.reason is None]
    return sorted(Random(digest.hexdigest()).sample(ours, min(number, len(ours))), key=ours.index)


def standing(rows: Sequence[Row], copy: Copy) -> Iterator[str]:
    """Yield what is wrong before any test is run: with the table, with its mutants, with the names of its tests."""
    files = {mutant.file for row in rows for mutant in row.mutants}
    missing = sorted(file for file in files if not (copy.folder / file).is_file())
    yield from (f"there is no file {file}" for file in missing)
    if not missing:
        yield from flaws(rows, {file: (copy.folder / file).read_text("utf-8") for file in files})
    tests = {test: None for row in rows for test in row.tests}
    heard = copy.collect(tests)
    for test in tests:
        marks = [mark for nodeid, found in heard.marks.items() if shows(test, nodeid) for mark in found]
        if not any(shows(test, nodeid) for nodeid in heard.marks):
            yield f"there is no test {test}"
        yield from (f"{test} is marked {mark}" for mark in sorted({"skip", "skipif", "xfail"} & {*marks}))


def passing(rows: Sequence[Row], copy: Copy) -> Iterator[str]:
    """Yield what is wrong with the rows' tests where no mutant is in the code: they must run, and pass."""
    tests = list(dict.fromkeys(test for row in rows for test in row.tests))
    heard = copy.run(tests, seconds=15 * LONGEST)
    if not heard.in_time:
        yield f"the tests did not end in time:\n{heard.output[-2000:]}"
    for test in tests:
        outcomes = heard.of(test)
        if outcomes != {"passed"}:
            yield f"{test}: {', '.join(sorted(outcomes)) or 'it did not run'}"


def verdicts(rows: Sequence[Row], copies: Sequence[Copy]) -> Iterator[Verdict]:
    """Yield what comes of each mutant of the rows; as many are made at the same time as there are copies."""
    free: SimpleQueue[Copy] = SimpleQueue()
    for copy in copies:
        free.put(copy)

    def judge(pair: tuple[Row, Mutant]) -> Verdict:
        copy = free.get()
        try:
            return judged(copy, *pair)
        finally:
            free.put(copy)

    with ThreadPoolExecutor(len(copies)) as pool:
        yield from pool.map(judge, [(row, mutant) for row in rows for mutant in row.mutants])


def judged(copy: Copy, row: Row, mutant: Mutant) -> Verdict:
    """Make the mutant, and see whether the row's tests notice."""
    with copy.mutated(mutant):
        heard = copy.run(row.tests, seconds=LONGEST, first_failure=len(row.tests) == 1)
    red = frozenset(test for test in row.tests if "failed" in heard.of(test))
    if red:
        return Verdict(row, mutant, red)
    if not heard.in_time:
        return Verdict(row, mutant, red, f"no test failed within {LONGEST:.0f} s")
    survived = heard.outcomes and set(heard.outcomes.values()) == {"passed"}
    return Verdict(row, mutant, red, "it survived" if survived else f"the tests could not run:\n{heard.output[-2000:]}")


def blind(rows: Sequence[Row], found: Sequence[Verdict]) -> Iterator[str]:
    """Yield the tests that no mutant of their row turns red: they do not show what the row says."""
    for row in rows:
        red = {test for verdict in found if verdict.row == row for test in verdict.red}
        yield from (f"row {row.number}: no mutant of the row turns {test} red" for test in row.tests if test not in red)

"""The fault table is whole and fits today's code, a few of its mutants are noticed, and what checks it can say no.

This is the short form. The long one, of every row, is ``python tests/faults/check.py``.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from faults.table import HEADING, Mutant, Row, Wrong, flaws, rows
from faults.trials import ROOT, Copy, blind, copied, judged, passing, sample, standing, verdicts

SAMPLE = 4
"""Rows that are tried, of all: other ones for other code."""

TEST = "tests/pure/test_faults_of_the_table.py"


@pytest.fixture(scope="module")
def table() -> list[Row]:
    return rows((ROOT / "docs" / "reliability.md").read_text("utf-8"))


@pytest.fixture(scope="module")
def copies() -> Iterator[list[Copy]]:
    with copied() as one, copied() as other:
        yield [one, other]


def test_every_fault_has_a_row_whose_tests_are_there_and_whose_mutants_fit_the_code(
    table: list[Row], copies: list[Copy]
) -> None:
    assert "\n".join(standing(table, copies[0])) == ""


def test_some_rows_tests_pass_and_notice_their_mutants(table: list[Row], copies: list[Copy]) -> None:
    chosen = sample(table, SAMPLE)
    assert list(passing(chosen, copies[0])) == []
    found = list(verdicts(chosen, copies))
    assert [(verdict.row.number, str(verdict.mutant), verdict.why) for verdict in found if verdict.why] == []
    assert list(blind(chosen, found)) == []


def test_other_code_is_asked_for_other_rows(table: list[Row]) -> None:
    assert sample(table, SAMPLE) == sample(list(table), SAMPLE)
    assert len(sample(table, SAMPLE)) == SAMPLE
    assert sample(table, 1000) == [row for row in table if row.reason is None]


ROW = (
    "| 12 | A fault. | What happens. | `tests/a.py::test_a` <br> `tests/b.py::test_b[x]` | `a.py`, in `f`: `1` → `2` |"
)


def test_a_row_is_read() -> None:
    [row] = rows(f"\n{HEADING}\n\n| # | ... |\n|---|---|\n{ROW}\n\n## More\n\n{ROW}\n")
    assert row == Row(
        12,
        "A fault.",
        "What happens.",
        ("tests/a.py::test_a", "tests/b.py::test_b[x]"),
        (Mutant("a.py", "f", "1", "2"),),
        None,
    )
    [other] = rows(f"\n{HEADING}\n| 3 | A fault. | What happens. | Not ours: it is theirs. | |\n")
    assert (other.reason, other.tests, other.mutants) == ("Not ours: it is theirs.", (), ())


@pytest.mark.parametrize(
    "line",
    [
        "| 12 | A fault. | What happens. |",
        "| 12 | | What happens. | `tests/a.py::test_a` | `a.py`: `1` → `2` |",
        "| 12 | A fault. | What happens. | test_a | `a.py`: `1` → `2` |",
        "| 12 | A fault. | What happens. | `tests/a.py::test_a` | `a.py`: 1 → 2 |",
        "| 12 | A fault. | What happens. | | |",
        "| 12 | A fault. | What happens. | Not ours: it is theirs. | `a.py`: `1` → `2` |",
    ],
)
def test_a_row_that_cannot_be_read_is_said(line: str) -> None:
    with pytest.raises(Wrong):
        rows(f"\n{HEADING}\n{line}\n")


def test_a_page_without_its_table_is_said() -> None:
    with pytest.raises(Wrong, match="no heading"):
        rows("# Reliability\n")
    assert "row 57 is missing" in list(flaws([], {}))


SOURCE = "def f():\n    return 1\n\ndef g():\n    return 1 + 10\n"


@pytest.mark.parametrize(
    ("mutant", "made"),
    [
        (Mutant("a.py", None, "1 + 10", "2"), SOURCE.replace("1 + 10", "2")),
        (Mutant("a.py", "f", "1", "2"), SOURCE.replace("1", "2", 1)),
        (Mutant("a.py", None, "return 1", "return 2"), "is there 2 times"),
        (Mutant("a.py", "g", "1", "2"), "is there 2 times"),
        (Mutant("a.py", None, "3", "2"), "is there 0 times"),
        (Mutant("a.py", "h", "1", "2"), "0 functions h"),
        (Mutant("a.py", "f", "return 1", "return ("), "no Python"),
    ],
)
def test_a_mutant_is_made_in_one_place_or_not_at_all(mutant: Mutant, made: str) -> None:
    if made.startswith("def"):
        assert mutant.applied(SOURCE) == made
        return
    with pytest.raises(Wrong, match=made):
        mutant.applied(SOURCE)


@pytest.fixture
def written(copies: list[Copy]) -> Iterator[Path]:
    """A file of tests in a copy, and nowhere else."""
    path = copies[0].folder / TEST
    path.write_text(
        "import pytest\n"
        "from pipeline.jobs import OVER, State\n"
        "def test_sees(): assert State.FAILED in OVER\n"
        "def test_sees_nothing(): pass\n"
        "def test_leaves(): pytest.skip('not today')\n"
        "@pytest.mark.xfail\n"
        "def test_may_fail(): pass\n"
    )
    yield path
    path.unlink()


OVER = Mutant("pipeline/jobs.py", None, "OVER = frozenset({State.FAILED, State.EXPIRED})", "OVER = frozenset()")
SEEING = Row(12, "A fault.", "What happens.", (f"{TEST}::test_sees",), (OVER,), None)


@pytest.mark.usefixtures("written")
def test_a_mutant_is_noticed_or_not(copies: list[Copy]) -> None:
    verdict = judged(copies[0], SEEING, OVER)
    assert (verdict.why, verdict.red) == (None, {f"{TEST}::test_sees"})
    other = replace(SEEING, tests=(f"{TEST}::test_sees_nothing",))
    assert judged(copies[0], other, OVER).why == "it survived"
    both = replace(SEEING, tests=(*SEEING.tests, *other.tests))
    assert list(blind([both], [judged(copies[0], both, OVER)])) == [
        f"row 12: no mutant of the row turns {TEST}::test_sees_nothing red"
    ]


@pytest.mark.usefixtures("written")
def test_code_that_cannot_be_imported_proves_nothing(copies: list[Copy]) -> None:
    broken = replace(OVER, that="OVER = nonsense")
    assert "could not run" in str(judged(copies[0], SEEING, broken).why)


@pytest.mark.usefixtures("written")
def test_a_test_that_is_missing_or_skipped_shows_nothing(copies: list[Copy]) -> None:
    named = [f"{TEST}::{name}" for name in ("test_leaves", "test_may_fail", "test_nobody_wrote")]
    row = replace(SEEING, tests=tuple(named))
    said = list(standing([row], copies[0]))
    assert f"there is no test {named[2]}" in said
    assert f"{named[1]} is marked xfail" in said
    assert list(passing([replace(row, tests=(named[0],))], copies[0])) == [f"{named[0]}: skipped"]

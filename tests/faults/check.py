"""Hold the fault table of ``docs/reliability.md`` to the code: its tests pass, and notice its mutants.

    python tests/faults/check.py               # the long form: every row, every mutant; some minutes
    python tests/faults/check.py --row 12      # this row alone; may be repeated
    python tests/faults/check.py --sample 5    # the short form, which the tests run: other rows for other code

Ends with 0 where every test that is named passes without being skipped, every mutant turns a test of its row red, and
every test is turned red by a mutant of its row; with 1 where not.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from faults.table import Row, Wrong, rows  # noqa: E402  # the path comes first
from faults.trials import ROOT, Copy, blind, copied, passing, sample, standing, verdicts  # noqa: E402

LANES = 2
"""Mutants at the same time."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Hold the fault table of docs/reliability.md to the code.")
    parser.add_argument("--row", type=int, action="append", default=[], metavar="N", help="only this row; repeatable")
    parser.add_argument("--sample", type=int, metavar="N", help="only so many rows; other ones for other code")
    asked = parser.parse_args(arguments)
    began = time.monotonic()
    try:
        whole = rows((ROOT / "docs" / "reliability.md").read_text("utf-8"))
    except Wrong as error:
        parser.exit(1, f"WRONG  {error}\n")
    chosen = [row for row in whole if row.number in asked.row] if asked.row else whole
    if not {*asked.row} <= {row.number for row in whole}:
        parser.error("there is no such row")
    chosen = chosen if asked.sample is None else sample(chosen, asked.sample)
    with ExitStack() as stack:
        copies = [stack.enter_context(copied()) for _ in range(LANES)]
        wrong = list(standing(whole, copies[0])) or list(_tried(chosen, copies))
    ours = [row for row in chosen if row.reason is None]
    _say(
        f"{len(chosen)} rows, of which {len(chosen) - len(ours)} are not ours or not yet: "
        f"{len({test for row in ours for test in row.tests})} tests, {sum(len(row.mutants) for row in ours)} mutants, "
        f"{time.monotonic() - began:.0f} s"
    )
    for words in wrong:
        _say(f"WRONG  {words}")
    return int(bool(wrong))


def _tried(chosen: Sequence[Row], copies: Sequence[Copy]) -> Iterator[str]:
    yield from passing(chosen, copies[0])
    found = []
    for verdict in verdicts(chosen, copies):
        found.append(verdict)
        _say(f"{verdict.row.number:4}  {'survived' if verdict.why else 'caught':8}  {verdict.mutant}")
        if verdict.why is not None:
            yield f"row {verdict.row.number}: {verdict.mutant}: {verdict.why}"
    yield from blind(chosen, found)


def _say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

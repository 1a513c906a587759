"""Many jobs keep their promises, in the model and in the ledger's file.

The long form, of thousands of campaigns: ``python tests/model/explore.py --long``.
"""

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from model.book import Book
from model.machine import ManyJobs, careful
from model.mutants import MUTANTS, Mutant
from model.rules import BrokenPromise, Variant, specs
from model.worlds import Written

from pipeline.events import Accepted, Intended
from pipeline.ledger.rows import COLUMNS

TestManyJobs = ManyJobs.TestCase
TestManyJobs.settings = careful(60, 50, by_chance=False)

_SEEN = [mutant for mutant in MUTANTS if mutant.name in {"a timeout is retried", "the id of another job is believed"}]


@pytest.mark.parametrize("mutant", _SEEN, ids=lambda mutant: mutant.name)
def test_the_machine_sees_mutants_too(mutant: Mutant) -> None:
    class Mutated(ManyJobs):
        core = mutant.core

    quick = settings(careful(200, 50, by_chance=False), phases=[Phase.generate], report_multiple_bugs=False)
    with pytest.raises((BrokenPromise, AssertionError)):
        run_state_machine_as_test(Mutated, settings=quick)


_LIKE_IT = ", ".join(f"'planned' AS {name}" if name == "state" else name for name in ("id", *COLUMNS))


@pytest.mark.parametrize(
    "sql",
    [
        f"REPLACE INTO jobs (id, {', '.join(COLUMNS)}) SELECT {_LIKE_IT} FROM jobs WHERE id = 1",
        "REPLACE INTO claims VALUES ('another', 1, 0)",
        "REPLACE INTO claims VALUES ('v', 2, 0)",
        "REPLACE INTO events (id, job, at, kind, state, data, raw) VALUES (1, 1, 0, 'returned', 'planned', '{}', x'')",
        "UPDATE jobs SET idempotency_key = 'fresh' WHERE id = 2",
    ],
)
def test_the_file_refuses_this_too(sql: str) -> None:
    """On a connection like the ledger's own: a job that is paid, and one whose POST is under way."""
    with Book(specs(Variant("", jobs=2)), 9.0) as book:
        paid, sent = book.rows()
        for job, key in ((paid, "k1"), (sent, "k2")):
            intent = Intended(
                attempt=1, idempotency_key=key, base_url="u", key_fingerprint=None, price=1.0, intended_at=1.0
            )
            book.write(Written(job, intent))
        book.write(Written(book.rows()[0], Accepted(video_id="v", submitted_at=1.0, status="queued")))
        assert book.refuses(sql)

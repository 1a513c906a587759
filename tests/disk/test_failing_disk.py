"""A disk that is full, broken or read-only ends a run with exit code 5, and what is paid is known all the same.

This is the short form. The long ones are ``python tests/disk failing-calls``, ``failing-syscalls`` and ``full-disk``.
"""

import errno
from itertools import count
from math import inf
from pathlib import Path

import pytest
from disk import full_disk
from disk.failing import ERRORS, Fault
from disk.failing_command import Tried, Trouble, tried
from disk.failing_world import complaints_after
from disk.server import serving

# Where a write fails in the middle of a download, httpx leaves two generators to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")

NEVER = 1_000_000


@pytest.mark.parametrize(
    ("error", "lasts", "every"),
    [(errno.EIO, 1, 3), (errno.ENOSPC, inf, 4), (errno.EDQUOT, 3, 5), (errno.EROFS, inf, 5)],
    ids=["EIO once", "ENOSPC from then on", "EDQUOT three times", "EROFS from then on"],
)
def test_whatever_write_fails_the_run_ends_in_order_and_the_next_one_knows_what_was_paid(
    scratch: Path, error: int, lasts: float, every: int
) -> None:
    for number in count(1, every):
        fault = Fault(number, error, lasts)
        folder = scratch / f"{error}-{number}"
        assert list(complaints_after(folder, fault, keys=False)) == [], f"{number}: {fault.struck}"
        if fault.struck is None:
            break
    assert number > 50, "or nothing was written"


def test_a_small_disk_that_fills_ends_a_run_in_order() -> None:
    if full_disk.namespaces() is None:
        pytest.skip("this machine lets nobody mount a tmpfs in a namespace")
    said: list[str] = []
    assert full_disk.prove(said.append, every=20), "\n".join(said)


def test_a_rescued_line_that_was_cut_spoils_no_other(scratch: Path) -> None:
    healthy = Fault(NEVER, errno.ENOSPC)
    assert list(complaints_after(scratch / "healthy", healthy, keys=False)) == []
    commits = [number for number, call in enumerate(healthy.calls, 1) if call == "BEGIN"]
    for number in commits:
        wrong = complaints_after(scratch / f"cut-{number}", Fault(number, errno.ENOSPC, lasts=5), keys=False)
        assert list(wrong) == [], number


@pytest.fixture(scope="module")
def found(scratch: Path) -> list[Tried]:
    """The command in all kinds of trouble."""
    troubles = [
        *(
            Trouble(fault=(number, ERRORS[number % len(ERRORS)], (1, inf)[number % 2]), keys=number % 3 == 0)
            for number in range(1, 120, 10)
        ),
        *(Trouble(pages=pages) for pages in (10, 13)),
        *(Trouble(longest=kib << 10, begun=True) for kib in (20, 80, 140)),
    ]
    with serving(scratch) as server:
        return tried(scratch / "commands", server, troubles)


def test_the_command_says_so_with_its_exit_code_and_is_finished_by_the_next(found: list[Tried]) -> None:
    assert {trial.trouble: trial.wrong for trial in found if trial.wrong} == {}


def test_these_troubles_were_troubles(found: list[Tried]) -> None:
    assert sum(trial.first.code == 5 for trial in found) > len(found) / 2


def test_paid_ids_that_no_place_takes_are_on_the_screen_each_of_them(scratch: Path) -> None:
    with serving(scratch) as server:
        (healthy,) = tried(scratch / "sound", server, [Trouble(fault=(NEVER, errno.EIO, 1), home=True)])
        calls = healthy.first.calls
        first_download = next(number for number, call in enumerate(calls) if ".mp4." in call)
        commits = [number for number, call in enumerate(calls[:first_download], 1) if call == "BEGIN"]
        troubles = [Trouble(fault=(number, errno.EIO, inf), home=True) for number in commits[-6:]]
        found = tried(scratch / "unsound", server, troubles)
    assert any("PAID-NOT-RECORDED" in trial.first.words for trial in found), "or nothing was paid"
    assert {trial.trouble: trial.wrong for trial in found if trial.wrong} == {}

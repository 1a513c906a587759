"""The model of a disk without power, upon which the proofs rest: what it may lose, and what it may not."""

from collections.abc import Sequence

import pytest
from disk.operations import Created, FolderMade, Linked, Operation, Renamed, Synced, Unlinked, Written
from disk.platter import ROOT, Content, Disk, State

BYTES = bytes(range(256)) * 8
FILE = [Created(1, "a", 0o600), Written(1, 0, BYTES)]


def states(log: Sequence[Operation], *, journal: bool = False, before: State | None = None) -> list[State]:
    disk = Disk(before, journal=journal)
    for operation in log:
        disk.apply(operation)
    return list(disk.states())


def contents(found: Sequence[State], path: str) -> set[bytes | None]:
    return {content.data if (content := state.get(path)) else None for state in found}


def test_nothing_is_promised_of_what_was_not_synced() -> None:
    found = contents(states(FILE), "a")
    assert {None, b"", BYTES, BYTES[:512], bytes(len(BYTES)), bytes(512) + BYTES[512:]} <= found


def test_a_synced_file_may_still_lack_its_name_and_a_synced_folder_its_files_bytes() -> None:
    assert contents(states([*FILE, Synced(1)]), "a") == {None, BYTES}
    assert {b"", BYTES} <= contents(states([*FILE, Synced(ROOT)]), "a")
    assert None not in contents(states([*FILE, Synced(ROOT)]), "a")
    assert contents(states([*FILE, Synced(1), Synced(ROOT)]), "a") == {BYTES}


def test_most_file_systems_save_the_names_of_a_synced_file_too() -> None:
    deep = [FolderMade(2, "f"), Created(1, "f/a", 0o600), Written(1, 0, BYTES), Synced(1)]
    assert contents(states(deep, journal=True), "f/a") == {BYTES}
    assert contents(states(deep), "f/a") == {None, BYTES}


def test_what_is_overwritten_in_place_may_be_anything_in_between() -> None:
    found = contents(states([Written(1, 0, b"new")], before={"a": Content(b"old, and long")}), "a")
    assert found == {b"old, and long", b"new, and long"}


@pytest.mark.parametrize("journal", [True, False])
def test_a_rename_happens_whole_or_not_at_all(journal: bool) -> None:
    before = {"a": Content(b"new"), "b": Content(b"old")}
    found = states([Renamed("a", "b")], journal=journal, before=before)
    assert sorted(sorted(state) for state in found) == [["a", "b"], ["b"]]
    assert contents(found, "b") == {b"old", b"new"}


def test_by_the_letter_a_name_may_be_gone_before_the_new_one_is_there() -> None:
    log = [Linked(1, "b"), Unlinked("a")]
    names = {tuple(sorted(state)) for state in states(log, before={"a": Content(BYTES)})}
    assert names == {("a",), ("a", "b"), ("b",), ()}
    names = {tuple(sorted(state)) for state in states(log, journal=True, before={"a": Content(BYTES)})}
    assert names == {("a",), ("a", "b"), ("b",)}

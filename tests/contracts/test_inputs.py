"""An image is staged whole and under its own hash, once, and read only as what it was: nothing else is ever sent."""

import errno
import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from disk.seam import watched

from pipeline.errors import StorageError
from pipeline.images import Image
from pipeline.inputs import Inputs

DATA = bytes(range(256)) * 40
IMAGE = Image(DATA, len(DATA), "image/jpeg", 31, 17, hashlib.sha256(DATA).hexdigest())
NAME = f"{IMAGE.sha256}.jpg"


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    return Inputs(tmp_path)


@pytest.fixture
def staged(tmp_path: Path) -> Path:
    return tmp_path / "inputs" / NAME


def test_an_image_lies_under_its_hash_for_its_owners_eyes(inputs: Inputs, tmp_path: Path, staged: Path) -> None:
    assert not (tmp_path / "inputs").exists(), "nothing is made for nothing"
    inputs.stage(IMAGE)
    assert inputs.read(IMAGE.reference) == staged.read_bytes() == DATA
    assert stat.S_IMODE(staged.stat().st_mode) == 0o600
    assert stat.S_IMODE(staged.parent.stat().st_mode) == 0o700
    assert [path.name for path in staged.parent.iterdir()] == [NAME]


def test_done_again_it_leaves_the_file_as_it_is(inputs: Inputs, staged: Path) -> None:
    inputs.stage(IMAGE)
    before = staged.stat()
    inputs.stage(IMAGE)
    assert (staged.stat().st_ino, staged.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def _flipped(path: Path) -> None:
    path.write_bytes(DATA[:-1] + b"\0")


def _shorter(path: Path) -> None:
    path.write_bytes(DATA[:-1])


def _longer(path: Path) -> None:
    path.write_bytes(DATA + b"\0")


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _link_to_the_same(path: Path) -> None:
    path.rename(path.parent.parent / "precious")
    path.symlink_to(path.parent.parent / "precious")


@pytest.mark.parametrize("harm", [_flipped, _shorter, _longer, _fifo, _link_to_the_same, Path.unlink])
def test_a_copy_that_is_not_what_it_was_is_not_read_and_is_made_anew(
    inputs: Inputs, staged: Path, harm: Callable[[Path], None]
) -> None:
    inputs.stage(IMAGE)
    harm(staged)
    with pytest.raises(StorageError, match=rf"{NAME}: .*run again with the image where the manifest says"):
        inputs.read(IMAGE.reference)
    inputs.stage(IMAGE)
    assert inputs.read(IMAGE.reference) == DATA
    assert not staged.is_symlink()
    assert [path.name for path in staged.parent.iterdir()] == [NAME]


def test_nothing_is_written_through_a_planted_link(inputs: Inputs, tmp_path: Path, staged: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    staged.parent.mkdir()
    staged.symlink_to(victim)
    part = staged.with_name(f".{NAME}.part")
    part.symlink_to(victim)
    inputs.stage(IMAGE)
    assert victim.read_bytes() == b"precious"
    assert inputs.read(IMAGE.reference) == DATA

    def plants(name: str, path: Path, arguments: tuple[Any, ...], proceed: Callable[[], Any]) -> Any:
        try:
            return proceed()
        finally:
            if name == "unlink" and path == part and not path.is_symlink():
                path.symlink_to(victim)

    staged.unlink()
    with watched(tmp_path, plants), pytest.raises(StorageError):
        inputs.stage(IMAGE)
    assert victim.read_bytes() == b"precious"


@pytest.mark.parametrize("planted", ["link", "file"])
def test_a_folder_that_is_none_is_not_written_to(inputs: Inputs, tmp_path: Path, planted: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    if planted == "link":
        (tmp_path / "inputs").symlink_to(elsewhere)
    else:
        (tmp_path / "inputs").write_text("a file")
    with pytest.raises(StorageError, match="inputs: it is no folder"):
        inputs.stage(IMAGE)
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize("call", ["mkdir", "open", "write", "fsync", "replace"])
def test_a_disk_that_refuses_is_told_and_leaves_nothing_half(
    inputs: Inputs, tmp_path: Path, staged: Path, call: str
) -> None:
    def refuses(name: str, path: Path, arguments: tuple[Any, ...], proceed: Callable[[], Any]) -> Any:
        if name == call:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return proceed()

    with watched(tmp_path, refuses), pytest.raises(StorageError, match="No space left on device"):
        inputs.stage(IMAGE)
    assert not staged.parent.exists() or not list(staged.parent.iterdir())
    inputs.stage(IMAGE)
    assert inputs.read(IMAGE.reference) == DATA


def test_an_image_has_its_name_when_it_is_on_disk_and_the_folder_is_synced_after_it(
    inputs: Inputs, tmp_path: Path, staged: Path
) -> None:
    calls: list[tuple[str, str]] = []

    def notes(name: str, path: Path, arguments: tuple[Any, ...], proceed: Callable[[], Any]) -> Any:
        calls.append((name, path.name))
        return proceed()

    with watched(tmp_path, notes):
        inputs.stage(IMAGE)
    part = f".{NAME}.part"
    wanted = [("mkdir", "inputs"), ("fsync", tmp_path.name), ("write", part), ("fsync", part), ("replace", NAME)]
    assert [call for call in calls if call in wanted] == wanted
    assert calls.index(("fsync", "inputs")) > calls.index(("replace", NAME))

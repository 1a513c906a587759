"""A video gets its name when it is whole, and keeps it: nothing is overwritten, nothing half is ever seen."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from disk.seam import watched

from pipeline.errors import StorageError
from pipeline.events import Published, Verified, apply
from pipeline.evidence import BadFile, Fetched, NoFile, Placed
from pipeline.jobs import Job, State
from pipeline.outputs import Outputs

JOB = Job(
    "city#1",
    "a" * 64,
    {"model": "sora-2", "prompt": "A city", "size": "64x48", "seconds": "4"},
    "sub/city-t1.mp4",
    state=State.COMPLETED,
    video_id="video_1",
    attempt=1,
)


@pytest.fixture
def outputs(tmp_path: Path) -> Outputs:
    return Outputs(tmp_path)


def fetch(outputs: Outputs, job: Job, content: bytes) -> Fetched | BadFile:
    with outputs.part(job) as part:
        for start in range(0, len(content), 100):
            part.write(content[start : start + 100])
        return part.seal(job)


def verified(outputs: Outputs, job: Job, content: bytes) -> Job:
    fetched = fetch(outputs, job, content)
    assert isinstance(fetched, Fetched)
    return apply(job, Verified(sha256=fetched.sha256, bytes=fetched.bytes, warnings=fetched.warnings))


def test_a_whole_video_is_hashed_and_gets_its_name_and_a_sidecar(outputs: Outputs, tmp_path: Path, clip: bytes) -> None:
    job = verified(outputs, JOB, clip)
    assert not (tmp_path / "videos/sub/city-t1.mp4").exists(), "not before the ledger has its hash"
    assert outputs.place(job) == Placed("videos/sub/city-t1.mp4")
    assert (tmp_path / "videos/sub/city-t1.mp4").read_bytes() == clip
    sidecar = json.loads((tmp_path / "videos/sub/city-t1.json").read_text())
    assert (sidecar["video_id"], sidecar["sha256"], sidecar["job"]) == ("video_1", job.sha256, "city#1")
    assert sorted(path.name for path in (tmp_path / "videos/sub").iterdir()) == ["city-t1.json", "city-t1.mp4"]


def test_the_file_has_the_modes_that_the_umask_gives(tmp_path: Path, clip: bytes) -> None:
    before = os.umask(0o027)
    try:
        outputs = Outputs(tmp_path)
        outputs.place(verified(outputs, JOB, clip))
    finally:
        os.umask(before)
    assert (tmp_path / "videos/sub/city-t1.mp4").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("cut", [0, 1, 40, 1000, -1])
def test_what_is_no_whole_video_is_refused_and_leaves_nothing(
    outputs: Outputs, tmp_path: Path, clip: bytes, cut: int
) -> None:
    assert isinstance(fetch(outputs, JOB, clip[:cut]), BadFile)
    assert isinstance(fetch(outputs, JOB, b'{"error": {"message": "expired"}}'), BadFile)
    assert not list((tmp_path / "videos/sub").iterdir())


def test_a_video_that_is_not_quite_what_was_asked_for_is_kept_with_a_warning(outputs: Outputs, clip: bytes) -> None:
    fetched = fetch(outputs, replace(JOB, request={**JOB.request, "size": "1280x720", "seconds": "12"}), clip)
    assert isinstance(fetched, Fetched)
    assert len(fetched.warnings) == 2


def test_a_name_that_is_taken_by_another_video_is_never_overwritten(
    outputs: Outputs, tmp_path: Path, clip: bytes
) -> None:
    taken = tmp_path / "videos/sub/city-t1.mp4"
    taken.parent.mkdir(parents=True)
    taken.write_bytes(b"somebody's")
    assert outputs.place(verified(outputs, JOB, clip)) == Placed("videos/sub/city-t1~2.mp4")
    assert taken.read_bytes() == b"somebody's"
    assert (tmp_path / "videos/sub/city-t1~2.json").exists()


def test_a_crash_after_the_name_was_given_is_noticed_and_the_file_adopted(
    outputs: Outputs, tmp_path: Path, clip: bytes
) -> None:
    job = verified(outputs, JOB, clip)
    outputs.place(job)
    assert outputs.place(job) == Placed("videos/sub/city-t1.mp4")
    os.link(tmp_path / "videos/sub/city-t1.mp4", next_part := _part(tmp_path))
    assert outputs.place(job) == Placed("videos/sub/city-t1.mp4"), "linked, and not yet unlinked"
    assert not next_part.exists()


def _part(tmp_path: Path) -> Path:
    return tmp_path / "videos/sub" / f".city-t1.mp4.{'a' * 12}.part"


def test_a_part_that_was_changed_or_is_gone_is_not_published(outputs: Outputs, tmp_path: Path, clip: bytes) -> None:
    job = verified(outputs, JOB, clip)
    _part(tmp_path).write_bytes(clip + b"x")
    assert isinstance(outputs.place(job), NoFile)
    _part(tmp_path).unlink()
    assert isinstance(outputs.place(job), NoFile)


def _overwritten(part: Path, clip: bytes) -> None:
    before = part.stat()
    with part.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(bytes([clip[-1] ^ 1]))
    # By a second, as the kernel's clock for files may be slow to go on.
    os.utime(part, ns=(before.st_atime_ns, before.st_mtime_ns + 10**9))


def _replaced(part: Path, clip: bytes) -> None:
    other = part.with_name("other")
    other.write_bytes(clip[:-1] + bytes([clip[-1] ^ 1]))
    os.utime(other, ns=(part.stat().st_atime_ns, part.stat().st_mtime_ns))
    other.replace(part)


def _copied(part: Path, clip: bytes) -> None:
    part.unlink()
    part.write_bytes(clip)


def _left(part: Path, clip: bytes) -> None: ...


@pytest.mark.parametrize("again", [False, True], ids=["by the process that sealed it", "by another"])
@pytest.mark.parametrize(
    ("change", "whole"), [(_left, True), (_copied, True), (_overwritten, False), (_replaced, False)]
)
def test_a_part_is_placed_where_its_bytes_are_those_that_were_sealed(
    tmp_path: Path, clip: bytes, change: Callable[[Path, bytes], None], *, whole: bool, again: bool
) -> None:
    outputs = Outputs(tmp_path)
    job = verified(outputs, JOB, clip)
    change(_part(tmp_path), clip)
    placed = (Outputs(tmp_path) if again else outputs).place(job)
    assert isinstance(placed, Placed if whole else NoFile)
    assert (tmp_path / "videos/sub/city-t1.mp4").exists() == whole


def test_a_planted_link_is_neither_written_through_nor_published_over(
    outputs: Outputs, tmp_path: Path, clip: bytes
) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "videos/sub").mkdir(parents=True)
    _part(tmp_path).symlink_to(victim)
    (tmp_path / "videos/sub/city-t1.mp4").symlink_to(victim)
    assert outputs.place(verified(outputs, JOB, clip)) == Placed("videos/sub/city-t1~2.mp4")
    assert victim.read_bytes() == b"precious"


def test_a_file_counts_as_there_with_its_recorded_length_only(outputs: Outputs, tmp_path: Path, clip: bytes) -> None:
    job = apply(verified(outputs, JOB, clip), Published(path="videos/sub/city-t1.mp4"))
    assert not outputs.intact(job)
    outputs.place(job)
    assert outputs.intact(job)
    (tmp_path / "videos/sub/city-t1.mp4").write_bytes(clip[:-1])
    assert not outputs.intact(job)


def test_a_renamed_job_has_its_file_under_both_names(outputs: Outputs, tmp_path: Path, clip: bytes) -> None:
    job = verified(outputs, JOB, clip)
    outputs.place(job)
    job = apply(job, Published(path="videos/sub/city-t1.mp4"))
    assert outputs.rename(job, "town#1", "town-t1.mp4") == "videos/town-t1.mp4"
    assert outputs.rename(job, "town#1", "town-t1.mp4") == "videos/town-t1.mp4", "done again after a crash"
    assert json.loads((tmp_path / "videos/town-t1.json").read_text())["job"] == "town#1"
    assert (tmp_path / "videos/town-t1.mp4").read_bytes() == (tmp_path / "videos/sub/city-t1.mp4").read_bytes() == clip


def test_a_folder_that_cannot_hold_videos_is_noticed_before_anything_is_spent(tmp_path: Path) -> None:
    outputs = Outputs(tmp_path)
    outputs.probe()
    outputs.probe()
    assert list((tmp_path / "videos").iterdir()) == []
    (tmp_path / "videos").rmdir()
    (tmp_path / "videos").symlink_to("/nonexistent/folder")
    with pytest.raises(StorageError, match="videos"):
        outputs.probe()
    (tmp_path / "videos").unlink()
    (tmp_path / "videos").write_text("a file")
    with pytest.raises(StorageError, match="videos"):
        outputs.probe()


def test_a_part_file_is_never_written_through_a_link(outputs: Outputs, tmp_path: Path, clip: bytes) -> None:
    """Though somebody puts one there in the last instant, after what lay there was removed."""
    victim = tmp_path / "precious"
    victim.write_bytes(b"precious")

    def plants(name: str, path: Path, arguments: tuple[Any, ...], proceed: Callable[[], Any]) -> Any:
        try:
            return proceed()
        finally:
            if name == "unlink" and path.suffix == ".part":
                path.symlink_to(victim)

    fetch(outputs, JOB, clip)  # left by a run that died
    with watched(tmp_path, plants), pytest.raises(StorageError):
        fetch(outputs, JOB, clip)
    assert victim.read_bytes() == b"precious"

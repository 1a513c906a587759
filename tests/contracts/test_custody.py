"""Looking at files that somebody may have touched: only what lies in the folder is opened, and through no link."""

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.custody import Custody, Wrong
from pipeline.errors import StorageError
from pipeline.events import Published, Verified, apply
from pipeline.evidence import Fetched
from pipeline.jobs import Job, State
from pipeline.outputs import Outputs

REQUEST = {"model": "sora-2", "prompt": "A city", "size": "64x48", "seconds": "4"}
JOB = Job("city#1", "a" * 64, REQUEST, "sub/city-t1.mp4", state=State.COMPLETED, video_id="video_1", attempt=1)


@pytest.fixture
def job(tmp_path: Path, clip: bytes) -> Job:
    """A job that is done, with its file."""
    outputs = Outputs(tmp_path)
    with outputs.part(JOB) as part:
        part.write(clip)
        sealed = part.seal(JOB)
    assert isinstance(sealed, Fetched)
    verified = apply(JOB, Verified(sha256=sealed.sha256, bytes=sealed.bytes))
    placed = outputs.place(verified)
    return apply(verified, Published(path=placed.path))


def wrongs(campaign: Path, job: Job) -> list[Wrong]:
    with Custody(campaign) as custody:
        return [fault.wrong for fault in custody.faults(job)]


def test_what_was_written_is_as_it_was_written(tmp_path: Path, job: Job) -> None:
    assert wrongs(tmp_path, job) == []
    with Custody(tmp_path) as custody:
        assert sorted(custody.files()) == ["videos/sub/city-t1.json", "videos/sub/city-t1.mp4"]


def test_every_cut_and_every_flipped_bit_of_a_video_is_seen(tmp_path: Path, job: Job, clip: bytes) -> None:
    file = tmp_path / (job.path or "")
    for place in range(0, len(clip), 97):
        file.write_bytes(clip[:place])
        assert wrongs(tmp_path, job) == [Wrong.CHANGED]
        file.write_bytes(clip[:place] + bytes([clip[place] ^ 1]) + clip[place + 1 :])
        assert wrongs(tmp_path, job) == [Wrong.CHANGED]
    file.write_bytes(clip + b"x")
    assert wrongs(tmp_path, job) == [Wrong.CHANGED]


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "videos",
        "videos/",
        "videos//sub/city-t1.mp4",
        "videos/./sub/city-t1.mp4",
        "videos/sub/../sub/city-t1.mp4",
        "videos/../videos/sub/city-t1.mp4",
        "../{campaign}/videos/sub/city-t1.mp4",
        "{root}/videos/sub/city-t1.mp4",
        "outside/city-t1.mp4",
        "other/sub/city-t1.mp4",
        "videos/link/city-t1.mp4",
        "videos/sub/link.mp4",
        "videos/sub/city-t1.mp4/",
        "videos/sub/city-t1.mp4/x.mp4",
        "videos/sub/\0.mp4",
        "videos/sub",
    ],
)
def test_other_ways_to_the_same_bytes_are_none(tmp_path: Path, job: Job, clip: bytes, path: str) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/city-t1.mp4").write_bytes(clip)
    (tmp_path / "videos/link").symlink_to("sub")
    (tmp_path / "videos/sub/link.mp4").symlink_to("city-t1.mp4")
    path = path.format(campaign=tmp_path.name, root=tmp_path)
    before = len([*Path("/proc/self/fd").iterdir()])
    for _ in range(3):
        assert wrongs(tmp_path, replace(job, path=path))[0] is Wrong.MISSING
    assert len([*Path("/proc/self/fd").iterdir()]) == before, "a file that is refused is closed"


def test_links_are_neither_followed_nor_hidden(tmp_path: Path, job: Job) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/secret").write_text("x")
    (tmp_path / "videos/folder").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "videos/file").symlink_to(tmp_path / "elsewhere/secret")
    with Custody(tmp_path) as custody:
        assert min(custody.files()) == "videos/file"
        assert "videos/folder/secret" not in custody.files()
        with pytest.raises(OSError, match=r"no regular file|Too many levels"):
            custody.content("videos/file")


def test_a_folder_that_is_not_there_is_empty_and_one_that_is_no_folder_is_said(tmp_path: Path) -> None:
    with Custody(tmp_path) as custody:
        assert list(custody.files()) == []
        assert next(fault.wrong for fault in custody.faults(replace(JOB, path="videos/a.mp4"))) is Wrong.MISSING
    (tmp_path / "videos").write_text("x")
    with pytest.raises(StorageError), Custody(tmp_path):
        pass


def test_what_the_disk_does_not_give_is_not_called_gone(tmp_path: Path, job: Job) -> None:
    assert wrongs(tmp_path, replace(job, path=f"videos/{'x' * 300}.mp4")) == [Wrong.DAMAGED, Wrong.DAMAGED]

"""The campaign's ``videos/`` and ``rejected/``: the only module that writes videos and their sidecars.

A file gets its name when it is whole, checked and synced, never before; a name that is taken is never overwritten.
OSError becomes StorageError: a disk that refuses ends the run, and what is paid stays in the ledger.
"""

import errno
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from pipeline import sidecars
from pipeline.disk import create, storage_errors, sync_folder, write
from pipeline.evidence import NoFile, Placed
from pipeline.jobs import Failure, FailureKind, Job
from pipeline.parts import Part, Seal, stamp
from pipeline.videos import parse_object

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS})


class WithFile(Protocol):
    """What says of a job which file it has, and how long that is."""

    @property
    def output(self) -> str: ...
    @property
    def path(self) -> str | None: ...
    @property
    def bytes(self) -> int | None: ...


class Outputs:
    """The videos of one campaign. ``campaign`` is its folder; paths in the ledger are relative to it."""

    def __init__(self, campaign: Path) -> None:
        self._campaign = campaign
        self._mode = 0o666 & ~_umask()  # read once: reading it sets it, for all threads
        self.videos = campaign / sidecars.FOLDER
        self.rejected = campaign / sidecars.REJECTED
        self._synced: set[Path] = set()
        self._sealed: dict[Path, Seal] = {}

    def make(self) -> None:
        """Make the campaign's folder and those above it, the names of the last two synced whoever made them."""
        with storage_errors(self._campaign):
            _make_folder(self._campaign)
            for folder in (self._campaign, self._campaign.parent):
                sync_folder(folder.absolute().parent)

    def holds_videos(self) -> bool:
        """Tell whether any video lies here."""
        return any(self.videos.rglob("*.mp4"))

    def probe(self) -> None:
        """Raise StorageError, before anything is spent, where a video could not be written, synced and named."""
        first, second = self.videos / ".probe.part", self.videos / ".probe~2.part"
        with storage_errors(self.videos):
            self._make(self.videos)
            for path in (first, second):
                path.unlink(missing_ok=True)
            with Part(first, self._mode, self._make, {}) as part:
                part.write(b"probe")
                part.sync()
            _link(first, second)
            sync_folder(self.videos)
            for path in (first, second):
                path.unlink(missing_ok=True)

    def free(self) -> int:
        """Return how many bytes of the file system are free for us."""
        with storage_errors(self.videos):
            found = os.statvfs(self.videos)
        return found.f_bavail * found.f_frsize

    def part(self, job: Job) -> Part:
        """Return what takes the job's download. The disk is not touched before there is something to write."""
        return Part(self._part_path(job), self._mode, self._make, self._sealed)

    def intact(self, job: WithFile) -> bool:
        """Tell whether the job's file is there with the recorded length. (``verify`` reads the bytes.)"""
        try:
            found = os.lstat(os.path.join(self._campaign, job.path or job.output))  # noqa: PTH118  # there are many
        except OSError:
            return False
        return stat.S_ISREG(found.st_mode) and found.st_size == job.bytes

    def is_there(self, job: WithFile) -> bool:
        """Tell whether anything has the name of the job's file."""
        return os.path.lexists(self._campaign / (job.path or job.output))

    def tidy(self, job: Job) -> None:
        """Remove the part file of a job that is done: a power cut may have brought it back."""
        with storage_errors(self.videos):
            self._part_path(job).unlink(missing_ok=True)

    def place(self, job: Job) -> Placed | NoFile:
        """Give the verified part file its final name and a sidecar, or adopt the file that already has it."""
        part = self._part_path(job)
        with storage_errors(part):
            whole = self._is_sealed(part, job) or _sha256(part) == job.sha256
            for name in _names(self.videos / job.output):
                if (whole and _link(part, name)) or _sha256(name) == job.sha256:
                    placed = self._placed(job, name)
                    part.unlink(missing_ok=True)  # not before the new name is on disk
                    return placed
                if not os.path.lexists(name):
                    break
        return NoFile(Failure(FailureKind.BAD_OUTPUT, "the downloaded file is gone from the disk, or was changed"))

    def _is_sealed(self, part: Path, job: Job) -> bool:
        """Tell whether this process has sealed these bytes, and the kernel knows of no change since then."""
        seal = self._sealed.pop(part, None)
        try:
            return seal is not None and seal == (job.sha256, stamp(part.lstat()))
        except FileNotFoundError:
            return False

    def rename(self, job: Job, name: str, output: str) -> str | None:
        """Let the job's file have another name too, and return that path; None where the job has no file."""
        if job.path is None or not self.intact(job):
            return job.path
        source = self._campaign / job.path
        with storage_errors(source):
            for target in _names(self.videos / output):
                self._make(target.parent)
                if _link(source, target) or _sha256(target) == job.sha256:
                    return self._placed(replace(job, name=name), target).path
        raise AssertionError("unreachable: there is always another name")

    def keep(self, job: Job) -> str | None:
        """Let the file of a job that is done lie in ``rejected/`` too, with its sidecar, and return that path.

        None where the job's file is neither here nor there. Called again after a crash, it goes on where it was.
        """
        source, sha256 = self._campaign / (job.path or ""), job.sha256 or ""
        with storage_errors(source):
            stem = source.stem.encode()[:180].decode(errors="ignore")  # more comes behind it
            below = source.relative_to(self.videos).with_name(f"{stem}--{sha256[:8]}.mp4")
            for target in _names(self.rejected / below):
                self._make(target.parent)
                if (_sha256(source) == sha256 and _link(source, target, stays=True)) or _kept(target, job):
                    path = self._relative(target)
                    _write_sidecar(target.with_suffix(".json"), sidecars.record(job, path, was=job.path))
                    sync_folder(target.parent)
                    return path
                if not os.path.lexists(target):
                    break
        return None

    def has(self, path: str, sha256: str) -> bool:
        """Tell whether a file with these bytes lies at the path, which is relative to the campaign."""
        return _sha256(self._campaign / path) == sha256

    def delete(self, path: str, sha256: str) -> bool:
        """Take the name of a video and its sidecar away, where it is still this video; return whether it was.

        The sidecar goes first: what a crash leaves is a video, which the next call knows by its hash.
        """
        video = self._campaign / path
        with storage_errors(video):
            if _sha256(video) != sha256:
                return False
            video.with_suffix(".json").unlink(missing_ok=True)
            video.unlink()
            sync_folder(video.parent)
        return True

    def _placed(self, job: Job, name: Path) -> Placed:
        path = self._relative(name)
        _write_sidecar(name.with_suffix(".json"), sidecars.record(job, path))
        sync_folder(name.parent)
        return Placed(path)

    def _make(self, folder: Path) -> None:
        """Make a folder of the campaign, and have its name on disk: a run that was killed may have made it."""
        if folder in self._synced:
            return
        if folder not in {self.videos, self.rejected}:
            self._make(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)
        self._synced.add(folder)

    def _part_path(self, job: Job) -> Path:
        folder, slash, name = job.output.rpartition("/")
        return self.videos / f"{folder}{slash}.{name[:150]}.{job.request_hash[:12]}.part"

    def _relative(self, name: Path) -> str:
        return name.relative_to(self._campaign).as_posix()


def room(folder: Path) -> int:
    """Return how many bytes are free where a folder for campaigns is, or would be made.

    A campaign is tried there, and taken away again. Raises StorageError where it could not write, sync and name files.
    """
    place = folder.absolute()
    while not place.is_dir() and place != place.parent:
        place = place.parent
    with storage_errors(place), TemporaryDirectory(dir=place, prefix=".callsheet-") as made:
        tried = Outputs(Path(made))
        tried.probe()
        return tried.free()


def _names(final: Path) -> Iterator[Path]:
    """Yield the names that a file may get: its own, then with ~2, ~3 ... for another video of that name."""
    yield final
    number = 1
    while True:
        number += 1
        yield final.with_stem(f"{final.stem}~{number}")


def _link(source: Path, name: Path, *, stays: bool = False) -> bool:
    """Let a file have a name, unless it is taken. A disk without links moves it; or copies it, where it ``stays``."""
    try:
        os.link(source, name, follow_symlinks=False)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS | ({errno.EXDEV} if stays else set()):
            raise
        if os.path.lexists(name):
            return False
        (_copied(source, name) if stays else source).rename(name)
    return True


def _copied(source: Path, name: Path) -> Path:
    part = name.with_name(f".{name.name}.part")
    shutil.copyfile(source, part)
    with part.open("rb") as file:
        os.fsync(file.fileno())
    return part


def _sha256(path: Path) -> str | None:
    """Return the hash of a regular file, or None where there is none."""
    try:
        descriptor = os.open(path, _READ)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        return hashlib.file_digest(file, "sha256").hexdigest()


def _kept(path: Path, job: Job) -> bool:
    """Tell whether this is the job's video, rejected before: or one of the same bytes, of another job."""
    try:
        beside = parse_object(path.with_suffix(".json").read_bytes(), sidecars.MAX_BYTES)
    except FileNotFoundError:
        beside = {"video_id": job.video_id}
    return _sha256(path) == job.sha256 and beside is not None and beside.get("video_id") == job.video_id


def _write_sidecar(path: Path, record: Mapping[str, Any]) -> None:
    """Write what the ledger knows beside the video: the second copy of the truth."""
    part = path.with_name(f".{path.name}.part")
    descriptor = create(part, 0o666)
    try:
        write(descriptor, f"{json.dumps(record, indent=2, ensure_ascii=False)}\n".encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    part.replace(path)


def _make_folder(folder: Path) -> None:
    """Make the folder and those above it, each entry synced."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask

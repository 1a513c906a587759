"""A recording of a run: what it did to the files of its campaign, and what its ledger said, in that order."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from threading import Lock
from typing import Any
from unittest import mock

from disk.operations import (
    Created,
    FolderMade,
    Linked,
    ModeSet,
    Operation,
    Recorded,
    Recording,
    Renamed,
    Synced,
    Truncated,
    Unlinked,
    Written,
)
from disk.platter import Disk
from disk.seam import watched

from pipeline.events import Event, apply
from pipeline.jobs import Job
from pipeline.ledger.store import SqliteLedger


class Recorder:
    """A watcher that writes down what has happened. ``disk`` knows the files that are there already."""

    def __init__(self, folder: Path, disk: Disk, note: Callable[[Operation], None]) -> None:
        self._folder = folder.resolve()
        self._note = note
        self._turn = Lock()
        self._nodes: dict[tuple[int, int], int] = {}
        for path, node in disk.nodes.items():
            if (self._folder / path).exists():
                self._nodes[self._identity(self._folder / path)] = node
        self._next = disk.fresh

    def __call__(self, name: str, path: Path, arguments: tuple[Any, ...], proceed: Callable[[], Any]) -> Any:
        with self._turn:  # a worker thread's call is noted before another one's is made
            return getattr(self, f"_{name}")(path, arguments, proceed)

    def _open(self, path: Path, arguments: tuple[Any, ...], proceed: Callable[[], Any]) -> int:
        new, flags = not os.path.lexists(path), arguments[1]
        descriptor: int = proceed()
        if new:
            mode = os.fstat(descriptor).st_mode & 0o7777
            self._note(Created(self._born(path), self._relative(path), mode))
        elif flags & os.O_TRUNC:
            self._note(Truncated(self._node(descriptor), 0))
        return descriptor

    def _write(self, path: Path, arguments: tuple[Any, ...], proceed: Callable[[], Any]) -> int:
        descriptor, data = arguments
        appends = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND
        offset = os.fstat(descriptor).st_size if appends else os.lseek(descriptor, 0, os.SEEK_CUR)
        written: int = proceed()
        self._note(Written(self._node(descriptor), offset, bytes(data[:written])))
        return written

    def _pwrite(self, path: Path, arguments: tuple[Any, ...], proceed: Callable[[], Any]) -> int:
        descriptor, data, offset = arguments
        written: int = proceed()
        self._note(Written(self._node(descriptor), offset, bytes(data[:written])))
        return written

    def _ftruncate(self, path: Path, arguments: tuple[Any, ...], proceed: Callable[[], Any]) -> None:
        proceed()
        self._note(Truncated(self._node(arguments[0]), arguments[1]))

    def _posix_fallocate(self, path: Path, arguments: tuple[Any, ...], proceed: Callable[[], Any]) -> None:
        proceed()
        self._note(Truncated(self._node(arguments[0]), os.fstat(arguments[0]).st_size))

    def _fchmod(self, path: Path, arguments: tuple[Any, ...], proceed: Callable[[], Any]) -> None:
        proceed()
        self._note(ModeSet(self._node(arguments[0]), arguments[1]))

    def _fsync(self, path: Path, arguments: tuple[Any, ...], proceed: Callable[[], Any]) -> None:
        proceed()
        self._note(Synced(self._node(arguments[0])))

    _fdatasync = _fsync

    def _mkdir(self, path: Path, arguments: tuple[Any, ...], proceed: Callable[[], Any]) -> None:
        proceed()
        self._note(FolderMade(self._born(path), self._relative(path)))

    def _link(self, path: Path, arguments: tuple[Any, ...], proceed: Callable[[], Any]) -> None:
        proceed()
        self._note(Linked(self._nodes[self._identity(path)], self._relative(path)))

    def _unlink(self, path: Path, arguments: tuple[Any, ...], proceed: Callable[[], Any]) -> None:
        proceed()
        self._note(Unlinked(self._relative(path)))

    _remove = _unlink

    def _rename(self, path: Path, arguments: tuple[Any, ...], proceed: Callable[[], Any]) -> None:
        proceed()
        old = Path(os.path.abspath(arguments[0]))  # noqa: PTH100  # a link is not followed
        self._note(Renamed(self._relative(old), self._relative(path)))

    _replace = _rename

    def _born(self, path: Path) -> int:
        node, self._next = self._next, self._next + 1
        self._nodes[self._identity(path)] = node
        return node

    def _node(self, descriptor: int) -> int:
        found = os.fstat(descriptor)
        return self._nodes[found.st_dev, found.st_ino]

    def _relative(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix()

    @staticmethod
    def _identity(path: Path) -> tuple[int, int]:
        found = path.lstat()
        return found.st_dev, found.st_ino


@contextmanager
def recorded(folder: Path, disk: Disk, note: Callable[[Operation], None]) -> Iterator[None]:
    """Note what happens to the files of the folder, and what ledgers say of jobs, while the block runs."""
    original = SqliteLedger.record

    @wraps(original)
    async def record(self: SqliteLedger, job: Job, event: Event) -> Job:
        note(Recording(apply(job, event)))
        after = await original(self, job, event)
        note(Recorded(after))
        return after

    with watched(folder, Recorder(folder, disk, note)), mock.patch.object(SqliteLedger, "record", record):
        yield

"""One run at a time: a lock on a file of its own, freed by the kernel however the holder dies."""

import fcntl
import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.errors import LedgerError, LedgerLocked


class Lock:
    """A lock that is held. ``last`` is what its last holder wrote into it."""

    def __init__(self, descriptor: int, last: Mapping[str, Any]) -> None:
        self._descriptor = descriptor
        self.last = last

    def sign(self, **more: Any) -> None:
        """Leave the holder's name, and more, for the next one."""
        try:
            self._write({**self.last, "pid": os.getpid(), "host": socket.gethostname(), "over": False, **more})
        except OSError as error:
            raise LedgerError(f"cannot sign the lock: {error.strerror}") from error

    def leave(self) -> None:
        """Say that the holder is done, for who only looks: its number may be another process's by then."""
        with suppress(OSError):
            self._write({**_read(self._descriptor), "over": True})

    def _write(self, values: Mapping[str, Any]) -> None:
        text = json.dumps(values).encode()
        os.pwrite(self._descriptor, text, 0)
        os.ftruncate(self._descriptor, len(text))


@contextmanager
def run_lock(path: Path) -> Iterator[Lock]:
    """Hold the campaign while the block runs. Raises LedgerLocked, naming the holder, when another run has it.

    Never on the ledger's own file: closing any descriptor of that would drop SQLite's locks. The file stays.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise LedgerError(f"{path}: {error.strerror}") from error
    try:
        last = _read(descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LedgerLocked(f"another run holds this campaign: {_holder(last)}") from None
        lock = Lock(descriptor, _read(descriptor))
        lock.sign()
        try:
            yield lock
        finally:
            lock.leave()
    finally:
        os.close(descriptor)


class Holder(NamedTuple):
    """Who ran a campaign last. ``runs``: whether it still does; None where nobody can tell, on another machine."""

    pid: int
    host: str
    runs: bool | None


def holder(path: Path) -> Holder | None:
    """Return who holds the campaign or held it last, without touching the lock: a run that begins must find it free."""
    try:
        written = json.loads(path.read_bytes()[:4096])
        pid, host, over = int(written["pid"]), str(written["host"]), bool(written.get("over"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    if over:
        return Holder(pid, host, runs=False)
    return Holder(pid, host, _is_there(pid) if host == socket.gethostname() else None)


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return pid > 0


def _read(descriptor: int) -> Mapping[str, Any]:
    try:
        written = json.loads(os.pread(descriptor, 4096, 0))
    except ValueError:
        return {}
    return written if isinstance(written, dict) else {}


def _holder(last: Mapping[str, Any]) -> str:
    if "pid" not in last:
        return "a process that did not leave its name"
    return f"process {str(last['pid'])[:20]} on {str(last.get('host'))[:100]}"

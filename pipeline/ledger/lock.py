"""One run at a time: a lock on a file of its own, freed by the kernel however the holder dies."""

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import LedgerError, LedgerLocked


@contextmanager
def run_lock(path: Path) -> Iterator[None]:
    """Hold the campaign while the block runs. Raises LedgerLocked, naming the holder, when another run has it.

    Never on the ledger's own file: closing any descriptor of that would drop SQLite's locks. The file stays.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise LedgerError(f"{path}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LedgerLocked(f"another run holds this campaign: {_holder(descriptor)}") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _holder(descriptor: int) -> str:
    try:
        holder = json.loads(os.pread(descriptor, 4096, 0))
        return f"process {int(holder['pid'])} on {str(holder['host'])[:100]}"
    except (ValueError, KeyError, TypeError):
        return "a process that did not leave its name"

"""What is paid must be written down even when the ledger's disk refuses: ballast to drop, and a file to fall back on.

The ballast is room that is already ours: freed, it lets a full disk take the last records. Where the ledger cannot be
written at all, each paid id goes as one synced JSON line into the first place that takes it; the next start brings
these lines home before anything else.
"""

import base64
import binascii
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

from pipeline.events import Accepted, Adopted
from pipeline.jobs import Job

_NAMES = ("name", "request_hash", "idempotency_key", "video_id", "status", "submitted_at")

BALLAST = 1 << 20
"""Bytes: a hundred records and more, with their indexes and the write-ahead log."""


def lay_ballast(ledger: Path) -> None:
    """Have the ballast on disk. Raises OSError where there is no room for it: then there is none for a ledger."""
    path = _ballast(ledger)
    if path.exists() and path.stat().st_size == BALLAST:
        return
    path.unlink(missing_ok=True)
    # Not zeros: some file systems store none of them.
    _write(path, Random(0).randbytes(BALLAST), os.O_CREAT | os.O_EXCL)  # noqa: S311  # nothing secret


def drop_ballast(ledger: Path) -> None:
    with suppress(OSError):
        _ballast(ledger).unlink(missing_ok=True)


def places(ledger: Path, folders: Sequence[Path]) -> tuple[Path, ...]:
    """Return where to write lines: beside the ledger, or in one of the folders under a name of its own."""
    real = ledger.parent.resolve()
    mark = hashlib.sha256(os.fsencode(real)).hexdigest()[:12]
    elsewhere = (folder / f".callsheet-{real.name}-{mark}.rescue.jsonl" for folder in folders)
    return ledger.with_suffix(".rescue.jsonl"), *elsewhere


def found(ledger: Path, folders: Sequence[Path]) -> Iterator[tuple[Path, bool]]:
    """Yield the files with lines, of whichever ledger, and whether they can only be this one's.

    The campaign may have been moved since: what lies outside of it belongs to the ledger that knows its keys.
    """
    own = places(ledger, folders)
    if own[0].exists():
        yield own[0], True
    for folder in folders:
        with suppress(OSError):
            for path in sorted(folder.glob(".callsheet-*.rescue.jsonl")):
                yield path, path in own or path.is_relative_to(ledger.parent)


def rescue(job: Job, event: Accepted | Adopted, into: Sequence[Path]) -> str:
    """Write the id down in the first place that takes it, and return words that say where, for people."""
    line = {
        "name": job.name,
        "request_hash": job.request_hash,
        "attempt": job.attempt,
        "idempotency_key": job.idempotency_key,
        "video_id": event.video_id,
        "status": event.status,
        "submitted_at": event.submitted_at,
        "raw": base64.b64encode(event.raw).decode(),
    }
    data = f"\n{json.dumps(line)}\n".encode()  # on a line of its own, though the one before was cut
    for path in into:
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, data, os.O_CREAT | os.O_APPEND)
            return f"the paid id is in {path}; the next run brings it home"
    return f"PAID-NOT-RECORDED id={event.video_id!r} job={job.name!r} key={job.idempotency_key}"


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield what was rescued into the file; lines that a crash has cut are passed over. ``raw`` is bytes again.

    Raises OSError.
    """
    for text in path.read_text("utf-8", errors="replace").splitlines():
        with suppress(ValueError, KeyError, TypeError, binascii.Error):
            line = json.loads(text)
            yield {**{name: line[name] for name in _NAMES}, "raw": base64.b64decode(line["raw"])}


def _ballast(ledger: Path) -> Path:
    return ledger.with_suffix(".ballast")


def _write(path: Path, data: bytes, how: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC | how, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

"""A real ledger beside the model's: what the one takes the other must take, and what the one refuses the other refuses.

It lies in a folder of its own, and a kill leaves its files as they are: the next one is opened from a copy of them.
"""

import asyncio
import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from model.worlds import Written

from pipeline.blocking import inline
from pipeline.events import KINDS, Event, apply
from pipeline.jobs import Job, Spec
from pipeline.ledger import BudgetReached, DuplicateVideo, opening, reading
from pipeline.ledger.rows import failure_from
from pipeline.ledger.store import SqliteLedger

_MEMORY = Path("/dev/shm")
"""What is looked at here is what the ledger says, not what a disk keeps of it."""


class Book:
    """The shipped ledger of one campaign. Use as a context manager."""

    def __init__(self, specs: Sequence[Spec], budget: float | None) -> None:
        self._folder = TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None)
        self._loop = asyncio.Runner()
        self._copies = 0
        self._open()
        self._loop.run(self._ledger.enrol(specs, settings={}, max_cost=budget))
        self._planned = {spec.name: Job.planned(spec) for spec in specs}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._eye.close()
        self._ledger.close()
        self._loop.close()
        self._folder.cleanup()

    def write(self, written: Written) -> None:
        """Record it, and hold the ledger's answer against the model's."""
        try:
            after = self._loop.run(self._ledger.record(written.job, written.event))
        except (DuplicateVideo, BudgetReached):
            assert written.refused, f"the ledger refuses {written.event} of {written.job}"
        else:
            assert not written.refused, f"the ledger takes {written.event} of {written.job}"
            assert after == apply(written.job, written.event)

    def die(self) -> None:
        """Leave the files as a kill would, and open what it left."""
        before = self._path.parent
        self._copies += 1
        copy = Path(self._folder.name) / str(self._copies)
        shutil.copytree(before, copy)
        self._eye.close()
        self._ledger.close()
        shutil.rmtree(before)
        self._open()

    def rows(self) -> tuple[Job, ...]:
        return tuple(reading.jobs(self._eye))

    def reserved(self) -> tuple[float, float | None]:
        """Return what the ledger's account has promised, and what it may."""
        reserved, most = self._eye.execute("SELECT reserved, max_cost FROM account").fetchone()
        return reserved, most

    def retold(self, job: Job) -> Job:
        """Return the job as its events alone tell it."""
        again = self._planned[job.name]
        for entry in reading.events(self._eye, job):
            again = apply(again, _event(entry))
            assert again.state is entry.state
        return again

    def refuses(self, sql: str, *values: object) -> bool:
        """Tell whether the file itself refuses a statement. Nothing of it stays."""
        self._eye.execute("BEGIN IMMEDIATE")
        try:
            self._eye.execute(sql, values)
        except sqlite3.IntegrityError:
            return True
        else:
            return False
        finally:
            self._eye.execute("ROLLBACK")

    @property
    def _path(self) -> Path:
        return Path(self._folder.name) / str(self._copies) / "ledger.db"

    def _open(self) -> None:
        self._path.parent.mkdir(exist_ok=True)
        self._ledger = SqliteLedger.create_or_open(self._path, now=lambda: 0.0, blocking=inline)
        self._eye = opening.connect(self._path, lambda connection: None)


def _event(entry: reading.Entry) -> Event:
    kind = KINDS[entry.kind]
    data = dict(entry.data)
    names = {name: field.default for name, field in kind.__dataclass_fields__.items()}
    if "failure" in data:
        data["failure"] = failure_from(reading.canonical_json(data["failure"]))
    for name in ("others", "warnings"):
        if name in data:
            data[name] = tuple(data[name])
    optional = {name: None for name in ("key_fingerprint", "price", "expires_at", "path") if name in names}
    return kind(**{**optional, **data}, raw=entry.raw)

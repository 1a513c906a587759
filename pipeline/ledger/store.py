"""The ledger that a run writes: one connection, group commit, nothing acknowledged before it is on disk.

WAL with ``synchronous=FULL``: NORMAL loses acknowledged commits at a power cut, and a lost id is a second payment.
Whoever waits while a commit runs is in the next one together, so durability costs one fsync for many jobs.

After a write that failed, what is on disk is unknown, so nothing is tried again on that connection: the ballast is
dropped, the file is opened anew and read, and what it lacks is written; where that fails too, ``rescue`` has the paid
ids. Either way the run ends: every later record raises, once it is safe, and no later intent is written at all.
"""

import sqlite3
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import anyio
import anyio.lowlevel

from pipeline.blocking import Blocking, T
from pipeline.errors import LedgerError
from pipeline.events import TRANSITIONS, Accepted, Adopted, Event, Intended, Returned, apply
from pipeline.jobs import Failure, FailureKind, Job, Spec, State, canonical_json
from pipeline.ledger import BudgetReached, DuplicateVideo, enrolling, home, moves, opening, reading, rescue, schema
from pipeline.ledger.rows import COLUMNS, job_from

_TURNS = 4
"""Turns of the event loop for which a batch is held open, where the last one had more than one member: whatever is
ready comes along. A loop that is busy takes long for a turn, and an idle one no time."""


@dataclass(slots=True)
class _Waiting:
    job: Job
    event: Event
    after: Job
    error: Exception | None = None


class _Batch:
    """Those whose transitions share a commit. Who begins a batch commits it; the others wait until it is ``over``."""

    def __init__(self, first: _Waiting) -> None:
        self.members = [first]
        self.over = anyio.Event()

    async def joined_by(self, waiting: _Waiting) -> None:
        """Wait until it is over, though cancelled: who is hears of it at the next occasion, as after any shield.

        A scope for each who waits would cost more than the waiting.
        """
        self.members.append(waiting)
        try:
            await self.over.wait()
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await self.over.wait()


class SqliteLedger:
    """A Ledger in one SQLite file. Made by ``create_or_open``; the caller holds the run lock."""

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        now: Callable[[], float],
        blocking: Blocking,
        fallbacks: Sequence[Path],
    ) -> None:
        self._path = path
        self._check = opening.Check(path)
        self._fallbacks = fallbacks
        self._file = opening.identity(path)
        self._connection = connection
        self._now = now
        self._blocking = blocking
        self._turn = anyio.Lock()
        self._gathering: _Batch | None = None
        self._had_company = False
        self._strain: LedgerError | None = None
        self._broken = False

    @classmethod
    def create_or_open(
        cls,
        path: Path,
        *,
        now: Callable[[], float],
        blocking: Blocking,
        fallbacks: Sequence[Path] = (),
        mounts: Path = home.MOUNTS,
        unchecked: bool = False,
    ) -> Self:
        """Open the ledger, or make it, readable by its owner only and synced with its folder.

        What an earlier run rescued, here or into one of the folders ``fallbacks``, is brought home first. Raises
        LedgerError for a file that is foreign, newer, damaged or far away; nothing is changed then. ``unchecked``: the
        file may be read while it is checked; ``sound`` waits for that, and so does whatever writes.
        """
        with reading.translated(path), ExitStack() as made:
            remote = home.remote_file_system(path.parent.absolute(), mounts)
            if remote is not None:
                raise LedgerError(f"a ledger needs a local disk, and this is {remote}")
            if not path.exists():
                opening.create(path)
            connection = made.enter_context(closing(opening.connect(path, schema.migrate)))
            ledger = cls(path, connection, now, blocking, fallbacks)
            made.callback(ledger._check.stop)
            if not unchecked:
                ledger._check.passed()
            ledger._bring_home()
            made.pop_all()
        return ledger

    def close(self) -> None:
        self._check.stop()
        self._connection.close()

    async def sound(self) -> None:
        """Return when the whole file has been checked. Raises LedgerError for one that is damaged."""
        await self._blocking(self._check.passed)

    async def enrol(
        self,
        specs: Sequence[Spec],
        *,
        settings: Mapping[str, Any],
        max_cost: float | None = None,
        max_videos: int | None = None,
    ) -> None:
        """Make the ledger hold what the manifest asks for, in one commit, and remember the settings and the budget.

        Known jobs stay as they are, but for their tags and metadata. Jobs that are not asked for any more are
        marked as orphaned, or dropped where nothing was ever sent for them.
        """
        await self._transaction(lambda: self._enrol(specs, settings, (max_cost, max_videos)))

    async def remember(self, **settings: Any) -> None:
        """Keep settings for later runs."""
        await self._transaction(lambda: self._remember(settings))

    async def record(self, job: Job, event: Event) -> Job:
        waiting = _Waiting(job, event, apply(job, event))
        if self._strain is not None and isinstance(event, Intended):
            raise self._strain
        if self._gathering is None:
            await self._gather(waiting)
        else:
            await self._gathering.joined_by(waiting)
        if waiting.error is not None:
            raise waiting.error
        if self._strain is not None:
            raise self._strain
        return waiting.after

    async def claimed(self, ids: Collection[str]) -> Collection[str]:
        found: Collection[str] = ()
        with anyio.CancelScope(shield=True):
            async with self._turn:
                found = await self._guarded(partial(reading.claimed, self._connection, ids))
        return found

    async def jobs(self, states: Collection[State]) -> AsyncGenerator[Job, None]:
        after: int | None = 0
        while after is not None:
            with anyio.CancelScope(shield=True):
                async with self._turn:
                    rows, after = await self._guarded(partial(reading.page, self._connection, states, after))
            for job in rows:
                yield job

    async def _gather(self, first: _Waiting) -> None:
        """Begin a batch, and commit it at its turn, with whoever came until then."""
        batch = self._gathering = _Batch(first)
        try:
            with anyio.CancelScope(shield=True):
                async with self._turn:
                    for _ in range(_TURNS if self._had_company else 0):
                        await anyio.lowlevel.checkpoint()
                    self._gathering = None
                    self._had_company = len(batch.members) > 1
                    await self._commit(batch.members)
        finally:
            batch.over.set()

    async def _commit(self, batch: Sequence[_Waiting]) -> None:
        try:
            await self._guarded(lambda: self._write(batch))
        except LedgerError as failed:
            await self._blocking(partial(self._save, batch, failed))
        except BaseException as error:
            for waiting in batch:
                waiting.error = waiting.error or LedgerError(f"{self._path}: not recorded: {error!r}")
            raise

    async def _transaction(self, work: Callable[[], None]) -> None:
        def committed() -> None:
            self._begin()
            work()
            self._connection.execute("COMMIT")

        with anyio.CancelScope(shield=True):
            async with self._turn:
                await self._guarded(committed)

    async def _guarded(self, call: Callable[[], T]) -> T:
        """Make the call, once. After any error what is on disk is unknown, so this connection is used no more.

        Shielded by the caller: a signal is no error.
        """
        if self._broken:
            raise LedgerError(f"{self._path}: an earlier write failed")
        try:
            with reading.translated(self._path):
                return await self._blocking(call)
        except BaseException:
            self._broken = True
            raise

    def _begin(self) -> None:
        self._check.passed()  # a damaged file is not written
        self._connection.execute("BEGIN IMMEDIATE")

    def _write(self, batch: Iterable[_Waiting]) -> None:
        if opening.identity(self._path) != self._file:
            raise LedgerError("the ledger was moved or deleted while it was in use")
        self._begin()
        for waiting in batch:
            try:
                self._update(waiting.job, waiting.event, waiting.after)
            except (DuplicateVideo, BudgetReached) as error:
                waiting.error = error
        self._connection.execute("COMMIT")

    def _save(self, batch: Sequence[_Waiting], error: LedgerError) -> None:
        """Get what a failed write held onto the disk in another way. No error leaves this: it goes to who waits."""
        self._strain = self._strain or error
        try:
            with reading.translated(self._path):
                self._write_anew(batch)
        except (LedgerError, OSError) as second:
            self._broken = True
            places = rescue.places(self._path, self._fallbacks)
            for waiting in batch:
                words = f"{second}"
                if isinstance(waiting.event, Accepted | Adopted):
                    words = f"{words}; {rescue.rescue(waiting.job, waiting.event, places)}"
                waiting.error = LedgerError(words)
        else:
            self._broken = False

    def _write_anew(self, batch: Sequence[_Waiting]) -> None:
        """Open the file again with the ballast dropped; write what it lacks of the batch, for a COMMIT that failed may
        have happened. An intent is taken back: its POST will not be sent."""
        self._connection.close()
        rescue.drop_ballast(self._path)
        if opening.identity(self._path) != self._file:
            raise LedgerError("the ledger was moved or deleted while it was in use")
        self._connection = opening.connect(self._path, schema.check)
        self._begin()
        for waiting in batch:
            event, after = waiting.event, waiting.after
            waiting.error = None
            there = self._stands(after)
            if isinstance(event, Intended):
                if there:
                    back = Returned(failure=Failure(FailureKind.NOT_SENT, "the ledger failed before it was sent"))
                    self._update(after, back, apply(after, back))
            elif not there:
                try:
                    self._update(waiting.job, event, after)
                except DuplicateVideo as error:
                    waiting.error = error
        self._connection.execute("COMMIT")

    def _stands(self, job: Job) -> bool:
        row = self._connection.execute(_FIND, (job.name, job.request_hash)).fetchone()
        return row is not None and job_from(row) == job

    def _bring_home(self) -> None:
        """Record the ids that an earlier run could not; then lay the ballast anew."""
        with reading.translated(self._path):
            for path, ours in rescue.found(self._path, self._fallbacks):
                try:
                    lines = list(rescue.lines(path))
                except OSError as error:
                    if not ours:
                        continue
                    raise LedgerError(f"{path} may hold paid ids, and cannot be read: {error.strerror}") from error
                self._begin()
                homes = [self._bring_home_one(line) for line in lines]
                self._connection.execute("COMMIT")
                strange = [line for line, home in zip(lines, homes, strict=True) if home is None]
                if strange and ours:
                    raise LedgerError(
                        f"{path} has {strange[0]['video_id']}, paid for {strange[0]['name']}, and this ledger does not "
                        "know of it: bring the ledger back that it belongs to, or move the file away"
                    )
                # Else a paid id must stay in sight; what lies elsewhere may be needed by the original of this copy.
                if ours and lines and all(homes):
                    with suppress(OSError):  # read again, it changes nothing
                        path.replace(path.with_suffix(".read"))
            try:
                rescue.lay_ballast(self._path)
            except OSError as error:
                raise LedgerError(f"there is no room for a run: {error.strerror}") from error

    def _bring_home_one(self, line: Mapping[str, Any]) -> bool | None:
        """Record the id where it belongs. None where no job is known that it could belong to, False where it cannot be
        taken any more: a person has decided about the job since, or another job has the id."""
        row = self._connection.execute(_FIND_KEY, (line["idempotency_key"],)).fetchone()
        if row is None:
            earlier = self._connection.execute(_FIND_EARLIER, (line["idempotency_key"],)).fetchone()
            return False if earlier else None
        job = job_from(row)
        if job.video_id is not None:
            return True
        known = {name: line[name] for name in ("video_id", "status", "submitted_at", "raw")}
        for event in (Accepted(**known), Adopted(**known, by="the rescue file")):
            if type(event) in TRANSITIONS[job.state]:
                with suppress(DuplicateVideo):
                    self._update(job, event, apply(job, event))
                    return True
        return False

    def _update(self, job: Job, event: Event, after: Job) -> None:
        moves.write(self._connection, job, event, after, self._now())

    def _enrol(
        self, specs: Sequence[Spec], settings: Mapping[str, Any], budget: tuple[float | None, int | None]
    ) -> None:
        enrolling.enrol(self._connection, specs)
        self._connection.execute("UPDATE account SET max_cost = ?, max_videos = ?", budget)
        self._remember(settings)

    def _remember(self, settings: Mapping[str, Any]) -> None:
        rows = [(key, canonical_json(value)) for key, value in settings.items()]
        self._connection.executemany("INSERT OR REPLACE INTO settings VALUES (?, ?)", rows)


_FIND = f"SELECT {', '.join(COLUMNS)} FROM jobs WHERE name = ? AND request_hash = ?"  # noqa: S608  # our own names
_FIND_KEY = f"SELECT {', '.join(COLUMNS)} FROM jobs WHERE idempotency_key = ?"  # noqa: S608
_FIND_EARLIER = "SELECT 1 FROM events WHERE kind = 'intended' AND json_extract(data, '$.idempotency_key') = ? LIMIT 1"

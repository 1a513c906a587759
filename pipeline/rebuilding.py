"""A ledger made anew of the sidecars, where it was lost: each job that is in order is told again, event by event.

What the old ledger alone knew is lost with it: what was paid and never arrived. Nothing here guesses at that.
"""

import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from pipeline import shipped, sidecars
from pipeline.blocking import Blocking
from pipeline.custody import Custody, sidecar_path
from pipeline.errors import LedgerError, StorageError, UsageError
from pipeline.jobs import Job, Spec
from pipeline.ledger import rescue
from pipeline.ledger.store import SqliteLedger
from pipeline.profile import Profile
from pipeline.sidecars import Sidecar
from pipeline.validation import checker

_AT_ONCE = 500
"""Jobs that are told again at the same time, and so committed together."""

_SIDE_FILES = ("-wal", "-shm", "-journal")
_NURSERY = ".rebuild"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file that is not in the new ledger, and why. ``path`` is relative to the campaign."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a new ledger was made of. ``copies`` are videos of its jobs under other names.

    ``again`` are jobs whose last take was rejected: another one is to be paid for. ``rescued`` are names and ids of
    jobs that a run had to write down beside the ledger and that have no sidecar: paid, and at the server. ``provider``
    is known where the jobs' address is that of one profile.
    """

    name: str
    path: str
    provider: str | None
    jobs: tuple[str, ...]
    again: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    copies: tuple[LeftOut, ...]
    rescued: tuple[tuple[str, str], ...]

    @property
    def exit_code(self) -> int:
        return int(bool(self.left_out or self.rescued))


@dataclass(frozen=True, slots=True)
class _Told:
    """What the sidecars tell of one job: of its video, and of those that were rejected."""

    believed: Sidecar | None
    rejected: tuple[Sidecar, ...] = ()

    @property
    def spec(self) -> Spec:
        return (self.believed or self.rejected[-1]).spec


@dataclass(frozen=True, slots=True)
class _Sorted:
    """Sidecars that a ledger can be made of, and the others."""

    told: tuple[_Told, ...]
    copies: tuple[LeftOut, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def sidecars(self) -> list[Sidecar]:
        return [one for told in self.told for one in (told.believed, *told.rejected) if one is not None]


async def rebuild(
    folder: Path,
    ledger: Path,
    *,
    name: str,
    now: Callable[[], float],
    blocking: Blocking,
    rescue_folders: Sequence[Path],
    profiles: Sequence[Profile],
) -> Rebuilt:
    """Make ``ledger``, which is gone, of the campaign in the absolute ``folder``. It appears whole or not at all.

    The caller holds the run lock. Raises UsageError where there is a ledger or a part of one, or nothing to make one
    of; StorageError where the disk refuses.
    """
    _refuse_unless_gone(ledger)
    found = _sorted_out(folder)
    if not found.told:
        why = "".join(f"; {one.path}: {one.reason}" for one in found.left_out[:1])
        raise UsageError(f"{folder / sidecars.FOLDER} holds no sidecar that a ledger could be made of{why}")
    settings = _settings(name, found.sidecars, profiles)
    with _nursery(folder) as nursery:
        unborn = nursery / ledger.name
        with closing(SqliteLedger.create_or_open(unborn, now=now, blocking=blocking)) as new:
            await new.enrol([one.spec for one in found.told], settings=settings)
            for first in range(0, len(found.told), _AT_ONCE):
                async with anyio.create_task_group() as group:
                    for one in found.told[first : first + _AT_ONCE]:
                        group.start_soon(_tell, new, one)
        _publish(unborn, ledger)
    return Rebuilt(
        name=name,
        path=str(folder),
        provider=settings.get("provider"),
        jobs=tuple(one.spec.name for one in found.told if one.believed),
        again=tuple(one.spec.name for one in found.told if not one.believed),
        left_out=found.left_out,
        copies=found.copies,
        rescued=_rescued(ledger, rescue_folders, found.sidecars),
    )


def _refuse_unless_gone(ledger: Path) -> None:
    if os.path.lexists(ledger):
        raise UsageError(f"{ledger} is there, and is not written over. If it cannot be used, move it away")
    for ending in _SIDE_FILES:
        if os.path.lexists(beside := f"{ledger}{ending}"):
            raise UsageError(
                f"{beside} belongs to the ledger that is gone, and may hold what was paid last: "
                f"bring {ledger.name} back beside it, or move it away"
            )


@contextmanager
def _nursery(folder: Path) -> Iterator[Path]:
    """Give a hidden folder to make the ledger in, empty; afterwards it is gone, and the campaign's folder synced."""
    nursery = folder / _NURSERY
    try:
        if os.path.lexists(nursery):  # left by a rebuild that died
            shutil.rmtree(nursery)
        nursery.mkdir(mode=0o700)
        yield nursery
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StorageError(f"{nursery}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(nursery, ignore_errors=True)


def _publish(unborn: Path, ledger: Path) -> None:
    """Give the finished ledger its name. Under the run lock nobody else makes one meanwhile."""
    if os.path.lexists(f"{unborn}-wal"):
        raise LedgerError(f"{unborn}: it could not be written as one file")
    _refuse_unless_gone(ledger)
    unborn.rename(ledger)


async def _tell(ledger: SqliteLedger, told: _Told) -> None:
    job = Job.planned(told.spec)
    for event in sidecars.history(told.believed, told.rejected):
        job = await ledger.record(job, event)


def _sorted_out(folder: Path) -> _Sorted:
    """Believe the sidecars that agree with their videos: of each job, and of each id, the one written last."""
    agreeing, left_out = _agreeing(folder, sidecars.FOLDER)
    believed: dict[str, Sidecar] = {}
    copies: list[LeftOut] = []
    keys: dict[tuple[str, str], Sidecar] = {}
    for one in agreeing:
        other = believed.get(one.facts["video_id"]) or keys.get(one.key)
        if other is None:
            believed[one.facts["video_id"]] = keys[one.key] = one
        elif one.facts["request_hash"] == other.facts["request_hash"]:
            copies.append(_copy(one, other))
        else:
            left_out.append(LeftOut(one.path, f"its sidecar claims the id of {other.spec.name}'s video"))
    rejected, unfit = _agreeing(folder, sidecars.REJECTED)
    takes = defaultdict[tuple[str, str], list[Sidecar]](list)
    same = {one.facts["request_hash"]: one.key for one in keys.values()}
    for one in reversed(rejected):  # in the order in which they were rejected
        other = believed.setdefault(one.facts["video_id"], one)
        if other is one:  # a job may have got another name since
            takes[one.key if one.key in keys else same.get(one.facts["request_hash"], one.key)].append(one)
        else:
            copies.append(_copy(one, other))
    # In the order of their names, which says more than that of the disk.
    told = tuple(_Told(keys.get(key), tuple(takes[key])) for key in sorted({*keys, *takes}))
    return _Sorted(told, tuple(copies), (*left_out, *unfit))


def _copy(one: Sidecar, other: Sidecar) -> LeftOut:
    return LeftOut(one.path, f"it is a video of {other.spec.name}, whose file is {other.path}")


def _agreeing(folder: Path, where: str) -> tuple[list[Sidecar], list[LeftOut]]:
    """Return the sidecars that agree with themselves and their videos, written last first, and the others."""
    findings = checker(shipped.schema("sidecar"))
    agreeing: list[tuple[float, Sidecar]] = []
    left_out: list[LeftOut] = []
    with Custody(folder, where) as custody:
        names = set(custody.files())
        for name in sorted(names):
            if name.endswith(".mp4") and sidecar_path(name) not in names:
                left_out.append(LeftOut(name, "it has no sidecar"))
            elif name.endswith(".json"):
                try:
                    agreeing.append(
                        _believed(custody, name, lambda value: [found.message for found in findings(value)])
                    )
                except _Disbelief as why:
                    left_out.append(LeftOut(name, str(why)))
    return [one for _, one in sorted(agreeing, key=lambda pair: (-pair[0], pair[1].path))], left_out


class _Disbelief(Exception):
    """Says why a sidecar is left out; never leaves this module."""


def _believed(custody: Custody, name: str, check: sidecars.Check) -> tuple[float, Sidecar]:
    """Return a sidecar that agrees with itself and with the video beside it, and when it was written."""
    path = f"{name.removesuffix('.json')}.mp4"
    try:
        data, written = custody.content(name)
        found = sidecars.read(data, path, check)
    except OSError as error:
        raise _Disbelief(f"it cannot be read: {error.strerror}") from error
    if isinstance(found, str):
        raise _Disbelief(found)
    try:
        sha256, size = custody.digest(path)
    except OSError as error:
        raise _Disbelief(f"its video cannot be read: {error.strerror}") from error
    if (sha256, size) != (found.facts["sha256"], found.facts["bytes"]):
        raise _Disbelief("its video is not the one that it speaks of: another sha256 or length")
    return written, found


def _settings(name: str, believed: Sequence[Sidecar], profiles: Sequence[Profile]) -> dict[str, Any]:
    """Return what the new ledger can remember: its name, and the profile whose address all jobs were sent to."""
    addresses = {one.facts["base_url"] for one in believed}
    fitting = [profile for profile in profiles if addresses == {profile.base_url}]
    settings: dict[str, Any] = {"name": name, "rebuilt": True}
    if len(fitting) == 1:
        price = fitting[0].price
        settings |= {"provider": fitting[0].name, "currency": price.currency if price else None}
    return settings


def _rescued(ledger: Path, folders: Sequence[Path], believed: Sequence[Sidecar]) -> tuple[tuple[str, str], ...]:
    has = {one.facts["video_id"] for one in believed}
    lines: list[dict[str, Any]] = []
    for path, ours in rescue.found(ledger, folders):
        with suppress(OSError):  # the next run says so
            lines += rescue.lines(path) if ours else ()
    found = {str(line.get("video_id")): str(line.get("name")) for line in lines if line.get("video_id") not in has}
    return tuple((name, video_id) for video_id, name in found.items())

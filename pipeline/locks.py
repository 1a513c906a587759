"""Locks on disk: written beside a manifest, found again, and held against what lies around them.

Reads the manifest and the files, and asks nobody.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import files, pinning, shipped
from pipeline.custody import Custody, Fault
from pipeline.errors import UsageError
from pipeline.folder import bytes_of
from pipeline.instructions import Options
from pipeline.jobs import Job
from pipeline.pinning import SUFFIX, Difference
from pipeline.validation import checker
from pipeline.videos import parse_object


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock that was read. ``manifest`` is the one that it is held against, if one was given."""

    path: Path
    manifest: Path | None
    content: Mapping[str, Any]


def beside(manifest: Path) -> Path:
    """Return where a manifest's lock lies."""
    return manifest.parent / f"{manifest.stem}{SUFFIX}"


def found(target: Path, file: Path | None) -> Lock | None:
    """Return the lock in the file, or the one beside the manifest; None where there is none.

    Raises UsageError for a file that is no lock.
    """
    manifest = None if target.is_dir() else target
    path = file or (beside(manifest) if manifest else None)
    if path is None or (file is None and not path.exists()):
        return None
    return Lock(path, manifest, read(path))


def read(path: Path) -> Mapping[str, Any]:
    """Return what a lock says. Raises UsageError for a file that is none."""
    content = parse_object(bytes_of(path, pinning.MAX_BYTES), pinning.MAX_BYTES)
    if content is None:
        raise UsageError(f"{path} is no lock: it is no JSON object")
    if broken := checker(shipped.schema("lock"))(content):
        raise UsageError(f"{path} is no lock: {broken[0].message}")
    return content


def differences(lock: Lock, options: Options, done: Iterable[Job] | None) -> Iterator[Difference]:
    """Yield where the lock, the manifest and the ledger do not agree. ``done`` are the ledger's, if there is one.

    Raises ManifestError for a manifest with mistakes.
    """
    content = lock.content
    yield from pinning.edited(content)
    if lock.manifest is not None:
        loaded = files.load(
            lock.manifest, variables={}, profiles=options.profiles, remembered=lambda name: content["variables"]
        )
        yield from pinning.from_the_manifest(
            content,
            campaign=loaded.manifest.name,
            provider=loaded.profile.name,
            profile=options.profiles.written(loaded.profile.name) or {},
            specs=loaded.specs,
        )
    if done is not None:
        yield from pinning.from_the_ledger(content, done)


def faults(lock: Lock, custody: Custody, proved: Collection[tuple[str, str]]) -> Iterator[Fault]:
    """Yield which files are not those that were locked; ``proved`` are paths and hashes that were looked at already."""
    for one in lock.content["jobs"]:
        video = one["video"]
        if video is not None and (video["path"], video["sha256"]) not in proved:
            different = custody.different(video["path"], video["sha256"], video["bytes"])
            if different is not None:
                yield Fault(one["job"], video["path"], *different)

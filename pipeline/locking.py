"""``lock``: what a campaign was asked and what came of it, written beside its manifest. Reads, and asks nobody."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline import __version__, locks, pinning, starter
from pipeline.blocking import in_a_thread
from pipeline.instructions import Options
from pipeline.ledger import reading
from pipeline.ledger.reading import Entry
from pipeline.pinning import Pinned
from pipeline.preparation import Prepared, prepare
from pipeline.videos import parse_object

_WITH_A_MODEL = frozenset({"accepted", "adopted", "progressed", "completed"})


@dataclass(frozen=True, slots=True)
class Locked:
    """A lock that was written. ``done`` of its ``jobs`` have a video. ``changed``: there was none, or another one."""

    name: str
    path: str
    file: Path
    jobs: int
    done: int
    changed: bool


@in_a_thread
def lock(manifest: Path, options: Options, file: Path | None) -> Locked:
    """Write the lock of a manifest, beside it or into ``file``. Jobs that are not done are pinned without a video.

    Raises ManifestError for a manifest with mistakes, UsageError where something that is no lock has the file's name.
    """
    path = file or locks.beside(manifest)
    before = locks.read(path) if path.exists() else None
    prepared = prepare(manifest, options)
    prepared.campaign.refuse_its_own(path)
    loaded = prepared.loaded
    content = pinning.document(
        campaign=loaded.manifest.name,
        callsheet=__version__,
        provider=loaded.profile.name,
        profile=options.profiles.written(loaded.profile.name) or {},
        variables={**prepared.remembered, **options.variables},
        pinned=_pinned(prepared),
    )
    if content != before:
        starter.write_over(path, pinning.text(content))
    done = sum(one["video"] is not None for one in content["jobs"])
    folder = str(prepared.campaign.folder.absolute())
    return Locked(loaded.manifest.name, folder, path, len(content["jobs"]), done, content != before)


def _pinned(prepared: Prepared) -> list[Pinned]:
    specs = prepared.loaded.specs
    if not prepared.campaign.ledger.exists():
        return [Pinned(spec) for spec in specs]
    with reading.opened(prepared.campaign.ledger) as connection:
        renamed = {renaming.spec.name: renaming.job for renaming in prepared.plan.renamings}
        known = {(job.name, job.request_hash): job for job in reading.jobs(connection)}
        asked = [(spec, known.get((spec.name, spec.request_hash), renamed.get(spec.name))) for spec in specs]
        return [Pinned(spec, job, _model(reading.events(connection, job)) if job else None) for spec, job in asked]


def _model(events: Sequence[Entry]) -> str | None:
    """Return the model that the server named last, of the attempt that is under way or done."""
    model = None
    for entry in events:
        named = (parse_object(entry.raw) or {}).get("model") if entry.kind in _WITH_A_MODEL else None
        model = named if isinstance(named, str) else None if entry.kind == "intended" else model
    return model

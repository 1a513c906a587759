"""Handing over what was rendered: a dataset of the finished videos, made at any moment, also during a run.

The ledger is read as it is at one instant; only what is done by then is in it, and every file is held against its
record first. Needs no manifest, no key and no network.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from pipeline import replacing, rows, sharding
from pipeline.blocking import checkpoint, in_a_thread
from pipeline.cards import UNKNOWN, Card, card
from pipeline.checking import fits
from pipeline.custody import Custody, Fault
from pipeline.errors import UsageError
from pipeline.formats import FORMATS, Format, Known, Shape, line
from pipeline.instructions import Options
from pipeline.jobs import FOR_A_PERSON, OVER, Failure, FailureKind, Job, State
from pipeline.ledger import reading
from pipeline.outputs import Outputs
from pipeline.replacing import ABOUT, CARD, KIND, Before
from pipeline.splits import ONE, Splits
from pipeline.staging import Growing, Stage, Tree, staged
from pipeline.surroundings import campaign_of, title

FAILURES = "failures.jsonl"
_LICENCE = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}")
_MODELS_AT_MOST = 20

Observer = Callable[[int], None]
"""Is told how many videos are in the new folder."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person wants exported, in which format, and where to.

    ``picked``: only what a person has picked. ``shards`` None: as many as the export before had, or as the size
    suggests. ``quick``: of a video that is linked, or stays where it is, the length and the structure are looked at
    and not every byte.
    """

    form: str
    to: Path
    splits: Splits = ONE
    shards: int | None = None
    renames: Mapping[str, str] = field(default_factory=dict)
    licence: str | None = None
    picked: bool = False
    quick: bool = False

    @property
    def known(self) -> Known:
        return FORMATS[self.form]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A video that the ledger has and the export has not. ``path`` is relative to the campaign."""

    job: str
    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export came to. ``placed``: the new folder is in its place; else what was there was left there.

    ``unfinished`` jobs may still get a video, ``orphaned`` ones have one that the manifest no longer asks for.
    """

    name: str
    path: str
    form: str
    to: str
    videos: Mapping[str, int]
    bytes: int
    linked: int
    copied: int
    shards: int | None
    failures: int
    unfinished: int
    orphaned: int
    left_out: tuple[LeftOut, ...]
    kept_card: bool
    placed: bool

    @property
    def exit_code(self) -> int:
        return int(bool(self.left_out))


@in_a_thread
def export(target: Path, options: Options, wanted: Wanted, observe: Observer = lambda videos: None) -> Exported:
    """Make a dataset of the finished videos, whole or not at all.

    An export that is there is replaced by one that leaves no video out; its files may be the last copies.
    Raises UsageError for what cannot be asked for, and for a place that holds something else; LedgerError where there
    is no ledger, StorageError where the disk refuses.
    """
    called = _called(wanted)
    campaign, place = campaign_of(target, options.output), wanted.to.resolve()
    campaign.refuse_its_own(place)
    with reading.opened(campaign.ledger) as connection, Custody(campaign.folder) as custody:
        settings = reading.settings(connection)
        name, path, _ = title(campaign, settings)
        before = replacing.before(place, campaign=name, form=wanted.form)
        shards = wanted.shards or (before and before.shards) or sharding.shards_for(reading.recorded_bytes(connection))
        with staged(place) as stage:
            may_have = _nothing
            if before and wanted.known.files:
                may_have = partial(_is_gone, campaign.outputs, reading.shared_paths(connection))
            shape, provider = Shape(called, shards), settings.get("provider") or ""
            packing = _Packing(stage, wanted, shape, custody, provider, may_have=may_have)
            words = dict.fromkeys(options.select, False)
            for job, heard in reading.by_name(connection):
                checkpoint()
                fitting = [word for word in words if fits(job, word)]
                words.update(dict.fromkeys(fitting, True))
                if (words and not fitting) or (wanted.picked and not job.picked):
                    packing.pass_over(job)
                else:
                    packing.take(job, heard)
                    observe(sum(packing.videos.values()))
            for word, fitted in words.items():
                if not fitted:
                    raise UsageError(f"--select {word!r} fits no job")
            packing.finish(name, before)
            stage.fit = not (packing.left_out and before)
        return Exported(
            name=name,
            path=path,
            form=wanted.form,
            to=str(place),
            videos=dict(packing.videos),
            bytes=packing.bytes,
            linked=packing.tree.linked,
            copied=packing.tree.copied,
            shards=shards if wanted.known.sharded else None,
            failures=packing.failures,
            unfinished=packing.unfinished,
            orphaned=packing.orphaned,
            left_out=tuple(packing.left_out),
            kept_card=before is not None and before.card is not None,
            placed=stage.fit,
        )


def _called(wanted: Wanted) -> Mapping[str, str]:
    """Return what the columns are called. Raises UsageError for what the format has not."""
    known, form = wanted.known, wanted.form
    if wanted.shards is not None and not known.sharded:
        raise UsageError(f"--shards is for webdataset; {form} has none")
    if wanted.licence is not None and known.files is None:
        raise UsageError(f"--license goes into the card of a videofolder or a webdataset; {form} has none")
    if wanted.licence is not None and not _LICENCE.fullmatch(wanted.licence):
        raise UsageError(f"--license takes an identifier of the Hub, such as cc-by-4.0; this is {wanted.licence!r}")
    called = rows.names(wanted.renames)
    if isinstance(called, str):
        raise UsageError(f"--rename: {called}")
    for name in known.fixed:
        if called[name] != name:
            raise UsageError(f"--rename: a {form} needs its column {name}")
    return called


def _nothing(job: Job) -> bool:
    return False


def _is_gone(outputs: Outputs, shared: Collection[str], job: Job) -> bool:
    """Tell whether the campaign had the job's video and has it no more."""
    if job.path is None:
        return False
    if job.path in shared:  # another video of the same length may have its name now
        return not outputs.has(job.path, job.sha256 or "")
    return not outputs.intact(job)


class _Packing:
    """The new folder while it is filled: what is in it, what is not, and why not.

    ``may_have`` tells whether the export that it replaces may have the last copy of a job's video.
    """

    def __init__(
        self,
        stage: Stage,
        wanted: Wanted,
        shape: Shape,
        custody: Custody,
        provider: str,
        *,
        may_have: Callable[[Job], bool],
    ) -> None:
        self.videos = Counter[str](dict.fromkeys(wanted.splits.names, 0))
        self.bytes = self.failures = self.unfinished = self.orphaned = 0
        self.left_out = list[LeftOut]()
        self.tree = Tree(stage.folder)
        self._wanted, self._shape, self._custody, self._provider = wanted, shape, custody, provider
        self._format: Format = wanted.known.make(self.tree, shape)
        self._failures: Growing = self.tree.new(FAILURES)
        self._seconds, self._models, self._last = 0.0, Counter[str](), ""
        self._may_have = may_have

    def pass_over(self, job: Job) -> None:
        """Leave aside what nobody asks for, but for the last copy of it."""
        if self._may_have(job):
            self.left_out.append(LeftOut(job.name, job.path or "", "missing, and the export that is there may have it"))

    def take(self, job: Job, heard: float | None) -> None:
        """Put a job where it belongs. Jobs come by name, each once unless the ledger has two requests of a name."""
        if job.orphaned:
            self.orphaned += job.state is State.DONE
            self.pass_over(job)
        elif job.state is State.DONE:
            self._video(job, heard)
        elif job.path is not None:
            self._leave_out(job, f"missing: it is {job.state.value.replace('_', ' ')} now, and was finished before")
        elif job.state in OVER | FOR_A_PERSON:
            self._failure(job, job.failure)
        else:
            self.unfinished += 1

    def finish(self, name: str, before: Before | None) -> None:
        """Write what is about all of it."""
        self._format.close()
        self.tree.finish(self._failures)
        files, shape = self._wanted.known.files, self._shape
        own = None
        if files is not None:
            text = card(self._card(name, files))
            own = rows.prompt_sha256(text)
            self.tree.text(CARD, before.card if before and before.card is not None else text)
        about = {
            "schema_version": 1,
            "kind": KIND,
            "campaign": name,
            "format": self._wanted.form,
            "videos": dict(self.videos),
            "failures": self.failures,
            "shards": shape.shards if self._wanted.known.sharded else None,
            "columns": dict(shape.called),
            "card_sha256": own,
        }
        self.tree.text(ABOUT, line(about))
        self.tree.close()

    def _video(self, job: Job, heard: float | None) -> None:
        if job.name == self._last:
            self._leave_out(job, "another video of a job of this name is in: a run tells which of them is asked for")
            return
        self._last = job.name
        clip = self._custody.clip(job, quick=self._wanted.quick and not self._wanted.known.sharded)
        if isinstance(clip, Fault):
            self._leave_out(job, f"{clip.wrong.value}: {clip.message}")
            return
        with clip.file:
            split = self._wanted.splits.of(rows.prompt_sha256(rows.prompt_of(job)))
            file_name = self._format.file_name(job)
            facts: dict[str, Any] = {"provider": self._provider, "split": split, "completed_at": heard}
            row = rows.row(job, clip.found, file_name=file_name, **facts)
            if not self._format.add(row, clip):
                self._leave_out(job, "changed: its bytes are not those that were recorded: another sha256")
                return
        self.videos[split] += 1
        self.bytes += row["bytes"]
        self._seconds += row["duration_s"]
        self._models[row["model"]] += 1

    def _leave_out(self, job: Job, reason: str) -> None:
        self.left_out.append(LeftOut(job.name, job.path or "", reason))
        self._failure(job, job.failure or Failure(FailureKind.BAD_OUTPUT, reason))

    def _failure(self, job: Job, why: Failure | None) -> None:
        self.failures += 1
        self._failures.write(line(rows.failure(job, self._provider, why)).encode())

    def _card(self, name: str, files: str) -> Card:
        splits = self._wanted.splits
        return Card(
            name=name,
            licence=self._wanted.licence or UNKNOWN,
            videos=self.videos,
            seconds=self._seconds,
            models=[model for model, _ in self._models.most_common(_MODELS_AT_MOST)],
            rule=splits.rule,
            files=files,
            called=self._shape.called,
        )

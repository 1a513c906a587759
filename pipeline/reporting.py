"""The verb that makes a page of a campaign: of its ledger, during a run or long after, and of the videos on its disk.

Asks no server, takes no lock, and changes nothing but the page and a folder of thumbnails, which may be deleted.
"""

import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import BinaryIO
from urllib.parse import quote_from_bytes

from pipeline.blocking import checkpoint, in_a_thread
from pipeline.campaign import Campaign
from pipeline.custody import Custody
from pipeline.errors import StorageError
from pipeline.instructions import Options
from pipeline.jobs import State
from pipeline.ledger import reading
from pipeline.report import page
from pipeline.report.frames import Footage, History
from pipeline.sidecars import FOLDER, REJECTED
from pipeline.summary import Status
from pipeline.surroundings import campaign_of, title
from pipeline.trails import refuse_to_replace

THUMBNAILS = ".thumbs"
"""The folder of the campaign that keeps the thumbnails by the hash of their video. Hidden: a tool that makes a dataset
of a folder takes pictures in it for data."""

_OURS = re.compile(rb'\A<!doctype html>.{,80}<meta name="generator" content="callsheet report">', re.DOTALL)
MOST = 2000
"""Videos whose thumbnails stand in the page, some twelve kilobytes each; the others show themselves when they are on
screen."""


@dataclass(frozen=True, slots=True)
class Reported:
    """What was made. ``missing`` are finished videos that are not on the disk; ``note`` says what the page lacks."""

    name: str
    path: str
    page: str
    bytes: int
    jobs: int
    videos: int
    missing: int
    thumbnails: int
    note: str | None


@in_a_thread
def report(target: Path, options: Options, to: Path | None) -> Reported:
    """Write the page, whole or not at all, and return what is in it.

    Raises LedgerError where there is no ledger, UsageError where something else lies there or the campaign keeps its
    own, StorageError where the page cannot be written.
    """
    campaign = campaign_of(target, options.output)
    where = Path(os.path.abspath(to or campaign.folder / "report.html"))  # noqa: PTH100  # links stay: a browser has none
    campaign.refuse_its_own(where)
    refuse_to_replace(where, _OURS)
    with reading.opened(campaign.ledger) as connection:
        settings, account = reading.settings(connection), reading.account(connection)
        histories = [History(job, entries) for job, entries in reading.histories(connection)]
    name, path, currency = title(campaign, settings)
    jobs, files = tuple(history.job for history in histories), _files(histories)
    footage, note = _footage(campaign, where.parent, files)
    made = page.html(
        page.Account(
            Status(name, path, currency, jobs, account.max_cost, account.max_videos),
            provider=settings.get("provider"),
            histories=histories,
            footage=footage,
            made=time.time(),
            limit=settings.get("requests_per_minute"),
            note=note,
        )
    ).encode()
    _write(where, made)
    seen = [one for one in footage.values() if one.url]
    thumbnails = sum(one.poster is not None for one in seen)
    return Reported(
        name, path, str(where), len(made), len(histories), len(seen), len(files) - len(seen), thumbnails, note
    )


def _files(histories: Iterable[History]) -> dict[str, str]:
    """Return the sha256 of every video that should be on the disk, by its path: the finished and those sent back."""
    files: dict[str, str] = {}
    for history in histories:
        job = history.job
        if job.state is State.DONE and job.path and job.sha256:
            files[job.path] = job.sha256
        files |= {path: sha256 for path, sha256, _ in history.rejected}
    return files


def _footage(campaign: Campaign, beside: Path, files: Mapping[str, str]) -> tuple[dict[str, Footage], str | None]:
    """Return what there is of each file, and what the page lacks."""
    posters = _posters()
    note = None
    if posters is None:
        note = 'There are no thumbnails: they need pip install "callsheet[report]".'
    elif len(files) > MOST:
        note = f"The first {MOST:,} videos have thumbnails; the others show themselves when they are on screen."
    shelf = campaign.folder / THUMBNAILS
    with ExitStack() as stack:
        kept = {name: stack.enter_context(Custody(campaign.folder, name)) for name in (FOLDER, REJECTED)}
        pool = ThreadPoolExecutor(os.cpu_count())
        stack.callback(pool.shutdown, cancel_futures=True)
        look = partial(_look, kept, campaign.folder, beside)
        here = dict(zip(files, pool.map(look, files), strict=True))
        if posters is not None:
            wanted = [path for path in files if here[path].url][:MOST]
            if wanted:
                with suppress(OSError):  # then nothing is kept, and the next report takes as long
                    shelf.mkdir(exist_ok=True)
            develop = partial(_developed, kept, shelf, posters.poster)
            for path, picture in zip(wanted, pool.map(develop, wanted, [files[path] for path in wanted]), strict=True):
                checkpoint()
                if picture is not None:
                    here[path] = Footage(path, here[path].url, posters.data_url(picture))
    return here, note


def _posters() -> ModuleType | None:
    try:
        from pipeline.report import posters  # noqa: PLC0415  # an extra
    except ImportError:
        return None
    return posters


def _opened(kept: Mapping[str, Custody], path: str) -> BinaryIO:
    """Open a video of the campaign. Raises OSError."""
    custody = kept.get(path.partition("/")[0])
    if custody is None:
        raise FileNotFoundError(path)
    return custody.opened(path)


def _look(kept: Mapping[str, Custody], folder: Path, beside: Path, path: str) -> Footage:
    """Return where the page finds the file, or that it is not there."""
    try:
        _opened(kept, path).close()
    except OSError:
        return Footage(path, None)
    return Footage(path, relative_url(folder / path, beside))


def relative_url(file: Path, folder: Path) -> str:
    """Return the URL of a file as seen from a page in the folder. Whatever a name has in it is part of the name."""
    return quote_from_bytes(os.fsencode(os.path.relpath(file, folder)), safe="/")


def _developed(
    kept: Mapping[str, Custody], shelf: Path, poster: Callable[[BinaryIO], bytes | None], path: str, sha256: str
) -> bytes | None:
    """Return the thumbnail of a video, kept from an earlier report where there is one."""
    made = shelf / f"{sha256}.webp"
    with suppress(OSError):
        return made.read_bytes()
    try:
        with _opened(kept, path) as file:
            picture = poster(file)
    except OSError:
        return None
    if picture is not None:
        with suppress(OSError):
            _replace(made, picture)
    return picture


def _write(path: Path, data: bytes) -> None:
    try:
        _replace(path, data)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror or error}") from error


def _replace(path: Path, data: bytes) -> None:
    """Have the bytes under this name at once: who reads it sees the old ones or the new ones."""
    unborn = path.with_name(f".{path.name[:200]}.{os.getpid()}.new")
    try:
        unborn.write_bytes(data)
        unborn.replace(path)
    except BaseException:
        unborn.unlink(missing_ok=True)
        raise

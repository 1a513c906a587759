"""What the ledger's word means for the files: the promises that no power cut may break."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import PurePosixPath

from disk.operations import Operation, Recorded, Recording
from disk.platter import Content, State

from pipeline.jobs import Job
from pipeline.jobs import State as Stand

LEDGER = "ledger.db"


@dataclass
class Promises:
    """What the ledger may say of each request, and which videos it has said to be whole.

    ``kept``: what other people's files hold, which must not change. ``parts``: a job that is verified must have its
    file, so that it need not be downloaded again; without it, only the names that files have are looked at.
    """

    kept: State = field(default_factory=dict)
    parts: bool = False
    said: dict[str, tuple[Job, ...]] = field(default_factory=dict)
    whole: set[str] = field(default_factory=set)

    def say(self, job: Job) -> None:
        """The ledger says this and nothing else of the job."""
        self.said[job.request_hash] = (job,)
        if job.sha256 is not None:
            self.whole.add(job.sha256)

    def may_say(self, job: Job) -> None:
        """The ledger may say this of the job already, or still what it said before."""
        self.said[job.request_hash] = (*self.said.get(job.request_hash, ()), job)

    def broken(self, state: State) -> Iterator[str]:
        """Yield each promise that the campaign's folder breaks."""
        for path, content in self.kept.items():
            if state.get(path) != content:
                yield f"{path}, somebody else's, was changed"
        for path, content in state.items():
            if content is not None and path not in self.kept:
                yield from self._half(PurePosixPath(path), content)
        for job in (job for jobs in self.said.values() for job in jobs):
            if job.state is Stand.DONE:
                yield from _not_done(job, state)
            elif job.state is Stand.VERIFIED and self.parts and not _has_file(job, state):
                yield f"{job.name} is verified, and its file is gone"

    def _half(self, path: PurePosixPath, content: Content) -> Iterator[str]:
        """Yield what is wrong with a file that has its final name."""
        if path.name.startswith(".") or path.parts[0] != "videos":
            return
        if path.suffix == ".mp4" and content.sha256 not in self.whole:
            yield f"{path} has a video's name, and the ledger knows no such video"
        if path.suffix == ".json" and (_sidecar(content) or {}).get("sha256") not in self.whole:
            yield f"{path} is half a sidecar"


class Heard:
    """A witness of a recording: it hears what the ledger says and is about to say, and holds the files against it."""

    def __init__(self, promises: Promises, campaign: str = "") -> None:
        """``campaign``: the path of the campaign's folder in the folder that is watched."""
        self._promises, self._campaign = promises, campaign

    def heed(self, operation: Operation) -> bool:
        match operation:
            case Recording(job):
                self._promises.may_say(job)
            case Recorded(job):
                self._promises.say(job)
            case _:
                return False
        return True

    def broken(self, state: State) -> Iterator[str]:
        inside = below(state, self._campaign)
        if self._promises.said and LEDGER not in inside:
            yield "the ledger is gone"
        else:
            yield from self._promises.broken(inside)


def below(state: State, folder: str) -> State:
    """Return what lies below the folder, by its path in there."""
    prefix = f"{folder}/" if folder else ""
    return {path.removeprefix(prefix): content for path, content in state.items() if path.startswith(prefix)}


def _not_done(job: Job, state: State) -> Iterator[str]:
    assert job.path is not None
    file = state.get(job.path)
    beside = state.get(str(PurePosixPath(job.path).with_suffix(".json")))
    if file is None or file.sha256 != job.sha256:
        yield f"{job.name} is done, and {job.path} is {'missing' if file is None else 'wrong'}"
    elif file.mode != 0o666 & ~umask():
        yield f"{job.name} is done, and the mode of {job.path} is {file.mode:o}"
    if beside is None or (_sidecar(beside) or {}).get("sha256") != job.sha256:
        yield f"{job.name} is done, and its sidecar is {'missing' if beside is None else 'wrong'}"


def _has_file(job: Job, state: State) -> bool:
    folder = PurePosixPath("videos", job.output).parent
    return any(
        content is not None and PurePosixPath(path).parent == folder and content.sha256 == job.sha256
        for path, content in state.items()
    )


@lru_cache(maxsize=256)
def _sidecar(content: Content) -> dict[str, object] | None:
    """Return what a sidecar says, or None where it is not whole."""
    try:
        found = json.loads(content.data)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def umask() -> int:
    """Return this process's own, which a command that it starts has too."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask

"""What can be done to the files of a folder: the words in which a recording and a trace tell it to the model.

A node is a file or a folder, whatever its names are; paths are relative to the folder that is watched.
"""

from dataclasses import dataclass

from pipeline.jobs import Job


@dataclass(frozen=True, slots=True)
class Created:
    """A new and empty file under a new name."""

    node: int
    path: str
    mode: int


@dataclass(frozen=True, slots=True)
class FolderMade:
    node: int
    path: str


@dataclass(frozen=True, slots=True)
class Linked:
    """The node has this name too."""

    node: int
    path: str


@dataclass(frozen=True, slots=True)
class Renamed:
    """Also over a file that had the new name."""

    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Unlinked:
    path: str


@dataclass(frozen=True, slots=True)
class Written:
    node: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncated:
    node: int
    size: int


@dataclass(frozen=True, slots=True)
class ModeSet:
    node: int
    mode: int


@dataclass(frozen=True, slots=True)
class Synced:
    """What was written to this file, or changed in this folder, is on the platter."""

    node: int


@dataclass(frozen=True, slots=True)
class Recording:
    """The ledger is about to say this of the job: from here on it may."""

    job: Job


@dataclass(frozen=True, slots=True)
class Recorded:
    """The ledger has acknowledged: from here on it must."""

    job: Job


@dataclass(frozen=True, slots=True)
class Acted:
    """Somebody was told, or asked, something that only a recorded event justifies: ``kind`` of event, and of what."""

    kind: str
    about: str


Change = Created | FolderMade | Linked | Renamed | Unlinked | Written | Truncated | ModeSet | Synced
Mark = Recording | Recorded | Acted
Operation = Change | Mark

"""What an export's folder looks like inside: tables of rows, a video folder, or tar shards.

Every format takes rows in the order of their names, one at a time, and holds none of them longer than it must.
"""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any, Protocol

from pipeline import parquet, sharding
from pipeline.custody import Clip
from pipeline.errors import UsageError
from pipeline.jobs import Job
from pipeline.rows import COLUMNS, Kind, cell, key
from pipeline.staging import Growing, Tree

Row = Mapping[str, Any]

_TYPES: Mapping[Kind, type] = {Kind.TEXT: str, Kind.WHOLE: int, Kind.NUMBER: float, Kind.FLAG: bool}


@dataclass(frozen=True, slots=True)
class Shape:
    """What a format needs to know before its first row: what columns are ``called``, and how many ``shards``."""

    called: Mapping[str, str]
    shards: int


class Format(Protocol):
    """A folder that is being filled."""

    def file_name(self, job: Job) -> str:
        """Return what the job's row says of its file."""
        ...

    def add(self, row: Row, clip: Clip) -> bool:
        """Add a video. False, and nothing is added, for one that is not what was recorded any more."""
        ...

    def close(self) -> None:
        """Finish every file."""
        ...


class _Table:
    """One table; the videos stay in the campaign's folder. A subclass writes lines."""

    name = "videos.jsonl"

    def __init__(self, tree: Tree, shape: Shape) -> None:
        self._tree, self._called = tree, shape.called
        self._file = tree.new(self.name)
        self._begin()

    def file_name(self, job: Job) -> str:
        return job.path or ""

    def add(self, row: Row, clip: Clip) -> bool:
        self._file.write(self._line(row).encode())
        return True

    def close(self) -> None:
        self._tree.finish(self._file)

    def _begin(self) -> None: ...

    def _line(self, row: Row) -> str:
        return line(renamed(row, self._called))


class _Csv(_Table):
    """RFC 4180, in UTF-8. Texts that a spreadsheet would run begin with an apostrophe."""

    name = "videos.csv"

    def _begin(self) -> None:
        self._file.write(_csv_line(self._called.values()).encode())

    def _line(self, row: Row) -> str:
        return _csv_line(cell(value) for value in row.values())


class _Parquet:
    def __init__(self, tree: Tree, shape: Shape) -> None:
        self._tree, self._called = tree, shape.called
        columns = {shape.called[column.name]: _TYPES[column.kind] for column in COLUMNS}
        self._writer = parquet.Writer(tree.folder / "videos.parquet", columns)

    def file_name(self, job: Job) -> str:
        return job.path or ""

    def add(self, row: Row, clip: Clip) -> bool:
        self._writer.write(renamed(row, self._called))
        return True

    def close(self) -> None:
        self._writer.close()
        self._tree.adopt("videos.parquet")


class _VideoFolder:
    """``data/<split>/`` with the videos and their ``metadata.jsonl``: what ``datasets`` loads."""

    def __init__(self, tree: Tree, shape: Shape) -> None:
        self._tree, self._called = tree, shape.called
        self._tables: dict[str, Growing] = {}

    def file_name(self, job: Job) -> str:
        return f"{key(job.name)}.mp4"

    def add(self, row: Row, clip: Clip) -> bool:
        folder = f"data/{row['split']}"
        if not self._tree.place(f"{folder}/{row['file_name']}", clip, row["sha256"]):
            return False
        table = self._tables.get(folder)
        if table is None:
            table = self._tables[folder] = self._tree.new(f"{folder}/metadata.jsonl")
        table.write(line(renamed(row, self._called)).encode())
        return True

    def close(self) -> None:
        for _, table in sorted(self._tables.items()):
            self._tree.finish(table)


class _WebDataset:
    """``data/<split>/<number>.tar``, in which a video is ``<key>.json``, ``<key>.mp4`` and ``<key>.txt``, its prompt.

    Only shards that hold a video are there.
    """

    def __init__(self, tree: Tree, shape: Shape) -> None:
        self._tree, self._shape = tree, shape
        self._shards: dict[str, Growing] = {}

    def file_name(self, job: Job) -> str:
        return f"{key(job.name)}.mp4"

    def add(self, row: Row, clip: Clip) -> bool:
        if row["bytes"] > sharding.LONGEST:
            raise UsageError(f"{row['id']} is longer than a tar can hold: choose another --format")
        shard = self._shard(f"data/{row['split']}/{sharding.shard_of(row['id'], self._shape.shards):05}.tar")
        stem = row["file_name"].removesuffix(".mp4")
        about = json.dumps(renamed(row, self._shape.called), ensure_ascii=False)
        _member(shard, f"{stem}.json", about.encode())
        shard.write(sharding.header(f"{stem}.mp4", row["bytes"]))
        shard.copy(clip.file, row["bytes"])
        shard.write(sharding.padding(row["bytes"]))
        _member(shard, f"{stem}.txt", row["prompt"].encode())
        shard.flush()
        return True

    def close(self) -> None:
        for _, shard in sorted(self._shards.items()):
            shard.write(sharding.END)
            self._tree.finish(shard)

    def _shard(self, path: str) -> Growing:
        found = self._shards.get(path)
        if found is None:
            found = self._shards[path] = self._tree.new(path)
        return found


def _member(shard: Growing, name: str, data: bytes) -> None:
    shard.write(sharding.header(name, len(data)))
    shard.write(data)
    shard.write(sharding.padding(len(data)))


def renamed(row: Row, called: Mapping[str, str]) -> dict[str, Any]:
    """Return the row under the names that its columns are called by."""
    return {called[name]: value for name, value in row.items()}


def line(value: Row) -> str:
    """Return a line of JSON. Text is as it is: a dataset needs the true prompt."""
    return f"{json.dumps(dict(value), ensure_ascii=False)}\n"


def _csv_line(cells: Any) -> str:
    written = StringIO()
    csv.writer(written, lineterminator="\r\n").writerow(cells)
    return written.getvalue()


@dataclass(frozen=True, slots=True)
class Known:
    """A format that can be asked for. ``files`` is the pattern of a split's files, where ``datasets`` loads it;
    ``copies`` whether it has the bytes of the videos in it, and ``fixed`` are columns that keep their names."""

    make: Callable[[Tree, Shape], Format]
    files: str | None = None
    sharded: bool = False
    fixed: Sequence[str] = ()


FORMATS: Mapping[str, Known] = {
    "jsonl": Known(_Table),
    "csv": Known(_Csv),
    "parquet": Known(_Parquet),
    "videofolder": Known(_VideoFolder, "data/{split}/**", fixed=("file_name",)),
    "webdataset": Known(_WebDataset, "data/{split}/*.tar", sharded=True),
}

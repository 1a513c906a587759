"""A row of the dataset: what a trainer wants to know of one video, under names that stay. Pure.

Every column has one type in every row and is never absent or null: readers infer types from the first rows, or from
one split, and fail on the next. So what is a list or a mapping is written as JSON text.
"""

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

from pipeline.jobs import Failure, Job, canonical_json
from pipeline.mp4 import Mp4


class Kind(StrEnum):
    """The type of a column. The value is the word in the documentation."""

    TEXT = "text"
    WHOLE = "whole number"
    NUMBER = "number"
    FLAG = "true or false"


class Column(NamedTuple):
    """A column and what it says."""

    name: str
    kind: Kind
    meaning: str


_T, _W, _N, _F = Kind.TEXT, Kind.WHOLE, Kind.NUMBER, Kind.FLAG

COLUMNS = (
    Column("file_name", _T, "the video's file: below `metadata.jsonl`, in the shard, or below the campaign's folder"),
    Column("id", _T, "the job's name, `id@cell#take`"),
    Column("prompt", _T, "the prompt as it was sent"),
    Column("model", _T, "the model that was asked for"),
    Column("provider", _T, "the profile of the campaign's last run"),
    Column("seconds", _T, "the length that was asked for, in the API's words"),
    Column("duration_s", _N, "the length of the file"),
    Column("width", _W, "pixels, as shown"),
    Column("height", _W, "pixels, as shown"),
    Column("fps", _N, "frames per second, on average"),
    Column("num_frames", _W, "frames of the video track"),
    Column("codec", _T, "`h264`, `hevc`, `av1` ..., or empty"),
    Column("has_audio", _F, "whether the file has a sound track"),
    Column("sha256", _T, "of the file, as recorded when it was downloaded"),
    Column("bytes", _W, "length of the file"),
    Column("video_id", _T, "the server's id"),
    Column("created_at", _T, "when the server took the job, UTC, ISO 8601"),
    Column("completed_at", _T, "when the run heard that it was ready; in a rebuilt ledger, when that was built"),
    Column("prompt_sha256", _T, "sha256 of the prompt in UTF-8; decides the split"),
    Column("request_sha256", _T, "the job's identity: of all that affects pixels, and the take"),
    Column("split", _T, "`train`, or one of `--splits`"),
    Column("take", _W, "which take of the same request"),
    Column("tags", _T, "JSON: a list of text"),
    Column("metadata", _T, "JSON: the job's metadata and kept columns"),
    Column("parameters", _T, "JSON: what else was sent, such as `size`, `input_reference` and `extra_body`"),
)
NAMES = tuple(column.name for column in COLUMNS)

_COLUMNS_OF_THEIR_OWN = frozenset({"model", "prompt", "seconds", "metadata"})


def row(
    job: Job, found: Mp4, *, file_name: str, provider: str, split: str, completed_at: float | None
) -> dict[str, Any]:
    """Return the row of a finished video. ``found`` is what its file holds."""
    request = job.request
    values = {
        "file_name": file_name,
        "model": str(request.get("model", "")),
        "provider": provider,
        "duration_s": round(float(found.duration), 6),
        "width": found.width,
        "height": found.height,
        "fps": round(float(found.fps), 3),
        "num_frames": found.frames,
        "codec": found.codec,
        "has_audio": found.audio,
        "sha256": job.sha256 or "",
        "bytes": job.bytes or 0,
        "created_at": stamp(job.submitted_at),
        "completed_at": stamp(completed_at),
        "split": split,
        "parameters": canonical_json({k: v for k, v in request.items() if k not in _COLUMNS_OF_THEIR_OWN}),
        **_asked(job),
    }
    return {name: values[name] for name in NAMES}


def failure(job: Job, provider: str, why: Failure | None) -> dict[str, Any]:
    """Return the line about a job that has no video, with the reason in the server's words or in ours."""
    return {
        **_asked(job),
        "model": str(job.request.get("model", "")),
        "provider": provider,
        "state": job.state.value,
        "error_kind": why.kind.value if why else "",
        "error_message": why.message if why else "",
        "error_code": (why.code if why else None) or "",
    }


def _asked(job: Job) -> dict[str, Any]:
    prompt, take = prompt_of(job), job.name.rpartition("#")[2]
    return {
        "id": job.name,
        "prompt": prompt,
        "seconds": str(job.request.get("seconds", "")),
        "video_id": job.video_id or "",
        "prompt_sha256": prompt_sha256(prompt),
        "request_sha256": job.request_hash,
        "take": int(take) if take.isascii() and take.isdigit() else 1,
        "tags": canonical_json(list(job.tags)),
        "metadata": canonical_json(dict(job.metadata)),
    }


def prompt_of(job: Job) -> str:
    return str(job.request.get("prompt", ""))


def prompt_sha256(prompt: str) -> str:
    return hashlib.sha256(prompt.encode()).hexdigest()


def stamp(seconds: float | None) -> str:
    """Return a time in UTC, in ISO 8601 to the millisecond; nothing where there is none, or no such date."""
    try:
        when = None if seconds is None else datetime.fromtimestamp(round(seconds, 3), UTC)
    except (ValueError, OverflowError, OSError):
        return ""
    return "" if when is None else f"{when:%Y-%m-%dT%H:%M:%S}.{when.microsecond // 1000:03}Z"


_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}")
_AMBIGUOUS = re.compile(r"__|_@|@_|#.*#")


def key(name: str) -> str:
    """Return a job's name as the stem of its file: unique, and safe in every file system, tar and WebDataset.

    WebDataset ends a key at its first dot. Where the name cannot be read back from it, eight digits of the name's
    hash follow.
    """
    stem = name.replace("@", "__").replace("#", "-t")
    if _PLAIN.fullmatch(stem) and not _AMBIGUOUS.search(name):
        return stem
    near = re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-_")[:80]
    return f"{near or 'video'}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


_RENAMED = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_TAKEN = frozenset({"video", "label"})
"""Columns that ``datasets`` makes of its own."""


def names(renames: Mapping[str, str]) -> dict[str, str] | str:
    """Return what each column is called, or in words why it cannot be called so."""
    for old, new in renames.items():
        if old not in NAMES:
            return f"there is no column {old!r}"
        if not _RENAMED.fullmatch(new) or new in _TAKEN or new.endswith("_file_name"):
            return f"no column can be called {new!r}"
    called = {name: renames.get(name, name) for name in NAMES}
    if len({*called.values()}) < len(called):
        return "two columns would have the same name"
    return called


_FORMULA = re.compile(r"'*[=+\-@\t\r]")


def cell(value: Any) -> Any:
    """Return a value as a CSV has it: a text that a spreadsheet would take for a formula begins with an apostrophe.

    One that looks like such a text already has one more, so taking one away from ``'*[=+-@...`` gives it back.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value

"""The wire format of ``/v1/videos``: what servers answer, as values. Pure.

Lenient where servers differ (missing and extra keys, numbers as text, foreign status words), strict where a wrong
reading costs money: an id is an id or nothing. Every rule here was seen on a real server.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from types import MappingProxyType
from typing import Any

from pipeline.classes import NO_CODES, Codes, video_failure
from pipeline.envelopes import storable, text
from pipeline.jobs import Failure

MAX_JSON = 1 << 20
"""Bytes of an answer that are read as JSON. A Video object has a few hundred, an error a few thousand."""

MAX_PAGE = 16 << 20
"""Bytes of a page of the list: a hundred videos with their prompts."""

REFERENCE = "callsheet_ref"
"""The key in a job's metadata under which our own reference travels, where a profile says that it is echoed."""

_ID = re.compile(r"[^\x00-\x20\x7f-\x9f\ud800-\udfff]{1,512}")


class Status(Enum):
    """What a server's status word means for us."""

    ACTIVE = auto()
    READY = auto()
    FAILED = auto()
    GONE = auto()


_WORDS = {
    Status.READY: "completed complete succeeded success finished",
    Status.FAILED: "failed failure fail error cancelled canceled rejected",
    Status.GONE: "expired deleted",
}
_STATUS = {word: status for status, words in _WORDS.items() for word in words.split()}
Words = Mapping[str, Status]
"""What status words mean at one server, in small letters."""
NO_WORDS: Words = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Page:
    """A part of the server's list. ``date`` is the server's clock, in seconds since the epoch."""

    videos: tuple["Video", ...]
    last_id: str | None
    has_more: bool
    date: float | None = None


@dataclass(frozen=True, slots=True)
class Video:
    """The server's Video object. ``word`` is its status as written; times are seconds since the epoch."""

    id: str
    word: str
    status: Status
    progress: float | None = None
    created_at: float | None = None
    expires_at: float | None = None
    size: str | None = None
    seconds: str | None = None
    prompt: str | None = None
    model: str | None = None
    reference: str | None = None
    failure: Failure | None = None
    raw: bytes = field(default=b"", repr=False)


def parse_video(
    body: bytes, *, words: Words = NO_WORDS, codes: Codes = NO_CODES, created: bool = False
) -> Video | None:
    """Return the Video in an answer's body, or None where there is none.

    A body is a Video when it has a usable ``id`` and is an ``object: video`` or has a ``status``, whatever the HTTP
    status: vLLM-Omni answers 500 with the Video of a failed job. The answer to a create needs the id alone. An
    unknown word means still at work, never done. ``words`` and ``codes`` are the server's own: see ``classify``.
    """
    value = parse_object(body)
    return None if value is None else _video(value, body, words, codes, created=created)


def parse_page(body: bytes, headers: Mapping[str, str], words: Words = NO_WORDS) -> Page | None:
    """Return a page of ``GET /videos``, or None for what is none. What is no Video in it is passed over."""
    value = parse_object(body, MAX_PAGE)
    items = value.get("data") if value else None
    if value is None or not isinstance(items, list):
        return None
    videos = [_video(item, b"", words, NO_CODES) for item in items if isinstance(item, dict)]
    found = tuple(video for video in videos if video is not None)
    last_id = value.get("last_id")
    if not isinstance(last_id, str):
        last_id = found[-1].id if found else None
    return Page(found, last_id, has_more=value.get("has_more") is True, date=_date(headers.get("date", "")))


def _video(value: Mapping[str, Any], body: bytes, words: Words, codes: Codes, *, created: bool = False) -> Video | None:
    video_id, word = value.get("id"), value.get("status")
    if not (isinstance(video_id, str) and _ID.fullmatch(video_id)):
        return None
    if not isinstance(word, str):
        if not created and value.get("object") != "video":
            return None
        word = ""
    word = storable(word).strip().lower()[:40]
    status = words.get(word) or _STATUS.get(word, Status.ACTIVE)
    return Video(
        id=video_id,
        word=word,
        status=status,
        progress=_number(value.get("progress")),
        created_at=_time(value.get("created_at", value.get("created"))),
        expires_at=_time(value.get("expires_at")),
        size=text(value.get("size")),
        seconds=text(value.get("seconds")),
        prompt=text(value.get("prompt")),
        model=text(value.get("model")),
        reference=_reference(value.get("metadata")),
        failure=video_failure(value.get("error"), word, codes) if status in {Status.FAILED, Status.GONE} else None,
        raw=body,
    )


def parse_object(body: bytes, limit: int = MAX_JSON) -> dict[str, Any] | None:
    """Return the JSON object in the body, or None for anything else: too long, not JSON, NaN, nested too deep."""
    if len(body) > limit:
        return None
    try:
        value = _JSON.decode(body.decode(json.detect_encoding(body), "surrogatepass"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


_JSON = json.JSONDecoder(parse_constant=_refuse_constant)


def _reference(metadata: Any) -> str | None:
    return text(metadata.get(REFERENCE)) if isinstance(metadata, dict) else None


def _date(stamp: str) -> float | None:
    try:
        return parsedate_to_datetime(stamp).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def _number(value: Any) -> float | None:
    try:
        return float(str(value).rstrip("%")) if isinstance(value, str | int | float) else None
    except (ValueError, OverflowError):
        return None


def _time(value: Any) -> float | None:
    """Return seconds since the epoch; some servers write milliseconds."""
    number = _number(value)
    if number is None or not 0 < number < 1e14:
        return None
    return number / 1000 if number > 1e11 else number

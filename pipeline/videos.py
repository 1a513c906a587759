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

from pipeline.jobs import Failure, FailureKind

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
_NO_WORDS: Words = MappingProxyType({})


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


def parse_video(body: bytes, words: Words = _NO_WORDS, *, created: bool = False) -> Video | None:
    """Return the Video in an answer's body, or None where there is none. ``words`` are the server's own status words.

    A body is a Video when it has a usable ``id`` and is an ``object: video`` or has a ``status``, whatever the HTTP
    status: vLLM-Omni answers 500 with the Video of a failed job. The answer to a create needs the id alone. An
    unknown word means still at work, never done.
    """
    value = parse_object(body)
    return None if value is None else _video(value, body, words, created=created)


def parse_page(body: bytes, headers: Mapping[str, str], words: Words = _NO_WORDS) -> Page | None:
    """Return a page of ``GET /videos``, or None for what is none. What is no Video in it is passed over."""
    value = parse_object(body, MAX_PAGE)
    items = value.get("data") if value else None
    if value is None or not isinstance(items, list):
        return None
    videos = [_video(item, b"", words) for item in items if isinstance(item, dict)]
    found = tuple(video for video in videos if video is not None)
    last_id = value.get("last_id")
    if not isinstance(last_id, str):
        last_id = found[-1].id if found else None
    return Page(found, last_id, has_more=value.get("has_more") is True, date=_date(headers.get("date", "")))


def _video(value: Mapping[str, Any], body: bytes, words: Words, *, created: bool = False) -> Video | None:
    video_id, word = value.get("id"), value.get("status")
    if not (isinstance(video_id, str) and _ID.fullmatch(video_id)):
        return None
    if not isinstance(word, str):
        if not created and value.get("object") != "video":
            return None
        word = ""
    word = _storable(word).strip().lower()[:40]
    status = words.get(word) or _STATUS.get(word, Status.ACTIVE)
    return Video(
        id=video_id,
        word=word,
        status=status,
        progress=_number(value.get("progress")),
        created_at=_time(value.get("created_at", value.get("created"))),
        expires_at=_time(value.get("expires_at")),
        size=_text(value.get("size")),
        seconds=_text(value.get("seconds")),
        prompt=_text(value.get("prompt")),
        model=_text(value.get("model")),
        reference=_reference(value.get("metadata")),
        failure=_video_failure(value.get("error"), word) if status in {Status.FAILED, Status.GONE} else None,
        raw=body,
    )


def parse_failure(http_status: int, headers: Mapping[str, str], body: bytes) -> Failure:
    """Return what an answer that is no success says, unwrapped and classified.

    Proxies wrap an upstream's error as text into their own: ``error.message`` then holds the real one as JSON behind
    names such as ``ContentPolicyViolationError``, which prove nothing about moderation.
    """
    error = _error_object(body)
    code, param, message = error["code"], error["param"], error["message"]
    return Failure(
        kind=_kind(http_status, code, param, message),
        message=message or f"HTTP {http_status} without a message",
        code=code,
        param=param,
        http_status=http_status,
        request_id=request_id(headers),
    )


def request_id(headers: Mapping[str, str]) -> str | None:
    """Return the server's own name for an answer, which the gateway's support will ask for."""
    return next((headers[name][:200] for name in _REQUEST_IDS if name in headers), None)


def parse_object(body: bytes, limit: int = MAX_JSON) -> dict[str, Any] | None:
    """Return the JSON object in the body, or None for anything else: too long, not JSON, NaN, nested too deep."""
    if len(body) > limit:
        return None
    try:
        value = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


_REQUEST_IDS = (
    "x-request-id",
    "request-id",
    "llm_provider-x-request-id",
    "x-litellm-call-id",
    "x-oneapi-request-id",
)

_MODERATION_CODES = re.compile(
    r"moderation_blocked|content_policy_violation|content_filter|ResponsibleAIPolicyViolation", re.IGNORECASE
)
_MODERATION_WORDS = re.compile(r"safety system|moderation system|usage polic", re.IGNORECASE)
_QUOTA = re.compile(
    r"insufficient_quota|credit_balance_exhausted|spend_limit_exceeded|usage_limit_exceeded|billing_hard_limit_reached"
    r"|exceeded your current quota|insufficient (?:balance|credit)",
    re.IGNORECASE,
)
_EXCEPTION_NAMES = re.compile(r"^(?:litellm\.)?(?:[A-Z]\w*(?:Error|Exception)\s*[:-]\s*(?:litellm\.)?)+")


def _kind(http_status: int, code: str | None, param: str | None, message: str) -> FailureKind:
    if _QUOTA.search(f"{code} {message}") or http_status == 402:
        return FailureKind.QUOTA_EXHAUSTED
    if http_status in {401, 403}:
        return FailureKind.AUTH
    if http_status == 429:
        return FailureKind.RATE_LIMITED
    if http_status in {404, 405, 410}:
        return FailureKind.NOT_FOUND
    if param is None and (_MODERATION_CODES.search(code or "") or _MODERATION_WORDS.search(message)):
        return FailureKind.MODERATION
    return FailureKind.INVALID_REQUEST if 400 <= http_status < 500 else FailureKind.SERVER


def _error_object(body: bytes) -> dict[str, Any]:
    """Return message, code and param from the envelopes that servers use, the innermost one first."""
    value = parse_object(body)
    if value is None:
        return {"message": _plain(body), "code": None, "param": None}
    error = value.get("error", value.get("detail", value))
    if isinstance(error, list):  # FastAPI: detail: [{loc, msg, type}]
        error = next((item for item in error if isinstance(item, dict)), {})
        location = error.get("loc")
        error = {
            "message": error.get("msg"),
            "param": location[-1] if isinstance(location, list) and location else None,
        }
    if not isinstance(error, dict):
        error = {"message": error}
    message = _text(error.get("message")) or ""
    inner = _embedded_error(message)
    if inner is not None:
        error, message = inner, _text(inner.get("message")) or ""
    return {
        "message": _EXCEPTION_NAMES.sub("", message)[:2000],
        "code": _word(error.get("code")) or _word(error.get("type")),
        "param": _word(error.get("param")),
    }


def _embedded_error(message: str) -> dict[str, Any] | None:
    """Return the upstream's error object from inside a proxy's message; the text around it is the proxy's."""
    start = message.find('{"error":')
    if start < 0:
        return None
    try:
        value, _ = json.JSONDecoder().raw_decode(message, start)
    except (ValueError, RecursionError):
        return None
    error = value["error"]
    return error if isinstance(error, dict) else None


def _video_failure(error: Any, word: str) -> Failure:
    error = error if isinstance(error, dict) else {"message": error}
    code, message = _word(error.get("code")), _text(error.get("message")) or f"the server says: {word}"
    moderated = _MODERATION_CODES.search(code or "") or _MODERATION_WORDS.search(message)
    return Failure(FailureKind.MODERATION if moderated else FailureKind.SERVER, message[:2000], code=code)


def _plain(body: bytes) -> str:
    text = re.sub(r"<[^>]{0,1000}>", " ", body[:4000].decode("utf-8", "replace"))
    return " ".join(text.split())[:300]


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _text(value: Any) -> str | None:
    return _storable(str(value)) if isinstance(value, str | int | float) and not isinstance(value, bool) else None


def _storable(text: str) -> str:
    """Return the text without halves of surrogate pairs, which JSON can carry and no file can."""
    return text.encode("utf-8", "replace").decode()


def _word(value: Any) -> str | None:
    """Return a code as text; servers also write ``"None"`` for none."""
    text = _text(value)
    return None if text in {None, "", "None", "null"} else text[:200] if text else None


def _reference(metadata: Any) -> str | None:
    return _text(metadata.get(REFERENCE)) if isinstance(metadata, dict) else None


def _date(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
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

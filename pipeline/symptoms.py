"""An answer to a harmless question, and how it reads: its shape, its failure, what it is about. Pure."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pipeline.classes import Asked, classify
from pipeline.jobs import Failure, FailureKind
from pipeline.videos import parse_object

PAGE = "a web page"


class Verdict(StrEnum):
    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Sign:
    """What one probe found. ``fix`` is what a person can do about it."""

    probe: str
    verdict: Verdict
    message: str
    fix: str | None = None


@dataclass(frozen=True, slots=True)
class Lesson:
    """A value for a profile's field, and how it is known."""

    field: tuple[str, ...]
    value: Any
    how: str


Said = Iterator[Sign | Lesson]


@dataclass(frozen=True, slots=True)
class Reached:
    """A connection was made: to which addresses the name leads, and how many seconds it took."""

    addresses: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Tls:
    """How an answer was encrypted. ``expires``: the end of the certificate, in seconds since the epoch."""

    version: str
    expires: float | None


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, without the key. ``at``: our clock when it had come, in seconds since the epoch."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    at: float
    tls: Tls | None = None


@dataclass(frozen=True, slots=True)
class NoReply:
    """No answer, and why. ``untrusted``: because of the certificate."""

    message: str
    untrusted: bool = False


Answer = Reply | NoReply | None
"""None: it was not asked."""


def failure_of(reply: Reply) -> Failure | None:
    """Return what an answer says that is no success, or None. The only place that classifies."""
    return classify(Asked.STATUS, reply.status, reply.headers, reply.body) if reply.status >= 300 else None


def no_route(told: Failure) -> bool:
    """Tell whether a 404 is about the path and not about the id."""
    return told.http_status == 404 and bool(_NO_ROUTE.match(told.message))


def envelope(body: bytes) -> str:
    """Return the shape in which an error came, in words."""
    value = parse_object(body)
    if value is None:
        start = body.lstrip()[:200].lower()
        return PAGE if start.startswith((b"<!doctype", b"<html", b"<head")) else "text" if start else "nothing"
    return next((words for fits, words in _ENVELOPES if fits(value)), "JSON of its own")


_ENVELOPES: tuple[tuple[Callable[[Mapping[str, Any]], bool], str], ...] = (
    (lambda value: isinstance(value.get("error"), dict), "an error object as OpenAI's"),
    (lambda value: isinstance(value.get("error"), str), "an error in words"),
    (lambda value: isinstance(value.get("detail"), str | list), "a detail as FastAPI's"),
    (lambda value: "code" in value and "message" in value, "code and message at the top, as new-api's"),
    (lambda value: "id" in value and "status" in value, "a Video"),
)
_NO_ROUTE = re.compile(r"(not found|invalid url\b.*|404 page not found|cannot get .*)\.?$", re.IGNORECASE)


def what(answer: Answer, *, words: bool = True) -> str:
    """Return an answer in a few words, with its error's own."""
    if not isinstance(answer, Reply):
        return answer.message if answer else "not asked"
    shape = envelope(answer.body)
    told = failure_of(answer)
    message = told.message[:120] if told and shape not in {PAGE, "nothing"} else ""
    return f"HTTP {answer.status}, {shape}" + f": {message}" * bool(message and words)


def refuses_the_key(answer: Reply) -> bool:
    told = failure_of(answer)
    return told is not None and told.kind is FailureKind.AUTH


def say_the_same(one: Reply, other: Reply) -> bool:
    """Tell whether two refusals say the same: about the id then, as the paths differ in their methods alone."""
    first, second = failure_of(one), failure_of(other)
    return bool(first and second and not no_route(first)) and (first and first.message) == (second and second.message)

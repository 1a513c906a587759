"""Faults: what goes wrong with which requests. A file's text -> values, and the count of requests. Pure.

``schemas/faults.schema.json`` says what each key means. Counting needs no dice and no clock, so that a file that is
attached to a report shows everybody the same.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from pipeline import source
from pipeline.errors import ManifestError
from pipeline.validation import problems

DIRECTIVE = "x-simulator-fault"
"""The header by which the application tells the proxy what to do to an answer's bytes."""

_BYTES = ("hang_up", "truncate", "drip", "endless", "gzip_bomb", "reset")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer in place of the server's own: a literal ``body``, or an ``error`` in the dialect's words."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    error: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """Which requests, and what happens to them. Without a word about one of them, it is as ever."""

    on: str = "any"
    prompt: str | None = None
    nth: int | Sequence[int] | None = None
    every: int | None = None
    first: int | None = None
    answer: Answer | None = None
    after: bool = False
    delay: float = 0
    fail: str | None = None
    progress: str | None = None
    status_word: str | None = None
    forget: str | None = None
    deliver: str | None = None
    hang_up: str | None = None
    truncate: float | None = None
    drip: int | None = None
    endless: bool = False
    gzip_bomb: int | None = None
    reset: int | None = None

    @property
    def bytewise(self) -> str:
        """What no well-behaved server can send, as the proxy reads it; nothing, where there is none of it."""
        told = {name: getattr(self, name) for name in _BYTES}
        wrong = {name: value for name, value in told.items() if value is not None and value is not False}
        return json.dumps(wrong) if wrong else ""

    def fits(self, action: str, prompt: str) -> bool:
        return self.on in {action, "any"} and (self.prompt is None or self.prompt in prompt)

    def is_due(self, number: int) -> bool:
        """Tell whether the fault happens to the so-manieth of the requests that it fits."""
        nth = [self.nth] if isinstance(self.nth, int) else self.nth
        return (
            (nth is None or number in nth)
            and (self.every is None or number % self.every == 0)
            and (self.first is None or number <= self.first)
        )


AS_EVER = Fault()


class Faults:
    """The faults of a file, and how many requests each has fitted so far."""

    def __init__(self, faults: Sequence[Fault] = ()) -> None:
        self._faults = [(fault, count(1)) for fault in faults]

    @property
    def need_a_proxy(self) -> bool:
        return any(fault.bytewise for fault, _ in self._faults)

    def due(self, action: str, prompt: str) -> Fault:
        """Count a request, and return what happens to it: of several faults, the first of the file."""
        fit = [(fault, next(numbers)) for fault, numbers in self._faults if fault.fits(action, prompt)]
        return next((fault for fault, number in fit if fault.is_due(number)), AS_EVER)


def faults_from(data: bytes, *, file: str, schema: Mapping[str, Any]) -> Faults:
    """Return the faults of a file. Raises ManifestError with every mistake in it."""
    document, found = source.parse(data, file=file)
    found = found or problems(document, schema) if document else found
    if document is None or found:
        raise ManifestError(found)
    return Faults([_fault(dict(entry)) for entry in document.value["faults"]])


def _fault(entry: dict[str, Any]) -> Fault:
    if "answer" in entry:
        entry["answer"] = Answer(**entry["answer"])
    return Fault(**entry)

"""Run the real command, and have it killed at a named instant.

    python failpoints.py NAME:NUMBER -- run trip.yaml --yes
    python failpoints.py --check

Nothing in ``pipeline`` knows of this: the interpreter's profiling hook watches one function and sends SIGKILL when it
is called, or returns, for the so-manieth time. ``-`` instead of a name says ``ready`` when everything is imported and
reads the name from standard input: an empty line means no failpoint, the end of the input that nothing is wanted. A
name whose function is not there any more ends the launcher with 97 before anything is run.

Only functions that are no coroutines can be watched: those return at every await.
"""

import importlib
import os
import signal
import sys
import threading
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

GONE = 97
"""Exit code: this failpoint is not in the code any more."""


@dataclass(frozen=True, slots=True)
class Failpoint:
    """The instant at which ``function`` is called or returns.

    ``caller``: only where it is called from there. ``event``: only where it deals with this event of a job.
    """

    function: str
    instant: str
    caller: str | None = None
    event: str | None = None


def _before(event: str) -> Failpoint:
    """The row is written, the transaction is not committed."""
    return Failpoint("pipeline.ledger.store:SqliteLedger._update", "return", event=event)


def _after(event: str) -> Failpoint:
    """The transaction is committed, nobody has heard of it."""
    return Failpoint("pipeline.ledger.store:SqliteLedger._write", "return", event=event)


FAILPOINTS = {
    "intent-unwritten": _before("Intended"),
    "intent-written": _after("Intended"),
    "answer-read": Failpoint("pipeline.outcomes:post_outcome", "call"),
    "id-unwritten": _before("Accepted"),
    "id-written": _after("Accepted"),
    "doubt-unwritten": _before("Doubted"),
    "doubt-written": _after("Doubted"),
    "hold-written": _after("Held"),
    "adoption-unwritten": _before("Adopted"),
    "adoption-written": _after("Adopted"),
    "status-read": Failpoint("pipeline.decisions:_seen", "call"),
    "completion-written": _after("Completed"),
    "part-growing": Failpoint("pipeline.parts:Part.write", "return", caller="pipeline.steps:_keep"),
    "part-whole": Failpoint("pipeline.parts:Part.flush", "return", caller="pipeline.parts:Part.seal"),
    "part-synced": Failpoint("pipeline.parts:Part.sync", "return", caller="pipeline.parts:Part.seal"),
    "verified-written": _after("Verified"),
    "linked": Failpoint("pipeline.outputs:_link", "return", caller="pipeline.outputs:Outputs.place"),
    "placed": Failpoint("pipeline.outputs:Outputs._placed", "return", caller="pipeline.outputs:Outputs.place"),
    "sidecar-written": Failpoint("pipeline.outputs:_write_sidecar", "return"),
    "done-unwritten": _before("Published"),
    "done-written": _after("Published"),
}
"""Instants inside the runner. Those on the network are the server's: ``injection.Instant``."""

_EVENT_IN = {"event": lambda value: [value], "batch": lambda value: [waiting.event for waiting in value]}
"""The local variables that a function can hold its events in."""


class Gone(Exception):
    """The function that a failpoint names is not there."""


def code_of(name: str) -> CodeType:
    """Return the code of ``module:qualified.name``."""
    module, _, path = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
        code = getattr(found, "__func__", found).__code__
    except (ImportError, AttributeError) as error:
        raise Gone(f"{name}: {error}") from error
    assert isinstance(code, CodeType)
    return code


def check(failpoint: Failpoint) -> None:
    """Raise Gone where the failpoint could never be reached any more."""
    code = code_of(failpoint.function)
    if failpoint.caller is not None:
        code_of(failpoint.caller)
    if failpoint.event is not None:
        if not hasattr(importlib.import_module("pipeline.events"), failpoint.event):
            raise Gone(f"there is no event {failpoint.event}")
        if not set(_EVENT_IN) & set(code.co_varnames):
            raise Gone(f"{failpoint.function} has no local variable {' or '.join(_EVENT_IN)}")


def named(text: str) -> tuple[Failpoint, int]:
    """Return what ``NAME:NUMBER`` means. Without a number it is the first time."""
    name, _, number = text.partition(":")
    if name not in FAILPOINTS:
        raise Gone(f"there is no failpoint {name}")
    return FAILPOINTS[name], int(number or 1)


def arm(failpoint: Failpoint, number: int) -> None:
    """Kill this process when the failpoint is reached for the so-manieth time, in any thread that begins from now."""
    check(failpoint)
    code, instant = code_of(failpoint.function), failpoint.instant
    caller = code_of(failpoint.caller) if failpoint.caller else None
    left = number

    def watch(frame: FrameType, event: str, value: Any) -> None:
        nonlocal left
        if frame.f_code is not code or event != instant:
            return
        if caller is not None and (frame.f_back is None or frame.f_back.f_code is not caller):
            return
        if failpoint.event is not None and failpoint.event not in _events(frame):
            return
        left -= 1
        if left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)

    threading.setprofile(watch)
    sys.setprofile(watch)


def _events(frame: FrameType) -> set[str]:
    found = {name: frame.f_locals[name] for name in _EVENT_IN if name in frame.f_locals}
    return {type(event).__name__ for name, value in found.items() for event in _EVENT_IN[name](value)}


def main(asked: str, *arguments: str) -> int:
    try:
        if asked == "--check":
            for failpoint in FAILPOINTS.values():
                check(failpoint)
            return 0
        importlib.import_module("pipeline.campaigns")  # before the line is waited for
        from pipeline.cli import main as command  # noqa: PLC0415

        if asked == "-":
            sys.stdout.write("ready\n")
            sys.stdout.flush()
            line = sys.stdin.readline()
            if not line:
                return 0
            asked = line.strip()
        if asked:
            arm(*named(asked))
    except Gone as error:
        sys.stderr.write(f"failpoint: {error}\n")
        return GONE
    return command([argument for argument in arguments if argument != "--"])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

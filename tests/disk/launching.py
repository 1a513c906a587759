"""The real command, many times: each in a process of its own, forked from one that has everything loaded.

What is asked of a launch is done to its process before the command begins: a fault in its files, a ledger that may
have so many pages only, a file that may be only so long.
"""

import json
import multiprocessing
import os
import resource
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from disk.failing import Fault, failing, few_pages

AT_ONCE = 6
"""Launches at the same time: most of the time they wait for a video."""


@dataclass(frozen=True, slots=True)
class Launch:
    """One run of the command in a folder; its words go to the file ``said``.

    ``home``: where the command may keep what no other place takes. ``fault``: its number, its error and how often it
    lasts, in the folder's ``outputs``. ``pages``: of the ledger; ``longest``: bytes of a file.
    """

    folder: Path
    arguments: tuple[str, ...]
    said: Path
    home: Path
    fault: tuple[int, int, float] | None = None
    pages: int | None = None
    longest: int | None = None


@dataclass(frozen=True, slots=True)
class Landed:
    """How a launch ended. ``calls``: what could have failed, in its order."""

    code: int | None
    words: str
    calls: tuple[str, ...] = ()


def landed(launches: Sequence[Launch]) -> list[Landed]:
    """Carry out all launches and return how they ended, in their order."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["disk.launching", "pipeline.campaigns", "pipeline.keeping"])
    waiting, ends = list(launches), dict[Path, Landed]()
    running = dict[Any, tuple[Any, Launch]]()
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            launch = waiting.pop(0)
            process = context.Process(target=_run, args=(launch,))
            process.start()
            running[process.sentinel] = process, launch
        for sentinel in wait(list(running)):
            process, launch = running.pop(sentinel)
            process.join()
            calls = json.loads(_calls(launch).read_text("utf-8")) if _calls(launch).exists() else ()
            words = launch.said.read_text("utf-8", errors="replace")
            ends[launch.said] = Landed(process.exitcode, words, tuple(calls))
            process.close()
    return [ends[launch.said] for launch in launches]


def _calls(launch: Launch) -> Path:
    return launch.said.with_suffix(".calls")


def _run(launch: Launch) -> None:
    """Be the command: in its folder, with its words in a file. In a process of its own."""
    words = os.open(launch.said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor, target in ((nothing, 0), (nothing, 1), (words, 2)):
        os.dup2(descriptor, target)
    sys.stdin, sys.stdout = open(0, encoding="utf-8"), open(1, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
    os.chdir(launch.folder)
    os.environ["XDG_STATE_HOME"] = str(launch.home)
    fault = Fault(*launch.fault) if launch.fault else None
    try:
        with ExitStack() as stack:
            if fault is not None:
                stack.enter_context(failing(launch.folder / "outputs", fault))
            if launch.pages is not None:
                stack.enter_context(few_pages(launch.pages))
            if launch.longest is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (launch.longest, resource.RLIM_INFINITY))
            from pipeline.cli import main  # noqa: PLC0415  # loaded before the fork

            code = main(launch.arguments)
    finally:
        if launch.longest is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        if fault is not None:
            _calls(launch).write_text(json.dumps(fault.calls), "utf-8")
    sys.exit(code)

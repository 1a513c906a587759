"""Processes to measure: each side of a benchmark is a fresh one, on one core; the mock server has another.

This process stays small and imports nothing of what is measured: on Linux a child's most memory, as its parent is
told, is never less than what the parent had.
"""

import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

from benchmarks.rows import Broken

TIMEOUT = 3600.0
"""Seconds after which a side has hung."""


@dataclass(frozen=True, slots=True)
class Used:
    """What a process used: CPU seconds of user and system, bytes of memory at its most, seconds on the clock.

    ``told`` is what it printed as JSON on its last line, ``text`` all that it printed.
    """

    cpu: float
    peak: int
    wall: float
    told: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""


_CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def pin() -> None:
    """Stay on the first core, with all that is run from now on, but for the mock server: it has the last one."""
    if _CORES:
        os.sched_setaffinity(0, _CORES[:1])


def move_away(process: int) -> None:
    """Have a process on the core where the mock server would be."""
    if _CORES:
        os.sched_setaffinity(process, _CORES[-1:])


def run(command: Sequence[str | Path], *, environment: Mapping[str, str] | None = None, exits: int = 0) -> Used:
    """Run a command to its end, and return what it used. Raises Broken where its exit code is another."""
    words = [str(word) for word in command]
    began = time.perf_counter()
    with subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=_environment(environment)
    ) as process:
        out, complaints = cast("BinaryIO", process.stdout), cast("BinaryIO", process.stderr)
        errors: list[bytes] = []
        reader = threading.Thread(target=lambda: errors.append(complaints.read()))
        alarm = threading.Timer(TIMEOUT, process.kill)
        alarm.start()
        reader.start()
        text = out.read().decode(errors="replace")
        reader.join()
        _, status, usage = os.wait4(process.pid, 0)
        alarm.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - began
    if process.returncode != exits:
        told = b"".join(errors).decode(errors="replace")[-3000:]
        raise Broken(f"{' '.join(words)[:300]} ended with {process.returncode}:\n{text[-1000:]}{told}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Used(usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit, wall, text=text)


def side(
    function: Callable[..., Mapping[str, Any]], environment: Mapping[str, str] | None = None, **arguments: Any
) -> Used:
    """Run one of the functions of the benchmarks in a process of its own. It returns what goes into ``told``."""
    words = (function.__module__, function.__name__, json.dumps(arguments, default=str))
    used = run([sys.executable, "-m", "benchmarks.side", *words], environment=environment)
    told = json.loads(used.text.splitlines()[-1])
    return Used(used.cpu, used.peak, used.wall, told, used.text)


@dataclass(frozen=True, slots=True)
class Server:
    """The mock server: the address of its API, and what it has seen."""

    url: str

    def seen(self) -> Mapping[str, Any]:
        address = self.url.removesuffix("/v1") + "/stats"
        with urllib.request.urlopen(address, timeout=30) as answer:
            found: Mapping[str, Any] = json.load(answer)
        return found


@contextmanager
def serving(clip: Path, *, polls: int = 3, delay: float = 0.0) -> Iterator[Server]:
    """Have a mock server while the block runs; each of its videos is the clip, with the video's own id at its end.

    A video is completed at its ``polls``-th poll; every answer waits for ``delay`` seconds.
    """
    core = _CORES[-1] if _CORES else -1
    words = [sys.executable, "-m", "benchmarks.server", str(clip), str(polls), str(delay), str(core)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=_environment(None)) as process:
        end, out = cast("BinaryIO", process.stdin), cast("BinaryIO", process.stdout)
        try:
            line = out.readline()
            if not line:
                raise Broken("the mock server did not start")
            yield Server(f"http://127.0.0.1:{int(line)}/v1")
        finally:
            end.close()  # then it ends
            process.wait(30)


def _environment(more: Mapping[str, str] | None) -> dict[str, str]:
    return {**os.environ, **(more or {})}

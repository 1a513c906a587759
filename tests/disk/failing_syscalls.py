"""System calls that fail, below SQLite and below Python: strace answers in the kernel's place.

A sweep over the Nth call of each kind. strace counts in each thread by itself, so one case may strike more than one.
"""

import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from disk.failing_command import prepared, wrong_with
from disk.launching import Landed
from disk.server import CALLSHEET, Server, environment, serving
from disk.strace import STRACE

_AT_ONCE = 3
_ERRORS = ("ENOSPC", "EIO", "EROFS", "EDQUOT")
_LEDGER = (
    "",
    "/ledger.db",
    "/ledger.db-wal",
    "/.ledger.db.new",
    "/.ledger.db.new-journal",
    "/ledger.ballast",
    "/videos",
)
#: Calls of which nobody else makes any; and those that count for the ledger's paths only.
_CALLS: Mapping[str, bool] = {
    "pwrite64": False,
    "fsync": False,
    "fdatasync": False,
    "ftruncate": False,
    "link": False,
    "linkat": False,
    "rename": False,
    "unlink": False,
    "mkdir": False,
    "fchmod": False,
    "openat": True,
    "write": True,
}


@dataclass(frozen=True, slots=True)
class Case:
    """The call of this number fails in each thread, once or from then on."""

    call: str
    number: int
    error: str
    stays: bool

    def __str__(self) -> str:
        return f"{self.call} {self.number}{'+' * self.stays} {self.error}"


def prove(say: Callable[[str], None], every: int = 1) -> bool:
    """Make every so-manieth call fail, and say what was wrong; return whether nothing was."""
    good = True
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(_AT_ONCE) as pool, serving(Path(name)) as server:
        for call, count in _counts(Path(name), server).items():
            cases = list(_cases(call, count, every))
            folders = [Path(name, f"{call}-{number}") for number in range(len(cases))]
            wrong, codes = 0, Counter[tuple[int | None, int | None]]()
            for case, tried in zip(cases, pool.map(_tried, cases, folders, [server] * len(cases)), strict=True):
                first, second, found = tried
                codes[first.code, second.code] += 1
                wrong += bool(found)
                for what in found:
                    say(f"    {case}: {what}")
            say(f"{count} {call}: {len(cases)} runs, {wrong} wrong; exit codes, then the next run's: {dict(codes)}")
            good &= not wrong
    return good


def _cases(call: str, count: int, every: int) -> Iterator[Case]:
    """Each call, once and from then on, the errors in turns."""
    for number in range(1, count + 1, every):
        for turn, stays in enumerate((False, True)):
            yield Case(call, number, _ERRORS[(number // every + turn) % len(_ERRORS)], stays)


def _tried(case: Case, folder: Path, server: Server) -> tuple[Landed, Landed, list[str]]:
    keys = case.number % 2 == 0
    arguments = prepared(folder, server, keys=keys)
    injection = f"inject={case.call}:error={case.error}:when={case.number}{'+' * case.stays}"
    first = _run(folder, ("-e", injection, *_options(folder, case.call)), arguments)
    second = _run(folder, None, arguments)
    return first, second, list(wrong_with(folder, server, first, second, keys=keys))


def _options(folder: Path, call: str) -> list[str]:
    campaign = folder / "outputs/trip"
    paths = [f"-P{campaign}{name}" for name in _LEDGER] if _CALLS[call] else []
    return ["-e", f"trace={call}", *paths]


def _run(folder: Path, options: tuple[str, ...] | None, arguments: tuple[str, ...]) -> Landed:
    assert STRACE is not None
    before = [] if options is None else [STRACE, "-f", "-qq", "-e", "signal=none", "-o", "trace", *options]
    kept = environment() | {"XDG_STATE_HOME": str(folder / "state")}
    ended = subprocess.run(
        [*before, *CALLSHEET, *arguments],
        cwd=folder,
        env=kept,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
    )
    words = ended.stderr.decode("utf-8", "replace")
    # strace says on the same stream which paths it has resolved.
    return Landed(ended.returncode, "\n".join(line for line in words.split("\n") if not line.startswith("strace: ")))


def _counts(folder: Path, server: Server) -> dict[str, int]:
    """Return how often a healthy run makes each call, in the thread that makes it most often."""
    counts = {}
    for call in _CALLS:
        here = folder / f"healthy-{call}"
        ended = _run(here, tuple(_options(here, call)), prepared(here, server, keys=True))
        assert ended.code == 0, ended.words
        lines = re.findall(rf"^(\d+) +{call}\(", (here / "trace").read_text("ascii"), re.MULTILINE)
        counts[call] = max(Counter(lines).values(), default=0)
    return counts

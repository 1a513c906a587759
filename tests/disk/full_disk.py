"""A real disk that is full: a tmpfs in a mount namespace of its own, that becomes as small as what lies on it.

The disk fills at an instant: when the ledger's log has grown so long. What is freed after that can be written again,
or is taken at once, too, so that nothing can be written but what lies elsewhere.
"""

import ctypes
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from disk.failing_command import prepared, wrong_with
from disk.launching import Landed
from disk.server import CALLSHEET, Server, environment, serving

_DISK = "disk"
_ROOMY = 400 << 10
_MS_REMOUNT = 32


@dataclass(frozen=True, slots=True)
class Case:
    """A disk of so many KiB. It fills when the ledger's log has ``at`` bytes; ``greedy``: what is freed is taken."""

    size: int
    at: int | None = None
    greedy: bool = False


def namespaces() -> list[str] | None:
    """Return how a command gets a mount namespace here, or None where it gets none."""
    for words in (["unshare", "-m"], ["unshare", "-Urm"]):
        with suppress(OSError):
            probe = [*words, "mount", "-t", "tmpfs", "-o", "size=64k", "callsheet", tempfile.gettempdir()]
            if subprocess.run(probe, capture_output=True).returncode == 0:
                return words
    return None


def prove(say: Callable[[str], None], every: int = 1) -> bool:
    """Fill disks, and say what was wrong; return whether nothing was."""
    way = namespaces()
    assert way is not None
    wrong, codes = 0, Counter[str]()
    with tempfile.TemporaryDirectory() as name, serving(Path(name)) as server:
        cases = list(_cases(every))
        for number, case in enumerate(cases):
            order = {"folder": f"{name}/{number}", "url": server.url, "store": str(server.store), "case": asdict(case)}
            command = [*way, sys.executable, str(Path(__file__).parent), "on-a-small-disk", json.dumps(order)]
            answer = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=300)
            assert answer.returncode == 0, answer.stderr
            found = json.loads(answer.stdout)
            codes[f"{found['codes']}{'' if found['filled'] else ', never full'}"] += 1
            wrong += bool(found["wrong"])
            for what in found["wrong"]:
                say(f"    {case}: {what}")
    say(f"{len(cases)} runs, {wrong} wrong; exit codes, then those of the next run: {dict(codes)}")
    return not wrong


def _cases(every: int) -> Iterator[Case]:
    # Too small from the beginning, up to what a run wants to have free.
    sizes = (64, 128, 256, 512, 1024, 1088, 1152, 1216, 1280, 1536, 2048, 8192, 32768, 65536)
    yield from (Case(kib) for kib in sizes[::-every])
    for at in range(0, 320_000, 8192 * every):
        yield from (Case(_ROOMY, at, greedy) for greedy in (False, True))


def on_a_small_disk(order: str) -> None:
    """Carry out one case, in a mount namespace of our own, and print what came of it."""
    words = json.loads(order)
    folder, case = Path(words["folder"]), Case(**words["case"])
    server = Server(words["url"], Path(words["store"]))
    arguments = (*prepared(folder, server, keys=False), "--output", _DISK)
    disk = folder / _DISK
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={case.size}k", "callsheet", str(disk)], check=True)
    taker = _Taker(disk, case)
    first = _run(folder, arguments, taker.look)
    assert _remounted(disk, _ROOMY << 10)
    second = _run(folder, arguments, lambda: None)
    found = list(wrong_with(folder, server, first, second, keys=False, outputs=Path(_DISK)))
    if not case.greedy and (folder / "state").exists():
        found.append("the ballast did not suffice: something had to be rescued elsewhere")
    print(json.dumps({"codes": f"{first.code}, {second.code}", "wrong": found, "filled": taker.has_taken}))  # noqa: T201


class _Taker:
    """Makes the disk as small as what lies on it, when it is time; if it is greedy, again and again."""

    def __init__(self, disk: Path, case: Case) -> None:
        self._disk, self._case = disk, case
        self.has_taken = False

    def look(self) -> None:
        if self._case.at is None or (self.has_taken and not self._case.greedy):
            return
        with suppress(FileNotFoundError):
            if self.has_taken or (self._disk / "trip/ledger.db-wal").stat().st_size >= self._case.at:
                self.has_taken |= self._take()

    def _take(self) -> bool:
        found = os.statvfs(self._disk)
        return _remounted(self._disk, (found.f_blocks - found.f_bfree) * found.f_frsize)


def _remounted(disk: Path, size: int) -> bool:
    """Give the disk another size; False where more lies on it. The call itself: a command would take too long."""
    options = f"size={size}".encode()
    return ctypes.CDLL(None).mount(b"callsheet", os.fsencode(disk), b"tmpfs", _MS_REMOUNT, options) == 0


def _run(folder: Path, arguments: tuple[str, ...], look: Callable[[], None]) -> Landed:
    kept = environment() | {"XDG_STATE_HOME": str(folder / "state")}
    said = folder / "said"
    with said.open("wb") as words:
        process = subprocess.Popen(
            [*CALLSHEET, *arguments], cwd=folder, env=kept, stdin=subprocess.DEVNULL, stdout=words, stderr=words
        )
        while process.poll() is None:
            look()
            time.sleep(0.001)
    return Landed(process.returncode, said.read_text("utf-8", errors="replace"))

"""Transitions of jobs that are on disk before anybody goes on."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Any

from benchmarks.processes import Used, side
from benchmarks.rows import Broken, Row, cheaper
from benchmarks.side import Clock

if TYPE_CHECKING:
    from benchmarks.suite import Bench
    from pipeline.events import Event
    from pipeline.jobs import Spec

STEPS = 6
"""Transitions of a job: intended, accepted, progressed, completed, verified, published."""

_SLOW_DISK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
static int slow(const char *name, int fd) {
    static const struct timespec pause = {0, 2000000};
    nanosleep(&pause, 0);
    return ((int (*)(int))dlsym(RTLD_NEXT, name))(fd);
}
int fsync(int fd) { return slow("fsync", fd); }
int fdatasync(int fd) { return slow("fdatasync", fd); }
"""


def measure(bench: "Bench") -> Sequence[Row]:
    """Time on the clock of a durable transition with 256 jobs waiting, against one FULL commit for each.

    The peers: the same ledger with one job at a time, and plain SQLite tables without any rule, in a bare loop. The
    second time every fsync takes two milliseconds more, as on many disks; where there is a C compiler.
    """
    jobs, alone = bench.size(3000, 300), bench.size(300, 20)
    rows = []
    for name, slower, least in (("group-commit", None, 10), ("group-commit (fsync +2 ms)", _shim(bench.scratch), 75)):
        if slower is None and rows:
            continue
        preload = {"LD_PRELOAD": str(slower)} if slower else {}
        fewer = alone // 3 if slower else alone

        def once(waiting: int, jobs: int, preload: Mapping[str, str] = preload) -> Used:
            return side(ours, preload, path=_fresh(bench.scratch), jobs=jobs, waiting=waiting)

        def bare(jobs: int = fewer, preload: Mapping[str, str] = preload) -> Used:
            return side(plain, preload, path=_fresh(bench.scratch), jobs=jobs)

        found = bench.interleaved(
            ours=lambda once=once: once(256, jobs), alone=lambda once=once, jobs=fewer: once(1, jobs), plain=bare
        )
        cost = {
            who: [used.told["wall"] * 1e6 / used.told["transitions"] for used in runs] for who, runs in found.items()
        }
        unit = "us on the clock"
        rows.append(cheaper(name, unit, cost["ours"], cost["alone"], "the same ledger, one at a time", least=least))
        rows.append(cheaper(name, unit, cost["ours"], cost["plain"], "plain SQLite, a commit each", least=None))
    return rows


def _fresh(scratch: Path) -> Path:
    for path in scratch.glob("ledger.db*"):
        path.unlink()
    return scratch / "ledger.db"


def _shim(scratch: Path) -> Path | None:
    """Return a library whose fsync takes longer, or None where none can be made."""
    compiler = which("cc")
    if compiler is None:
        return None
    source, library = scratch / "slow.c", scratch / "slow.so"
    source.write_text(_SLOW_DISK, "utf-8")
    made = subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=False, capture_output=True
    )
    return library if made.returncode == 0 else None


def ours(path: str, jobs: int, waiting: int) -> Mapping[str, Any]:
    """Take jobs through all their states in the shipped ledger, ``waiting`` of them at the same time."""
    import anyio

    from pipeline.blocking import in_threads
    from pipeline.jobs import Job, State
    from pipeline.ledger.store import SqliteLedger

    specs = _specs(jobs)

    async def run() -> tuple[Clock, int]:
        ledger = SqliteLedger.create_or_open(Path(path), now=lambda: 1e9, blocking=in_threads(1))
        await ledger.enrol(specs, settings={})
        left = iter([job async for job in ledger.jobs({State.PLANNED})])

        async def drive() -> None:
            for job in left:
                after: Job = job
                for event in _life(job.name):
                    after = await ledger.record(after, event)

        with Clock() as clock:
            async with anyio.create_task_group() as group:
                for _ in range(waiting):
                    group.start_soon(drive)
        done = len([job async for job in ledger.jobs({State.DONE})])
        ledger.close()
        return clock, done

    clock, done = anyio.run(run)
    if done != jobs:
        raise Broken(f"{done} of {jobs} jobs are done")
    return clock.told(transitions=jobs * STEPS)


def _specs(jobs: int) -> "list[Spec]":
    from pipeline.jobs import Spec

    request = {"model": "sora-2", "size": "1280x720", "seconds": "4"}
    return [
        Spec(f"job-{number}", 1, {**request, "prompt": f"{number:0200}"}, f"job-{number}.mp4", "")
        for number in range(jobs)
    ]


def _life(name: str) -> "Iterator[Event]":
    from pipeline import events

    raw = b'{"id":"%s","object":"video","status":"queued","progress":0,"model":"sora-2"}' % name.encode()
    yield events.Intended(
        attempt=1,
        idempotency_key=f"key of {name}",
        base_url="http://127.0.0.1/v1",
        key_fingerprint=None,
        price=0.0,
        intended_at=1e9,
    )
    yield events.Accepted(video_id=f"video of {name}", submitted_at=1e9, status="queued", raw=raw)
    yield events.Progressed(status="in_progress", raw=raw)
    yield events.Completed(status="completed", expires_at=None, raw=raw)
    yield events.Verified(sha256="0" * 64, bytes=65536)
    yield events.Published(path=f"videos/{name}.mp4")


def plain(path: str, jobs: int) -> Mapping[str, Any]:
    """Keep the state of each job, and a line for each transition, as a short script would: no rules, no threads."""
    import sqlite3

    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE jobs (name TEXT PRIMARY KEY, prompt TEXT, state TEXT)")
    connection.execute("CREATE TABLE events (id INTEGER PRIMARY KEY, job TEXT, at REAL, state TEXT, raw BLOB)")
    connection.execute("BEGIN")
    connection.executemany(
        "INSERT INTO jobs VALUES (?, ?, 'planned')", [(f"job-{n}", f"{n:0200}") for n in range(jobs)]
    )
    connection.execute("COMMIT")
    raw = b'{"id":"video","object":"video","status":"queued","progress":0,"model":"sora-2"}'
    with Clock() as clock:
        for number in range(jobs):
            for state in ("submitting", "submitted", "in_progress", "completed", "verified", "done"):
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("UPDATE jobs SET state = ? WHERE name = ?", (state, f"job-{number}"))
                row = (f"job-{number}", 1e9, state, raw)
                connection.execute("INSERT INTO events (job, at, state, raw) VALUES (?, ?, ?, ?)", row)
                connection.execute("COMMIT")
    return clock.told(transitions=jobs * STEPS)

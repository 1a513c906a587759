"""A ledger of a million jobs, of which ten thousand remain."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.processes import run, side
from benchmarks.rows import Broken, Row, bound, cheaper
from benchmarks.side import Clock

if TYPE_CHECKING:
    from benchmarks.suite import Bench

JSONL = "orjson over JSONL, a line a job"


def measure(bench: "Bench") -> Sequence[Row]:
    """Time on the clock to open it and have the jobs that remain, against orjson over as many lines.

    As a reader does it, which changes nothing and makes no job of what it counts; and as a run does it, which makes a
    job of each, while a thread checks the whole file: how long that takes has a line of its own. Then all of
    ``callsheet status``, for people and as JSON. Every finished job has one event in the ledger; a real one has six.
    """
    jobs = bench.size(1_000_000, 2_000)
    campaign, lines = bench.scratch / "million", bench.scratch / "jobs.jsonl"
    side(build, folder=campaign, lines=lines, jobs=jobs)
    command = [Path(sys.executable).with_name("callsheet"), "status", campaign]
    found = bench.interleaved(
        read=lambda: side(read, folder=campaign),
        opened=lambda: side(opened, folder=campaign),
        jsonl=lambda: side(jsonl, lines=lines),
        status=lambda: run(command),
        document=lambda: run(["sh", "-c", '"$@" > /dev/null', "sh", *command, "--json"]),  # a third of a gigabyte
    )
    if len({used.told["remain"] for who in ("read", "opened", "jsonl") for used in found[who]} | {jobs // 100}) > 1:
        raise Broken("the sides do not find the same jobs")
    cost = {who: [used.told["wall"] * 1000 for used in found[who]] for who in ("read", "opened", "jsonl")}
    checked = [used.told["checked"] for used in found["opened"]]
    unit = "ms on the clock"
    return [
        cheaper("million-ledger (reader)", unit, cost["read"], cost["jsonl"], JSONL, least=15),
        bound("million-ledger (reader)", unit, cost["read"], most=100),
        cheaper("million-ledger (run)", unit, cost["opened"], cost["jsonl"], JSONL, least=15),
        bound("million-ledger (run)", unit, cost["opened"], most=100),
        bound("million-ledger (run, checked)", "s on the clock", checked, most=None),
        *(
            bound(f"million-ledger ({name})", "s on the clock", [used.wall for used in found[who]], most=most)
            for who, name, most in (("status", "status", 1.0), ("document", "status --json", None))
        ),
        *(
            bound(f"million-ledger ({name})", "MB at most", [used.peak / 1e6 for used in found[who]], most=None)
            for who, name in (("status", "status"), ("document", "status --json"))
        ),
    ]


def build(folder: str, lines: str, jobs: int) -> Mapping[str, Any]:
    """Write the ledger, by SQL and not by a run, and the same as lines of JSON. One job in a hundred is planned."""
    import asyncio
    import json

    from pipeline.blocking import inline
    from pipeline.jobs import Job, Spec, State, canonical_json
    from pipeline.ledger import opening
    from pipeline.ledger.rows import COLUMNS, to_columns
    from pipeline.ledger.store import SqliteLedger

    request = {"model": "sora-2", "size": "1280x720", "seconds": "4"}
    path = Path(folder) / "ledger.db"
    path.parent.mkdir()

    def rows() -> Iterator[tuple[Any, ...]]:
        for number in range(jobs):
            spec = Spec(f"job-{number:07d}", 1, {**request, "prompt": f"{number:0200}"}, f"job-{number:07d}.mp4", "")
            fixed = {"name": spec.name, "request_hash": spec.request_hash, "output": spec.output}
            values = {**empty, **fixed, "request": canonical_json(spec.request)}
            if number % 100:
                values |= {**done, "video_id": f"video_{number}", "path": f"videos/{spec.output}"}
                values["idempotency_key"] = f"{number:032x}"
            yield tuple(values[name] for name in COLUMNS)

    first = Job.planned(Spec("", 1, request, "", ""))
    empty = dict(zip(COLUMNS, to_columns(first, COLUMNS), strict=True))
    done = {
        "state": State.DONE.value,
        "attempt": 1,
        "base_url": "http://127.0.0.1/v1",
        "price": 0.0,
        "intended_at": 1e9,
        "submitted_at": 1e9,
        "status": "completed",
        "sha256": "0" * 64,
        "bytes": 65536,
    }
    opening.create(path)
    ledger = SqliteLedger.create_or_open(path, now=lambda: 1e9, blocking=inline)
    asyncio.run(ledger.enrol([], settings={"name": "million", "provider": "openai", "currency": None}))
    ledger.close()
    connection = opening.connect(path, lambda _: None)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("BEGIN")
    marks = ", ".join("?" * len(COLUMNS))
    connection.executemany(f"INSERT INTO jobs ({', '.join(COLUMNS)}) VALUES ({marks})", rows())
    connection.execute("INSERT INTO claims SELECT video_id, id, 0 FROM jobs WHERE video_id IS NOT NULL")
    connection.execute(
        "INSERT INTO events (job, at, kind, state, data, raw) SELECT id, 1e9, 'published', 'done',"
        " json_object('path', path), x'' FROM jobs WHERE state = 'done'"
    )
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    with Path(lines).open("w", encoding="utf-8") as file:
        for number in range(jobs):
            state = "done" if number % 100 else "planned"
            line = {
                "at": 1e9,
                "job": f"job-{number:07d}",
                "state": state,
                "video_id": f"video_{number}",
                "sha256": "0" * 64,
            }
            file.write(json.dumps(line) + "\n")
    return {"size": path.stat().st_size}


def read(folder: str) -> Mapping[str, Any]:
    """Open it as every command that only looks does."""
    from pipeline.jobs import State
    from pipeline.ledger import reading

    unfinished = {*State} - {State.DONE, State.FAILED, State.EXPIRED}
    with Clock() as clock, reading.opened(Path(folder) / "ledger.db") as connection:
        remain = sum(1 for _ in reading.lines_among(connection, unfinished))
    return clock.told(remain=remain)


def opened(folder: str) -> Mapping[str, Any]:
    """Open it as a run does, and read what remains through the run's own store."""
    import anyio

    from pipeline.blocking import in_threads
    from pipeline.jobs import State
    from pipeline.ledger.store import SqliteLedger

    async def run() -> tuple[Clock, Clock, int]:
        with Clock() as checked:
            with Clock() as clock:
                path = Path(folder) / "ledger.db"
                ledger = SqliteLedger.create_or_open(path, now=lambda: 1e9, blocking=in_threads(1), unchecked=True)
                unfinished = {*State} - {State.DONE, State.FAILED, State.EXPIRED}
                remain = len([job async for job in ledger.jobs(unfinished)])
            await ledger.sound()
        ledger.close()
        return clock, checked, remain

    clock, checked, remain = anyio.run(run)
    return clock.told(remain=remain, checked=checked.wall)


def jsonl(lines: str) -> Mapping[str, Any]:
    """Read every line, keep the last state of each job, and those that are not over."""
    import orjson

    with Clock() as clock:
        state = {}
        with Path(lines).open("rb") as file:
            for line in file:
                record = orjson.loads(line)
                state[record["job"]] = record["state"]
        remain = sum(1 for word in state.values() if word not in {"done", "failed", "expired"})
    return clock.told(remain=remain)

"""Ledgers of jobs in all states, by chance: written by SQL, as no run would have the patience to."""

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from pipeline.blocking import inline
from pipeline.jobs import DOUBTFUL, PAID, Failure, FailureKind, Job, Spec, State, canonical_json
from pipeline.ledger import opening
from pipeline.ledger.rows import COLUMNS, to_columns, unfetched_setting
from pipeline.ledger.store import SqliteLedger

USUAL = (*State, State.DONE, State.DONE, State.DONE, State.PLANNED)
_WARNINGS = ((), (), (), ("shorter than asked for",), ("shorter", 'of [b]"another"[/b] size'))
_PRICES = (None, 0.0, 0.1, 0.4, 1.2)


def built(path: Path, rng: Random, number: int, among: Sequence[State] = USUAL) -> None:
    """Make a ledger of so many jobs at the path, in these states, each of them with some of what a job can have."""
    path.parent.mkdir(parents=True, exist_ok=True)
    SqliteLedger.create_or_open(path, now=lambda: 1e9, blocking=inline).close()
    connection = opening.connect(path, lambda _: None)
    connection.execute("BEGIN")
    marks = ", ".join("?" * len(COLUMNS))
    waiting = {}
    for id_ in range(1, number + 1):
        job = job_by_chance(rng, id_, rng.choice(among))
        values = to_columns(job, COLUMNS)
        connection.execute(f"INSERT INTO jobs (id, {', '.join(COLUMNS)}) VALUES (?, {marks})", (id_, *values))
        for kind, data in events_by_chance(rng, job):
            row = (id_, 1e9 + id_, kind, job.state, canonical_json(data), b"")
            connection.execute("INSERT INTO events (job, at, kind, state, data, raw) VALUES (?, ?, ?, ?, ?, ?)", row)
        if job.state is State.COMPLETED and rng.random() < 0.3:
            waiting[job.name, job.request_hash] = Failure(FailureKind.BAD_OUTPUT, "half a file", request_id="r")
    connection.execute("INSERT INTO claims SELECT video_id, id, 0 FROM jobs WHERE video_id IS NOT NULL")
    settings = {"name": "chance", "currency": "USD", "unfetched": unfetched_setting(waiting)}
    connection.executemany(
        "INSERT INTO settings VALUES (?, ?)", [(key, canonical_json(value)) for key, value in settings.items()]
    )
    connection.execute("UPDATE account SET max_cost = 100, max_videos = 7")
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def job_by_chance(rng: Random, number: int, state: State) -> Job:
    """Return a job that a ledger could have; what it has no rule about, it may have or not."""

    def some(value: Any) -> Any:
        return rng.choice((None, value))

    request = {"model": "sora-2", "prompt": f"shot {number}", "size": "1280x720", "seconds": "4"}
    spec = Spec(
        f"shot-{rng.randrange(10**9):x}#{number}", 1, request, f"shot-{number}.mp4", "", ("hero",), {"n": number}
    )
    has_id = state in PAID or (state not in DOUBTFUL and rng.random() < 0.2)
    placed = state in {State.VERIFIED, State.DONE} or rng.random() < 0.1
    failure = rng.choice([*FailureKind, None, None, None, None, None, None])
    return Job(
        *(spec.name, spec.request_hash, spec.request, spec.output, spec.tags, spec.metadata, state),
        attempt=0 if state is State.PLANNED and rng.random() < 0.7 else rng.randrange(1, 4),
        approvals=rng.choice((0, 0, 0, 1, 2)),
        sunk=rng.choice((0.0, 0.0, 0.4)),
        idempotency_key=f"key-{number}",
        base_url=some("https://a/v1"),
        key_fingerprint=some("f"),
        price=rng.choice(_PRICES),
        intended_at=some(1e9 + number),
        video_id=f"video_{number}" if has_id else None,
        submitted_at=1e9 + number if has_id else None,
        status=some("queued"),
        expires_at=some(2e9 - rng.randrange(10**6)),
        sha256="ab" * 32 if placed else None,
        bytes=rng.randrange(10**7) if placed else None,
        path=f"videos/shot-{number}.mp4" if placed and rng.random() < 0.9 else None,
        failure=failure and Failure(failure, f"no {number}", some("c"), some("prompt"), some(400), some("r")),
        warnings=rng.choice(_WARNINGS),
        orphaned=rng.random() < 0.2,
        picked=rng.random() < 0.1,
    )


def events_by_chance(rng: Random, job: Job) -> list[tuple[str, dict[str, Any]]]:
    """Return some of what may have happened to the job: a part of its story, not all of it."""
    happened: list[tuple[str, dict[str, Any]]] = []
    if job.attempt:
        happened.append(("intended", {"idempotency_key": job.idempotency_key}))
    if job.video_id:
        happened.append(("completed", {"status": "completed"}))
    if job.approvals:
        failure = {"kind": rng.choice(list(FailureKind)).value, "message": "no, [i]again[/i]"}
        told = {"by": rng.choice(("ada", "retry: server")), "approvals": job.approvals, "failure": failure}
        happened += [("published", {})] * rng.randrange(2) + [("retried", told)] * rng.randrange(2)
    return happened

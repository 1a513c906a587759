"""What the page knows of each job: a JSON value, harmless throughout, without what is empty. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline import neutral
from pipeline.actions import ACTIONS
from pipeline.jobs import DOUBTFUL, PAID, Failure, Job
from pipeline.ledger.reading import Entry
from pipeline.report import histories

_FACTS = ("sha256", "bytes", "price", "video_id", "base_url", "idempotency_key", "status", "expires_at")


@dataclass(frozen=True, slots=True)
class History:
    """A job and all that happened to it, oldest first."""

    job: Job
    entries: tuple[Entry, ...]

    @property
    def rejected(self) -> Iterator[tuple[str, str, float]]:
        """Path, sha256 and time of each earlier video that was sent back."""
        for entry in self.entries:
            kept, sha256 = entry.data.get("kept"), entry.data.get("kept_sha256")
            if entry.kind == "rejected" and isinstance(kept, str):
                yield kept, str(sha256), entry.at

    @property
    def rendered(self) -> float | None:
        """Seconds from the last acceptance until the server was seen to be ready."""
        times: dict[str, float] = {}
        for entry in self.entries:
            if entry.kind == "accepted":
                times.pop("completed", None)
            times[entry.kind] = entry.at
        if "accepted" not in times or "completed" not in times:
            return None
        return max(0.0, times["completed"] - times["accepted"])

    def when(self, kind: str) -> float | None:
        """Return when an event of this kind last happened."""
        return next((entry.at for entry in reversed(self.entries) if entry.kind == kind), None)


@dataclass(frozen=True, slots=True)
class Footage:
    """A file on the disk: its path as the ledger has it, its URL as seen from the page, its poster as a data: URL."""

    path: str
    url: str | None
    poster: str | None = None


def frames(histories_of: Sequence[History], footage: Mapping[str, Footage]) -> list[dict[str, Any]]:
    """Return a value for each job. ``footage`` is by path."""
    named = Counter(history.job.name for history in histories_of)
    return [_slim(_frame(history, footage, alone=named[history.job.name] == 1)) for history in histories_of]


def shot_of(name: str) -> tuple[str, int]:
    """Return a job's name without its take, and the take."""
    shot, mark, take = name.rpartition("#")
    return (shot, int(take)) if mark and take.isascii() and take.isdigit() else (name, 1)


def _frame(history: History, footage: Mapping[str, Footage], *, alone: bool) -> dict[str, Any]:
    job, request = history.job, history.job.request
    shot, take = shot_of(job.name)
    here = footage.get(job.path or "")
    prompt = request.get("prompt")
    written = {
        "key": job.name if alone else f"{job.name}~{job.request_hash[:8]}",
        "shot": shot,
        "take": take,
        "state": job.state.value,
        "prompt": prompt if isinstance(prompt, str) else None,
        **{name: str(request[name]) for name in ("model", "size", "seconds") if request.get(name) is not None},
        "tags": list(job.tags),
        "picked": job.picked,
        "orphaned": job.orphaned,
        "hash": job.request_hash,
        **{name: getattr(job, name) for name in _FACTS},
        "sunk": job.sunk or None,
        "paid": "yes" if job.state in PAID or job.video_id else "perhaps" if job.state in DOUBTFUL else None,
        "attempt": job.attempt,
        "approvals": job.approvals,
        "path": job.path,
        "rendered": history.rendered,
        "made": history.when("published"),
        "error": job.failure and _error(job.failure),
        "warnings": list(job.warnings),
        "request": {key: value for key, value in request.items() if key != "metadata"},
        "metadata": dict(job.metadata),
        "events": [[round(entry.at, 3), entry.kind, histories.words(entry)] for entry in history.entries],
    }
    rejected = [_rejected(path, at, footage.get(path)) for path, _, at in history.rejected]
    return {
        **neutral.throughout(written),
        "url": here and here.url,
        "poster": here and here.poster,
        "rejected": rejected,
    }


def _rejected(path: str, at: float, footage: Footage | None) -> dict[str, Any]:
    return _slim(
        {
            "path": neutral.on_lines(path),
            "at": at,
            "url": footage and footage.url,
            "poster": footage and footage.poster,
        }
    )


def _error(failure: Failure) -> dict[str, Any]:
    facts = ("message", "code", "param", "http_status", "request_id")
    said = {name: getattr(failure, name) for name in facts}
    return _slim({"kind": failure.kind.value.replace("_", " "), **said, "advice": ACTIONS[failure.kind].advice})


def _slim(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value or type(value) in {int, float}}

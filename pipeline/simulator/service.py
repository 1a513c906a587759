"""The service as a model: requests and a time in, answers out, the store changed. No HTTP, no timers.

Where OpenAI's documentation is silent, it does this:

- Content is served for ever; ``expires_at`` (an hour after completion) is information. A campaign may be resumed
  tomorrow, and a stand-in that lets a day's work expire teaches nothing.
- A repeated ``Idempotency-Key`` is Stripe's: with the same parameters the answer is the first job, as it is now, and
  the bill has no second line, not even after the job was deleted; with others it is a 400 of type
  ``idempotency_error``. Keys are kept for ever. A refused request leaves none.
- Only a job whose metadata says ``{"simulator": {"fail": "<code>"}}`` fails, with that code.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Never

from pipeline.jobs import canonical_json
from pipeline.simulator.footage import Footage, RealFootage
from pipeline.simulator.pace import Pace
from pipeline.simulator.refusals import refused, request_rules
from pipeline.simulator.store import Record, Store

SHELF_LIFE = 3600
"""Seconds from completion to ``expires_at``."""

_DEFAULTS = {"size": "720x1280", "seconds": "4"}  # OpenAI's
_OURS = __name__.split(".")[1]  # the key in a job's metadata that speaks to this package
_MESSAGES = {"moderation_blocked": "Your request was blocked by our moderation system."}
_NO_MESSAGE = "The video could not be generated."
_NOT_JSON = "We could not parse the JSON body of your request: it must be one JSON object, in UTF-8."
_KEY_REUSED = "Keys for idempotent requests can only be used with the same parameters they were first used with."
_LONGEST_KEPT = 1000


@dataclass(frozen=True, slots=True)
class Created:
    """A Video object; ``replayed`` where the key had been used before, and nothing was created."""

    video: dict[str, Any]
    replayed: bool


class VideoService:
    """The account: its videos and its bill. Methods raise Refused for what the API answers with an error.

    ``now`` gives seconds since the epoch; ``request_schema`` is a JSON Schema for the body of a create request.
    """

    def __init__(
        self,
        *,
        store: Store,
        request_schema: Mapping[str, Any],
        now: Callable[[], float],
        footage: Footage,
        pace: Pace = Pace(),  # noqa: B008 - frozen
    ) -> None:
        self.store = store
        self.now = now
        self._check = request_rules(request_schema)
        self._footage = footage
        self._pace = pace

    def create(self, body: bytes, idempotency_key: str | None) -> Created:
        """Check the request, then bill and create a job in one step."""
        request = _parsed(body)
        self._check(request)
        written = canonical_json({**request, **_abridged(request)})
        with self.store.transaction():
            if idempotency_key is not None and (known := self._replay(idempotency_key, written)):
                return Created(known, replayed=True)
            record = self._record(request, written)
            self.store.add(record, request=written, idempotency_key=idempotency_key)
        return Created(_document(record, self.now()), replayed=False)

    def retrieve(self, video_id: str) -> dict[str, Any]:
        """Return the Video object as it is now."""
        return _document(self._found(video_id), self.now())

    def page(self, *, limit: int, after: str | None, order: Literal["asc", "desc"]) -> dict[str, Any]:
        """Return one page of the account's videos by creation. A deleted video is a fine place to go on ``after``."""
        if after is not None and self.store.video(after, deleted=True) is None:
            raise refused(400, f"No video found with id '{after[:100]}'.", code="invalid_value", param="after")
        records = self.store.videos(after=after, order=order, limit=limit + 1)
        now = self.now()
        data = [_document(record, now) for record in records[:limit]]
        return {
            "object": "list",
            "data": data,
            "first_id": data[0]["id"] if data else None,
            "last_id": data[-1]["id"] if data else None,
            "has_more": len(records) > limit,
        }

    def delete(self, video_id: str) -> dict[str, Any]:
        """Delete a video that is completed or failed: there is no way to cancel one."""
        if not self._ended(self._found(video_id)):
            raise refused(400, "Only completed or failed videos can be deleted; this one is still being made.")
        self.store.delete(video_id)
        return {"id": video_id, "object": "video.deleted", "deleted": True}

    async def content(self, video_id: str) -> bytes:
        """Return the MP4 of a completed video."""
        record = self._found(video_id)
        if not self._ended(record):
            raise refused(404, "Video is not ready yet, use GET /v1/videos/{id} to check status.")
        if record.failure is not None:
            raise refused(404, "Video generation failed, there is no content: see the video's error.")
        return await self._footage(record)

    def _found(self, video_id: str) -> Record:
        record = self.store.video(video_id)
        if record is None:
            raise refused(404, f"Video with id '{video_id[:100]}' not found.")
        return record

    def _ended(self, record: Record) -> bool:
        return self.now() >= record.life.ended_at

    def _replay(self, key: str, request: str) -> dict[str, Any] | None:
        line = self.store.billed_as(key)
        if line is None:
            return None
        record = self.store.video(line.video_id, deleted=True)
        if line.request != request or record is None:
            raise refused(400, _KEY_REUSED, kind="idempotency_error")
        return _document(record, self.now())

    def _record(self, request: Mapping[str, Any], written: str) -> Record:
        now = self.now()
        # Unique in the store by the number, and nearly so in the world by the rest; no dice, so that tests repeat.
        seed = f"{self.store.billed()} {now!r} {written}"
        video_id = f"video_{hashlib.sha256(seed.encode()).hexdigest()[:32]}"
        facts = _DEFAULTS | {name: request[name] for name in ("model", "prompt", "size", "seconds") if name in request}
        metadata = request.get("metadata")
        life = self._pace.life(video_id, now)
        return Record(id=video_id, life=life, metadata=metadata, failure=_asked_failure(metadata), **facts)


@contextmanager
def open_simulator(
    *,
    path: str | Path,
    request_schema: Mapping[str, Any],
    now: Callable[[], float],
    footage: Callable[[Store], Footage] = RealFootage,
    pace: Pace = Pace(),  # noqa: B008 - frozen
) -> Iterator[VideoService]:
    """Open the service on the store at ``path`` (``":memory:"`` forgets), and close the store at the end.

    Raises StorageError for a file that cannot be used, UsageError where the simulator's libraries are missing.
    """
    with Store.open(path) as store:
        yield VideoService(store=store, request_schema=request_schema, now=now, footage=footage(store), pace=pace)


def _document(record: Record, now: float) -> dict[str, Any]:
    """Return OpenAI's Video object, all of its keys, and the metadata."""
    life, status = record.life, _status(record, now)
    completed_at = int(life.ended_at) if status == "completed" else None
    return {
        "id": record.id,
        "object": "video",
        "model": record.model,
        "status": status,
        "progress": life.progress(now),
        "created_at": int(life.created_at),
        "completed_at": completed_at,
        "expires_at": None if completed_at is None else completed_at + SHELF_LIFE,
        "prompt": record.prompt,
        "size": record.size,
        "seconds": record.seconds,
        "remixed_from_video_id": None,
        "error": _error(record.failure) if record.failure and status == "failed" else None,
        "metadata": record.metadata,
    }


def _status(record: Record, now: float) -> str:
    if now < record.life.started_at:
        return "queued"
    if now < record.life.ended_at:
        return "in_progress"
    return "completed" if record.failure is None else "failed"


def _error(code: str) -> dict[str, str]:
    return {"code": code, "message": _MESSAGES.get(code, _NO_MESSAGE)}


def _asked_failure(metadata: Any) -> str | None:
    asked = metadata.get(_OURS) if isinstance(metadata, dict) else None
    code = asked.get("fail") if isinstance(asked, dict) else None
    return code if isinstance(code, str) and code else None


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body, parse_constant=_no_constant)
        canonical_json(value).encode()  # refuses what no JSON text can hold: half a surrogate pair, an endless number
    except (ValueError, RecursionError):
        raise refused(400, _NOT_JSON) from None
    if not isinstance(value, dict):
        raise refused(400, _NOT_JSON)
    return value


def _no_constant(name: str) -> Never:
    raise ValueError(name)


def _abridged(request: Mapping[str, Any]) -> dict[str, str]:
    """Return what stands for a large reference image on the bill: its hash, which tells images apart as well."""
    image = request.get("input_reference")
    if not isinstance(image, str) or len(image) <= _LONGEST_KEPT:
        return {}
    return {"input_reference": f"sha256:{hashlib.sha256(image.encode()).hexdigest()}"}

"""The service as a model: requests and a time in, answers out, the store changed. No HTTP, no timers.

What a server does is in its dialect. Where OpenAI's documentation is silent, the simulator's own does this:

- Content is served for ever; ``expires_at`` (an hour after completion) is information. A campaign may be resumed
  tomorrow, and a stand-in that lets a day's work expire teaches nothing.
- A repeated ``Idempotency-Key`` is Stripe's: with the same parameters the answer is the first job, as it is now, and
  the bill has no second line, not even after the job was deleted; with others it is a 400 of type
  ``idempotency_error``. Keys are kept for ever. A refused request leaves none.

In every dialect a job fails only when somebody asks for it: its metadata, where the server keeps them, with
``{"simulator": {"fail": "<code>"}}``, or a fault.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipeline.jobs import canonical_json
from pipeline.simulator import dialects, ids, wording
from pipeline.simulator.dialects import Dialect
from pipeline.simulator.footage import Footage, RealFootage
from pipeline.simulator.intake import Intake, parsed
from pipeline.simulator.pace import Pace
from pipeline.simulator.refusals import refused
from pipeline.simulator.store import Record, Store

_DEFAULTS = {"model": "sora-2", "size": "720x1280", "seconds": "4"}  # OpenAI's
_OURS = __name__.split(".")[1]  # the key in a job's metadata that speaks to this package
_KEY_REUSED = "Keys for idempotent requests can only be used with the same parameters they were first used with."
_LONGEST_KEPT = 1000


@dataclass(frozen=True, slots=True)
class Created:
    """A Video object; ``replayed`` where the key had been used before, and nothing was created."""

    video: dict[str, Any]
    replayed: bool


class VideoService:
    """The account: its videos and its bill. Methods raise Refused for what the API answers with an error.

    ``now`` gives seconds since the epoch; ``request_schema`` is a JSON Schema for the body of a create request, where
    the dialect has none of its own.
    """

    def __init__(
        self,
        *,
        store: Store,
        request_schema: Mapping[str, Any],
        now: Callable[[], float],
        footage: Footage,
        dialect: Dialect,
        pace: Pace = Pace(),  # noqa: B008 - frozen
    ) -> None:
        self.store = store
        self.now = now
        self.dialect = dialect
        self._taken = Intake(dialect.request, request_schema)
        self._footage = footage
        self._pace = pace

    def create(self, body: bytes, idempotency_key: str | None) -> Created:
        """Create a job from a JSON body."""
        return self.accept(parsed(body), {}, idempotency_key)

    def accept(
        self,
        fields: Mapping[str, Any],
        uploads: Mapping[str, Any],
        idempotency_key: str | None,
        *,
        failure: str | None = None,
    ) -> Created:
        """Check the request, then bill and create a job in one step. ``failure`` is the code that it will end with."""
        request = self._taken(fields, uploads)
        key = idempotency_key if self.dialect.idempotency else None
        written = canonical_json({**request, **_abridged(request)})
        with self.store.transaction():
            if key is not None and (known := self._replay(key, written)):
                return Created(known, replayed=True)
            record = self._record(request, written, failure)
            self.store.add(record, request=written, idempotency_key=key)
        return Created(self._shown(record, created=True), replayed=False)

    def retrieve(self, video_id: str) -> dict[str, Any]:
        """Return the Video as it is now."""
        return self._shown(self._found(video_id))

    def prompt(self, video_id: str) -> str:
        """Return the prompt of a video; of one that is not there, an empty one."""
        record = self.store.video(ids.canonical(self.dialect.ids, video_id))
        return record.prompt if record else ""

    def page(self, *, limit: int | None, after: str | None, order: Literal["asc", "desc"]) -> dict[str, Any]:
        """Return one page of the account's videos by creation. A deleted video is a fine place to go on ``after``."""
        rules = self.dialect.list
        lost = after is not None and self.store.video(after, deleted=True) is None
        if lost and not (rules and rules.lenient):
            message = f"No video found with id '{str(after)[:100]}'."
            raise refused(400, message, reason="query", code="invalid_value", param="after")
        most = -1 if limit is None else limit + 1
        records = [] if lost else self.store.videos(after=after, order=order, limit=most)
        data = [self._shown(record) for record in records[:limit]]
        facts = {
            "data": data,
            "first_id": data[0]["id"] if data else None,
            "last_id": data[-1]["id"] if data else None,
            "has_more": limit is not None and len(records) > limit,
        }
        page: dict[str, Any] = wording.filled(rules.page if rules and rules.page else wording.PAGE, facts)
        return page

    def delete(self, video_id: str) -> dict[str, Any]:
        """Delete a video; where there is no way to cancel one, only if it is completed or failed."""
        rules = self.dialect.delete
        if rules is None:
            raise refused(405, "Videos cannot be deleted.", reason="no_delete")
        record = self._found(video_id)
        if not (rules.running or self._ended(record)):
            message = "Only completed or failed videos can be deleted; this one is still being made."
            raise refused(400, message, reason="unfinished")
        video = self._shown(record, word="deleted")
        self.store.delete(record.id)
        answer: dict[str, Any] = wording.filled(rules.answer, {"id": video["id"], "video": video})
        return answer

    async def content(self, video_id: str) -> bytes:
        """Return the MP4 of a completed video."""
        record, word = self._found(video_id, reason="content_not_found"), self.dialect.video.words
        if not self._ended(record):
            message = "Video is not ready yet, use GET /v1/videos/{id} to check status."
            status = wording.status_of(record, self.now())
            raise refused(404, message, reason="not_ready", word=word.get(status, status))
        if record.failure is not None:
            message = "Video generation failed, there is no content: see the video's error."
            raise refused(404, message, reason="content_failed", word=word.get("failed", "failed"))
        expiry = self.dialect.expiry
        if expiry.enforced and expiry.shown is not None and self.now() >= record.life.ended_at + expiry.shown:
            raise refused(404, "Video content has expired.", reason="expired", code="video_expired")
        return await self._footage(record)

    def _found(self, video_id: str, *, reason: str = "not_found") -> Record:
        record = self.store.video(ids.canonical(self.dialect.ids, video_id))
        if record is None and ids.is_foreign(self.dialect.ids, video_id):
            raise refused(500, "Cannot connect to host api.openai.com:443.", reason="foreign_id", kind="server_error")
        if record is None:
            name = ids.inner(self.dialect.ids, video_id)[:100]
            raise refused(404, f"Video with id '{name}' not found.", reason=reason)
        return record

    def _shown(self, record: Record, *, created: bool = False, word: str | None = None) -> dict[str, Any]:
        video: dict[str, Any] = wording.video(record, self.now(), self.dialect, created=created, word=word)
        return video

    def _ended(self, record: Record) -> bool:
        return self.now() >= record.life.ended_at

    def _replay(self, key: str, request: str) -> dict[str, Any] | None:
        line = self.store.billed_as(key)
        if line is None:
            return None
        record = self.store.video(line.video_id, deleted=True)
        if line.request != request or record is None:
            raise refused(400, _KEY_REUSED, reason="idempotency", kind="idempotency_error")
        return self._shown(record, created=True)

    def _record(self, request: Mapping[str, Any], written: str, failure: str | None) -> Record:
        now = self.now()
        # Unique in the store by the number, and nearly so in the world by the rest; no dice, so that tests repeat.
        seed = f"{self.store.billed()} {now!r} {written}"
        chosen = _DEFAULTS | dict(self.dialect.request.defaults) | dict(request)
        video_id = ids.made(self.dialect.ids, hashlib.sha256(seed.encode()).hexdigest()[:32], chosen["model"])
        facts = {name: str(chosen[name]) for name in ("model", "prompt", "seconds")} | {"size": _made(chosen["size"])}
        metadata = request.get("metadata")
        life = self._pace.life(video_id, now)
        failure = failure or _asked_failure(metadata)
        return Record(id=video_id, life=life, metadata=metadata, failure=failure, **facts)


@contextmanager
def open_simulator(
    *,
    path: str | Path,
    request_schema: Mapping[str, Any],
    now: Callable[[], float],
    footage: Callable[[Store], Footage] = RealFootage,
    pace: Pace = Pace(),  # noqa: B008 - frozen
    dialect: Dialect | None = None,
) -> Iterator[VideoService]:
    """Open the service on the store at ``path`` (``":memory:"`` forgets), and close the store at the end.

    Without a ``dialect`` it speaks the simulator's own. Raises StorageError for a file that cannot be used, UsageError
    where the simulator's libraries are missing.
    """
    spoken = dialect or dialects.dialect(dialects.DEFAULT)
    with Store.open(path) as store:
        if spoken.memory:
            store.forget()
        yield VideoService(
            store=store, request_schema=request_schema, now=now, footage=footage(store), pace=pace, dialect=spoken
        )


def _asked_failure(metadata: Any) -> str | None:
    asked = metadata.get(_OURS) if isinstance(metadata, dict) else None
    code = asked.get("fail") if isinstance(asked, dict) else None
    return code if isinstance(code, str) and code else None


def _made(size: str) -> str:
    """Return the size that a video of this size has: an encoder makes even numbers of pixels."""
    return "x".join(str(int(side) // 2 * 2) for side in size.split("x"))


def _abridged(request: Mapping[str, Any]) -> dict[str, str]:
    """Return what stands for a large reference image on the bill: its hash, which tells images apart as well."""
    image = request.get("input_reference")
    if not isinstance(image, str) or len(image) <= _LONGEST_KEPT:
        return {}
    return {"input_reference": f"sha256:{hashlib.sha256(image.encode()).hexdigest()}"}

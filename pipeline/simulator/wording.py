"""Records and refusals -> the documents of a dialect. Pure."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.simulator import ids
from pipeline.simulator.dialects import Dialect, Template
from pipeline.simulator.refusals import Refused
from pipeline.simulator.store import Record

VIDEO: Template = {
    "id": "{id}",
    "object": "video",
    "model": "{model}",
    "status": "{status}",
    "progress": "{progress}",
    "created_at": "{created_at}",
    "completed_at": "{completed_at}",
    "expires_at": "{expires_at}",
    "prompt": "{prompt}",
    "size": "{size}",
    "seconds": "{seconds}",
    "remixed_from_video_id": None,
    "error": "{error}",
}
"""OpenAI's Video."""

PAGE: Template = {
    "object": "list",
    "data": "{data}",
    "first_id": "{first_id}",
    "last_id": "{last_id}",
    "has_more": "{has_more}",
}
ERROR: Template = {"error": {"message": "{message}", "type": "{type}", "param": "{param}", "code": "{code}"}}

_MESSAGES = {"moderation_blocked": "Your request was blocked by our moderation system."}
_NO_MESSAGE = "The video could not be generated."
_BROADER = {
    "missing": "invalid",
    "content_not_found": "not_found",
    "upstream_status": "upstream",
    "upstream_content": "upstream",
    "key_missing": "key_wrong",
}
_NAME = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Words:
    """An answer that is a refusal."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def filled(template: Template, facts: Mapping[str, Any]) -> Any:
    """Return the template with every ``{name}`` replaced; a text that is one name alone becomes the fact itself.

    Raises KeyError for a name that is no fact.
    """
    if isinstance(template, Mapping):
        return {key: filled(value, facts) for key, value in template.items()}
    if isinstance(template, list):
        return [filled(value, facts) for value in template]
    if not isinstance(template, str):
        return template
    alone = _NAME.fullmatch(template)
    return facts[alone[1]] if alone else _NAME.sub(lambda found: str(facts[found[1]]), template)


def status_of(record: Record, now: float) -> str:
    """Return OpenAI's word for where the video stands."""
    if now < record.life.started_at:
        return "queued"
    if now < record.life.ended_at:
        return "in_progress"
    return "completed" if record.failure is None else "failed"


def video(record: Record, now: float, dialect: Dialect, *, created: bool = False, word: str | None = None) -> Any:
    """Return the Video as the dialect shows it; ``created``: to the one who created it; ``word`` is its status."""
    rules, status = dialect.video, status_of(record, now)
    facts = _facts(record, now, dialect, created=created) | ({"status": word} if word else {})
    template = VIDEO | dict(rules.add) | dict(rules.created if created else {})
    template |= dict(rules.completed if status == "completed" else {})
    shown = filled({key: value for key, value in template.items() if key not in rules.without}, facts)
    return {key: value for key, value in shown.items() if value is not None} if rules.omit_null else shown


def _facts(record: Record, now: float, dialect: Dialect, *, created: bool) -> dict[str, Any]:
    life, status, rules = record.life, status_of(record, now), dialect.video
    done, shelf_life = status == "completed", dialect.expiry.shown
    completed_at, progress = int(life.ended_at), life.progress(now)
    failure = record.failure if status == "failed" else None
    return {
        "id": record.id if created else ids.later(dialect.ids, record.id, record.model),
        "model": record.model,
        "status": rules.words.get(status, status),
        "progress": progress if progress == 100 or rules.progress == "rising" else 0,
        "created_at": int(life.created_at),
        "created_at_ms": int(life.created_at * 1000),
        "completed_at": completed_at if done else None,
        "expires_at": completed_at + shelf_life if done and shelf_life is not None else None,
        "prompt": record.prompt,
        "size": record.size,
        "seconds": record.seconds,
        "duration": float(record.seconds),
        "took": life.ended_at - life.started_at,
        "metadata": record.metadata,
        "error": filled(rules.error, {"code": failure, "message": _message(failure)}) if failure else None,
    }


def _message(code: str) -> str:
    return _MESSAGES.get(code, _NO_MESSAGE)


def refusal(refused: Refused, dialect: Dialect) -> Words:
    """Return how the dialect says no: by the most special of its ``errors`` that speaks of it."""
    rule: dict[str, Any] = {}
    for key in reversed([*_keys(refused)]):
        rule |= dialect.errors.get(key, {})
    facts = {
        **refused.error,
        "inner": json.dumps({"error": refused.error}),
        "model": refused.model,
        "status": str(rule.get("status", refused.status)),
        **refused.facts,
    }
    body = filled(rule.get("body", ERROR), facts)
    is_text = isinstance(body, str)
    kind = rule.get("content_type", "text/plain; charset=utf-8" if is_text else "application/json")
    headers = {"content-type": kind, **filled(rule.get("headers", {}), facts)}
    text = body if is_text else json.dumps(body, ensure_ascii=False)
    return Words(rule.get("status", refused.status), headers, text.encode())


def _keys(refused: Refused) -> Iterator[str]:
    """Yield what a refusal may be called in ``errors``, the most special name first."""
    error, reason = refused.error, str(refused.reason)
    special = [error["param"]] if reason in {"missing", "invalid"} else [error["type"], refused.status]
    while reason:
        yield from (f"{reason} {word}" for word in special)
        yield reason
        reason = _BROADER.get(reason, "")
    yield "any"

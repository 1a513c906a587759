"""What aftercare finds, for programs: the documents of ``show``, ``resolve``, ``verify``, ``rebuild`` and ``audit``.

The shapes are promised in ``schemas/<verb>.schema.json``. Times are UTC, in ISO 8601.
"""

from __future__ import annotations  # what only lends its type is not loaded

import base64
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pipeline.answers import Answer, Question
from pipeline.audits import Audit, Surplus, total
from pipeline.clock import utc
from pipeline.custody import Wrong

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pipeline.aftercare import Shown, Story, Verified
    from pipeline.authoring import Known, Portrait
    from pipeline.comparing import Row
    from pipeline.doctor import Examined
    from pipeline.jobs import Failure
    from pipeline.ledger.reading import Entry
    from pipeline.locks import Lock
    from pipeline.pinning import Difference
    from pipeline.rebuilding import Rebuilt
    from pipeline.reporting import Reported
    from pipeline.resolving import Answered, Questions

ANY_ID = "VIDEO_ID"
"""Stands in a command for the id that the person has to find."""


def show_document(found: Shown) -> dict[str, Any]:
    """Return the document of ``show --json``."""
    head = {"schema_version": 1, "name": found.name, "path": found.path, "currency": found.currency}
    return {**head, "jobs": [_story(story) for story in found.stories]}


def profiles_document(found: Portrait) -> dict[str, Any]:
    """Return the document of ``profiles --json``."""
    return {
        "schema_version": 1,
        "profiles": [_known(one) for one in found.profiles],
        "fields": [_row(row) for row in found.rows],
    }


def doctor_document(found: Examined) -> dict[str, Any]:
    """Return the document of ``doctor --json``."""
    learned = [
        {"field": list(one.lesson.field), "learned": one.lesson.value, "profile": one.said, "how": one.lesson.how}
        for one in found.learned
    ]
    return {
        "schema_version": 1,
        "profile": found.profile.name,
        "base_url": found.base_url,
        "findings": [asdict(one) for one in found.findings],
        "learned": learned,
        "draft": found.draft and str(found.draft),
        "campaign": found.campaign and str(found.campaign.absolute()),
        "exit": found.exit_code,
    }


def _known(one: Known) -> dict[str, Any]:
    told = one.profile
    return {
        "name": one.name,
        "title": told and told.title,
        "whose": one.whose.value,
        "file": one.file and str(one.file),
        "base_url": told and told.base_url,
        "key": list(told.auth.env) if told else [],
        "problem": one.problem,
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        "field": list(row.field),
        "meaning": next(fact.meaning for fact in row.facts if fact),
        "values": [fact and {"value": fact.value, "given": fact.given} for fact in row.facts],
    }


def questions_document(found: Questions, command: Sequence[str]) -> dict[str, Any]:
    """Return the document of ``resolve --json``. ``command`` is the beginning of one that answers."""
    head = {"schema_version": 1, "name": found.name, "path": found.path, "currency": found.currency}
    return {**head, "waiting": [_question(question, command) for question in found.questions], "answered": None}


def answered_document(found: Answered) -> dict[str, Any]:
    """Return the document of ``resolve --json`` with an answer."""
    answered = {
        "job": found.after.name,
        "request_hash": found.after.request_hash,
        "answer": found.answer.value,
        "before": found.before.state.value,
        "state": found.after.state.value,
        "video_id": found.after.video_id,
    }
    head = {"schema_version": 1, "name": found.name, "path": found.path, "currency": found.currency}
    return {**head, "waiting": [], "answered": answered}


def verify_document(found: Verified) -> dict[str, Any]:
    """Return the document of ``verify --json``."""
    counted = Counter(fault.wrong for fault in found.faults)
    return {
        "schema_version": 1,
        "name": found.name,
        "path": found.path,
        "videos": found.videos,
        "bytes": found.bytes,
        "counts": {wrong.value: counted[wrong] for wrong in Wrong},
        "faults": [
            {"job": fault.job, "path": fault.path, "fault": fault.wrong.value, "message": fault.message}
            for fault in found.faults
        ],
        "unknown": list(found.unknown),
        "ledger": found.ledger,
        "lock": None if found.lock is None else _lock(found.lock, found.differences),
        "exit": found.exit_code,
    }


def _lock(lock: Lock, differences: Iterable[Difference]) -> dict[str, Any]:
    manifest = lock.manifest and str(lock.manifest)
    return {"path": str(lock.path), "manifest": manifest, "differences": [asdict(one) for one in differences]}


def rebuild_document(found: Rebuilt) -> dict[str, Any]:
    """Return the document of ``rebuild --json``."""
    return {
        "schema_version": 1,
        "name": found.name,
        "path": found.path,
        "provider": found.provider,
        "jobs": list(found.jobs),
        "again": list(found.again),
        "left_out": [asdict(one) for one in found.left_out],
        "copies": [asdict(one) for one in found.copies],
        "rescued": [{"job": job, "video_id": video_id} for job, video_id in found.rescued],
        "exit": found.exit_code,
    }


def audit_document(found: Audit, command: Sequence[str]) -> dict[str, Any]:
    """Return the document of ``audit --json``. ``command`` is the beginning of one that adopts a video."""
    surplus = [_surplus(one, command) for one in found.surplus]
    missing = [
        {
            "job": job.name,
            "state": job.state.value,
            "video_id": job.video_id,
            "submitted_at": utc(job.submitted_at),
            "cost": job.price,
        }
        for job in found.missing
    ]
    return {
        "schema_version": 1,
        "name": found.name,
        "path": found.path,
        "source": found.source,
        "since": utc(found.since),
        "seen": found.seen,
        "elsewhere": found.elsewhere,
        "surplus": {"cost": _cost(found.currency, (one.cost for one in found.surplus)), "videos": surplus},
        "missing": {"cost": _cost(found.ledger_currency, (job.price for job in found.missing)), "jobs": missing},
        "incomplete": found.incomplete and found.incomplete.message,
        "exit": found.exit_code,
    }


def report_document(found: Reported) -> dict[str, Any]:
    """Return the document of ``report --json``."""
    return {"schema_version": 1, **asdict(found)}


def answer_command(command: Sequence[str], question: Question, answer: Answer, video_id: str = ANY_ID) -> list[str]:
    """Return the command that gives this answer, word by word."""
    return [*command, question.word, answer.value, *([video_id] if answer is Answer.ADOPT else [])]


def _question(question: Question, command: Sequence[str]) -> dict[str, Any]:
    job, window = question.job, question.window
    commands = {answer: answer_command(command, question, answer) for answer in question.answers}
    return {
        "job": job.name,
        "request_hash": job.request_hash,
        "state": job.state.value,
        "error": _failure(job.failure),
        "window": window and {"from": utc(window[0]), "until": utc(window[1])},
        "base_url": job.base_url,
        "request": dict(job.request),
        "price": job.price,
        "idempotency_key": job.idempotency_key,
        "request_ids": list(question.request_ids),
        "video_id": job.video_id,
        "orphaned": job.orphaned,
        "answers": [{"answer": answer.value, "command": words} for answer, words in commands.items()],
    }


def _story(story: Story) -> dict[str, Any]:
    job = story.job
    file = {"path": job.path, "sha256": job.sha256, "bytes": job.bytes, "intact": story.intact}
    facts = ("attempt", "approvals", "base_url", "key_fingerprint", "idempotency_key", "video_id", "status")
    times = ("intended_at", "submitted_at", "expires_at")
    return {
        "job": job.name,
        "request_hash": job.request_hash,
        "state": job.state.value,
        "orphaned": job.orphaned,
        "picked": job.picked,
        "request": dict(job.request),
        "tags": list(job.tags),
        "metadata": dict(job.metadata),
        **{name: getattr(job, name) for name in facts},
        **{name: utc(getattr(job, name)) for name in times},
        "cost": {"price": job.price, "sunk": job.sunk},
        "file": file if job.path else None,
        "error": _failure(job.failure),
        "warnings": list(job.warnings),
        "request_ids": list(story.request_ids),
        "events": [_event(entry) for entry in story.events],
    }


def _event(entry: Entry) -> dict[str, Any]:
    return {
        "at": utc(entry.at),
        "kind": entry.kind,
        "state": entry.state.value,
        "changes": entry.data,
        "answer": _answer(entry.raw),
    }


def _answer(raw: bytes) -> dict[str, str] | None:
    """Return a server's answer whole: as text where it is text."""
    if not raw:
        return None
    try:
        return {"text": raw.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(raw).decode()}


def _surplus(one: Surplus, command: Sequence[str]) -> dict[str, Any]:
    video = one.video
    facts = {name: getattr(video, name) for name in ("model", "size", "seconds", "prompt")}
    could_be = [
        {"job": question.job.name, "command": answer_command(command, question, Answer.ADOPT, video.id)}
        for question in one.could_be
    ]
    head = {"video_id": video.id, "created_at": utc(video.created_at), "status": video.word or None}
    return {**head, **facts, "cost": one.cost, "could_be": could_be}


def _failure(failure: Failure | None) -> dict[str, Any] | None:
    if failure is None:
        return None
    return {
        "kind": failure.kind.value,
        "message": failure.message,
        "code": failure.code,
        "http_status": failure.http_status,
        "request_id": failure.request_id,
    }


def _cost(currency: str | None, costs: Iterable[float | None]) -> dict[str, Any]:
    known, unknown = total(costs)
    return {"currency": currency, "known": known, "unknown": unknown}

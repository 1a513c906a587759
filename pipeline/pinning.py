"""The lock of a campaign: what was asked, of whom, and which bytes came of it, to be proved elsewhere. Pure.

The same state gives the same bytes, so a lock lies well in a repository and its differences can be read. Its ``seal``
is the hash of everything else in it: it is no signature, it tells that somebody has edited what nobody should.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.jobs import Job, Spec, State, canonical_json

SUFFIX = ".lock.json"
"""What a lock's name ends with, beside its manifest: ``spring.yaml`` has ``spring.lock.json``."""

MAX_BYTES = 256 << 20
"""Bytes of a lock: a few hundred thousand jobs."""


@dataclass(frozen=True, slots=True)
class Pinned:
    """A job of the manifest, as it was sent where it was. ``model`` is the server's word for what it rendered with."""

    spec: Spec
    job: Job | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that does not agree with the lock. ``about``: the lock itself, the manifest, or the ledger.

    ``name`` is the field, or the file, that it is about.
    """

    about: str
    job: str | None
    name: str
    message: str


def document(
    *,
    campaign: str,
    callsheet: str,
    provider: str,
    profile: Mapping[str, Any],
    variables: Mapping[str, str],
    pinned: Sequence[Pinned],
) -> dict[str, Any]:
    """Return the lock of a campaign. ``profile`` is the provider's, as it is written; nothing in it is secret."""
    jobs = [_job(one) for one in sorted(pinned, key=lambda one: one.spec.name)]
    references = [one["request"].get("input_reference") for one in jobs]
    images = {one["sha256"]: dict(one) for one in references if isinstance(one, Mapping)}
    body = {
        "schema_version": 1,
        "name": campaign,
        "callsheet": callsheet,
        "profile": {"name": provider, "sha256": digest(profile)},
        "variables": dict(variables),
        "models": sorted({one["model"] for one in jobs if one["model"]}),
        "images": [images[sha256] for sha256 in sorted(images)],
        "jobs": jobs,
    }
    return {**body, "seal": digest(body)}


def text(lock: Mapping[str, Any]) -> str:
    """Return the lock as it is written: keys in their order, so that the same lock is the same bytes."""
    return json.dumps(lock, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def digest(value: Any) -> str:
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def edited(lock: Mapping[str, Any]) -> Iterator[Difference]:
    """Yield what a lock says that cannot have been written so."""
    for one in lock["jobs"]:
        asked = Spec(one["job"], one["take"], one["request"], "", "")
        if asked.request_hash != one["request_hash"]:
            yield Difference("lock", one["job"], "request_hash", "it is not that of the request beside it")
    if digest({name: value for name, value in lock.items() if name != "seal"}) != lock["seal"]:
        yield Difference("lock", None, "seal", "it was edited after it was written: `callsheet lock` makes it anew")


def from_the_manifest(
    lock: Mapping[str, Any], *, campaign: str, provider: str, profile: Mapping[str, Any], specs: Sequence[Spec]
) -> Iterator[Difference]:
    """Yield where the manifest, as it is now, asks for something else than what was locked."""
    if campaign != lock["name"]:
        yield Difference("manifest", None, "name", _changed(lock["name"], campaign))
    if provider != lock["profile"]["name"]:
        yield Difference("manifest", None, "provider", _changed(lock["profile"]["name"], provider))
    elif digest(profile) != lock["profile"]["sha256"]:
        yield Difference("manifest", None, "profile", f"the profile {provider} is another than the one that was locked")
    locked = {one["job"]: one for one in lock["jobs"]}
    for spec in specs:
        one = locked.pop(spec.name, None)
        if one is None:
            yield Difference("manifest", spec.name, "job", "it is not in the lock")
            continue
        before, now = _identity(one["request"]), _identity(spec.request)
        for field in sorted({*before, *now}):
            if before.get(field) != now.get(field):
                yield Difference("manifest", spec.name, field, _changed(before.get(field), now.get(field)))
        if spec.take != one["take"]:
            yield Difference("manifest", spec.name, "take", _changed(one["take"], spec.take))
    for name in locked:
        yield Difference("manifest", name, "job", "the lock has it, and the manifest does not ask for it")


def from_the_ledger(lock: Mapping[str, Any], done: Iterable[Job]) -> Iterator[Difference]:
    """Yield where the ledger has other videos than those that were locked. ``done`` are its finished jobs."""
    known = {(job.name, job.request_hash): _video(job) for job in done}
    for one in lock["jobs"]:
        before, now = one["video"], known.get((one["job"], one["request_hash"]))
        if before is None or now is None:
            if before != now:
                words = "it is done since it was locked" if now else "the ledger has no video of it any more"
                yield Difference("ledger", one["job"], "video", words)
            continue
        for field in now:
            if now[field] != before[field]:
                yield Difference("ledger", one["job"], field, _changed(before[field], now[field]))


def _job(one: Pinned) -> dict[str, Any]:
    job, spec = one.job, one.spec
    return {
        "job": spec.name,
        "take": spec.take,
        "request": dict(spec.request if job is None else job.request),
        "request_hash": spec.request_hash,
        "state": State.PLANNED.value if job is None else job.state.value,
        "model": one.model,
        "video": None if job is None or job.state is not State.DONE else _video(job),
    }


def _video(job: Job) -> dict[str, Any] | None:
    return None if job.path is None else {"path": job.path, "sha256": job.sha256, "bytes": job.bytes}


def _identity(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a request its hash is made of."""
    return {field: value for field, value in request.items() if field != "metadata"}


def _changed(before: Any, now: Any) -> str:
    return f"{_shown(before)} was locked, now it is {_shown(now)}"


def _shown(value: Any) -> str:
    shown = "nothing" if value is None else canonical_json(value)
    return shown if len(shown) <= 200 else f"{shown[:199]}…"

"""What people say of jobs that are over, and what a campaign is handed over with: ``retry``, ``reject``, ``pick``,
``clean`` and ``lock``, answered for programs and for people.

The documents' shapes are promised in ``schemas/<verb>.schema.json``. Every foreign string goes through ``render.safe``.
"""

from typing import Any

from rich.console import Console
from rich.text import Text

from pipeline.audits import total
from pipeline.choices import Verb
from pipeline.locking import Locked
from pipeline.render import count, safe
from pipeline.selecting import Mark, Marked, Orphan, Orphans

_SHOWN_AT_MOST = 100


def marked_document(found: Marked) -> dict[str, Any]:
    """Return the document of ``retry --json``, ``reject --json`` or ``pick --json``."""
    known, unknown = total(mark.price for mark in found.marks)
    cost = {"cost": {"currency": found.currency, "known": known, "unknown": unknown}}
    return {
        "schema_version": 1,
        "name": found.name,
        "path": found.path,
        "jobs": [_mark_document(found.verb, mark) for mark in found.marks],
        "passed": found.passed,
        **({} if found.verb is Verb.PICK else cost),
    }


def marked(console: Console, found: Marked) -> None:
    """Print what a person's word was recorded of, and what the next run makes of it."""
    for mark in found.marks[:_SHOWN_AT_MOST]:
        console.print(Text.assemble("  ", (safe(mark.after.name, 60), "bold"), f"  {_told(found.verb, mark)}"))
    if len(found.marks) > _SHOWN_AT_MOST:
        console.print(f"  … and {len(found.marks) - _SHOWN_AT_MOST:,} more; --json has them all")
    if found.passed:
        console.print(f"{count(found.passed, 'job')} more of these names: not in a state for it, left alone.")
    if found.verb is Verb.PICK:
        chosen = any(mark.after.picked for mark in found.marks)
        words = "picked" if chosen else "not picked any more"
        console.print(Text(f"{count(len(found.marks), 'video')} {words}.", "bold"))
    elif not found.marks:
        console.print("Nothing to try again.")
    else:
        known, unknown = total(mark.price for mark in found.marks)
        price = f"{known:.2f} {safe(found.currency or '')}".rstrip() if not unknown else "a price that nobody knows"
        console.print(Text(f"{count(len(found.marks), 'job')} for the next run, which spends {price}.", "bold"))


def clean_document(found: Orphans) -> dict[str, Any]:
    """Return the document of ``clean --json``."""
    return {
        "schema_version": 1,
        "name": found.name,
        "path": found.path,
        "deleted": found.deleted,
        "bytes": found.bytes,
        "orphans": [_orphan_document(one) for one in found.orphans],
        "kept": [{"job": job.name, "path": job.path} for job in found.kept],
    }


def clean(console: Console, found: Orphans) -> None:
    """Print which files were deleted, or could be."""
    for one in found.orphans[:_SHOWN_AT_MOST]:
        gone = "" if one.there else ", not there any more"
        console.print(f"  {safe(one.job.path)}  ({safe(one.job.name, 60)}): {one.bytes:,} bytes{gone}")
    if len(found.orphans) > _SHOWN_AT_MOST:
        console.print(f"  … and {len(found.orphans) - _SHOWN_AT_MOST:,} more; --json has them all")
    for job in found.kept[:_SHOWN_AT_MOST]:
        console.print(
            f"  {safe(job.path)}  ({safe(job.name, 60)}) stays: another job's file, or not as it was recorded"
        )
    if not found.orphans:
        console.print("Nothing to clean: no finished video that the manifest does not ask for.")
        return
    much = f"{count(len(found.orphans), 'video')} that the manifest no longer asks for, {found.bytes:,} bytes"
    if found.deleted:
        console.print(Text(f"Deleted: {much}. The ledger keeps what they cost.", "bold"))
    else:
        console.print(Text(f"{much}. `clean --orphans` deletes them, with their sidecars.", "bold"))


def locked_document(found: Locked) -> dict[str, Any]:
    """Return the document of ``lock --json``."""
    return {
        "schema_version": 1,
        "name": found.name,
        "path": found.path,
        "lock": str(found.file),
        "jobs": found.jobs,
        "done": found.done,
        "changed": found.changed,
    }


def locked(console: Console, found: Locked) -> None:
    """Print where the lock is, and what is in it."""
    unchanged = "" if found.changed else ", as it was"
    console.print(Text(f"{safe(found.file)}: {count(found.jobs, 'job')}, {found.done} with a video{unchanged}", "bold"))
    if found.done < found.jobs:
        left = count(found.jobs - found.done, "job")
        console.print(f"Of {left} only the request is pinned, as there is no video yet: lock again when there is.")


def _told(verb: Verb, mark: Mark) -> str:
    job = mark.before
    match verb:
        case Verb.RETRY:
            return (
                f"tried again, after {job.failure.kind}: {safe(job.failure.message)}" if job.failure else "tried again"
            )
        case Verb.REJECT:
            return f"another take; the old one stays paid, as {safe(mark.kept)}"
        case Verb.PICK:
            return f"{'picked' if mark.after.picked else 'not picked'}  {safe(job.path)}"


def _mark_document(verb: Verb, mark: Mark) -> dict[str, Any]:
    before, after = mark.before, mark.after
    head = {
        "job": after.name,
        "request_hash": after.request_hash,
        "before": before.state.value,
        "state": after.state.value,
        "picked": after.picked,
    }
    match verb:
        case Verb.RETRY:
            failure = before.failure
            return {**head, "error": failure and {"kind": failure.kind.value, "message": failure.message}}
        case Verb.REJECT:
            return {**head, "video_id": before.video_id, "kept": mark.kept, "sha256": before.sha256}
        case Verb.PICK:
            return head


def _orphan_document(one: Orphan) -> dict[str, Any]:
    job = one.job
    return {"job": job.name, "request_hash": job.request_hash, "path": job.path, "bytes": one.bytes}

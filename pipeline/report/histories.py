"""What happened to a job, in people's words. Pure."""

from collections.abc import Callable, Mapping
from typing import Any

from pipeline.ledger.reading import Entry


def words(entry: Entry) -> str:
    """Return one line about an event; foreign text in it is as it came."""
    say = _WORDS.get(entry.kind)
    return say(entry.data) if say else entry.kind


def _why(before: str) -> Callable[[Mapping[str, Any]], str]:
    def say(data: Mapping[str, Any]) -> str:
        failure = data.get("failure") or {}
        status = f" (HTTP {failure['http_status']})" if failure.get("http_status") else ""
        asked = f", the server's request id is {failure['request_id']}" if failure.get("request_id") else ""
        return f"{before}: {failure.get('message', '')}{status}{asked}"

    return say


def _intended(data: Mapping[str, Any]) -> str:
    price = data.get("price")
    cost = "price unknown" if price is None else f"for {price:.2f}"
    return f"Attempt {data.get('attempt')} is about to be sent, {cost}"


def _accepted(data: Mapping[str, Any]) -> str:
    answer = f", request id {data['request_id']}" if data.get("request_id") else ""
    return f"The server took it, as {data.get('video_id')}{answer}"


def _verified(data: Mapping[str, Any]) -> str:
    warned = "".join(f"; {warning}" for warning in data.get("warnings", ()))
    return f"Downloaded and checked, {data.get('bytes', 0):,} bytes{warned}"


def _picked(data: Mapping[str, Any]) -> str:
    return "Picked" if data.get("picked") else "No longer picked"


_WORDS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "intended": _intended,
    "returned": _why("Not created, back in the queue"),
    "refused": _why("Refused"),
    "doubted": _why("No sure answer, it may have been paid"),
    "held": _why("Held for a person"),
    "accepted": _accepted,
    "adopted": lambda data: f"Found at the server as {data.get('video_id')}, by {data.get('by')}",
    "resubmitted": lambda data: f"May be paid for once more, says {data.get('by')}",
    "abandoned": lambda data: f"Given up by {data.get('by')}",
    "reprieved": lambda data: "The refusal was everybody's: still to do",
    "retried": lambda data: f"One more attempt, by {data.get('by')}",
    "progressed": lambda data: f"The server says: {data.get('status')}",
    "completed": lambda data: "Rendered, ready to be fetched",
    "failed": _why("The server could not make it"),
    "expired": _why("It was made, and is gone"),
    "lost": _why("The server no longer knows it"),
    "stuck": _why("It renders longer than any render takes"),
    "verified": _verified,
    "published": lambda data: f"Saved as {data.get('path')}",
    "missing": _why("The file is not as it was"),
    "renamed": lambda data: f"Called {data.get('name')} from now on",
    "picked": _picked,
    "deleted": lambda data: f"The file {data.get('was')} was deleted by {data.get('by')}",
    "rejected": lambda data: f"Sent back for another one; the old file is {data.get('kept')}",
}

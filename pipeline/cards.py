"""The dataset card: a README.md that people read, whose front matter tells the Hub and ``datasets`` what is where.

Without its ``configs`` the library guesses from whatever files lie around, and guesses wrong. Pure.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.rows import COLUMNS

UNKNOWN = "unknown"
"""The Hub's word for a licence that nobody stated."""
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_MANY = ((10_000_000, "1M<n<10M"), (100_000_000, "10M<n<100M"))


@dataclass(frozen=True, slots=True)
class Card:
    """What is told of a dataset. ``files`` is the pattern of a split's files, with ``{split}`` in it."""

    name: str
    licence: str
    videos: Mapping[str, int]
    seconds: float
    models: Sequence[str]
    rule: str
    files: str
    called: Mapping[str, str]


def card(told: Card) -> str:
    """Return the text of the card. Splits without a video are not named: nothing could be loaded from them."""
    there = {split: count for split, count in told.videos.items() if count}
    total = sum(there.values())
    front = [
        f"license: {told.licence}",
        f"pretty_name: {json.dumps(told.name)}",
        "task_categories:",
        "- text-to-video",
        "tags:",
        "- synthetic",
        "- video",
        "size_categories:",
        f"- {_size(total)}",
    ]
    if there:
        front += ["configs:", "- config_name: default", "  data_files:"]
        for split in there:
            front += [f"  - split: {split}", f"    path: {told.files.format(split=split)}"]
    lines = ["---", *front, "---", "", f"# {told.name}", "", *_body(told, total)]
    return "\n".join(lines) + "\n"


def _body(told: Card, total: int) -> list[str]:
    models = ", ".join(f"`{_inert(model)}`" for model in told.models)
    by = f", made by {models}" if models else ""
    licence = (
        "No licence is stated: ask the terms of the service that rendered the videos, and of the reference images."
        if told.licence == UNKNOWN
        else f"Licence: `{told.licence}`, as stated by whoever exported it."
    )
    return [
        f"{total:,} synthetic videos, {told.seconds / 3600:,.2f} hours{by}.",
        "",
        licence,
        "",
        "| split | videos |",
        "|---|---|",
        *(f"| {split} | {count:,} |" for split, count in told.videos.items()),
        "",
        told.rule,
        "",
        "| column | type | |",
        "|---|---|---|",
        *(f"| `{told.called[name]}` | {kind} | {meaning} |" for name, kind, meaning in COLUMNS),
        "",
        "`SHA256SUMS` has the hash of every file: `sha256sum -c SHA256SUMS`.",
        "`failures.jsonl` has the jobs without a video, and why.",
    ]


def _size(videos: int) -> str:
    return next((word for bound, word in (*_SIZES, *_MANY) if videos < bound), "100M<n<1B")


def _inert(text: str) -> str:
    """Return a foreign text that stays inside a code span, on one line."""
    return "".join(letter if letter.isprintable() and letter not in "`|" else "?" for letter in text)[:80]

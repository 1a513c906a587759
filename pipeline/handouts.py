"""What an export came to: a document for programs, and words for people."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from rich.console import Console
from rich.text import Text

from pipeline.delivery import Exported, LeftOut
from pipeline.render import count, safe

_SHOWN_AT_MOST = 20


def export_document(found: Exported) -> dict[str, Any]:
    """Return the document of ``export --json``, as ``schemas/export.schema.json`` promises it."""
    return {
        "schema_version": 1,
        "name": found.name,
        "path": found.path,
        "format": found.form,
        "to": found.to,
        "placed": found.placed,
        "videos": sum(found.videos.values()),
        "bytes": found.bytes,
        "splits": dict(found.videos),
        "shards": found.shards,
        "linked": found.linked,
        "copied": found.copied,
        "failures": found.failures,
        "unfinished": found.unfinished,
        "orphaned": found.orphaned,
        "card_kept": found.kept_card,
        "left_out": [{"job": one.job, "path": one.path, "reason": one.reason} for one in found.left_out],
        "exit": found.exit_code,
    }


def export(console: Console, found: Exported) -> None:
    """Print what is in the dataset and what is not."""
    for one in found.left_out[:_SHOWN_AT_MOST]:
        _left_out(console, one)
    if len(found.left_out) > _SHOWN_AT_MOST:
        console.print(f"  … and {len(found.left_out) - _SHOWN_AT_MOST:,} more; --json has them all")
    if not found.placed:
        words = f"{safe(found.to)} stays as it was: {count(len(found.left_out), 'video')} would be missing from it."
        console.print(Text(words, "bold red"))
        console.print("A run fetches what is missing; move what was changed away first. Or export to another folder.")
        return
    videos = sum(found.videos.values())
    console.print(Text(f"{count(videos, 'video')}, {found.bytes:,} bytes, as {found.form} in {safe(found.to)}", "bold"))
    if len(found.videos) > 1:
        console.print(f"Splits   {', '.join(f'{split} {number:,}' for split, number in found.videos.items())}")
    if found.shards is not None:
        console.print(f"Shards   {found.shards:,} at the most for each split")
    if found.linked or found.copied:
        console.print(f"Files    {found.linked:,} by a hard link, {found.copied:,} copied")
    without = {
        "failed, wait for a person, or left out: see failures.jsonl": found.failures,
        "still to come": found.unfinished,
        "done, and no longer in the manifest": found.orphaned,
    }
    told = [f"{number:,} {words}" for words, number in without.items() if number]
    if told:
        console.print(f"Without  {'; '.join(told)}")
    if found.kept_card:
        console.print("README.md was changed by somebody: it is kept as it was")


@contextmanager
def counting(console: Console) -> Iterator[Callable[[int], None]]:
    """Show, on a terminal, how many videos are in the export so far."""
    with console.status("Exporting") if console.is_terminal else nullcontext() as shown:

        def observe(videos: int) -> None:
            if shown is not None and videos % 100 == 0:
                shown.update(f"Exporting: {count(videos, 'video')}")

        yield observe


def _left_out(console: Console, one: LeftOut) -> None:
    console.print(Text.assemble(("  left out  ", "red"), f"{safe(one.job, 60)}  {safe(one.path)}: {safe(one.reason)}"))

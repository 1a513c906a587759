"""The command that says how a campaign stands, once or again and again."""

import time
from contextlib import aclosing, suppress
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

import anyio
import click
from rich.console import Console

from pipeline import render, summary, watching
from pipeline.instructions import Options
from pipeline.live import Screen, watched
from pipeline.options import JSON, OUTPUT, TARGET, options_of, taking
from pipeline.progress import HEARTBEAT, heartbeat, is_terminal
from pipeline.replies import answer_with
from pipeline.sentences import run_by


@click.command()
@taking(TARGET, JSON, OUTPUT)
@click.option("--watch", is_flag=True, help="Show it again and again, until all is finished and nobody runs it.")
def status(target: Path, as_json: bool, watch: bool, **options: Any) -> int:
    """Show where a campaign stands, also while it runs. Takes the manifest or the campaign's folder."""
    if watch and as_json:
        raise click.UsageError("--watch and --json exclude each other; `run --events FILE` is for programs")
    chosen = options_of(**options)
    if watch:
        with suppress(KeyboardInterrupt):
            anyio.run(_watch, render.terminal(stderr=False), target, chosen)
    found = anyio.run(watching.status, target, chosen)
    answer_with(as_json, partial(summary.status_document, listing=iter), render.status, found)
    return 0


async def _watch(console: Console, target: Path, options: Options) -> None:
    """Show how a campaign goes until it is finished and nobody runs it."""
    screen = Screen(console) if is_terminal(console) else None
    due = -inf
    try:
        async with aclosing(watching.watch(target, options)) as views:
            async for view in views:
                if screen is not None:
                    screen.draw(watched(view, console.width, console.height))
                elif anyio.current_time() >= due:
                    due = anyio.current_time() + HEARTBEAT
                    console.print(
                        f"{time.strftime('%H:%M:%S')} {heartbeat(view.tally, view.now)}; {run_by(view.holder)}"
                    )
    finally:
        if screen is not None:
            screen.close()


COMMANDS = (status,)

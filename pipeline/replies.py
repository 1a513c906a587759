"""What every command answers with: a document for programs, or words for people; and how it asks before it spends."""

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from pipeline import planning, plans, render
from pipeline.preparation import Options, Prepared


def print_json(document: Any) -> None:
    click.echo(json.dumps(document, indent=2, ensure_ascii=True))


def answer_with(as_json: bool, document: Callable[..., Any], people: Callable[..., None], *found: Any) -> None:
    """Print what was found on standard output: for programs, or for people."""
    if as_json:
        print_json(document(*found))
    else:
        people(render.terminal(stderr=False), *found)


def on_a_terminal() -> bool:
    return sys.stdin is not None and sys.stderr is not None and sys.stdin.isatty() and sys.stderr.isatty()


def ask(question: str) -> bool:
    """Ask at the terminal. A Ctrl-C answers at once, also within an event loop, which would keep it for later."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return click.confirm(question, default=False, err=True)
    except click.Abort as abort:
        if isinstance(abort.__context__, EOFError):  # a Ctrl-D
            return False
        raise
    finally:
        signal.signal(signal.SIGINT, before)


def confirm(prepared: Prepared) -> bool | None:
    """Show what would be spent, and ask; None where nobody is at a terminal."""
    if not on_a_terminal():
        return None
    plans.show(render.terminal(stderr=True), prepared)
    return ask("Spend this?")


def planned(manifest: Path | None, plan: Path | None, options: Options) -> tuple[Path, Options]:
    """Return the manifest and the options of a run: those of a saved plan, if there is one."""
    if plan is not None:
        return planning.of_plan(plan, manifest, options)
    if manifest is None:
        raise click.UsageError("Missing argument 'MANIFEST': only a saved plan (--plan FILE) names one")
    return manifest, options

"""What every command answers with: a document for programs, or words for people; and how it asks before it spends."""

import json
import sys
from collections.abc import Callable
from typing import Any

import click

from pipeline import render
from pipeline.preparation import Prepared


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


def confirm(prepared: Prepared) -> bool:
    """Show what would be spent, and ask; without a terminal the answer is no."""
    if not on_a_terminal():
        return False
    render.plan(render.terminal(stderr=True), prepared)
    return click.confirm("Spend this?", default=False, err=True)

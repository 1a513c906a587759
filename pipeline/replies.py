"""What every command answers with: a document for programs, or words for people; and how it asks them."""

import signal
import sys
from collections.abc import Callable
from typing import Any

import click

from pipeline import render, summary
from pipeline.errors import CallsheetError, ManifestError
from pipeline.spelling import spelled


def print_json(document: Any) -> None:
    for piece in spelled(document):
        click.echo(piece, nl=False)
    click.echo()


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


def refused(error: CallsheetError, *, as_json: bool) -> int:
    """Say why a command cannot be carried out, and return its exit code."""
    console = render.terminal(stderr=True)
    if not isinstance(error, ManifestError):
        render.failure(console, str(error))
    elif as_json:
        print_json(summary.problems_document(error.problems))
    else:
        render.problems(console, error.problems)
    return error.exit_code

"""The commands about what is paid: look into it, answer for it, prove it. ``cli`` has them among its own."""

from functools import partial
from pathlib import Path
from typing import Any

import anyio
import click

from pipeline import aftercare, documents, render, resolving, stories
from pipeline.answers import Answer
from pipeline.options import ADDRESS, JSON, OUTPUT, PROFILE, TARGET, command_line, options_of, taking
from pipeline.replies import answer_with, on_a_terminal


@click.command()
@taking(TARGET)
@click.argument("job")
@taking(JSON, OUTPUT)
def show(target: Path, job: str, as_json: bool, **options: Any) -> int:
    """Print a job's whole story: its request, every event with its time, what the server answered."""
    answer_with(as_json, documents.show_document, stories.show, aftercare.show(target, options_of(**options), job))
    return 0


@click.command()
@taking(TARGET)
@click.argument("job", required=False)
@click.argument("answer", type=click.Choice([answer.value for answer in Answer]), required=False)
@click.argument("video_id", required=False)
@taking(JSON, OUTPUT, *ADDRESS, PROFILE)
@click.option("--yes", is_flag=True, help="Allow paying once more without being asked.")
def resolve(
    target: Path, job: str | None, answer: str | None, video_id: str | None, as_json: bool, **options: Any
) -> int:
    """Show the jobs that wait for a person, or answer one: adopt VIDEO_ID, resubmit, or abandon."""
    if (answer == Answer.ADOPT) != (video_id is not None):
        raise click.UsageError("adopt takes the id of a video, and nothing else does")
    chosen = options_of(**options)
    if job is None or answer is None:
        found, command = resolving.questions(target, chosen, job), command_line("resolve", target, chosen)
        answer_with(as_json, documents.questions_document, stories.questions, found, command)
        return 0
    work = partial(resolving.resolve, target, chosen, job, Answer(answer), video_id, confirm=_confirm_once_more)
    answer_with(as_json, documents.answered_document, stories.answered, anyio.run(work))
    return 0


@click.command()
@taking(TARGET, JSON, OUTPUT)
def verify(target: Path, as_json: bool, **options: Any) -> int:
    """Read every finished video again and compare it, and its sidecar, with the ledger. Asks no server."""
    found = aftercare.verify(target, options_of(**options))
    answer_with(as_json, documents.verify_document, stories.verify, found)
    return found.exit_code


@click.command()
@taking(TARGET, JSON, OUTPUT)
def rebuild(target: Path, as_json: bool, **options: Any) -> int:
    """Make a ledger that is gone anew, of the sidecars beside the videos."""
    found = anyio.run(aftercare.rebuild, target, options_of(**options))
    answer_with(as_json, documents.rebuild_document, stories.rebuild, found)
    return found.exit_code


@click.command()
@taking(TARGET, JSON, OUTPUT, *ADDRESS, PROFILE)
@click.option(
    "--ids", type=click.Path(path_type=Path), metavar="FILE", help="Compare with these ids: a CSV, or one a line."
)
def audit(target: Path, as_json: bool, ids: Path | None, **options: Any) -> int:
    """Compare the ledger with the server's list: videos that no job has, jobs that the server lacks, their cost."""
    chosen = options_of(**options)
    found = anyio.run(aftercare.audit, target, chosen, ids)
    answer_with(as_json, documents.audit_document, stories.audit, found, command_line("resolve", target, chosen))
    return found.exit_code


def _confirm_once_more(asked: resolving.Spending) -> bool:
    if not on_a_terminal():
        return False
    stories.spending(render.terminal(stderr=True), asked)
    return click.confirm("Pay once more?", default=False, err=True)


COMMANDS = (show, resolve, verify, rebuild, audit)

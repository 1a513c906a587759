"""The commands about what is paid: look into it, answer for it, choose, prove it. ``cli`` has them among its own."""

from functools import partial
from pathlib import Path
from typing import Any

import anyio
import click

from pipeline import aftercare, documents, handover, locking, render, resolving, selecting, stories
from pipeline.answers import Answer
from pipeline.jobs import FailureKind
from pipeline.options import (
    ADDRESS,
    JSON,
    MANIFEST,
    OUTPUT,
    PROFILE,
    TARGET,
    VARIABLES,
    command_line,
    options_of,
    taking,
)
from pipeline.replies import answer_with, ask, on_a_terminal

_LOCK = click.option(
    "--lock",
    "lock_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The lock; else it is MANIFEST's name with .lock.json, beside it.",
)


@click.command()
@taking(TARGET)
@click.argument("job")
@taking(JSON, OUTPUT)
def show(target: Path, job: str, as_json: bool, **options: Any) -> int:
    """Print a job's whole story: its request, every event with its time, what the server answered."""
    found = anyio.run(aftercare.show, target, options_of(**options), job)
    answer_with(as_json, documents.show_document, stories.show, found)
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
        found, command = anyio.run(resolving.questions, target, chosen, job), command_line("resolve", target, chosen)
        answer_with(as_json, documents.questions_document, stories.questions, found, command)
        return 0
    work = partial(resolving.resolve, target, chosen, job, Answer(answer), video_id, confirm=_confirm_once_more)
    answer_with(as_json, documents.answered_document, stories.answered, anyio.run(work))
    return 0


@click.command()
@taking(TARGET, JSON, OUTPUT, PROFILE)
@_LOCK
def verify(target: Path, as_json: bool, lock_file: Path | None, **options: Any) -> int:
    """Read every finished video again and compare it with the ledger, and with the manifest's lock. Asks no server."""
    found = anyio.run(aftercare.verify, target, options_of(**options), lock_file)
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


@click.command()
@taking(TARGET)
@click.argument("jobs", nargs=-1)
@click.option(
    "--class",
    "kinds",
    multiple=True,
    type=click.Choice([kind.value for kind in FailureKind]),
    help="Only jobs that failed so. Repeatable.",
)
@click.option("--all", "everything", is_flag=True, help="Every failed job, but for those that a person gave up.")
@taking(JSON, OUTPUT, PROFILE)
def retry(
    target: Path, jobs: tuple[str, ...], kinds: tuple[str, ...], everything: bool, as_json: bool, **options: Any
) -> int:
    """Mark failed or expired JOBS to be tried again. The next run spends; this does not."""
    chosen = [FailureKind(kind) for kind in kinds]
    work = partial(selecting.retry, target, options_of(**options), jobs, chosen, everything=everything)
    answer_with(as_json, handover.marked_document, handover.marked, anyio.run(work))
    return 0


@click.command()
@taking(TARGET)
@click.argument("jobs", nargs=-1, required=True)
@taking(JSON, OUTPUT, PROFILE)
def reject(target: Path, jobs: tuple[str, ...], as_json: bool, **options: Any) -> int:
    """Send finished JOBS back for another take, and keep the old files. The next run spends; this does not."""
    found = anyio.run(selecting.reject, target, options_of(**options), jobs)
    answer_with(as_json, handover.marked_document, handover.marked, found)
    return 0


@click.command()
@taking(TARGET)
@click.argument("jobs", nargs=-1, required=True)
@click.option("--undo", is_flag=True, help="Take it back.")
@taking(JSON, OUTPUT)
def pick(target: Path, jobs: tuple[str, ...], undo: bool, as_json: bool, **options: Any) -> int:
    """Mark the videos of finished JOBS as the ones chosen."""
    found = anyio.run(partial(selecting.pick, target, options_of(**options), jobs, undo=undo))
    answer_with(as_json, handover.marked_document, handover.marked, found)
    return 0


@click.command()
@taking(MANIFEST)
@click.option("--orphans", is_flag=True, help="Delete the videos that the manifest no longer asks for.")
@click.option("--yes", is_flag=True, help="Delete without being asked.")
@taking(JSON, OUTPUT, VARIABLES, PROFILE)
def clean(manifest: Path, orphans: bool, as_json: bool, **options: Any) -> int:
    """Show the finished videos that the manifest no longer asks for; delete them with --orphans."""
    chosen = options_of(**options)
    if orphans:
        found = anyio.run(partial(selecting.clean, manifest, chosen, confirm=_confirm_deleting))
    else:
        found = anyio.run(selecting.orphans, manifest, chosen)
    answer_with(as_json, handover.clean_document, handover.clean, found)
    return 0


@click.command()
@taking(MANIFEST, JSON, OUTPUT, VARIABLES, PROFILE)
@_LOCK
def lock(manifest: Path, as_json: bool, lock_file: Path | None, **options: Any) -> int:
    """Pin requests, images, models and the hashes of finished videos in a file beside the manifest."""
    found = anyio.run(locking.lock, manifest, options_of(**options), lock_file)
    answer_with(as_json, handover.locked_document, handover.locked, found)
    return 0


def _confirm_deleting(asked: selecting.Orphans) -> bool:
    if not on_a_terminal():
        return False
    handover.clean(render.terminal(stderr=True), asked)
    return ask("Delete these?")


def _confirm_once_more(asked: resolving.Spending) -> bool:
    if not on_a_terminal():
        return False
    stories.spending(render.terminal(stderr=True), asked)
    return ask("Pay once more?")


COMMANDS = (show, resolve, verify, rebuild, audit, retry, reject, pick, clean, lock)

"""The command line: options in, one call in ``commands``, one in ``render``, an exit code out."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

import anyio
import click

from pipeline import (
    __version__,
    attending,
    authoring,
    commands,
    keeping,
    manifests,
    planning,
    plans,
    render,
    results,
    servers,
    summary,
)
from pipeline.attending import Told
from pipeline.errors import CallsheetError, ManifestError
from pipeline.options import (
    ADDRESS,
    AGREEING,
    CANARY,
    JSON,
    MANIFEST,
    MANIFEST_OF_PLAN,
    OUTPUT,
    PROFILE,
    SELECTION,
    SPENDING,
    TARGET,
    TOLERANCE,
    VARIABLES,
    WATCHING,
    options_of,
    taking,
)
from pipeline.replies import answer_with, confirm, planned, print_json
from pipeline.saved import StalePlan


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="callsheet")
def cli() -> None:
    """Render many videos from one manifest: checked before, paid once, resumed by running again."""


@cli.command()
@taking(MANIFEST, JSON, OUTPUT, VARIABLES, *SELECTION, *ADDRESS, PROFILE, *SPENDING)
@click.option(
    "--save", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Keep the plan for run --plan."
)
def plan(manifest: Path, as_json: bool, save: Path | None, **options: Any) -> int:
    """Show what a run would do, why, what it costs and how long it takes. Needs no key and no network."""
    chosen = options_of(**options)
    prepared = anyio.run(partial(planning.plan, manifest, chosen, save=save))
    render.warnings(render.terminal(stderr=True), prepared.loaded.warnings)
    if as_json:
        print_json(plans.document(prepared, planning.places(manifest, prepared.plan.items, chosen)))
    else:
        places = planning.places(manifest, plans.shown_changes(prepared), chosen)
        plans.show(render.terminal(stderr=False), prepared, places)
    return 0


@cli.command()
@taking(MANIFEST_OF_PLAN, JSON, OUTPUT, VARIABLES, *SELECTION, *ADDRESS, PROFILE, *SPENDING, *AGREEING)
@taking(CANARY, *TOLERANCE, *WATCHING)
@click.option(
    "--resubmit-absent", is_flag=True, help="Pay again for a job in doubt that the server's list does not show."
)
@click.option("--takeover", is_flag=True, help="Run a ledger that was copied, moved or restored: nobody else runs it.")
@click.option(
    "--grace",
    type=click.FloatRange(min=0),
    default=25.0,
    show_default=True,
    help="Seconds a signal leaves to requests.",
)
def run(manifest: Path | None, as_json: bool, plan: Path | None, canary: int | None, **options: Any) -> int:
    """Render what is missing. Run it again after a crash, a Ctrl-C, or a change: nothing is paid twice."""
    console = render.terminal(stderr=True)
    told = Told(**{name: options.pop(name) for name in ("mode", "events", "log", "metrics")})
    manifest, chosen = planned(manifest, plan, options_of(**options))
    cleared = anyio.run(partial(commands.cleared, manifest, chosen, confirm=confirm))
    render.warnings(console, cleared.prepared.loaded.warnings)
    end = attending.run(console, cleared, told, canary=canary)
    blamed = authoring.blamed(manifest, cleared.prepared.loaded.profile, end.status.jobs, chosen)
    with suppress(OSError):  # however it is shown, the run has ended as it has
        render.ended(console, end, manifest, blamed)
    if as_json:
        places = {name: blame.source.place for name, blame in blamed.items() if blame.source.place}
        print_json(summary.run_document(end.status, end.exit_code, places))
    return end.exit_code


@cli.command()
@taking(TARGET, JSON, OUTPUT)
@click.option("--watch", is_flag=True, help="Show it again and again, until all is finished and nobody runs it.")
def status(target: Path, as_json: bool, watch: bool, **options: Any) -> int:
    """Show where a campaign stands, also while it runs. Takes the manifest or the campaign's folder."""
    if watch and as_json:
        raise click.UsageError("--watch and --json exclude each other; `run --events FILE` is for programs")
    chosen = options_of(**options)
    if watch:
        found = attending.watch(render.terminal(stderr=False), target, chosen)
    else:
        found = anyio.run(commands.status, target, chosen)
    answer_with(as_json, summary.status_document, render.status, found)
    return 0


for command in (*manifests.COMMANDS, *keeping.COMMANDS, *results.COMMANDS, *servers.COMMANDS):
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a prompt may have letters that the terminal lacks
    try:
        code = _main(arguments)
    except (BrokenPipeError, SystemExit):  # click exits by itself where nobody reads what it prints
        code = 0  # the reader has seen enough
    except OSError as error:
        code = 5
        with suppress(OSError):
            render.failure(render.terminal(stderr=True), f"cannot write the answer: {error.strerror}")
    _settle(sys.stdout)
    _settle(sys.stderr)
    return code


def _settle(stream: TextIO | None) -> None:
    """Flush what is left for a reader; where there is none any more, let nobody complain at the interpreter's end."""
    if stream is None:
        return
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _main(arguments: Sequence[str]) -> int:
    try:
        return int(cli.main(list(arguments), prog_name="callsheet", standalone_mode=False) or 0)
    except ManifestError as error:
        if "--json" in arguments:
            print_json(summary.problems_document(error.problems))
        else:
            render.problems(render.terminal(stderr=True), error.problems)
        return error.exit_code
    except StalePlan as error:
        render.failure(render.terminal(stderr=True), str(error))
        plans.stale(render.terminal(stderr=True), error)
        return error.exit_code
    except CallsheetError as error:
        render.failure(render.terminal(stderr=True), str(error))
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        render.failure(render.terminal(stderr=True), "stopped")
        return 130

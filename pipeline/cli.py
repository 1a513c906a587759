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
    aftercare,
    annotations,
    authoring,
    commands,
    documents,
    render,
    report,
    resolving,
    stories,
)
from pipeline.answers import Answer
from pipeline.errors import CallsheetError, ManifestError
from pipeline.options import (
    ADDRESS,
    FORMAT,
    JSON,
    MANIFEST,
    MANIFESTS,
    OUTPUT,
    PROFILE,
    SELECTION,
    SPENDING,
    TARGET,
    VARIABLES,
    command_line,
    format_of,
    options_of,
    taking,
)
from pipeline.preparation import Prepared
from pipeline.progress import progress_on
from pipeline.replies import answer_with, confirm, on_a_terminal, print_json
from pipeline.servers import doctor, profiles


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="callsheet")
def cli() -> None:
    """Render many videos from one manifest: checked before, paid once, resumed by running again."""


@cli.command()
@click.argument("manifest", default=Path("callsheet.yaml"), metavar="[FILE]", type=click.Path(path_type=Path))
def init(manifest: Path) -> int:
    """Write a first manifest (callsheet.yaml), and the schema for editors beside it. Overwrites no manifest."""
    render.begun(render.terminal(stderr=False), manifest, authoring.begin(manifest))
    return 0


@cli.command()
@taking(MANIFESTS, *FORMAT, VARIABLES, *SELECTION, PROFILE)
@click.option("--fix", is_flag=True, help="Write the safe fixes into the files, and show what changed.")
def validate(manifests: tuple[Path, ...], form: str | None, as_json: bool, fix: bool, **options: Any) -> int:
    """Check manifests. Shows every mistake, sends nothing."""
    form = format_of(form, as_json=as_json)
    found = (authoring.fix if fix else authoring.check)(manifests, options_of(**options))
    render.differences(render.terminal(stderr=form != "text"), found.differences)
    if form == "json":
        print_json(report.problems_document(found.problems))
    elif form == "github":
        click.echo(annotations.commands(found.problems), nl=False)
    elif form == "sarif":
        print_json(annotations.sarif(found.problems, authoring.rulebook(), version=__version__, folder=Path.cwd()))
    else:
        render.checked(render.terminal(stderr=False), found)
    return found.exit_code


@cli.command()
@taking(MANIFEST, JSON, OUTPUT, VARIABLES, *SELECTION, *ADDRESS, PROFILE, *SPENDING)
def plan(manifest: Path, as_json: bool, **options: Any) -> int:
    """Show what a run would do, and why. Needs no key and no network."""
    prepared = commands.plan(manifest, options_of(**options))
    render.warnings(render.terminal(stderr=True), prepared.loaded.warnings)
    if as_json:
        print_json(_plan_document(prepared))
    else:
        render.plan(render.terminal(stderr=False), prepared)
    return 0


@cli.command()
@taking(MANIFEST, JSON, OUTPUT, VARIABLES, *SELECTION, *ADDRESS, PROFILE, *SPENDING)
@click.option("--yes", is_flag=True, help="Spend without being asked.")
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
def run(manifest: Path, as_json: bool, **options: Any) -> int:
    """Render what is missing. Run it again after a crash, a Ctrl-C, or a change: nothing is paid twice."""
    console = render.terminal(stderr=True)
    chosen = options_of(**options)
    cleared = commands.cleared(manifest, chosen, confirm=confirm)
    render.warnings(console, cleared.prepared.loaded.warnings)
    with progress_on(console) as progress:
        end = anyio.run(partial(commands.run, cleared, progress=progress))
    blamed = authoring.blamed(manifest, cleared.prepared.loaded.profile, end.status.jobs, chosen)
    with suppress(OSError):  # however it is shown, the run has ended as it has
        render.ended(console, end, manifest, blamed)
    if as_json:
        places = {name: blame.source.place for name, blame in blamed.items() if blame.source.place}
        print_json(report.run_document(end.status, end.exit_code, places))
    return end.exit_code


@cli.command()
@taking(TARGET, JSON, OUTPUT)
def status(target: Path, as_json: bool, **options: Any) -> int:
    """Show where a campaign stands, also while it runs. Takes the manifest or the campaign's folder."""
    answer_with(as_json, report.status_document, render.status, commands.status(target, options_of(**options)))
    return 0


@cli.command()
@taking(TARGET)
@click.argument("job")
@taking(JSON, OUTPUT)
def show(target: Path, job: str, as_json: bool, **options: Any) -> int:
    """Print a job's whole story: its request, every event with its time, what the server answered."""
    answer_with(as_json, documents.show_document, stories.show, aftercare.show(target, options_of(**options), job))
    return 0


@cli.command()
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


@cli.command()
@taking(TARGET, JSON, OUTPUT)
def verify(target: Path, as_json: bool, **options: Any) -> int:
    """Read every finished video again and compare it, and its sidecar, with the ledger. Asks no server."""
    found = aftercare.verify(target, options_of(**options))
    answer_with(as_json, documents.verify_document, stories.verify, found)
    return found.exit_code


@cli.command()
@taking(TARGET, JSON, OUTPUT)
def rebuild(target: Path, as_json: bool, **options: Any) -> int:
    """Make a ledger that is gone anew, of the sidecars beside the videos."""
    found = anyio.run(aftercare.rebuild, target, options_of(**options))
    answer_with(as_json, documents.rebuild_document, stories.rebuild, found)
    return found.exit_code


@cli.command()
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


@cli.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes a free one.")
@click.option("--state", type=click.Path(dir_okay=False, path_type=Path), help="Keep jobs and bill in this file.")
@click.option("--videos", type=click.Choice(["real", "stock"]), default="real", show_default=True)
@click.option("--speed", type=click.FloatRange(min=0, min_open=True), default=1.0, show_default=True)
@click.option("--dialect", metavar="NAME", help="Stand for this server; an unknown name lists them.")
@click.option("--faults", type=click.Path(path_type=Path), metavar="FILE", help="What goes wrong, and when.")
def simulate(videos: str, **options: Any) -> int:
    """Serve the simulator on a loopback port. Prints its address first."""
    started = partial(print, flush=True)
    anyio.run(partial(commands.simulate, stock=videos == "stock", started=started, **options))
    return 0


@cli.command()
@click.argument("what", metavar="[CODE|MANIFEST]", required=False)
@click.option(
    "--job", metavar="NAME", help="Show what this job of the manifest would send, and where each value is written."
)
@taking(JSON, OUTPUT, VARIABLES, PROFILE)
def explain(what: str | None, job: str | None, as_json: bool, **options: Any) -> int:
    """Say what the code of a mistake means, with examples; without one, list all codes. Or explain a manifest's job."""
    console = render.terminal(stderr=False)
    if job is not None:
        if what is None:
            raise click.UsageError("--job needs the manifest that the job is in")
        found = authoring.explain(Path(what), job, options_of(**options))
        answer_with(as_json, documents.explain_document, render.explained, found)
    elif as_json or (what and Path(what).is_file()):
        raise click.UsageError("a manifest and --json go with --job")
    elif what is None:
        render.rules(console, authoring.rulebook().values())
    else:
        render.rule(console, authoring.rule(what))
    return 0


@cli.command()
@click.argument("name", default="manifest")
@click.option("--provider", metavar="NAME", help="With the sizes and lengths that this provider takes.")
@taking(PROFILE)
def schema(name: str, provider: str | None, **options: Any) -> int:
    """Print a JSON Schema: of the manifest, or of a document that --json prints."""
    if provider is None:
        click.echo(commands.schema_text(name), nl=False)
    else:
        print_json(authoring.language(name, provider, options_of(**options)))
    return 0


cli.add_command(profiles)
cli.add_command(doctor)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a prompt may have letters that the terminal lacks
    try:
        code = _main(arguments)
    except BrokenPipeError:
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
            print_json(report.problems_document(error.problems))
        else:
            render.problems(render.terminal(stderr=True), error.problems)
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


def _confirm_once_more(asked: resolving.Spending) -> bool:
    if not on_a_terminal():
        return False
    stories.spending(render.terminal(stderr=True), asked)
    return click.confirm("Pay once more?", default=False, err=True)


def _plan_document(prepared: Prepared) -> dict[str, Any]:
    loaded, path = prepared.loaded, str(prepared.campaign.folder.absolute())
    return report.plan_document(loaded.manifest.name, path, loaded.profile.name, prepared.plan, prepared.cost)

"""The command line: which commands there are, and how each of them ends. The module of a command is loaded when it is
asked for: all of them together take longer to load than most of them have to do.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from io import TextIOWrapper
from typing import NamedTuple, TextIO

import click

from pipeline import __version__
from pipeline.errors import CallsheetError


class Entry(NamedTuple):
    """The module that has the command among its ``COMMANDS``, and the first sentence of its help."""

    module: str
    help: str


COMMANDS: Mapping[str, Entry] = {
    "audit": Entry(
        "keeping",
        "Compare the ledger with the server's list: videos that no job has, jobs that the server lacks, their cost.",
    ),
    "clean": Entry(
        "keeping", "Show the finished videos that the manifest no longer asks for; delete them with --orphans."
    ),
    "doctor": Entry("servers", "Examine a server before a campaign trusts it."),
    "explain": Entry("manifests", "Say what the code of a mistake means, with examples; without one, list all codes."),
    "export": Entry("results", "Make a dataset of the finished videos, also while a run goes on."),
    "init": Entry("manifests", "Write a first manifest (callsheet.yaml), and the schema for editors beside it."),
    "lock": Entry(
        "keeping", "Pin requests, images, models and the hashes of finished videos in a file beside the manifest."
    ),
    "pick": Entry("keeping", "Mark the videos of finished JOBS as the ones chosen."),
    "plan": Entry("campaigns", "Show what a run would do, why, what it costs and how long it takes."),
    "profiles": Entry("servers", "List the servers' profiles, show one field by field, or show in what two differ."),
    "rebuild": Entry("keeping", "Make a ledger that is gone anew, of the sidecars beside the videos."),
    "reject": Entry("keeping", "Send finished JOBS back for another take, and keep the old files."),
    "report": Entry("results", "Make one page of the campaign: a contact sheet that plays, each job's story, charts."),
    "resolve": Entry(
        "keeping", "Show the jobs that wait for a person, or answer one: adopt VIDEO_ID, resubmit, or abandon."
    ),
    "retry": Entry("keeping", "Mark failed or expired JOBS to be tried again."),
    "run": Entry("campaigns", "Render what is missing."),
    "schema": Entry(
        "manifests", "Print a JSON Schema: of the manifest, of what --json prints, or of another file of Callsheet."
    ),
    "show": Entry(
        "keeping", "Print a job's whole story: its request, every event with its time, what the server answered."
    ),
    "simulate": Entry("servers", "Serve the simulator on a loopback port."),
    "status": Entry("standing", "Show where a campaign stands, also while it runs."),
    "validate": Entry("manifests", "Check manifests."),
    "verify": Entry(
        "keeping", "Read every finished video again and compare it with the ledger, and with the manifest's lock."
    ),
}


class _Commands(click.Group):
    """Knows the commands by the table alone until one is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        commands: Sequence[click.Command] = import_module(f"pipeline.{COMMANDS[cmd_name].module}").COMMANDS
        return next(command for command in commands if command.name == cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        limit = formatter.width - 6 - max(map(len, COMMANDS))
        known = [click.Command(name, help=entry.help) for name, entry in sorted(COMMANDS.items())]
        with formatter.section("Commands"):
            formatter.write_dl([(str(command.name), command.get_short_help_str(limit)) for command in known])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="callsheet")
def cli() -> None:
    """Render many videos from one manifest: checked before, paid once, resumed by running again."""


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
            _failure(f"cannot write the answer: {error.strerror}")
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
    except CallsheetError as error:
        from pipeline.replies import refused  # noqa: PLC0415  # loaded by then, but for --help

        return refused(error, as_json="--json" in arguments)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        _failure("stopped")
        return 130


def _failure(text: str) -> None:
    from pipeline import render  # noqa: PLC0415  # as above

    render.failure(render.terminal(stderr=True), text)

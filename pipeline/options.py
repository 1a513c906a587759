"""The options that several commands share, and what they come to. No command is here."""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from pipeline.breakers import Tolerance
from pipeline.instructions import Options, Profiles
from pipeline.network import Network

FORMATS = ("text", "json", "github", "sarif")
MODES = ("auto", "live", "plain", "none")

_FILE = click.Path(dir_okay=False, path_type=Path)
_F = TypeVar("_F", bound=Callable[..., Any])


def _tolerance(ctx: click.Context, param: click.Parameter, value: str | None) -> Tolerance | None:
    """Return how many jobs may fail, from a whole number or a percentage."""
    if value is None:
        return None
    found = re.fullmatch(r"(\d{1,9})|(\d{1,2}(?:\.\d{1,6})?|100)%", value, re.ASCII)
    if found is None:
        raise click.BadParameter(f"{value!r} is neither a number of jobs nor a percentage: 5, or 2.5%", ctx, param)
    return Tolerance(int(found[1])) if found[1] else Tolerance(share=float(found[2]) / 100)


JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
OUTPUT = click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("outputs"),
    show_default=True,
    help="Folder that holds a folder for each campaign.",
)
VARIABLES = click.option(
    "--var", "variables", multiple=True, metavar="NAME=VALUE", help="Set one of the manifest's vars. Repeatable."
)
SELECTION = (
    click.option("--select", multiple=True, metavar="GLOB|tag:TAG", help="Submit only jobs that fit. Repeatable."),
    click.option("--sample", type=click.IntRange(min=1), metavar="N", help="Submit only N of them, drawn by --seed."),
    click.option("--seed", type=int, default=0, metavar="S", help="Another seed draws another sample."),
    click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Submit only the first N of them."),
)
ADDRESS = (
    click.option("--base-url", metavar="URL", help="Send requests, and the key, to this address instead."),
    click.option("--allow-http", is_flag=True, help="Allow a key over plain http to another machine."),
    click.option("--same-account", is_flag=True, help="The key is another one of the account that paid."),
    click.option("--proxy", metavar="URL", help="Reach the server through this proxy; the environment's are not used."),
    click.option(
        "--ca-file",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Trust the certificates in this file too.",
    ),
)
PROFILE = click.option(
    "--profile",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A server's profile of your own; its name is the manifest's provider. Else those in your configuration's "
    "callsheet/profiles count too.",
)
SPENDING = (
    click.option("--no-submit", is_flag=True, help="Fetch what is paid; spend nothing."),
    click.option("--max-cost", type=click.FloatRange(min=0), metavar="N", help="Stop before the campaign costs more."),
    click.option(
        "--max-videos", type=click.IntRange(min=0), metavar="N", help="Stop before the campaign has more videos."
    ),
    click.option("--price", type=click.FloatRange(min=0), metavar="N", help="What a second of video costs."),
)
TOLERANCE = (
    click.option("--fail-fast", is_flag=True, help="Submit nothing more once a job of this run has failed."),
    click.option(
        "--max-failures",
        callback=_tolerance,
        metavar="N|P%",
        help="Submit nothing more once more than N jobs, or P percent of at least ten that are over, have failed.",
    ),
)
WATCHING = (
    click.option(
        "--progress",
        "mode",
        type=click.Choice(MODES),
        default="auto",
        show_default=True,
        help="How the run is shown: a live table on a terminal, else plain lines.",
    ),
    click.option("--events", type=_FILE, metavar="FILE", help="Add a line of JSON to FILE for all that happens."),
    click.option("--log", type=_FILE, metavar="FILE", help="Add a technical log to FILE, without key and prompts."),
    click.option("--metrics", type=_FILE, metavar="FILE", help="Keep FILE up to date for Prometheus."),
)
CANARY = click.option(
    "--canary",
    type=click.IntRange(min=1),
    metavar="N",
    help="Render the first N that are selected; then ask before the rest, or stop.",
)
AGREEING = (
    click.option("--yes", is_flag=True, help="Spend without being asked."),
    click.option(
        "--ask-above",
        type=click.FloatRange(min=0),
        default=0.0,
        metavar="N",
        help="Ask only before the campaign costs N more than was agreed to.",
    ),
    click.option(
        "--plan",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Run exactly the plan that was saved, or nothing. It names its manifest.",
    ),
)
FORMAT = (
    click.option(
        "--format",
        "form",
        type=click.Choice(FORMATS),
        help="text, the default, is for people; github for annotations, sarif for code scanning; json is --json.",
    ),
    JSON,
)
MANIFEST = click.argument("manifest", type=click.Path(path_type=Path))
MANIFEST_OF_PLAN = click.argument("manifest", required=False, type=click.Path(path_type=Path))
MANIFESTS = click.argument("manifests", nargs=-1, required=True, type=click.Path(path_type=Path))
TARGET = click.argument("target", metavar="MANIFEST|FOLDER", type=click.Path(exists=True, path_type=Path))


def taking(*decorators: Callable[[Any], Any]) -> Callable[[_F], _F]:
    """Give a command these options and arguments, in this order."""

    def decorate(function: _F) -> _F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


def options_of(
    *,
    variables: Sequence[str] = (),
    output: Path = Path("outputs"),
    select: Sequence[str] = (),
    profile: Path | None = None,
    proxy: str | None = None,
    ca_file: Path | None = None,
    fail_fast: bool = False,
    max_failures: Tolerance | None = None,
    **others: Any,
) -> Options:
    """Return the options; ``others`` go by the same name here and there."""
    pairs = [text.partition("=") for text in variables]
    if any(not (name and equals) for name, equals, _ in pairs):
        raise click.UsageError("--var takes NAME=VALUE")
    if fail_fast and max_failures is not None:
        raise click.UsageError("--fail-fast and --max-failures exclude each other")
    tolerance = Tolerance(0) if fail_fast else max_failures
    named = {name: value for name, _, value in pairs}
    profiles, network = Profiles(profile, _own_profiles()), Network(proxy, ca_file)
    return Options(output, named, tuple(select), profiles=profiles, network=network, tolerance=tolerance, **others)


def _own_profiles() -> Path | None:
    """Return the folder of a person's own profiles, which they need not have. Without a home there is none.

    An XDG_CONFIG_HOME that is empty or relative counts as none, as its specification says.
    """
    homes = click.get_app_dir("callsheet"), os.path.expanduser("~/.config/callsheet")  # noqa: PTH111  # never raises
    return next((Path(home, "profiles") for home in homes if Path(home).is_absolute()), None)


def command_line(verb: str, target: Path, options: Options) -> list[str]:
    """Return the beginning of a command about the same campaign, at the same server."""
    words = ["callsheet", verb, str(target)]
    words += [] if options.output == Options().output else ["--output", str(options.output)]
    words += [] if options.base_url is None else ["--base-url", options.base_url]
    words += [] if options.profiles.file is None else ["--profile", str(options.profiles.file)]
    words += [] if options.network.proxy is None else ["--proxy", "URL"]  # it may have a password
    words += [] if options.network.ca_file is None else ["--ca-file", str(options.network.ca_file)]
    return words + ["--allow-http"] * options.allow_http + ["--same-account"] * options.same_account


def format_of(form: str | None, *, as_json: bool) -> str:
    """Return the one format that ``--format`` and ``--json`` ask for together."""
    if as_json and form not in {None, "json"}:
        raise click.UsageError(f"--json and --format {form} exclude each other")
    return "json" if as_json else form or "text"

"""The commands about manifests: begin one, check it, explain it. ``cli`` has them among its own."""

from pathlib import Path
from typing import Any

import anyio
import click

from pipeline import __version__, annotations, authoring, explaining, render, summary
from pipeline.options import (
    FORMAT,
    JSON,
    MANIFESTS,
    OUTPUT,
    PROFILE,
    SELECTION,
    VARIABLES,
    format_of,
    options_of,
    taking,
)
from pipeline.replies import answer_with, print_json


@click.command()
@click.argument("manifest", default=Path("callsheet.yaml"), metavar="[FILE]", type=click.Path(path_type=Path))
def init(manifest: Path) -> int:
    """Write a first manifest (callsheet.yaml), and the schema for editors beside it. Overwrites no manifest."""
    render.begun(render.terminal(stderr=False), manifest, anyio.run(authoring.begin, manifest))
    return 0


@click.command()
@taking(MANIFESTS, *FORMAT, VARIABLES, *SELECTION, PROFILE)
@click.option("--fix", is_flag=True, help="Write the safe fixes into the files, and show what changed.")
def validate(manifests: tuple[Path, ...], form: str | None, as_json: bool, fix: bool, **options: Any) -> int:
    """Check manifests. Shows every mistake, sends nothing."""
    form = format_of(form, as_json=as_json)
    found = anyio.run(authoring.fix if fix else authoring.check, manifests, options_of(**options))
    render.differences(render.terminal(stderr=form != "text"), found.differences)
    if form == "json":
        print_json(summary.problems_document(found.problems))
    elif form == "github":
        click.echo(annotations.commands(found.problems), nl=False)
    elif form == "sarif":
        print_json(annotations.sarif(found.problems, authoring.rulebook(), version=__version__, folder=Path.cwd()))
    else:
        render.checked(render.terminal(stderr=False), found)
    return found.exit_code


@click.command()
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
        found = anyio.run(authoring.explain, Path(what), job, options_of(**options))
        answer_with(as_json, explaining.explain_document, render.explained, found)
    elif as_json or (what and Path(what).is_file()):
        raise click.UsageError("a manifest and --json go with --job")
    elif what is None:
        render.rules(console, authoring.rulebook().values())
    else:
        render.rule(console, authoring.rule(what))
    return 0


@click.command()
@click.argument("name", default="manifest")
@click.option("--provider", metavar="NAME", help="With the sizes and lengths that this provider takes.")
@taking(PROFILE)
def schema(name: str, provider: str | None, **options: Any) -> int:
    """Print a JSON Schema: of the manifest, of what --json prints, or of another file of Callsheet."""
    if provider is None:
        click.echo(authoring.schema_text(name), nl=False)
    else:
        print_json(authoring.language(name, provider, options_of(**options)))
    return 0


COMMANDS = (init, validate, explain, schema)

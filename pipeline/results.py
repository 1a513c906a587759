"""The commands about what was rendered, to look at and to hand on. ``cli`` has them among its own."""

from pathlib import Path
from typing import Any

import click

from pipeline import documents, reporting, stories
from pipeline.options import JSON, OUTPUT, TARGET, options_of, taking
from pipeline.replies import answer_with


@click.command()
@taking(TARGET, JSON, OUTPUT)
@click.option(
    "--to",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the page there. Else it is report.html in the campaign's folder.",
)
def report(target: Path, as_json: bool, to: Path | None, **options: Any) -> int:
    """Make one page of the campaign: a contact sheet that plays, each job's story, charts. Also while it runs."""
    answer_with(as_json, documents.report_document, stories.report, reporting.report(target, options_of(**options), to))
    return 0


COMMANDS = (report,)

"""The commands about what was rendered, to look at and to hand on. ``cli`` has them among its own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import click

from pipeline import delivery, documents, handouts, render, reporting, sharding, stories
from pipeline.delivery import Wanted
from pipeline.formats import FORMATS
from pipeline.options import JSON, OUTPUT, TARGET, options_of, taking
from pipeline.replies import answer_with
from pipeline.splits import ONE, splits


@click.command()
@taking(TARGET)
@click.option("--format", "form", type=click.Choice(list(FORMATS)), required=True, help="What the folder is to be.")
@click.option("--to", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Where it is to be.")
@click.option("--select", multiple=True, metavar="GLOB|tag:TAG", help="Export only jobs that fit. Repeatable.")
@click.option("--picked", is_flag=True, help="Export only videos that were picked.")
@click.option("--splits", "shares", metavar="NAME=SHARE,...", help="Split by the prompt: train=0.8,test=0.2.")
@click.option("--shards", type=click.IntRange(1, sharding.MOST), metavar="N", help="Tar files for each split.")
@click.option("--rename", "renames", multiple=True, metavar="OLD=NEW", help="Call a column otherwise. Repeatable.")
@click.option("--license", "licence", metavar="ID", help="The licence that the dataset card states.")
@click.option("--quick", is_flag=True, help="Do not read all bytes of videos that are not copied.")
@taking(JSON, OUTPUT)
def export(
    target: Path,
    *,
    as_json: bool,
    form: str,
    to: Path,
    picked: bool,
    shares: str | None,
    shards: int | None,
    renames: Sequence[str],
    licence: str | None,
    quick: bool,
    **options: Any,
) -> int:
    """Make a dataset of the finished videos, also while a run goes on. Run it again to bring it up to date."""
    called = dict(_pair(text) for text in renames)
    wanted = Wanted(form, to, splits(shares) if shares else ONE, shards, called, licence, picked, quick)
    with handouts.counting(render.terminal(stderr=True)) as observe:
        found = anyio.run(delivery.export, target, options_of(**options), wanted, observe)
    answer_with(as_json, handouts.export_document, handouts.export, found)
    return found.exit_code


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
    found = anyio.run(reporting.report, target, options_of(**options), to)
    answer_with(as_json, documents.report_document, stories.report, found)
    return 0


def _pair(text: str) -> tuple[str, str]:
    old, equals, new = text.partition("=")
    if not (old and equals and new):
        raise click.UsageError("--rename takes OLD=NEW")
    return old, new


COMMANDS = (report, export)

"""The commands about servers: which there are, and what one is able to do. ``cli`` has them among its own."""

from functools import partial
from pathlib import Path
from typing import Any

import anyio
import click

from pipeline import authoring, commands, descriptions, documents, plans, render, starter
from pipeline.doctor import clear, examine, kept_manifest, render_clip, write_draft
from pipeline.options import ADDRESS, JSON, OUTPUT, PROFILE, options_of, taking
from pipeline.progress import progress_on
from pipeline.replies import answer_with
from pipeline.supervision import ENDING


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME [OTHER]]")
@taking(JSON, PROFILE)
def profiles(names: tuple[str, ...], as_json: bool, **options: Any) -> int:
    """List the servers' profiles, show one field by field, or show in what two differ."""
    if len(names) > 2:
        raise click.UsageError("two profiles can be compared, not more")
    chosen = options_of(**options)
    found = authoring.portrait(names, chosen) if names else authoring.profiles(chosen)
    answer_with(as_json, documents.profiles_document, descriptions.profiles, found)
    return 0


@click.command()
@click.argument("provider", required=False)
@taking(JSON, OUTPUT, *ADDRESS, PROFILE)
@click.option("--write", type=click.Path(path_type=Path), metavar="FILE", help="Write a draft of the server's profile.")
@click.option("--spend", is_flag=True, help="Render the cheapest clip too, after showing its price.")
@click.option("--yes", is_flag=True, help="Spend without being asked.")
def doctor(provider: str | None, as_json: bool, write: Path | None, spend: bool, **options: Any) -> int:
    """Examine a server before a campaign trusts it. Creates nothing, unless --spend is given."""
    chosen, console = options_of(**options), render.terminal(stderr=True)
    if write is not None:
        starter.refuse_to_replace(write)
    found = anyio.run(examine, provider, chosen)
    if spend and found.exit_code == 0:
        cleared = anyio.run(partial(clear, found, chosen, confirm=plans.confirm))
        if chosen.yes or not cleared.prepared.goes_beyond(cleared.prepared.agreed, chosen.ask_above):
            plans.show(console, cleared.prepared)
        with progress_on(console) as progress:
            found, end = anyio.run(partial(render_clip, found, cleared, progress=progress, ending=ENDING))
        render.ended(console, end, kept_manifest(cleared), {})
    elif spend:
        render.failure(console, "no clip is rendered before the problems are solved")
    if write is not None and found.is_server:
        found = write_draft(found, write)
    elif write is not None:
        render.failure(console, "no draft is written: nothing can be learned of what is no server of videos")
    answer_with(as_json, documents.doctor_document, descriptions.doctor, found)
    return found.exit_code


@click.command()
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


COMMANDS = (profiles, doctor, simulate)

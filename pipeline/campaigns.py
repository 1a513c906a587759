"""The commands about a campaign to come: what a run would do, and the run."""

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import click

from pipeline import attending, authoring, commands, planning, plans, render, summary
from pipeline.attending import Told
from pipeline.commands import Ended
from pipeline.instructions import Options
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
    TOLERANCE,
    VARIABLES,
    WATCHING,
    options_of,
    taking,
)
from pipeline.replies import print_json
from pipeline.saved import StalePlan


@click.command()
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
        places = planning.places(manifest, prepared.plan.items.changed, chosen)
        print_json(plans.document(prepared, places, listing=iter))
    else:
        plans.show(render.terminal(stderr=False), prepared, lambda items: planning.places(manifest, items, chosen))
    return 0


@click.command()
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
    told = Told(**{name: options.pop(name) for name in ("mode", "events", "log", "metrics")})
    manifest, chosen = _planned(manifest, plan, options_of(**options))
    try:
        end = _run(manifest, chosen, told, canary, as_json=as_json)
    except StalePlan as error:
        render.failure(render.terminal(stderr=True), str(error))
        plans.stale(render.terminal(stderr=True), error)
        return error.exit_code
    return end.exit_code


def _planned(manifest: Path | None, plan: Path | None, options: Options) -> tuple[Path, Options]:
    """Return the manifest and the options of a run: those of a saved plan, if there is one."""
    if plan is not None:
        return planning.of_plan(plan, manifest, options)
    if manifest is None:
        raise click.UsageError("Missing argument 'MANIFEST': only a saved plan (--plan FILE) names one")
    return manifest, options


def _run(manifest: Path, options: Options, told: Told, canary: int | None, *, as_json: bool) -> Ended:
    console = render.terminal(stderr=True)
    cleared = anyio.run(partial(commands.cleared, manifest, options, confirm=plans.confirm))
    render.warnings(console, cleared.prepared.loaded.warnings)
    end = attending.run(console, cleared, told, canary=canary)
    refused = end.status.among(authoring.REFUSED, telling=True)
    blamed = authoring.blamed(manifest, cleared.prepared.loaded.profile, refused, options)
    with suppress(OSError):  # however it is shown, the run has ended as it has
        render.ended(console, end, manifest, blamed)
    if as_json:
        places = {name: blame.source.place for name, blame in blamed.items() if blame.source.place}
        print_json(summary.run_document(end.status, end.exit_code, places, listing=iter))
    return end


COMMANDS = (plan, run)

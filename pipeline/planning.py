"""The verb that comes before spending: the plan, where its changes are written, and a plan that is kept and run."""

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from pipeline import origins, planfiles
from pipeline.blocking import in_a_thread
from pipeline.clearing import saved_plan, with_plan
from pipeline.errors import UsageError
from pipeline.files import Source
from pipeline.instructions import Options
from pipeline.plan import Item
from pipeline.preparation import Prepared, prepare
from pipeline.profile import address
from pipeline.saved import Places


@in_a_thread
def plan(manifest: Source, options: Options, *, save: Path | None = None) -> Prepared:
    """Return what ``run`` would do with the same options, and save it where that is asked for.

    Needs no key and no network, and writes nothing else. Raises ManifestError for mistakes in the manifest, UsageError
    for options that do not fit it, LedgerError for a ledger that cannot be read.
    """
    prepared = prepare(manifest, options)
    try:
        url = address(prepared.loaded.profile, options.base_url, os.environ, allow_http=options.allow_http)
    except UsageError:  # a run says so, when somebody has to know
        url = None
    prepared = replace(prepared, address=url)
    if save is not None:
        if not isinstance(manifest, Path):
            raise UsageError("a plan that is saved names its manifest's file: write the manifest into one")
        prepared.campaign.refuse_its_own(save)
        planfiles.save(save, saved_plan(manifest, save, options, prepared))
    return prepared


def places(manifest: Path, items: Iterable[Item], options: Options) -> Places:
    """Return where the new values of what was changed are written."""
    changed = {item.name: [change.path for change in item.changes] for item in items if item.changes}
    return origins.places(manifest, changed, options)


def of_plan(path: Path, manifest: Path | None, options: Options) -> tuple[Path, Options]:
    """Return the manifest of a saved plan, and the options with which it is run.

    Raises UsageError where it cannot be read, was changed, or an option would change what it does.
    """
    saved = planfiles.load(path)
    return manifest or planfiles.manifest_of(saved, path), with_plan(options, saved)

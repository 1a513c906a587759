"""A manifest with what a person says beside it: checked, and which of its jobs are meant."""

import hashlib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from heapq import nsmallest

from pipeline import files
from pipeline.campaign import Campaign
from pipeline.errors import UsageError
from pipeline.files import Loaded, Source
from pipeline.instructions import Options
from pipeline.jobs import Job, Spec


def checked(manifest: Source, options: Options) -> Loaded:
    """Return the checked manifest, whole whatever is selected. Raises ManifestError with all of its problems."""
    loaded = files.load(manifest, variables=options.variables, profiles=options.profiles)
    selection(loaded.specs, options)
    return loaded


def remembering(options: Options) -> files.Remembered:
    """Return what gives the variables that the ledger of a campaign remembers."""

    def remembered(name: str) -> Mapping[str, str]:
        ledger = Campaign(options.output / name).ledger
        if not ledger.exists():
            return {}
        from pipeline.ledger import reading  # noqa: PLC0415  # what only checks a new manifest does without SQLite

        with reading.opened(ledger) as connection:
            return dict(reading.settings(connection).get("vars", {}))

    return remembered


def selection(specs: Sequence[Spec], options: Options) -> frozenset[str]:
    """Return the names that may be submitted: enabled, fit for a ``--select``, in the ``--sample``, up to ``--limit``.

    A sample depends on the seed and the names alone: what is drawn stays drawn when other jobs come or go, but for
    those that are drawn in its place.
    """
    for word in options.select:
        if not any(fits(spec, word) for spec in specs):
            raise UsageError(f"--select {word!r} fits no job")
    if options.no_submit:
        return frozenset()
    chosen = [
        spec.name
        for spec in specs
        if spec.enabled and (not options.select or any(fits(spec, word) for word in options.select))
    ]
    if options.sample is not None and options.sample < len(chosen):
        drawn = frozenset(nsmallest(options.sample, chosen, key=partial(_lot, options.seed)))
        chosen = [name for name in chosen if name in drawn]
    return frozenset(chosen[: options.limit])


def _lot(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()


def fits(spec: Spec | Job, word: str) -> bool:
    """Tell whether a word of ``--select``, a pattern of names or ``tag:`` and a tag, means this job."""
    kind, _, tag = word.partition(":")
    return (
        tag in spec.tags
        if kind == "tag"
        else fnmatchcase(spec.name, word) or fnmatchcase(spec.name.partition("#")[0], word)
    )

"""Where the values of some jobs' fields are written, as people ask for them after the manifest was read."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline import files
from pipeline.checking import remembering
from pipeline.explaining import Explained, Source, explained
from pipeline.instructions import Options
from pipeline.saved import Places


def places(manifest: Path, wanted: Mapping[str, Sequence[tuple[str, ...]]], options: Options) -> Places:
    """Return where the wanted fields of jobs are written; what no file or option says any more is left out."""
    if not wanted:
        return {}
    found, traces = files.traces(
        manifest, wanted, variables=options.variables, profiles=options.profiles, remembered=remembering(options)
    )
    return {
        (name, path): sources
        for name, paths in wanted.items()
        for path, sources in _sources(explained(found, traces[name], given=options.variables), paths)
    }


def _sources(
    found: Explained, paths: Sequence[tuple[str, ...]]
) -> Sequence[tuple[tuple[str, ...], tuple[Source, ...]]]:
    """Return the sources of each path: of the value itself, or of the first of those that it is made of."""
    pairs = []
    for path in paths:
        for origin in found.origins:
            shared = min(len(path), len(origin.path))
            if path[:shared] == origin.path[:shared]:
                pairs.append((path, origin.sources))
                break
    return pairs

"""A large manifest in YAML, read with the line and column of everything in it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import material
from benchmarks.processes import side
from benchmarks.rows import Broken, Row, cheaper, share
from benchmarks.side import Clock

if TYPE_CHECKING:
    from benchmarks.suite import Bench

PEER = "yaml.CSafeLoader, no places"


def measure(bench: "Bench") -> Sequence[Row]:
    """CPU and memory of reading 100,000 jobs with the place of every value, against PyYAML's C loader without places.

    A second row has all of ``files.load``: validation, expansion and the requests' own rules too. Memory is what the
    process grew by at most.
    """
    jobs, path = bench.size(100_000, 200), bench.scratch / "bench.yaml"
    material.manifest(path, jobs)
    found = bench.interleaved(
        **{function.__name__: lambda function=function: side(function, path=path) for function in (ours, whole, peer)}
    )
    if len({used.told["jobs"] for runs in found.values() for used in runs} | {jobs}) > 1:
        raise Broken("not all jobs were read")
    cost = {who: [used.told["cpu"] for used in runs] for who, runs in found.items()}
    memory = {who: [used.told["grown"] / 1e6 for used in runs] for who, runs in found.items()}
    return [
        cheaper("load-yaml", "CPU s", cost["ours"], cost["peer"], PEER, least=4),
        share("load-yaml (memory)", "MB more", memory["ours"], memory["peer"], PEER, most=0.25),
        cheaper("load-yaml (files.load)", "CPU s", cost["whole"], cost["peer"], PEER, least=None),
        share("load-yaml (files.load, memory)", "MB more", memory["whole"], memory["peer"], PEER, most=None),
    ]


def ours(path: str) -> Mapping[str, Any]:
    """Read the document, and ask for the place of the last job's prompt."""
    from pipeline import source

    with Clock() as clock:
        document, problems = source.parse(Path(path).read_bytes(), file=path)
        if document is None or problems:
            raise Broken(f"{problems[:3]}")
        jobs = document.value["jobs"]
        place = document.value_at(("jobs", len(jobs) - 1, "prompt"))
    if (place.line, place.column) != (4 + 7 * len(jobs) - 5, 13):
        raise Broken(f"the last prompt is not at {place}")
    return clock.told(jobs=len(jobs))


def whole(path: str) -> Mapping[str, Any]:
    """Load it as every command does."""
    from pipeline import files

    with Clock() as clock:
        loaded = files.load(Path(path), variables={})
    return clock.told(jobs=len(loaded.specs))


def peer(path: str) -> Mapping[str, Any]:
    """Load it with PyYAML, its bytes at once, as fast as it goes without touching the garbage collector."""
    import yaml

    with Clock() as clock:
        value = yaml.load(Path(path).read_bytes(), Loader=yaml.CSafeLoader)
    return clock.told(jobs=len(value["jobs"]))

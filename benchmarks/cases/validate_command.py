"""A manifest checked by a command, as CI does it."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import material
from benchmarks.processes import run
from benchmarks.rows import Row, cheaper

if TYPE_CHECKING:
    from benchmarks.suite import Bench

SCHEMA = Path(__file__).resolve().parent.parent.parent / "schemas" / "manifest.schema.json"


def measure(bench: "Bench") -> Sequence[Row]:
    """CPU of ``callsheet validate`` of 10,000 jobs, the whole process, against check-jsonschema's.

    check-jsonschema holds the file against our own schema of manifests. It does not do what that schema cannot say: the
    provider's rules for each request, names, placeholders.
    """
    path, bad = bench.scratch / "bench.yaml", bench.scratch / "bad.yaml"
    material.manifest(path, bench.size(10_000, 100))
    bad.write_text(path.read_text("utf-8").replace('seconds: "4"', "seconds: [4]", 1), "utf-8")
    folder = Path(sys.executable).parent
    ours, peer = [folder / "callsheet", "validate"], [folder / "check-jsonschema", "--schemafile", SCHEMA]
    run([*ours, bad], exits=2)  # both do look at each job
    run([*peer, bad], exits=1)
    found = bench.interleaved(ours=lambda: run([*ours, path]), peer=lambda: run([*peer, path]))
    cost = {who: [used.cpu for used in runs] for who, runs in found.items()}
    return [cheaper("validate-command", "CPU s", cost["ours"], cost["peer"], "check-jsonschema", least=8)]

"""What the ledger costs in a run."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchmarks.cases import group_commit, runner
from benchmarks.folders import put_aside
from benchmarks.processes import Used, side
from benchmarks.rows import Row, share

if TYPE_CHECKING:
    from benchmarks.suite import Bench

IN_FLIGHT = 64


def measure(bench: "Bench") -> Sequence[Row]:
    """CPU of a job in the ledger alone, 64 at a time, as a part of the CPU of the same job in the whole runner.

    Nobody can run without the ledger, so this is not the difference of two runs: what the ledger's thread takes
    from the event loop beyond its own work is not in it.
    """
    jobs = bench.size(400, 16)
    runner.prepare(bench.scratch, jobs, IN_FLIGHT, 64)

    def alone() -> Used:
        folder = bench.scratch / "alone"
        folder.mkdir()
        used = side(group_commit.ours, path=folder / "ledger.db", jobs=jobs, waiting=IN_FLIGHT)
        put_aside(folder)
        return used

    found = bench.interleaved(alone=alone, run=lambda: runner.once(bench.scratch, runner.ours, jobs, IN_FLIGHT, 64))
    cost = {who: [used.told["cpu"] * 1000 / jobs for used in runs] for who, runs in found.items()}
    return [share("ledger", "CPU ms a job", cost["alone"], cost["run"], "the whole runner", most=0.1)]

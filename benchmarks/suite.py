"""Inside the environment: run the benchmarks that are asked for, print the table, write the JSON."""

import argparse
import json
import os
import platform
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import processes
from benchmarks.cases import (
    curves,
    download,
    group_commit,
    in_flight,
    ledger,
    load_yaml,
    makespan,
    million_ledger,
    runner,
    simulator_video,
    start,
    validate_command,
    validation,
)
from benchmarks.folders import empty
from benchmarks.processes import Used
from benchmarks.rows import Broken, Row, table


@dataclass(frozen=True, slots=True)
class Bench:
    """What a benchmark is handed: a folder of its own, how often to run each side, and how much."""

    scratch: Path
    rounds: int
    short: bool

    def size(self, full: int, short: int) -> int:
        return short if self.short else full

    def interleaved(self, **sides: Callable[[], Used]) -> Mapping[str, Sequence[Used]]:
        """Run each side in turn, and all of them as often as wanted: what else the machine does hits all alike."""
        found: dict[str, list[Used]] = {name: [] for name in sides}
        for _ in range(self.rounds):
            for name, run in sides.items():
                found[name].append(run())
        return found


Benchmark = Callable[[Bench], Sequence[Row]]

BENCHMARKS: Mapping[str, Benchmark] = {
    "runner-64": partial(runner.measure, name="runner-64", jobs=1000, in_flight=64, kib=64, least=2.5),
    "runner-512": partial(runner.measure, name="runner-512", jobs=1024, in_flight=512, kib=64, least=4),
    "runner-4mib": partial(runner.measure, name="runner-4mib", jobs=200, in_flight=64, kib=4096, least=2, memory=0.25),
    "ledger": ledger.measure,
    "group-commit": group_commit.measure,
    "million-ledger": million_ledger.measure,
    "load-yaml": load_yaml.measure,
    "validate-command": validate_command.measure,
    "validation": validation.measure,
    "start": start.measure,
    "in-flight": in_flight.measure,
    "download": download.measure,
    "makespan": makespan.measure,
    "simulator-video": simulator_video.measure,
    "curves": curves.measure,
    "curve-simulator": curves.simulated,
}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", action="append", choices=BENCHMARKS)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--scratch", type=Path, required=True)
    given = parser.parse_args()
    processes.pin()
    chosen = {name: BENCHMARKS[name] for name in given.only or BENCHMARKS}
    rounds = given.rounds or (1 if given.short else 5)
    with TemporaryDirectory(dir=given.scratch, prefix="scratch-") as scratch:
        return report(chosen, Bench(Path(scratch), rounds, given.short), given.json)


def report(benchmarks: Mapping[str, Benchmark], bench: Bench, file: Path | None) -> int:
    """Run them, print their table, write the JSON; return 1 where one is broken, and 0 though a goal is missed."""
    rows: list[Row] = []
    broken: list[str] = []
    for name, measure in benchmarks.items():
        found = measured(name, measure, replace(bench, scratch=bench.scratch / name))
        rows += found or ()
        broken += [name] if found is None else []
    about = machine(bench.rounds, short=bench.short)
    print(about, table(rows), sep="\n\n")
    if file:
        document = {"machine": about, "rows": [row.document() for row in rows], "broken": broken}
        file.write_text(json.dumps(document, indent=2) + "\n", "utf-8")
    if broken:
        print(f"broken: {', '.join(broken)}")
    return 1 if broken else 0


def measured(name: str, measure: Benchmark, bench: Bench) -> Sequence[Row] | None:
    """Return the rows of a benchmark; None for one that is broken, which must not hide the others."""
    print(f"{name} ...", file=sys.stderr, flush=True)
    bench.scratch.mkdir()
    try:
        rows = measure(bench)
    except Broken as error:
        print(f"{name} is broken: {error}", file=sys.stderr)
    except Exception:  # noqa: BLE001  # whatever it was
        traceback.print_exc()
    else:
        print(table(rows), file=sys.stderr, flush=True)
        return rows
    finally:
        empty(bench.scratch)
    return None


def machine(rounds: int, *, short: bool) -> str:
    """Return on what this was measured, in a line."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        model = next(line.partition(": ")[2] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    load = os.getloadavg()[0]
    form = ", short form: the numbers mean nothing" if short else ""
    system = f"{platform.system()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} x {model}, {system}, {rounds} runs, load {load:.1f}{form}"


if __name__ == "__main__":
    sys.exit(main())

"""Inside the environment: run the benchmarks that are asked for, print the table, write the JSON."""

import argparse
import json
import os
import platform
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
    rounds = given.rounds or (1 if given.short else 5)
    rows: list[Row] = []
    broken: list[str] = []
    with TemporaryDirectory(dir=given.scratch, prefix="scratch-") as scratch:
        for name in dict.fromkeys(given.only or BENCHMARKS):
            found = measured(name, Path(scratch) / name, rounds, short=given.short)
            rows += found or ()
            broken += [name] if found is None else []
    print(machine(rounds, short=given.short), table(rows), sep="\n\n")
    if given.json:
        document = {
            "machine": machine(rounds, short=given.short),
            "rows": [row.document() for row in rows],
            "broken": broken,
        }
        given.json.write_text(json.dumps(document, indent=2) + "\n", "utf-8")
    if broken:
        print(f"broken: {', '.join(broken)}")
    return 1 if broken else 0


def measured(name: str, scratch: Path, rounds: int, *, short: bool) -> Sequence[Row] | None:
    """Return the rows of a benchmark; None for one that is broken, which must not hide the others."""
    print(f"{name} ...", file=sys.stderr, flush=True)
    scratch.mkdir()
    try:
        rows = BENCHMARKS[name](Bench(scratch, rounds, short))
    except Broken as error:
        print(f"{name} is broken: {error}", file=sys.stderr)
    except Exception:  # noqa: BLE001  # whatever it was
        traceback.print_exc()
    else:
        print(table(rows), file=sys.stderr, flush=True)
        return rows
    finally:
        empty(scratch)
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

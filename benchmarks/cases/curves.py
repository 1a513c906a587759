"""How the cost of a job grows with the number of jobs: ten, a hundred and a thousand thousand."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import material
from benchmarks.folders import put_aside
from benchmarks.processes import Used, move_away, run
from benchmarks.rows import Broken, Row, bound, share

if TYPE_CHECKING:
    from benchmarks.suite import Bench

HIDDEN = "http://127.0.0.1:9"
"""Nobody is there: nothing of this asks a server."""


def measure(bench: "Bench") -> Sequence[Row]:
    """CPU and memory of the whole of a command, for a manifest whose jobs are the lines of a JSONL table.

    ``enrol`` is a run that may submit nothing: it checks, plans, and has every job in its ledger. ``resume`` is the
    same again. Once each, whatever ``--rounds`` says: a curve shows by itself how much it shakes. The ratio is that of
    ten times as many jobs to the line above.
    """
    sizes = (20, 200, 2_000) if bench.short else (10_000, 100_000, 1_000_000)
    return _rows([(size, _commands(bench.scratch, size)) for size in sizes])


def simulated(bench: "Bench") -> Sequence[Row]:
    """CPU and memory of a run that renders all of its jobs at the simulator, a process of its own on the other core."""
    sizes = (5, 50) if bench.short else (10_000, 100_000)
    return _rows([(size, {"simulated": _rendered(bench.scratch, size)}) for size in sizes])


def _rows(found: Sequence[tuple[int, Mapping[str, Used]]]) -> list[Row]:
    rows = []
    (size, first), *rest = found
    for name, used in first.items():
        rows.append(bound(f"{name} {size:,}", "CPU us a job", [used.cpu * 1e6 / size], most=None))
        rows.append(bound(f"{name} {size:,} (memory)", "MB at most", [used.peak / 1e6], most=None))
        fewer, less = size, used
        for more, results in rest:
            now, against = results[name], f"{fewer:,} jobs"
            costs = [now.cpu * 1e6 / more], [less.cpu * 1e6 / fewer]
            rows.append(share(f"{name} {more:,}", "CPU us a job", *costs, against, most=1.25))
            peaks = [now.peak / 1e6], [less.peak / 1e6]
            rows.append(share(f"{name} {more:,} (memory)", "MB at most", *peaks, against, most=1.25 * more / fewer))
            fewer, less = more, now
    return rows


def _commands(scratch: Path, jobs: int) -> Mapping[str, Used]:
    manifest, outputs = _manifest(scratch, jobs, "openai"), scratch / "outputs"
    sees_only = ["--no-submit", "--base-url", HIDDEN, "--progress", "none", "--output", outputs]
    commands: Mapping[str, Sequence[str | Path]] = {
        "validate": ["validate", manifest],
        "plan": ["plan", manifest, "--output", outputs],
        "enrol": ["run", manifest, *sees_only],
        "resume": ["run", manifest, *sees_only],
        "status": ["status", manifest, "--output", outputs],
    }
    found = {name: _callsheet(words) for name, words in commands.items()}
    put_aside(outputs)
    return found


def _rendered(scratch: Path, jobs: int) -> Used:
    """Run all jobs at a simulator that has them done at once. Raises Broken where one is missing or was paid twice."""
    manifest, outputs = _manifest(scratch, jobs, "bench"), scratch / "outputs"
    profile = scratch / "profile.yaml"
    material.profile(profile, in_flight=200, downloads=32)
    with _simulator(scratch) as url:
        words = ["run", manifest, "--profile", profile, "--base-url", url, "--yes", "--progress", "none"]
        used = _callsheet([*words, "--output", outputs])
    status = json.loads(_callsheet(["status", manifest, "--json", "--output", outputs]).text)
    files = sum(1 for _ in outputs.rglob("*.mp4"))
    if status["counts"]["done"] != jobs or files != jobs:
        raise Broken(f"{files} files of {jobs} are there, and the ledger says {status['counts']}")
    put_aside(outputs)
    return used


@contextmanager
def _simulator(scratch: Path) -> Iterator[str]:
    command = [_command(), "simulate", "--port", "0", "--videos", "stock", "--speed", "1e6"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        move_away(process.pid)
        try:
            line = process.stdout.readline() if process.stdout else ""
            yield next(word for word in line.split() if word.startswith("http"))
        finally:
            process.terminate()


def _manifest(scratch: Path, jobs: int, provider: str) -> Path:
    path = scratch / "bench.yaml"
    with (scratch / "prompts.jsonl").open("w", encoding="utf-8") as table:
        for number in range(jobs):
            row = {"name": f"job-{number:07d}", "prompt": material.prompt(number), "source": f"batch-{number % 50}"}
            table.write(json.dumps(row) + "\n")
    lines = ["version: 1", "name: bench", f"provider: {provider}", "jobs:", "  - id: '{{ row.name }}'"]
    lines += ["    from: prompts.jsonl", "    columns: {prompt: prompt}", "    keep_columns: [source]"]
    path.write_text("\n".join([*lines, '    seconds: "4"']) + "\n", "utf-8")
    return path


def _callsheet(words: Sequence[str | Path]) -> Used:
    return run([_command(), *words])


def _command() -> Path:
    return Path(sys.executable).with_name("callsheet")

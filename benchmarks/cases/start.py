"""How long a command takes to begin."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.processes import run
from benchmarks.rows import Row, share

if TYPE_CHECKING:
    from benchmarks.suite import Bench


def measure(bench: "Bench") -> Sequence[Row]:
    """CPU of ``callsheet --help``, the whole process, against a Python that imports openai. Bytecode is there."""
    command, sdk = [Path(sys.executable).with_name("callsheet"), "--help"], [sys.executable, "-c", "import openai"]
    for words in (command, sdk):
        run(words)  # compiles
    found = bench.interleaved(ours=lambda: run(command), peer=lambda: run(sdk))
    cost = {who: [used.cpu * 1000 for used in runs] for who, runs in found.items()}
    return [share("start", "CPU ms", cost["ours"], cost["peer"], "import openai", most=0.4)]

"""The beginning of a process that is measured: ``python -m benchmarks.side MODULE FUNCTION ARGUMENTS``."""

import importlib
import json
import resource
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class Clock:
    """Measures a block: CPU seconds of all threads of this process, seconds on the clock, and the memory it came to.

    Imports before the block are not in it, on either side: a campaign of hours pays them once.
    """

    def __enter__(self) -> Self:
        self._resident = _status("VmRSS")
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.cpu, self.wall = time.process_time() - self._cpu, time.perf_counter() - self._wall
        self.peak = _status("VmHWM")
        self.grown = self.peak - self._resident

    def told(self, **more: Any) -> dict[str, Any]:
        return {"cpu": self.cpu, "wall": self.wall, "peak": self.peak, "grown": self.grown, **more}


def _status(name: str) -> int:
    """Return bytes: VmRSS is what is resident, VmHWM the most that ever was. Elsewhere than on Linux it is the most."""
    try:
        lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def main() -> None:
    module, function, arguments = sys.argv[1:]
    told = getattr(importlib.import_module(module), function)(**json.loads(arguments))
    print()
    print(json.dumps(told))


if __name__ == "__main__":
    main()

"""Callsheet's exports, read by the libraries that people read datasets with: datasets, webdataset, pandas and DuckDB.

    python tests/dataset/check.py                     # an environment of its own, made anew: some minutes
    python tests/dataset/check.py --venv ~/readers    # one that is kept

Needs the package index for the environment; what is read is read offline. A campaign of 24 videos is rendered by the
simulator and exported in every format. It is no part of the tests; docs/export.md has its last result.

Ends with 0 where every library has every video, with another code where not.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

READERS = ("datasets", "webdataset", "pandas", "pyarrow", "duckdb")
MANIFEST = """\
version: 1
name: check
provider: simulator
defaults: { seconds: "4" }
jobs:
  - id: "shot-{{ row_number }}"
    from: prompts.txt
    takes: 2
  - id: "a.b"
    prompt: "=cmd, it's \\"quoted\\",\\n[bold]new line[/bold] \\u202e \\U0001F98A"
    tags: [hero, "with, comma"]
    metadata: { look: { grain: 35 } }
    matrix: { size: [1280x720, 720x1280] }
    takes: 2
"""
FORMATS = ("jsonl", "csv", "parquet", "videofolder", "webdataset")
SPLITS = "train=0.6,validation=0.2,test=0.2"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venv", type=Path, metavar="DIR", help="the environment of the libraries, which is kept")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="callsheet-dataset-") as made:
        work = Path(made)
        python = _installed((options.venv or work / "venv").absolute())
        (work / "check.yaml").write_text(MANIFEST)
        (work / "prompts.txt").write_text("".join(f"Prompt {number}\n" for number in range(10)))
        _callsheet(work, "run", "check.yaml", "--yes")
        for form in FORMATS:
            more = ["--shards", "3"] if form == "webdataset" else []
            _callsheet(work, "export", "check.yaml", "--format", form, "--to", form, "--splits", SPLITS, *more)
            subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=work / form, check=True)
        offline = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(work / "home")}
        reading = Path(__file__).with_name("reading.py")
        return subprocess.run([python, reading, work], env=offline).returncode


def _installed(environment: Path) -> Path:
    """Return the Python of an environment with the libraries; it is made where it is not there yet."""
    python = environment / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *READERS], check=True)
    return python


def _callsheet(work: Path, *words: str) -> None:
    sys.stderr.write(f"callsheet {' '.join(words)}\n")
    subprocess.run([sys.executable, "-m", "pipeline", *words], cwd=work, check=True)


if __name__ == "__main__":
    sys.exit(main())

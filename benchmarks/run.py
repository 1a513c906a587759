"""Run the benchmarks: ``python benchmarks/run.py``, with nothing but Python 3.11, pip and the network.

Makes an environment of its own with Callsheet out of this tree and the peers from PyPI, once, and goes on inside it.
"""

import argparse
import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PEERS = Path(__file__).with_name("peers.txt")


def arguments() -> argparse.Namespace:
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", metavar="NAME", help="this benchmark; may be given again")
    parser.add_argument("--short", action="store_true", help="tiny and once each: does it still run? (for CI)")
    parser.add_argument("--rounds", type=int, help="runs of each side; 5, and 1 with --short")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows and every run there")
    parser.add_argument(
        "--venv", type=Path, default=caches / "callsheet" / "benchmarks", help="the environment's folder"
    )
    return parser.parse_args()


def environment(folder: Path) -> Path:
    """Return the Python of the environment, made or brought up to date where what it is made of has changed."""
    python, stamp = folder / "bin" / "python", folder / "made-of"
    sources = b"\0".join(
        [bytes(ROOT), PEERS.read_bytes(), (ROOT / "pyproject.toml").read_bytes(), sys.version.encode()]
    )
    made_of = hashlib.sha256(sources).hexdigest()
    if not stamp.exists() or stamp.read_text("utf-8") != made_of:
        print(f"making the environment in {folder}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--clear", str(folder)], check=True)
        install = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q"]
        subprocess.run([*install, "-e", f"{ROOT}[simulator]", "-r", str(PEERS)], check=True)
        stamp.write_text(made_of, "utf-8")
    return python


def main() -> int:
    given = arguments()
    folder = given.venv.absolute()
    if folder.is_relative_to(ROOT):
        sys.exit(f"{folder} is inside the repository: choose another --venv")
    command = [str(environment(folder)), "-m", "benchmarks.suite", "--scratch", str(folder)]
    command += [word for name in given.only or () for word in ("--only", name)]
    command += ["--short"] if given.short else []
    command += ["--rounds", str(given.rounds)] if given.rounds else []
    command += ["--json", str(given.json.absolute())] if given.json else []
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "CALLSHEET_"))}
    clean |= {"PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    return subprocess.run(command, env=clean, cwd=folder, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

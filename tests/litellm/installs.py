"""A virtual environment for each version of LiteLLM, by plain pip."""

import subprocess
import sys
from pathlib import Path

_ASK = "import importlib.metadata; print(importlib.metadata.version('litellm'))"


def installed(version: str, folder: Path) -> Path:
    """Return the ``bin`` of an environment with this version of the proxy; it is made where it is not there yet."""
    environment = folder / version
    python = environment / "bin" / "python"
    if not _has(python, version):
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", f"litellm[proxy]=={version}"], check=True)
    return python.parent


def _has(python: Path, version: str) -> bool:
    if not python.exists():
        return False
    asked = subprocess.run([python, "-c", _ASK], capture_output=True, text=True)
    return asked.stdout.strip() == version

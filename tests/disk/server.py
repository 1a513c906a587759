"""The bundled simulator in a process of its own, and the command as a person types it against it."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
CALLSHEET = (sys.executable, "-m", "pipeline")

_MANIFEST = {
    "version": 1,
    "name": "trip",
    "limits": {"requests_per_minute": 60000, "polls_per_second": 50},
    "output": {"filename": "{{ id }}/take {{ take }}.mp4"},
}


def environment(tree: Path = TREE) -> dict[str, str]:
    """Return an environment in which the product is the one of this tree, and that holds no key."""
    ours = ("CALLSHEET", "ZNAPAI", "ZnapAI", "FORCE_COLOR", "COV", "PYTEST", "PYTHON")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    return kept | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", "XDG_STATE_HOME": "/nonexistent/state"}


@dataclass(frozen=True, slots=True)
class Server:
    """A simulator with stock footage, and the file that its bill is in."""

    url: str
    store: Path

    def bill(self) -> list[tuple[str, str]]:
        """Return the video and the prompt of each line."""
        with closing(sqlite3.connect(self.store)) as connection:
            rows = connection.execute("SELECT video_id, request FROM bill ORDER BY number").fetchall()
        return [(video, json.loads(request)["prompt"]) for video, request in rows]


@contextmanager
def serving(folder: Path, *, speed: int = 50) -> Iterator[Server]:
    """Run a server, whose file lies in the folder."""
    store = folder / "bill.db"
    options = ["--port", "0", "--videos", "stock", "--speed", str(speed), "--state", str(store)]
    with subprocess.Popen([*CALLSHEET, "simulate", *options], env=environment(), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            url = process.stdout.readline().decode().strip()
            assert url, "the server has not begun"
            yield Server(url, store)
        finally:
            process.terminate()


def manifest(folder: Path, jobs: Sequence[Mapping[str, object]], *, provider: str = "simulator") -> Path:
    """Write a manifest of these jobs. JSON is YAML."""
    path = folder / "trip.yaml"
    path.write_text(json.dumps({**_MANIFEST, "provider": provider, "jobs": jobs}), "utf-8")
    return path

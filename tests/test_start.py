"""What a command loads before it does anything: a person, an editor and a CI job wait for it each time."""

import subprocess
import sys
from pathlib import Path

import pytest

SEND = {"httpx", "aiohttp", "httpcore", "tenacity", "starlette", "av"}
LANGUAGE = {"yaml", "jsonschema", "jsonschema_rs"}
READ = LANGUAGE | {"sqlite3", "rich", "anyio", "asyncio"}


@pytest.mark.parametrize(
    ("words", "unneeded"),
    [
        (["--help"], SEND | READ),
        (["--version"], SEND | READ),
        (["validate", "trip.yaml"], SEND),
        (["schema", "manifest"], SEND),
        (["status", "outputs/trip"], SEND | LANGUAGE),
    ],
)
def test_a_command_loads_no_library_that_it_does_not_need(words: list[str], unneeded: set[str], tmp_path: Path) -> None:
    (tmp_path / "trip.yaml").write_text("version: 1\nname: trip\nprovider: openai\njobs: [{id: a, prompt: A fox}]\n")
    (tmp_path / "outputs/trip").mkdir(parents=True)
    code = "import sys; from pipeline.cli import main; main(sys.argv[1:]); print('loaded', *sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    loaded = ended.stdout.splitlines()[-1].split()
    assert loaded[0] == "loaded"
    assert not unneeded & set(loaded)

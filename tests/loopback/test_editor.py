"""A manifest in an editor: the real yaml-language-server, spoken to as editors do, by LSP over standard streams.

It is found by YAML_LANGUAGE_SERVER (a command), on PATH, or in this checkout's .tools, where .ci/run installs it.
"""

import json
import os
import queue
import re
import shlex
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest

from pipeline import shipped
from pipeline.authoring import begin

ROOT = Path(__file__).resolve().parent.parent.parent
DEADLINE = 30.0
SIZES = {"720x1280", "1280x720", "1024x1792", "1792x1024"}


def _command() -> list[str] | None:
    given = os.environ.get("YAML_LANGUAGE_SERVER")
    if given:
        return shlex.split(given)
    installed = str(ROOT / ".tools" / "node_modules" / ".bin")
    found = shutil.which("yaml-language-server") or shutil.which("yaml-language-server", path=installed)
    return [found] if found else None


class Editor:
    """A client of the language server. Positions count from 0, as LSP has them."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self.folder = folder
        self._server = subprocess.Popen(
            [*command, "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=folder
        )
        self._inbox = queue.Queue[dict[str, Any]]()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._said: dict[str, list[dict[str, Any]]] = {}
        self._ids = 0
        settings = {"textDocument": {"hover": {"contentFormat": ["markdown"]}, "publishDiagnostics": {}}}
        self.ask("initialize", {"processId": None, "rootUri": folder.as_uri(), "capabilities": settings})
        self._tell("initialized", {})
        # No catalogue of schemas from the network: the modeline is all that there is.
        yaml = {"validate": True, "hover": True, "completion": True, "schemaStore": {"enable": False, "url": ""}}
        self._tell("workspace/didChangeConfiguration", {"settings": {"yaml": yaml, "http": {}}})

    def close(self) -> None:
        self._server.kill()
        self._server.wait()
        self._reader.join()
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        self._server.stdout.close()

    def open(self, path: Path, text: str | None = None) -> None:
        text = path.read_text("utf-8") if text is None else text
        document = {"uri": path.as_uri(), "languageId": "yaml", "version": 1, "text": text}
        self._tell("textDocument/didOpen", {"textDocument": document})

    def squiggles(self, path: Path) -> list[tuple[int, str]]:
        """Line and message of what the server finds wrong, once it has looked."""
        deadline = time.monotonic() + DEADLINE
        while path.as_uri() not in self._said:
            self._take(deadline)
        return [(found["range"]["start"]["line"], found["message"]) for found in self._said[path.as_uri()]]

    def hover(self, path: Path, line: int, character: int) -> str:
        found = self.ask("textDocument/hover", _at(path, line, character))
        contents = found["contents"] if found else ""
        return contents["value"] if isinstance(contents, dict) else str(contents)

    def completions(self, path: Path, line: int, character: int) -> set[str]:
        found = self.ask("textDocument/completion", _at(path, line, character))
        items = found["items"] if isinstance(found, dict) else found or []
        return {item["label"].strip("\"'") for item in items}

    def ask(self, method: str, parameters: Mapping[str, Any]) -> Any:
        self._ids += 1
        mine = self._ids
        self._send({"id": mine, "method": method, "params": parameters})
        deadline = time.monotonic() + DEADLINE
        while True:
            message = self._take(deadline)
            if message.get("id") == mine and "method" not in message:
                assert "error" not in message, message
                return message["result"]

    def _take(self, deadline: float) -> dict[str, Any]:
        """Return the next message; note what is wrong with files, and answer what the server asks."""
        try:
            message = self._inbox.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            pytest.fail(f"the language server was silent for {DEADLINE:.0f} s")
        if message.get("method") == "textDocument/publishDiagnostics":
            self._said[message["params"]["uri"]] = message["params"]["diagnostics"]
        elif "method" in message and "id" in message:
            asked = message.get("params") or {}
            self._send({"id": message["id"], "result": [None for _ in asked.get("items", ())] or None})
        return message

    def _tell(self, method: str, parameters: Mapping[str, Any]) -> None:
        self._send({"method": method, "params": parameters})

    def _send(self, message: Mapping[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self._server.stdin is not None
        self._server.stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        self._server.stdin.flush()

    def _read(self) -> None:
        stream = self._server.stdout
        assert stream is not None
        while True:
            length = 0
            while (header := stream.readline().strip()) != b"":
                name, _, value = header.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            body = stream.read(length)
            if not length or len(body) < length:
                return
            self._inbox.put(json.loads(body))


def _at(path: Path, line: int, character: int) -> dict[str, Any]:
    return {"textDocument": {"uri": path.as_uri()}, "position": {"line": line, "character": character}}


@pytest.fixture(scope="module")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    command = _command()
    if command is None:
        pytest.skip("no yaml-language-server: neither YAML_LANGUAGE_SERVER, nor on PATH, nor in .tools")
    opened = Editor(command, tmp_path_factory.mktemp("editor"))
    yield opened
    opened.close()


Write = Callable[[str], Path]


@pytest.fixture
def write(editor: Editor, tmp_path: Path) -> Write:
    """Put a job into a manifest that was begun with ``callsheet init``, and open it."""

    def put(job: str) -> Path:
        path = tmp_path / "callsheet.yaml"
        anyio.run(begin, path)
        modeline = path.read_text("utf-8").partition("\n")[0]
        path.write_text(f"{modeline}\nversion: 1\nname: a\nprovider: simulator\njobs:\n  - id: a\n{job}", "utf-8")
        editor.open(path)
        return path

    return put


JOB_LINE = 6


def test_a_right_manifest_has_no_squiggles(editor: Editor, write: Write) -> None:
    assert editor.squiggles(write('    prompt: A city\n    size: 1280x720\n    seconds: "8"\n')) == []


@pytest.mark.parametrize("path", sorted((ROOT / "manifests").glob("*.yaml")), ids=lambda path: path.name)
def test_our_own_manifests_have_no_squiggles(editor: Editor, path: Path) -> None:
    editor.open(path)
    assert editor.squiggles(path) == []


def test_a_manifest_that_was_just_begun_has_no_squiggles(editor: Editor, tmp_path: Path) -> None:
    anyio.run(begin, tmp_path / "first.yaml")
    editor.open(tmp_path / "first.yaml")
    assert editor.squiggles(tmp_path / "first.yaml") == []


@pytest.mark.parametrize(
    ("line", "about"),
    [
        ("duration: 4", "duration"),
        ("seconds: 8", 'string|"8"'),
        ("size: 1920x1080", "1280x720"),
        ('seconds: "5"', '"4"'),
        ("takes: 0", "1"),
    ],
)
def test_a_mistake_is_underlined_while_it_is_typed(editor: Editor, write: Write, line: str, about: str) -> None:
    found = editor.squiggles(write(f"    {line}\n    prompt: A city\n"))
    assert {number for number, _ in found} == {JOB_LINE}
    assert any(re.search(about, message) for _, message in found)


def test_the_keys_of_a_job_are_offered(editor: Editor, write: Write) -> None:
    path = write("    prompt: A city\n    \n")
    offered = editor.completions(path, JOB_LINE + 1, 4)
    keys = {*shipped.schema("manifest")["properties"]["jobs"]["items"]["properties"]}
    assert keys >= {"from", "size", "seconds", "takes", "tags"}
    assert offered >= keys - {"id", "prompt"}  # which are there
    assert not offered & {"provider", "limits", "jobs"}


@pytest.mark.parametrize(("key", "values"), [("size", SIZES), ("seconds", {"4", "8", "12"})])
def test_the_values_of_a_key_are_offered(editor: Editor, write: Write, key: str, values: set[str]) -> None:
    path = write(f"    prompt: A city\n    {key}: \n")
    assert editor.completions(path, JOB_LINE + 1, 6 + len(key)) >= values


@pytest.mark.parametrize(("key", "value"), [("size", "1280x720"), ("seconds", '"8"'), ("takes", "2")])
def test_a_key_is_explained_where_the_pointer_rests(editor: Editor, write: Write, key: str, value: str) -> None:
    shared = shipped.schema("manifest")["$defs"][key]
    said = shared.get("markdownDescription") or shared["description"]
    path = write(f"    prompt: A city\n    {key}: {value}\n")
    shown = editor.hover(path, JOB_LINE + 1, 6)
    # Markdown may escape what stands between words.
    assert [word for word in said.split() if word.isalpha() and word not in shown] == []
    assert len(shown) > 20

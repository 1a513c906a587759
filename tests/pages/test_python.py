"""``docs/python.md``: its cells run as a notebook, and its functions are what it says they are."""

import ast
import inspect
import io
import re
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from pages.blocks import ROOT

from pipeline.cli import COMMANDS

PAGE = (ROOT / "docs" / "python.md").read_text("utf-8")
CELLS = re.findall(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", PAGE, re.DOTALL)
TABLE = [row for row in re.findall(r"^\| (.*?) \| (.*?) \|$", PAGE, re.MULTILINE) if "." in row[1]]
LOOKED_UP = "without `await`"


async def test_the_cells_print_what_stands_below_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    notebook: dict[str, Any] = {}
    printed = []
    for number, (cell, _) in enumerate(CELLS, 1):
        code = compile(cell, f"cell {number}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        with redirect_stdout(io.StringIO()) as shown:
            waits = eval(code, notebook)  # as a notebook does
            if inspect.iscoroutine(waits):
                await waits
        printed.append(shown.getvalue())
    assert printed == [text for _, text in CELLS]
    assert len(CELLS) > 5
    assert sorted(path.name for path in (tmp_path / "outputs/postcards/videos").glob("*.mp4")) == [
        "Ghent-t1.mp4",
        "Ghent-t2.mp4",
        "Lisbon-t1.mp4",
        "Lisbon-t2.mp4",
    ]


def functions(text: str) -> list[Callable[..., Any]]:
    found = re.findall(r"`([a-z]+)\.([a-z_]+)`", text)
    return [getattr(import_module(f"pipeline.{module}"), name) for module, name in found]


def test_every_command_has_its_functions_and_all_are_typed_documented_and_async() -> None:
    named = {word for commands, _ in TABLE for word in re.findall(r"`([a-z]+)[ `]", commands)}
    assert named == set(COMMANDS)
    for _, cell in TABLE:
        for function in functions(cell):
            asynchronous = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
            assert asynchronous is (LOOKED_UP not in cell), function
            assert function.__doc__, function
            signature = inspect.signature(function)
            assert signature.return_annotation is not inspect.Signature.empty, function
            assert all(one.annotation is not inspect.Parameter.empty for one in signature.parameters.values()), function

"""``validate --fix``: the safe fixes carried out in the files of a manifest.

A file is replaced whole or not at all. Comments and layout stay.
"""

import codecs
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.edits import difference, edited
from pipeline.errors import Problem, StorageError

_ROUNDS = 4
"""A key that gets its name may show that its value lacks its quotes."""


def fix(check: Callable[[], Sequence[Problem]]) -> list[str]:
    """Carry out what can be fixed without a doubt, and return the differences of the files.

    ``check`` reads the files and returns their problems. Raises StorageError where a file cannot be written.
    """
    first: dict[str, str] = {}
    for _ in range(_ROUNDS):
        problems = check()
        old = {file: _text(file) for file in sorted({problem.file for problem in problems if problem.edit})}
        new = {file: edited(file, text, problems) for file, text in old.items()}
        if new == old:
            break
        first = {**old, **first}
        for file, text in new.items():
            _replace(file, text)
    return [shown for file, text in sorted(first.items()) if (shown := difference(file, text, _text(file)))]


def _text(file: str) -> str:
    return Path(file).read_bytes().removeprefix(codecs.BOM_UTF8).decode()


def _replace(file: str, text: str) -> None:
    path = Path(file).resolve()
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        bom = codecs.BOM_UTF8 if path.read_bytes().startswith(codecs.BOM_UTF8) else b""
        with part.open("xb") as written:
            os.fchmod(written.fileno(), path.stat().st_mode & 0o7777)
            written.write(bom + text.encode())
            written.flush()
            os.fsync(written.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise StorageError(f"{file} cannot be written: {error.strerror}") from error

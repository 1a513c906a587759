"""``validate --fix``: the safe fixes carried out in the files of a manifest.

A file is replaced whole or not at all, and stays as it was where an edit does not help. Comments and layout stay.
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

    ``check`` reads the files and returns their problems; one is fixed where it is not said again. Raises StorageError
    where a file cannot be written.
    """
    seen: dict[str, list[str]] = {}
    kept: set[str] = set()
    problems = check()
    for _ in range(_ROUNDS):
        asked = {problem.file for problem in problems if problem.edit} - kept
        old = {file: _text(file) for file in sorted(asked)}
        new = {file: edited(file, text, problems) for file, text in old.items()}
        for file, text in new.items():
            # Back to where it was: two parts of the file want different things of the same letters.
            before = seen.setdefault(file, [old[file]])
            new[file] = before[0] if text in before else text
            before.append(text)
        if new == old:
            break
        for file, text in new.items():
            _replace(file, text)
        left = check()
        for file in {problem.file for problem in problems if problem.edit and problem in left} & new.keys():
            _replace(file, old[file])
            kept.add(file)
        problems = check() if kept & new.keys() else left
    return [shown for file, texts in sorted(seen.items()) if (shown := difference(file, texts[0], _text(file)))]


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

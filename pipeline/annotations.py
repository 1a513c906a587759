"""Problems as other programs show them beside the code: GitHub's workflow commands, and SARIF 2.1.0. Pure.

Messages quote what people and tables wrote. Nothing of that may begin a command of its own, move a cursor in a log,
or make a document that cannot be read.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from pipeline.errors import Problem
from pipeline.rules import Rule

_SARIF = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

# What a log obeys, what ends a line for some reader, what turns the reading direction, halves of surrogate pairs.
_WRITTEN_OUT = re.compile(
    "[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_STRANGE_SURROGATES = re.compile("[\ud800-\udc7f\udd00-\udfff]")  # the others stand for bytes of a file's name


def commands(problems: Iterable[Problem]) -> str:
    """Return a workflow command for each problem, one a line."""
    return "".join(map(_command, problems))


def _command(problem: Problem) -> str:
    properties = {
        "file": problem.file,
        "line": problem.line,
        "col": problem.column,
        "title": f"callsheet: {problem.rule}",
    }
    listed = ",".join(f"{name}={_property(str(value))}" for name, value in properties.items())
    return f"::{problem.severity} {listed}::{_data(_message(problem))}\n"


def _data(text: str) -> str:
    return _shown(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def sarif(problems: Sequence[Problem], rules: Mapping[str, Rule], *, version: str, folder: PurePath) -> dict[str, Any]:
    """Return the log of one run of this version. Files in or below the folder are named from there on."""
    indexes = {code: index for index, code in enumerate(sorted({problem.rule for problem in problems}))}
    driver = {
        "name": "Callsheet",
        "version": version,
        "rules": [_descriptor(code, rules.get(code)) for code in indexes],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(problem, indexes[problem.rule], folder) for problem in problems],
    }
    return {"$schema": _SARIF, "version": "2.1.0", "runs": [run]}


def _descriptor(code: str, rule: Rule | None) -> dict[str, Any]:
    if rule is None:
        return {"id": code, "shortDescription": {"text": code}}
    said = "\n\n".join(chain((rule.summary,), rule.advice))
    return {
        "id": code,
        "shortDescription": {"text": rule.summary},
        "help": {"text": said, "markdown": rule.text},
        "defaultConfiguration": {"level": rule.severity},
    }


def _result(problem: Problem, index: int, folder: PurePath) -> dict[str, Any]:
    place = {
        "artifactLocation": {"uri": _uri(problem.file, folder)},
        "region": {"startLine": problem.line, "startColumn": problem.column},
    }
    return {
        "ruleId": problem.rule,
        "ruleIndex": index,
        "level": problem.severity,
        "message": {"text": _shown(_message(problem))},
        "locations": [{"physicalLocation": place}],
    }


def _uri(file: str, folder: PurePath) -> str:
    """Return a reference relative to the folder, or a whole URI for what lies elsewhere."""
    path = PurePath(os.path.normpath(folder / file))
    inside = path.is_relative_to(folder)
    shown = str(path.relative_to(folder) if inside else path)
    escaped = quote(_STRANGE_SURROGATES.sub("\ufffd", shown).encode("utf-8", "surrogateescape"))
    return escaped if inside else f"file://{escaped}"


def _message(problem: Problem) -> str:
    return f"{problem.message}\nfix: {problem.fix}" if problem.fix else problem.message


def _shown(text: str) -> str:
    """Return the text with everything written out that a reader would obey, but for line breaks."""
    return _WRITTEN_OUT.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)

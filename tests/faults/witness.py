"""A pytest plugin that writes down, as JSON lines, which tests there are, what came of each, and whose code they met.

Given to pytest with ``-p faults.witness``; the file is named by FAULTS_WITNESS.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest


def _say(**words: Any) -> None:
    with Path(os.environ["FAULTS_WITNESS"]).open("a", encoding="utf-8") as file:
        file.write(f"{json.dumps(words)}\n")


def pytest_collection_finish(session: pytest.Session) -> None:
    import pipeline  # noqa: PLC0415  # not before pytest has looked at it

    _say(package=str(Path(pipeline.__file__).parent))
    for item in session.items:
        _say(test=item.nodeid, marks=[mark.name for mark in item.iter_markers()])


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" or report.outcome != "passed":
        _say(test=report.nodeid, when=report.when, outcome=report.outcome)

"""Good and bad manifests as files: to add a case, add a file.

``valid/x.yaml`` has the jobs that come out of it in ``x.json``. ``invalid/x.yaml`` has its problems in ``x.expected``,
one a line: ``line:column rule``, with the file's name before it where that is a table.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from random import Random

import pytest

from pipeline.errors import ManifestError, Problem
from pipeline.files import load
from pipeline.jobs import Spec

HERE = Path(__file__).parent
VALID = sorted((HERE / "valid").glob("*.yaml"))
INVALID = sorted((HERE / "invalid").glob("*.yaml"))


def name_of(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("path", VALID, ids=name_of)
def test_a_valid_manifest_gives_exactly_the_jobs_beside_it(path: Path) -> None:
    specs = load(path, variables={}).specs
    jobs = [asdict(spec) | {"origin": Path(spec.origin).name, "enabled": spec.enabled} for spec in specs]
    jobs = [{key: value for key, value in job.items() if (key, value) != ("enabled", True)} for job in jobs]
    assert json.loads(json.dumps(jobs)) == json.loads(path.with_suffix(".json").read_text("utf-8"))


@pytest.mark.parametrize("path", INVALID, ids=name_of)
def test_every_mistake_is_shown_at_its_token(path: Path) -> None:
    with pytest.raises(ManifestError) as caught:
        load(path, variables={})
    found = []
    for problem in caught.value.problems:
        table = "" if problem.file == str(path) else f"{Path(problem.file).name}:"
        found.append(f"{table}{problem.line}:{problem.column} {problem.rule}")
        assert problem.message
        assert problem.fix
    assert found == path.with_suffix(".expected").read_text("utf-8").splitlines()


PIECES = [
    piece.encode()
    for piece in (
        *"[]{}|#!%\\\"',~\n\r\t\0\u2028\ufeff",
        *("{{", "}}", "*x", "&x ", "<<: ", ": ", "- ", "  ", "---\n", "null", "-1", ".inf", "9" * 400, "a" * 300),
        *("row.", "{{ row_number }}", "{{ id }}", "x-a", "from: animals.txt"),
    )
] + [b"\xff"]


def mutated(data: bytes, random: Random) -> bytes:
    """Return the data with a few pieces put in, cut out, doubled or exchanged."""
    for _ in range(random.randint(1, 4)):
        start = random.randrange(len(data) + 1)
        end = min(len(data), start + random.choice((0, 0, 1, 4, 30)))
        piece = random.choice((*PIECES, data[start : start + random.randint(1, 60)]))
        data = data[:start] + piece + data[end:]
    return data


def outcome(path: Path) -> tuple[Sequence[Problem], list[Spec]]:
    try:
        return (), load(path, variables={}).specs
    except ManifestError as error:
        return error.problems, []


def test_whatever_is_written_is_read_or_is_a_manifest_error(tmp_path: Path) -> None:
    random = Random(20260101)
    outcomes: set[bool] = set()
    files = [path for path in sorted((HERE / "valid").iterdir()) if path.suffix != ".json"]
    for path in files:
        shutil.copy(path, tmp_path)
    for _ in range(400):
        path = random.choice(files)
        target = tmp_path / path.name
        target.write_bytes(mutated(path.read_bytes(), random))
        users = [path] if path.suffix == ".yaml" else [user for user in VALID if path.name in user.read_text("utf-8")]
        for user in users:
            problems, specs = outcome(tmp_path / user.name)
            assert all(problem.line > 0 and problem.column > 0 and problem.fix for problem in problems)
            assert all(spec.request_hash for spec in specs)
            assert bool(problems) != bool(specs)
            outcomes.add(bool(specs))
        shutil.copy(path, target)
    assert outcomes == {True, False}

"""Good and bad manifests as files: to add a case, add a file.

``valid/x.yaml`` has the jobs that come out of it in ``x.json``. ``invalid/x.yaml`` has its problems in ``x.expected``,
one a line: ``line:column rule``, with the file's name before it where that is a table.
"""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from pipeline.errors import ManifestError
from pipeline.files import load

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

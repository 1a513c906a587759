"""Twice as much in a manifest is twice as much work, whatever there is more of.

Work is counted in calls of functions, of Python's and of C's, so that no clock decides. What C does inside of one call
is not seen.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.errors import ManifestError
from pipeline.files import load

HEAD = "version: 1\nname: large\nprovider: simulator\n"
ONE = f"{HEAD}jobs: [{{ id: a, prompt: x }}]\n"

MOST = 2.6
SIZE = 400

Build = Callable[[Path, int], str]


def jobs(_: Path, n: int) -> str:
    return f"{HEAD}jobs:\n" + "".join(f"  - {{ id: j{i}, prompt: shot {i} }}\n" for i in range(n))


def variables(_: Path, n: int) -> str:
    texts = "".join(f"  v{i}: text {i}\n" for i in range(n))
    return f"{HEAD}vars:\n{texts}jobs: [{{ id: a, prompt: '{' '.join(f'{{{{ v{i} }}}}' for i in range(n))}' }}]\n"


def rows(folder: Path, n: int) -> str:
    (folder / "t.csv").write_text("key,prompt\n" + "".join(f"k{i},shot {i}\n" for i in range(n)))
    return f'{HEAD}jobs: [{{ id: "{{{{ row.key }}}}", from: t.csv }}]\n'


def json_rows(folder: Path, n: int) -> str:
    (folder / "t.jsonl").write_text("".join(f'{{"key": "k{i}", "prompt": "shot {i}"}}\n' for i in range(n)))
    return f'{HEAD}jobs: [{{ id: "{{{{ row.key }}}}", from: t.jsonl }}]\n'


def columns(folder: Path, n: int) -> str:
    names = [f"c{i}" for i in range(n)]
    (folder / "t.csv").write_text(f"{','.join(names)}\n{','.join(names)}\n")
    prompt = " ".join(f"{{{{ row.{name} }}}}" for name in names)
    return f"{HEAD}jobs: [{{ id: a, from: t.csv, prompt: '{prompt}' }}]\n"


def tags(_: Path, n: int) -> str:
    return ONE.replace("prompt: x", f"prompt: x, tags: {json.dumps([f't{i}' for i in range(n)])}")


def cells(_: Path, n: int) -> str:
    axis = json.dumps([f"v{i}" for i in range(n)])
    return ONE.replace("prompt: x", f"prompt: 'x {{{{ a }}}} {{{{ b }}}}', matrix: {{ a: {axis}, b: [p, q] }}")


def excludes(_: Path, n: int) -> str:
    axis = json.dumps([f"v{i}" for i in range(n)])
    entries = json.dumps([{"a": f"v{i}"} for i in range(n - 1)])
    return ONE.replace("prompt: x", f"prompt: 'x {{{{ a }}}}', matrix: {{ a: {axis}, exclude: {entries} }}")


def includes(folder: Path, n: int) -> str:
    for i in range(n):
        (folder / f"f{i}.yaml").write_text(f"version: 1\njobs: [{{ id: j{i}, prompt: shot {i} }}]\n")
    return f"{HEAD}include: ['f*.yaml']\n"


def anchors(_: Path, n: int) -> str:
    holders = "".join(f"x-{i}: &a{i} {{ metadata: {{ number: {i} }} }}\n" for i in range(n))
    return f"{HEAD}{holders}jobs:\n" + "".join(f"  - {{ <<: *a{i}, id: j{i}, prompt: shot {i} }}\n" for i in range(n))


def one_anchor(_: Path, n: int) -> str:
    entries = "".join(f"  - {{ <<: *a, id: j{i}, prompt: shot {i} }}\n" for i in range(n))
    return f"{HEAD}x-a: &a {{ metadata: {{ number: 1 }} }}\njobs:\n{entries}"


def keys(_: Path, n: int) -> str:
    return ONE.replace("prompt: x", f"prompt: x, metadata: {json.dumps({f'k{i}': i for i in range(n)})}")


def wrong_values(_: Path, n: int) -> str:
    return f"{HEAD}jobs:\n" + "".join(f"  - {{ id: j{i}, prompt: shot {i}, size: {i}x1 }}\n" for i in range(n))


def unknown_keys(_: Path, n: int) -> str:
    return f"{HEAD}jobs:\n" + "".join(f"  - {{ id: j{i}, prompt: shot {i}, fps{i}: 1 }}\n" for i in range(n))


def unknown_keys_of_one_mapping(_: Path, n: int) -> str:
    return ONE.replace("prompt: x", "prompt: x, " + ", ".join(f"zz{i}: 1" for i in range(n)))


def undefined_names(_: Path, n: int) -> str:
    """One in each text: of one text up to a thousand are looked for from its start, see ``pipeline.drafts``."""
    return ONE.replace("prompt: x", f"prompt: x, tags: {json.dumps([f'{{{{ v{i} }}}}' for i in range(n)])}")


def duplicate_keys(_: Path, n: int) -> str:
    return ONE + "".join(f"x-{i}: 1\n" for i in range(n)) + "".join(f"x-{i}: 1\n" for i in range(n))


def duplicate_ids(_: Path, n: int) -> str:
    return f"{HEAD}jobs:\n" + "".join(f"  - {{ id: same, prompt: shot {i} }}\n" for i in range(n))


def ragged_rows(folder: Path, n: int) -> str:
    (folder / "t.csv").write_text("key,prompt\n" + "x\n" * n)
    return f'{HEAD}jobs: [{{ id: "{{{{ row.key }}}}", from: t.csv }}]\n'


def wrong_cells(folder: Path, n: int) -> str:
    (folder / "t.csv").write_text("key,prompt,seconds\n" + "".join(f"k{i},shot {i},{i}s\n" for i in range(n)))
    return f'{HEAD}jobs: [{{ id: "{{{{ row.key }}}}", from: t.csv, columns: {{ seconds: seconds }} }}]\n'


BUILDS: list[Build] = [
    *(jobs, variables, rows, json_rows, columns, tags, cells, excludes, includes, anchors, one_anchor, keys),
    *(wrong_values, unknown_keys, unknown_keys_of_one_mapping, undefined_names, duplicate_keys, duplicate_ids),
    *(ragged_rows, wrong_cells),
]


def work(path: Path) -> int:
    """Return how many functions are called to check a manifest."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        load(path, variables={})
    except ManifestError:
        pass
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize("build", BUILDS, ids=lambda build: build.__name__)
def test_twice_as_much_is_twice_the_work(build: Build, tmp_path: Path) -> None:
    found = []
    for size in (1, SIZE, 2 * SIZE):
        folder = tmp_path / str(size)
        folder.mkdir()
        (folder / "m.yaml").write_text(build(folder, size))
        found.append(work(folder / "m.yaml"))
    nothing, once, twice = found
    assert once - nothing > SIZE / 4
    assert (twice - nothing) / (once - nothing) < MOST

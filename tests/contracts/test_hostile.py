"""Files that want to hang, crash or betray: `callsheet validate` in a process of its own, with little memory.

Whatever the file, the process ends by itself with an ordinary diagnostic, and nothing that lies outside the manifest's
folder is in its output. What one module does with hostile text is in ``tests/pure/test_source.py``.
"""

import json
import os
import re
import socket
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from random import Random

import pytest
from warm import Warm

HEAD = "version: 1\nname: hostile\nprovider: simulator\n"
JOBS = f"{HEAD}jobs:\n"
SECRET = "sk-CANARY-4711-do-not-show"
MEMORY = 2 << 30
GUARD = 120
"""Seconds after which a process hangs."""

Said = Callable[..., str]


@pytest.fixture
def validated(warm: Warm) -> Said:
    def validate(folder: Path, name: str = "m.yaml") -> str:
        """Check a manifest that has a mistake; return what was said."""
        secrets = {"OPENAI_API_KEY": SECRET, "ZNAPAI_API_KEY": SECRET, "SECRET": SECRET}
        found = warm.call(
            ["validate", name], folder=folder, environment=os.environ | secrets, memory=MEMORY, timeout=GUARD
        )
        assert "Traceback" not in found.stderr + found.stdout
        assert found.returncode == 2, found.stderr[-2000:]
        assert SECRET not in found.stdout + found.stderr
        return found.stdout

    return validate


def rules(said: str) -> set[str]:
    return set(re.findall(r"^\S+:\d+:\d+: (?:error|warning)\[([a-z-]+)\]", said, re.MULTILINE))


def job(more: str) -> str:
    return f"{JOBS}  - {{ id: a, prompt: x, {more} }}\n"


def rows(name: str) -> str:
    return f'{JOBS}  - {{ id: "a-{{{{ row_number }}}}", from: {json.dumps(name)} }}\n'


def bomb(levels: int, line: Callable[[int], str]) -> str:
    return "x-0: &a0 {k: 1}\n" + "".join(f"x-{n}: &a{n} {line(n)}\n" for n in range(1, levels))


TEXTS: dict[str, tuple[Callable[[], str | bytes], str, str]] = {
    "100,000 brackets": (lambda: f"x: {'[' * 100_000}", "too-deep", "nested"),
    "100,000 dashes": (lambda: f"x:\n {'- ' * 100_000}", "too-deep", "64 levels"),
    "100,000 mappings in flow": (lambda: f"x: {'{a: ' * 100_000}", "too-deep", "64 levels"),
    "7,000 block mappings": (lambda: "".join(f"{' ' * depth}a:\n" for depth in range(7_000)), "too-deep", "64 levels"),
    "alias bomb": (
        lambda: bomb(30, lambda n: f"[{', '.join([f'*a{n - 1}'] * 10)}]") + JOBS,
        "too-many-nodes",
        "1,000,000 values",
    ),
    "merge bomb": (
        lambda: bomb(40, lambda n: f"{{k{n}: 1, <<: [*a{n - 1}, *a{n - 1}, *a{n - 1}]}}") + JOBS,
        "too-many-nodes",
        "1,000,000 values",
    ),
    "5,000,010 values": (lambda: f"x: [{'1,' * 5_000_010}]", "too-many-nodes", "5,000,000 values"),
    "UTF-16": (lambda: HEAD.encode("utf-16"), "encoding", "UTF-16"),
    "NUL": (lambda: job('tags: ["\0"]'), "character", "U+0000"),
    "half a surrogate": (lambda: job("tags: [x]").encode().replace(b"[x]", b"[\xed\xa0\x80]"), "encoding", "UTF-8"),
    "an escaped half of a surrogate": (lambda: job('tags: ["\\ud800"]'), "syntax", ""),
    "50,000 open placeholders": (lambda: f"{JOBS}  - {{ id: a, prompt: '{'{{' * 50_000}' }}", "placeholder", "without"),
    "50,000 placeholders of nothing": (
        lambda: f"{JOBS}  - {{ id: a, prompt: '{'{{ x }}' * 50_000}' }}",
        "undefined-name",
        "nothing is called x",
    ),
    "100 to the power of 30 combinations": (
        lambda: job(f"matrix: {{ {', '.join(f'a{n}: {list(map(str, range(100)))}' for n in range(30))} }}"),
        "too-many-jobs",
        "100,000 combinations",
    ),
    "a million takes of a million rows": (
        lambda: job(f"takes: 1000, matrix: {{ a: [{', '.join(f'v{n}' for n in range(1_001))}] }}"),
        "too-many-jobs",
        "1,000,000 videos",
    ),
    "a 1 MB key": (lambda: f"{HEAD}? {'k' * 1_000_000}\n: x\njobs: []\n", "unknown-key", "..."),
    "a 1 MB name": (
        lambda: f"version: 1\nname: '{'n' * 1_000_000}'\nprovider: simulator\njobs: []\n",
        "out-of-bounds",
        "100",
    ),
    "a pattern of include that backtracks": (lambda: f"{HEAD}include: ['{'*a' * 60}b/**/**/**/*']\n", "include", ""),
}


@pytest.mark.parametrize(("text", "rule", "words"), TEXTS.values(), ids=TEXTS)
def test_a_hostile_manifest_gets_an_ordinary_diagnostic(
    text: Callable[[], str | bytes], rule: str, words: str, validated: Said, tmp_path: Path
) -> None:
    data = text()
    (tmp_path / "m.yaml").write_bytes(data if isinstance(data, bytes) else data.encode())
    said = validated(tmp_path)
    assert rule in rules(said)
    assert words in said
    assert len(said) < 1_000_000


@pytest.mark.parametrize("size", [100 << 20, 10 << 30])
def test_a_file_beyond_its_bound_is_not_read(size: int, validated: Said, tmp_path: Path) -> None:
    for name in ("m.yaml", "big.yaml", "big.png"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(size)
    said = validated(tmp_path)
    assert rules(said) == {"file"}
    assert "64 MiB" in said
    (tmp_path / "m.yaml").write_text(f"{job('input_reference: big.png')}include: [big.yaml]\n")
    said = validated(tmp_path)
    assert rules(said) == {"image", "include"}
    assert "64 MiB" in said
    assert "20 MiB" in said


def test_a_table_of_10_gb_is_not_read(validated: Said, tmp_path: Path) -> None:
    with (tmp_path / "t.csv").open("wb") as file:
        file.truncate(10 << 30)
    (tmp_path / "m.yaml").write_text(rows("t.csv"))
    said = validated(tmp_path)
    assert rules(said) == {"from"}
    assert "4,096 MiB" in said


@pytest.mark.parametrize("how", ["include: [%s]", "input_reference", "from"])
@pytest.mark.parametrize("what", ["pipe", "folder", "device", "socket", "link to a device"])
def test_what_is_no_file_is_not_waited_for(how: str, what: str, validated: Said, tmp_path: Path) -> None:
    name = "t.csv"
    match what:
        case "pipe":
            os.mkfifo(tmp_path / name)
        case "folder":
            (tmp_path / name).mkdir()
        case "device":
            name = "/dev/zero"
        case "link to a device":
            (tmp_path / name).symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as server:
        if what == "socket":
            server.bind(os.path.relpath(tmp_path / name))
        (tmp_path / "m.yaml").write_text(naming(how, name))
        assert len(rules(validated(tmp_path)) & {"include", "image", "from"}) == 1


def naming(how: str, name: str) -> str:
    """Return a manifest that names a file: as an included one, a table or an image."""
    if how == "from":
        return rows(name)
    return job(f"input_reference: {json.dumps(name)}") if how == "input_reference" else job("") + how % json.dumps(name)


@pytest.mark.parametrize("name", ["pipe.yaml", "folder.yaml", "/dev/zero", "/proc/self/mem", "link.yaml", "no.yaml"])
def test_what_is_no_file_is_no_manifest(name: str, validated: Said, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "link.yaml").symlink_to("/dev/zero")
    assert rules(validated(tmp_path, name)) == {"file"}


OUTSIDE = ("../secret.csv", "{outside}/secret.csv", "link.csv", "links/secret.csv", "sub/../../secret.csv")
OF_THE_PROCESS = (
    "/proc/self/environ",
    "environ.csv",
    "/proc/self/root/{outside}/secret.csv",
    "file://{outside}/secret.csv",
)


@pytest.mark.parametrize("how", ["include: [%s]", "input_reference", "from"])
@pytest.mark.parametrize("name", OUTSIDE + OF_THE_PROCESS)
def test_no_secret_outside_the_folder_is_shown(how: str, name: str, validated: Said, tmp_path: Path) -> None:
    folder = tmp_path / "campaign"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "secret.csv").write_text(f"{SECRET}: [{SECRET}\n")
    (folder / "link.csv").symlink_to(tmp_path / "secret.csv")
    (folder / "links").symlink_to(tmp_path)
    (folder / "environ.csv").symlink_to("/proc/self/environ")
    (folder / "m.yaml").write_text(naming(how, name.format(outside=tmp_path)))
    assert len(rules(validated(folder)) & {"include", "image", "from"}) == 1


def test_no_secret_is_shown_by_a_pattern_over_links(validated: Said, tmp_path: Path) -> None:
    test_no_secret_outside_the_folder_is_shown("include: [%s]", "link*.csv", validated, tmp_path / "one")
    test_no_secret_outside_the_folder_is_shown("include: [%s]", "**/*secret*", validated, tmp_path / "two")


def chained(folder: Path, files: int) -> None:
    for number in range(files):
        (folder / f"f{number}.yaml").write_text(f"version: 1\ninclude: [f{number + 1}.yaml]\n")
    (folder / f"f{files}.yaml").write_text("version: 1\njobs: [{ id: last, prompt: x }]\n")
    (folder / "m.yaml").write_text(f"{HEAD}include: [f0.yaml]\n")


def test_includes_are_bounded_in_depth(validated: Said, tmp_path: Path) -> None:
    chained(tmp_path, 20)
    said = validated(tmp_path)
    assert "include" in rules(said)
    assert "more than 16 files in one another" in said


@pytest.mark.parametrize("pattern", ["many/*.yaml", "**/*.yaml", "m*/*"])
def test_includes_are_bounded_in_number(pattern: str, validated: Said, tmp_path: Path) -> None:
    (tmp_path / "many").mkdir()
    for number in range(2_000):
        (tmp_path / "many" / f"f{number}.yaml").write_text("version: 1\n")
    (tmp_path / "m.yaml").write_text(f"{HEAD}include: ['{pattern}']\njobs: [{{ id: a, prompt: x }}]\n")
    said = validated(tmp_path)
    assert "include" in rules(said)
    assert "more than 1,000 files" in said


def test_files_that_include_one_another_end(validated: Said, tmp_path: Path) -> None:
    for number in range(12):
        others = [f"f{other}.yaml" for other in range(12)]
        (tmp_path / f"f{number}.yaml").write_text(f"version: 1\ninclude: {json.dumps(others)}\n")
    (tmp_path / "m.yaml").write_text(f"{HEAD}include: ['*.yaml']\n")
    said = validated(tmp_path)
    assert "include-cycle" in rules(said)
    assert len(said) < 1_000_000


def test_excludes_and_includes_of_a_large_matrix_are_worked_out_or_refused(validated: Said, tmp_path: Path) -> None:
    axes = {f"a{axis}": [f"v{value}" for value in range(3)] for axis in range(10)}
    random = Random(1)
    names = [random.sample(sorted(axes), random.randint(1, 9)) for _ in range(1_000)]
    entries = [{name: random.choice(axes[name]) for name in some} for some in names]
    for more in ({"exclude": entries}, {"include": entries}, {"exclude": entries, "include": entries}):
        matrix = json.dumps({**axes, **more})
        (tmp_path / "m.yaml").write_text(job(f"matrix: {matrix}"))
        said = validated(tmp_path)
        assert "too-many-jobs" in rules(said)


def test_a_line_of_64_mb_in_a_table(validated: Said, tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(rows("t.csv"))
    for text in (f"prompt\n{'x' * (64 << 20)}", "x," * (32 << 20)):
        (tmp_path / "t.csv").write_text(text)
        said = validated(tmp_path)
        assert rules(said) == {"too-large"}
        assert "16 MiB" in said
        assert len(said) < 100_000


def test_100_000_ragged_rows_are_said_boundedly(validated: Said, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("prompt,mood\n" + "x\n" * 100_000)
    (tmp_path / "m.yaml").write_text(rows("t.csv"))
    said = validated(tmp_path)
    assert "ragged-row" in rules(said)
    assert said.count("ragged-row") <= 10_000


def test_100_000_brackets_in_a_row(validated: Said, tmp_path: Path) -> None:
    for text in ('{"prompt": ' + "[" * 100_000, '{"prompt": ' * 100_000, '{"prompt": ' + "9" * 100_000 + "}"):
        (tmp_path / "t.jsonl").write_text(f'{{"prompt": "x"}}\n{text}\n')
        (tmp_path / "m.yaml").write_text(rows("t.jsonl"))
        said = validated(tmp_path)
        assert rules(said) & {"table-syntax", "out-of-bounds"}
        assert "t.jsonl:2:" in said
        assert len(said) < 10_000


@pytest.mark.skipif(find_spec("pyarrow") is None, reason="pyarrow is not installed")
def test_a_parquet_file_that_is_damaged_is_said_to_be(validated: Said, tmp_path: Path) -> None:
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow.parquet import write_table  # noqa: PLC0415

    write_table(pa.table({"prompt": [f"shot {number}" for number in range(1_000)]}), tmp_path / "good.parquet")
    whole = (tmp_path / "good.parquet").read_bytes()
    random = Random(1)
    damaged = [random.randbytes(10_000), b"", b"PAR1", b"PAR1" + random.randbytes(5_000) + b"PAR1", whole[:-1]]
    damaged += [whole[: len(whole) // 2], whole[:-4] + b"\xff\xff\xff\x7fPAR1", b"PAR1" + b"\xff" * 8 + b"PAR1"]
    (tmp_path / "m.yaml").write_text(rows("t.parquet"))
    for data in damaged:
        (tmp_path / "t.parquet").write_bytes(data)
        said = validated(tmp_path)
        assert rules(said) == {"table-syntax"}
        assert len(said) < 2_000


LARGE = {
    "a variable in every job": lambda: (
        f"{HEAD}vars: {{ v: {'x' * 1_000_000} }}\njobs:\n"
        + "".join(f'  - {{ id: j{number}, prompt: "{{{{ v }}}}" }}\n' for number in range(5_000)),
        "512 MiB",
    ),
    "a variable many times in a text": lambda: (
        f'{HEAD}vars: {{ v: {"x" * 10_000_000} }}\njobs: [{{ id: a, prompt: "{"{{ v }}" * 2_000}" }}]\n',
        "16 MiB",
    ),
    "metadata in every job": lambda: (
        f"{HEAD}defaults: {{ metadata: {{ {', '.join(f'k{key}: 1' for key in range(20_000))} }} }}\njobs:\n"
        + "".join(f"  - {{ id: j{number}, prompt: x{number}, metadata: {{ n: 1 }} }}\n" for number in range(400)),
        "512 MiB",
    ),
    "a cell of a matrix in every job": lambda: (
        f"{JOBS}  - id: a\n    prompt: '{'{{ a }}' * 10}'\n    matrix:\n      a: [{'x' * 1_000_000}]\n      b: "
        + json.dumps([f"b{number}" for number in range(1_000)]),
        "512 MiB",
    ),
}


@pytest.mark.parametrize("what", LARGE)
def test_texts_that_grow_are_bounded(what: str, validated: Said, tmp_path: Path) -> None:
    text, bound = LARGE[what]()
    (tmp_path / "m.yaml").write_text(text)
    said = validated(tmp_path)
    assert "too-large" in rules(said)
    assert bound in said
    assert len(said) < 100_000_000


def test_a_row_that_is_put_into_a_text_many_times_is_bounded(validated: Said, tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text(json.dumps({"a": "x" * 1_000_000}) + "\n")
    prompt = "{{ row.a }}" * 2_000
    (tmp_path / "m.yaml").write_text(f'{JOBS}  - {{ id: "{{{{ row_number }}}}", from: t.jsonl, prompt: "{prompt}" }}\n')
    said = validated(tmp_path)
    assert rules(said) == {"too-large"}
    assert "16 MiB" in said


def test_a_data_url_that_all_jobs_share_is_looked_at_once(validated: Said, tmp_path: Path) -> None:
    url = f"data:image/png;base64,{'A' * 20_000_000}"
    jobs = "".join(f"  - {{ id: j{number}, prompt: x{number} }}\n" for number in range(2_000))
    (tmp_path / "m.yaml").write_text(f"{HEAD}defaults: {{ input_reference: '{url}' }}\njobs:\n{jobs}")
    said = validated(tmp_path)
    assert rules(said) == {"image"}
    assert "(in 2,000 jobs)" in said


def test_10_000_different_mistakes_and_more_are_said_boundedly(validated: Said, tmp_path: Path) -> None:
    count = 10_500
    jobs = "".join(f"  - {{ id: j{number}, prompt: x{number}, fps{number}: 1 }}\n" for number in range(count))
    (tmp_path / "m.yaml").write_text(JOBS + jobs)
    said = validated(tmp_path)
    assert rules(said) == {"unknown-key"}
    assert min(count, 10_000) <= said.count("error[") <= 20_000


@pytest.mark.parametrize("count", [5_000, 10_500])
def test_a_mistake_that_an_anchor_brings_into_thousands_of_jobs_is_said_once(
    count: int, validated: Said, tmp_path: Path
) -> None:
    jobs = "".join(f"  - {{ <<: *a, id: j{number} }}\n" for number in range(count))
    (tmp_path / "m.yaml").write_text(f"{HEAD}x-a: &a {{ size: 1x1, prompt: x }}\njobs:\n{jobs}")
    said = validated(tmp_path)
    assert said.count("error[") == 1
    assert f"(in {count:,} jobs)" in said

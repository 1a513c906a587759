"""The commands on the pages work: each block is run as a reader would, see ``blocks.py``."""

import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml
from gateway import Bill, call, simulator
from pages.blocks import PAGES, ROOT, Block, File, Unclear, fits, parts
from pages.shell import KEY, Shell

from pipeline import shipped
from pipeline.simulator import dialects

#: Blocks that nobody runs here, by page and first line. The reason stands above the block.
NOT_RUN = [
    ("litellm.md", "python tests/litellm/check.py"),
    ("operations.md", "docker build -t callsheet ."),
    ("performance.md", "python3 benchmarks/run.py"),
    ("reliability.md", "python tests/faults/check.py"),
    ("report.md", "python tests/browser/measure.py 1000"),
    ("running.md", "callsheet status spring.yaml --watch"),
    ("simulator.md", "callsheet simulate --port 8000 --videos stock --state bill.db"),
    ("tutorial.md", "python3 -m venv --without-pip .venv"),
]

#: Blocks that spend money or ask a real server at the reader's, and are run against the simulator here.
NEED_A_KEY = [
    ("README.md", "sed 's/provider: simulator/provider: znapai/' manifests/quickstart.yaml > quickstart.yaml"),
    ("README.md", "callsheet profiles"),
    ("doctor.md", "callsheet doctor litellm"),
    ("examples.md", "sed 's/provider: simulator/provider: znapai/' manifests/campaign.yaml > manifests/real.yaml"),
    ("faq.md", "sed 's/provider: simulator/provider: znapai/' spring.yaml > real.yaml"),
    ("tutorial.md", "sed -i 's/provider: simulator/provider: znapai/' dataset.yaml"),
]

#: What makes waiting short: how often a server is asked, and how many requests it is sent.
QUICK = {
    "poll": {"first": 0.1, "interval": 0.1, "slowest": 0.1},
    "limits": {"requests_per_minute": 6000, "max_in_flight": 100, "polls_per_second": 100, "downloads": 4},
}
SLOW = QUICK | {"poll": {"first": 60, "interval": 60, "slowest": 60}}


def blocks(page: Path) -> list[Block]:
    return [part for part in parts(page.read_text("utf-8")) if isinstance(part, Block)]


def named(marker: str) -> list[tuple[str, str]]:
    return [(page.name, block.first) for page in PAGES for block in blocks(page) if marker in block.markers]


def test_what_is_not_run_and_what_needs_a_key_is_listed() -> None:
    assert named("not run") == NOT_RUN
    assert all(block.markers["not run"] for page in PAGES for block in blocks(page) if "not run" in block.markers)
    assert named("needs") == NEED_A_KEY
    assert [page for page, _ in named("command")] == ["README.md", "README.md"]  # `.ci/run` runs them


@pytest.fixture
def shell(tmp_path: Path, page: Path) -> Iterator[Shell]:
    """A folder with the manifests, and servers in the places of those that the page's commands ask."""
    folder, variable = tmp_path / "here", "CALLSHEET_{}_BASE_URL"
    shutil.copytree(ROOT / "manifests", folder / "manifests")
    names = {name: name.upper().replace("-", "_") for name in shipped.profile_names()}
    servers = {variable.format(name): "http://127.0.0.1:1/v1" for name in names.values()}  # nobody is there
    asked = " ".join(["simulator", *(block.text for block in blocks(page) if "needs" in block.markers)])
    with ExitStack() as stack:
        for name in (name for name in names if name in asked):
            profile = yaml.safe_load((ROOT / "pipeline" / "profiles" / f"{name}.yaml").read_text("utf-8"))
            for settings, waits in (("quick", QUICK), ("slow", SLOW)):
                own = tmp_path / settings / "callsheet" / "profiles" / f"{name}.yaml"
                own.parent.mkdir(parents=True, exist_ok=True)
                own.write_text(yaml.safe_dump(profile | waits))
            dialect = name if name in dialects.names() else None
            address = stack.enter_context(simulator(tmp_path / f"{name}.db", dialect=dialect))
            servers |= {variable.format(names[name]): address, **dict.fromkeys(profile["auth"].get("env", [])[:1], KEY)}
        (folder / "bill.db").symlink_to(tmp_path / "simulator.db")  # as a page that starts the simulator calls it
        quick, slow = ({"XDG_CONFIG_HOME": str(tmp_path / settings)} for settings in ("quick", "slow"))
        yield Shell(folder, servers | quick, slow)


def is_run(part: Block) -> bool:
    return not {"not run", "command"} & part.markers.keys()


def walk(shell: Shell, page: str) -> None:
    """Do what a page says, from its top to its end."""
    for part in parts(page):
        if isinstance(part, File):
            (shell.folder / part.name).parent.mkdir(parents=True, exist_ok=True)
            (shell.folder / part.name).write_text(part.text)
        elif is_run(part):
            said = shell.run(part)
            assert part.shown is None or fits(said, part.shown), f"line {part.line} prints\n{said}"


@pytest.mark.parametrize("page", [page for page in PAGES if any(map(is_run, blocks(page)))], ids=lambda page: page.name)
def test_every_command_of_a_page_works(page: Path, shell: Shell) -> None:
    walk(shell, page.read_text("utf-8"))
    bills = [Bill(path) for path in shell.folder.parent.glob("*.db")]
    videos = {path.stat().st_ino for path in shell.folder.rglob("*.mp4")}  # an export has links to them
    assert sum(map(len, bills)) == len(videos)  # killed or not: each video is paid once


def test_what_the_page_of_examples_shows_is_in_the_manifests() -> None:
    page = (ROOT / "docs" / "examples.md").read_text("utf-8")
    shown = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert shown
    assert all(text in (ROOT / "manifests" / "dataset.yaml").read_text("utf-8") for text in shown)


@pytest.mark.parametrize("path", sorted((ROOT / "manifests").glob("*.yaml")), ids=lambda path: path.name)
def test_an_example_manifest_has_no_warning_and_is_on_a_page(path: Path) -> None:
    checked = call(ROOT, "validate", str(path.relative_to(ROOT)))
    assert checked.stdout.endswith(" no errors\n")
    assert checked.stdout.count("\n") == 1
    assert path.name == "starter.yaml" or any(f"manifests/{path.name}" in page.read_text("utf-8") for page in PAGES)


@pytest.fixture
def alone(tmp_path: Path) -> Shell:
    """A shell without servers."""
    return Shell(tmp_path, {})


PAGE = """
<!-- file: wrong.yaml -->

```yaml
version: 1
name: wrong
provider: simulator
jobs: [{ id: a, prompt: A fox, seconds: 4 }]
```

Words.

<!-- exit: 2 -->

```sh
X=1 callsheet validate wrong.yaml > 'found it.txt'   # a comment
callsheet validate \\
  *.yaml # one
```

```text
wrong.yaml:4:41: error[wrong-type]: …
…
1 error, 0 warnings
```
"""


def test_a_page_that_is_true(alone: Shell) -> None:
    with pytest.raises(AssertionError, match="ended with 2"):  # of two commands the last one ends so
        walk(alone, PAGE)
    walk(alone, PAGE.replace("X=1 callsheet validate wrong.yaml", "callsheet explain wrong-type"))
    assert "seconds" in (alone.folder / "found it.txt").read_text()


@pytest.mark.parametrize(
    ("true", "untrue", "complaint"),
    [
        ("exit: 2", "exit: 1", "ended with 2"),
        ("exit: 2", "exits: 2", "nobody knows what exits means"),
        ("error[wrong-type]", "error[wrong-kind]", "line 15 prints"),
        ("1 error, 0", "2 errors, 0", "line 15 prints"),
        ("yaml\nversion", "yaml\n", "line 15 prints"),
        ("Words.", "<!-- needs: key -->\n\nWords.", "nothing follows"),
        ("X=1 callsheet", "frobnicate", "frobnicate is no command"),
        ("X=1 callsheet", "cat wrong.yaml | callsheet", "needs a real shell"),
        ("X=1 callsheet", "callsheet run $MANIFEST", "needs a real shell"),
        ("```sh", "```console", "blocks called sh"),
        ("*.yaml # one\n```", "*.yaml # one\n```\n\n```sh\n# nothing\n```", "no command"),
    ],
)
def test_what_is_untrue_or_unclear_is_found(alone: Shell, true: str, untrue: str, complaint: str) -> None:
    page = PAGE.replace("X=1 callsheet validate wrong.yaml", "X=1 callsheet explain wrong-type")
    assert true in page
    with pytest.raises((AssertionError, Unclear), match=re.escape(complaint)):
        walk(alone, page.replace(true, untrue))

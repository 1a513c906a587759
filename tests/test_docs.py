"""What the pages say is so: their examples run, their tables and pictures are those of the code."""

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from pipeline import files
from pipeline.cli import cli
from pipeline.events import diagram
from pipeline.jobs import State

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def spring(tmp_path: Path) -> Path:
    """The README's manifest, in a folder with the table that it names."""
    (tmp_path / "spring.yaml").write_text(block("yaml"))
    (tmp_path / "captions.csv").write_text("caption\nA fox\nA crow\n")
    return tmp_path / "spring.yaml"


def test_the_readmes_manifest_is_right(spring: Path) -> None:
    loaded = files.load(spring, variables={})
    assert [spec.name for spec in loaded.specs] == ["city#1", "city#2", "city#3", "cap-1#1", "cap-2#1"]
    assert loaded.specs[0].request["prompt"].endswith("cinematic, volumetric light")


def test_the_readmes_mistakes_look_as_it_says(spring: Path) -> None:
    spring.write_text(spring.read_text().replace("takes: 3  ", "repeat: 3 ").replace('seconds: "8"', "seconds: 8"))
    shown = subprocess.run(
        [sys.executable, "-m", "pipeline", "validate", "spring.yaml"], cwd=spring.parent, capture_output=True, text=True
    )
    assert shown.returncode == 2
    assert shown.stdout == block("text")


def test_the_picture_of_the_states_is_the_table() -> None:
    assert f"```mermaid\n{diagram()}```" in (ROOT / "docs" / "design.md").read_text("utf-8")


def test_every_state_is_explained() -> None:
    rows = re.findall(r"^\| (\w+) \|", (ROOT / "docs" / "operations.md").read_text("utf-8"), re.MULTILINE)
    assert [row for row in rows if row in set(State)] == list(State)


def test_every_command_and_option_that_a_page_names_exists() -> None:
    assert isinstance(cli, click.Group)
    options = {name for command in cli.commands.values() for option in command.params for name in option.opts}
    foreign = {"--without-pip", "--python", "--help", "--version"}
    for page in PAGES:
        text = re.sub(r"python tests/[^`\n]+", "", page.read_text("utf-8"))  # these have options of their own
        assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) <= options | foreign, page.name
        assert set(re.findall(r"callsheet ([a-z]+)\b(?= |`|$)", text)) <= set(cli.commands) | {"outputs"}, page.name


def test_every_proof_that_a_page_names_exists() -> None:
    for page in PAGES:
        for path in re.findall(r"(?:python|pytest) (tests/[\w/.]+)", page.read_text("utf-8")):
            assert (ROOT / path).exists(), f"{page.name}: {path}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text("utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target

"""What the pages say is so: their examples run, their tables and pictures are those of the code."""

import json
import re
import runpy
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest
from gateway import call

from pipeline import files, providers, shipped
from pipeline.actions import ACTIONS
from pipeline.cli import COMMANDS, cli
from pipeline.events import diagram
from pipeline.jobs import FailureKind, State
from pipeline.profile import Profile
from pipeline.videos import _WORDS, Status

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
    city = [f"city@{time}#{take}" for time in ("dawn", "night") for take in (1, 2, 3)]
    assert [spec.name for spec in loaded.specs] == [*city, "cap-1#1", "cap-2#1"]
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


def test_the_page_of_errors_is_the_table_of_actions() -> None:
    page = (ROOT / "docs" / "errors.md").read_text("utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| `")]
    meanings, actions = ([row for row in rows if len(row) == length] for length in (2, 4))
    assert [row[0] for row in meanings] == [f"`{kind}`" for kind in FailureKind]
    assert actions == [
        [
            f"`{kind}`",
            {None: "—", State.PLANNED: "back to `planned`", State.FAILED: "`failed`"}[action.refused],
            f"yes: {action.stop.value}" if action.stop else "no, all submissions pause" if action.pauses else "no",
            action.advice,
        ]
        for kind, action in ((kind, ACTIONS[kind]) for kind in FailureKind)
    ]


MAKER = runpy.run_path(str(ROOT / "docs" / "manifest.py"))


def test_the_page_of_the_manifest_is_the_schema() -> None:
    schema = json.loads((ROOT / "schemas" / "manifest.schema.json").read_text("utf-8"))
    made = MAKER["page"](schema)
    assert (ROOT / "docs" / "manifest.md").read_text("utf-8") == made, "run `python docs/manifest.py`"
    anchors = {MAKER["_anchor"](title) for title in re.findall(r"^#+ (.+)$", made, re.MULTILINE)}
    links = re.findall(r"\]\(#([^)]+)\)", made)
    assert len(links) > 20
    assert set(links) <= anchors


SCHEMA_OF_EVERYTHING = {
    "title": "Everything",
    "type": "object",
    "required": ["size"],
    "additionalProperties": {"type": "number", "description": "Anything else."},
    "properties": {
        "size": {"$ref": "#/$defs/size"},
        "again": {"$ref": "#/$defs/size"},
        "image": {"oneOf": [{"type": "string", "minLength": 1}, {"$ref": "#/$defs/crop"}], "default": None},
        "include": {"type": "array", "uniqueItems": True, "items": {"type": "string", "pattern": "a|b"}},
        "tree": {"$ref": "#/$defs/tree", "description": "Grows."},
        "old": {"type": ["integer", "null"], "deprecated": True, "deprecationMessage": "Use size."},
        "closed": {"not": {}},
        "odd": {"type": "object", "dependentRequired": {"a": ["b"]}, "patternProperties": {"^x|y": True, "^x-": True}},
        "held": {"type": "string", "if": {"pattern": "a"}, "then": {"enum": ["a"]}, "else": {"maxLength": 1}},
    },
    "$defs": {
        "size": {"enum": ["1x2", "3x4"], "markdownEnumDescriptions": ["*tall*", "wide"], "examples": ["1x2"]},
        "crop": {
            "type": "object",
            "properties": {"left": {"type": "integer", "minimum": 0, "markdownDescription": "From the **left**."}},
        },
        "tree": {
            "type": "array",
            "description": "A tree.",
            "items": {"anyOf": [{"$ref": "#/$defs/tree"}, {"const": 1}]},
        },
    },
}


@pytest.mark.parametrize(
    "said",
    [
        "| [`size`](#common-size) | one of the values below, required |",
        "| [`again`](#common-size) | one of the values below |",
        '- Allowed:\n  - `"1x2"`: *tall*\n  - `"3x4"`: wide\n- Example: `"1x2"`.\n',
        "## `image`\n\n- Type: text or mapping.\n- Default: `null`.\n- At least 1 character.\n",
        "### `image.left`\n\nFrom the **left**.\n\n- Type: whole number.\n- At least 0.\n",
        "## `include`\n\n- Type: list of text.\n- Each entry once.\n- Each entry: fits `a|b`.\n",
        "| [`tree`](#tree) | list of the same or exactly `1` | Grows. |",
        "## `old`\n\n- **Deprecated.** Use size.\n- Type: whole number or nothing.\n",
        '## `odd`\n\n- Type: mapping.\n- `dependentRequired`: `{"a": ["b"]}`.\n- A name fits `^x|y` or `^x-`.\n',
        "| `odd.x-…` | anything |",
        '## `held`\n\n- Type: text.\n- Allowed: `"a"`.\n- At most 1 character.\n',
        "| `odd.<name>` | anything |",
        "| `<any name>` | number | Anything else. |",
    ],
)
def test_the_page_of_the_manifest_can_say_what_a_schema_can(said: str) -> None:
    made = MAKER["page"](SCHEMA_OF_EVERYTHING)
    assert said in made, made
    assert "closed" not in made


PROFILES = (ROOT / "docs" / "profiles.md").read_text("utf-8")


def test_the_page_of_the_profiles_has_every_field_of_the_schema() -> None:
    schema = json.loads((ROOT / "schemas" / "profile.schema.json").read_text("utf-8"))
    assert MAKER["fields"](PROFILES, schema) == PROFILES, "run `python docs/manifest.py`"
    assert {f"### `{name}`" for name in schema["properties"]} <= {*PROFILES.splitlines()}
    anchors = {MAKER["_anchor"](title) for title in re.findall(r"^#+ (.+)$", PROFILES, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([^)]+)\)", PROFILES)) <= anchors


def _row(profile: Profile) -> str:
    """A profile as the page's table has it."""
    auth, request, able = profile.auth, profile.request, profile.abilities
    key = ", ".join(f"`{name}`" for name in auth.env) + ", if set" * (auth.takes_key and not auth.required)
    address = f"`{profile.base_url}`" if profile.base_url else "say it"
    image, url = request.input_reference.image, request.input_reference.url
    cells = [
        f"`{profile.name}`",
        profile.title,
        "in this process" if profile.transport == "bundled" else address,
        key or "none",
        request.encoding,
        *("yes" if able_to else "no" for able_to in (able.list, able.delete)),
        *(travel.form if travel else "no" for travel in (image, url)),
    ]
    return f"| {' | '.join(cells)} |"


def test_the_table_of_the_profiles_is_what_they_say() -> None:
    rows = re.findall(r"^\| `.+$", PROFILES.partition("## Your own")[0], re.MULTILINE)
    assert rows == [_row(providers.profile(name)) for name in shipped.profile_names()]


def test_the_words_of_a_status_are_those_that_are_known() -> None:
    rows = dict(re.findall(r"^\| (ready|failed|gone) \| (.+) \|$", PROFILES, re.MULTILINE))
    assert {Status[name.upper()]: " ".join(re.findall(r"`(\w+)`", words)) for name, words in rows.items()} == _WORDS


def test_the_profile_of_ones_own_is_one_and_differs_as_the_page_says(tmp_path: Path) -> None:
    (text,) = re.findall(r"^```yaml\n(.*?)^```", PROFILES, re.MULTILINE | re.DOTALL)
    (shown,) = re.findall(r"^```text\n(.*?)^```", PROFILES, re.MULTILINE | re.DOTALL)
    folder = tmp_path / "callsheet" / "profiles"
    folder.mkdir(parents=True)
    (folder / "studio.yaml").write_text(text)
    compared = call(tmp_path, "profiles", "openai", "studio", XDG_CONFIG_HOME=str(tmp_path))
    assert compared.stdout == shown


def test_every_probe_of_the_doctor_is_explained() -> None:
    schema = json.loads((ROOT / "schemas" / "doctor.schema.json").read_text("utf-8"))
    probes = schema["properties"]["findings"]["items"]["properties"]["probe"]["enum"]
    page = (ROOT / "docs" / "doctor.md").read_text("utf-8").partition("| exit |")[0]
    assert re.findall(r"^\| ([a-z ]+) \|", page, re.MULTILINE)[1:] == probes


def test_every_state_is_explained() -> None:
    rows = re.findall(r"^\| (\w+) \|", (ROOT / "docs" / "operations.md").read_text("utf-8"), re.MULTILINE)
    assert [row for row in rows if row in set(State)] == list(State)


def commands() -> list[click.Command]:
    found = [cli.get_command(click.Context(cli), name) for name in COMMANDS]
    return [command for command in found if command is not None]


def test_the_table_of_commands_says_what_each_of_them_is() -> None:
    assert [command.name for command in commands()] == list(COMMANDS)
    for command in commands():
        said = re.split(r"(?<=\.)\s", " ".join((command.help or "").split()))[0]
        assert COMMANDS[str(command.name)].help == said


def test_no_command_is_missing_in_the_table() -> None:
    modules = {entry.module for entry in COMMANDS.values()}
    every = [path.stem for path in (ROOT / "pipeline").glob("*.py") if "\nCOMMANDS = (" in path.read_text("utf-8")]
    assert modules == set(every)
    assert {command.name for name in modules for command in import_module(f"pipeline.{name}").COMMANDS} == set(COMMANDS)


def test_every_command_and_option_that_a_page_names_exists() -> None:
    options = {name for command in commands() for option in command.params for name in option.opts}
    foreign = {"--without-pip", "--python", "--help", "--version"}
    foreign |= {"--no-cache-dir", "--uid", "--rm", "--init", "--stop-timeout"}  # pip, useradd, docker
    foreign |= {"--only", "--rounds", "--short"}  # the benchmarks
    for page in PAGES:
        text = re.sub(r"python tests/[^`\n]+", "", page.read_text("utf-8"))  # these have options of their own
        assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) <= options | foreign, page.name
        assert set(re.findall(r"callsheet ([a-z]+)\b(?= |`|$)", text)) <= set(COMMANDS) | {"outputs"}, page.name


def test_every_proof_that_a_page_names_exists() -> None:
    for page in PAGES:
        for path in re.findall(r"(?:python|pytest) (tests/[\w/.]+)", page.read_text("utf-8")):
            assert (ROOT / path).exists(), f"{page.name}: {path}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"`[^`\n]*`", "", page.read_text("utf-8"))  # a pattern may look like a link
    for target in re.findall(r"\]\(([^)#]+)", text):
        assert target.startswith("https://") or (page.parent / target).exists(), target

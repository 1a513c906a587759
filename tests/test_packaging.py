"""What is installed is what is here: metadata, data files, declared dependencies. No network, nothing is built."""

import ast
import json
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from jsonschema import Draft202012Validator

import pipeline
from pipeline import files, providers, shipped
from pipeline.cli import cli

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path(pipeline.__file__).resolve().parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT = PYPROJECT["project"]
SCHEMAS = sorted(path.name.removesuffix(".schema.json") for path in (ROOT / "schemas").iterdir())
MANIFESTS = sorted((ROOT / "manifests").glob("*.yaml"))

#: Which modules and packages need which extra.
EXTRAS = {"simulator": "simulator", "parquet.py": "parquet", "report": "report"}
#: Where the import's name is not the distribution's.
DISTRIBUTIONS = {"PIL": "pillow", "jsonschema_rs": "jsonschema-rs", "yaml": "pyyaml"}


def test_the_installed_metadata_is_that_of_this_project() -> None:
    found = metadata.metadata(PROJECT["name"])
    assert found["Version"] == PROJECT["version"] == pipeline.__version__
    assert found["Requires-Python"] == PROJECT["requires-python"]
    assert found["License-Expression"] == PROJECT["license"]
    assert found["License-File"] == "LICENSE"


def test_the_command_is_there() -> None:
    (command,) = metadata.entry_points(group="console_scripts", name=PROJECT["name"])
    assert command.value == PROJECT["scripts"][PROJECT["name"]]
    assert callable(command.load())


def test_the_changelog_knows_the_version() -> None:
    assert f"## [{PROJECT['version']}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_the_lowest_python_is_the_one_that_the_tools_check() -> None:
    lowest = PROJECT["requires-python"].removeprefix(">=")
    assert PYPROJECT["tool"]["mypy"]["python_version"] == lowest
    assert PYPROJECT["tool"]["ruff"]["target-version"] == f"py{lowest.replace('.', '')}"
    assert f"Programming Language :: Python :: {lowest}" in PROJECT["classifiers"]


def test_the_wheel_takes_in_what_the_package_looks_for() -> None:
    target = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert target["force-include"] == {name: f"pipeline/_{name}" for name in ("schemas", "manifests", "docs/rules.md")}
    assert (PACKAGE / "py.typed").exists()


def test_everything_that_the_source_distribution_names_is_there() -> None:
    named = PYPROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert [name for name in named if not (ROOT / name.lstrip("/")).exists()] == []


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_what_is_imported_is_declared(path: Path) -> None:
    declared = PROJECT["dependencies"].copy()
    extra = {"simulator": "simulator", "parquet.py": "parquet", "report": "report"}.get(
        path.relative_to(PACKAGE).parts[0]
    )
    declared += PROJECT["optional-dependencies"][extra] if extra else []
    names = {re.split(r"[^\w-]", requirement)[0] for requirement in declared}
    assert {DISTRIBUTIONS.get(name, name) for name in third_party(ast.parse(path.read_bytes()))} <= names


def third_party(tree: ast.AST) -> set[str]:
    modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    return {module.partition(".")[0] for module in modules} - {"pipeline", *sys.stdlib_module_names}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_found_and_is_one(name: str) -> None:
    assert shipped.schema_text(name) == (ROOT / "schemas" / f"{name}.schema.json").read_text("utf-8")
    schema = json.loads(shipped.schema_text(name))
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(schema)
    assert list(dangling(schema, schema)) == []


def dangling(schema: dict[str, Any], value: Any) -> list[str]:
    """The references inside the schema that lead nowhere, which ``check_schema`` does not follow."""
    if isinstance(value, list):
        return [reference for item in value for reference in dangling(schema, item)]
    if not isinstance(value, dict):
        return []
    reference = value.get("$ref")
    lost = []
    if isinstance(reference, str) and reference.startswith("#/"):
        target: Any = schema
        for step in reference[2:].split("/"):
            target = target.get(step) if isinstance(target, dict) else None
        lost = [reference] if target is None else []
    return lost + [reference for item in value.values() for reference in dangling(schema, item)]


@pytest.mark.parametrize("name", sorted(path.stem for path in (PACKAGE / "profiles").glob("*.yaml")))
def test_a_profile_keeps_to_its_schema(name: str) -> None:
    profile = providers.profile(name)
    assert profile.name == name
    assert providers.request_schema(profile.request)["properties"]


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_an_example_manifest_is_found_and_has_no_mistake(path: Path) -> None:
    assert (shipped.manifests_dir() / path.name).read_bytes() == path.read_bytes()
    assert files.load(path, variables={}).specs


def hook() -> dict[str, Any]:
    (found,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))
    return found


@pytest.mark.parametrize(
    ("path", "taken"),
    [
        ("callsheet.yaml", True),
        ("films/spring.callsheet.yml", True),
        ("manifests/spring.yaml", True),
        ("films/manifests/spring.yaml", True),
        ("docker-compose.yaml", False),
        ("manifests/captions.csv", False),
        ("callsheet.schema.json", False),
        ("notcallsheet.yaml", False),
    ],
)
def test_the_hook_takes_what_is_a_manifest_by_its_name(path: str, taken: bool) -> None:
    assert bool(re.search(hook()["files"], path)) is taken


def test_the_hook_calls_a_command_that_takes_the_files(tmp_path: Path) -> None:
    program, *words = hook()["entry"].split()
    assert program in PROJECT["scripts"]
    (tmp_path / "callsheet.yaml").write_text("version: 1\n")
    for manifests, code in (
        ([str(path) for path in MANIFESTS], 0),
        ([*map(str, MANIFESTS), f"{tmp_path}/callsheet.yaml"], 2),
    ):
        called = CliRunner().invoke(cli, [*words, *manifests], standalone_mode=False)
        assert called.return_value == code, called.output


def test_the_schema_of_included_files_is_that_of_manifests_without_the_keys_of_the_top_file() -> None:
    whole, part = shipped.schema("manifest"), shipped.schema("include")
    ours = {"$id", "title", "description", "required", "properties"}
    assert {key: part[key] for key in part if key not in ours} == {
        key: whole[key] for key in whole if key not in ours | {"if", "then", "defaultSnippets"}
    }
    top = {"name", "provider", "limits", "budget", "retry", "output"}
    assert part["properties"] == {name: rules for name, rules in whole["properties"].items() if name not in top}
    assert part["required"] == ["version"]

"""The one module that reads: only regular files, only below the manifest's folder, and the package's own data."""

import json
import os
import socket
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from pipeline import files, providers, shipped
from pipeline.errors import ManifestError, Problem, UsageError
from pipeline.profile import Limits

HEAD = "version: 1\nname: test\nprovider: simulator\n"
TEXT = f"{HEAD}jobs: [{{ id: a, prompt: x }}]\n"
WITH_A = TEXT.replace("x", "'{{ a }}'")


def problems(path: Path) -> list[Problem]:
    with pytest.raises(ManifestError) as caught:
        files.load(path, variables={})
    assert all(problem.fix for problem in caught.value.problems)
    return list(caught.value.problems)


def problems_with_table(folder: Path, written: str) -> list[tuple[str, int, int, str]]:
    path = folder / "m.yaml"
    path.write_text(f'{HEAD}jobs:\n  - id: "a-{{{{ row_number }}}}"\n    from: {json.dumps(written)}\n')
    return [(Path(p.file).name, p.line, p.column, p.rule) for p in problems(path)]


OUTSIDE = [("m.yaml", 6, 11, "from")]


def test_a_loaded_manifest_has_its_profile_its_jobs_and_the_limits_of_both(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(f"{WITH_A}limits: {{ downloads: 9 }}\nvars: {{ a: x }}\n")
    loaded = files.load(path, variables={"a": "y"})
    assert loaded.manifest.name == "test"
    assert loaded.profile == providers.profile("simulator")
    assert loaded.limits == Limits(requests_per_minute=600, max_in_flight=20, polls_per_second=20, downloads=9)
    assert [spec.name for spec in loaded.specs] == ["a#1"]
    assert loaded.warnings == ()


def test_warnings_of_a_manifest_without_errors_come_with_it(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(f'{WITH_A}vars: {{ a: "{{{{ b }}}}" }}\n')
    assert [problem.rule for problem in files.load(path, variables={}).warnings] == ["placeholder-in-variable"]


def test_files_are_called_as_the_user_called_them(tmp_path: Path) -> None:
    folder = tmp_path / "sub"
    folder.mkdir()
    (folder / "p.txt").write_bytes(b"\xff")
    path = Path(os.path.relpath(folder)) / "m.yaml"
    path.write_text(f"{HEAD}jobs:\n  - {{ id: a, prompt: 3, from: p.txt }}\n")
    assert [problem.file for problem in problems(path)] == [str(path), str(path.parent / "p.txt")]


def test_tables_lie_in_or_below_the_manifests_folder(tmp_path: Path) -> None:
    folder = tmp_path / "campaign"
    (folder / "deep").mkdir(parents=True)
    for name in ("p.txt", "deep/p.txt", "../outside.txt"):
        (folder / name).write_text("x\n")
    (folder / "inside.txt").symlink_to("deep/p.txt")
    for name in ("p.txt", "./deep/../p.txt", "deep/p.txt", "inside.txt", str(folder / "p.txt")):
        path = folder / "m.yaml"
        path.write_text(f"{HEAD}jobs: [{{ id: a, from: {json.dumps(name)} }}]\n")
        assert len(files.load(path, variables={}).specs) == 1, name


@pytest.mark.parametrize(
    "written",
    ["../outside.txt", "/etc/hostname.txt", "deep/../../outside.txt", "link.txt", "links/outside.txt", "loop.txt"],
)
def test_nothing_outside_the_manifests_folder_is_read(tmp_path: Path, written: str) -> None:
    folder = tmp_path / "campaign"
    folder.mkdir()
    (tmp_path / "outside.txt").write_text("a secret\n")
    (folder / "link.txt").symlink_to(tmp_path / "outside.txt")
    (folder / "links").symlink_to(tmp_path)
    (folder / "loop.txt").symlink_to("loop.txt")
    assert problems_with_table(folder, written) == OUTSIDE


@pytest.mark.parametrize(
    "written", ["no.txt", "dir.txt", "pipe.txt", "socket.txt", "a\0.txt", "x" * 5000 + ".txt", "p"]
)
def test_only_regular_files_are_tables(tmp_path: Path, written: str) -> None:
    (tmp_path / "dir.txt").mkdir()
    os.mkfifo(tmp_path / "pipe.txt")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / "socket.txt"))
        assert problems_with_table(tmp_path, written) == OUTSIDE


def test_a_device_is_no_manifest_and_no_pipe_is_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    for path in (tmp_path / "pipe.yaml", tmp_path, Path("/dev/zero"), tmp_path / "no.yaml"):
        (problem,) = problems(path)
        assert (problem.rule, problem.file, problem.line, problem.column) == ("file", str(path), 1, 1)


def test_a_manifest_beyond_the_bound_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    with path.open("wb") as file:
        file.truncate((64 << 20) + 1)
    (problem,) = problems(path)
    assert problem.rule == "file"
    assert "64 MiB" in problem.message


def test_an_unknown_provider_does_not_hide_other_mistakes(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text("version: 1\nname: test\nprovider: simulater\njobs: [{ id: a, prompt: x, size: 1x1 }]\n")
    assert [(p.rule, p.fix) for p in problems(path)] == [
        ("unknown-provider", "write simulator"),
        ("wrong-value", "write one of 720x1280, 1280x720, 1024x1792, 1792x1024"),
    ]


def test_the_campaigns_name_can_be_told_although_other_things_are_wrong(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text("name: test\nprovider: nobody\njobs: 3\n")
    assert files.campaign_name(path) == "test"
    path.write_text("name: Not A Name\njobs: []\n")
    with pytest.raises(ManifestError):
        files.campaign_name(path)
    path.write_text("name: [")
    with pytest.raises(ManifestError):
        files.campaign_name(path)


def test_every_profile_is_named_like_its_file_and_its_defaults_are_allowed() -> None:
    names = shipped.profile_names()
    assert {"simulator", "znapai"} <= set(names)
    for name in names:
        profile = providers.profile(name)
        assert profile.name == name
        rules = providers.request_schema(profile.request)
        request = {**profile.request.defaults, "prompt": "x"}
        assert not list(Draft202012Validator(rules).iter_errors(request))
        assert {"size", "seconds"} <= set(profile.request.defaults)


@pytest.mark.parametrize("name", ["manifest", "profile", "sora-request"])
def test_every_schema_is_one(name: str) -> None:
    schema = shipped.schema(name)
    Draft202012Validator.check_schema(schema)
    assert json.loads(shipped.schema_text(name)) == schema


@pytest.mark.parametrize("name", ["nothing", "../pyproject", "", "manifest.schema.json", "a/b"])
def test_unknown_names_are_usage_errors(name: str) -> None:
    with pytest.raises(UsageError):
        shipped.schema_text(name)
    with pytest.raises(UsageError):
        providers.profile(name)


def test_every_key_of_the_manifest_is_described() -> None:
    def undescribed(rules: dict[str, object], path: str) -> list[str]:
        found = [] if "description" in rules or "$ref" in rules or "not" in rules else [path]
        properties = rules.get("properties", {})
        assert isinstance(properties, dict)
        for name, inner in properties.items():
            found += undescribed(inner, f"{path}/{name}")
        items = rules.get("items")
        return found + (
            undescribed(items, f"{path}/items") if isinstance(items, dict) and "properties" in items else []
        )

    schema = shipped.schema("manifest")
    assert undescribed(schema, "") == []
    assert [name for name, rules in schema["$defs"].items() if undescribed(rules, name)] == []


def test_the_example_manifests_are_found() -> None:
    assert shipped.manifests_dir().is_dir()


def test_what_is_there_twice_among_many_is_said_at_both_places(tmp_path: Path) -> None:
    rows = [{"key": f"k{number}", "prompt": f"Scene {number}"} for number in range(1400)]
    rows[1250]["prompt"], rows[1300]["prompt"] = "Scene 7", "Scene 600"
    path, table = tmp_path / "m.yaml", tmp_path / "t.jsonl"
    path.write_text(f'{HEAD}jobs:\n  - id: "{{{{ row.key }}}}"\n    from: t.jsonl\n')
    table.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    loaded = files.load(path, variables={})
    assert [spec.request["prompt"] for spec in loaded.specs] == [row["prompt"] for row in rows]
    assert [loaded.specs[number].origin for number in (0, 700, 1399)] == [f"{table}:{n}:1" for n in (1, 701, 1400)]
    told = [(problem.line, problem.message) for problem in loaded.warnings]
    assert told == [
        (1251, f"k1250 is the same request as k7 at {table}:8:1: both are paid for"),
        (1301, f"k1300 is the same request as k600 at {table}:601:1: both are paid for"),
    ]
    rows[1390]["key"] = "K3"
    table.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (found,) = (problem for problem in problems(path) if problem.severity == "error")
    assert (found.rule, found.line) == ("duplicate-id", 1391)
    assert f'the id "K3" is already used at {table}:4:1' in found.message

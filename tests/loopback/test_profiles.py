"""``callsheet profiles`` and the schema of one provider, as a person types them."""

import json
from pathlib import Path
from typing import Any

import pytest
from gateway import Ended, call
from jsonschema import Draft202012Validator

from pipeline import shipped

STUDIO = """\
name: studio
title: "Studio \\e[31m gateway"
base_url: https://videos.example.com/v1
auth: { scheme: bearer, env: [STUDIO_API_KEY] }
request:
  schema:
    properties: { size: { enum: [640x360] }, seconds: { enum: ["2", "3"] } }
  defaults: { size: 640x360, seconds: "2" }
poll: { first: 1, interval: 1, slowest: 2 }
limits: { requests_per_minute: 60, max_in_flight: 5, polls_per_second: 5, downloads: 2 }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A home with profiles of a person's own: one that is new, one in place of ours, and three files that are none."""
    own = tmp_path / ".config" / "callsheet" / "profiles"
    own.mkdir(parents=True)
    (own / "studio.yaml").write_text(STUDIO)
    (own / "znapai.yaml").write_text(STUDIO.replace("studio", "znapai"))
    (own / "broken.yaml").write_text(STUDIO.replace("poll:", "polls:"))
    (own / "torn.yaml").write_text("name: [\n")
    (own / "misnamed.yaml").write_text(STUDIO)
    (tmp_path / "given.yaml").write_text(STUDIO.replace("name: studio", "name: lent"))
    return tmp_path


def document(ended: Ended) -> Any:
    found = json.loads(ended.stdout)
    Draft202012Validator(shipped.schema("profiles")).validate(found)
    return found


def test_all_profiles_are_listed_with_whose_they_are_and_what_is_wrong_with_a_file(folder: Path) -> None:
    listed = document(call(folder, "profiles", "--json", "--profile", "given.yaml"))
    assert listed["fields"] == []
    whose = {one["name"]: one["whose"] for one in listed["profiles"]}
    assert {whose.pop(name) for name in set(shipped.profile_names()) - {"znapai"}} == {"ours"}
    new = dict.fromkeys(("studio", "broken", "torn", "misnamed"), "yours")
    assert whose == {"lent": "given", "znapai": "yours, in place of ours", **new}
    problems = {one["name"]: one["problem"] for one in listed["profiles"] if one["problem"]}
    assert problems["misnamed"] == "it has the profile 'studio': name the file studio.yaml"
    assert problems["broken"].startswith('9:1: unknown key "polls"')
    assert set(problems) == {"broken", "torn", "misnamed"}
    studio = next(one for one in listed["profiles"] if one["name"] == "studio")
    assert studio["file"] == str(folder / ".config/callsheet/profiles/studio.yaml")
    assert (studio["base_url"], studio["key"]) == ("https://videos.example.com/v1", ["STUDIO_API_KEY"])

    shown = call(folder, "profiles")
    assert shown.returncode == 0
    lines = {line.split()[0]: line for line in shown.stdout.splitlines()}
    assert "ours" in lines["openai"]
    assert "say it with --base-url" in lines["openai"]
    assert "yours, in place of ours" in lines["znapai"]
    assert "no profile" in lines["broken"]
    assert "broken.yaml: 9:1: " in shown.stdout
    assert "\x1b" not in shown.stdout


def test_a_broken_file_on_the_command_line_is_shown_too_and_hides_nothing(folder: Path) -> None:
    (folder / "given.yaml").write_text("version: 1\n")
    listed = document(call(folder, "profiles", "--json", "--profile", "given.yaml"))
    assert listed["profiles"][0]["whose"] == "given"
    assert listed["profiles"][0]["problem"]
    assert {*shipped.profile_names()} < {one["name"] for one in listed["profiles"]}
    assert call(folder, "profiles", "litellm", "--profile", "given.yaml").returncode == 2


def test_one_profile_is_shown_field_by_field(folder: Path) -> None:
    shown = call(folder, "profiles", "studio")
    assert shown.returncode == 0
    lines = {line.split()[0]: " ".join(line.split()[1:]) for line in shown.stdout.splitlines()}
    assert lines["models.*.size"].startswith("640x360")
    assert lines["models.*.seconds"].startswith("2, 3")
    assert lines["limits.max_video_mib"].startswith("64 (default) A longer video is not taken")
    assert lines["abilities.list"] == "false (default) GET /videos lists the account's jobs."
    assert lines["title"].startswith("Studio \\x1b[31m gateway")
    openai = call(folder, "profiles", "openai").stdout
    assert "1 to 32,000 characters" in openai
    assert "what fits ^[1-9][0-9]{0,3}$" in call(folder, "profiles", "sglang").stdout


def test_two_profiles_are_shown_side_by_side(folder: Path) -> None:
    compared = document(call(folder, "profiles", "studio", "openai", "--json"))
    assert [one["name"] for one in compared["profiles"]] == ["studio", "openai"]
    values = {".".join(one["field"]): one["values"] for one in compared["fields"]}
    assert values["abilities.delete"] == [{"value": False, "given": False}, {"value": True, "given": True}]
    assert values["content.expiry"] == [None, {"value": 3600, "given": True}]
    assert values["models.sora-2.size"][0]["value"] == ["640x360"]
    assert "poll.first" in values
    assert "abilities.list" in values
    assert "request.encoding" not in values
    same = call(folder, "profiles", "openai", "openai")
    assert same.stdout == "openai and openai say the same.\n"


@pytest.mark.parametrize("words", [["opennai"], ["openai", "opennai"]])
def test_a_profile_that_there_is_not_is_said_with_the_nearest(folder: Path, words: list[str]) -> None:
    ended = call(folder, "profiles", *words)
    assert ended.returncode == 2
    assert "did you mean openai?" in ended.stderr
    assert call(folder, "profiles", "a", "b", "c").returncode == 2


def test_the_schema_of_manifests_has_what_a_provider_takes(folder: Path) -> None:
    schema = json.loads(call(folder, "schema", "manifest", "--provider", "studio").stdout)
    Draft202012Validator.check_schema(schema)
    manifest: dict[str, Any] = {"version": 1, "name": "a", "provider": "studio", "jobs": [{"id": "a", "prompt": "A"}]}
    ours, theirs = Draft202012Validator(shipped.schema("manifest")), Draft202012Validator(schema)
    for size, fits in (("640x360", theirs), ("1280x720", ours)):
        manifest["defaults"] = {"size": size}
        assert [one for one in (ours, theirs) if one.is_valid(manifest)] == [fits]
    assert call(folder, "schema", "include", "--provider", "openai").returncode == 0
    assert call(folder, "schema", "profile", "--provider", "openai").returncode == 2
    assert call(folder, "schema", "manifest", "--provider", "opennai").returncode == 2

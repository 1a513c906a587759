"""The commands for who writes manifests, as a person, an editor and CI call them: real processes and files."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from jsonschema import Draft4Validator, Draft202012Validator
from warm import Warm

from pipeline import pages, shipped

Cli = Callable[..., subprocess.CompletedProcess[str]]

RIGHT = "version: 1\nname: right\nprovider: simulator\njobs: [{ id: a, prompt: A city }]\n"
WRONG = RIGHT.replace("prompt: A city", "prompt: A city, sise: small")
DOUBTFUL = RIGHT.replace("jobs: [{ id: a, prompt: A city }]", "jobs:\n  - id: a\n    prompt: A city # at dawn")
SARIF = json.loads((Path(__file__).parent.parent / "data" / "sarif-schema-2.1.0.json").read_text("utf-8"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in (("right", RIGHT), ("wrong", WRONG), ("doubtful", DOUBTFUL), ("wrong #2, so", WRONG)):
        (tmp_path / f"{name}.yaml").write_text(text)
    return tmp_path


@pytest.fixture
def cli(folder: Path, warm: Warm) -> Cli:
    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return warm.call(arguments, folder=folder, environment=os.environ)

    return call


def test_several_manifests_are_all_checked(cli: Cli) -> None:
    found = cli("validate", "wrong.yaml", "no-such.yaml", "right.yaml", "doubtful.yaml")
    assert found.returncode == 2
    assert found.stderr == ""
    places = [line.partition(" ")[0] for line in found.stdout.splitlines() if "[" in line and ".yaml:" in line]
    assert places == ["wrong.yaml:4:33:", "no-such.yaml:1:1:", "doubtful.yaml:6:20:"]
    assert found.stdout.endswith("2 errors, 1 warning\nright.yaml: 1 job, no errors\ndoubtful.yaml: 1 job, no errors\n")
    right = cli("validate", "right.yaml", "doubtful.yaml")
    assert right.returncode == 0


def test_a_table_of_several_manifests_is_said_once(folder: Path, cli: Cli) -> None:
    (folder / "t.csv").write_text("prompt,mood\nA fox\n")
    for name in ("one", "two"):
        (folder / f"{name}.yaml").write_text(RIGHT.replace("prompt: A city", "from: t.csv").replace("id: a", "id: 'a'"))
    found = json.loads(cli("validate", "one.yaml", "two.yaml", "one.yaml", "--json").stdout)["problems"]
    assert [(problem["file"], problem["rule"]) for problem in found].count(("t.csv", "ragged-row")) == 1


def test_json_is_one_document_over_all_files(cli: Cli) -> None:
    asked = cli("validate", "wrong.yaml", "right.yaml", "doubtful.yaml", "--json")
    assert asked.returncode == 2
    document = json.loads(asked.stdout)
    Draft202012Validator(shipped.schema("validate")).validate(document)
    assert [(problem["file"], problem["severity"]) for problem in document["problems"]] == [
        ("wrong.yaml", "error"),
        ("doubtful.yaml", "warning"),
    ]
    assert cli("validate", "wrong.yaml", "right.yaml", "doubtful.yaml", "--format", "json").stdout == asked.stdout
    assert cli("validate", "right.yaml", "--json", "--format", "json").returncode == 0


def test_formats_that_exclude_each_other_are_a_usage_error(cli: Cli) -> None:
    for form in ("text", "github", "sarif"):
        refused = cli("validate", "right.yaml", "--json", "--format", form)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "exclude each other" in refused.stderr
    assert cli("validate", "right.yaml", "--format", "xml").returncode == 2
    assert cli("validate").returncode == 2


def test_github_is_told_where(cli: Cli) -> None:
    found = cli("validate", "wrong #2, so.yaml", "doubtful.yaml", "right.yaml", "--format", "github")
    assert found.returncode == 2
    error, warning = found.stdout.splitlines()
    assert error.startswith("::error file=wrong #2%2C so.yaml,line=4,col=33,title=callsheet%3A unknown-key::")
    assert "%0Afix: write size" in error
    assert warning.startswith("::warning file=doubtful.yaml,line=6,col=20,title=callsheet%3A comment-in-prompt::")
    assert cli("validate", "right.yaml", "--format", "github").stdout == ""


def test_sarif_explains_the_rules_that_it_names(folder: Path, cli: Cli) -> None:
    found = cli("validate", str(folder / "wrong #2, so.yaml"), "doubtful.yaml", "--format", "sarif")
    assert found.returncode == 2
    document = json.loads(found.stdout)
    Draft4Validator(SARIF).validate(document)
    (run,) = document["runs"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["comment-in-prompt", "unknown-key"]
    assert run["tool"]["driver"]["rules"][1]["shortDescription"]["text"] == pages.rulebook()["unknown-key"].summary
    places = [result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for result in run["results"]]
    assert places == ["wrong%20%232%2C%20so.yaml", "doubtful.yaml"]
    warned = cli("validate", "doubtful.yaml", "--format", "sarif")
    assert warned.returncode == 0
    assert [result["level"] for result in json.loads(warned.stdout)["runs"][0]["results"]] == ["warning"]


def test_a_code_is_explained(cli: Cli) -> None:
    told = cli("explain", "unknown-key")
    assert told.returncode == 0
    rule = pages.rulebook()["unknown-key"]
    assert rule.summary in told.stdout
    assert "Wrong:\n    jobs:\n      - { id: a, prompt: A city, repeat: 3 }\n\nRight:\n" in told.stdout
    assert "prompts.csv:\n    prompt\n" in cli("explain", "empty-table").stdout


def test_all_codes_are_listed(cli: Cli) -> None:
    lines = cli("explain").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(pages.rulebook())
    assert any(line.startswith("comment-in-prompt ") and " warning " in line for line in lines)


def test_an_unknown_code_is_told_apart_from_its_neighbours(cli: Cli) -> None:
    for word in ("unknwon-key", "unknown_key"):
        refused = cli("explain", word)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "did you mean unknown-key?" in refused.stderr
    assert "lists all of them" in cli("explain", "zzzzzz").stderr


def test_a_first_manifest_is_right_at_once(folder: Path, cli: Cli) -> None:
    begun = cli("init")
    assert begun.returncode == 0
    text = (folder / "callsheet.yaml").read_text("utf-8")
    assert text.startswith("# yaml-language-server: $schema=callsheet.schema.json\n")
    assert (folder / "callsheet.schema.json").read_text("utf-8") == shipped.schema_text("manifest")
    checked = json.loads(cli("validate", "callsheet.yaml", "--json").stdout)
    assert checked["problems"] == []
    rendered = cli("run", "callsheet.yaml")
    assert rendered.returncode == 0, rendered.stderr
    assert len(list((folder / "outputs").rglob("*.mp4"))) == 3


def test_a_manifest_that_exists_stays(folder: Path, cli: Cli) -> None:
    refused = cli("init", "right.yaml")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "right.yaml exists" in refused.stderr
    assert (folder / "right.yaml").read_text() == RIGHT
    assert not (folder / "callsheet.schema.json").exists()
    (folder / "dangling.yaml").symlink_to("elsewhere.yaml")
    assert cli("init", "dangling.yaml").returncode == 2
    assert not (folder / "elsewhere.yaml").exists()
    assert cli("init", "no/such/folder.yaml").returncode == 2


def test_the_schema_is_refreshed_and_a_foreign_one_stays(folder: Path, cli: Cli) -> None:
    schema = folder / "callsheet.schema.json"
    schema.write_text('{ "$id": "urn:callsheet:manifest:0" }')
    assert cli("init", "one.yaml").returncode == 0
    assert schema.read_text("utf-8") == shipped.schema_text("manifest")
    written = schema.stat().st_mtime_ns
    assert cli("init", "two.yaml").returncode == 0
    assert schema.stat().st_mtime_ns == written
    schema.write_text('{ "mine": true }')
    refused = cli("init", "three.yaml")
    assert refused.returncode == 2
    assert "no schema of callsheet" in refused.stderr
    assert not (folder / "three.yaml").exists()
    assert schema.read_text() == '{ "mine": true }'


MESSY = """\
version: "1"
name: bad
provider: simulator   # whose
defaults: { duration: 8 }   # a comment
include: [more.yaml]
jobs:
  - id: a   # keep me
    prompt: {{ x }}
    tags: hero
    "repeat": "3"
    size: "1280 x 720"
  - {id: b, promt: y, seconds: 4}
vars: { x: hello }
"""
MENDED = """\
version: 1
name: bad
provider: simulator   # whose
defaults: { seconds: "8" }   # a comment
include: [more.yaml]
jobs:
  - id: a   # keep me
    prompt: "{{ x }}"
    tags: [hero]
    "takes": 3
    size: "1280x720"
  - {id: b, prompt: y, seconds: "4"}
vars: { x: hello }
"""


def test_fix_writes_what_is_certain_and_shows_it(folder: Path, cli: Cli) -> None:
    (folder / "messy.yaml").write_bytes(b"\xef\xbb\xbf" + MESSY.replace("\n", "\r\n").encode())
    (folder / "messy.yaml").chmod(0o640)
    (folder / "more.yaml").write_text("version: 1\njobs: [{ id: c, prompt: z, seconds: 4 }]\n")
    fixed = cli("validate", "--fix", "messy.yaml")
    assert fixed.returncode == 0
    assert (folder / "messy.yaml").read_bytes() == b"\xef\xbb\xbf" + MENDED.replace("\n", "\r\n").encode()
    assert (folder / "messy.yaml").stat().st_mode & 0o777 == 0o640
    assert 'seconds: "4" }]' in (folder / "more.yaml").read_text()
    assert "-defaults: { duration: 8 }   # a comment" in fixed.stdout
    assert '+defaults: { seconds: "8" }   # a comment' in fixed.stdout
    assert "+++ more.yaml" in fixed.stdout
    assert fixed.stdout.endswith("messy.yaml: 5 jobs, no errors\n")
    again = cli("validate", "--fix", "messy.yaml")
    assert again.stdout == "messy.yaml: 5 jobs, no errors\n"
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


def test_fix_leaves_what_a_person_must_decide(folder: Path, cli: Cli) -> None:
    text = RIGHT.replace("id: a", "id: a, size: 1920x1080, seconds: 5, aspect_ratio: '16:9', width: 3, sise: 720x1280")
    (folder / "m.yaml").write_text(text)
    left = cli("validate", "--fix", "m.yaml", "--json")
    assert left.returncode == 2
    assert (folder / "m.yaml").read_text() == text
    rules = {problem["rule"] for problem in json.loads(left.stdout)["problems"]}
    assert rules == {"wrong-value", "unknown-key"}


def test_a_fix_that_would_help_nothing_is_not_written(folder: Path, cli: Cli) -> None:
    text = "version: 1\nname: n\nprovider: simulator\nx-n: &n 4\njobs: [{ id: a, prompt: x, takes: *n, seconds: *n }]\n"
    (folder / "m.yaml").write_text(text)
    assert cli("validate", "--fix", "m.yaml").returncode == 2
    assert (folder / "m.yaml").read_text() == text


def test_a_file_that_cannot_be_written_is_said_and_stays(folder: Path) -> None:
    text = RIGHT.replace("id: a", "id: a, seconds: 4")
    (folder / "m.yaml").write_text(text)
    refused = subprocess.run(
        [sys.executable, "-m", "pipeline", "validate", "--fix", "m.yaml"],
        cwd=folder,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
    )
    assert refused.returncode == 5
    assert refused.stderr == "callsheet: m.yaml cannot be written: File too large\n"
    assert (folder / "m.yaml").read_text() == text
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


EXPLAINED = """\
version: 1
name: right
provider: simulator
vars: { style: grainy, light: soft }
defaults: { size: 720x1280, metadata: { team: a } }
jobs:
  - id: "shot-{{ row.key }}"
    from: t.csv
    prompt: "{{ row.what }} at {{ time }}, {{ style }}, {{ light }}"
    matrix: { time: [dawn, night], seconds: ["4", "8"] }
    metadata: { n: "{{ row_number }}" }
    keep_columns: [who]
"""


def test_a_job_is_explained_down_to_the_place_of_every_value(folder: Path, cli: Cli) -> None:
    (folder / "m.yaml").write_text(EXPLAINED)
    (folder / "t.csv").write_text('key,what,who\na,A fox,me\nb,"A crow, two",you\n')
    asked = cli("explain", "m.yaml", "--job", "shot-b@night-8", "--var", "light=hard", "--json")
    assert asked.returncode == 0, asked.stderr
    document = json.loads(asked.stdout)
    Draft202012Validator(shipped.schema("explain")).validate(document)
    assert (document["job"], document["origin"]) == ("shot-b@night-8#1", "t.csv:3:1")
    found = {
        ".".join(value["path"]): (
            value["value"],
            [
                f"{source['name'] or ''}@{source['file']}:{source['line']}:{source['column']}"
                if "file" in source
                else f"{source['name'] or ''}@{source['word']}"
                for source in value["sources"]
            ],
        )
        for value in document["values"]
    }
    assert found == {
        "model": ("sora-2", ["@the profile simulator"]),
        "size": ("720x1280", ["@m.yaml:5:19"]),
        "seconds": ("8", ["@m.yaml:10:51"]),
        "prompt": (
            "A crow, two at night, grainy, hard",
            ["@m.yaml:9:13", "light@--var light", "row.what@t.csv:3:3", "style@m.yaml:4:16", "time@m.yaml:10:28"],
        ),
        "metadata.team": ("a", ["@m.yaml:5:47"]),
        "metadata.n": ("2", ["@m.yaml:11:20", "row_number@t.csv:3:1"]),
        "metadata.who": ("you", ["@t.csv:3:17"]),
    }
    by_column = EXPLAINED.replace("    prompt:", "    columns: { size: who }\n    prompt:")
    (folder / "c.yaml").write_text(by_column)
    (folder / "t.csv").write_text("key,what,who\na,A fox,720x1280\n")
    assert "t.csv:2:9; c.yaml:9:22" in cli("explain", "c.yaml", "--job", "shot-a@dawn-4").stdout
    (folder / "t.csv").write_text('key,what,who\na,A fox,me\nb,"A crow, two",you\n')
    people = cli("explain", "m.yaml", "--job", "shot-b@night-8#1").stdout
    assert "m.yaml:9:13; light from m.yaml:4:31; row.what from t.csv:3:3" in people
    assert cli("explain", "m.yaml", "--job", "shot-c@night-8").returncode == 2
    assert "did you mean shot-" in cli("explain", "m.yaml", "--job", "shot-c@night-8").stderr
    assert cli("explain", "wrong.yaml", "--job", "a").returncode == 2
    assert cli("explain", "--job", "a").returncode == 2


CERTAIN = """\
x-a: &a { seconds: 4, labels: [x] }
x-n: &n 8
x-m: &m { n: 2 }
defaults: { prompt: D }
jobs:
  - {id: f, "seconds":8, "repeat":2, tags: "hero", 'size': '1280 x 720'}
  - { id: g, description: a note }
  - { id: h, n: 2, repeat: 3, seconds: *n, metadata: { c: *n } }
  - { id: i, <<: *a }
  - { id: j, <<: *a, tags: "a, b", takes: "3" }
  - { id: k, <<: *m, metadata: *m }
  - id: l
    duration: 4
  - id: m
    prompt: {{ x }} and more
    seconds: 5
    size: 16:9
"""
TWO_WAYS = """\
jobs: [{ id: a, prompt: x, seconds: &s 4 }, { id: b, prompt: y, metadata: { s: *s } }]
defaults: { seconds: *s }
"""


def test_fix_leaves_what_two_places_share(folder: Path, cli: Cli) -> None:
    head = "version: 1\nname: k\nprovider: simulator\n"
    (folder / "m.yaml").write_text(head + TWO_WAYS)
    assert cli("validate", "--fix", "m.yaml").returncode == 2
    assert (folder / "m.yaml").read_text() == head + TWO_WAYS


def test_fix_exchanges_what_is_certain_and_nothing_else_whatever_else_is_wrong(folder: Path, cli: Cli) -> None:
    head = "version: 1\nname: k\nprovider: simulator\n"
    (folder / "m.yaml").write_text(head + CERTAIN)
    (folder / "other.yaml").write_text(head + "jobs: [{ id: a, prompt: x, size: big }]\n")
    assert cli("validate", "--fix", "m.yaml", "other.yaml").returncode == 2
    mended = {
        "{ seconds: 4, labels: [x] }": '{ seconds: "4", labels: [x] }',
        '"seconds":8, "repeat":2, tags: "hero", \'size\': \'1280 x 720\'': '"seconds":"8", "takes":2, tags: ["hero"], '
        "'size': '1280x720'",
        'takes: "3"': "takes: 3",
        "    duration: 4\n": '    seconds: "4"\n',
        "{{ x }} and more": '"{{ x }} and more"',
    }
    expected = CERTAIN
    for before, after in mended.items():
        assert expected.count(before) == 1
        expected = expected.replace(before, after)
    assert (folder / "m.yaml").read_text() == head + expected


def test_fix_leaves_a_profile_alone(folder: Path, cli: Cli) -> None:
    (folder / "own.yaml").write_text("name: own\ntitle: Own\nlimits: { concurrency: 3 }\n")
    (folder / "m.yaml").write_text(RIGHT.replace("simulator", "own"))
    before = (folder / "own.yaml").read_text()
    assert cli("validate", "--fix", "--profile", "own.yaml", "m.yaml").returncode == 2
    assert (folder / "own.yaml").read_text() == before


@pytest.mark.parametrize(
    ("provider", "before", "after", "left"),
    [
        ("sglang", "size: 832x480, seconds: 5", 'size: 832x480, seconds: "5"', 0),
        ("sglang", "size: 832x480, seconds: 5s", "size: 832x480, seconds: 5s", 2),
        ("openai", "size: 1280 x 720, seconds: 8s", 'size: 1280x720, seconds: "8"', 0),
        ("openai", "size: 1792x1024, seconds: 8", 'size: 1792x1024, seconds: "8"', 2),
        ("openai", "model: sora-2-pro, size: 1792X1024", "model: sora-2-pro, size: 1792x1024", 0),
        ("znapai", "size: 832x480, seconds: 5", "size: 832x480, seconds: 5", 2),
    ],
)
def test_fix_writes_what_the_provider_takes(
    folder: Path, cli: Cli, provider: str, before: str, after: str, left: int
) -> None:
    head = f"version: 1\nname: k\nprovider: {provider}\njobs:\n  - {{ id: a, prompt: x, "
    (folder / "m.yaml").write_text(f"{head}{before} }}\n")
    assert cli("validate", "--fix", "m.yaml").returncode == left
    assert (folder / "m.yaml").read_text() == f"{head}{after} }}\n"

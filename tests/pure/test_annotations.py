"""Problems for other programs: whatever a message quotes, it stays a message."""

import json
import random
import re
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from jsonschema import Draft4Validator

from pipeline import annotations
from pipeline.errors import Problem
from pipeline.rules import Rule

SCHEMA = json.loads((Path(__file__).parent.parent / "data" / "sarif-schema-2.1.0.json").read_text("utf-8"))
FOLDER = PurePosixPath("/repository")
RULES = {"unknown-key": Rule("unknown-key", "Not known.", "error", ("Mend it.",), (), "Not known.\n\nMend it.")}
PROBLEM = Problem("unknown-key", "a message", "shots/a.yaml", 3, 7, "write b")

PIECES = [
    *(
        "::set-output name=a::b",
        "::error::",
        "\n::add-mask::x",
        "\r\n::stop-commands::t",
        "##[command]",
        "%0A::debug::",
        "%",
    ),
    *(
        "\x1b[2J",
        "\x00",
        "\x07",
        "\x85",
        "\u2028",
        "\u202e",
        "\ud800",
        "\udcff",
        "\U0001f3ac",
        "é",
        ",",
        ":",
        "=",
        "\t",
    ),
    *(" ", "#", "?", "/", "../", "\\", '"', "<b>", "{0}", "x" * 300),
]


def hostile(count: int) -> list[Problem]:
    chance = random.Random(20260101)

    def text() -> str:
        return "".join(chance.choices(PIECES, k=chance.randint(1, 12)))

    return [
        Problem(
            chance.choice(["unknown-key", "wrong-type", "brand-new"]),
            text(),
            text().replace("\0", ""),
            chance.randint(1, 10**6),
            chance.randint(1, 10**6),
            chance.choice([None, text()]),
            chance.choice(["error", "warning"]),
        )
        for _ in range(count)
    ]


def sarif(*problems: Problem) -> dict[str, Any]:
    """The log as a reader has it who decodes strictly."""
    document = annotations.sarif(problems, RULES, version="1.2.3", folder=FOLDER)
    return json.loads(json.dumps(document, ensure_ascii=False).encode("utf-8"))


def decoded(line: str) -> tuple[str, dict[str, str], str]:
    """A workflow command as the runner reads it: the first ``::`` behind the properties begins the message."""

    def plain(text: str) -> str:
        for code, char in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
            text = text.replace(code, char)
        return text

    found = re.fullmatch(r"::(\w+) (.*?)::(.*)", line)
    assert found is not None, line
    properties = dict(pair.split("=", 1) for pair in found[2].split(","))
    return found[1], {name: plain(value) for name, value in properties.items()}, plain(found[3])


def test_a_workflow_command_has_the_place_the_rule_and_the_fix() -> None:
    assert annotations.commands([PROBLEM]) == (
        "::error file=shots/a.yaml,line=3,col=7,title=callsheet%3A unknown-key::a message%0Afix: write b\n"
    )


def test_what_the_runner_would_read_otherwise_is_escaped() -> None:
    problem = Problem("r", "50%, \r\n::set-output name=a::b", "a,b:c%.yaml", 1, 1, severity="warning")
    said = annotations.commands([problem])
    assert said.startswith("::warning file=a%2Cb%3Ac%25.yaml,line=1,")
    assert said.endswith("::50%25, %0D%0A::set-output name=a::b\n")


def test_no_message_begins_a_command_of_its_own() -> None:
    problems = hostile(500)
    lines = re.split("[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]", annotations.commands(problems))
    assert lines.pop() == ""
    assert len(lines) == len(problems)
    for line, problem in zip(lines, problems, strict=True):
        command, properties, message = decoded(line)
        assert command == problem.severity
        assert properties.keys() == {"file", "line", "col", "title"}
        assert (properties["line"], properties["col"]) == (str(problem.line), str(problem.column))
        assert properties["title"] == f"callsheet: {problem.rule}"
        assert ("fix: " in message) >= (problem.fix is not None)
        assert not re.search("[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f\u202e\ud800-\udfff]", message)


def test_a_sarif_log_is_one_by_the_standards_own_schema() -> None:
    document = sarif(PROBLEM, Problem("odd", "m", "/elsewhere/t.csv", 1, 1, severity="warning"))
    Draft4Validator(SCHEMA).validate(document)
    (run,) = document["runs"]
    assert run["tool"]["driver"]["name"] == "Callsheet"
    assert run["tool"]["driver"]["version"] == "1.2.3"
    assert run["columnKind"] == "unicodeCodePoints"
    odd, unknown = run["tool"]["driver"]["rules"]
    assert odd == {"id": "odd", "shortDescription": {"text": "odd"}}
    assert unknown["shortDescription"] == {"text": "Not known."}
    assert "Mend it." in unknown["help"]["text"]
    assert unknown["help"]["markdown"] == RULES["unknown-key"].text
    first, second = run["results"]
    assert first == {
        "ruleId": "unknown-key",
        "ruleIndex": 1,
        "level": "error",
        "message": {"text": "a message\nfix: write b"},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": "shots/a.yaml"},
                    "region": {"startLine": 3, "startColumn": 7},
                }
            }
        ],
    }
    assert (second["level"], second["ruleIndex"]) == ("warning", 0)


def test_a_sarif_log_of_nothing_is_one_too() -> None:
    Draft4Validator(SCHEMA).validate(sarif())


def test_hostile_problems_make_a_log_that_can_be_read() -> None:
    problems = hostile(500)
    document = sarif(*problems)
    Draft4Validator(SCHEMA).validate(document)
    (run,) = document["runs"]
    assert len(run["results"]) == len(problems)
    for result, problem in zip(run["results"], problems, strict=True):
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == problem.rule
        uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        assert re.fullmatch(r"(file:///)?[\w.~%/-]*", uri, re.ASCII), uri
        assert not re.search("[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f\u202e]", result["message"]["text"])
    assert sarif(*problems) == document


@pytest.mark.parametrize(
    ("file", "uri"),
    [
        ("a.yaml", "a.yaml"),
        ("my shots/#1 50%.yaml", "my%20shots/%231%2050%25.yaml"),
        ("a:b?.yaml", "a%3Ab%3F.yaml"),
        ("./x/../a.yaml", "a.yaml"),
        ("/repository/shots/a.yaml", "shots/a.yaml"),
        ("../other/a b.yaml", "file:///other/a%20b.yaml"),
        ("été.yaml", "%C3%A9t%C3%A9.yaml"),
        ("bytes-\udcff.yaml", "bytes-%FF.yaml"),
        ("\ud800.yaml", "%EF%BF%BD.yaml"),
    ],
)
def test_a_file_is_named_by_a_reference_that_any_reader_resolves(file: str, uri: str) -> None:
    (run,) = sarif(Problem("r", "m", file, 1, 1))["runs"]
    found = run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert found == uri
    assert unquote(urlsplit(found).path, errors="surrogateescape").rpartition("/")[2] in {
        file.rpartition("/")[2],
        "\ufffd.yaml",
    }

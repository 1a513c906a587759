"""A manifest's text -> jobs: defaults, names, files, rows, and mistakes where they are written."""

import time
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from pipeline import advice, expansion, naming, tables
from pipeline.document import Document
from pipeline.errors import Problem
from pipeline.expansion import Expanded
from pipeline.jobs import Spec
from pipeline.manifest import Entry, Manifest, assembled, merged, ordered, read
from pipeline.profile import RequestRules
from pipeline.shipped import schema
from pipeline.source import parse
from pipeline.tables import Table

HEAD = "version: 1\nname: test\nprovider: any\n"
RULES = RequestRules("", {"model": "sora-2", "size": "1280x720", "seconds": "4"}, metadata=True)
REQUEST = schema("sora-request")


def manifest(text: str, **variables: str) -> tuple[Manifest, list[Problem]]:
    document, problems = parse((HEAD + text).encode(), file="m.yaml")
    assert document is not None
    assert problems == []
    part, problems = read(document, schema("manifest"))
    found, more = assembled([part], variables=variables)
    return found, problems + more


def no_image(_: Document, text: str) -> str:
    return f"there is no image {text}"


def expand(found: Manifest, rules: RequestRules, schema: Any, tables: Mapping[str, str]) -> Expanded:
    """Expand with tables by the names that they have in ``from``; what is missing cannot be read."""

    def table(entry: Entry) -> Table | None:
        name = entry.job["from"]
        read = read_table(tables[name], file=name) if name in tables else None
        return read if isinstance(read, Table) else None

    return expansion.expand(found, rules, schema, tables=table, images=no_image, turn=lambda: None)


def read_table(text: str, *, file: str) -> Table | list[Problem]:
    return tables.read(StringIO(text, newline=""), file=file, suffix=Path(file).suffix)


def expanded(
    text: str, *, rules: RequestRules = RULES, tables: Mapping[str, str] | None = None, **variables: str
) -> tuple[list[Spec], list[str]]:
    found, problems = manifest(text, **variables)
    result = expand(found, rules, REQUEST, tables or {})
    told = ordered([*problems, *result.problems], first="m.yaml")
    return result.specs, [f"{p.file}:{p.line}:{p.column} {p.rule}" for p in told if p.severity == "error"]


def specs(text: str, **options: Any) -> list[Spec]:
    found, problems = expanded(text, **options)
    assert problems == []
    return found


def told(text: str, **options: Any) -> list[str]:
    return expanded(text, **options)[1]


def test_mappings_merge_deeply_and_everything_else_is_replaced() -> None:
    under = {"a": 1, "b": {"c": 1, "d": {"e": 1, "f": [1]}}, "g": [1, 2], "h": {"i": 1}}
    over = {"b": {"d": {"e": 2, "f": [2]}}, "g": [3], "h": "text", "j": {"k": 1}}
    assert merged(under, over) == {
        "a": 1, "b": {"c": 1, "d": {"e": 2, "f": [2]}}, "g": [3], "h": "text", "j": {"k": 1},
    }  # fmt: skip
    assert under["b"] == {"c": 1, "d": {"e": 1, "f": [1]}}


def test_profile_defaults_lie_below_the_manifests_and_those_below_the_job() -> None:
    text = 'defaults: { size: 720x1280, seconds: "8" }\njobs: [{ id: a, prompt: x, seconds: "12" }]\n'
    assert specs(text)[0].request == {"model": "sora-2", "size": "720x1280", "seconds": "12", "prompt": "x"}


def test_metadata_is_sent_only_where_the_profile_says_so_and_kept_always() -> None:
    text = "jobs: [{ id: a, prompt: x, metadata: { k: 1 } }]\n"
    silent = RequestRules("", RULES.defaults, metadata=False)
    assert specs(text)[0].request["metadata"] == {"k": 1}
    (spec,) = specs(text, rules=silent)
    assert "metadata" not in spec.request
    assert spec.metadata == {"k": 1}


def test_every_job_has_a_take_and_takes_share_their_request() -> None:
    found = specs("jobs: [{ id: a.B, prompt: x, takes: 3, tags: [t] }]\n")
    assert [(spec.name, spec.take, spec.output, spec.tags) for spec in found] == [
        ("a.B#1", 1, "a.B-t1.mp4", ("t",)),
        ("a.B#2", 2, "a.B-t2.mp4", ("t",)),
        ("a.B#3", 3, "a.B-t3.mp4", ("t",)),
    ]
    assert len({spec.request_hash for spec in found}) == 3


def test_the_origin_of_a_job_is_its_entry_or_its_row() -> None:
    text = "jobs:\n  - id: a\n    prompt: x\n  -  { id: 'r{{ row_number }}', from: p.txt }\n"
    found = specs(text, tables={"p.txt": "one\n\ntwo"})
    assert [spec.origin for spec in found] == ["m.yaml:5:5", "p.txt:1:1", "p.txt:3:1"]


def test_names_and_metadata_are_outside_identity_and_pixels_inside() -> None:
    def hash_of(job: str) -> str:
        return specs(f"jobs: [{{ {job} }}]\n")[0].request_hash

    assert hash_of("id: a, prompt: x") == hash_of("id: b, prompt: x, tags: [t], metadata: { k: v }")
    assert hash_of("id: a, prompt: x") == hash_of('id: a, prompt: x, size: 1280x720, seconds: "4", model: sora-2')
    assert hash_of("id: a, prompt: x") != hash_of("id: a, prompt: y")


def test_limits_are_those_that_are_written() -> None:
    found, problems = manifest("limits: { downloads: 2.0, polls_per_second: 0.5 }\njobs: [{ id: a, prompt: x }]\n")
    assert problems == []
    assert dict(found.limits) == {"downloads": 2, "polls_per_second": 0.5}
    assert type(found.limits["downloads"]) is int


def test_variables_come_from_the_command_line_before_the_manifest() -> None:
    text = 'vars: { a: one, b: two }\njobs: [{ id: a, prompt: "{{ a }} {{ b }}" }]\n'
    assert specs(text, b="three {{ a }}")[0].request["prompt"] == "one three {{ a }}"


def test_variables_that_nobody_declared_or_that_are_no_text_are_problems() -> None:
    text = "vars: { style: x }\njobs: [{ id: a, prompt: x }]\n"
    assert told(text, stile="y") == ["m.yaml:4:1 undeclared-variable"]
    assert told("jobs: [{ id: a, prompt: x }]\n", style="y") == ["m.yaml:1:1 undeclared-variable"]
    assert told(text, style="caf\udce9") == ["m.yaml:4:1 character"]
    _, problems = manifest(text, stile="y")
    assert problems[0].fix == "write --var style=..."


def test_a_placeholder_in_a_variable_and_a_cut_prompt_are_warnings() -> None:
    text = 'vars: { a: "{{ b }}" }\njobs:\n  - id: a\n    prompt: one # two\n  - { id: b, prompt: "one # two" }\n'
    _, problems = manifest(text)
    document, _ = parse((HEAD + text).encode(), file="m.yaml")
    assert document is not None
    problems += advice.about([read(document, schema("manifest"))[0]])
    assert [(p.line, p.column, p.rule, p.severity) for p in problems] == [
        (4, 13, "placeholder-in-variable", "warning"),
        (7, 17, "comment-in-prompt", "warning"),
    ]
    assert told('vars: { a: "{{ b }}" }\njobs: [{ id: a, prompt: "{{ a }}" }]\n', a="x") == []


def test_rows_fill_every_field_that_may_differ() -> None:
    text = """\
vars: { style: grainy }
jobs:
  - id: "{{ row.k }}-{{ row_number }}"
    from: t.csv
    prompt: "{{ row.p }}, {{ style }}"
    size: "{{ row.w }}x{{ row.h }}"
    seconds: "{{ row.s }}"
    model: "{{ row.m }}"
    tags: [all, "{{ row.k }}"]
    metadata: { n: "{{ row_number }}", deep: [{ p: "{{ row.p }}" }], same: 1 }
"""
    table = "k,p,w,h,s,m\na,{{ style }},1280,720,4,sora-2\nb,two,720,1280,12,sora-2\n"
    first, second = specs(text, tables={"t.csv": table})
    assert first.name == "a-1#1"
    assert first.tags == ("all", "a")
    assert first.request == {
        "model": "sora-2", "size": "1280x720", "seconds": "4", "prompt": "{{ style }}, grainy",
        "metadata": {"n": "1", "deep": [{"p": "{{ style }}"}], "same": 1},
    }  # fmt: skip
    assert second.request["size"] == "720x1280"
    assert second.metadata == {"n": "2", "deep": [{"p": "two"}], "same": 1}


def test_a_wrong_row_is_told_with_its_columns() -> None:
    text = 'jobs:\n  - id: "{{ row_number }}"\n    from: t.csv\n    size: "{{ row.w }}x{{ row.h }}"\n'
    found, problems = manifest(text)
    more = expand(found, RULES, REQUEST, {"t.csv": "prompt,w,h\nx,1280,720\nx,1920,1080\n"}).problems
    assert problems == []
    allowed = "720x1280, 1280x720, 1024x1792, 1792x1024"
    assert [(p.line, p.message, p.fix) for p in more] == [
        (
            3,
            f'size must be one of {allowed}, not "1920x1080" (row 2, column "h", column "w")',
            "write 1792x1024",
        )
    ]


def test_a_mistake_that_is_written_once_is_told_once() -> None:
    assert told("defaults: { size: 1x1 }\njobs: [{ id: a, prompt: x, takes: 9 }, { id: b, prompt: y }]\n") == [
        "m.yaml:4:19 wrong-value"
    ]
    text = 'jobs: [{ id: "a{{ row_number }}", from: p.txt, size: 1x1, prompt: "{{ no }}" }]\n'
    assert told(text, tables={"p.txt": "x\n" * 50}) == ["m.yaml:4:54 wrong-value", "m.yaml:4:68 undefined-name"]


def test_a_default_is_wrong_although_every_job_replaces_it() -> None:
    text = "defaults: { size: 1x1 }\njobs: [{ id: a, prompt: x, size: 1280x720 }]\n"
    assert told(text) == ["m.yaml:4:19 wrong-value"]


def test_a_job_is_wrong_where_it_replaces_a_default() -> None:
    assert told("defaults: { size: 1280x720 }\njobs: [{ id: a, size: 1x1, prompt: x }]\n") == [
        "m.yaml:5:23 wrong-value"
    ]


def test_a_deep_default_is_wrong_where_it_is_written() -> None:
    text = 'defaults: { metadata: { a: { b: "{{ no }}" } } }\njobs: [{ id: a, prompt: x, metadata: { a: { c: 1 } } }]\n'
    assert told(text) == ["m.yaml:4:34 undefined-name"]


def test_what_the_profile_does_not_take_is_told_at_its_key() -> None:
    strict = {"additionalProperties": False, "properties": {"model": {}, "size": {}, "seconds": {}, "prompt": {}}}
    found, _ = manifest("jobs: [{ id: a, prompt: x, metadata: { k: 1 } }]\n")
    problems = expand(found, RULES, strict, {}).problems
    assert [(p.line, p.column, p.rule) for p in problems] == [(4, 28, "unknown-key")]


def test_a_table_without_prompts_is_told_which_column_may_have_them() -> None:
    def fix(table: str, file: str) -> str | None:
        found, _ = manifest(f'jobs: [{{ id: "{{{{ row_number }}}}", from: {file} }}]\n')
        problems = [p for p in expand(found, RULES, REQUEST, {file: table}).problems if p.severity == "error"]
        assert [(p.line, p.column, p.rule) for p in problems] == [(4, 40, "no-prompt")]
        return problems[0].fix

    assert fix("key,caption\na,b\n", "t.csv") == "add columns: { prompt: caption }"
    assert fix("key,words\na,b\n", "t.csv") == "add columns: { prompt: key }"
    assert fix("{}\n", "t.jsonl") == "add columns: { prompt: column }"
    assert told('jobs: [{ id: "{{ row.k }}", from: t.jsonl, prompt: x }]\n', tables={"t.jsonl": "{}\n"}) == [
        "m.yaml:4:15 undefined-name"
    ]


def test_ids_are_unique_with_letters_of_either_case() -> None:
    text = 'jobs:\n  - { id: "{{ row.prompt }}", from: p.txt }\n  - { id: C, prompt: x }\n'
    assert told(text, tables={"p.txt": "a\nb\nA\nc"}) == ["m.yaml:6:11 duplicate-id", "p.txt:3:1 duplicate-id"]


@pytest.mark.parametrize("job_id", ["a b", "-a", ".a", "_a", "a/b", "a#1", "a@b", "é", "", "a" * 129, "a\\n"])
def test_ids_that_are_no_names_are_problems(job_id: str) -> None:
    rules = {problem.split()[1] for problem in told(f'jobs: [{{ id: "{job_id}", prompt: x }}]\n')}
    assert rules <= {"id", "out-of-bounds"}
    assert rules


def test_the_longest_id_is_a_file_name() -> None:
    (spec, *_) = specs(f"jobs: [{{ id: {'a' * 128}, prompt: x, takes: 1000 }}]\n")
    assert len(spec.output) < naming.MAX_PART


PATHS = {
    "a.mp4": None,
    "a b/c.d/é-狐_(1).mp4": None,
    "com10/x.mp4": None,
    "": "end",
    "a": "end",
    "a.MP4": "end",
    ".mp4": "start",
    "/a.mp4": "empty",
    "a//b.mp4": "empty",
    "../a.mp4": "start",
    "a/../b.mp4": "start",
    "./a.mp4": "start",
    "a/.b.mp4": "start",
    "a/-b.mp4": "start",
    "~/a.mp4": None,
    " a.mp4": "space",
    "a /b.mp4": "space",
    "a./b.mp4": "dot",
    "a\\b.mp4": "hold",
    "c:a.mp4": "hold",
    "a\n.mp4": "hold",
    "a\x00.mp4": "hold",
    "a\x9b.mp4": "hold",
    "a\u202e.mp4": "hold",
    "a?.mp4": "hold",
    "con.mp4": "device",
    "Aux/a.mp4": "device",
    "lpt1.x.mp4": "device",
    "com¹.mp4": "device",
    f"{'a' * 197}.mp4": "bytes",
    f"{'é' * 98}.mp4": None,
    f"{'é' * 99}.mp4": "bytes",
}


@pytest.mark.parametrize("path", PATHS)
def test_paths_are_safe_on_every_file_system(path: str) -> None:
    why, expected = naming.path_fault(path), PATHS[path]
    assert (why is None) == (expected is None), why
    assert expected is None or expected in str(why)


def test_file_names_hold_nothing_but_the_jobs_name_and_its_take() -> None:
    text = 'output: {{ filename: "{}" }}\njobs: [{{ id: a, prompt: x, takes: 2 }}, {{ id: b, prompt: x }}]\n'
    found = specs(text.format("x/{{ take }}/{{ id }} {{id}}.mp4"))
    assert [spec.output for spec in found] == ["x/1/a-t1 a-t1.mp4", "x/2/a-t2 a-t2.mp4", "x/1/b-t1 b-t1.mp4"]
    assert told(text.format("{{ take }}.mp4")) == ["m.yaml:4:21 filename"]
    assert told(text.format("{{ name }}{{ id }}{{ row.x }}.mp4")) == [
        "m.yaml:4:22 undefined-name",
        "m.yaml:4:40 undefined-name",
    ]
    assert told(text.format("x" * 70 + "{{ id }}.mp4").replace("id: b", f"id: {'b' * 128}")) == ["m.yaml:4:21 filename"]


def test_jobs_with_a_table_that_nobody_could_read_are_checked_as_far_as_possible() -> None:
    text = (
        'jobs:\n  - { id: "{{ row.k }}", from: no.txt, prompt: "{{ row.any }} {{ no }}" }\n  - { id: b, prompt: x }\n'
    )
    found, _ = manifest(text)
    result = expand(found, RULES, REQUEST, {})
    assert [spec.name for spec in result.specs] == ["b#1"]
    assert [(p.line, p.column, p.rule) for p in result.problems] == [(5, 63, "undefined-name")]


def test_there_are_no_more_jobs_than_anybody_can_pay() -> None:
    text = 'jobs:\n  - { id: "{{ row_number }}", from: p.txt, takes: 1000 }\n  - { id: b, prompt: x }\n'
    assert told(text, tables={"p.txt": "x\n" * 1001}) == ["m.yaml:5:5 too-many-jobs"]


def test_problems_come_by_place_and_the_best_about_a_value_stays() -> None:
    def problem(file: str, line: int, rule: str, column: int = 1) -> Problem:
        return Problem(rule, rule, file, line, column)

    wrong = [
        problem("a.csv", 1, "x"), problem("m", 9, "x"), problem("m", 2, "wrong-type"), problem("m", 2, "wrong-value"),
        problem("m", 2, "missing-key"), problem("m", 9, "x"), problem("m", 2, "wrong-type", 5),
    ]  # fmt: skip
    assert [(p.file, p.line, p.column, p.rule) for p in ordered(wrong, first="m")] == [
        ("m", 2, 1, "missing-key"), ("m", 2, 1, "wrong-value"), ("m", 2, 5, "wrong-type"), ("m", 9, 1, "x"),
        ("a.csv", 1, 1, "x"),
    ]  # fmt: skip


def timed(jobs: int) -> float:
    text = "".join(f"  - {{ id: a{n}, prompt: p{n}, metadata: {{ n: '{n}' }} }}\n" for n in range(jobs))
    start = time.process_time()
    assert len(specs(f"jobs:\n{text}")) == jobs
    return time.process_time() - start


def test_the_time_grows_with_the_jobs_and_not_faster() -> None:
    timed(100)
    assert timed(4000) < 12 * max(timed(500), 0.02)


def test_many_mistakes_take_no_longer_than_many_jobs() -> None:
    start = time.process_time()
    text = "".join(f"  - {{ id: a, prompt: '{{{{ x }}}}', size: {n}x1 }}\n" for n in range(3000))
    assert len(told(f"jobs:\n{text}")) == 8999
    names = ", ".join(f"n{n}: {n}" for n in range(3000))
    assert len(told(f"vars: {{ {names} }}\njobs: [{{ id: a, prompt: x }}]\n")) == 3000
    assert time.process_time() - start < 5

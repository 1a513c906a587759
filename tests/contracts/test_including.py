"""``include``: one manifest in several files. What wins, where paths lead, and what is refused."""

from pathlib import Path
from typing import Any

import pytest

from pipeline import files
from pipeline.errors import ManifestError
from pipeline.including import MAX_DEPTH

HEAD = "version: 1\nname: test\nprovider: simulator\n"


def write(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".yaml").write_text(text if name == "main" else f"version: 1\n{text}")
    return folder / "main.yaml"


def told(path: Path) -> list[str]:
    with pytest.raises(ManifestError) as caught:
        files.load(path, variables={})
    return [f"{Path(p.file).name}:{p.line}:{p.column} {p.rule}" for p in caught.value.problems if p.severity == "error"]


def jobs(path: Path, **variables: str) -> list[tuple[str, Any]]:
    return [(spec.name, spec.request["prompt"]) for spec in files.load(path, variables=variables).specs]


def test_the_file_that_includes_wins_and_a_later_file_wins_over_an_earlier_one(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        main=f"{HEAD}include: [one.yaml, two.yaml]\nvars: {{ a: main }}\ndefaults: {{ metadata: {{ x: main }} }}\n"
        'jobs: [{ id: m, prompt: "{{ a }} {{ b }} {{ c }}" }]\n',
        one="vars: { a: one, b: one, c: one }\ndefaults: { size: 720x1280, metadata: { x: one, y: one } }\n",
        two='vars: { b: two }\ndefaults: { metadata: { y: two, z: two } }\njobs: [{ id: t, prompt: "{{ a }}" }]\n',
    )
    loaded = files.load(path, variables={})
    assert [(spec.name, spec.request["prompt"]) for spec in loaded.specs] == [("t#1", "main"), ("m#1", "main two one")]
    assert {spec.request["size"] for spec in loaded.specs} == {"720x1280"}
    assert [spec.metadata for spec in loaded.specs] == [{"x": "main", "y": "two", "z": "two"}] * 2
    assert jobs(path, b="line") == [("t#1", "main"), ("m#1", "main line one")]


def test_patterns_are_read_in_the_order_of_names_and_a_file_once(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        main=f'{HEAD}include: ["jobs/*.yaml", jobs/b.yaml]\n',
        jobs__b="include: [../shared.yaml]\njobs: [{ id: b, prompt: x }]\n",
        jobs__a="include: [../shared.yaml]\njobs: [{ id: a, prompt: y }]\n",
        shared="jobs: [{ id: s, prompt: z }]\n",
    )
    assert [name for name, _ in jobs(path)] == ["s#1", "a#1", "b#1"]


def test_paths_lead_from_the_file_that_names_them(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        main=f"{HEAD}include: [sub/part.yaml]\n",
        sub__part="jobs: [{ id: '{{ row_number }}', from: p.txt }]\n",
    )
    (tmp_path / "sub" / "p.txt").write_text("a fox\n")
    assert jobs(path) == [("1#1", "a fox")]


def test_mistakes_are_told_in_the_file_that_has_them(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        main=f"{HEAD}include: [part.yaml, broken.yaml]\njobs: [{{ id: m, prompt: x, seconds: 4 }}]\n",
        part="name: other\ndefaults: { size: 5x5 }\njobs: [{ id: M, prompt: '{{ no }}' }]\n",
        broken="jobs: [\n",
    )
    assert told(path) == [
        "main.yaml:5:14 duplicate-id",
        "main.yaml:5:37 wrong-type",
        "broken.yaml:2:7 syntax",
        "part.yaml:2:1 unknown-key",
        "part.yaml:3:19 wrong-value",
        "part.yaml:4:26 undefined-name",
    ]


def test_what_cannot_be_included_is_told_where_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "campaign").mkdir()
    write(tmp_path, secret="jobs: [{ id: s, prompt: x }]\n")
    (tmp_path / "campaign" / "link.yaml").symlink_to(tmp_path / "secret.yaml")
    path = write(
        tmp_path / "campaign",
        main=f'{HEAD}include: [no.yaml, "no/*.yaml", ../secret.yaml, link.yaml, ".", "../*.yaml", "a\\0b"]\n'
        "jobs: [{ id: a, prompt: x }]\n",
    )
    assert told(path) == [f"main.yaml:4:{column} include" for column in (11, 20, 33, 49, 60, 65, 78)]


def test_files_that_include_one_another_are_told_with_the_chain(tmp_path: Path) -> None:
    path = write(tmp_path, main=f"{HEAD}include: [a.yaml]\n", a="include: [b.yaml]\n", b="include: [a.yaml]\n")
    assert told(path) == ["main.yaml:4:1 missing-key", "b.yaml:2:11 include-cycle"]
    with pytest.raises(ManifestError, match="2 problems") as caught:
        files.load(path, variables={})
    assert "a.yaml -> b.yaml -> a.yaml" in caught.value.problems[1].message


def test_there_is_a_depth_that_nobody_needs(tmp_path: Path) -> None:
    last = MAX_DEPTH + 2
    texts = {f"f{n}": f"include: [f{n + 1}.yaml]\n" for n in range(1, last)}
    path = write(
        tmp_path, main=f"{HEAD}include: [f1.yaml]\njobs: [{{ id: a, prompt: x }}]\n", **texts, **{f"f{last}": ""}
    )
    assert told(path) == [f"f{MAX_DEPTH}.yaml:2:11 include"]


def test_no_jobs_at_all_are_no_campaign(tmp_path: Path) -> None:
    path = write(tmp_path, main=f"{HEAD}include: [a.yaml]\n", a="vars: { x: y }\n")
    assert told(path) == ["main.yaml:4:1 missing-key"]


def test_a_pattern_follows_no_links_and_looks_at_nothing_outside(tmp_path: Path) -> None:
    path = write(
        tmp_path, main=f'{HEAD}include: ["**/x*.yaml"]\n', deep__er__x1="jobs: [{ id: a, prompt: y }]\n", x2=""
    )
    for number in range(8):
        (tmp_path / f"loop{number}").symlink_to(tmp_path)
    (tmp_path / "root").symlink_to("/")
    assert jobs(path) == [("a#1", "y")]
    path.write_text(f'{HEAD}include: ["{"*/" * 12}x*.yaml", "root/usr/**/x*.yamlx"]\n')
    assert told(path) == ["main.yaml:4:1 missing-key", "main.yaml:4:11 include", f"main.yaml:4:{11 + 24 + 11} include"]

"""Mistakes put into good manifests: each is found, by its rule, at exactly its line and column, and nothing else is.

The manifests and the places come from ``building.py`` and ``mistakes.py``; the tool is asked only for its answer.
"""

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from fuzz import promises
from fuzz.building import Project
from fuzz.mistakes import FATAL, KINDS, Made, Unfit, made

SEED = 20260202
EACH = 14
"""Manifests for each kind: together a thousand."""


def projects(kinds: list[str], seed: int) -> Iterator[tuple[int, Project, list[Made]]]:
    """Yield numbers, and the projects that they make, with mistakes of the kinds in them."""
    random = Random(f"{seed}/{kinds}")
    for _ in range(10_000):
        number = random.randrange(1 << 30)
        project = Project(number)
        try:
            yield number, project, [*made(project, kinds)]
        except Unfit:
            continue


def check(folder: Path, number: int, project: Project, mistakes: list[Made], *, alone: bool) -> None:
    """A good project has no errors, and the same project with mistakes has those."""
    good, bad = folder / f"{number}-good", folder / f"{number}-bad"
    for path in (good, bad):
        path.mkdir()
    Project(number).write(good)
    assert errors(good) == []
    project.write(bad)
    expected = sorted((*mistake.place(), mistake.rule) for mistake in mistakes)
    found = errors(bad)
    missed = [mistake for mistake in expected if mistake not in found]
    assert not missed, f"of Project({number}) {missed} was missed, and found was {found}"
    assert not alone or found == expected


def errors(folder: Path) -> list[tuple[str, int, int, str]]:
    loaded, problems = promises.outcome(folder / Project.MAIN)
    assert promises.judged(folder / Project.MAIN, loaded, problems) == []
    return sorted(
        (str(Path(problem.file).relative_to(folder)), problem.line, problem.column, problem.rule)
        for problem in problems
        if problem.severity == "error"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_mistake_is_found_at_its_place_and_nothing_else_is(kind: str, tmp_path: Path) -> None:
    tried = projects([kind], SEED)
    for _ in range(EACH):
        check(tmp_path, *next(tried), alone=True)


@pytest.mark.parametrize("field", ["input_reference: https://example.com/a.png", "extra_body: { fps: 24 }"])
def test_an_unknown_provider_is_not_said_to_lack_anything(field: str, tmp_path: Path) -> None:
    text = f"version: 1\nname: made\nprovider: replicate\njobs:\n  - id: a\n    prompt: A city\n    {field}\n"
    (tmp_path / Project.MAIN).write_text(text)
    assert errors(tmp_path) == [(Project.MAIN, 3, 11, "unknown-provider")]


@pytest.mark.parametrize("part", range(8))
def test_several_mistakes_at_once_are_all_found(part: int, tmp_path: Path) -> None:
    random, together = Random(SEED + part), [kind for kind in KINDS if kind not in FATAL]
    checked = 0
    while checked < 40:
        kinds = random.sample(together, random.choice((2, 3)))
        tried = next(projects(kinds, SEED + part), None)
        if tried is not None:
            check(tmp_path, *tried, alone=False)
            checked += 1


def test_there_are_mistakes_of_many_kinds_in_a_thousand_manifests() -> None:
    assert len(KINDS) > 80
    assert len(KINDS) * EACH >= 1_000

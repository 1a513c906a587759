"""Combinations of a matrix: those of GitHub Actions, in a stable order, under names that file systems can hold."""

from typing import Any

from pipeline.matrix import MAX_WORK, Combination, Matrix, matrix_of
from pipeline.source import parse


def matrix(text: str) -> Matrix:
    document, problems = parse(f"matrix: {text}".encode(), file="m.yaml")
    assert document is not None
    assert problems == []
    return matrix_of(document.value["matrix"], document, ("matrix",), None)


def cells(found: Combination) -> dict[str, Any]:
    return {name: cell.value for name, cell in found.cells.items()}


def combined(text: str) -> list[dict[str, Any]]:
    found, problems = matrix(text).combinations()
    assert problems == []
    return [cells(combination) for combination in found]


def names(text: str) -> list[str]:
    return [combination.suffix for combination in matrix(text).combinations()[0]]


def told(text: str) -> list[tuple[int, str, str]]:
    return [(p.column, p.rule, p.severity) for p in matrix(text).combinations()[1]]


def test_every_combination_is_there_in_the_order_of_writing() -> None:
    assert combined("{ a: [x, y], b: [p, q] }") == [
        {"a": "x", "b": "p"}, {"a": "x", "b": "q"}, {"a": "y", "b": "p"}, {"a": "y", "b": "q"},
    ]  # fmt: skip


def test_include_is_that_of_github_actions() -> None:
    """The example of GitHub's documentation, "Expanding or adding matrix configurations"."""
    text = """{ fruit: [apple, pear], animal: [cat, dog], include: [
        { color: green }, { color: pink, animal: cat }, { fruit: apple, shape: circle },
        { fruit: banana }, { fruit: banana, animal: cat }] }"""
    assert combined(text) == [
        {"fruit": "apple", "animal": "cat", "color": "pink", "shape": "circle"},
        {"fruit": "apple", "animal": "dog", "color": "green", "shape": "circle"},
        {"fruit": "pear", "animal": "cat", "color": "pink"},
        {"fruit": "pear", "animal": "dog", "color": "green"},
        {"fruit": "banana"},
        {"fruit": "banana", "animal": "cat"},
    ]


def test_include_alone_is_a_list_of_combinations() -> None:
    assert combined("{ include: [{ a: x }, { a: y, b: z }] }") == [{"a": "x"}, {"a": "y", "b": "z"}]
    assert names("{ include: [{ a: x }, { a: y, b: z }] }") == ["@x", "@y-z"]


def test_exclude_leaves_out_whatever_fits_all_of_an_entry_and_include_comes_after_it() -> None:
    text = "{ a: [x, y], b: [p, q], exclude: [{ a: x }, { b: q, a: y }], include: [{ a: x, b: p, c: z }] }"
    assert combined(text) == [{"a": "y", "b": "p"}, {"a": "x", "b": "p", "c": "z"}]


def test_an_exclude_that_can_fit_nothing_is_told() -> None:
    assert told("{ a: [x], exclude: [{ b: x }] }") == [(31, "exclude", "error")]
    assert told("{ a: [x], exclude: [{ a: y }] }") == [(29, "unused-exclude", "warning")]


def test_what_an_entry_of_include_adds_is_in_no_name_that_was_there_before() -> None:
    assert names("{ a: [x, y], include: [{ a: x, mood: calm }] }") == ["@x", "@y"]


def test_names_have_values_as_they_are_or_a_part_of_their_hash() -> None:
    found = names('{ a: [1280x720, "a b", "é", "", "' + "x" * 33 + '"], metadata: [{ k: 1 }] }')
    assert found[0] == "@1280x720-a0da1fce"
    assert [len(name) for name in found[1:]] == [18] * 4
    assert len(set(found)) == 5


def test_how_much_work_a_matrix_is_is_known_before_it_is_done() -> None:
    axes = ", ".join(f"a{axis}: [{', '.join(map(str, range(100)))}]" for axis in range(30))
    large = matrix(f"{{ {axes} }}")
    assert large.size == 100**30
    assert large.work > MAX_WORK

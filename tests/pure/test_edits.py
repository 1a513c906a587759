"""Edits change what they name and nothing around it."""

from pipeline.edits import difference, edited
from pipeline.errors import Edit, Problem


def problem(line: int, column: int, old: str, new: str, file: str = "m.yaml") -> Problem:
    return Problem("r", "m", file, line, column, edit=Edit(old, new))


def test_every_edit_is_made_where_it_belongs_and_nothing_else_changes() -> None:
    text = "a: 4  # é\r\nduration: 8\r\n\r\nb: [x]\n"
    found = [problem(2, 11, "8", '"8"'), problem(1, 4, "4", '"4"'), problem(2, 1, "duration", "seconds")]
    assert edited("m.yaml", text, found) == 'a: "4"  # é\r\nseconds: "8"\r\n\r\nb: [x]\n'


def test_edits_of_other_files_and_those_that_do_not_fit_are_left() -> None:
    text = "a: 4\n"
    found = [problem(1, 4, "4", "5", "other.yaml"), problem(1, 1, "b", "c"), Problem("r", "m", "m.yaml", 1, 4)]
    assert edited("m.yaml", text, found) == text


def test_of_two_edits_that_overlap_the_first_is_made() -> None:
    assert edited("m.yaml", "abcd", [problem(1, 1, "abc", "x"), problem(1, 3, "cd", "y")]) == "xd"
    assert edited("m.yaml", "abcd", [problem(1, 1, "a", "x"), problem(1, 1, "ab", "y")]) == "xbcd"


def test_what_changed_is_shown_as_people_know_it() -> None:
    assert difference("m.yaml", "a\nb\n", "a\nc\n").splitlines() == [
        "--- m.yaml", "+++ m.yaml", "@@ -1,2 +1,2 @@", " a", "-b", "+c",
    ]  # fmt: skip
    assert difference("m.yaml", "a", "b").count("\\ No newline at end of file") == 2
    assert difference("m.yaml", "a\n", "a\n") == ""

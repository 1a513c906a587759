"""A profile as text: it reads as what it was made of, with the lessons in it, whatever a server called things."""

from typing import Any

import pytest

from pipeline import providers, shipped, source
from pipeline.outlines import outline, taught
from pipeline.symptoms import Lesson


def read(text: str) -> Any:
    document, problems = source.parse(text.encode(), file="draft.yaml")
    assert document is not None
    assert problems == []
    return document.value


@pytest.mark.parametrize("name", shipped.profile_names())
def test_every_profile_reads_as_it_was(name: str) -> None:
    written = providers.written_profile(name)
    text = outline(written, [], ["a head"])
    assert text.startswith("# a head\n")
    assert read(text) == written


def test_what_was_learned_is_in_its_place_with_how_above_it() -> None:
    lessons = [
        Lesson(("abilities", "list"), True, "seen\n- { broken: yaml }\x1b \ud800"),
        Lesson(("errors", "a: b #\x1b'\""), "lost", "an answer"),
        Lesson(("errors", "null"), "server", "another"),
        Lesson(("limits", "requests_per_minute"), 25, "a header"),
    ]
    written = providers.written_profile("litellm")
    found = taught(written, lessons)
    assert "errors" not in written
    text = outline(found, lessons, ["two\nlines"])
    assert read(text) == found
    assert found["errors"] == {"a: b #\x1b'\"": "lost", "null": "server"}
    assert (found["abilities"], found["limits"]["requests_per_minute"]) == ({"same_id": False, "list": True}, 25)
    assert "  # learned: a header\n  requests_per_minute: 25\n" in text
    assert "  # learned: seen?- { broken: yaml }? ?\n  list: true\n" in text

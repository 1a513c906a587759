"""What people see: foreign text shown, never obeyed."""

import io
import unicodedata

import pytest
from rich.console import Console

from pipeline import progress, render
from pipeline.errors import Problem
from pipeline.jobs import Failure, FailureKind, Job, State
from pipeline.onlookers import Begun
from pipeline.summary import Status
from pipeline.tally import Gauges, Tally

HOSTILE = "\x1b[2J\x1b]0;owned\x07 \x9b31m [red]boo[/] [/red] \\ \u202e gnirts \u2066x \u200e \ud800 \r\n\t:smile: \x00"


def console() -> tuple[Console, io.StringIO]:
    shown = io.StringIO()
    return Console(file=shown, force_terminal=True, markup=False, highlight=False, emoji=False, width=200), shown


def assert_inert(text: str) -> None:
    for character in text.replace("\n", ""):
        assert unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}, ascii(character)


def test_foreign_text_is_written_out_on_one_line() -> None:
    shown = render.safe(HOSTILE)
    assert_inert(shown)
    assert "\n" not in shown
    assert "\\x1b[2J" in shown
    assert "[red]boo[/] [/red] \\ " in shown
    assert ":smile:" in shown
    assert len(render.safe("x" * 1000, 50)) == 50


@pytest.mark.parametrize("character", ["é", "漢", "👩\u200d🚀", "\u0627"])
def test_what_people_write_stays_as_they_wrote_it(character: str) -> None:
    assert render.safe(character) == character


def test_a_servers_words_and_a_prompts_cannot_steer_the_terminal(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")  # so that every escape sequence would be theirs
    failure = Failure(FailureKind.SERVER, HOSTILE)
    job = Job(HOSTILE, "h", {"prompt": HOSTILE}, "o", state=State.FAILED, failure=failure, video_id=HOSTILE)
    (tmp_path / "m.yaml").write_bytes(f"prompt: {HOSTILE}\n".encode("utf-8", "replace"))
    out, shown = console()
    render.status(out, Status(HOSTILE, HOSTILE, "USD", (job,)))
    render.problems(out, [Problem("rule", HOSTILE, str(tmp_path / "m.yaml"), 1, 9, HOSTILE)])
    render.failure(out, HOSTILE)
    plain = progress.PlainProgress(out)
    tally = Tally.begun(Status(HOSTILE, HOSTILE, HOSTILE, (job,)), todo=0, renders=(), now=0.0)
    plain.started(Begun(HOSTILE, 0, tally, lambda: 0.0))
    plain.observe(Job("n", "h", {}, "o"), None, job)
    plain.beat(Gauges(1, 1, 0, 0, 1, 0, 1, 0))
    assert_inert(_without_styles(shown.getvalue()))
    assert "[red]boo" in shown.getvalue()


def _without_styles(text: str) -> str:
    """Return the text without bold and dim, which NO_COLOR leaves."""
    for code in ("0", "1", "2", "1;2"):
        text = text.replace(f"\x1b[{code}m", "")
    return text

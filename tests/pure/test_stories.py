"""What the person on call sees: a server's words, a prompt, a file's name: shown, and never obeyed."""

import io
import json
import unicodedata

import pytest
from rich.console import Console

from pipeline import documents, render, stories
from pipeline.aftercare import Shown, Story, Verified
from pipeline.answers import Answer, question
from pipeline.audits import Audit, Surplus
from pipeline.custody import Fault, Wrong
from pipeline.jobs import Failure, FailureKind, Job, State
from pipeline.ledger.reading import Entry
from pipeline.rebuilding import LeftOut, Rebuilt
from pipeline.resolving import Answered, Questions, Spending
from pipeline.videos import Status, Video

HOSTILE = "\x1b[2J\x1b]0;owned\x07 \x9b31m [red]boo[/] [/red] \\ \u202e gnirts \u2066x \u200e \ud800 \r\n\t:smile: \x00"
FAILURE = Failure(FailureKind.SERVER, HOSTILE, code=HOSTILE, request_id=HOSTILE)
JOB = Job(
    HOSTILE,
    HOSTILE,
    {"model": HOSTILE, "prompt": HOSTILE, "size": HOSTILE, "seconds": HOSTILE},
    HOSTILE,
    state=State.HELD,
    attempt=1,
    approvals=1,
    price=0.4,
    sunk=0.1,
    intended_at=0.0,
    base_url=HOSTILE,
    key_fingerprint=HOSTILE,
    idempotency_key=HOSTILE,
    video_id=HOSTILE,
    status=HOSTILE,
    path=HOSTILE,
    bytes=1,
    sha256=HOSTILE,
    failure=FAILURE,
    warnings=(HOSTILE,),
    orphaned=True,
)
VIDEO = Video(
    HOSTILE, HOSTILE, Status.ACTIVE, prompt=HOSTILE, model=HOSTILE, size=HOSTILE, seconds=HOSTILE, created_at=1.0
)
QUESTION = question(JOB, [{"request_id": HOSTILE}], deadline=180.0, unique=True)
ENTRIES = tuple(
    Entry(0.0, HOSTILE, State.HELD, {HOSTILE: HOSTILE, "failure": {HOSTILE: HOSTILE}, "warnings": [HOSTILE]}, raw)
    for raw in (
        b"",
        HOSTILE.encode("utf-8", "surrogatepass"),
        json.dumps({HOSTILE: [HOSTILE]}).encode(),
        b"\xff\xfe" + HOSTILE.encode("utf-8", "replace"),
        b"[" * 100_000,
        b'{"a": 1e999, "b": NaN, "c": ' + b"9" * 5000 + b"}",
    )
)
HEAD = (HOSTILE, HOSTILE, HOSTILE)
COMMAND = ["callsheet", "resolve", HOSTILE]
AUDIT = Audit(
    *HEAD, 0.0, 1, 1, HOSTILE, HOSTILE, (Surplus(VIDEO, 0.1, (QUESTION,)), Surplus(VIDEO, None)), (JOB,), FAILURE
)


@pytest.fixture
def out(monkeypatch: pytest.MonkeyPatch) -> Console:
    monkeypatch.setenv("NO_COLOR", "1")  # so that every escape sequence would be theirs
    return Console(file=io.StringIO(), force_terminal=True, markup=False, highlight=False, emoji=False, width=200)


def shown(out: Console) -> str:
    assert isinstance(out.file, io.StringIO)
    text = out.file.getvalue()
    for code in ("0", "1", "2", "1;2"):  # bold and dim, which NO_COLOR leaves
        text = text.replace(f"\x1b[{code}m", "")
    return text


@pytest.mark.parametrize(
    ("tell", "found"),
    [
        (stories.show, (Shown(*HEAD, (Story(JOB, ENTRIES, True), Story(JOB, (), False))),)),
        (stories.questions, (Questions(*HEAD, (QUESTION,)), COMMAND)),
        (stories.answered, (Answered(*HEAD, Answer.ADOPT, JOB, JOB, VIDEO),)),
        (stories.answered, (Answered(*HEAD, Answer.RESUBMIT, JOB, JOB),)),
        (stories.spending, (Spending(JOB, 0.4, HOSTILE),)),
        (stories.verify, (Verified(HOSTILE, HOSTILE, 1, 1, (Fault(HOSTILE, HOSTILE, Wrong.CHANGED, HOSTILE),), HEAD),)),
        (
            stories.rebuild,
            (
                Rebuilt(
                    HOSTILE,
                    HOSTILE,
                    None,
                    HEAD,
                    HEAD,
                    (LeftOut(HOSTILE, HOSTILE),),
                    (LeftOut(HOSTILE, HOSTILE),),
                    (HEAD[:2],),
                ),
            ),
        ),
        (stories.audit, (AUDIT, COMMAND)),
    ],
    ids=["show", "questions", "adopted", "resubmitted", "spending", "verify", "rebuild", "audit"],
)
def test_nothing_foreign_steers_the_terminal(out: Console, tell, found) -> None:
    tell(out, *found)
    text = shown(out)
    for character in text.replace("\n", ""):
        assert unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}, ascii(character)
    assert "[red]boo[/] [/red] \\ " in text
    assert ":smile:" in text


def test_long_lists_are_cut_and_say_so(out: Console) -> None:
    faults = tuple(Fault("a#1", f"videos/{number}", Wrong.MISSING, "gone") for number in range(150))
    stories.verify(out, Verified("n", "/p", 1, 1, faults, tuple(map(str, range(50)))))
    assert "50 more; --json has them all" in shown(out)
    assert "40 more" in shown(out)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, None),
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1795375654.8685925, "2026-11-22T19:27:34.869Z"),
        (0.9999, "1970-01-01T00:00:01.000Z"),
        (-0.5, "1969-12-31T23:59:59.500Z"),
        (1e300, "1e+300"),
        (float("inf"), "inf"),
        (float("nan"), "nan"),
    ],
)
def test_instants_are_written_in_utc(seconds: float | None, text: str | None) -> None:
    assert documents.utc(seconds) == text


def test_a_command_can_be_pasted_into_a_shell(out: Console) -> None:
    job = Job("shot-1#1", "0" * 64, {}, "o", state=State.HELD)
    asked = question(job, [], deadline=180.0, unique=True)
    stories.questions(out, Questions("n", "/p", None, (asked,)), ["callsheet", "resolve", "my trip.yaml"])
    assert "callsheet resolve 'my trip.yaml' 'shot-1#1' adopt VIDEO_ID" in shown(out)
    assert render.safe("x") == "x"

"""Which ids are surplus, which are missing, and which may answer a question."""

from dataclasses import replace

import pytest

from pipeline import audits
from pipeline.answers import question
from pipeline.errors import UsageError
from pipeline.jobs import Job, State
from pipeline.videos import Status, Video

JOB = Job("a#1", "0" * 64, {"model": "m", "prompt": "A fox", "size": "s", "seconds": "4"}, "a.mp4", attempt=1)
HELD = question(replace(JOB, state=State.HELD, intended_at=1000.0), [], deadline=180.0, unique=True)
LOST = question(replace(JOB, state=State.LOST, intended_at=1000.0, video_id="v"), [], deadline=180.0, unique=True)
VIDEO = Video("v1", "queued", Status.ACTIVE, prompt="A fox", created_at=1001.0)


@pytest.mark.parametrize(
    ("shown", "offset", "fits"),
    [
        ({}, 0.0, True),
        ({"created_at": None}, 0.0, True),
        ({"created_at": 5000.0}, 0.0, True),
        ({"created_at": 939.0}, 0.0, False),
        ({"created_at": 941.0}, 0.0, True),
        ({"created_at": 941.0}, 10.0, False),
        ({"prompt": "A crow"}, 0.0, False),
        ({"prompt": None}, 0.0, False),
        ({"prompt": None, "reference": "other"}, 0.0, False),
    ],
)
def test_a_video_could_be_one_of_a_request_like_it_that_came_before(shown: dict, offset: float, fits: bool) -> None:
    assert audits.could_be(replace(VIDEO, **shown), [HELD, LOST], offset) == ((HELD,) if fits else ())


@pytest.mark.parametrize(
    ("changes", "lacks"),
    [
        ({}, True),
        ({"video_id": None}, False),
        ({"video_id": "seen"}, False),
        ({"state": State.EXPIRED}, False),
        ({"state": State.FAILED}, True),
        ({"expires_at": 99.0}, False),
        ({"expires_at": 101.0}, True),
        ({"submitted_at": 51.0}, False),
        ({"submitted_at": None}, True),
    ],
)
def test_an_id_is_missing_where_the_list_should_show_it(changes: dict, lacks: bool) -> None:
    job = replace(JOB, **{"state": State.DONE, "video_id": "v", "submitted_at": 10.0, **changes})
    assert audits.missing(job, {"seen"}, began=50.0, now=100.0) is lacks


def test_the_window_begins_where_it_is_said_to() -> None:
    assert [audits.within(replace(VIDEO, created_at=at), 10.0) for at in (9.9, 10.0, None)] == [False, True, True]
    assert audits.within(replace(VIDEO, created_at=0.0), None)


@pytest.mark.parametrize(
    ("data", "ids"),
    [
        (b"a\nb\n", ["a", "b"]),
        (b"a\r\n\r\n b \r\na\r\n", ["a", "b"]),
        (b"\xef\xbb\xbfid\na", ["a"]),
        (b"When,Video_ID,id2\n1,a,x\n2,b,y\n", ["a", "b"]),
        (b"video_id,id\nold,new\n", ["new"]),
        (b'id,prompt\n"a","one, two"\nb\n,empty\n', ["a", "b"]),
        (b"a,1\nb,2\n", ["a", "b"]),
        (b'"a\xc3\xa9"\n', ["aé"]),
    ],
)
def test_ids_are_found_in_what_consoles_export(data: bytes, ids: list[str]) -> None:
    assert audits.ids_in(data, "ids.csv") == ids


@pytest.mark.parametrize("data", [b"", b"\n\n", b"id\n", b"id\n,x\n", b"\xff\xfe", b'"a', b"x" * 200_000])
def test_what_holds_no_ids_is_said(data: bytes) -> None:
    with pytest.raises(UsageError, match=r"ids\.csv"):
        audits.ids_in(data, "ids.csv")


def test_unknown_costs_are_counted_and_never_zero() -> None:
    assert audits.total([0.5, None, 0.25, None]) == (0.75, 2)


def test_the_gravest_exit_code_holds() -> None:
    found = audits.Audit("n", "/p", "s", None, 0, 0, None, None, (), ())
    assert found.exit_code == 0
    assert replace(found, surplus=(audits.Surplus(VIDEO, None),)).exit_code == 1
    assert replace(found, missing=(JOB,)).exit_code == 1

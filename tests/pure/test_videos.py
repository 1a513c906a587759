"""What servers answer, read as values: every shape here was seen on a real one."""

import json

import pytest

from pipeline.jobs import FailureKind
from pipeline.videos import MAX_JSON, Status, parse_video


def body(**value: object) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("queued", Status.ACTIVE),
        ("IN_PROGRESS", Status.ACTIVE),
        ("NOT_START", Status.ACTIVE),
        ("polishing", Status.ACTIVE),
        ("", Status.ACTIVE),
        (" Completed ", Status.READY),
        ("SUCCESS", Status.READY),
        ("failed", Status.FAILED),
        ("cancelled", Status.FAILED),
        ("expired", Status.GONE),
    ],
)
def test_a_status_word_is_read_and_an_unknown_one_is_never_done(word: str, status: Status) -> None:
    video = parse_video(body(id="v", status=word))
    assert video is not None
    assert video.status is status


def test_numbers_come_in_every_dress() -> None:
    video = parse_video(
        body(id="v", status="x", progress="45%", created_at=1764347090922, expires_at="1764347090", seconds=4)
    )
    assert video is not None
    assert (video.progress, video.created_at, video.expires_at, video.seconds) == (45, 1764347090.922, 1764347090, "4")


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"null",
        b"[]",
        b"<html>",
        b'{"id": "v"}',
        b'{"id": 5, "status": "queued"}',
        b'{"id": "", "status": "queued"}',
        b'{"id": "a b", "status": "queued"}',
        b'{"id": "\\ud800", "status": "queued"}',
        b'{"id": "' + b"x" * 513 + b'", "status": "queued"}',
        b'{"id": "v", "status": "queued", "progress": NaN}',
        b"[" * 100_000,
        b'{"id": "v", "status": "queued"' + b" " * MAX_JSON + b"}",
    ],
)
def test_what_is_no_video_is_none(wrong: bytes) -> None:
    assert parse_video(wrong) is None


def test_half_a_surrogate_pair_becomes_something_that_can_be_stored() -> None:
    made = parse_video(b'{"id": "v", "status": "\\ud800", "prompt": "\\udfff"}')
    assert made is not None
    for text in (made.word, made.prompt):
        assert text is not None
        text.encode()


def test_the_answer_to_a_create_needs_only_an_id() -> None:
    assert parse_video(body(id="task_1"), created=True) is not None
    assert parse_video(body(error={"message": "no"}), created=True) is None


def test_a_failed_video_tells_why() -> None:
    video = parse_video(body(id="v", status="failed", error={"code": "moderation_blocked", "message": "blocked"}))
    assert video is not None
    assert video.failure is not None
    assert (video.failure.kind, video.failure.message) == (FailureKind.MODERATION_OUTPUT, "blocked")

"""What servers answer, read as values: every shape here was seen on a real one."""

import json
from pathlib import Path

import pytest

from pipeline.jobs import FailureKind
from pipeline.videos import MAX_JSON, Status, parse_failure, parse_video

PAIRS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "litellm_pairs.jsonl"


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
    failure = parse_failure(400, {}, b'{"error": {"message": "\\ud83d bad", "code": "\\ud800", "param": "\\ud800"}}')
    for text in (made.word, made.prompt, failure.message, failure.code, failure.param):
        assert text is not None
        text.encode()


def test_the_answer_to_a_create_needs_only_an_id() -> None:
    assert parse_video(body(id="task_1"), created=True) is not None
    assert parse_video(body(error={"message": "no"}), created=True) is None


def test_a_failed_video_tells_why() -> None:
    video = parse_video(body(id="v", status="failed", error={"code": "moderation_blocked", "message": "blocked"}))
    assert video is not None
    assert video.failure is not None
    assert (video.failure.kind, video.failure.message) == (FailureKind.MODERATION, "blocked")


def _wrapped(inner: dict[str, object]) -> dict[str, object]:
    disguise = "litellm.BadRequestError: litellm.ContentPolicyViolationError: "
    text = f"{disguise}{json.dumps({'error': inner})}\nmodel=az-sora-2."
    return {"error": {"message": text, "type": "invalid_request_error", "param": None, "code": "400"}}


@pytest.mark.parametrize(
    ("status", "answer", "kind", "param"),
    [
        (
            400,
            _wrapped({"message": "Invalid value: '1920x1080'.", "param": "size", "code": "invalid_value"}),
            FailureKind.INVALID_REQUEST,
            "size",
        ),
        (401, _wrapped({"message": "Incorrect key", "param": None, "code": "invalid_api_key"}), FailureKind.AUTH, None),
        (
            400,
            _wrapped({"message": "Your request was blocked by our moderation system.", "code": "moderation_blocked"}),
            FailureKind.MODERATION,
            None,
        ),
        (400, {"error": {"message": "rejected as a result of our safety system"}}, FailureKind.MODERATION, None),
        (429, {"error": {"message": "slow down", "code": "rate_limit_exceeded"}}, FailureKind.RATE_LIMITED, None),
        (429, {"error": {"message": "You exceeded your current quota"}}, FailureKind.QUOTA_EXHAUSTED, None),
        (400, {"error": {"code": "billing_hard_limit_reached"}}, FailureKind.QUOTA_EXHAUSTED, None),
        (402, {"error": "pay"}, FailureKind.QUOTA_EXHAUSTED, None),
        (404, {"detail": "Video not found"}, FailureKind.NOT_FOUND, None),
        (
            422,
            {"detail": [{"loc": ["body", "prompt"], "msg": "Field required"}]},
            FailureKind.INVALID_REQUEST,
            "prompt",
        ),
        (400, {"code": "task_not_exist", "message": "no such task", "data": None}, FailureKind.INVALID_REQUEST, None),
        (502, {"error": {"message": "bad gateway", "code": "None"}}, FailureKind.SERVER, None),
    ],
)
def test_an_error_is_unwrapped_and_classified(
    status: int, answer: object, kind: FailureKind, param: str | None
) -> None:
    failure = parse_failure(status, {"x-request-id": "r1"}, json.dumps(answer).encode())
    assert (failure.kind, failure.param, failure.http_status, failure.request_id) == (kind, param, status, "r1")
    assert "ContentPolicyViolationError" not in failure.message


def test_a_page_of_html_becomes_one_short_line() -> None:
    failure = parse_failure(502, {}, b"<html><h1>502   Bad\nGateway</h1>" + b"x" * 10_000)
    assert failure.message.startswith("502 Bad Gateway")
    assert len(failure.message) <= 300


@pytest.mark.skipif(not PAIRS.exists(), reason="the recorded gateway answers are not on this machine")
def test_of_recorded_answers_every_wrong_parameter_is_shown_as_one() -> None:
    expected = {
        "create_size_1920x1080": "size",
        "create_duration_instead": "duration",
        "create_seconds_bad_string": "seconds",
    }
    seen = 0
    for line in PAIRS.read_text().splitlines():
        pair = json.loads(line)
        if pair["case"] in expected and pair["response"]["status"] == 400:
            raw = pair["response"]["body"]
            failure = parse_failure(400, {}, (raw if isinstance(raw, str) else json.dumps(raw)).encode())
            assert (failure.kind, failure.param) == (FailureKind.INVALID_REQUEST, expected[pair["case"]])
            seen += 1
    assert seen >= 6

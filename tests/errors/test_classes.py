"""What a profile may say about a server's errors, and what it may not; and what old ledgers say."""

import json

import pytest

from pipeline.classes import REFUSALS, Asked, classify
from pipeline.jobs import FailureKind
from pipeline.ledger.rows import failure_from
from pipeline.videos import parse_video

CODES = {"E1303": FailureKind.MODERATION_INPUT, "busy": FailureKind.RATE_LIMITED}


def error(code: str, message: str = "no") -> bytes:
    return json.dumps({"error": {"message": message, "code": code}}).encode()


@pytest.mark.parametrize(
    ("asked", "status", "code", "kind"),
    [
        (Asked.CREATE, 400, "E1303", FailureKind.MODERATION_INPUT),
        (Asked.CREATE, 401, "busy", FailureKind.RATE_LIMITED),
        (Asked.CREATE, 400, "e1303", FailureKind.INVALID_REQUEST),
        (Asked.STATUS, 500, "busy", FailureKind.RATE_LIMITED),
        (Asked.CONTENT, 404, "busy", FailureKind.RATE_LIMITED),
        (Asked.LIST, 500, "busy", FailureKind.RATE_LIMITED),
        (Asked.CREATE, 500, "E1303", FailureKind.AMBIGUOUS),
        (Asked.CREATE, 200, "busy", FailureKind.AMBIGUOUS),
    ],
)
def test_a_servers_own_codes_come_first_but_do_not_undo_a_doubt(
    asked: Asked, status: int, code: str, kind: FailureKind
) -> None:
    assert classify(asked, status, {}, error(code), codes=CODES).kind is kind


def test_a_servers_own_codes_are_believed_of_a_failed_video() -> None:
    body = b'{"id": "v", "status": "failed", "error": {"code": "E1303", "message": "no"}}'
    for codes, kind in ((CODES, FailureKind.MODERATION_INPUT), ({}, FailureKind.SERVER)):
        video = parse_video(body, codes=codes)
        assert video is not None
        assert video.failure is not None
        assert video.failure.kind is kind


@pytest.mark.parametrize(
    ("refusals", "status", "kind"),
    [
        (REFUSALS, 503, FailureKind.AMBIGUOUS),
        (REFUSALS | {503}, 503, FailureKind.INVALID_REQUEST),
        (REFUSALS - {400}, 400, FailureKind.AMBIGUOUS),
    ],
)
def test_which_statuses_prove_that_nothing_was_created_can_be_said(
    refusals: frozenset[int], status: int, kind: FailureKind
) -> None:
    assert classify(Asked.CREATE, status, {}, error("model_not_found"), refusals=refusals).kind is kind


def test_a_failure_has_the_servers_name_for_the_answer() -> None:
    headers = {"x-litellm-call-id": "second", "llm_provider-x-request-id": "first"}
    failure = classify(Asked.STATUS, 500, headers, b"")
    assert (failure.request_id, failure.http_status) == ("first", 500)


def test_what_old_ledgers_call_moderation_is_read() -> None:
    failure = failure_from('{"kind": "moderation", "message": "blocked"}')
    assert failure is not None
    assert failure.kind is FailureKind.MODERATION_OUTPUT
    with pytest.raises(ValueError, match="nonsense"):
        failure_from('{"kind": "nonsense", "message": "blocked"}')

"""What kind of no an answer is, decided once: by what was asked, by the HTTP status, and by what the server says. Pure.

The server's codes are certain, its status nearly so, its words the least; that is the order in which they are asked.
Exceptions' names are asked never: a ``ContentPolicyViolationError`` may hide a wrong size, and a ``BadRequestError`` a
block by moderation.
"""

import re
from collections.abc import Callable, Mapping
from enum import Enum, auto
from types import MappingProxyType
from typing import Any

from pipeline.envelopes import Complaint, complaint, read
from pipeline.jobs import Failure, FailureKind


class Asked(Enum):
    """What the answer is an answer to."""

    CREATE = auto()
    STATUS = auto()
    CONTENT = auto()
    LIST = auto()


REFUSALS = frozenset({400, 401, 402, 403, 404, 405, 406, 413, 414, 415, 422, 429})
"""Statuses of a create that prove that nothing was created; 429 only as JSON, for a proxy may say so on its own."""

Codes = Mapping[str, FailureKind]
NO_CODES: Codes = MappingProxyType({})


def classify(
    asked: Asked,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    refusals: frozenset[int] = REFUSALS,
    codes: Codes = NO_CODES,
) -> Failure:
    """Return what an answer that is no success means.

    ``codes``: what a server's own codes mean, which is believed before anything else, but not against a status that
    leaves open whether a job was created.
    """
    said = read(body)
    if asked is Asked.CREATE and not _refuses(status, said, refusals):
        kind = FailureKind.AMBIGUOUS
    else:
        kind = _declared(said, codes) or next(kind for test, kind in _RULES[asked] if test(status, said))
    message = said.message
    if asked is Asked.CREATE and status < 300:
        message = f"HTTP {status} without a usable id" + (f": {message}" if message else "")
    if kind is FailureKind.BAD_OUTPUT:
        message = f"what came is no video: {message}"
    return Failure(
        kind=kind,
        message=message or f"HTTP {status} without a message",
        code=said.code or said.type,
        param=said.param or (said.named if kind is FailureKind.INVALID_REQUEST else None),
        http_status=status,
        request_id=request_id(headers),
    )


def video_failure(error: Any, word: str, codes: Codes = NO_CODES) -> Failure:
    """Return why a Video failed, of which the server says the status ``word`` and this ``error``."""
    said = complaint(error) or Complaint()
    misaligned = isinstance(error, dict) and bool(error.get("misalignment"))
    kind = _declared(said, codes)
    if kind is None and (misaligned or _moderated(said)):
        kind = _half(said)
    if kind is None:
        wrong = _certain(said) is FailureKind.INVALID_REQUEST or said.number in {400, 413, 422}
        kind = FailureKind.INVALID_REQUEST if wrong else FailureKind.SERVER
    message = said.message or f"the server says: {word}"
    return Failure(kind, message, code=said.code or said.type, param=said.param)


def request_id(headers: Mapping[str, str]) -> str | None:
    """Return the server's own name for an answer, which the gateway's support will ask for."""
    if _ANY_REQUEST_ID.isdisjoint(headers):  # httpx's headers take long for a look at each
        return None
    return next(headers[name][:200] for name in _REQUEST_IDS if name in headers)


_REQUEST_IDS = (
    "x-request-id",
    "request-id",
    "llm_provider-x-request-id",
    "x-litellm-call-id",
    "x-oneapi-request-id",
)
_ANY_REQUEST_ID = frozenset(_REQUEST_IDS)

_CODES = {
    word: kind
    for kind, words in {
        FailureKind.QUOTA_EXHAUSTED: """insufficient_quota credit_balance_exhausted spend_limit_exceeded
            usage_limit_exceeded billing_hard_limit_reached billing_limit_user_error insufficient_user_quota
            pre_consume_token_quota_failed insufficient_balance insufficient_credits budget_exceeded""",
        FailureKind.AUTH: "invalid_api_key authentication_error auth_error no_db_connection",
        FailureKind.RATE_LIMITED: "rate_limit_exceeded throttling_error",
        FailureKind.INVALID_REQUEST: """invalid_value invalid_type unknown_parameter unsupported_parameter
            missing_required_parameter model_not_found""",
        FailureKind.MODERATION_INPUT: "sensitive_words_detected prompt_blocked",
        FailureKind.MODERATION_OUTPUT: """moderation_blocked content_policy_violation content_filter
            responsibleaipolicyviolation""",
        FailureKind.LOST: "task_not_exist",
        FailureKind.EXPIRED: "video_expired",
        FailureKind.SERVER: "server_error internal_server_error",
    }.items()
    for word in words.split()
}
_MODERATION = frozenset({FailureKind.MODERATION_INPUT, FailureKind.MODERATION_OUTPUT})
_JUDGED = frozenset({"prompt", "negative_prompt", "input_reference", "image", "image_url", "image_reference"})
_NOT_YET = frozenset({400, 404, 409, 410, 422, 425})

_MODERATION_WORDS = re.compile(
    r"safety system|moderation system|usage (?:polic|guideline)|content (?:management )?polic", re.IGNORECASE
)
_OF_THE_INPUT = re.compile(
    r"\A(?:your |the |this |an? )?(?:text |input |user |reference )?(?:prompt|input|image)\b", re.IGNORECASE
)
_QUOTA_WORDS = re.compile(
    r"exceeded your current quota|insufficient (?:balance|credit|quota)|billing hard limit"
    r"|budget has been exceeded|额度不足|余额不足|预扣费额度失败",
    re.IGNORECASE,
)
_THING = r"\b(?:video|content|file|asset|generation|task|job|output|result)s?\b"
_UNKNOWN_WORDS = re.compile(
    rf"{_THING}[^.\n]{{0,100}}\bnot (?:found|exist)|\bno (?:such )?(?:video|task|job)\b|task_not_exist", re.IGNORECASE
)
_AN_ID = r"(?:\s['\"`]?[\w-]*[0-9_][\w-]*['\"`]?)?"
_EXPIRED_WORDS = re.compile(
    rf"{_THING}{_AN_ID}(?:\s(?:has|have|is|are|was|were|already|now|been)){{0,3}}\s(?:expired|no longer available)\b",
    re.IGNORECASE,
)
_WAY_WORDS = re.compile(
    r"\b(?:url|uri|link|address|token|signature|signed|session|key|credential|ticket|slot|lease|cache)", re.IGNORECASE
)
_WAIT_WORDS = re.compile(r"\bnot (?:yet )?(?:ready|complete|finished)|\bin[- ]progress\b", re.IGNORECASE)


def _refuses(status: int, said: Complaint, refusals: frozenset[int]) -> bool:
    return status in refusals and (status != 429 or said.structured)


def _declared(said: Complaint, codes: Codes) -> FailureKind | None:
    return next((codes[word] for word in (said.code, said.type) if word and word in codes), None)


def _certain(said: Complaint) -> FailureKind | None:
    """Return what the server's code means, or else its type."""
    return next((_CODES[word.lower()] for word in (said.code, said.type) if word and word.lower() in _CODES), None)


def _moderated(said: Complaint) -> bool:
    """Tell whether it is a verdict upon what is to be seen. One upon another field is a wrong parameter in disguise.

    A page is none: what stands between us and the API has policies of its own.
    """
    if not said.structured or said.quoted:
        return False
    field = said.param or said.named
    if field is not None and re.split(r"[.\[]", field)[0] not in _JUDGED:
        return False
    certain = _certain(said)
    if certain is None or certain is FailureKind.SERVER:
        return _MODERATION_WORDS.search(said.message) is not None
    return certain in _MODERATION


def _half(said: Complaint) -> FailureKind:
    """Return whether a job was stopped for what was asked, or for what came of it: the server must say the former."""
    asked = said.param or _certain(said) is FailureKind.MODERATION_INPUT or _OF_THE_INPUT.search(said.message)
    return FailureKind.MODERATION_INPUT if asked else FailureKind.MODERATION_OUTPUT


_Test = Callable[[int, Complaint], bool]


def _status(*statuses: int) -> _Test:
    return lambda status, said: status in statuses


def _code(kind: FailureKind) -> _Test:
    return lambda status, said: _certain(said) is kind


def _words(pattern: re.Pattern[str]) -> _Test:
    return lambda status, said: not said.quoted and pattern.search(said.message) is not None


def _all(*tests: _Test) -> _Test:
    return lambda status, said: all(test(status, said) for test in tests)


def _refused(status: int, said: Complaint) -> bool:
    return 400 <= status < 500


def _verdict(status: int, said: Complaint) -> bool:
    """Words are not enough with 403: they may speak of the account."""
    return _moderated(said) and (status != 403 or _coded_verdict(status, said))


def _coded_verdict(status: int, said: Complaint) -> bool:
    return _moderated(said) and _certain(said) in _MODERATION


def _coded_verdict_upon_the_input(status: int, said: Complaint) -> bool:
    return _coded_verdict(status, said) and _half(said) is FailureKind.MODERATION_INPUT


def _gone(status: int, said: Complaint) -> bool:
    """Tell whether the words say that the video itself is gone, for good: it is given up then.

    What leads to it may be renewed, and what is not ready is to come.
    """
    passing = _WAY_WORDS.search(said.message) or _WAIT_WORDS.search(said.message)
    return not passing and _words(_EXPIRED_WORDS)(status, said)


def _structured(status: int, said: Complaint) -> bool:
    return said.structured


def _posing(status: int, said: Complaint) -> bool:
    """Old gateways send an error's body with status 200, as if it were a video."""
    return status == 200 and said.structured


def _anything(status: int, said: Complaint) -> bool:
    return True


_K = FailureKind
_Rules = tuple[tuple[_Test, FailureKind], ...]

#: What is no matter of the one job: the account, the key, the pace.
_EVERYBODYS: _Rules = (
    *((_code(kind), kind) for kind in (_K.QUOTA_EXHAUSTED, _K.AUTH, _K.RATE_LIMITED)),
    (_status(402), _K.QUOTA_EXHAUSTED),
    (_all(_status(403, 429), _words(_QUOTA_WORDS)), _K.QUOTA_EXHAUSTED),
    (_status(401), _K.AUTH),
    (_status(429), _K.RATE_LIMITED),
)
#: The first that fits. ``lost`` of content is not there, or not yet.
_RULES: Mapping[Asked, _Rules] = {
    Asked.CREATE: (
        *_EVERYBODYS,
        (_verdict, _K.MODERATION_INPUT),
        (_status(403), _K.AUTH),
        (_code(_K.INVALID_REQUEST), _K.INVALID_REQUEST),
        (_status(404, 405), _K.NOT_FOUND),
        (_all(lambda status, said: said.param is None, _words(_QUOTA_WORDS)), _K.QUOTA_EXHAUSTED),
        (_anything, _K.INVALID_REQUEST),
    ),
    Asked.STATUS: (
        *_EVERYBODYS,
        (_status(404, 410), _K.LOST),
        (_code(_K.LOST), _K.LOST),
        (_all(_refused, _words(_UNKNOWN_WORDS)), _K.LOST),
        # Words are not enough to give a paid job up: they may speak of the account, or of a gateway's own rules.
        (_all(_refused, _coded_verdict_upon_the_input), _K.MODERATION_INPUT),
        (_all(_refused, _coded_verdict), _K.MODERATION_OUTPUT),
        (_status(403), _K.AUTH),
        (_anything, _K.SERVER),
    ),
    Asked.CONTENT: (
        *_EVERYBODYS,
        (_status(410), _K.EXPIRED),
        (_all(_status(*_NOT_YET), _code(_K.EXPIRED)), _K.EXPIRED),
        (_all(_status(*_NOT_YET), _structured, _gone), _K.EXPIRED),
        (_status(*_NOT_YET), _K.LOST),
        (_code(_K.SERVER), _K.SERVER),
        (_status(403), _K.AUTH),
        (_all(_posing, _code(_K.EXPIRED)), _K.EXPIRED),
        (_all(_posing, _gone), _K.EXPIRED),
        (_all(_posing, _code(_K.LOST)), _K.LOST),
        (_all(_posing, _words(_WAIT_WORDS)), _K.LOST),
        (_all(_posing, _words(_UNKNOWN_WORDS)), _K.LOST),
        (_status(200), _K.BAD_OUTPUT),
        (_anything, _K.SERVER),
    ),
    Asked.LIST: (
        *_EVERYBODYS,
        (_status(403), _K.AUTH),
        (_refused, _K.INVALID_REQUEST),
        (_anything, _K.SERVER),
    ),
}

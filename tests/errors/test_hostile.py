"""Whatever a server sends is read: to an error that can be stored and shown, in work that grows as the answer does."""

import json
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.classes import Asked, classify, video_failure
from pipeline.envelopes import LONGEST_MESSAGE, read
from pipeline.jobs import Failure, FailureKind

STATUSES = st.sampled_from([200, 202, 307, 400, 401, 403, 404, 409, 410, 422, 429, 500, 502])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(["msg", "None"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "detail", "message", "code", "type", "param", "loc", "msg", "x"]), inner
        )
    ),
    max_leaves=12,
)
PIECES = st.lists(
    st.sampled_from(
        ['{"error":', "{'error':", '{\\"error\\":', '"message":', '"', "'", "\\", "{", "}", "null", "<html", "a"]
    )
    | st.text(max_size=5),
    max_size=30,
).map("".join)
BODIES = (
    st.binary(max_size=200)
    | PIECES.map(lambda text: text.encode("utf-8", "surrogatepass"))
    | VALUES.map(lambda value: json.dumps(value).encode())
    | PIECES.map(lambda text: json.dumps({"error": {"message": text}}).encode())
)


def check(failure: Failure) -> None:
    assert failure.kind in FailureKind
    assert 0 < len(failure.message) <= LONGEST_MESSAGE + 100
    for text in (failure.message, failure.code, failure.param):
        (text or "").encode()
    assert len(failure.code or "") <= 200 >= len(failure.param or "")


@given(st.sampled_from(Asked), STATUSES, BODIES)
def test_any_answer_is_classified(asked: Asked, status: int, body: bytes) -> None:
    failure = classify(asked, status, {}, body)
    check(failure)
    if asked is Asked.CREATE and status not in {400, 401, 403, 404, 422, 429}:
        assert failure.kind is FailureKind.AMBIGUOUS


@given(VALUES)
def test_any_error_of_a_video_is_classified(error: object) -> None:
    check(video_failure(error, "failed"))


LARGE = 1 << 20


@pytest.mark.parametrize(
    "unit",
    [
        "{",
        "[",
        '{"error":',
        "{'error':",
        '{\\"error\\":',
        '{"message":"',
        "'\\",
        "\\",
        "\\\\'",
        '"',
        "<",
        "<html",
        "<script>",
        "\n",
        " ",
        "litellm.AError: ",
        "LiteLLMException ",
        "AError",
        "\nmodel=",
        "video ",
        "no ",
        "validation error for a\n",
        "&amp;",
        '"message"   ',
    ],
)
def test_a_megabyte_of_anything_is_soon_read(unit: str) -> None:
    """A few seconds of the processor are a hundred times what it takes; squared it would be hours."""
    text = unit * (LARGE // len(unit))
    began = process_time()
    for body in (text, json.dumps({"error": {"message": text}}), f'{{"error": {{"message": "{text}'):
        read(body.encode())
    assert process_time() - began < 5

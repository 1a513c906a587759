"""The key: found where the profile says, refused where it could leak, shown nowhere."""

import base64

import pytest

from pipeline.credential import find_key
from pipeline.errors import CredentialError
from pipeline.profile import Auth

KEY = "sk-CANARY-0123456789"
AUTH = Auth("bearer", ("FIRST_KEY", "SECOND_KEY"))


def test_a_key_is_taken_from_either_variable_and_stripped() -> None:
    for environment in ({"FIRST_KEY": KEY}, {"SECOND_KEY": f" {KEY}\n"}, {"FIRST_KEY": KEY, "SECOND_KEY": KEY}):
        key = find_key(AUTH, environment)
        assert key is not None
        assert key.header == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, "set FIRST_KEY (or SECOND_KEY)"),
        ({"FIRST_KEY": "  "}, "set FIRST_KEY"),
        ({"FIRST_KEY": KEY, "SECOND_KEY": KEY + "x"}, "FIRST_KEY and SECOND_KEY hold different keys"),
        ({"SECOND_KEY": "sk-CANARY with a space"}, "SECOND_KEY holds no usable key"),
        ({"FIRST_KEY": "sk-CANARY\nX-Evil: 1"}, "FIRST_KEY holds no usable key"),
        ({"FIRST_KEY": "sk-CANARY-é-0123456789"}, "FIRST_KEY holds no usable key"),
        ({"FIRST_KEY": "short"}, "FIRST_KEY holds no usable key"),
    ],
)
def test_a_key_that_cannot_be_used_is_refused_without_showing_it(environment: dict[str, str], words: str) -> None:
    with pytest.raises(CredentialError) as caught:
        find_key(AUTH, environment)
    assert words in str(caught.value)
    assert "CANARY" not in str(caught.value)


def test_a_profile_without_a_key_asks_for_none() -> None:
    assert find_key(Auth("none"), {}) is None


def test_a_key_is_in_no_representation_and_taken_out_of_foreign_text() -> None:
    key = find_key(AUTH, {"FIRST_KEY": KEY})
    assert key is not None
    assert KEY not in f"{key} {key!r} {key.fingerprint}"
    quoted = f"Incorrect API key: {KEY} ({base64.b64encode(KEY.encode()).decode()})".encode()
    assert b"CANARY" not in key.redact(quoted)
    assert base64.b64encode(KEY.encode()) not in key.redact(quoted)


@pytest.mark.parametrize("first", ["s", r"\\s", "%73", "%252573", r"\u0073", r"\\u0073", "&#115;", "&amp;#x73;"])
def test_a_key_is_taken_out_however_its_first_letter_is_written(first: str) -> None:
    key = find_key(AUTH, {"FIRST_KEY": KEY})
    assert key is not None
    assert key.redact_text(f"key={first}{KEY[1:]};") == "key=[key removed];"


@pytest.mark.parametrize("first", ["/", "+", "]", "^", "-", "\\", "&", "%"])
def test_a_key_that_begins_with_a_sign_is_taken_out_too(first: str) -> None:
    text = f"{first}CANARY-0123456789"
    key = find_key(AUTH, {"FIRST_KEY": text})
    assert key is not None
    for writing in (text, text.replace("/", "_").replace("+", "-"), f"%{ord(first):02x}{text[1:]}"):
        assert "CANARY" not in key.redact_text(f"key={writing};")
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for before in range(3):
            encoded = encode(bytes(before) + text.encode()).decode()
            assert encoded[4:20] not in key.redact_text(encoded)

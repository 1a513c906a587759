"""One request, as each kind of server is sent it: nothing is rounded, and what cannot be said is found before."""

import json
from dataclasses import replace
from email import message_from_bytes
from email.message import Message
from urllib.parse import parse_qs

import httpx
import pytest

from pipeline import providers, shipped
from pipeline.bodies import Body, body, inexpressible
from pipeline.profile import Field, ReferenceRules, RequestRules, Travel

REQUEST = {
    "model": "sora-2",
    "prompt": 'Ein "Fuchs" & ünder\nRegen',
    "size": "1280x720",
    "seconds": "8",
    "metadata": {"client": "acme", "shots": [1, 2]},
    "seed": 7,
}
RULES = RequestRules({}, {})
IMAGE = {"sha256": "0" * 64, "media_type": "image/webp", "bytes": 3}


def sent(told: Body) -> tuple[str, bytes]:
    """Return the content type and the bytes that httpx makes of the body."""
    request = httpx.Request("POST", "http://host/v1/videos", **told.arguments(boundary="callsheet-key-1"))
    return request.headers["content-type"], request.read()


def parts(told: Body) -> dict[str, Message]:
    media_type, data = sent(told)
    message = message_from_bytes(b"Content-Type: " + media_type.encode() + b"\r\n\r\n" + data)
    return {str(part.get_param("name", header="content-disposition")): part for part in message.get_payload()}


def test_json_keeps_the_types() -> None:
    media_type, data = sent(body(REQUEST, RULES, None))
    assert (media_type, json.loads(data)) == ("application/json", REQUEST)


def test_a_form_has_all_as_text_and_what_is_no_text_as_json() -> None:
    media_type, data = sent(body(REQUEST, replace(RULES, encoding="form"), None))
    told = {name: values[0] for name, values in parse_qs(data.decode(), strict_parsing=True).items()}
    assert media_type == "application/x-www-form-urlencoded"
    assert told == {**REQUEST, "metadata": '{"client":"acme","shots":[1,2]}', "seed": "7"}


def test_multipart_has_a_part_for_each_field_and_the_same_bytes_every_time() -> None:
    told = body(REQUEST, replace(RULES, encoding="multipart"), None)
    found = parts(told)
    assert {name: part.get_payload(decode=True).decode() for name, part in found.items()} == {
        **REQUEST,
        "metadata": '{"client":"acme","shots":[1,2]}',
        "seed": "7",
    }
    assert all(part.get_filename() is None for part in found.values())
    assert sent(told) == sent(told)


def test_a_field_has_the_servers_name_and_type() -> None:
    rules = replace(RULES, fields={"seconds": Field("duration", "integer"), "prompt": Field("text")})
    told = json.loads(sent(body({"prompt": "x", "seconds": "8"}, rules, None))[1])
    assert told == {"text": "x", "duration": 8}


URL = "https://example.com/a.png"
DATA_URL = "data:image/webp;base64,AAEC"


@pytest.mark.parametrize(
    ("rules", "field", "value"),
    [
        (ReferenceRules(image=Travel("base64")), "input_reference", "AAEC"),
        (ReferenceRules(image=Travel("data_url")), "input_reference", DATA_URL),
        (ReferenceRules(image=Travel("object", "frame")), "frame", {"image_url": DATA_URL}),
        (ReferenceRules(url=Travel("text")), "input_reference", URL),
        (ReferenceRules(url=Travel("object", "image_reference")), "image_reference", {"image_url": URL}),
    ],
)
def test_the_first_frame_travels_as_the_profile_says(rules: ReferenceRules, field: str, value: object) -> None:
    request = {"prompt": "x", "input_reference": IMAGE if rules.image else URL}
    told = body(request, replace(RULES, input_reference=rules), b"\0\1\2" if rules.image else None)
    assert json.loads(sent(told)[1]) == {"prompt": "x", field: value}
    as_form = body(request, replace(RULES, input_reference=rules, encoding="form"), b"\0\1\2" if rules.image else None)
    assert as_form.fields[field] == (value if isinstance(value, str) else json.dumps(value, separators=(",", ":")))


def test_a_file_makes_any_request_multipart() -> None:
    rules = replace(RULES, input_reference=ReferenceRules(image=Travel("file", "frame")))
    found = parts(body({"prompt": "x", "seconds": "4", "input_reference": IMAGE}, rules, b"\0\1\2"))
    assert {name: part.get_payload(decode=True) for name, part in found.items()} == {
        "prompt": b"x",
        "seconds": b"4",
        "frame": b"\0\1\2",
    }
    assert (found["frame"].get_filename(), found["frame"].get_content_type()) == ("input_reference.webp", "image/webp")


@pytest.mark.parametrize(
    ("seconds", "fine"), [("8", True), ("-1", True), ("4.5", False), ("8s", False), ("", False), ("1" * 30, False)]
)
def test_what_is_no_whole_number_is_found_before_it_is_sent_as_one(seconds: str, fine: bool) -> None:
    rules = replace(RULES, fields={"seconds": Field("seconds", "integer")})
    found = list(inexpressible({"prompt": "x", "seconds": seconds}, rules))
    assert [finding.path for finding in found] == ([] if fine else [("seconds",)])


def test_a_further_field_cannot_take_the_place_of_one_under_its_name_on_the_wire() -> None:
    rules = replace(RULES, fields={"seconds": Field("duration")}, extra_body=True)
    assert [finding.path for finding in inexpressible({"seconds": "4", "duration": 9}, rules)] == [
        ("extra_body", "duration")
    ]


@pytest.mark.parametrize("name", shipped.profile_names())
def test_what_a_profile_sends_by_default_can_be_said(name: str) -> None:
    rules = providers.profile(name).request
    assert list(inexpressible({**rules.defaults, "prompt": "x"}, rules)) == []

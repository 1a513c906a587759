"""The first requests: letter by letter what is sent, without a key and without a picture's bytes."""

import json
from dataclasses import replace
from typing import Any

import pytest

from pipeline import providers
from pipeline.bodies import body
from pipeline.previews import preview
from pipeline.profile import Field, Profile, ReferenceRules, Travel

REQUEST = {"model": "sora-2", "prompt": "Ein Fuchs, größer", "size": "1280x720", "seconds": "4"}
IMAGE = {"sha256": "ab" * 32, "media_type": "image/png", "bytes": 5}


def profile(**rules: Any) -> Profile:
    found = providers.profile("simulator")
    return replace(found, request=replace(found.request, **rules))


def test_what_is_shown_is_what_is_sent() -> None:
    wire = profile(fields={"seconds": Field("duration", "integer")})
    shown = preview("fox#1", REQUEST, wire, "https://studio.test/v1")
    assert (shown.url, shown.job, shown.encoding) == ("https://studio.test/v1/videos", "fox#1", "json")
    sent = body(REQUEST, wire.request, None).arguments(boundary="b")
    assert shown.text.encode() == sent["content"]
    assert json.loads(shown.text)["duration"] == 4


def test_without_an_address_there_is_a_path() -> None:
    assert preview("fox#1", REQUEST, profile(), None).url == "/videos"


@pytest.mark.parametrize("encoding", ["form", "multipart"])
def test_in_forms_all_values_are_text(encoding: str) -> None:
    shown = preview("fox#1", {**REQUEST, "metadata": {"a": 1}}, profile(encoding=encoding), None)
    assert shown.encoding == encoding
    assert shown.fields["metadata"] == '{"a":1}'


@pytest.mark.parametrize(
    ("travel", "field", "encoding"),
    [
        (Travel("base64"), "input_reference", "json"),
        (Travel("data_url", "image"), "image", "json"),
        (Travel("object"), "input_reference", "json"),
        (Travel("file"), "input_reference", "multipart"),
    ],
)
def test_a_picture_is_named_by_what_it_is_and_stands_where_it_would_be_sent(
    travel: Travel, field: str, encoding: str
) -> None:
    wire = profile(input_reference=ReferenceRules(travel))
    shown = preview("fox#1", {**REQUEST, "input_reference": IMAGE}, wire, None)
    sent = body({**REQUEST, "input_reference": IMAGE}, wire.request, b"bytes")
    names = set(sent.fields) | ({sent.file.field} if sent.file else set())
    assert (shown.encoding, set(shown.fields)) == (encoding, names)
    told = shown.fields[field]["image_url"] if travel.form == "object" else shown.fields[field]
    assert told == f"(image/png, 5 bytes, sha256 {'ab' * 32})"


def test_what_is_drawn_for_each_attempt_is_said_to_be_so() -> None:
    wire = profile()
    echo = replace(wire, abilities=replace(wire.abilities, echo=True))
    shown = preview("fox#1", {**REQUEST, "metadata": {"project": "spring"}}, echo, None)
    assert shown.fields["metadata"] == {"project": "spring", "callsheet_ref": "(drawn when it is sent)"}

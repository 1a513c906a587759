"""A request in the manifest's words -> the body of a POST, as the profile says that its server takes it. Pure.

What cannot be said to a server is found here before anything is sent; nothing is rounded.
"""

import base64
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.images import SUFFIXES
from pipeline.jobs import canonical_json
from pipeline.profile import Field, RequestRules, Travel
from pipeline.sayings import Finding, shown
from pipeline.videos import REFERENCE as OURS

REFERENCE = "input_reference"
"""The field of a request that has the first frame: a URL, or what stands for an image (``Image.reference``)."""

_WHOLE = re.compile(r"-?[0-9]{1,18}")
_MEMBER = "image_url"


@dataclass(frozen=True, slots=True)
class File:
    """A part of form data with a name of its own."""

    field: str
    name: str
    media_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Body:
    """``encoding`` is a profile's ``request.encoding``. In form data all values are text."""

    encoding: str
    fields: Mapping[str, Any]
    file: File | None = None

    def arguments(self, *, boundary: str) -> dict[str, Any]:
        """Return httpx's arguments for it: the same bytes every time, as an idempotency key may be repeated."""
        if self.encoding == "json":
            return {"content": canonical_json(self.fields).encode(), "headers": {"Content-Type": "application/json"}}
        if self.encoding == "form":
            return {"data": self.fields}
        parts: list[tuple[str, Any]] = [(name, (None, text)) for name, text in self.fields.items()]
        if self.file is not None:
            parts.append((self.file.field, (self.file.name, self.file.data, self.file.media_type)))
        return {"files": parts, "headers": {"Content-Type": f"multipart/form-data; boundary={boundary}"}}


def echoing(request: Mapping[str, Any], key: str | None) -> dict[str, Any]:
    """Return the request with our own reference in it, for a server that shows it again."""
    return {**request, "metadata": {**request.get("metadata", {}), OURS: key}}


def body(request: Mapping[str, Any], rules: RequestRules, image: bytes | None) -> Body:
    """Return what is sent for the request. ``image`` has the bytes that its ``input_reference`` stands for."""
    fields: dict[str, Any] = {}
    file = None
    for name, value in request.items():
        if name != REFERENCE:
            on_the_wire = rules.fields.get(name, Field(name))
            fields[on_the_wire.name] = int(value) if on_the_wire.type == "integer" else value
        elif image is None:
            fields |= _url(value, rules.input_reference.url or Travel("text"))
        else:
            told = _image(image, value["media_type"], rules.input_reference.image or Travel("file"))
            file, fields = (told, fields) if isinstance(told, File) else (None, fields | told)
    encoding = rules.encoding if file is None else "multipart"
    return Body(encoding, fields if encoding == "json" else {name: _text(fields[name]) for name in fields}, file)


def _url(url: str, travel: Travel) -> dict[str, Any]:
    return {travel.field: {_MEMBER: url} if travel.form == "object" else url}


def _image(data: bytes, media_type: str, travel: Travel) -> dict[str, Any] | File:
    if travel.form == "file":
        return File(travel.field, f"{REFERENCE}{SUFFIXES[media_type]}", media_type, data)
    text = base64.b64encode(data).decode("ascii")
    if travel.form == "base64":
        return {travel.field: text}
    return _url(f"data:{media_type};base64,{text}", travel)


def _text(value: Any) -> str:
    """Return a value as form data has it: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else canonical_json(value)


def inexpressible(request: Mapping[str, Any], rules: RequestRules) -> Iterator[Finding]:
    """Yield what in the request cannot be said to the server, though its schema allows it."""
    for name, field in rules.fields.items():
        value = request.get(name)
        if field.type == "integer" and value is not None and not _WHOLE.fullmatch(str(value)):
            yield Finding("wrong-value", f"the provider takes {name} as a whole number, not {shown(value)}", (name,))
    taken = {field.name for name, field in rules.fields.items() if field.name != name}
    travels = rules.input_reference
    if REFERENCE in request:
        taken |= {travel.field for travel in (travels.image, travels.url) if travel and travel.field != REFERENCE}
    for name in request:
        if name in taken and name not in rules.fields:
            message = f"{json.dumps(name)} is what the provider calls another field"
            yield Finding("conflict", message, ("extra_body", name), f"remove {name}", on_key=True)

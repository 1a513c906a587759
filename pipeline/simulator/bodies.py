"""The bodies of create requests: JSON and the two kinds of forms. Starlette's parsers, which need python-multipart."""

import hashlib
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import FormParser, MultiPartException, MultiPartParser
from starlette.requests import Request

from pipeline.simulator.intake import parsed
from pipeline.simulator.refusals import refused

_FORMS = {"multipart/form-data": "multipart", "application/x-www-form-urlencoded": "form"}
_NOT_A_FORM = "We could not parse the form in the body of your request."


@dataclass(frozen=True, slots=True)
class Fields:
    """What a body holds. Of an upload there is what a campaign's records have of an image: sha256, type and length."""

    values: dict[str, Any]
    uploads: dict[str, Any] = field(default_factory=dict)


async def read(request: Request, encodings: Collection[str], *, most: int) -> Fields:
    """Return the fields of the body. Raises Refused for one of more than ``most`` bytes, of another kind, or none."""
    body = await _body(request, most)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    encoding = _FORMS.get(kind, "json")
    if encoding not in encodings:
        parsed(body if encoding != "json" else b"{}")  # what is no JSON either is refused as that
        raise refused(400, f"A body of the type '{kind[:100]}' is not taken here.", reason="encoding", param="prompt")
    return Fields(parsed(body)) if encoding == "json" else await _form(encoding, request.headers, body, most)


async def _form(encoding: str, headers: Headers, body: bytes, most: int) -> Fields:
    async def chunks() -> AsyncGenerator[bytes, None]:
        yield body
        yield b""  # older parsers know the end by it

    multipart = encoding == "multipart"
    parser = MultiPartParser(headers, chunks(), max_part_size=most) if multipart else FormParser(headers, chunks())
    try:
        form = await parser.parse()
    except (MultiPartException, ValueError):
        raise refused(400, _NOT_A_FORM, reason="body") from None
    try:
        # The last of two fields of one name is the one that counts.
        values = {name: value for name, value in form.multi_items() if isinstance(value, str)}
        uploads = {name: await _told(file) for name, file in form.multi_items() if isinstance(file, UploadFile)}
    finally:
        await form.close()
    return Fields(values, uploads)


async def _told(file: UploadFile) -> dict[str, Any]:
    data = await file.read()
    return {"sha256": hashlib.sha256(data).hexdigest(), "media_type": file.content_type, "bytes": len(data)}


async def _body(request: Request, most: int) -> bytes:
    body = bytearray()
    async with aclosing(request.stream()) as chunks:
        async for chunk in chunks:
            body += chunk
            if len(body) > most:
                raise refused(413, f"The request has more than {most >> 20} MiB.", reason="too_large")
    return bytes(body)

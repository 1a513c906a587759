"""The service as an ASGI application. Starlette; no clock, no threads, no state but the service's."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from itertools import count
from typing import Literal

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.simulator.refusals import Refused, refused
from pipeline.simulator.service import VideoService

MAX_BODY = 32 << 20
"""Bytes of a create request: a reference image in base64 has up to 20 MiB."""

_MAX_PAGE = 100
_PAGE = "20"
_ORDERS: Mapping[str, Literal["asc", "desc"]] = {"asc": "asc", "desc": "desc"}

Endpoint = Callable[[Request], Awaitable[Response]]


def application(service: VideoService) -> ASGIApp:
    """Return the application: ``/v1/videos`` and what is below it. Authorization is not looked at."""
    ends = _Endpoints(service)
    app = Starlette(
        routes=[
            Route("/v1/videos", _answering(ends.create), methods=["POST"]),
            Route("/v1/videos", _answering(ends.list), methods=["GET"]),
            Route("/v1/videos/{video_id}", _answering(ends.retrieve), methods=["GET"]),
            Route("/v1/videos/{video_id}", _answering(ends.delete), methods=["DELETE"]),
            Route("/v1/videos/{video_id}/content", _answering(ends.content), methods=["GET"]),
        ],
        exception_handlers={HTTPException: _elsewhere, Exception: _elsewhere},
    )
    app.router.redirect_slashes = False
    return _RequestIds(app, service.now)


class _Endpoints:
    """HTTP to the service's words and back."""

    def __init__(self, service: VideoService) -> None:
        self._service = service

    async def create(self, request: Request) -> Response:
        created = self._service.create(await _body(request), request.headers.get("idempotency-key") or None)
        return JSONResponse(created.video, headers={"idempotent-replayed": "true"} if created.replayed else None)

    async def list(self, request: Request) -> Response:
        asked = request.query_params
        limit, order = _limit(asked.get("limit", _PAGE)), _order(asked.get("order", "desc"))
        return JSONResponse(self._service.page(limit=limit, after=asked.get("after"), order=order))

    async def retrieve(self, request: Request) -> Response:
        return JSONResponse(self._service.retrieve(request.path_params["video_id"]))

    async def delete(self, request: Request) -> Response:
        return JSONResponse(self._service.delete(request.path_params["video_id"]))

    async def content(self, request: Request) -> Response:
        variant, video_id = request.query_params.get("variant", "video"), request.path_params["video_id"]
        if variant != "video":
            raise _invalid("variant", variant, "'video'")
        data = await self._service.content(video_id)
        headers = {"content-disposition": f'attachment; filename="{video_id}.mp4"'}
        return Response(data, media_type="video/mp4", headers=headers)


def _answering(endpoint: Endpoint) -> Endpoint:
    """Turn a refusal into its answer."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except Refused as refusal:
            return JSONResponse(refusal.body, refusal.status)
        except ClientDisconnect:
            return Response(status_code=499)  # nobody reads it

    return answer


async def _elsewhere(request: Request, error: Exception) -> Response:
    """Answer what no endpoint answers: foreign paths and methods, and accidents."""
    status, where = getattr(error, "status_code", 500), f"{request.method} {request.url.path}"
    messages = {404: f"Invalid URL ({where})", 405: f"Method not allowed ({where})"}
    kind = "invalid_request_error" if status < 500 else "server_error"
    refusal = refused(status, messages.get(status, "The server had an error."), kind=kind)
    return JSONResponse(refusal.body, status, headers=getattr(error, "headers", None))


async def _body(request: Request) -> bytes:
    body = bytearray()
    async with aclosing(request.stream()) as chunks:
        async for chunk in chunks:
            body += chunk
            if len(body) > MAX_BODY:
                raise refused(413, f"The request has more than {MAX_BODY >> 20} MiB.")
    return bytes(body)


def _limit(text: str) -> int:
    try:
        limit = int(text)
    except ValueError:
        message = "Invalid type for 'limit': expected an integer, but got a string instead."
        raise refused(400, message, code="invalid_type", param="limit") from None
    if not 0 <= limit <= _MAX_PAGE:
        message = f"Invalid 'limit': expected an integer from 0 to {_MAX_PAGE}, but got {limit} instead."
        raise refused(400, message, code="invalid_value", param="limit")
    return limit


def _order(text: str) -> Literal["asc", "desc"]:
    if text not in _ORDERS:
        raise _invalid("order", text, "'asc' and 'desc'")
    return _ORDERS[text]


def _invalid(param: str, value: str, supported: str) -> Refused:
    message = f"Invalid value: '{value[:100]}'. Supported values are: {supported}."
    return refused(400, message, code="invalid_value", param=param)


class _RequestIds:
    """Gives every answer an ``x-request-id``, an accident's too."""

    def __init__(self, app: ASGIApp, now: Callable[[], float]) -> None:
        self._app, self._now, self._numbers = app, now, count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        seed = f"{self._now()!r} {next(self._numbers)}"
        request_id = f"req_{hashlib.sha256(seed.encode()).hexdigest()[:32]}"

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["x-request-id"] = request_id
            await send(message)

        await self._app(scope, receive, send_with_id)

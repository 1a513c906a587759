"""The service as an ASGI application. Starlette; no clock, no threads, no state but the service's and the faults'."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from itertools import count
from typing import Literal

import anyio
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.simulator import storage, wording
from pipeline.simulator.bodies import Fields, read
from pipeline.simulator.faults import Answer, Fault, Faults
from pipeline.simulator.refusals import Refused, refused
from pipeline.simulator.service import VideoService

MAX_BODY = 32 << 20
"""Bytes of a create request: a reference image in base64 has up to 20 MiB."""

_ORDERS: Mapping[str, Literal["asc", "desc"]] = {"asc": "asc", "desc": "desc"}

Endpoint = Callable[[Request], Awaitable[Response]]


def application(service: VideoService, *, faults: Faults | None = None, key: str | None = None) -> ASGIApp:
    """Return the application: ``/v1/videos`` and what is below it, and the storage that a dialect may redirect to.

    ``key`` is the one that is accepted where the dialect wants one at all; without it any is. What ``faults`` do to
    an answer's bytes is only written into a header, for the proxy (``rawproxy``).
    """
    ends = _Endpoints(service, faults or Faults(), key)
    app = Starlette(
        routes=[
            Route("/v1/videos", ends.answering("create", ends.create), methods=["POST"]),
            Route("/v1/videos", ends.answering("list", ends.list), methods=["GET"]),
            Route("/v1/videos/{video_id}", ends.answering("status", ends.retrieve), methods=["GET"]),
            Route("/v1/videos/{video_id}", ends.answering("delete", ends.delete), methods=["DELETE"]),
            Route("/v1/videos/{video_id}/content", ends.answering("content", ends.content), methods=["GET"]),
            Route(storage.PATH, storage.serving(service), methods=["GET"]),
        ],
        exception_handlers={HTTPException: ends.elsewhere, Exception: ends.elsewhere},
    )
    app.router.redirect_slashes = False
    return _RequestIds(app, service)


class _Endpoints:
    """HTTP to the service's words and back."""

    def __init__(self, service: VideoService, faults: Faults, key: str | None) -> None:
        self._service, self._dialect, self._faults, self._key = service, service.dialect, faults, key

    async def create(self, request: Request, fault: Fault) -> Response:
        fields: Fields = request.state.fields
        key = request.headers.get("idempotency-key") or None
        created = self._service.accept(fields.values, fields.uploads, key, failure=fault.fail)
        headers = {"idempotent-replayed": "true"} if created.replayed else {}
        told = wording.filled(self._dialect.headers.created, created.video)
        return JSONResponse(created.video, headers={**told, **headers})

    async def list(self, request: Request, fault: Fault) -> Response:
        rules, asked = self._dialect.list, request.query_params
        if rules is None:
            raise refused(405, "There is no list of videos here.", reason="no_list")
        limit = _limit(asked["limit"], rules.least, rules.most) if "limit" in asked else rules.limit
        order = asked.get("order", "desc")
        if order not in _ORDERS and not rules.lenient:
            raise _invalid("order", order, "'asc' and 'desc'", "query")
        page = self._service.page(limit=limit, after=asked.get("after"), order=_ORDERS.get(order, "desc"))
        return JSONResponse(page)

    async def retrieve(self, request: Request, fault: Fault) -> Response:
        video, rules = self._service.retrieve(request.path_params["video_id"]), self._dialect.video
        failed = video["status"] == rules.words.get("failed", "failed")
        if fault.progress and isinstance(video.get("progress"), int):
            video["progress"] = 100 - video["progress"]
        if fault.status_word is not None:
            video["status"] = fault.status_word
        return JSONResponse(video, rules.failed_status if failed else 200)

    async def delete(self, request: Request, fault: Fault) -> Response:
        return JSONResponse(self._service.delete(request.path_params["video_id"]))

    async def content(self, request: Request, fault: Fault) -> Response:
        rules, video_id = self._dialect.content, request.path_params["video_id"]
        variant = request.query_params.get("variant")
        if rules.variants is not None and variant is not None and variant not in rules.variants:
            raise _invalid("variant", variant, " and ".join(f"'{name}'" for name in rules.variants), "variant")
        data = await self._service.content(video_id)
        delivery = fault.deliver or rules.delivery
        if delivery != "bytes":
            request.state.elsewhere = True
            url = storage.address(request, video_id, fault.bytewise)
            redirect = delivery == "redirect"
            return Response(status_code=302, headers={"location": url}) if redirect else JSONResponse({"url": url})
        name = rules.file_name.replace("{id}", video_id)
        return Response(data, media_type="video/mp4", headers={"content-disposition": f"attachment; filename={name}"})

    async def elsewhere(self, request: Request, error: Exception) -> Response:
        """Answer what no endpoint answers: foreign paths and methods, and accidents."""
        status, where = getattr(error, "status_code", 500), f"{request.method} {request.url.path}"
        messages = {404: f"Invalid URL ({where})", 405: f"Method not allowed ({where})"}
        reason, kind = {404: "path", 405: "method"}.get(status, "accident"), "invalid_request_error"
        message = messages.get(status, "The server had an error.")
        refusal = refused(status, message, reason=reason, kind=kind if status < 500 else "server_error", where=where)
        answer = self._refusal(refusal)
        answer.headers.update(getattr(error, "headers", None) or {})
        return answer

    def answering(self, action: str, act: Callable[[Request, Fault], Awaitable[Response]]) -> Endpoint:
        """Return the endpoint for an action: refusals become answers, and faults happen."""

        async def answer(request: Request) -> Response:
            try:
                return await self._meddled(action, act, request)
            except Refused as refusal:
                return self._refusal(refusal)
            except ClientDisconnect:
                return Response(status_code=499)  # nobody reads it

        return answer

    async def _meddled(
        self, action: str, act: Callable[[Request, Fault], Awaitable[Response]], request: Request
    ) -> Response:
        refusal = await self._unreadable(request) if action == "create" else None
        fault = self._faults.due(action, self._prompt(request))
        if fault.forget:
            self._service.store.forget()
        await anyio.sleep(fault.delay)
        if fault.hang_up == "before":
            return storage.told(Response(), fault.bytewise)
        if fault.answer and not fault.after:
            return storage.told(self._instead(action, fault.answer), fault.bytewise)
        try:
            if refusal is not None:
                raise refusal
            self._let_in(request)
            response = await act(request, fault)
        except Refused as refused_then:
            response = self._refusal(refused_then)
        if fault.answer:
            response = self._instead(action, fault.answer)
        if hasattr(request.state, "elsewhere") and not fault.hang_up:
            return response  # what is to be done to the bytes is done where they are
        return storage.told(response, fault.bytewise)

    async def _unreadable(self, request: Request) -> Refused | None:
        """Keep the fields of the request's body; return the refusal of one that has none."""
        request.state.fields = Fields({})
        try:
            request.state.fields = await read(request, self._dialect.request.encodings, most=MAX_BODY)
        except Refused as refusal:
            return refusal
        return None

    def _prompt(self, request: Request) -> str:
        video_id = request.path_params.get("video_id")
        if video_id is not None:
            return self._service.prompt(video_id)
        return str(request.state.fields.values.get("prompt")) if hasattr(request.state, "fields") else ""

    def _let_in(self, request: Request) -> None:
        """Raise Refused for one who has no key, or not the right one, where the dialect wants one."""
        if not self._dialect.key:
            return
        given = request.headers.get("authorization")
        if given is None:
            raise refused(401, "Missing bearer authentication in header", reason="key_missing")
        if not given.startswith("Bearer ") or (self._key is not None and given != f"Bearer {self._key}"):
            raise refused(401, "Incorrect API key provided.", reason="key_wrong", code="invalid_api_key")

    def _instead(self, action: str, answer: Answer) -> Response:
        if answer.error is None:
            text = answer.body if isinstance(answer.body, str) else None
            if text is None and answer.body is not None:
                return JSONResponse(answer.body, answer.status, headers=answer.headers)
            return Response(text, answer.status, headers=answer.headers)
        reasons = {"status": "upstream_status", "content": "upstream_content"}
        error = {"message": "", "type": "server_error", "param": None, "code": None} | dict(answer.error)
        response = self._refusal(Refused(answer.status, error, reason=reasons.get(action, "upstream")))
        name = self._dialect.headers.upstream
        if name is not None:
            response.headers.update({name.replace("{name}", key.lower()): text for key, text in answer.headers.items()})
        return response

    def _refusal(self, refusal: Refused) -> Response:
        words = wording.refusal(refusal, self._dialect)
        return Response(words.body, words.status, headers=words.headers)


def _limit(text: str, least: int, most: int) -> int:
    try:
        limit = int(text)
    except ValueError:
        message = "Invalid type for 'limit': expected an integer, but got a string instead."
        raise refused(400, message, reason="query", code="invalid_type", param="limit") from None
    if not least <= limit <= most:
        message = f"Invalid 'limit': expected an integer from {least} to {most}, but got {limit} instead."
        raise refused(400, message, reason="query", code="invalid_value", param="limit")
    return limit


def _invalid(param: str, value: str, supported: str, reason: str) -> Refused:
    message = f"Invalid value: '{value[:100]}'. Supported values are: {supported}."
    return refused(400, message, reason=reason, code="invalid_value", param=param, value=value[:100])


class _RequestIds:
    """Gives every answer an id for the support, an accident's too, where the dialect has one."""

    def __init__(self, app: ASGIApp, service: VideoService) -> None:
        self._app, self._now, self._numbers = app, service.now, count(1)
        self._name = service.dialect.headers.request_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        seed = f"{self._now()!r} {next(self._numbers)}"
        request_id = f"req_{hashlib.sha256(seed.encode()).hexdigest()[:32]}"

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start" and self._name is not None:
                MutableHeaders(scope=message)[self._name] = request_id
            await send(message)

        await self._app(scope, receive, send_with_id)

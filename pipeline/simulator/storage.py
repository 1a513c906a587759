"""The storage behind the API: another host, which knows no key, only its own signatures.

A client that sends its key there too is refused, as stores of objects do, and has shown its key to a stranger.
"""

import hashlib
from collections.abc import Awaitable, Callable
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import Response

from pipeline.simulator.faults import DIRECTIVE
from pipeline.simulator.refusals import Refused
from pipeline.simulator.service import VideoService

PATH = "/storage/{video_id}.mp4"

_OTHER_NAME = {"127.0.0.1": "localhost", "localhost": "127.0.0.1"}
_REFUSAL = "<?xml version='1.0'?><Error><Code>{}</Code><Message>{}</Message></Error>"


def told(response: Response, bytewise: str) -> Response:
    """Write into the response what the proxy is to do to its bytes."""
    if bytewise:
        response.headers[DIRECTIVE] = bytewise
    return response


def address(request: Request, video_id: str, bytewise: str) -> str:
    """Return the signed address of a video's bytes, at the same port under another name of the host.

    What is to be done to the bytes is part of the address.
    """
    host, port = request.url.hostname or "", request.url.port
    other = _OTHER_NAME.get(host, f"storage.{host}")
    path = PATH.replace("{video_id}", quote(video_id, safe=""))
    query = urlencode({"signature": _signature(video_id)} | ({"fault": bytewise} if bytewise else {}))
    return f"{request.url.scheme}://{other}{f':{port}' if port else ''}{path}?{query}"


def serving(service: VideoService) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint of the storage."""

    async def serve(request: Request) -> Response:
        video_id = request.path_params["video_id"]
        if "authorization" in request.headers:
            return _no(400, "InvalidArgument", "Only one auth mechanism allowed; the address is signed already.")
        if request.query_params.get("signature") != _signature(video_id):
            return _no(403, "SignatureDoesNotMatch", "The signature does not match.")
        try:
            response = Response(await service.content(video_id), media_type="video/mp4")
        except Refused:
            return _no(404, "NoSuchKey", "The specified key does not exist.")
        return told(response, request.query_params.get("fault", ""))

    return serve


def _no(status: int, code: str, message: str) -> Response:
    return Response(_REFUSAL.format(code, message), status, media_type="application/xml")


def _signature(video_id: str) -> str:
    """Return what the storage's own links are known by. No secret: the simulator guards nothing."""
    return hashlib.sha256(f"signed {video_id}".encode()).hexdigest()[:32]

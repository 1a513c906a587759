"""What goes over the wire, told request by request: how long each took, and how it was answered. No body, no header
but the server's own name for its answer, and no query: a signed link is as good as a key."""

from collections.abc import Callable

import anyio
import httpx

from pipeline.classes import request_id
from pipeline.onlookers import Exchange

Heard = Callable[[Exchange], None]


class Told(httpx.AsyncBaseTransport):
    """A transport that tells of each request. ``base_url`` is the server's own address; ``clean`` removes the key."""

    def __init__(
        self, transport: httpx.AsyncBaseTransport, heard: Heard, *, base_url: str, clean: Callable[[str], str]
    ) -> None:
        self._transport = transport
        self._heard = heard
        self._clean = clean
        base = httpx.URL(base_url)
        self._home, self._prefix = (base.scheme, base.netloc), base.path.rstrip("/")

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        began = anyio.current_time()
        what, target = self._named(request)  # before a POST is sent: no answer may be lost to what is told of it
        status = name = failed = None
        try:
            response = await self._transport.handle_async_request(request)
        except BaseException as error:
            failed = type(error).__name__
            raise
        else:
            status, name = response.status_code, request_id(response.headers)
            return response
        finally:
            seconds, known = anyio.current_time() - began, name and self._clean(name)
            self._heard(Exchange(what, request.method, self._clean(target), seconds, status, failed, known))

    async def aclose(self) -> None:
        await self._transport.aclose()

    def _named(self, request: httpx.Request) -> tuple[str, str]:
        """Return what is asked for, and so much of the address as may be shown."""
        url = request.url
        if (url.scheme, url.netloc) != self._home:
            return "storage", url.host
        path = url.path.removeprefix(self._prefix)
        if request.method == "POST":
            return "submit", path
        if path.endswith("/content"):
            return "content", path
        return ("poll" if path.count("/") > 1 else "list"), path

"""GETs over aiohttp, behind httpx's interface: what is asked, what comes back and what is raised are httpx's.

On the wire are the bytes that httpx would send, at a fraction of the cost, and with many requests at once. Whatever
aiohttp would write or read in another way goes by httpx's own transport, so both give the same evidence.
"""

import ssl
from collections.abc import AsyncIterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import aiohttp
import anyio
import httpx
from yarl import URL

if TYPE_CHECKING:
    from asyncio import Future

_AT_ONCE = 256 << 10
"""Bytes of a body that are handed over at once, more or less. Twice as many are kept before the server has to wait."""

_LONG = 1 << 20
"""Bytes that are read at once of a body that is longer, where asyncio lets us choose: of a connection without TLS.

So many more may be handed over at once then, and kept.
"""

_KEPT = 5.0
"""Seconds that a connection is kept without use, as httpx does."""

# What is not of aiohttp is of the layers below: a connection that broke. The first that fits.
_ERRORS: tuple[tuple[type[Exception], type[httpx.TransportError]], ...] = (
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout),
    (aiohttp.ServerTimeoutError, httpx.ReadTimeout),
    (aiohttp.ClientConnectorError, httpx.ConnectError),
    (aiohttp.ServerDisconnectedError, httpx.RemoteProtocolError),
    (aiohttp.ClientPayloadError, httpx.RemoteProtocolError),
    (Exception, httpx.ReadError),
)
# An address or an answer that aiohttp finds wrong. Its words quote the whole address, and that of a video is a key.
_NOT_FOR_US = (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError, aiohttp.ClientResponseError)


class Gets(httpx.AsyncBaseTransport):
    """Carries GETs on asyncio, on connections that are kept. How many at once is for those to say who ask.

    Refuses whatever is no GET: what cannot be read is asked for again, of ``others``, and a POST may be paid then.
    """

    def __init__(self, tls: ssl.SSLContext, others: httpx.AsyncBaseTransport) -> None:
        self._others = others
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, ssl=tls, resolver=aiohttp.ThreadedResolver(), keepalive_timeout=_KEPT
            ),
            middlewares=(_once,),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"),
            auto_decompress=False,
            trust_env=False,
            read_bufsize=_AT_ONCE,
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method != "GET":
            raise httpx.UnsupportedProtocol("this is for GETs alone")
        url = _as_written(str(request.url))
        if url is None or url.raw_path_qs.encode() != request.url.raw_path:
            return await self._others.handle_async_request(request)
        headers = [(name.decode("ascii"), value.decode("ascii")) for name, value in request.headers.raw]
        timeout = _timeout(**request.extensions.get("timeout", {}))
        try:
            response = await self._session.get(url, headers=headers, timeout=timeout, allow_redirects=False)
        except _NOT_FOR_US:
            return await self._others.handle_async_request(request)
        if response.status < 200 or response.headers.get("Transfer-Encoding", "chunked").lower() != "chunked":
            response.close()  # httpx takes it for no answer
            return await self._others.handle_async_request(request)
        return httpx.Response(
            response.status,
            headers=list(response.raw_headers),
            stream=_Body(response),
            extensions={
                "http_version": b"HTTP/%d.%d" % (response.version or aiohttp.HttpVersion11),
                "reason_phrase": (response.reason or "").encode("ascii", "ignore"),
            },
        )

    async def aclose(self) -> None:
        with anyio.CancelScope(shield=True):
            await self._session.close()
        await self._others.aclose()


async def _once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Raise httpx's errors. Of its own ones aiohttp knows some after which it sends a request again by itself."""
    try:
        return await handler(request)
    except _NOT_FOR_US:
        raise
    except (aiohttp.ClientError, OSError) as error:
        raise _as_httpx(error) from error


class _Body(httpx.AsyncByteStream):
    """An answer's bytes, in as large pieces as have come. What is not read to its end takes its connection with it."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self._end: Future[None] | None = None
        if "Content-Length" not in response.headers and "Transfer-Encoding" not in response.headers:
            # The body ends with its connection, however that ends: aiohttp says nothing of a reset.
            protocol = response.connection and response.connection.protocol
            self._end = None if protocol is None else protocol.closed
        if (response.content_length or 0) > _LONG:
            transport: Any = response.connection and response.connection.transport
            if hasattr(transport, "max_size"):  # 256 KiB, which nothing documented can change
                transport.max_size = _LONG

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while data := await self._response.content.readany():
                yield data
            if self._end is not None:
                await self._end
        except (aiohttp.ClientError, OSError) as error:
            raise _as_httpx(error) from error

    async def aclose(self) -> None:
        self._response.close()


@lru_cache(4096)
def _as_written(url: str) -> URL | None:
    """Return the address as it is: yarl would write some of it in its own way."""
    try:
        return URL(url, encoded=True)
    except ValueError:
        return None


@lru_cache
def _timeout(connect: float | None = None, read: float | None = None, **_: Any) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, connect=connect, sock_read=read)


def _as_httpx(error: Exception) -> httpx.TransportError:
    kind = next(ours for theirs, ours in _ERRORS if isinstance(error, theirs))
    match error:
        case aiohttp.ServerTimeoutError():
            text = ""  # it quotes the whole address
        case aiohttp.ServerDisconnectedError():
            text = "the server hung up without an answer"
        case aiohttp.ClientPayloadError():
            text = "the answer ended before its body did"
        case aiohttp.ClientConnectorCertificateError():
            text = str(error.certificate_error)
        case _:
            text = str(error)
    return kind(text)

"""Harmless questions to a server, and its raw answers: whether a connection can be made, GETs, and the DELETE of an id
that nobody has. No other method is ever sent from here. Never raises for what a server does.
"""

import os
import socket
import ssl
from collections.abc import Callable
from contextlib import AsyncExitStack
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Literal, Self
from urllib.parse import quote, urlsplit

import anyio
import httpx

from pipeline import __version__
from pipeline.credential import Censor, Secret
from pipeline.network import Network
from pipeline.symptoms import NoReply, Reached, Reply, Tls
from pipeline.videos import MAX_JSON

PATIENCE = 20.0
"""Seconds for one question."""

_PORTS = {"https": 443, "http": 80}
# What httpx and the layers below it raise for an answer that does not come, or is none.
_NO_ANSWER = (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, OverflowError)


class Prober:
    """Asks one server, with one key. Use as an async context manager."""

    def __init__(
        self,
        base_url: str,
        *,
        key: Secret | None,
        network: Network,
        now: Callable[[], float],
        app: Callable[..., Any] | None = None,
    ) -> None:
        """``app`` is an ASGI application that answers instead of the network.

        Raises UsageError for a proxy or certificates that cannot be used.
        """
        self.base_url = base_url
        self._censor = Censor(key, network.password)
        self._now = now
        self._is_bundled = app is not None
        tls = network.trust()
        self._proxy = network.proxied(tls)
        headers = {"User-Agent": f"callsheet/{__version__}", "Accept-Encoding": "identity"}
        if key is not None:
            headers["Authorization"] = key.header
        self._http = httpx.AsyncClient(
            headers=headers,
            timeout=httpx.Timeout(PATIENCE),
            verify=tls,
            transport=httpx.ASGITransport(app) if app else None,
            proxy=None if app else self._proxy,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            trust_env=False,
            follow_redirects=False,
        )
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._http)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def reach(self) -> Reached | NoReply | None:
        """Look the name up and make a connection, to the proxy where there is one. None: there is no network."""
        if self._is_bundled:
            return None
        parts = urlsplit(str(self._proxy.url) if self._proxy else self.base_url)
        host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 443)
        began = anyio.current_time()
        try:
            with anyio.fail_after(PATIENCE):
                found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                async with await anyio.connect_tcp(host, port):
                    pass
        except socket.gaierror as error:
            return NoReply(f"{host} has no address: {error.strerror}")
        except TimeoutError:
            return NoReply(f"nobody answers at {host}, port {port}, within {PATIENCE:.0f} seconds")
        except OSError as error:
            return NoReply(f"no connection to {host}, port {port}: {_reason(error)}")
        return Reached(tuple(dict.fromkeys(str(one[4][0]) for one in found)), anyio.current_time() - began)

    async def ask(self, method: Literal["GET", "DELETE"], *path: str, **query: str) -> Reply | NoReply:
        """Ask one question at a path below the base address."""
        url = "/".join((self.base_url, *(quote(part, safe="") for part in path)))
        try:
            with anyio.fail_after(PATIENCE):
                async with self._http.stream(method, url, params=query or None) as response:
                    return await self._reply(response)
        except TimeoutError:
            return NoReply(f"no whole answer within {PATIENCE:.0f} seconds")
        except _NO_ANSWER as error:
            text = f"{type(error).__name__}: {error}"
            return NoReply(self._censor.words(text)[:300], untrusted="CERTIFICATE_VERIFY_FAILED" in text)

    async def _reply(self, response: httpx.Response) -> Reply:
        """Return the answer without the key in it, and with little more than ``MAX_JSON`` bytes of its body."""
        tls, body = _tls(response), bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > MAX_JSON:
                break
        kept = self._censor.answer(response.headers, bytes(body), whole=len(body) <= MAX_JSON)
        return Reply(response.status_code, *kept, self._now(), tls)


def _tls(response: httpx.Response) -> Tls | None:
    stream = response.extensions.get("network_stream")
    found = stream.get_extra_info("ssl_object") if stream is not None else None
    if not isinstance(found, ssl.SSLObject | ssl.SSLSocket):
        return None
    end = (found.getpeercert() or {}).get("notAfter")
    return Tls(found.version() or "TLS", ssl.cert_time_to_seconds(end) if isinstance(end, str) else None)


def _reason(error: OSError) -> str:
    """Return what the first cause says: anyio tells of all attempts together."""
    cause = error.__cause__
    inner = cause.exceptions[0] if isinstance(cause, BaseExceptionGroup) else cause
    number = getattr(inner, "errno", None) or error.errno
    return os.strerror(number) if number else str(inner or error)

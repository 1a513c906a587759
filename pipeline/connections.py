"""By which connections requests go out. Submits, questions and contents have their own, so that none waits for another.

A POST always has a fresh one of httpx's (a kept one may die with the request in it), is sent once, and follows no
redirect: httpx's client, which could do these things and more, is not used. GETs go by aiohttp, many at once, where
they can. Elsewhere (a proxy is between, or trio runs) a pool of httpx serves, and is kept small: it slows down when
it is large, and leaks connections on cancellation.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import anyio
import httpx

from pipeline.network import Network

_MANY = 64
"""GETs at once: with as many downloads they open less than the 256 files that some systems give to a process."""

_FEW = 8
"""Connections of a pool of httpx. With 64 a request costs ten times as much."""


class Ways:
    """Makes transports. ``app`` is an ASGI application that answers instead of the network.

    Raises UsageError for a proxy or certificates that cannot be used.
    """

    def __init__(self, network: Network, app: Callable[..., Any] | None) -> None:
        self._app = app
        self._tls = network.trust()  # one for all: it takes longer than everything else here
        self._proxy = network.proxied(self._tls)

    def posts(self, at_once: int) -> httpx.AsyncBaseTransport:
        return self._pool(at_once, kept=0)

    def gets(self, at_once: int) -> httpx.AsyncBaseTransport:
        """Return what carries GETs, made for no more of them at once. Call it on the event loop."""
        pool = self._pool(min(at_once, _FEW), kept=_FEW)
        if not self._is_fast():
            return pool
        from pipeline.gets import Gets  # noqa: PLC0415  # slow to import, and needed where something is asked alone

        return Gets(self._tls, pool)

    def questions_at_once(self) -> int:
        return _MANY if self._is_fast() else _FEW

    def _is_fast(self) -> bool:
        on_asyncio = anyio.get_cancelled_exc_class() is asyncio.CancelledError
        return on_asyncio and self._app is None and self._proxy is None

    def _pool(self, size: int, *, kept: int) -> httpx.AsyncBaseTransport:
        if self._app is not None:
            return httpx.ASGITransport(self._app)
        limits = httpx.Limits(max_connections=size, max_keepalive_connections=kept)
        return httpx.AsyncHTTPTransport(verify=self._tls, limits=limits, proxy=self._proxy, trust_env=False)

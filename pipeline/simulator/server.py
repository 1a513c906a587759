"""The application on a loopback port. uvicorn, on asyncio."""

import ipaddress
import signal
import socket
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager, closing, contextmanager
from typing import Any

import anyio
import uvicorn
from starlette.types import ASGIApp

from pipeline.errors import UsageError
from pipeline.simulator.rawproxy import forward

_ENDINGS = (signal.SIGINT, signal.SIGTERM)
_GRACE = 3
"""Seconds that answers in progress are given at the end."""


async def serve(
    app: ASGIApp, *, host: str = "127.0.0.1", port: int, started: Callable[[str], None], bytewise: bool = False
) -> None:
    """Serve until SIGINT, SIGTERM or a cancellation, then end in order; see ``listening``.

    ``started`` gets the base URL as soon as connections are accepted.
    """
    async with listening(app, host=host, port=port, bytewise=bytewise) as address:
        with anyio.open_signal_receiver(*_ENDINGS) as signals:
            started(address)
            await anext(signals)


@asynccontextmanager
async def listening(
    app: ASGIApp, *, host: str = "127.0.0.1", port: int = 0, bytewise: bool = False
) -> AsyncIterator[str]:
    """Serve while the context lasts, and give the base URL. Port 0 takes a free one.

    ``bytewise``: with the proxy in front, which does to the bytes of answers what the application's faults say. Raises
    UsageError for an address that cannot be had, or is no loopback address: nobody else may reach the simulator.
    """
    plain: dict[str, Any] = {"lifespan": "off", "ws": "none", "log_config": None, "access_log": False}
    server = _Server(uvicorn.Config(app, timeout_graceful_shutdown=_GRACE, **plain))
    with closing(_listener(host, port)) as front, closing(_listener("127.0.0.1", 0) if bytewise else front) as back:
        async with anyio.create_task_group() as group:
            group.start_soon(_running, server, back)
            try:
                async with anyio.create_task_group() as proxy:
                    if bytewise:
                        proxy.start_soon(forward, front, back.getsockname())
                    yield _base_url(front)
                    proxy.cancel_scope.cancel()
            finally:
                server.should_exit = True


async def _running(server: uvicorn.Server, listener: socket.socket) -> None:
    with anyio.CancelScope(shield=True):  # cancelled, uvicorn would leave its connections open
        await server.serve(sockets=[listener])


class _Server(uvicorn.Server):
    """Leaves signals to ``serve``: uvicorn raises them once more when it has ended."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def _listener(host: str, port: int) -> socket.socket:
    address = "127.0.0.1" if host == "localhost" else host
    try:
        loopback = ipaddress.ip_address(address).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise UsageError(f"{host} is no loopback address: the simulator asks for no key, so it stays on this machine")
    try:
        listener = socket.create_server((address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET)
    except OSError as error:
        raise UsageError(f"port {port} of {host} cannot be used: {error.strerror}") from error
    # For the connections too. Without it each answer waits 40 ms for an acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _base_url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/v1" if ":" in host else f"http://{host}:{port}/v1"

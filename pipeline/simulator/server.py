"""The application on a loopback port. uvicorn, on asyncio."""

import ipaddress
import signal
import socket
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import closing, contextmanager
from typing import Any

import anyio
import uvicorn
from starlette.types import ASGIApp

from pipeline.errors import UsageError

_ENDINGS = (signal.SIGINT, signal.SIGTERM)
_GRACE = 3
"""Seconds that answers in progress are given at the end."""


async def serve(app: ASGIApp, *, host: str = "127.0.0.1", port: int, started: Callable[[str], None]) -> None:
    """Serve until SIGINT, SIGTERM or a cancellation, then end in order. Port 0 takes a free one.

    ``started`` gets the base URL as soon as connections are accepted. Raises UsageError for an address that cannot be
    had, or is no loopback address: the simulator asks for no key, so nobody else may reach it.
    """
    plain: dict[str, Any] = {"lifespan": "off", "ws": "none", "log_config": None, "access_log": False}
    server = _Server(uvicorn.Config(app, timeout_graceful_shutdown=_GRACE, **plain))
    with closing(_listener(host, port)) as listener, anyio.open_signal_receiver(*_ENDINGS) as signals:
        started(_base_url(listener))
        async with anyio.create_task_group() as group:
            group.start_soon(_stop_at, signals, server)
            with anyio.CancelScope(shield=True):  # cancelled, uvicorn would leave its connections open
                await server.serve(sockets=[listener])
            group.cancel_scope.cancel()


class _Server(uvicorn.Server):
    """Leaves signals to ``serve``: uvicorn raises them once more when it has ended."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


async def _stop_at(signals: AsyncIterator[signal.Signals], server: uvicorn.Server) -> None:
    """End the server at the first signal, or when the scope around it is cancelled."""
    try:
        await anext(signals)
    finally:
        server.should_exit = True


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

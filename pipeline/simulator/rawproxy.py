"""A proxy on raw sockets in front of the server, for what no well-behaved server can send.

It knows of HTTP where a head ends, and nothing more: every connection carries one request and is closed. What is to
be done to an answer is written in the answer's head, by the application that knows the faults.
"""

import json
import re
import socket
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import anyio
import anyio.lowlevel

from pipeline.simulator.faults import DIRECTIVE

_CHUNK = 1 << 16
_LONGEST_HEAD = 1 << 16
_MIB = 1 << 20
_ENDLESS = b"\0" * _CHUNK
_LENGTH = re.compile(rb"\r\ncontent-length:[^\r]*", re.IGNORECASE)
_CONNECTION = re.compile(rb"\r\nconnection:[^\r]*", re.IGNORECASE)
_DIRECTIVE = re.compile(rb"\r\n%s:([^\r]*)" % DIRECTIVE.encode(), re.IGNORECASE)


async def forward(listener: socket.socket, upstream: Any) -> None:
    """Hand connections on to ``upstream`` until cancelled."""
    listener.setblocking(False)
    async with anyio.create_task_group() as group:
        while True:
            await anyio.wait_readable(listener)
            with suppress(BlockingIOError, ConnectionError):  # who knocked has gone again
                client, _ = listener.accept()
                group.start_soon(_connection, client, upstream)


async def _connection(client: socket.socket, upstream: Any) -> None:
    """Carry one request and its answer."""
    with client, socket.socket() as server:
        for side in (client, server):
            side.setblocking(False)
        async with anyio.create_task_group() as group:
            with suppress(OSError):  # either side may hang up at any time
                head, rest = await _head(client)
                if not head:
                    return
                with suppress(BlockingIOError):
                    server.connect(upstream)
                await _send(server, _CONNECTION.sub(b"", head) + b"\r\nConnection: close\r\n\r\n" + rest)
                group.start_soon(_pump, client, server)
                await _answer(server, client)
            group.cancel_scope.cancel()


async def _answer(server: socket.socket, client: socket.socket) -> None:
    head, body = await _head(server)
    while head.startswith(b"HTTP/1.1 1"):  # go on, says the server: its answer is still to come
        await _send(client, head + b"\r\n\r\n")
        head, body = await _head(server, body)
    found = _DIRECTIVE.search(head)
    head = _DIRECTIVE.sub(b"", head)
    if found is None:
        await _send(client, head + b"\r\n\r\n" + body)
        await _pump(server, client)
        return
    while chunk := await _received(server):
        body += chunk
    for name, value in json.loads(found[1]).items():
        await _FAULTS[name](client, head, body, value)


async def _hang_up(client: socket.socket, head: bytes, body: bytes, value: Any) -> None:
    """Say nothing."""


async def _truncate(client: socket.socket, head: bytes, body: bytes, share: float) -> None:
    """Announce the whole, and send a part."""
    await _send(client, head + b"\r\n\r\n" + body[: int(len(body) * share)])


async def _drip(client: socket.socket, head: bytes, body: bytes, rate: int) -> None:
    """Send so many bytes in a second."""
    await _send(client, head + b"\r\n\r\n")
    for start in range(0, len(body), rate):
        await _send(client, body[start : start + rate])
        await anyio.sleep(1)


async def _endless(client: socket.socket, head: bytes, body: bytes, value: Any) -> None:
    """Announce no length, send the whole, and go on until the client has had enough."""
    await _send(client, _LENGTH.sub(b"", head) + b"\r\n\r\n" + body)
    while True:
        await _send(client, _ENDLESS)


async def _gzip_bomb(client: socket.socket, head: bytes, body: bytes, mib: int) -> None:
    """Send so many MiB of zeros as few bytes."""
    await _send(client, _LENGTH.sub(b"", head) + b"\r\nContent-Encoding: gzip\r\n\r\n")
    for chunk in _zeros(mib):
        await _send(client, chunk)


def _zeros(mib: int) -> Iterator[bytes]:
    packer, zeros = zlib.compressobj(9, zlib.DEFLATED, 31), bytes(_MIB)
    for _ in range(mib):
        yield packer.compress(zeros)
    yield packer.flush()


async def _reset(client: socket.socket, head: bytes, body: bytes, after: int) -> None:
    """Reset the connection in the middle."""
    await _send(client, head + b"\r\n\r\n" + body[:after])
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


_FAULTS: dict[str, Callable[..., Any]] = {
    "hang_up": _hang_up,
    "truncate": _truncate,
    "drip": _drip,
    "endless": _endless,
    "gzip_bomb": _gzip_bomb,
    "reset": _reset,
}


async def _head(side: socket.socket, data: bytes = b"") -> tuple[bytes, bytes]:
    """Return what comes before the first empty line, and what has come after it; nothing where there is none.

    ``data`` has come before.
    """
    while b"\r\n\r\n" not in data and len(data) <= _LONGEST_HEAD:
        chunk = await _received(side)
        if not chunk:
            return b"", b""
        data += chunk
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


async def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while chunk := await _received(source):
            await _send(target, chunk)


async def _received(side: socket.socket) -> bytes:
    while True:
        with suppress(BlockingIOError):
            return side.recv(_CHUNK)
        await anyio.wait_readable(side)


async def _send(side: socket.socket, data: bytes) -> None:
    await anyio.lowlevel.checkpoint()  # who takes everything at once leaves nobody else a turn
    view = memoryview(data)
    while view:
        with suppress(BlockingIOError):
            view = view[side.send(view) :]
            continue
        await anyio.wait_writable(side)

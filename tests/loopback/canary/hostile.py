"""A raw server on a loopback port that knows the key of who asks, and says whatever it is told to."""

import json
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from loopback.canary.marks import Canary, Trace

Answer = bytes | None | Iterable[bytes]
"""Raw bytes, or pieces of them; after an answer that is not whole, and for None, the server hangs up."""

_TLS = b"\x16"


@dataclass(frozen=True, slots=True)
class Request:
    raw: bytes

    @property
    def method(self) -> str:
        return self.raw.split(b" ", 1)[0].decode()

    @property
    def target(self) -> str:
        return self.raw.split(b" ", 2)[1].decode()

    @property
    def headers(self) -> list[tuple[str, str]]:
        lines = self.raw.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
        return [(name.lower(), value) for name, _, value in (line.partition(": ") for line in lines)]

    @property
    def authorizations(self) -> list[str]:
        return [value for name, value in self.headers if name == "authorization"]

    @property
    def prompt(self) -> str:
        return str(json.loads(self.raw.partition(b"\r\n\r\n")[2])["prompt"])


@dataclass
class Server:
    """Answers every request with what ``answer`` makes of it, and TLS with ``plain``. ``over`` is set when it ends."""

    answer: Callable[[Request], Answer]
    plain: bytes = b""
    port: int = 0
    requests: list[Request] = field(default_factory=list)
    handshakes: list[bytes] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def holding(self, first: bytes = b"") -> Iterator[bytes]:
        """Answer with these bytes, and with nothing more while the server lives."""
        yield first
        self.over.wait(60)

    def received(self, canary: Canary) -> int:
        """Return how many requests carried the key in their Authorization."""
        return sum(request.authorizations == [canary.header] for request in self.requests)

    def misplaced(self, canary: Canary) -> list[Trace]:
        """Return where the key reached the server in anything but that one header."""
        found: list[Trace] = []
        for request in self.requests:
            line = f"Authorization: {canary.header}\r\n".encode()
            found += canary.traces(request.raw.replace(line, b"", 1), f"{request.method} to port {self.port}")
        for data in self.handshakes:
            found += canary.traces(data, f"TLS to port {self.port}")
        return found


@contextmanager
def serving(answer: Callable[[Request], Answer], plain: bytes = b"") -> Iterator[Server]:
    server = Server(answer, plain)
    connections: set[socket.socket] = set()
    threads: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        server.port = listener.getsockname()[1]

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    connections.add(connection)
                    threads.append(threading.Thread(target=_converse, args=(server, connection)))
                    threads[-1].start()

        threads.append(threading.Thread(target=accept))
        threads[0].start()
        try:
            yield server
        finally:
            server.over.set()
            listener.shutdown(socket.SHUT_RDWR)
            threads[0].join(5)
            for connection in connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            for thread in threads[1:]:
                thread.join(5)


def _converse(server: Server, connection: socket.socket) -> None:
    with connection, suppress(OSError):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while raw := _received(connection):
            if raw[:1] == _TLS:
                server.handshakes.append(raw)
                connection.sendall(server.plain)
                return
            request = Request(raw)
            server.requests.append(request)
            answer = server.answer(request)
            sent = b""
            for piece in [answer] if isinstance(answer, bytes) else answer or ():
                connection.sendall(piece)
                sent += piece
            head, _, body = sent.partition(b"\r\n\r\n")
            if f"content-length: {len(body)}\r\n".encode() not in head.lower() + b"\r\n":
                return


def _received(connection: socket.socket) -> bytes:
    """Return the next request whole, or nothing where there is none; of what is no HTTP, its first bytes."""
    data = b""
    while b"\r\n\r\n" not in data:
        received = connection.recv(65536)
        if not received:
            return b""
        data += received
        if data[:1] == _TLS:
            return data
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(line[16:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length: ")), 0)
    while len(body) < length:
        received = connection.recv(65536)
        if not received:
            return b""
        body += received
    return head + b"\r\n\r\n" + body


def whole(status: int, body: bytes | Mapping[str, Any] = b"", **headers: str) -> bytes:
    """Return a whole answer; a mapping as JSON, ``_`` in a header's name as ``-``."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = "text/html" if isinstance(body, bytes) else "application/json"
    named = {"Content-Length": str(len(content)), "Content-Type": kind}
    named |= {name.replace("_", "-").title(): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {status} Whatever", *(f"{name}: {value}" for name, value in named.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + content

"""What stands between a client and a server in a corporate network: a proxy, and TLS that only a corporation trusts."""

import base64
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import quote, urlsplit

import trustme

USER = "me"


def listening(handle: Callable[[socket.socket], None]) -> Iterator[int]:
    """Hand every connection to a thread of its own, and give the port; at the end all of it is over."""
    connections: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def served(connection: socket.socket) -> None:
        with connection, suppress(OSError, ValueError):  # ssl.SSLError is an OSError
            handle(connection)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connections.append(connection)
                threads.append(threading.Thread(target=served, args=(connection,)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join(5)
            for connection in connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(5)


def _pumped(one: socket.socket, other: socket.socket) -> None:
    """Hand on what each side says until one of them has ended."""

    def pump(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError, ValueError):
            while data := source.recv(65536):
                target.sendall(data)
        for side in (source, target):
            with suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)

    back = threading.Thread(target=pump, args=(other, one))
    back.start()
    pump(one, other)
    back.join(5)


def _head(connection: socket.socket) -> bytes:
    """Return what comes up to the end of a request's head, and whatever came with it."""
    data = b""
    while b"\r\n\r\n" not in data and (more := connection.recv(65536)):
        data += more
    return data


@dataclass
class Proxy:
    """Hands on what is asked through it. ``refusal`` is its raw answer to everything; empty: it hangs up."""

    password: str | None = None
    scheme: str = "http"
    refusal: bytes | None = None
    port: int = 0
    heads: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        user = "" if self.password is None else f"{USER}:{quote(self.password, safe='')}@"
        return f"{self.scheme}://{user}127.0.0.1:{self.port}"

    @property
    def asked(self) -> list[str]:
        """Method and target of all that was asked."""
        return [head.partition(" HTTP/")[0] for head in self.heads]

    def handle(self, connection: socket.socket) -> None:
        data = _head(connection)
        head, _, rest = data.partition(b"\r\n\r\n")
        if not head:
            return
        self.heads.append(head.decode())
        if self.refusal is not None:
            connection.sendall(self.refusal)
            return
        if self.password is not None:
            credentials = base64.b64encode(f"{USER}:{self.password}".encode()).decode()
            if f"Proxy-Authorization: Basic {credentials}" not in self.heads[-1].split("\r\n"):
                connection.sendall(b"HTTP/1.1 407 Who are you?\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
        method, target, _ = head.decode().split("\r\n")[0].split(" ")
        address = urlsplit(f"//{target}" if method == "CONNECT" else target)
        with socket.create_connection((address.hostname or "", address.port or 80)) as upstream:
            if method == "CONNECT":
                connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:  # the head of the next request would go on as it is: one for each connection
                path = target.partition(address.netloc)[2]
                lines = [f"{method} {path} HTTP/1.1", *head.decode().split("\r\n")[1:]]
                kept = [one for one in lines if not one.lower().startswith(("proxy-", "connection:"))]
                upstream.sendall("\r\n".join([*kept, "Connection: close", "", ""]).encode() + rest)
            _pumped(connection, upstream)


@contextmanager
def proxy(
    *, password: str | None = None, refusal: bytes | None = None, ca: trustme.CA | None = None
) -> Iterator[Proxy]:
    """Serve a proxy; with ``ca``, over TLS."""
    front = Proxy(password, "https" if ca else "http", refusal)
    handle = front.handle if ca is None else partial(_secured, ca, front.handle)
    with ExitStack() as stack:
        front.port = stack.enter_context(contextmanager(listening)(handle))
        yield front


def _secured(ca: trustme.CA, handle: Callable[[socket.socket], None], connection: socket.socket) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    with context.wrap_socket(connection, server_side=True) as secured:
        handle(secured)


@contextmanager
def secured(upstream: str, ca: trustme.CA) -> Iterator[str]:
    """Serve what is at an http address over TLS, with a certificate of this authority, and give its address."""
    address = urlsplit(upstream)

    def handle(connection: socket.socket) -> None:
        with socket.create_connection((address.hostname or "", address.port or 80)) as server:
            _pumped(connection, server)

    with contextmanager(listening)(partial(_secured, ca, handle)) as port:
        yield f"https://127.0.0.1:{port}{address.path}"

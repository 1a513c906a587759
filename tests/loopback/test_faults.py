"""Rows of the fault table that need a real connection: what a server, or something before it, sends down the wire."""

import contextlib
import gzip
import socket
import ssl
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest
import trustme
from loopback.test_client import BODY, KEY, REQUEST, VIDEO, answer, client, serving

from pipeline.client import UNTRUSTED, Received
from pipeline.evidence import Acceptance, Ambiguity, BadFile, Fetched, NotSent, Seen, Silence
from pipeline.jobs import Job
from pipeline.outputs import Outputs

JOB = Job("city#1", "a" * 64, {**REQUEST, "size": "64x48"}, "city.mp4", video_id="v")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def fetched(url: str, folder: Path) -> object:
    """Download into a part file, as a run does; return what came of the bytes, or why there are none."""
    async with client(url) as opened:
        with Outputs(folder).part(JOB) as part:

            async def keep(chunk: bytes) -> None:
                if part.write(chunk):
                    part.flush()

            received = await opened.download("v", keep, most=1 << 20)
            return part.seal(JOB) if isinstance(received, Received) else received


def content(body: bytes, length: int | None) -> bytes:
    """An answer that says this length of itself, or none, and then hangs up."""
    said = "" if length is None else f"Content-Length: {length}\r\n"
    return f"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\n{said}\r\n".encode() + body


async def test_content_that_says_no_length_is_whole_or_refused(tmp_path: Path, clip: bytes) -> None:
    with serving(content(clip, None), content(clip[:1500], None)) as server:
        assert isinstance(await fetched(server.url, tmp_path), Fetched)
        assert isinstance(await fetched(server.url, tmp_path), BadFile)


async def test_content_that_promises_more_than_comes_is_no_content(tmp_path: Path, clip: bytes) -> None:
    with serving(content(clip, len(clip) + 1)) as server:
        assert isinstance(await fetched(server.url, tmp_path), Silence)


async def test_content_that_promises_less_than_it_should_is_seen_to_be_cut(tmp_path: Path, clip: bytes) -> None:
    """The HTTP library stops at the length that it was told, and says nothing. Junk that comes is asked about again."""
    cut = content(clip, len(clip) - 1)
    with serving(cut, cut) as server:
        assert isinstance(await fetched(server.url, tmp_path), BadFile)


async def test_an_answer_that_is_packed_is_not_unpacked(tmp_path: Path) -> None:
    """A few kilobytes can be gigabytes. Nobody asked for it: what cannot be read leaves a doubt, or silence."""
    bomb = gzip.compress(bytes(32 << 20))
    packed = answer(200, bomb, Content_Encoding="gzip")
    with serving(packed, packed) as server:
        async with client(server.url) as opened:
            tracemalloc.start()
            try:
                outcome = await opened.create(BODY, idempotency_key="key-1")
                polled = await opened.retrieve("v")
                assert tracemalloc.get_traced_memory()[1] < 8 << 20
            finally:
                tracemalloc.stop()
        assert server.header(0, "accept-encoding") == "identity"
    assert isinstance(outcome, Ambiguity)
    assert isinstance(polled, Silence)


@contextmanager
def sending(head: bytes, chunk: bytes, times: int) -> Iterator[tuple[str, list[bytes]]]:
    """A server that takes what comes first, and sends this, for as long as somebody listens."""
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def send() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                received.append(connection.recv(65536))
                connection.sendall(head)
                for _ in range(times):
                    connection.sendall(chunk)

        thread = threading.Thread(target=send)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1", received
        thread.join(10)


CHUNK, MANY = bytes(1 << 16), 400
LENGTH = f"HTTP/1.1 200 OK\r\nContent-Length: {len(CHUNK) * MANY}\r\n\r\n".encode()


async def test_an_answer_without_end_is_read_no_further_than_an_answer_goes() -> None:
    with sending(LENGTH, CHUNK, MANY) as (url, _):
        async with client(url) as opened:
            outcome = await opened.create(BODY, idempotency_key="key-1")
    assert isinstance(outcome, Ambiguity)
    assert 1 << 20 < len(outcome.raw) < 2 << 20


async def test_a_large_video_does_not_pass_through_memory() -> None:
    sizes: list[int] = []

    async def keep(chunk: bytes) -> None:
        sizes.append(len(chunk))

    with sending(LENGTH, CHUNK, MANY) as (url, _):
        async with client(url) as opened:
            tracemalloc.start()
            try:
                outcome = await opened.download("v", keep, most=1 << 30)
                assert tracemalloc.get_traced_memory()[1] < 8 << 20
            finally:
                tracemalloc.stop()
    assert (outcome, sum(sizes)) == (Received(), len(CHUNK) * MANY)


@dataclass
class Crowd:
    """A server that answers a request after a moment, and counts who is there at the same time."""

    url: str = ""
    here: int = 0
    most: int = 0
    answered: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def serve(self, connection: socket.socket) -> None:
        with connection:
            with self.lock:
                self.here += 1
                self.most = max(self.most, self.here)
            while connection.recv(65536):
                time.sleep(0.02)
                with self.lock:
                    self.answered += 1
                connection.sendall(answer(200, VIDEO))
            with self.lock:
                self.here -= 1


@contextmanager
def crowd() -> Iterator[Crowd]:
    found = Crowd()
    with socket.create_server(("127.0.0.1", 0), backlog=200) as listener:
        found.url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=found.serve, args=[connection], daemon=True).start()

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield found
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)


async def test_hundreds_of_polls_share_some_connections() -> None:
    with crowd() as server:
        async with client(server.url) as opened, anyio.create_task_group() as group:
            for _ in range(300):
                group.start_soon(opened.retrieve, "v")
        assert server.answered == 300
        assert server.most <= 64


async def test_a_server_whose_encryption_cannot_be_trusted_is_told_nothing() -> None:
    with sending(b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", 1) as (url, received):  # it speaks no TLS at all
        async with client(url.replace("http:", "https:")) as opened:
            outcome = await opened.create(BODY, idempotency_key="key-1")
    assert isinstance(outcome, NotSent)
    assert not any(secret in received[0] for secret in (KEY.encode(), b"prompt", b"POST"))


async def test_a_certificate_that_nobody_trusts_is_told_nothing_and_said() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    received = bytearray()

    def serve() -> None:
        connection, _ = listener.accept()
        with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as secured:
            received.extend(secured.recv(65536))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        async with client(f"https://127.0.0.1:{listener.getsockname()[1]}/v1") as opened:
            outcome = await opened.create(BODY, idempotency_key="key-1")
        thread.join(10)
    assert isinstance(outcome, NotSent)
    assert (outcome.failure.code, bytes(received)) == (UNTRUSTED, b"")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_of_a_submission_is_not_followed(status: int) -> None:
    with serving(answer(status, b"", Location="/v1/elsewhere"), answer(200, VIDEO)) as server:
        async with client(server.url) as opened:
            outcome = await opened.create(BODY, idempotency_key="key-1")
        assert isinstance(outcome, Ambiguity)
        assert len(server.requests) == 1


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    replies = answer(200, VIDEO), answer(200, VIDEO)
    with serving(answer(502, b"<html>the proxy</html>")) as proxy, serving(*replies) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        async with client(server.url) as opened:
            assert isinstance(await opened.create(BODY, idempotency_key="key-1"), Acceptance)
            assert isinstance(await opened.retrieve("v"), Seen)
        assert proxy.requests == []

"""GETs go by aiohttp on asyncio and by httpx on trio: the same bytes go out, and the same is learned from an answer.

What a server may send, well or badly, is sent to both. The few answers of which they differ are at the end.
"""

import socket
import struct
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import anyio
import httpx
import pytest
import trustme
from loopback.between import listening, secured
from loopback.test_client import KEY, PROFILE, VIDEO, answer, serving

from pipeline import client as clients
from pipeline.client import UNTRUSTED, Received, VideosClient
from pipeline.connections import Ways
from pipeline.credential import find_key
from pipeline.evidence import Seen, Silence
from pipeline.network import DIRECT, Network
from pipeline.onlookers import Exchange
from pipeline.profile import Auth

OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(VIDEO)
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
RESET = b"(reset)"
"""At the end of a reply: the connection is reset then, and not closed."""


def told(*lines: bytes, status: bytes = OK, body: bytes = VIDEO) -> bytes:
    return b"".join((status, LENGTH, *(line + b"\r\n" for line in lines), b"\r\n", body))


def said(length: bytes, body: bytes = VIDEO) -> bytes:
    return OK + b"Content-Length: " + length + b"\r\n\r\n" + body


READ_ONCE = {
    "plain": told(),
    "small letters": OK + b"content-length: %d\r\n\r\n" % len(VIDEO) + VIDEO,
    "a header twice": told(b"X-A: 1", b"X-A: 2", b"x-a: 3", b"Retry-After: 1", b"Retry-After: 2"),
    "a type twice": told(b"Content-Type: a/b", b"Content-Type: c/d"),
    "a header of odd bytes": told(b"X-Request-Id: \xff\xfe\x80", "X-A: é".encode()),
    "tabs": told(b"X-Request-Id:\ta\tb\t "),
    "a control character": told(b"X-Request-Id: a\x01b"),
    "an empty header": told(b"X-Request-Id:"),
    "bare line feeds": told().replace(b"\r", b""),
    "cookies": told(b"Set-Cookie: a=b; Path=/", b"Set-Cookie: \xff=\x7f;;;"),
    "no length": OK + b"\r\n" + VIDEO,
    "nothing at all": OK + b"\r\n",
    "an empty body": said(b"0", b""),
    "too little": said(b"500"),
    "cut in the head": OK + b"Content-Le",
    "cut in the first line": b"HTTP/1.1 20",
    "no answer": b"",
    "chunks": CHUNKED + b"%x\r\n%s\r\n0\r\n\r\n" % (len(VIDEO), VIDEO),
    "an extension of a chunk": CHUNKED + b"%X;a=b\r\n%s\r\n0\r\n\r\n" % (len(VIDEO), VIDEO),
    "a trailer": CHUNKED + b"%x\r\n%s\r\n0\r\nX-T: 1\r\n\r\n" % (len(VIDEO), VIDEO),
    "a chunk that is cut": CHUNKED + b"500\r\n" + VIDEO,
    "no last chunk": CHUNKED + b"%x\r\n%s\r\n" % (len(VIDEO), VIDEO),
    "packed": told(b"Content-Encoding: gzip"),
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\n" + VIDEO,
    "HTTP/1.0 with a length": told(status=b"HTTP/1.0 200 OK\r\n"),
    "HTTP/1.0 with chunks": b"HTTP/1.0" + CHUNKED[8:] + b"%x\r\n%s\r\n0\r\n\r\n" % (len(VIDEO), VIDEO),
    "no reason": told(status=b"HTTP/1.1 200\r\n"),
    "an odd reason": told(status=b"HTTP/1.1 200 \xff\xe9\r\n"),
    "status 600": told(status=b"HTTP/1.1 600 X\r\n"),
    "status 404": told(status=b"HTTP/1.1 404 X\r\n"),
    "204": b"HTTP/1.1 204 Nothing\r\n\r\n",
    "304": b"HTTP/1.1 304 Same\r\nContent-Length: 10\r\n\r\n",
    "100 before": b"HTTP/1.1 100 Continue\r\n\r\n" + told(),
    "103 before": b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + told(),
    "100 and no more": b"HTTP/1.1 100 Continue\r\n\r\n",
    "an offer of another protocol": told(b"Upgrade: h2c", b"Connection: upgrade"),
    "another answer behind it": told() + told(body=VIDEO.replace(b"video_1", b"video_2")),
    "the end of the connection": told(b"Connection: close"),
    "a long header": told(b"X-Request-Id: " + b"a" * 8000),
    "a long body": said(b"300000", VIDEO + b" " * (300000 - len(VIDEO))),
    "a longer body than it says": said(b"300000", VIDEO + b" " * 400000),
    "reset at once": RESET,
    "reset in the head": OK + RESET,
    "reset in the body": said(b"500") + RESET,
    "reset in a chunk": CHUNKED + b"500\r\n" + VIDEO + RESET,
    "reset where a body without length may end": OK + b"\r\n" + VIDEO + RESET,
}
READ_TWICE = {
    "a length twice": told(LENGTH.strip()),
    "two lengths": told(b"Content-Length: 9"),
    "a list of lengths": said(b"%d, %d" % (len(VIDEO), len(VIDEO))),
    "a negative length": said(b"-1"),
    "a length that is none": said(b"ten"),
    "a huge length": said(b"9" * 25),
    "no length in its place": said(b""),
    "too much": said(b"%d" % len(VIDEO), VIDEO + b"junk"),
    "a video that is cut by its length": said(b"%d" % (len(VIDEO) - 1)),
    "a zero byte": told(b"X-A: a\0b"),
    "a space before the colon": told(b"X-A : b"),
    "a header without a colon": told(b"nonsense"),
    "a header without a name": told(b": b"),
    "an odd name": told(b"X(A): b"),
    "a bare carriage return": told(b"X-A: a\rb"),
    "nonsense": b"nonsense\r\n\r\n",
    "any bytes": bytes(range(256)),
    "a body alone": VIDEO,
    "another protocol": told(status=b"ICY 200 OK\r\n"),
    "HTTP/1.2": told(status=b"HTTP/1.2 200 OK\r\n"),
    "status 99": told(status=b"HTTP/1.1 99 X\r\n"),
    "status 0": told(status=b"HTTP/1.1 000 X\r\n"),
    "status 1000": told(status=b"HTTP/1.1 1000 X\r\n"),
    "101": b"HTTP/1.1 101 Other\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nabc",
    "204 with a body": told(status=b"HTTP/1.1 204 No\r\n"),
    "a chunk's length that is none": CHUNKED + b"zz\r\n" + VIDEO,
    "a chunk that is longer": CHUNKED + b"3\r\n%s\r\n0\r\n\r\n" % VIDEO,
    "chunks and a length": told(b"Transfer-Encoding: chunked", body=b"%x\r\n%s\r\n0\r\n\r\n" % (len(VIDEO), VIDEO)),
    "packed for the way": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(VIDEO), VIDEO),
    "another transfer": OK + b"Transfer-Encoding: other\r\n\r\n" + VIDEO,
    "a header that is too long for one": told(b"X-Request-Id: " + b"a" * 90000),
    "a header that is too long": told(b"X-A: " + b"a" * 200000),
    "many headers": told(*(b"X-%d: a" % number for number in range(500))),
    "a head without end": OK + b"X" * 2_000_000,
}
"""What aiohttp would not read as httpx does is asked for again, of httpx."""


@dataclass
class Raw:
    """A server that says the same thing to whoever asks, and hangs up."""

    reply: bytes
    url: str = ""
    requests: list[bytes] = field(default_factory=list)

    def handle(self, connection: socket.socket) -> None:
        request = b""
        while b"\r\n\r\n" not in request and (more := connection.recv(65536)):
            request += more
        if not request:
            return
        self.requests.append(request)
        with suppress(OSError):
            connection.sendall(self.reply.removesuffix(RESET))
            if not self.reply.endswith(RESET):
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):  # what is closed with unread bytes is reset
                    pass
                return
            time.sleep(0.05)  # or the bytes before it are lost, for one client and not for the other
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@contextmanager
def raw(reply: bytes) -> Iterator[Raw]:
    server = Raw(reply)
    with contextmanager(listening)(server.handle) as port:
        server.url = f"http://127.0.0.1:{port}/v1"
        yield server


@dataclass
class Learned:
    """What came of each question, the bytes that were handed over, and what was told of the requests."""

    status: object = None
    page: object = None
    content: object = None
    received: bytes = b""
    heard: list[Exchange] = field(default_factory=list)


def learned(url: str, backend: str, network: Network = DIRECT) -> Learned:
    """Ask for a status, for a page of the list and for a video, each on a connection of its own."""
    found, heard, received = Learned(), list[Exchange](), list[bytes]()

    async def keep(name: str, question: Awaitable[object]) -> None:
        setattr(found, name, alike(await question))

    async def ask() -> None:
        key = find_key(Auth("bearer", ("K",)), {"K": KEY})
        client = VideosClient(url, profile=PROFILE, key=key, downloads=2, network=network, heard=heard.append)
        async with client, anyio.create_task_group() as group:
            group.start_soon(keep, "status", client.retrieve("a/b ?x=%2F#ü"))
            group.start_soon(keep, "page", client.list_page("v/0&?+ü"))
            group.start_soon(keep, "content", client.download("v", kept_in(received), most=1 << 20))

    anyio.run(ask, backend=backend)
    found.received = b"".join(received)
    alike_heard = [replace(one, seconds=0, error=one.error and _broken(one.error)) for one in heard]
    found.heard = sorted(alike_heard, key=lambda one: one.target)
    return found


def kept_in(received: list[bytes]) -> Callable[[bytes], Awaitable[None]]:
    async def write(chunk: bytes) -> None:
        received.append(chunk)

    return write


def alike(outcome: object) -> object:
    """Leave out what each library says in its own words."""
    if not isinstance(outcome, Silence) or outcome.failure.http_status is not None:
        return outcome
    return replace(outcome, failure=replace(outcome.failure, message=_broken(outcome.failure.message.split(":")[0])))


def _broken(name: str) -> str:
    """A connection that broke has two names, as the one library or the other sees it."""
    return name.replace("RemoteProtocolError", "ReadError")


def seen(server: Raw) -> list[bytes]:
    here = urlsplit(server.url).netloc.encode()
    return sorted(request.replace(here, b"(address)") for request in server.requests)


@pytest.mark.parametrize("name", READ_ONCE)
def test_what_is_asked_and_learned_is_the_same(name: str) -> None:
    with raw(READ_ONCE[name]) as fast, raw(READ_ONCE[name]) as slow:
        assert learned(fast.url, "asyncio") == learned(slow.url, "trio")
    assert seen(fast) == seen(slow)
    assert [request.partition(b" HTTP/1.1\r\n")[0] for request in seen(fast)] == [
        b"GET /v1/videos/a%2Fb%20%3Fx%3D%252F%23%C3%BC",
        b"GET /v1/videos/v/content",
        b"GET /v1/videos?limit=100&order=desc&after=v%2F0%26%3F%2B%C3%BC",
    ]


@pytest.mark.parametrize("name", READ_TWICE)
def test_what_cannot_be_read_is_asked_for_once_more(name: str) -> None:
    with raw(READ_TWICE[name]) as fast, raw(READ_TWICE[name]) as slow:
        assert learned(fast.url, "asyncio") == learned(slow.url, "trio")
    assert seen(fast) == [request for request in seen(slow) for _ in range(2)]


ON_TWO_ADDRESSES = {
    "a redirect": answer(302, b"", Location="/elsewhere/%7Ea?b=%2f&c=d+e"),
    "a redirect to an empty query": answer(302, b"", Location="/x?"),
    "a redirect to odd letters": answer(302, b"", Location="/x/[1]{2}|^'();~$!*,?q=[a]{b}|\\^`'"),
    "a redirect up": answer(307, b"", Location="../../x/./y/../z"),
    "a redirect to a fragment": answer(308, b"", Location="/x#f?g"),
}


@pytest.mark.parametrize("name", ON_TWO_ADDRESSES)
def test_an_address_is_asked_for_as_it_was_written(name: str) -> None:
    """Of a signed link no letter may be another."""
    requests = []
    for backend in ("asyncio", "trio"):
        with serving(ON_TWO_ADDRESSES[name], answer(200, b"bytes")) as server:

            async def ask() -> tuple[object, bytes]:
                received: list[bytes] = []
                async with VideosClient(server.url, profile=PROFILE, key=None, downloads=2) as client:
                    return await client.download("v", kept_in(received), most=1 << 20), b"".join(received)

            assert anyio.run(ask, backend=backend) == (Received(), b"bytes")
        here = urlsplit(server.url).netloc.encode()
        requests.append([request.replace(here, b"(address)") for request in server.requests])
    assert requests[0] == requests[1]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_long_body_comes_whole_and_the_next_one_too(backend: str) -> None:
    contents = [Random(seed).randbytes(size) for seed, size in enumerate((3_000_001, 70_000, 1 << 21))]

    async def ask() -> None:
        async with client:
            for content in contents:
                received: list[bytes] = []
                assert await client.download("v", kept_in(received), most=1 << 22) == Received()
                assert b"".join(received) == content

    with serving(*(answer(200, content) for content in contents)) as server:
        client = VideosClient(server.url, profile=PROFILE, key=None, downloads=2)
        anyio.run(ask, backend=backend)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_kept_connection_that_breaks_is_no_answer_and_the_question_is_not_sent_again(backend: str) -> None:
    async def ask() -> list[object]:
        async with VideosClient(server.url, profile=PROFILE, key=None, downloads=2) as client:
            return [await client.retrieve("v") for _ in range(2)]

    with serving(answer(200, VIDEO), None, answer(200, VIDEO)) as server:
        first, second = anyio.run(ask, backend=backend)
        assert isinstance(first, Seen)
        assert isinstance(second, Silence)
        assert (len(server.requests), server.connections) == (2, 1)
        with suppress(OSError):  # the server waits for a third one
            socket.create_connection(("127.0.0.1", server.port)).close()


@pytest.mark.parametrize("backend", ["asyncio"])  # on trio the layers below httpx do not say why
def test_a_server_is_trusted_as_a_person_says_and_not_otherwise(backend: str, tmp_path: Path) -> None:
    ca, file = trustme.CA(), tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(file)
    with raw(told()) as server, secured(server.url, ca) as url:
        strange = learned(url, backend)
        for outcome in (strange.status, strange.page, strange.content):
            assert isinstance(outcome, Silence)
            assert outcome.failure.code == UNTRUSTED
        assert server.requests == []
        assert isinstance(learned(url, backend, Network(ca_file=file)).status, Seen)
    assert len(server.requests) == 3


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_where_nobody_answers(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "_GET", {"timeout": httpx.Timeout(0.2).as_dict()})
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        found = learned(url, backend)
        assert found.status == found.page == found.content
        assert isinstance(found.status, Silence)
        assert (found.status.failure.message, {one.error for one in found.heard}) == ("ReadTimeout", {"ReadTimeout"})
    found = learned(url, backend)
    assert isinstance(found.status, Silence)
    assert (found.status.failure.message, {one.error for one in found.heard}) == ("ConnectError", {"ConnectError"})


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD"])
def test_what_is_no_get_cannot_go_by_aiohttp(method: str) -> None:
    async def send() -> None:
        async with Ways(DIRECT, None).gets(4) as transport:
            await transport.handle_async_request(httpx.Request(method, server.url, content=b"{}"))

    with raw(told()) as server, pytest.raises(httpx.UnsupportedProtocol):
        anyio.run(send)
    assert server.requests == []


def test_questions_that_nobody_waits_for_any_longer_leave_no_connection_behind() -> None:
    async def ask() -> int:
        async with VideosClient(url, profile=PROFILE, key=None, downloads=2) as client:
            for _ in range(3):
                with anyio.move_on_after(0.1):
                    async with anyio.create_task_group() as group:
                        for _ in range(80):
                            group.start_soon(client.retrieve, "v")
            with anyio.fail_after(30):
                while len(server.open) > 1:  # noqa: ASYNC110  # the server hears of it a little later
                    await anyio.sleep(0.01)
            server.silent = False
            async with anyio.create_task_group() as group:
                for _ in range(80):
                    group.start_soon(seen_once, client)
        return len(answers)

    answers: list[object] = []

    async def seen_once(client: VideosClient) -> None:
        answers.append(await client.retrieve("v"))

    server = Crowd()
    with contextmanager(listening)(server.handle) as port:
        url = f"http://127.0.0.1:{port}/v1"
        assert anyio.run(ask) == 80
    assert all(isinstance(outcome, Seen) for outcome in answers)


@dataclass
class Crowd:
    """A server that says nothing while it is silent, and knows which connections are open."""

    silent: bool = True
    open: set[int] = field(default_factory=set)

    def handle(self, connection: socket.socket) -> None:
        self.open.add(connection.fileno())
        try:
            while connection.recv(65536):
                if not self.silent:
                    connection.sendall(told())
        finally:
            self.open.discard(connection.fileno())

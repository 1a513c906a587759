"""What a POST or a GET proves, on real connections to a server that misbehaves."""

import base64
import contextlib
import hashlib
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import anyio
import httpx
import pytest

from pipeline import client as clients
from pipeline import providers, redirects
from pipeline.bodies import Body, File
from pipeline.client import Received, VideosClient
from pipeline.credential import find_key
from pipeline.evidence import TOO_LONG, Acceptance, Ambiguity, BadFile, NotSent, NotThere, Refusal, Seen, Silence
from pipeline.jobs import FailureKind
from pipeline.onlookers import Exchange
from pipeline.profile import Auth
from pipeline.redirects import may_not_follow

KEY = "sk-CANARY-0123456789"
PROFILE = providers.profile("znapai")
REQUEST = {"model": "sora-2", "prompt": "A city ünder glass", "size": "1280x720", "seconds": "4"}
BODY = Body("json", REQUEST)
VIDEO = b'{"id": "video_1", "object": "video", "status": "queued"}'


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def answer(status: int, body: bytes, **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass
class Server:
    """Answers the nth request with the nth reply, raw. After one that is not whole it hangs up."""

    replies: list[bytes | None]
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def header(self, number: int, name: str) -> str | None:
        for line in self.requests[number].split(b"\r\n\r\n")[0].decode().split("\r\n")[1:]:
            key, _, value = line.partition(": ")
            if key.lower() == name:
                return value
        return None


@contextmanager
def serving(*replies: bytes | None) -> Iterator[Server]:
    server = Server(list(replies))
    listener = socket.create_server(("127.0.0.1", 0))
    server.port = listener.getsockname()[1]

    def serve() -> None:
        while len(server.requests) < len(server.replies):
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            server.connections += 1
            with connection:
                _converse(server, connection)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def _converse(server: Server, connection: socket.socket) -> None:
    while len(server.requests) < len(server.replies) and (request := _request(connection)):
        reply = server.replies[len(server.requests)] or b""
        server.requests.append(request)
        connection.sendall(reply)
        head, _, body = reply.partition(b"\r\n\r\n")
        if f"content-length: {len(body)}".encode() not in head.lower():
            return


def _request(connection: socket.socket) -> bytes:
    """Return the next request, or nothing where the client has hung up."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += (received := connection.recv(65536))
        if not received:
            return b""
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(line[16:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length: ")), 0)
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


@contextmanager
def nobody() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    yield f"http://127.0.0.1:{port}/v1"


def client(url: str) -> VideosClient:
    return VideosClient(url, profile=PROFILE, key=find_key(Auth("bearer", ("K",)), {"K": KEY}), downloads=2)


async def create(url: str) -> object:
    async with client(url) as opened:
        return await opened.create(BODY, idempotency_key="key-1")


async def test_a_post_says_who_pays_what_for_and_which_attempt_it_is() -> None:
    with serving(answer(200, VIDEO)) as server:
        outcome = await create(server.url)
    assert isinstance(outcome, Acceptance)
    assert (outcome.video.id, outcome.video.raw) == ("video_1", VIDEO)
    assert server.requests[0].startswith(b"POST /v1/videos HTTP/1.1\r\n")
    assert server.header(0, "authorization") == f"Bearer {KEY}"
    assert server.header(0, "idempotency-key") == "key-1"
    assert server.requests[0].endswith('"prompt":"A city ünder glass","seconds":"4","size":"1280x720"}'.encode())


def _refuse_early(listener: socket.socket) -> None:
    """Say no before the body is read, and read on; but hang up at once where the request says that this is its last."""
    connection, _ = listener.accept()
    with connection:
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(256)
        connection.sendall(answer(401, b'{"error": {"message": "no", "code": "invalid_api_key"}}'))
        while b"connection: close" not in head.lower() and connection.recv(65536):
            pass


async def test_a_no_that_comes_before_the_body_was_read_is_a_no() -> None:
    picture = Body("multipart", REQUEST, File("input_reference", "first.png", "image/png", b"\x89PNG" * 100_000))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_refuse_early, args=(listener,))
        thread.start()
        async with client(f"http://127.0.0.1:{listener.getsockname()[1]}/v1") as opened:
            outcome = await opened.create(picture, idempotency_key="key-1")
        thread.join(5)
    assert isinstance(outcome, Refusal)
    assert outcome.failure.kind is FailureKind.AUTH


async def test_what_found_no_server_was_not_sent() -> None:
    with nobody() as url:
        outcome = await create(url)
    assert isinstance(outcome, NotSent)
    assert outcome.failure.kind is FailureKind.NOT_SENT


async def test_what_is_told_of_a_request_has_no_key_in_it() -> None:
    """Nobody knows what a server calls a video, or its answer."""
    heard = list[Exchange]()
    key = find_key(Auth("bearer", ("K",)), {"K": KEY})
    with serving(answer(200, VIDEO, X_Request_Id=KEY)) as server:
        async with VideosClient(server.url, profile=PROFILE, key=key, downloads=2, heard=heard.append) as opened:
            await opened.retrieve(KEY)
    (exchange,) = heard
    assert (exchange.what, exchange.status) == ("poll", 200)
    assert KEY not in f"{exchange.target} {exchange.request_id}"
    assert exchange.target


@pytest.mark.parametrize(
    "reply",
    [
        None,
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + VIDEO,
        b"nonsense\r\n\r\n",
        answer(500, b'{"error": {"message": "oops"}}'),
        answer(502, b"<html>bad gateway</html>"),
        answer(503, b""),
        answer(408, b"{}"),
        answer(409, b"{}"),
        answer(429, b"<html>slow down</html>"),
        answer(200, b"<html>a page</html>"),
        answer(200, b'{"status": "queued"}'),
        answer(200, b'{"id": "\\ud800", "status": "queued"}'),
        answer(202, b""),
        answer(307, b"", Location="/v1/elsewhere"),
    ],
)
async def test_an_answer_that_proves_nothing_leaves_a_doubt_and_is_not_asked_for_twice(reply: bytes | None) -> None:
    with serving(reply, reply) as server:
        assert isinstance(await create(server.url), Ambiguity)
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, FailureKind.INVALID_REQUEST),
        (401, FailureKind.AUTH),
        (402, FailureKind.QUOTA_EXHAUSTED),
        (404, FailureKind.NOT_FOUND),
        (405, FailureKind.NOT_FOUND),
        (422, FailureKind.INVALID_REQUEST),
        (429, FailureKind.RATE_LIMITED),
    ],
)
async def test_a_clean_no_is_a_refusal(status: int, kind: FailureKind) -> None:
    with serving(answer(status, b'{"error": {"message": "no"}}', Retry_After="7")) as server:
        outcome = await create(server.url)
    assert isinstance(outcome, Refusal)
    assert (outcome.failure.kind, outcome.failure.message, outcome.retry_after) == (kind, "no", 7)


@pytest.mark.parametrize("status", [400, 409, 429, 500, 503])
async def test_a_video_under_an_errors_status_is_the_job_that_was_paid(status: int) -> None:
    with serving(answer(status, VIDEO)) as server:
        outcome = await create(server.url)
    assert isinstance(outcome, Acceptance)
    assert outcome.video.id == "video_1"


async def test_what_has_an_id_under_an_errors_status_and_is_no_video_is_a_refusal() -> None:
    with serving(answer(400, b'{"id": "err_1", "status": "error", "message": "bad size"}')) as server:
        assert isinstance(await create(server.url), Refusal)


async def test_two_posts_never_share_a_connection() -> None:
    with serving(answer(200, VIDEO), answer(200, VIDEO)) as server:
        async with client(server.url) as opened:
            for key in ("a", "b"):
                assert isinstance(await opened.create(BODY, idempotency_key=key), Acceptance)
        assert server.connections == len(server.requests) == 2


async def test_polls_share_a_connection() -> None:
    with serving(answer(200, VIDEO), answer(200, VIDEO)) as server:
        async with client(server.url) as opened:
            for _ in range(2):
                assert isinstance(await opened.retrieve("v"), Seen)
        assert (server.connections, len(server.requests)) == (1, 2)


async def test_a_key_that_the_server_quotes_is_kept_nowhere() -> None:
    body = f'{{"error": {{"message": "Incorrect API key provided: {KEY}"}}}}'.encode()
    with serving(answer(401, body)) as server:
        outcome = await create(server.url)
    assert isinstance(outcome, Refusal)
    assert "CANARY" not in f"{outcome!r}{outcome.raw!r}"


async def test_an_id_is_quoted_into_the_address() -> None:
    with serving(answer(200, VIDEO)) as server:
        async with client(server.url) as opened:
            assert isinstance(await opened.retrieve("../a b?x=1#/"), Seen)
        assert server.requests[0].startswith(b"GET /v1/videos/..%2Fa%20b%3Fx%3D1%23%2F HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (answer(200, VIDEO), Seen),
        (answer(500, b'{"id": "v", "object": "video", "status": "failed", "error": {"code": 500}}'), Seen),
        (answer(404, b'{"detail": "Video not found"}'), NotThere),
        (answer(410, b""), NotThere),
        (answer(500, b""), Silence),
        (answer(202, b""), Silence),
        (answer(429, b"", Retry_After="3"), Silence),
        (answer(401, b""), Silence),
        (None, Silence),
    ],
)
async def test_a_poll_learns_something_or_nothing(reply: bytes | None, kind: type) -> None:
    with serving(reply) as server:
        async with client(server.url) as opened:
            assert isinstance(await opened.retrieve("v"), kind)


async def download(url: str) -> tuple[object, bytes]:
    received: list[bytes] = []

    async def keep(chunk: bytes) -> None:
        received.append(chunk)

    async with client(url) as opened:
        outcome = await opened.download("v", keep, most=1 << 20)
    return outcome, b"".join(received)


async def test_content_is_handed_over_as_it_comes() -> None:
    with serving(answer(200, b"x" * 500_000)) as server:
        assert await download(server.url) == (Received(), b"x" * 500_000)
        assert server.header(0, "accept-encoding") == "identity"


async def test_content_that_is_cut_short_is_no_content() -> None:
    with serving(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nxxx") as server:
        outcome, _ = await download(server.url)
    assert isinstance(outcome, Silence)


@pytest.mark.parametrize(("status", "kind"), [(404, NotThere), (400, NotThere), (409, NotThere), (503, Silence)])
async def test_content_that_is_not_there_writes_nothing(status: int, kind: type) -> None:
    with serving(answer(status, b'{"error": {"message": "not ready"}}')) as server:
        outcome, received = await download(server.url)
    assert isinstance(outcome, kind)
    assert received == b""


@pytest.mark.parametrize(
    ("body", "kind", "shown"),
    [
        (b'{"error": {"message": "Video is not ready yet."}}', NotThere, "Video is not ready yet."),
        (b' {"error": {"message": "The video has expired."}}', NotThere, "The video has expired."),
        (b'{"error": {"message": "slow down", "code": "rate_limit_exceeded"}}', Silence, "slow down"),
        (b'{"error": {"message": "no, %s", "code": "invalid_api_key"}}' % KEY.encode(), Silence, "no, "),
        (b'{"error": {"message": "cannot"}}', BadFile, "what came is no video: cannot"),
        (b"<html><h1>Sign in</h1></html>", BadFile, "what came is no video: Sign in"),
    ],
)
async def test_an_error_that_comes_as_a_video_is_read(body: bytes, kind: type, shown: str) -> None:
    with serving(answer(200, body, Content_Type="video/mp4")) as server:
        outcome, _ = await download(server.url)
    assert isinstance(outcome, kind)
    assert isinstance(outcome, NotThere | Silence | BadFile)
    assert outcome.failure.message.startswith(shown)
    assert KEY not in outcome.failure.message


async def test_a_redirect_of_content_is_followed_and_the_key_stays_at_home() -> None:
    with serving(answer(200, b"bytes")) as storage:
        target = f"http://127.0.0.1:{storage.port}/signed?x=1"
        with serving(answer(302, b"", Location=target)) as server:
            assert await download(server.url) == (Received(), b"bytes")
        assert server.header(0, "authorization") == f"Bearer {KEY}"
        assert storage.header(0, "authorization") is None
        assert storage.requests[0].startswith(b"GET /signed?x=1 HTTP/1.1\r\n")


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://[", "javascript:alert(1)"])
async def test_a_redirect_to_elsewhere_is_not_followed(target: str) -> None:
    with serving(answer(302, b"", Location=target)) as server:
        outcome, received = await download(server.url)
    assert isinstance(outcome, Silence)
    assert received == b""


async def test_a_redirect_in_a_circle_ends() -> None:
    replies = [answer(302, b"", Location="/v1/videos/v/content")] * 6
    with serving(*replies) as server:
        outcome, _ = await download(server.url)
    assert isinstance(outcome, Silence)


def raising(error: Exception) -> Callable[[bytes], Awaitable[None]]:
    async def write(_: bytes) -> None:
        raise error

    return write


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # httpx leaves its generators to the collector; trio minds
async def test_a_disk_that_refuses_is_not_taken_for_the_servers_fault() -> None:
    with serving(answer(200, b"x" * 1000)) as server:
        async with client(server.url) as opened:
            with pytest.raises(MemoryError):
                await opened.download("v", raising(MemoryError()), most=1 << 20)


asyncio_alone = pytest.mark.parametrize("anyio_backend", ["asyncio"])  # as above


@asyncio_alone
async def test_a_body_without_end_is_left() -> None:
    with serving(answer(200, b"x" * (1 << 20) + b"y")) as server:
        outcome, received = await download(server.url)
    assert isinstance(outcome, BadFile)
    assert "longer than 1 MiB" in outcome.failure.message
    assert outcome.failure.code == TOO_LONG
    assert len(received) <= 1 << 20


@pytest.mark.parametrize("encoding", ["gzip", "br"])
async def test_an_encoding_that_nobody_asked_for_is_refused(encoding: str) -> None:
    with serving(answer(200, b"bomb", Content_Encoding=encoding)) as server:
        outcome, received = await download(server.url)
    assert isinstance(outcome, BadFile)
    assert received == b""


MD5 = base64.b64encode(hashlib.md5(b"bytes").digest()).decode()
SHA256 = base64.b64encode(hashlib.sha256(b"bytes").digest()).decode()


@pytest.mark.parametrize(
    "header", [{"Content_MD5": MD5}, {"Digest": f"SHA-256={SHA256}"}, {"Repr_Digest": f"sha-256=:{SHA256}:"}]
)
async def test_the_servers_own_digest_is_believed(header: dict[str, str]) -> None:
    with serving(answer(200, b"bytes", **header), answer(200, b"bytez", **header)) as server:
        assert (await download(server.url))[0] == Received()
        outcome, _ = await download(server.url)
    assert isinstance(outcome, BadFile)
    assert "digest" in outcome.failure.message


async def test_a_digest_that_is_none_says_nothing() -> None:
    with serving(answer(200, b"bytes", Content_MD5="?", Digest="md2=AAAA", ETag=f'"{"0" * 32}"')) as server:
        assert (await download(server.url))[0] == Received()


@contextmanager
def dripping(head: bytes, drop: bytes) -> Iterator[str]:
    """A server that sends a drop now and then, for as long as somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                _request(connection)
                connection.sendall(head)
                for _ in range(100):
                    connection.sendall(drop)
                    time.sleep(0.05)

        thread = threading.Thread(target=drip)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        thread.join(10)


@asyncio_alone
async def test_a_body_that_drips_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "_STALL", 0.3)
    with dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"x") as url:
        outcome, _ = await download(url)
    assert isinstance(outcome, Silence)
    assert "too slowly" in outcome.failure.message


@asyncio_alone
async def test_a_body_that_comes_fast_enough_but_never_ends_is_left_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"SLOWEST": 1, "_STALL": 0.3, "_LONGEST_DOWNLOAD": 0.6}.items():
        monkeypatch.setattr(clients, name, value)
    with dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"x") as url, anyio.fail_after(10):
        outcome, _ = await download(url)
    assert isinstance(outcome, Silence)
    assert "too slowly" in outcome.failure.message


@asyncio_alone
async def test_an_answer_to_a_post_that_drips_is_a_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "SUBMIT_DEADLINE", 0.3)
    with dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b" ") as url:
        outcome = await create(url)
    assert isinstance(outcome, Ambiguity)


@pytest.mark.parametrize(
    ("home", "target", "refused"),
    [
        (["93.184.216.34"], ["151.101.1.1"], False),
        (["93.184.216.34"], ["169.254.169.254"], True),
        (["93.184.216.34"], ["127.0.0.1"], True),
        (["93.184.216.34"], ["10.0.0.7"], True),
        (["93.184.216.34"], ["::1"], True),
        (["93.184.216.34"], ["fe80::1%eth0"], True),
        (["93.184.216.34"], ["151.101.1.1", "192.168.1.1"], True),
        (["127.0.0.1"], ["127.0.0.1"], False),
        (["10.0.0.1"], ["10.0.0.2"], False),
    ],
)
def test_a_redirect_from_the_internet_into_a_private_network_is_not_followed(
    home: list[str], target: list[str], refused: bool
) -> None:
    assert may_not_follow(home, target) is refused


@pytest.mark.parametrize(
    ("target", "proxied", "refused"),
    [
        ("https://151.101.1.1/v", False, None),
        ("http://151.101.1.1/v", False, "not https"),
        ("https://10.0.0.7/v", False, "private network"),
        ("https://10.0.0.7/v", True, "private network"),
        ("https://localhost/v", False, "private network"),
        ("https://localhost/v", True, None),  # its name is the proxy's to look up
    ],
)
async def test_a_redirect_from_the_internet_leads_where_it_may(target: str, proxied: bool, refused: str | None) -> None:
    home = httpx.URL("https://93.184.216.34/v1/videos")
    allowed = contextlib.nullcontext() if refused is None else pytest.raises(httpx.UnsupportedProtocol, match=refused)
    with allowed:
        await redirects.check(home, httpx.URL(target), proxied=proxied)


async def test_a_page_of_the_list_is_read_with_the_servers_clock() -> None:
    body = b'{"object": "list", "data": [{"id": "v1", "status": "queued"}, 7, {"no": "id"}], "has_more": true}'
    with serving(answer(200, body, Date="Sun, 22 Nov 2026 12:00:30 GMT")) as server:
        async with client(server.url) as opened:
            page = await opened.list_page("v/0")
    assert not isinstance(page, Silence)
    assert ([video.id for video in page.videos], page.last_id, page.has_more) == (["v1"], "v1", True)
    assert page.date == 1795348830
    assert server.requests[0].startswith(b"GET /v1/videos?limit=100&order=desc&after=v%2F0 HTTP/1.1\r\n")


@pytest.mark.parametrize("reply", [answer(404, b"{}"), answer(200, b"<html>"), answer(200, b'{"data": {}}'), None])
async def test_what_is_no_page_is_silence(reply: bytes | None) -> None:
    with serving(reply) as server:
        async with client(server.url) as opened:
            assert isinstance(await opened.list_page(None), Silence)

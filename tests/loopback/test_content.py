"""How a finished video is handed over, as profiles say it: bytes, a redirect, or JSON with an address."""

import json
from dataclasses import replace

import pytest
from loopback.test_client import KEY, PROFILE, Server, answer, serving

from pipeline.client import Received, VideosClient
from pipeline.credential import find_key
from pipeline.evidence import BadFile, NotThere, Silence
from pipeline.profile import Auth, Content

LINKED = Content(url="link")


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def fetched(server: Server, content: Content) -> tuple[object, bytes]:
    received: list[bytes] = []

    async def keep(chunk: bytes) -> None:
        received.append(chunk)

    key, profile = find_key(Auth("bearer", ("K",)), {"K": KEY}), replace(PROFILE, content=content)
    async with VideosClient(server.url, profile=profile, key=key, downloads=2) as client:
        outcome = await client.download("v", keep, most=1 << 20)
    return outcome, b"".join(received)


def linking(link: object, **more: object) -> bytes:
    return answer(200, json.dumps({"link": link, **more}).encode(), Content_Type="application/json")


async def test_a_video_comes_from_the_address_in_the_answer_and_the_key_stays_at_home() -> None:
    with serving(answer(302, b"", Location="/bytes"), answer(200, b"bytes")) as storage:
        url = f"http://127.0.0.1:{storage.port}/signed?x=1"
        with serving(linking(url, url="http://127.0.0.1:9/other")) as server:
            assert await fetched(server, LINKED) == (Received(), b"bytes")
        assert server.header(0, "authorization") == f"Bearer {KEY}"
        assert [request.split(b" ")[1] for request in storage.requests] == [b"/signed?x=1", b"/bytes"]
        assert [storage.header(number, "authorization") for number in (0, 1)] == [None, None]


async def test_an_address_below_the_servers_own_gets_the_key_that_it_has_anyway() -> None:
    with serving(linking("/files/v.mp4"), answer(200, b"bytes")) as server:
        assert await fetched(server, LINKED) == (Received(), b"bytes")
    assert server.requests[1].startswith(b"GET /files/v.mp4 HTTP/1.1\r\n")
    assert server.header(1, "authorization") == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (answer(200, b'{"url": "http://127.0.0.1:9/x"}'), "no address of a video in 'link'"),
        (linking(None), "no address of a video in 'link'"),
        (linking(["http://127.0.0.1:9/x"]), "no address of a video in 'link'"),
        (answer(200, b"\0\0\0\x18ftypisom", Content_Type="video/mp4"), "no address of a video in 'link'"),
        (linking("http://me:secret@127.0.0.1:9/x"), "a key or a password"),
        (linking(f"http://127.0.0.1:9/x?key={KEY}"), "a key or a password"),
        (linking("file:///etc/passwd"), "not https"),
        (linking("http://["), ""),
        (linking(""), "redirects"),
    ],
)
async def test_what_is_no_good_address_leaves_the_video_where_it_is(reply: bytes, said: str) -> None:
    with serving(*[reply] * 6) as server:
        outcome, received = await fetched(server, LINKED)
    assert isinstance(outcome, Silence)
    assert said in outcome.failure.message
    assert received == b""
    assert "secret" not in outcome.failure.message
    assert KEY not in outcome.failure.message


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (answer(404, b'{"detail": "Video not found"}'), NotThere),
        (answer(200, b'{"error": {"message": "Video is not ready yet."}}'), NotThere),
        (answer(200, b'{"error": {"message": "The video has expired."}}'), NotThere),
        (answer(200, b'{"error": {"message": "slow down", "code": "rate_limit_exceeded"}}'), Silence),
        (answer(503, b""), Silence),
    ],
)
async def test_an_error_in_place_of_an_address_is_read_as_one(reply: bytes, kind: type) -> None:
    with serving(reply) as server:
        outcome, received = await fetched(server, LINKED)
    assert isinstance(outcome, kind)
    assert received == b""


async def test_json_that_nobody_announced_is_no_video() -> None:
    with serving(linking("http://127.0.0.1:9/x")) as server:
        outcome, _ = await fetched(server, Content())
    assert isinstance(outcome, BadFile)


async def test_a_redirect_is_followed_only_where_the_profile_lets_it() -> None:
    with serving(answer(200, b"bytes")) as storage:
        redirect = answer(302, b"", Location=f"http://127.0.0.1:{storage.port}/x")
        with serving(redirect) as server:
            outcome, _ = await fetched(server, Content(redirects=False))
        assert isinstance(outcome, Silence)
        assert "content.redirects" in outcome.failure.message
        with serving(redirect) as server:
            outcome, _ = await fetched(server, Content(redirects=False, url="link"))
        assert isinstance(outcome, Silence)
        assert storage.requests == []
        with serving(linking(f"http://127.0.0.1:{storage.port}/x")) as server:
            assert await fetched(server, Content(redirects=False, url="link")) == (Received(), b"bytes")

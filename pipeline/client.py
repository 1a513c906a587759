"""The only module that speaks HTTP: one request in, one piece of evidence out. Never raises for what a server does."""

import base64
import binascii
import hashlib
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self
from urllib.parse import quote

import anyio
import httpx

from pipeline import __version__, redirects
from pipeline.bodies import Body
from pipeline.classes import Asked
from pipeline.connections import Ways
from pipeline.credential import REDACTED, Censor, Secret
from pipeline.evidence import (
    TOO_LONG,
    Ambiguity,
    BadFile,
    NotSent,
    NotThere,
    PollOutcome,
    PostOutcome,
    Seen,
    Silence,
)
from pipeline.jobs import Failure, FailureKind
from pipeline.network import DIRECT, Network
from pipeline.outcomes import Answer, content_outcome, failure_of, poll_outcome, post_outcome
from pipeline.profile import Profile
from pipeline.retrying import retry_after
from pipeline.traffic import Heard, Told
from pipeline.videos import MAX_JSON, MAX_PAGE, Page, parse_object, parse_page, parse_video

POSTS_AT_ONCE = 4
"""How many POSTs may be under way. Whoever announces one takes a place first, so a crash leaves no more doubts."""

SUBMIT_DEADLINE = 180.0
"""Seconds that a POST may take. Giving up early makes doubt: a gateway may take minutes."""

SLOWEST = 1024
"""Bytes a second. httpx's timeouts never fire while a byte comes now and then."""

UNTRUSTED = "certificate_verify_failed"
"""The code of a failure that asking again does not mend."""

_MAX_REDIRECTS = 3
_STALL = 30.0
_LONGEST_DOWNLOAD = 3600.0
_PAGE = 100
_SUBMIT = {"timeout": httpx.Timeout(None, connect=15.0).as_dict()}  # a scope of SUBMIT_DEADLINE is around it
_GET = {"timeout": httpx.Timeout(60.0, connect=15.0).as_dict()}
# Nothing of the request was acted upon: it never left, or never had a server to go to.
_UNSENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
    httpx.InvalidURL,
)
# OSError: a broken TLS record comes through httpx as it is. ValueError, OverflowError: a location with a host that is
# none, or a port, makes libraries raise what they please.
_NO_ANSWER = (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, OverflowError)
_NO_BODY = httpx.ByteStream(b"")
_PEEKED = 1 << 16
_IN_PLACE_OF_A_VIDEO = (b"{", b"[", b"<")


@dataclass(frozen=True, slots=True)
class Received:
    """All bytes of a content answer have been handed over."""


class _NoAddress(httpx.UnsupportedProtocol):
    """An answer has no address of a video, where the profile says that it has one."""

    def __init__(self, key: str, answer: Answer) -> None:
        super().__init__(f"the answer has no address of a video in {key!r}")
        self.answer = answer


class VideosClient:
    """POST and GET of ``/v1/videos`` at one address, with one key. Use as an async context manager."""

    def __init__(
        self,
        base_url: str,
        *,
        profile: Profile,
        key: Secret | None,
        downloads: int,
        app: Callable[..., Any] | None = None,
        network: Network = DIRECT,
        heard: Heard | None = None,
    ) -> None:
        """``app`` is an ASGI application that answers instead of the network; ``heard`` is told of each request, and
        where it is None nothing is kept of one.

        Raises UsageError for a proxy or certificates that cannot be used.
        """
        self.base_url = base_url
        self._profile = profile
        self._is_proxied = network.proxy is not None
        self._censor = Censor(key, network.password)
        # A POST says keep-alive too: at "close" a server that refuses it early hangs up, and its no is lost.
        self._headers = {
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "Connection": "keep-alive",
            "User-Agent": f"callsheet/{__version__}",
        }
        self._elsewhere = httpx.Headers(self._headers)
        if key is not None:
            self._headers["Authorization"] = key.header
        home = httpx.URL(base_url)
        self._home = home.scheme, home.netloc
        self._asking = httpx.Headers({"Host": home.netloc.decode(), **self._headers})
        self._downloads = downloads
        self._heard = heard
        self._ways = Ways(network, app)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        at_once = self._ways.questions_at_once()
        self._submits = await self._told(self._ways.posts(POSTS_AT_ONCE))
        self._questions = await self._told(self._ways.gets(at_once))
        self._contents = await self._told(self._ways.gets(self._downloads))
        self._turns = anyio.Semaphore(at_once, fast_acquire=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _told(self, transport: httpx.AsyncBaseTransport) -> httpx.AsyncBaseTransport:
        if self._heard is not None:
            transport = Told(transport, self._heard, base_url=self.base_url, clean=self._censor.words)
        return await self._stack.enter_async_context(transport)

    async def create(self, body: Body, *, idempotency_key: str) -> PostOutcome:
        """Send one POST, and say what is certain about it. Run it shielded: a cancelled POST is an unknown one."""
        content = body.arguments(boundary=f"callsheet-{idempotency_key}")
        headers = {**self._headers, **content.pop("headers", {}), "Idempotency-Key": idempotency_key}
        answer = None
        with anyio.move_on_after(SUBMIT_DEADLINE):
            try:
                request = httpx.Request("POST", self._url(), headers=headers, extensions=_SUBMIT, **content)
                answer = await self._ask(request, self._submits)
            except _UNSENT as error:
                return NotSent(self._failure(FailureKind.NOT_SENT, error))
            except _NO_ANSWER as error:
                return Ambiguity(self._failure(FailureKind.AMBIGUOUS, error))
        if answer is None:
            message = f"no whole answer within {SUBMIT_DEADLINE:.0f} seconds"
            return Ambiguity(Failure(FailureKind.AMBIGUOUS, message))
        return post_outcome(answer, self._profile)

    async def list_page(self, after: str | None) -> Page | Silence:
        """Ask for the account's newest jobs, or for those older than ``after``."""
        query = {"limit": str(_PAGE), "order": "desc"} | ({"after": after} if after else {})
        async with self._turns:
            try:
                answer = await self._ask(self._get(self._url(), params=query), self._questions, MAX_PAGE)
            except _NO_ANSWER as error:
                return Silence(self._failure(FailureKind.SERVER, error))
        page = parse_page(answer.body, answer.headers, self._profile.status) if answer.status == 200 else None
        if page is None:
            return Silence(failure_of(Asked.LIST, answer, self._profile), retry_after(answer.headers))
        return page

    async def retrieve(self, video_id: str) -> PollOutcome:
        """Ask for the status. The Video is an answer whatever the HTTP status is; under an error status, by its id."""
        async with self._turns:
            try:
                answer = await self._ask(self._get(self._url(video_id)), self._questions)
            except _NO_ANSWER as error:
                return Silence(self._failure(FailureKind.SERVER, error))
        video = parse_video(answer.body, words=self._profile.status, codes=self._profile.codes)
        if video is not None and (answer.status < 300 or video.id == video_id):
            return Seen(video)
        return poll_outcome(video_id, answer, self._profile)

    async def download(
        self, video_id: str, write: Callable[[bytes], Awaitable[None]], *, most: int
    ) -> Received | BadFile | NotThere | Silence:
        """Hand the content's bytes to ``write``, as they come, and say how it ended. ``most`` bytes are taken."""
        try:
            return await self._content(self._url(video_id, "content"), write, most)
        except _NoAddress as error:
            told = content_outcome(error.answer, self._profile)  # an error may come in its place
            return told if not isinstance(told, BadFile) else Silence(self._failure(FailureKind.SERVER, error))
        except _NO_ANSWER as error:
            return Silence(self._failure(FailureKind.SERVER, error))

    async def _content(
        self, home: httpx.URL, write: Callable[[bytes], Awaitable[None]], most: int
    ) -> Received | BadFile | NotThere | Silence:
        """GET the content, following redirects by hand.

        A JSON answer that has the video's address, where the profile says so, is one more of them.
        """
        target = home
        for _ in range(_MAX_REDIRECTS + 1):
            async with aclosing(await self._contents.handle_async_request(self._get(target))) as response:
                location = await self._location(response, first=target == home)
                if location is None and response.status_code != 200:
                    return content_outcome(await self._read(response), self._profile)
                if location is None:
                    return await self._receive(response, write, most)
            target = target.join(location)
            await redirects.check(home, target, proxied=self._is_proxied)
        raise httpx.TooManyRedirects(f"more than {_MAX_REDIRECTS} redirects")

    async def _receive(
        self, response: httpx.Response, write: Callable[[bytes], Awaitable[None]], most: int
    ) -> Received | BadFile | NotThere | Silence:
        if response.headers.get("content-encoding", "identity") != "identity":
            return _bad(f"the content is encoded ({response.headers['content-encoding'][:40]}): nobody asked for that")
        digests = [(hashlib.new(name), expected) for name, expected in _digests(response.headers)]
        received, mark, head = 0, 0, list[bytes]()
        began = anyio.current_time()
        with anyio.CancelScope(deadline=began + _STALL) as pace:
            async for chunk in _pieces(response):
                received += len(chunk)
                if received > most:
                    message = f"the content is longer than {most >> 20} MiB; limits: max_video_mib allows more"
                    return _bad(message, TOO_LONG)
                if received - mark >= SLOWEST * _STALL:
                    mark = received
                    pace.deadline = min(anyio.current_time() + _STALL, began + _LONGEST_DOWNLOAD)
                await write(chunk)
                if received <= _PEEKED:
                    head.append(chunk)
                for digest, _ in digests:
                    digest.update(chunk)
            if any(digest.digest() != expected for digest, expected in digests):
                return _bad("the content is not what the server's own digest says")
            short = b"".join(head) if received <= _PEEKED else b""
            if short.lstrip().startswith(_IN_PLACE_OF_A_VIDEO):
                return content_outcome(self._answer(response, short), self._profile)
            return Received()
        return Silence(Failure(FailureKind.SERVER, f"the content came too slowly: {received} bytes so far"))

    async def _location(self, response: httpx.Response, *, first: bool) -> str | None:
        """Return where the answer leads, or None where it is the content, or an error.

        Raises UnsupportedProtocol for an address with a key or a password in it, and for one that the profile excludes.
        """
        content = self._profile.content
        if response.has_redirect_location:
            if not content.redirects:
                raise httpx.UnsupportedProtocol("redirected, which the profile's content.redirects excludes")
            location = response.headers["location"]
        elif content.url is not None and first and response.status_code == 200:
            answer = await self._read(response)
            told = (parse_object(answer.body) or {}).get(content.url)
            if not isinstance(told, str):
                raise _NoAddress(content.url, answer)
            location = told
        else:
            return None
        quoted = REDACTED in location or self._censor.finds(location)
        if quoted or httpx.URL(location).userinfo:
            raise httpx.UnsupportedProtocol("redirected to an address with a key or a password in it")
        return location

    async def _ask(self, request: httpx.Request, transport: httpx.AsyncBaseTransport, limit: int = MAX_JSON) -> Answer:
        async with aclosing(await transport.handle_async_request(request)) as response:
            return await self._read(response, limit)

    async def _read(self, response: httpx.Response, limit: int = MAX_JSON) -> Answer:
        """Return the answer without the key in it, and with little more than ``limit`` bytes of its body."""
        body = bytearray()
        async for chunk in _pieces(response):
            body += chunk
            if len(body) > limit:
                break
        return self._answer(response, bytes(body), whole=len(body) <= limit)

    def _answer(self, response: httpx.Response, body: bytes, *, whole: bool = True) -> Answer:
        return Answer(response.status_code, *self._censor.answer(response.headers, body, whole=whole))

    def _failure(self, kind: FailureKind, error: Exception) -> Failure:
        """Return what the HTTP library says, which may quote the server, and the server the key."""
        text = f"{type(error).__name__}: {error}"
        code = UNTRUSTED if "CERTIFICATE_VERIFY_FAILED" in text else None  # the cause's class is lost on the way
        return Failure(kind, self._censor.words(text)[:500], code=code)

    def _get(self, url: httpx.URL, params: Mapping[str, str] | None = None) -> httpx.Request:
        """Return a GET. The key stays with the address that it was given for."""
        if (url.scheme, url.netloc) == self._home:
            # As httpx would make it: with the headers once for all, a request costs a sixth.
            return httpx.Request("GET", url, params=params, headers=self._asking, stream=_NO_BODY, extensions=_GET)
        return httpx.Request("GET", url, headers=self._elsewhere, extensions=_GET)

    def _url(self, *parts: str) -> httpx.URL:
        return _address(self.base_url, *parts)


def _pieces(response: httpx.Response) -> httpx.AsyncByteStream:
    """Return the bytes of the answer as they come: what ``aiter_raw`` goes through, without what it does besides."""
    assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101  # the others are no answer's to an async request
    return response.stream


@lru_cache(1024)
def _address(base_url: str, *parts: str) -> httpx.URL:
    """Return the address below ``videos``. A job is asked for again and again, and it takes half of a request."""
    return httpx.URL("/".join((f"{base_url}/videos", *(quote(part, safe="") for part in parts))))


def _digests(headers: Mapping[str, str]) -> Iterable[tuple[str, bytes]]:
    """Yield what the server says the bytes hash to. Not the ETag: of an encrypted object it only looks like an MD5."""
    told = [("md5", headers.get("content-md5", ""))]
    for name in ("repr-digest", "digest"):
        told += re.findall(r"(sha-256|sha-512)=:?([A-Za-z0-9+/=]+)", headers.get(name, ""), re.IGNORECASE)
    for name, text in told:
        try:
            if text:
                yield name.lower().replace("-", ""), base64.b64decode(text, validate=True)
        except binascii.Error:
            continue


def _bad(message: str, code: str | None = None) -> BadFile:
    return BadFile(Failure(FailureKind.BAD_OUTPUT, message, code=code))

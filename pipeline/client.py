"""The only module that speaks HTTP: one request in, one piece of evidence out. Never raises for what a server does.

Submits, polls and downloads have connections of their own, so that none waits for another. A POST always has a
fresh connection (a kept one may die with the request in it), is sent once, and follows no redirect. A limiter
stands before each pool, because httpx's pool leaks connections on cancellation and slows down when it is large.
"""

import base64
import binascii
import hashlib
import ipaddress
import re
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Self
from urllib.parse import quote

import anyio
import httpx

from pipeline import __version__
from pipeline.classes import Asked, classify, request_id
from pipeline.credential import Secret
from pipeline.evidence import (
    Acceptance,
    Ambiguity,
    BadFile,
    NotSent,
    NotThere,
    PollOutcome,
    PostOutcome,
    Refusal,
    Seen,
    Silence,
)
from pipeline.jobs import Failure, FailureKind, canonical_json
from pipeline.retrying import retry_after
from pipeline.videos import MAX_JSON, MAX_PAGE, Page, Status, Video, parse_page, parse_video

POSTS_AT_ONCE = 4
"""How many POSTs may be under way. Whoever announces one takes a place first, so a crash leaves no more doubts."""

SUBMIT_DEADLINE = 180.0
"""Seconds that a POST may take. Giving up early makes doubt: a gateway may take minutes."""

SLOWEST = 1024
"""Bytes a second. httpx's timeouts never fire while a byte comes now and then."""

UNTRUSTED = "certificate_verify_failed"
"""The code of a failure that asking again does not mend."""

_POLLS_AT_ONCE = 8
_MAX_REDIRECTS = 3
_STALL = 30.0
_LONGEST_DOWNLOAD = 3600.0
_PAGE = 100
_SUBMIT_TIMEOUT = httpx.Timeout(SUBMIT_DEADLINE, connect=15.0)
_GET_TIMEOUT = httpx.Timeout(60.0, connect=15.0)
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
_PEEKED = 1 << 16
_IN_PLACE_OF_A_VIDEO = (b"{", b"[", b"<")


@dataclass(frozen=True, slots=True)
class Received:
    """All bytes of a content answer have been handed over."""


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


class VideosClient:
    """POST and GET of ``/v1/videos`` at one address, with one key. Use as an async context manager."""

    def __init__(
        self, base_url: str, *, key: Secret | None, downloads: int, app: Callable[..., Any] | None = None
    ) -> None:
        """``app`` is an ASGI application that answers instead of the network."""
        self.base_url = base_url
        self._key = key
        headers = {"User-Agent": f"callsheet/{__version__}", "Accept-Encoding": "identity"}
        if key is not None:
            headers["Authorization"] = key.header

        no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
        tls = httpx.create_ssl_context(trust_env=False)  # one for all: it takes longer than everything else here

        def pool(size: int, kept: int, timeout: httpx.Timeout) -> httpx.AsyncClient:
            return httpx.AsyncClient(
                headers=headers,
                timeout=timeout,
                verify=tls,
                limits=httpx.Limits(max_connections=size, max_keepalive_connections=kept),
                transport=httpx.ASGITransport(app) if app else None,
                cookies=no_cookies,
                trust_env=False,
                follow_redirects=False,
            )

        self._submit = pool(POSTS_AT_ONCE, 0, _SUBMIT_TIMEOUT)
        self._poll = pool(_POLLS_AT_ONCE, _POLLS_AT_ONCE, _GET_TIMEOUT)
        self._content = pool(downloads, downloads, _GET_TIMEOUT)
        self._poll_turns = anyio.CapacityLimiter(_POLLS_AT_ONCE)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for client in (self._submit, self._poll, self._content):
            await self._stack.enter_async_context(client)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def create(self, request: Mapping[str, Any], *, idempotency_key: str) -> PostOutcome:
        """Send one POST, and say what is certain about it. Run it shielded: a cancelled POST is an unknown one."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": idempotency_key}
        body = canonical_json(request).encode()
        answer = None
        with anyio.move_on_after(SUBMIT_DEADLINE):
            try:
                async with self._submit.stream("POST", self._url(), content=body, headers=headers) as response:
                    answer = await self._read(response)
            except _UNSENT as error:
                return NotSent(self._failure(FailureKind.NOT_SENT, error))
            except _NO_ANSWER as error:
                return Ambiguity(self._failure(FailureKind.AMBIGUOUS, error))
        if answer is None:
            message = f"no whole answer within {SUBMIT_DEADLINE:.0f} seconds"
            return Ambiguity(Failure(FailureKind.AMBIGUOUS, message))
        return _post_outcome(answer)

    async def list_page(self, after: str | None) -> Page | Silence:
        """Ask for the account's newest jobs, or for those older than ``after``."""
        query = {"limit": str(_PAGE), "order": "desc"} | ({"after": after} if after else {})
        async with self._poll_turns:
            try:
                async with self._poll.stream("GET", self._url(), params=query) as response:
                    answer = await self._read(response, MAX_PAGE)
            except _NO_ANSWER as error:
                return Silence(self._failure(FailureKind.SERVER, error))
        page = parse_page(answer.body, answer.headers) if answer.status == 200 else None
        if page is None:
            return Silence(_failure(Asked.LIST, answer), retry_after(answer.headers))
        return page

    async def retrieve(self, video_id: str) -> PollOutcome:
        """Ask for the status. The Video is an answer whatever the HTTP status is; under an error status, by its id."""
        async with self._poll_turns:
            try:
                async with self._poll.stream("GET", self._url(video_id)) as response:
                    answer = await self._read(response)
            except _NO_ANSWER as error:
                return Silence(self._failure(FailureKind.SERVER, error))
        video = parse_video(answer.body)
        if video is not None and (answer.status < 300 or video.id == video_id):
            return Seen(video)
        return _poll_outcome(video_id, answer)

    async def download(
        self, video_id: str, write: Callable[[bytes], None], *, most: int
    ) -> Received | BadFile | NotThere | Silence:
        """Hand the content's bytes to ``write``, as they come, and say how it ended. ``most`` bytes are taken."""
        try:
            async with self._redirected(self._url(video_id, "content")) as response:
                if response.status_code != 200:
                    return _content_outcome(await self._read(response))
                return await self._receive(response, write, most)
        except _NO_ANSWER as error:
            return Silence(self._failure(FailureKind.SERVER, error))

    async def _receive(
        self, response: httpx.Response, write: Callable[[bytes], None], most: int
    ) -> Received | BadFile | NotThere | Silence:
        if response.headers.get("content-encoding", "identity") != "identity":
            return _bad(f"the content is encoded ({response.headers['content-encoding'][:40]}): nobody asked for that")
        digests = [(hashlib.new(name), expected) for name, expected in _digests(response.headers)]
        received = mark = 0
        head = bytearray()
        now = anyio.current_time()
        with anyio.CancelScope(deadline=now + _LONGEST_DOWNLOAD), anyio.CancelScope(deadline=now + _STALL) as pace:
            async for chunk in response.aiter_raw():
                received += len(chunk)
                if received > most:
                    return _bad(f"the content is longer than {most >> 20} MiB; limits: max_video_mib allows more")
                if received - mark >= SLOWEST * _STALL:
                    mark, pace.deadline = received, anyio.current_time() + _STALL
                write(chunk)
                head += chunk[: _PEEKED - len(head)]
                for digest, _ in digests:
                    digest.update(chunk)
            if any(digest.digest() != expected for digest, expected in digests):
                return _bad("the content is not what the server's own digest says")
            if received == len(head) and head.lstrip().startswith(_IN_PLACE_OF_A_VIDEO):
                return _content_outcome(self._answer(response, bytes(head)))
            return Received()
        return Silence(Failure(FailureKind.SERVER, f"the content came too slowly: {received} bytes so far"))

    @asynccontextmanager
    async def _redirected(self, url: str) -> AsyncIterator[httpx.Response]:
        """GET the content, following redirects by hand: the key stays with the address that it was given for."""
        home = target = httpx.URL(url)
        for _ in range(_MAX_REDIRECTS):
            request = self._content.build_request("GET", target)
            if (target.scheme, target.netloc) != (home.scheme, home.netloc):
                request.headers.pop("Authorization", None)
            response = await self._content.send(request, stream=True)
            try:
                if not response.has_redirect_location:
                    yield response
                    return
            finally:
                await response.aclose()
            target = target.join(self._location(response))
            if target.scheme not in {"https", home.scheme}:
                raise httpx.UnsupportedProtocol("redirected to an address that is not https")
            if may_not_follow(await _addresses(home), await _addresses(target)):
                raise httpx.UnsupportedProtocol("redirected to an address inside a private network")
        raise httpx.TooManyRedirects(f"more than {_MAX_REDIRECTS} redirects")

    def _location(self, response: httpx.Response) -> str:
        """Return where a redirect leads. Raises UnsupportedProtocol where that has a key or a password in it."""
        location = response.headers["location"]
        if (self._key and self._key.redact_text(location) != location) or httpx.URL(location).userinfo:
            raise httpx.UnsupportedProtocol("redirected to an address with a key or a password in it")
        return location

    async def _read(self, response: httpx.Response, limit: int = MAX_JSON) -> _Answer:
        """Return the answer without the key in it, and with little more than ``limit`` bytes of its body."""
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > limit:
                break
        return self._answer(response, bytes(body), whole=len(body) <= limit)

    def _answer(self, response: httpx.Response, body: bytes, *, whole: bool = True) -> _Answer:
        if self._key is None:
            return _Answer(response.status_code, response.headers, body)
        headers = {name: self._key.redact_text(value) for name, value in response.headers.items()}
        redact = self._key.redact if whole else self._key.redact_start
        return _Answer(response.status_code, headers, redact(body))

    def _failure(self, kind: FailureKind, error: Exception) -> Failure:
        """Return what the HTTP library says, which may quote the server, and the server the key."""
        text = f"{type(error).__name__}: {error}"
        code = UNTRUSTED if "CERTIFICATE_VERIFY_FAILED" in text else None  # the cause's class is lost on the way
        return Failure(kind, (self._key.redact_words(text) if self._key else text)[:500], code=code)

    def _url(self, *parts: str) -> str:
        return "/".join((f"{self.base_url}/videos", *(quote(part, safe="") for part in parts)))


def _post_outcome(answer: _Answer) -> PostOutcome:
    """Sort an answer to the POST by what it proves. Only an id proves a job; only a clean refusal proves none."""
    if 200 <= answer.status < 300:
        video = parse_video(answer.body, created=True)
        if video is not None:
            return Acceptance(video, request_id(answer.headers))
    failure = _failure(Asked.CREATE, answer)
    if failure.kind is FailureKind.AMBIGUOUS:
        return Ambiguity(failure, answer.body)
    return Refusal(failure, retry_after(answer.headers), answer.body)


def _poll_outcome(video_id: str, answer: _Answer) -> PollOutcome:
    """Sort an answer that has no Video. Some servers tell with an error, and nothing else, that a job was stopped."""
    failure = _failure(Asked.STATUS, answer)
    match failure.kind:
        case FailureKind.LOST:
            return NotThere(failure)
        case FailureKind.MODERATION_INPUT | FailureKind.MODERATION_OUTPUT:
            return Seen(Video(video_id, "failed", Status.FAILED, failure=failure, raw=answer.body))
        case _:
            return Silence(failure, retry_after(answer.headers))


def _content_outcome(answer: _Answer) -> BadFile | NotThere | Silence:
    failure = _failure(Asked.CONTENT, answer)
    match failure.kind:
        case FailureKind.LOST | FailureKind.EXPIRED:
            return NotThere(failure)
        case FailureKind.BAD_OUTPUT:
            return BadFile(failure)
        case _:
            return Silence(failure, retry_after(answer.headers))


def _failure(asked: Asked, answer: _Answer) -> Failure:
    return classify(asked, answer.status, answer.headers, answer.body)


def may_not_follow(home: Iterable[str], target: Iterable[str]) -> bool:
    """Tell whether a redirect leads from the internet into a private network: no server sends us to our neighbours."""
    return all(_is_public(address) for address in home) and not all(_is_public(address) for address in target)


def _is_public(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_global


async def _addresses(url: httpx.URL) -> list[str]:
    found = await anyio.getaddrinfo(url.host, url.port or 443, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


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


def _bad(message: str) -> BadFile:
    return BadFile(Failure(FailureKind.BAD_OUTPUT, message))

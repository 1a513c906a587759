"""A server in virtual time, and the best that anybody could do with it.

What it is asked to do takes as long as its list of latencies says, no millisecond more, and a request none at all: what
a campaign takes is then what the runner makes of the server's limits. Imported by the side that is measured alone.
"""

import heapq
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import parse_qs

import anyio

EPOCH = 1_800_000_000
Send = Callable[[Mapping[str, Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Setting:
    """What a campaign meets: jobs, creates a minute, jobs at the server at once, and how long a video takes.

    ``spread`` is the sigma of a lognormal distribution whose mean is ``seconds``; ``burst``: creates that may come at
    once after a pause; ``download``: seconds.
    """

    jobs: int
    rate: float
    at_once: int
    seconds: float
    spread: float = 0.3
    burst: int = 1
    download: float = 1.0

    def latencies(self, seed: int) -> list[float]:
        """Return how long each video takes, in the order of creation."""
        chance, spread = Random(seed), self.spread
        return [self.seconds * chance.lognormvariate(-spread * spread / 2, spread) for _ in range(self.jobs)]


def zero_overhead(setting: Setting, latencies: Sequence[float]) -> float:
    """Return the makespan of who creates in order, as soon as it is allowed, and knows of each end at once.

    The best that can be done without knowing how long a video will take (FIFO0).
    """
    busy: list[float] = []
    for number, latency in enumerate(latencies):
        start = max(0, number + 1 - setting.burst) * 60 / setting.rate
        if len(busy) == setting.at_once:
            start = max(start, heapq.heappop(busy))
        heapq.heappush(busy, start + latency)
    return max(busy) + setting.download


@dataclass(slots=True)
class Server:
    """An ASGI application. Counts what it was asked; ``refused`` are its 429s, ``most`` is how many jobs it had."""

    setting: Setting
    latencies: Sequence[float]
    clip: bytes
    lists: bool = True
    created: int = 0
    refused: int = 0
    polls: int = 0
    pages: int = 0
    downloads: int = 0
    most: int = 0
    _due: float = -1e9
    _ends: list[float] = field(default_factory=list)
    _videos: list[dict[str, Any]] = field(default_factory=list)

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Send) -> None:
        name = scope["path"].removeprefix("/v1/videos").strip("/")
        if scope["method"] == "POST":
            await self._create(receive, send)
        elif name.endswith("/content"):
            await anyio.sleep(self.setting.download)
            self.downloads += 1
            await _answer(send, 200, self.clip + name.removesuffix("/content").encode())
        elif name:
            self.polls += 1
            await _answer(send, 200, json.dumps(self._shown(_number(name))).encode())
        else:
            self.pages += 1
            await self._list(parse_qs(scope["query_string"].decode()), send)

    async def _create(self, receive: Any, send: Send) -> None:
        now, interval = anyio.current_time(), 60 / self.setting.rate
        self._ends = [end for end in self._ends if end > now]
        early = now < self._due - interval * (self.setting.burst - 1) - 1e-6
        if early or len(self._ends) >= self.setting.at_once:
            self.refused += 1
            error = {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}
            await _answer(send, 429, json.dumps({"error": error}).encode())
            return
        self._due = max(self._due, now) + interval
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self._ends.append(now + self.latencies[self.created])
        self.most = max(self.most, len(self._ends))
        asked = {key: value for key, value in json.loads(body).items() if key in {"model", "prompt", "size", "seconds"}}
        self._videos.append(asked | {"created_at": now})
        self.created += 1
        await _answer(send, 200, json.dumps(self._shown(self.created - 1)).encode())

    async def _list(self, query: Mapping[str, Sequence[str]], send: Send) -> None:
        if not self.lists:
            await _answer(send, 405, b'{"detail": "Method Not Allowed"}')
            return
        newest = _number(query["after"][0]) if "after" in query else self.created
        numbers = range(newest - 1, -1, -1)
        shown = [self._shown(number) for number in numbers[: int(query["limit"][0])]]
        page = {"object": "list", "data": shown, "has_more": len(numbers) > len(shown)}
        await _answer(send, 200, json.dumps(page).encode())

    def _shown(self, number: int) -> dict[str, Any]:
        video = self._videos[number]
        ended = anyio.current_time() >= video["created_at"] + self.latencies[number]
        return {
            **video,
            "id": f"video_{number:08d}",
            "object": "video",
            "status": "completed" if ended else "in_progress",
            "progress": 100 if ended else 0,
            "created_at": EPOCH + int(video["created_at"]),
            "error": None,
        }


def _number(video_id: str) -> int:
    return int(video_id.removeprefix("video_"))


async def _answer(send: Send, status: int, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": body})

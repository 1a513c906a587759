"""A mock of POST /v1/videos that does nothing but count: ``python -m benchmarks.server CLIP POLLS DELAY CORE``.

HTTP/1.1 is parsed by hand, as far as the clients of the benchmarks need it: this must never be what is measured. It
prints its port, serves on 127.0.0.1, and ends when its standard input does. ``GET /stats`` tells what it has seen.
"""

import asyncio
import json
import os
import re
import sys
import time
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import cast
from urllib.parse import parse_qs

try:
    import uvloop
except ImportError:
    uvloop = None

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_KEY = re.compile(rb"\r\nidempotency-key: *([^\r\n]+)", re.IGNORECASE)
_CLOSES = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_EXPECTS = re.compile(rb"\r\nexpect: *100-continue", re.IGNORECASE)
_FORM_PROMPT = re.compile(rb'name="prompt"\r\n(?:[^\r\n]+\r\n)*\r\n(.*?)\r\n--', re.DOTALL)


@dataclass(slots=True)
class Video:
    id: str
    prompt: str
    polls: int = 0
    bytes: int = 0


class Studio:
    """All that the server knows. ``doubles`` are creates with a prompt or an idempotency key that was there before."""

    def __init__(self, clip: bytes, polls: int) -> None:
        self.clip, self.polls = clip, polls
        self.videos: dict[str, Video] = {}
        self.keys: set[bytes] = set()
        self.prompts: set[str] = set()
        self.doubles = self.requests = self.errors = self.at_once = self.most_at_once = 0

    def answer(self, method: bytes, target: str, head: bytes, body: bytes) -> tuple[int, bytes, tuple[bytes, ...]]:
        """Return the status, the content's type and its parts."""
        path, _, query = target.partition("?")
        if path == "/stats":
            return _json(200, self.seen())
        self.requests += 1
        words = path.removeprefix("/v1/videos").strip("/").split("/")
        if method == b"POST" and words == [""]:
            return self._created(head, body)
        if words == [""]:
            return self._listed({name: values[0] for name, values in parse_qs(query).items()})
        video = self.videos.get(words[0])
        return self._refused("no such video") if video is None else self._asked(video, content=len(words) > 1)

    def _asked(self, video: Video, *, content: bool) -> tuple[int, bytes, tuple[bytes, ...]]:
        if not content:
            video.polls += 1
            return _json(200, self._shown(video))
        if video.polls < self.polls:
            return self._refused("not completed")
        name = video.id.encode()
        video.bytes += len(self.clip) + len(name)
        return 200, b"video/mp4", (self.clip, name)

    def seen(self) -> dict[str, object]:
        served = [video.bytes for video in self.videos.values()]
        return {
            "jobs": len(self.videos),
            "doubles": self.doubles,
            "errors": self.errors,
            "requests": self.requests,
            "most_at_once": self.most_at_once,
            "least_polls": min((video.polls for video in self.videos.values()), default=0),
            "polls": sum(video.polls for video in self.videos.values()),
            "least_bytes": min(served, default=0),
            "most_bytes": max(served, default=0),
            "clip": len(self.clip) + len(_name(0)),
            "cpu": time.process_time(),
        }

    def _created(self, head: bytes, body: bytes) -> tuple[int, bytes, tuple[bytes, ...]]:
        form = _FORM_PROMPT.search(body)
        prompt = form[1].decode() if form else str(json.loads(body)["prompt"])
        key = _KEY.search(head)
        self.doubles += prompt in self.prompts or (key is not None and key[1] in self.keys)
        self.prompts.add(prompt)
        if key is not None:
            self.keys.add(key[1])
        video = Video(_name(len(self.videos)), prompt)
        self.videos[video.id] = video
        return _json(200, self._shown(video))

    def _listed(self, query: dict[str, str]) -> tuple[int, bytes, tuple[bytes, ...]]:
        """Newest first. A video that the list shows has been polled."""
        ids = [*reversed(self.videos)]
        first = ids.index(query["after"]) + 1 if query.get("after") in self.videos else 0
        shown = [self.videos[name] for name in ids[first : first + int(query.get("limit", 20))]]
        for video in shown:
            video.polls += 1
        more = first + len(shown) < len(ids)
        last = shown[-1].id if shown else None
        found = {"object": "list", "data": [*map(self._shown, shown)], "has_more": more, "last_id": last}
        return _json(200, found)

    def _shown(self, video: Video) -> dict[str, object]:
        done = video.polls >= self.polls
        return {
            "id": video.id,
            "object": "video",
            "model": "sora-2",
            "status": "completed" if done else "in_progress" if video.polls else "queued",
            "progress": 100 if done else 0,
            "created_at": int(time.time()),
            "size": "1280x720",
            "seconds": "4",
            "prompt": video.prompt,
        }

    def _refused(self, message: str) -> tuple[int, bytes, tuple[bytes, ...]]:
        self.errors += 1
        return _json(404, {"error": {"message": message, "type": "invalid_request_error", "code": "not_found"}})


def _name(number: int) -> str:
    return f"video_{number:08d}"  # all as long: so is every file


def _json(status: int, value: object) -> tuple[int, bytes, tuple[bytes, ...]]:
    return status, b"application/json", (json.dumps(value).encode(),)


class Connection(asyncio.Protocol):
    """One connection of a client, kept alive. A request is answered when it is whole."""

    def __init__(self, studio: Studio, delay: float) -> None:
        self._studio, self._delay = studio, delay
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._buffer[: end + 2])
            length = _LENGTH.search(head)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._buffer) < whole:
                if _EXPECTS.search(head) and len(self._buffer) == end + 4 and self._transport:
                    self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                return
            body = bytes(self._buffer[end + 4 : whole])
            del self._buffer[:whole]
            self._request(head, body)

    def _request(self, head: bytes, body: bytes) -> None:
        studio = self._studio
        studio.at_once += 1
        studio.most_at_once = max(studio.most_at_once, studio.at_once)
        method, target, _ = head.split(b" ", 2)
        status, kind, parts = studio.answer(method, target.decode(), head, body)
        length = sum(map(len, parts))
        reason = HTTPStatus(status).phrase.encode()
        start = b"HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n" % (status, reason, kind, length)
        closes = _CLOSES.search(head) is not None
        if self._delay:
            asyncio.get_running_loop().call_later(self._delay, self._send, (start, *parts), closes)
        else:
            self._send((start, *parts), closes)

    def _send(self, parts: tuple[bytes, ...], closes: bool) -> None:
        self._studio.at_once -= 1
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.writelines(parts)
        if closes:
            self._transport.close()


async def serve(clip: bytes, polls: int, delay: float) -> None:
    loop, studio, ended = asyncio.get_running_loop(), Studio(clip, polls), asyncio.Event()
    server = await loop.create_server(lambda: Connection(studio, delay), "127.0.0.1", 0, backlog=4096)
    loop.add_reader(sys.stdin.fileno(), ended.set)
    print(server.sockets[0].getsockname()[1], flush=True)
    await ended.wait()
    server.close()


def main() -> None:
    clip, polls, delay, core = sys.argv[1:]
    if int(core) >= 0:
        os.sched_setaffinity(0, {int(core)})
    run = uvloop.run if uvloop else asyncio.run
    run(serve(Path(clip).read_bytes(), int(polls), float(delay)))


if __name__ == "__main__":
    main()

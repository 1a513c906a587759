"""The paid server of a kill campaign: our simulator's account and bill, behind sockets that misbehave on purpose.

    python server.py --folder DIR --seed TEXT --faults 0.08 [--ledger PATH]

A process of its own, so that its bill survives whatever happens to the client. It never looks at an Idempotency-Key:
two requests are two videos. It prints its address, then obeys lines on standard input (``Order``) and answers each
with a line; the end of its input ends it, so it never outlives who started it. Every request is a line in
``requests.jsonl``, every video a line on the bill in ``bill.db``.

A POST under way goes on when its client dies, as behind a gateway. With ``--ledger`` each POST's key is looked up in
the client's ledger when it arrives: a request that is not announced there is an intent that was not on disk.
"""

import argparse
import asyncio
import json
import os
import signal
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from injection import UNBILLED, Course, Dice, Fault, Instant, Trouble

from pipeline import shipped
from pipeline.errors import LedgerError
from pipeline.ledger import reading
from pipeline.simulator.footage import StockFootage
from pipeline.simulator.pace import Pace
from pipeline.simulator.refusals import Refused
from pipeline.simulator.service import VideoService, open_simulator

PACE = Pace(queue=(0.05, 0.15), render=(0.1, 0.5))
_CHUNKS = 8
_HTML = b"<html><body>502 Bad Gateway</body></html>"


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class Order:
    """Kill the process at this instant of the so-manieth request that has such an instant."""

    instant: Instant
    number: int
    process: int  # a pidfd: a pid may be somebody else's by then


class Front:
    """HTTP/1.1 by hand over one account: who speaks through a library cannot cut an answer in its headers."""

    def __init__(self, service: VideoService, dice: Dice, requests: Path, ledger: Path | None) -> None:
        self._service = service
        self._dice = dice
        self._requests = requests.open("a", buffering=1)
        self._ledger = ledger
        self._seen: Counter[tuple[str, str]] = Counter()
        self._known: list[str] = []
        self._posts: set[asyncio.Task[None]] = set()
        self.order: Order | None = None

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request after the other."""
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._answer(await _request(reader), writer):
                    pass
        finally:
            writer.close()

    async def rest(self) -> None:
        """Wait for the POSTs under way: one whose client is dead may still be billed."""
        await asyncio.gather(*self._posts, return_exceptions=True)

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        """Answer the request; tell whether the connection can be used for another."""
        try:
            if request.method == "POST":
                post = asyncio.get_running_loop().create_task(self._create(request, writer))
                self._posts.add(post)
                post.add_done_callback(self._posts.discard)
                await post
                return False
            video_id, _, rest = request.path.removeprefix("/v1/videos").lstrip("/").partition("/")
            if rest == "content":
                return await self._content(unquote(video_id), writer)
            return await self._shown(unquote(video_id), request, writer)
        except Refused as refusal:
            await _send(writer, _message(refusal.status, json.dumps(refusal.body).encode()))
            return True

    async def _create(self, request: Request, writer: asyncio.StreamWriter) -> None:
        prompt = json.loads(request.body)["prompt"]
        course = self._dice.post(prompt, self._count("POST", prompt))
        instant = self._due(set(Instant) - {Instant.MID_CONTENT})
        fault = course.fault if instant is None else None
        why = self._unannounced(request)
        self._log("POST", request.path, prompt=prompt, fault=fault, instant=instant, unannounced=why)
        if instant in {Instant.ARRIVED, Instant.ARRIVED_BILLED}:
            self._kill()
        if instant is Instant.ARRIVED:
            return
        if fault is Fault.BILLED_LATE:
            _break(writer, Random(prompt))
        await asyncio.sleep(course.billing)
        if fault in UNBILLED:
            await self._refuse(fault, course, writer, Random(prompt))
            return
        video = self._service.create(request.body, None).video
        if instant is not None:
            await self._killing(instant, _message(200, json.dumps(video).encode(), close=True), writer)
        elif fault is not Fault.BILLED_LATE:
            await asyncio.sleep(course.answer)
            await self._tell(course.fault, video, writer, Random(prompt))

    async def _refuse(self, fault: Fault, course: Course, writer: asyncio.StreamWriter, rng: Random) -> None:
        if fault is Fault.DROPPED:
            _break(writer, rng)
        elif fault is Fault.FAILED:
            await _send(writer, _message(500, _error("The server had an error."), close=True))
        else:
            headers = {"Retry-After": f"{course.answer:.2f}"}
            await _send(writer, _message(429, _error("Rate limit reached."), headers=headers, close=True))

    async def _killing(self, instant: Instant, message: bytes, writer: asyncio.StreamWriter) -> None:
        """Let the client have so much of the answer, and kill it."""
        cut = {Instant.MID_HEAD: message.index(b"\r\n\r\n") // 2, Instant.MID_BODY: len(message) - 40}.get(instant, 0)
        if cut:
            with suppress(ConnectionError):
                await _send(writer, message[:cut])
            await asyncio.sleep(0.02)  # so that it has read them
        self._kill()

    async def _tell(self, fault: Fault, video: dict[str, Any], writer: asyncio.StreamWriter, rng: Random) -> None:
        if fault is Fault.BILLED_FOREIGN_ID and self._known:
            video = {**video, "id": rng.choice(self._known)}
        message = _message(200, json.dumps(video).encode(), close=True)
        match fault:
            case Fault.BILLED_DROPPED:
                message = b""
            case Fault.BILLED_CUT_HEAD:
                message = message[: message.index(b"\r\n\r\n") // 2]
            case Fault.BILLED_CUT_BODY:
                message = message[: rng.randrange(message.index(b"\r\n\r\n") + 4, len(message))]
            case Fault.BILLED_500:
                message = _message(500, _error("The server had an error."), close=True)
            case Fault.BILLED_502:
                message = _message(502, _HTML, kind="text/html", close=True)
        await _send(writer, message)
        if fault in {Fault.BILLED_DROPPED, Fault.BILLED_CUT_HEAD, Fault.BILLED_CUT_BODY}:
            _break(writer, rng)

    async def _shown(self, video_id: str, request: Request, writer: asyncio.StreamWriter) -> bool:
        """A video's status, or a page of the list."""
        if video_id:
            trouble = self._dice.status(video_id, self._count("status", video_id))
            self._log("GET", request.path, fault=trouble)
            document = self._service.retrieve(video_id)
            self._known.append(video_id)  # who asks for it has it on record: its id can be given to somebody else
        else:
            trouble = self._dice.page(self._count("list", ""))
            self._log("GET", request.path, fault=trouble)
            document = self._page(request.query)
        if trouble is Trouble.FAILED:
            await _send(writer, _message(500, _error("The server had an error.")))
            return True
        message = _message(200, json.dumps(document).encode())
        if trouble is Trouble.CUT:
            await _send(writer, message[:-20])
            return False
        await _send(writer, message)
        return True

    def _page(self, query: Mapping[str, list[str]]) -> dict[str, Any]:
        """A page without what is too new to be in it yet."""
        limit, after = int(query.get("limit", ["20"])[0]), query.get("after", [None])[0]
        order = query.get("order", ["desc"])[0]
        page = self._service.page(limit=limit, after=after, order="asc" if order == "asc" else "desc")
        return page | {"data": [video for video in page["data"] if self._is_listed(video["id"])]}

    def _is_listed(self, video_id: str) -> bool:
        record = self._service.store.video(video_id)
        return record is not None and time.time() >= record.life.created_at + self._dice.lag(video_id)

    async def _content(self, video_id: str, writer: asyncio.StreamWriter) -> bool:
        trouble = self._dice.content(video_id, self._count("content", video_id))
        instant = self._due({Instant.MID_CONTENT})
        self._log("GET", f"/v1/videos/{video_id}/content", fault=trouble, instant=instant)
        data = await self._service.content(video_id)
        message = _message(200, data, kind="video/mp4")
        if instant is None and trouble is Trouble.FAILED:
            message = _message(500, _error("The server had an error."))
        elif instant is None and trouble in {Trouble.SHORT, Trouble.HTML}:
            message = _message(200, _HTML if trouble is Trouble.HTML else data[: len(data) // 2], kind="video/mp4")
        size = -(-len(message) // _CHUNKS)
        for number, start in enumerate(range(0, len(message), size)):
            if number == _CHUNKS // 2:
                if instant is not None:
                    self._kill()
                if trouble is Trouble.CUT or instant is not None:
                    return False
            await _send(writer, message[start : start + size])
            await asyncio.sleep(0.004)
        return True

    def _count(self, what: str, which: str) -> int:
        self._seen[what, which] += 1
        return self._seen[what, which]

    def _due(self, here: set[Instant]) -> Instant | None:
        order = self.order
        if order is None or order.instant not in here:
            return None
        order.number -= 1
        return order.instant if order.number == 0 else None

    def _kill(self) -> None:
        order, self.order = self.order, None
        if order is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(order.process, signal.SIGKILL)
            os.close(order.process)

    def _unannounced(self, request: Request) -> str | None:
        """Return why a request that is here is not on record there as one that may be; None where it is."""
        if self._ledger is None:
            return None
        key = request.headers.get("idempotency-key")
        try:
            with reading.opened(self._ledger) as connection:
                found = connection.execute("SELECT state FROM jobs WHERE idempotency_key = ?", (key,)).fetchone()
        except LedgerError as error:
            return str(error)
        if found is None:
            return "no job has its key"
        return "its job is planned" if found[0] == "planned" else None

    def _log(self, method: str, path: str, **facts: Any) -> None:
        line = {"at": round(time.time(), 4), "method": method, "path": path, **facts}
        self._requests.write(json.dumps({name: value for name, value in line.items() if value is not None}) + "\n")


async def _request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    parts = urlsplit(target)
    return Request(method, parts.path, parse_qs(parts.query), headers, body)


def _message(
    status: int,
    body: bytes,
    *,
    kind: str = "application/json",
    headers: Mapping[str, str] | None = None,
    close: bool = False,
) -> bytes:
    told = {"Date": formatdate(usegmt=True), "Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}
    lines = [f"HTTP/1.1 {status} -", *(f"{name}: {value}" for name, value in told.items())]
    return ("\r\n".join([*lines, *["Connection: close"] * close]) + "\r\n\r\n").encode() + body


def _error(message: str) -> bytes:
    return json.dumps({"error": {"message": message, "type": "server_error", "param": None, "code": None}}).encode()


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


def _break(writer: asyncio.StreamWriter, rng: Random) -> None:
    """End the connection: with a reset, or as if all were said."""
    if rng.random() < 0.5:
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
    else:
        writer.close()


async def _obey(front: Front) -> None:
    """Take orders until the input ends: ``arm INSTANT NUMBER PID``, ``disarm``."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := (await reader.readline()).decode().split():
        if front.order is not None:
            os.close(front.order.process)
            front.order = None
        if line[0] == "arm":
            front.order = Order(Instant(line[1]), int(line[2]), os.pidfd_open(int(line[3])))
        _say("ok")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def _serve(options: argparse.Namespace) -> None:
    with open_simulator(
        path=options.folder / "bill.db",
        request_schema=shipped.schema("sora-request"),
        now=time.time,
        footage=StockFootage,
        pace=PACE,
    ) as service:
        dice = Dice(options.seed, options.faults)
        front = Front(service, dice, options.folder / "requests.jsonl", options.ledger)
        server = await asyncio.start_server(front.connection, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        _say(f"http://{host}:{port}/v1")
        await _obey(front)
        server.close()
        await front.rest()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seed", default="0")
    parser.add_argument("--faults", type=float, default=0.08)
    parser.add_argument("--ledger", type=Path)
    asyncio.run(_serve(parser.parse_args()))

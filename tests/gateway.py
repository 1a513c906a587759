"""The command, the simulator on a port, and a gateway between them that loses answers.

The gateway is a real HTTP server: what reaches the simulator is billed there, whatever the command is told.
"""

import http.client
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, chdir, closing, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

from anyio.from_thread import start_blocking_portal

from pipeline import shipped
from pipeline.cli import main
from pipeline.simulator import dialects
from pipeline.simulator.app import application
from pipeline.simulator.faults import Fault, Faults
from pipeline.simulator.footage import StockFootage
from pipeline.simulator.pace import Pace
from pipeline.simulator.server import listening
from pipeline.simulator.service import open_simulator
from pipeline.surroundings import faults_of

ENVIRONMENT = {
    key: value
    for key, value in os.environ.items()
    if not key.startswith(("CALLSHEET", "ZNAPAI", "ZnapAI", "FORCE_COLOR", "COV", "PYTEST", "XDG"))
}

Ended = subprocess.CompletedProcess[str]
Answer = tuple[int, bytes, dict[str, str]] | None
"""Status, body and headers; None hangs up without a word."""


PLAIN: Mapping[str, Any] = {
    "name": "plain",
    "title": "Plain",
    "base_url": "http://127.0.0.1:9/v1",
    "auth": {"scheme": "none"},
    "request": {
        "schema": "sora-request.schema.json",
        "defaults": {"model": "sora-2", "size": "1280x720", "seconds": "4"},
    },
    "poll": {"first": 0.1, "interval": 0.1, "slowest": 0.5},
    "limits": {"requests_per_minute": 6000, "max_in_flight": 20, "polls_per_second": 50, "downloads": 4},
    "price": {"currency": "USD", "per_second": {"sora-2": 0.1}},
}
KEYED = {"auth": {"scheme": "bearer", "env": ["PLAIN_KEY"]}}


def plain(**fields: Any) -> str:
    """The profile of a server that promises nothing, at ten cents a second, but for these fields. JSON is YAML."""
    return json.dumps({**PLAIN, **fields})


def call(folder: Path, *arguments: str, **environment: str) -> Ended:
    """Run the command to its end: in this process, where it needs no second to begin."""
    said, complained = StringIO(), StringIO()
    around = ENVIRONMENT | {"HOME": str(folder)} | environment
    with chdir(folder), patch.dict(os.environ, around, clear=True), redirect_stdout(said), redirect_stderr(complained):
        code = main(arguments)
    return Ended(arguments, code, said.getvalue(), complained.getvalue())


def start(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start the command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", *arguments],
        cwd=folder,
        env=ENVIRONMENT | {"HOME": str(folder)} | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@dataclass
class Bill:
    """What the simulator would have charged for, by its own store."""

    path: Path

    def lines(self) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(self.path)) as connection:
            rows = connection.execute("SELECT video_id, request FROM bill ORDER BY number").fetchall()
        return [{"video_id": video_id, **json.loads(request)} for video_id, request in rows]

    def __len__(self) -> int:
        return len(self.lines())


@dataclass
class Gateway:
    """Hands requests on to ``upstream``. ``meddle`` may answer in its place, before or after it has acted."""

    upstream: str
    url: str = ""
    seen: list[tuple[str, str]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    meddle: Callable[[str, str, Callable[[], Answer]], Answer] = lambda method, path, act: act()

    def posts(self) -> int:
        return sum(method == "POST" for method, _ in self.seen)

    def asked(self) -> list[str]:
        """The paths of all requests but POSTs, below ``/v1``."""
        return [path.removeprefix("/v1") for method, path in self.seen if method != "POST"]


AT_ONCE = Pace(queue=(0.02, 0.05), render=(0.05, 0.2))

_SHELF: dict[str, bytes] = {}


class _Shelf:
    """Keeps the stock clips for all simulators of this session."""

    def clip(self, name: str) -> bytes | None:
        return _SHELF.get(name)

    def keep(self, name: str, data: bytes) -> bytes:
        return _SHELF.setdefault(name, data)


@asynccontextmanager
async def _simulator(
    state: Path, dialect: str | None, faults: Faults, key: str | None, pace: Pace
) -> AsyncIterator[str]:
    with open_simulator(
        path=state,
        request_schema=shipped.schema("sora-request"),
        now=time.time,
        footage=lambda store: StockFootage(_Shelf()),
        pace=pace,
        dialect=dialects.dialect(dialect or dialects.DEFAULT),
    ) as service:
        app = application(service, faults=faults, key=key)
        async with listening(app, bytewise=faults.need_a_proxy) as address:
            yield address


@contextmanager
def simulator(
    state: Path,
    *,
    dialect: str | None = None,
    faults: Sequence[Fault] | Path = (),
    key: str | None = None,
    pace: Pace = AT_ONCE,
) -> Iterator[str]:
    """Serve the simulator on a port, with its bill in a file, and give its address.

    ``dialect`` names the server that it stands for. ``faults`` are values, or a file of them.
    """
    wrong = faults_of(faults) if isinstance(faults, Path) else Faults(faults)
    around = _simulator(state, dialect, wrong, key, pace)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(around) as address:
        yield address


@contextmanager
def gateway(upstream: str) -> Iterator[Gateway]:
    front = Gateway(upstream)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            front.seen.append((self.command, self.path))
            front.keys.append(self.headers.get("Authorization"))
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name: self.headers[name] for name in ("Authorization", "Content-Type") if name in self.headers}
            asked = self.command, self.path, body
            answer = front.meddle(self.command, self.path, lambda: _sent(front.upstream, *asked, headers))
            if answer is None:
                self.close_connection = True
                return
            status, content, headers = answer
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = handle_one  # noqa: N815  # their names

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    front.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield front
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


_JSON: Mapping[str, str] = {"Content-Type": "application/json"}


def posted(url: str, request: dict[str, Any]) -> str:
    """Have a video made by a POST of nobody's, and return its id."""
    answer = _sent(url, "POST", "/v1/videos", json.dumps(request).encode())
    return str(json.loads(answer[1])["id"])


def deleted(url: str, video_id: str) -> None:
    assert _sent(url, "DELETE", f"/v1/videos/{video_id}", b"")[0] == 200


def _sent(
    url: str, method: str, path: str, body: bytes, headers: Mapping[str, str] = _JSON
) -> tuple[int, bytes, dict[str, str]]:
    address = urlsplit(url)
    with closing(http.client.HTTPConnection(address.hostname or "", address.port)) as connection:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        kept = {name: value for name, value in answer.getheaders() if name.lower() in {"content-type", "x-request-id"}}
        return answer.status, answer.read(), kept


def loses_the_answers(method: str, path: str, act: Callable[[], Answer]) -> Answer:
    """A POST is carried out, and nobody hears of it."""
    answer = act()
    return None if method == "POST" else answer


def hears_nothing(method: str, path: str, act: Callable[[], Answer]) -> Answer:
    """A POST never arrives, which nobody can tell from the other side."""
    return None if method == "POST" else act()


def fails_afterwards(method: str, path: str, act: Callable[[], Answer]) -> Answer:
    """A POST is carried out, and answered with the gateway's own error, which has an id for the support."""
    answer = act()
    if method != "POST":
        return answer
    words = b'{"error": {"message": "bad \\u001b[2J [red]gateway[/]", "code": "upstream"}}'
    return 502, words, {"x-request-id": "req_for_the_support", "Content-Type": "application/json"}

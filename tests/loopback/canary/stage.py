"""A folder with a campaign, commands that are given the canary's key there, and what all of that may not leave."""

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from loopback.canary.hostile import Answer, Request, Server, whole
from loopback.canary.marks import Canary, Trace
from warm import Process, Warm

VARIABLE = "CANARY_KEY"
CLEAN = {
    key: value
    for key, value in os.environ.items()
    if not key.startswith(("CALLSHEET", "ZNAPAI", "ZnapAI", "CANARY", "FORCE_COLOR", "COV", "PYTEST"))
}

_PROFILE = """\
name: canary
title: Canary
base_url: http://127.0.0.1:9/v1
auth: {{ scheme: bearer, env: [{variable}] }}
request:
  schema: sora-request.schema.json
  defaults: {{ model: sora-2, size: 1280x720, seconds: "4" }}
  metadata: true
abilities: {{ list: {list}, idempotency: {idempotency} }}
poll: {{ first: 0.02, interval: 0.02, slowest: 0.02 }}
limits: {{ requests_per_minute: 60000, max_in_flight: 50, polls_per_second: 500, downloads: 20 }}
"""


class KeyFound(AssertionError):
    """The key can be read where it has no business."""


@dataclass
class Role:
    """How the server treats one job: its answers to POST, polls and downloads, the last of each for ever."""

    post: Sequence[Answer | Callable[[Request], Answer]] = ()
    poll: Sequence[Answer | Callable[[Request], Answer]] = ()
    content: Sequence[Answer | Callable[[Request], Answer]] = ()


class Cast:
    """A server's answers, a role for each job. A job's prompt is its name, and its video is called by it too."""

    def __init__(
        self, roles: Mapping[str, Role], *, others: Callable[[Request], Answer] = lambda _: whole(404)
    ) -> None:
        self._roles = roles
        self._others = others
        self.asked: list[tuple[str, str]] = []

    def __call__(self, request: Request) -> Answer:
        path = request.target.partition("?")[0].split("/")[2:]
        if request.method == "POST":
            what, name = "post", request.prompt
        elif request.method == "GET" and len(path) > 1:
            what, name = ("content" if len(path) > 2 else "poll"), path[1].removeprefix("video_")
        else:
            what, name = "", ""
        if name not in self._roles:
            return self._others(request)
        answers = getattr(self._roles[name], what)
        number = self.asked.count((what, name))
        self.asked.append((what, name))
        answer = answers[min(number, len(answers) - 1)] if answers else _usual(what, name)
        return answer(request) if callable(answer) else answer


def _usual(what: str, name: str) -> bytes:
    status = "queued" if what == "post" else "completed"
    return whole(404) if what == "content" else whole(200, video(name, status=status))


def video(name: str, **fields: Any) -> dict[str, Any]:
    return {"id": f"video_{name}", "object": "video", "status": "queued", **fields}


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that has ended, and what it said."""

    code: int
    out: str
    err: str


@dataclass
class Stage:
    """``folder`` is where the commands run; all that they say is kept in it too. ``provider`` is the manifest's."""

    folder: Path
    canary: Canary
    warm: Warm
    environment: dict[str, str] = field(default_factory=dict)
    _numbers: "count[int]" = field(default_factory=count)
    _processes: list[Process] = field(default_factory=list)

    def __post_init__(self) -> None:
        homes = {"HOME": str(self.folder), "XDG_STATE_HOME": str(self.folder / "state"), "COLUMNS": "200"}
        self.environment = {**CLEAN, **homes, VARIABLE: self.canary.text, **self.environment}

    @property
    def campaign(self) -> Path:
        return self.folder / "outputs/trip"

    def manifest(self, names: Iterable[str], provider: str = "canary") -> None:
        """Write a manifest with a job of each name, and profiles: ``list.yaml`` is the one of a server that lists."""
        jobs = "".join(f"  - {{ id: {name}, prompt: {name} }}\n" for name in names)
        (self.folder / "trip.yaml").write_text(f"version: 1\nname: trip\nprovider: {provider}\njobs:\n{jobs}")
        for name, lists, again in (("plain", "false", "false"), ("again", "false", "true"), ("list", "true", "false")):
            text = _PROFILE.format(variable=VARIABLE, list=lists, idempotency=again)
            (self.folder / f"{name}.yaml").write_text(text)

    def start(self, *arguments: str, **environment: str | None) -> tuple[Process, Path, Path]:
        """Start a command; return it and the files that its output goes to. None takes a variable away."""
        said = self.folder / "said"
        said.mkdir(exist_ok=True)
        number = f"{next(self._numbers):03}-{arguments[0].strip('-') if arguments else 'nothing'}"
        files = said / f"{number}.out", said / f"{number}.err"
        variables = {name: value for name, value in (self.environment | environment).items() if value is not None}
        with files[0].open("ab") as out, files[1].open("ab") as err:
            process = self.warm.start(arguments, folder=self.folder, environment=variables, stdout=out, stderr=err)
        self._processes.append(process)
        return process, *files

    def call(self, *arguments: str, **environment: str | None) -> Ended:
        process, out, err = self.start(*arguments, **environment)
        code = process.wait()
        return Ended(code, out.read_text(errors="replace"), err.read_text(errors="replace"))

    def run(self, server: Server | str, *more: str, profile: str = "plain") -> tuple[str, ...]:
        """Return the words of a run against a server."""
        url = server if isinstance(server, str) else server.url
        return ("run", "trip.yaml", "--yes", "--profile", f"{profile}.yaml", "--base-url", url, *more)

    def look_around(self) -> list[str]:
        """Let commands that only look say what the ledger knows; return the jobs' states, as words."""
        jobs = json.loads(self.call("status", "trip.yaml", "--json").out)["jobs"]
        self.call("show", "trip.yaml", jobs[0]["job"])
        states = [job["state"] for job in jobs]
        if "held" in states:
            self.call("resolve", "outputs/trip")
        return states

    def traces(self) -> list[Trace]:
        return self.canary.traces_below(self.folder)

    def is_clean(self, *servers: Server) -> None:
        """Assert that the key is in no file and no output, and reached the servers in one header only, but did."""
        found = self.traces()
        for server in servers:
            assert server.received(self.canary) > 0, "the key was never sent: this proves nothing"
            found += server.misplaced(self.canary)
        if found:
            raise KeyFound("\n".join(["the key can be read", *map(str, found)]))

    def close(self) -> None:
        for process in self._processes:
            process.close()


def until(condition: Callable[[], object], timeout: float = 20.0, *, or_else: bool = True) -> None:
    """Wait until it is so, which it must be in time, ``or_else``."""
    deadline = time.monotonic() + timeout
    while not condition() and (or_else or time.monotonic() < deadline):
        assert time.monotonic() < deadline, "this did not happen"
        time.sleep(0.01)

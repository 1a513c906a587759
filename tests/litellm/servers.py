"""The two servers, each a process of its own: the simulator, and LiteLLM's proxy in front of it. Loopback only."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from azure import azure
from scenes import AZURE, MODEL, STRANGER

LONGEST_START = 180.0
"""Seconds until LiteLLM must be ready: it imports for half a minute on a machine that has other things to do."""

FAULTS = Path(__file__).with_name("faults.yaml")

_UPSTREAM_KEY = "the-key-of-the-simulator"
_OTHER_KEY = "a-key-that-nobody-knows"
_NO_CALLS_HOME = {
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_LOCAL_AUTOROUTER_PRESETS": "True",
    "LITELLM_LOCAL_BLOG_POSTS": "True",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_POLICY_TEMPLATES": "True",
    # What it would ask of others all the same goes to a port where nobody listens.
    "HTTP_PROXY": "http://127.0.0.1:1",
    "HTTPS_PROXY": "http://127.0.0.1:1",
    "NO_PROXY": "127.0.0.1,localhost",
}
_ACCESS = re.compile(r'"(GET|POST|DELETE) (/v1/videos\S*) HTTP/1\.1" ([0-9]{3})')


@dataclass(frozen=True)
class Simulator:
    """The upstream: its address, and the file with its bill."""

    url: str
    state: Path

    def billed(self, prompt: str = "") -> list[str]:
        """Return the ids on the bill, of the videos with this prompt or of all."""
        with closing(sqlite3.connect(self.state)) as connection:
            lines = connection.execute("SELECT video_id, request FROM bill ORDER BY number").fetchall()
        return [video_id for video_id, request in lines if prompt in ("", json.loads(request)["prompt"])]


@dataclass(frozen=True)
class Proxy:
    """The gateway: its address, its key, and the log of its requests."""

    url: str
    key: str
    log: Path

    def requests(self) -> list[tuple[str, str, int]]:
        """Return method, path and status of all requests about videos, by the gateway's own log."""
        found = _ACCESS.findall(self.log.read_text("utf-8", "replace"))
        return [(method, path, int(status)) for method, path, status in found]


@contextmanager
def simulator(folder: Path) -> Iterator[Simulator]:
    state = folder / "bill.db"
    options = ["--port", "0", "--dialect", "openai", "--videos", "stock", "--speed", "50"]
    command = [sys.executable, "-m", "pipeline", "simulate", *options, "--state", state, "--faults", FAULTS]
    environment = os.environ | {"CALLSHEET_SIMULATOR_KEY": _UPSTREAM_KEY}
    with _running(command, folder / "simulator.log", environment) as process:
        yield Simulator(_printed(process, folder / "simulator.log"), state)


@contextmanager
def proxy(binaries: Path, deployment: str, upstream: str, folder: Path) -> Iterator[Proxy]:
    """Run the proxy with two models of this kind of deployment, and give it when it is ready."""
    if deployment != AZURE:
        with _proxy(binaries, deployment, upstream, folder) as found:
            yield found
        return
    with azure(upstream) as resource, _proxy(binaries, deployment, resource, folder) as found:
        yield found


@contextmanager
def _proxy(binaries: Path, deployment: str, upstream: str, folder: Path) -> Iterator[Proxy]:
    key, port, config, log = f"sk-{folder.name}-master", _free_port(), folder / "config.yaml", folder / "litellm.log"
    config.write_text(_config(deployment, upstream))
    options = ["--host", "127.0.0.1", "--port", str(port), "--num_workers", "1", "--telemetry", "False"]
    environment = {
        "PATH": f"{binaries}{os.pathsep}{os.defpath}",
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "LITELLM_MASTER_KEY": key,
        **_NO_CALLS_HOME,
    }
    with _running([binaries / "litellm", "--config", config, *options], log, environment) as process:
        _wait_for(f"http://127.0.0.1:{port}/health/readiness", process, log)
        yield Proxy(f"http://127.0.0.1:{port}/v1", key, log)


def _config(deployment: str, upstream: str) -> str:
    models = [
        {
            "model_name": model,
            "litellm_params": {"model": f"{deployment}/{model}", "api_base": upstream, "api_key": key},
        }
        for model, key in ((MODEL, _UPSTREAM_KEY), (STRANGER, _OTHER_KEY))
    ]
    no_retries = {"num_retries": 0}
    document = {
        "model_list": models,
        "litellm_settings": no_retries,
        "router_settings": no_retries,
        "general_settings": {"master_key": "os.environ/LITELLM_MASTER_KEY"},
    }
    return json.dumps(document, indent=2)  # which is YAML too


@contextmanager
def _running(command: list[str | Path], log: Path, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process of its own session while the context lasts, what it says in ``log``."""
    with log.open("wb") as said:
        process = subprocess.Popen(
            command,
            cwd=log.parent,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # the session is its own
            process.wait()


def _printed(process: subprocess.Popen[bytes], log: Path) -> str:
    """Return the address that the simulator prints first."""
    while process.poll() is None:
        first, whole, _ = log.read_text().partition("\n")
        if whole:
            return first.strip()
        time.sleep(0.1)
    raise RuntimeError(f"the simulator has ended: {log.read_text()}")


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    until = time.monotonic() + LONGEST_START
    while process.poll() is None and time.monotonic() < until:
        try:
            with direct.open(url, timeout=5):
                return
        except (OSError, urllib.error.URLError):
            time.sleep(0.5)
    raise RuntimeError(f"LiteLLM is not ready: {log.read_text('utf-8', 'replace')[-2000:]}")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])

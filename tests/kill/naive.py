"""The control: what most scripts do. POST, again until it answers; then write the id down, poll, download.

    python naive.py URL PROMPTS FOLDER

It resumes from ``state.json`` and skips files that are there. Says ``ready``, and begins when a line
comes on standard input.
"""

import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

import httpx

POSTS_AT_ONCE = 4
_TRIES = 5


def retried(request: Callable[[], httpx.Response]) -> httpx.Response:
    for number in range(_TRIES):
        try:
            return request().raise_for_status()
        except httpx.HTTPError:
            if number == _TRIES - 1:
                raise
            time.sleep(0.1 * 2**number)
    raise AssertionError


class Script:
    def __init__(self, url: str, folder: Path) -> None:
        self._client = httpx.Client(base_url=url, timeout=30, trust_env=False)
        self._folder = folder
        self._state = folder / "state.json"
        self._ids: dict[str, str] = json.loads(self._state.read_text()) if self._state.exists() else {}
        self._lock = Lock()

    def render(self, number: int, prompt: str) -> None:
        file = self._folder / f"shot-{number}.mp4"
        if file.exists():
            return
        if prompt not in self._ids:
            body = {"model": "sora-2", "prompt": prompt, "size": "1280x720", "seconds": "4"}
            self._remember(prompt, retried(lambda: self._client.post("/videos", json=body)).json()["id"])
        path = f"/videos/{self._ids[prompt]}"
        while retried(lambda: self._client.get(path)).json()["status"] != "completed":
            time.sleep(0.1)
        file.write_bytes(retried(lambda: self._client.get(f"{path}/content")).content)

    def _remember(self, prompt: str, video_id: str) -> None:
        with self._lock:
            self._ids[prompt] = video_id
            new = self._state.with_suffix(".new")
            new.write_text(json.dumps(self._ids))
            new.replace(self._state)


def main(url: str, prompts: str, folder: str) -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    if not sys.stdin.readline():
        return
    script = Script(url, Path(folder))
    with ThreadPoolExecutor(POSTS_AT_ONCE) as pool:
        jobs = [pool.submit(script.render, *job) for job in enumerate(Path(prompts).read_text().splitlines(), 1)]
    for job in jobs:
        job.result()


if __name__ == "__main__":
    main(*sys.argv[1:])

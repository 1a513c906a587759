"""A campaign over lines that break: answers that are cut, reset, swollen or without end, from two kinds of servers."""

import json
from pathlib import Path

import pytest
from gateway import Bill, call, simulator

for module in ("av", "PIL", "starlette", "uvicorn", "python_multipart"):
    pytest.importorskip(module, reason=f"{module} is an extra: callsheet[simulator]")

from pipeline.simulator.faults import Fault  # noqa: E402

KEY = "the-key-of-the-account"
QUICK = """\
name: quick
title: Quick
auth: {{ scheme: bearer, env: [QUICK_KEY] }}
request:
  encoding: {encoding}
  schema: {schema}-request.schema.json
  defaults: {{ model: sora-2, size: 1280x720, seconds: "4" }}
abilities: {{ list: true }}
content: {{ {content} }}
poll: {{ first: 0.1, interval: 0.1, slowest: 0.3 }}
limits: {{ requests_per_minute: 6000, max_in_flight: 4, polls_per_second: 50, downloads: 4, max_video_mib: 1 }}
price: {{ currency: USD, otherwise: 0 }}
"""
MANIFEST = """\
version: 1
name: broken
provider: quick
jobs:
  - { id: fox, prompt: "A fox in {{ weather }}", matrix: { weather: [rain, snow] }, takes: 2 }
"""
CONTENT = [
    Fault(on="content", nth=1, truncate=0.5),
    Fault(on="content", nth=2, reset=1000),
    Fault(on="content", nth=3, gzip_bomb=64),
    Fault(on="content", nth=4, endless=True),
]
STATUS = [
    Fault(on="status", nth=2, truncate=0.5),
    Fault(on="status", nth=3, reset=20),
    Fault(on="status", nth=4, hang_up="before"),
    Fault(on="status", nth=5, gzip_bomb=1),
]
#: Dialect, what its profile says of request and content, and what goes wrong.
SERVERS = {
    "openai": ("json", "openai", "redirects: true", [Fault(on="create", nth=2, hang_up="after"), *CONTENT]),
    "vllm-omni": (
        "multipart",
        "diffusion",
        "redirects: false",
        [Fault(on="content", nth=1, hang_up="before"), *STATUS],
    ),
}


@pytest.mark.parametrize("dialect", SERVERS)
def test_every_video_arrives_whole_and_is_paid_for_once(tmp_path: Path, dialect: str) -> None:
    encoding, schema, content, faults = SERVERS[dialect]
    (tmp_path / "broken.yaml").write_text(MANIFEST)
    (tmp_path / "quick.yaml").write_text(QUICK.format(encoding=encoding, schema=schema, content=content))
    with simulator(tmp_path / "bill.db", dialect=dialect, faults=faults, key=KEY) as url:
        words = ("run", "broken.yaml", "--yes", "--profile", "quick.yaml", "--base-url", url)
        for _ in range(2):  # what ends a run is tried again by the next one, which a person starts
            ended = call(tmp_path, *words, QUICK_KEY=KEY)
            if ended.returncode == 0:
                break
    assert ended.returncode == 0, ended.stderr
    jobs = json.loads(call(tmp_path, "status", "broken.yaml", "--json").stdout)["jobs"]
    assert [job["state"] for job in jobs] == ["done"] * 4
    assert len({job["video_id"] for job in jobs}) == len(Bill(tmp_path / "bill.db")) == 4
    assert call(tmp_path, "verify", "broken.yaml").returncode == 0
    assert not list(tmp_path.rglob("*.part"))

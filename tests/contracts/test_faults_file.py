"""Faults that are declared in a file: what is read, which requests they hit, and what they do to an answer."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from pipeline import shipped
from pipeline.errors import ManifestError, UsageError
from pipeline.surroundings import faults_of

for module in ("av", "PIL", "starlette", "uvicorn", "python_multipart"):
    pytest.importorskip(module, reason=f"{module} is an extra: callsheet[simulator]")

from pipeline.simulator.app import application  # noqa: E402
from pipeline.simulator.dialects import dialect  # noqa: E402
from pipeline.simulator.faults import Answer, Fault, Faults, faults_from  # noqa: E402
from pipeline.simulator.footage import StockFootage  # noqa: E402
from pipeline.simulator.pace import Pace  # noqa: E402
from pipeline.simulator.service import VideoService, open_simulator  # noqa: E402

OVERLOADED = dialect("new-api").errors["upstream 429"]["body"]["message"]
EXAMPLE = Path(__file__).resolve().parents[1] / "loopback" / "faults.yaml"
GOOD = {"model": "sora-2", "prompt": "A paper boat", "size": "1280x720", "seconds": "4"}


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def read(text: str) -> Faults:
    return faults_from(text.encode(), file="faults.yaml", schema=shipped.schema("faults"))


@asynccontextmanager
async def served(
    faults: Faults,
    name: str = "callsheet",
    pace: Pace = Pace(),  # noqa: B008
) -> AsyncIterator[tuple[httpx.AsyncClient, VideoService, list[float]]]:
    clock = [1_790_000_000.0]
    with open_simulator(
        path=":memory:",
        request_schema=shipped.schema("sora-request"),
        now=lambda: clock[0],
        footage=StockFootage,
        dialect=dialect(name),
        pace=pace,
    ) as service:
        transport = httpx.ASGITransport(application(service, faults=faults))
        headers = {"authorization": "Bearer sk-a-key-of-a-test"}
        async with httpx.AsyncClient(transport=transport, base_url="http://simulator/v1", headers=headers) as client:
            yield client, service, clock


# The file


def test_the_example_is_read() -> None:
    faults = faults_of(EXAMPLE)
    assert faults.need_a_proxy
    assert faults.due("create", "x").answer is None
    assert faults.due("create", "x").answer is None
    third = faults.due("create", "x").answer
    assert third is not None
    assert (third.status, third.headers) == (429, {"Retry-After": "7"})


@pytest.mark.parametrize(
    ("text", "line", "column", "said"),
    [
        ("faults: [{ on: create, delay: 1 }]", 1, 1, '"version" is missing'),
        ("version: 1\nfaults:\n  - on: creat\n    delay: 1", 3, 9, "not"),
        ("version: 1\nfaults:\n  - on: create\n    nht: 1", 4, 5, "unknown key"),
        ("version: 1\nfaults:\n  - on: create\n    nth: [1, two]", 4, 14, "a whole number"),
        ("version: 1\nfaults:\n  - { answer: { body: x } }", 3, 15, '"status" is missing'),
        ("version: 1\nfaults: []", 2, 9, "at least 1"),
        ("version: 1\nfaults: [", 2, 10, ""),
    ],
)
def test_a_mistake_is_shown_where_it_is(text: str, line: int, column: int, said: str) -> None:
    with pytest.raises(ManifestError) as raised:
        read(text)
    problem = raised.value.problems[0]
    assert (problem.file, problem.line, problem.column) == ("faults.yaml", line, column)
    assert said in problem.message


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"missing\.yaml cannot be read"):
        faults_of(tmp_path / "missing.yaml")


# Which requests


@pytest.mark.parametrize(
    ("fault", "hit"),
    [
        ({}, [1, 2, 3, 4, 5, 6]),
        ({"nth": 3}, [3]),
        ({"nth": [1, 4]}, [1, 4]),
        ({"every": 2}, [2, 4, 6]),
        ({"first": 2}, [1, 2]),
        ({"every": 2, "first": 4}, [2, 4]),
        ({"prompt": "odd"}, [1, 3, 5]),
        ({"prompt": "odd", "nth": 2}, [3]),
        ({"on": "create"}, [1, 2, 3, 4, 5, 6]),
        ({"on": "status"}, []),
    ],
)
def test_which_requests_a_fault_hits(fault: dict[str, Any], hit: list[int]) -> None:
    faults = Faults([Fault(delay=1, **fault)])
    due = [faults.due("create", "odd" if number % 2 else "even") for number in range(1, 7)]
    assert [number for number, found in enumerate(due, 1) if found.delay] == hit


def test_of_several_faults_the_first_happens_and_all_count() -> None:
    faults = Faults([Fault(on="create", nth=2, delay=1), Fault(on="any", nth=[2, 3], delay=2)])
    assert [faults.due(action, "").delay for action in ("create", "create", "create", "status")] == [0, 1, 2, 0]


# What happens


async def test_an_answer_in_place_of_the_servers() -> None:
    faults = read(
        """
        version: 1
        faults:
          - { on: create, nth: 1, answer: { status: 429, headers: { Retry-After: "7" }, body: { slow: down } } }
          - { on: create, nth: 2, after: true, answer: { status: 502, body: <html>Bad Gateway</html> } }
          - { on: status, answer: { status: 204 } }
        """
    )
    async with served(faults) as (client, service, _):
        refused = await client.post("/videos", json=GOOD)
        assert (refused.status_code, refused.headers["retry-after"], refused.json()) == (429, "7", {"slow": "down"})
        assert service.store.billed() == 0
        lost = await client.post("/videos", json=GOOD)
        assert (lost.status_code, lost.text) == (502, "<html>Bad Gateway</html>")
        assert service.store.billed() == 1
        video_id = (await client.post("/videos", json=GOOD)).json()["id"]
        empty = await client.get(f"/videos/{video_id}")
        assert (empty.status_code, empty.content) == (204, b"")


@pytest.mark.parametrize(
    ("name", "body"),
    [
        (
            "openai",
            {"error": {"message": "Slow down", "type": "requests", "param": None, "code": "rate_limit_exceeded"}},
        ),
        ("new-api", {"code": "fail_to_fetch_task", "message": OVERLOADED, "data": None}),
        ("sglang", {"detail": "Slow down"}),
    ],
)
async def test_an_error_is_put_into_the_dialects_words(name: str, body: dict[str, Any]) -> None:
    error = {"message": "Slow down", "type": "requests", "code": "rate_limit_exceeded"}
    async with served(Faults([Fault(answer=Answer(429, {"Retry-After": "7"}, error=error))]), name) as (client, _, _):
        answer = await client.post("/videos", json=GOOD)
    assert (answer.status_code, answer.json()) == (429, body)


async def test_a_refused_request_is_counted_and_refused() -> None:
    async with served(Faults([Fault(on="create", nth=2, answer=Answer(500))])) as (client, _, _):
        answers = [await client.post("/videos", content=body) for body in (b"{", b"{", b"{")]
    assert [answer.status_code for answer in answers] == [400, 500, 400]


async def test_progress_runs_backwards_and_words_change() -> None:
    faults = Faults(
        [Fault(on="status", nth=[2, 3], progress="backwards"), Fault(on="status", nth=4, status_word="idle")]
    )
    async with served(faults, pace=Pace(queue=(0, 0), render=(10, 10))) as (client, _, clock):
        video_id = (await client.post("/videos", json=GOOD)).json()["id"]
        seen = []
        for _ in range(5):
            clock[0] += 2
            video = (await client.get(f"/videos/{video_id}")).json()
            seen.append((video["status"], video["progress"]))
    assert seen == [("in_progress", 20), ("in_progress", 60), ("in_progress", 40), ("idle", 80), ("completed", 100)]


async def test_the_server_forgets_its_jobs_and_not_the_bill() -> None:
    async with served(Faults([Fault(on="status", nth=2, forget="all")])) as (client, service, _):
        once = {"idempotency-key": "once"}
        ids = [(await client.post("/videos", json=GOOD, headers=once)).json()["id"]]
        ids.append((await client.post("/videos", json=GOOD)).json()["id"])
        statuses = [(await client.get(f"/videos/{video_id}")).status_code for video_id in (ids[0], ids[0], ids[1])]
        assert statuses == [200, 404, 404]
        assert (await client.get("/videos")).json()["data"] == []
        assert [line.video_id for line in service.store.bill()] == ids
        assert (await client.post("/videos", json=GOOD, headers=once)).status_code == 400
        assert (await client.post("/videos", json=GOOD)).json()["id"] not in ids


async def test_a_job_of_a_prompt_fails() -> None:
    async with served(Faults([Fault(on="create", prompt="forbidden", fail="moderation_blocked")])) as (
        client,
        _,
        clock,
    ):
        made = [await client.post("/videos", json=GOOD | {"prompt": text}) for text in ("A fox", "A forbidden fox")]
        clock[0] += 60
        videos = [(await client.get(f"/videos/{answer.json()['id']}")).json() for answer in made]
    assert [video["status"] for video in videos] == ["completed", "failed"]
    assert videos[1]["error"]["code"] == "moderation_blocked"


class TestVirtualTime:
    @pytest.fixture
    def anyio_backend(self) -> tuple[str, dict[str, Any]]:
        testing = pytest.importorskip("trio.testing", reason="trio is a development dependency")
        return "trio", {"clock": testing.MockClock(autojump_threshold=0)}

    async def test_an_answer_takes_its_time(self) -> None:
        async with served(Faults([Fault(on="create", delay=100)])) as (client, _, _):
            began = anyio.current_time()
            assert (await client.post("/videos", json=GOOD, timeout=None)).status_code == 200
            assert anyio.current_time() - began == 100


def test_what_is_done_to_bytes_is_left_to_the_proxy() -> None:
    assert json.loads(Fault(truncate=0.5, delay=3).bytewise) == {"truncate": 0.5}
    assert json.loads(Fault(truncate=0, reset=0).bytewise) == {"truncate": 0, "reset": 0}
    assert Fault(delay=3).bytewise == ""
    assert not Faults([Fault(delay=3)]).need_a_proxy

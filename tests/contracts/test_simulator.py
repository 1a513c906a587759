"""The simulator keeps the contract of ``/v1/videos``: in process on asyncio and trio, and on a loopback port."""

import io
import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from jsonschema import Draft202012Validator

from pipeline import mp4
from pipeline.classes import Asked, classify
from pipeline.errors import StorageError, UsageError
from pipeline.jobs import FailureKind
from pipeline.videos import Status, parse_video

av = pytest.importorskip("av", reason="PyAV is an extra: callsheet[simulator]")
for module in ("PIL", "starlette", "uvicorn"):
    pytest.importorskip(module, reason=f"{module} is an extra: callsheet[simulator]")

from pipeline.simulator.app import MAX_BODY, application  # noqa: E402
from pipeline.simulator.footage import RealFootage, StockFootage  # noqa: E402
from pipeline.simulator.pace import Pace  # noqa: E402
from pipeline.simulator.server import serve  # noqa: E402
from pipeline.simulator.service import VideoService, open_simulator  # noqa: E402
from pipeline.simulator.store import Store  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
RULES = json.loads((ROOT / "schemas" / "sora-request.schema.json").read_text("utf-8"))
OPENAI = ROOT.parent / "shared" / "data" / "openai-videos.schemas.json"
#: The same rules, for any size: small videos are quick to render.
ANY_SIZE = {**RULES, "properties": {**RULES["properties"], "size": {"type": "string"}}}
GOOD: dict[str, Any] = {"model": "sora-2", "prompt": "A paper boat", "size": "1280x720", "seconds": "4"}
EPOCH = 1_790_000_000.0
DONE = 60.0
"""Seconds after which every job has ended."""


@dataclass
class Clock:
    """The simulator's time: it stands still until it is moved."""

    time: float = EPOCH

    def __call__(self) -> float:
        return self.time

    def pass_by(self, seconds: float) -> None:
        self.time += seconds


@dataclass
class Api:
    """A client of the simulator, and what only a test can see."""

    client: httpx.AsyncClient
    service: VideoService
    clock: Clock

    async def create(self, key: str | None = None, **changes: Any) -> dict[str, Any]:
        response = await self.post(json.dumps(GOOD | changes), key)
        assert response.status_code == 200, response.text
        return conforming("VideoResource", response)

    async def post(self, body: str | bytes, key: str | None = None) -> httpx.Response:
        headers = {"content-type": "application/json"} | ({} if key is None else {"idempotency-key": key})
        return await self.client.post("/videos", content=body, headers=headers)

    async def video(self, video_id: str) -> dict[str, Any]:
        return conforming("VideoResource", await self.client.get(f"/videos/{video_id}"))

    async def content(self, video_id: str) -> bytes:
        response = await self.client.get(f"/videos/{video_id}/content")
        assert response.status_code == 200, response.text
        return response.content


def conforming(name: str, response: httpx.Response) -> dict[str, Any]:
    """The answer's body, once OpenAI's schema has found nothing wrong with it."""
    body: dict[str, Any] = response.json()
    if OPENAI.exists():
        components = json.loads(OPENAI.read_text("utf-8"))["components"]
        schema = {"components": components, "$ref": f"#/components/schemas/{name}"}
        assert [error.message for error in Draft202012Validator(schema).iter_errors(body)] == []
    return body


@asynccontextmanager
async def in_process(service: VideoService) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(application(service))
    async with httpx.AsyncClient(transport=transport, base_url="http://simulator/v1") as client:
        yield client


@asynccontextmanager
async def on_a_port(service: VideoService) -> AsyncIterator[httpx.AsyncClient]:
    addresses: list[str] = []
    listening = anyio.Event()

    def started(address: str) -> None:
        addresses.append(address)
        listening.set()

    async with anyio.create_task_group() as group:
        group.start_soon(partial(serve, application(service), port=0, started=started))
        await listening.wait()
        # A picture takes a second of processor time, which other tests want too.
        async with httpx.AsyncClient(base_url=addresses[0], verify=False, trust_env=False, timeout=60) as client:
            yield client
        group.cancel_scope.cancel()


#: For tables of cases: what the service says does not depend on how it is reached.
one_skin = pytest.mark.parametrize("skin", ["process-asyncio"], indirect=True)
SKINS = {"process-asyncio": in_process, "process-trio": in_process, "port": on_a_port}


@pytest.fixture(params=SKINS)
def skin(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def anyio_backend(skin: str) -> str:
    return "trio" if skin == "process-trio" else "asyncio"


@pytest.fixture
async def api(skin: str) -> AsyncIterator[Api]:
    async with opened(skin) as api:
        yield api


@asynccontextmanager
async def opened(
    skin: str,
    *,
    path: str | Path = ":memory:",
    clock: Clock | None = None,
    footage: Any = StockFootage,
    rules: Any = RULES,
) -> AsyncIterator[Api]:
    clock = clock or Clock()
    with open_simulator(path=path, request_schema=rules, now=clock, footage=footage) as service:
        async with SKINS[skin](service) as client:
            yield Api(client, service, clock)


# The life of a video


async def test_a_video_is_queued_then_made_then_there(api: Api) -> None:
    created = await api.create(metadata={"shot": 7})
    words, progress = [created["status"]], [created["progress"]]
    for _ in range(60):
        api.clock.pass_by(0.1)
        video = await api.video(created["id"])
        words.append(video["status"])
        progress.append(video["progress"])
    assert list(dict.fromkeys(words)) == ["queued", "in_progress", "completed"]
    assert progress == sorted(progress)
    assert (progress[0], progress[-1]) == (0, 100)
    assert len(set(progress)) > 10
    assert {name: video[name] for name in GOOD} == GOOD
    assert video["metadata"] == {"shot": 7}
    assert video["created_at"] == EPOCH
    assert EPOCH + 1 < video["completed_at"] <= EPOCH + 5
    assert video["expires_at"] == video["completed_at"] + 3600
    assert created["completed_at"] is created["expires_at"] is created["error"] is None


@one_skin
@pytest.mark.parametrize("prompt", ["x\x00y", "猫 🚀 é", "\u2028\x7f", '"quoted" \\ and {"error": 1}', "x" * 32000])
async def test_any_text_comes_back_as_it_was(api: Api, prompt: str) -> None:
    created = await api.create(prompt=prompt, metadata={prompt[:50]: prompt})
    video = await api.video(created["id"])
    assert (video["prompt"], video["metadata"]) == (prompt, {prompt[:50]: prompt})
    (line,) = api.service.store.bill()
    assert json.loads(line.request)["prompt"] == prompt


async def test_what_the_request_leaves_out_has_openais_default(api: Api) -> None:
    response = await api.post(json.dumps({"model": "sora-2", "prompt": "x"}))
    video = conforming("VideoResource", response)
    assert (video["size"], video["seconds"], video["metadata"]) == ("720x1280", "4", None)


async def test_the_pipeline_reads_what_the_simulator_writes(api: Api) -> None:
    video = parse_video((await api.post(json.dumps(GOOD))).content, created=True)
    assert video is not None
    assert (video.status, video.created_at, video.size, video.seconds) == (Status.ACTIVE, EPOCH, "1280x720", "4")
    api.clock.pass_by(DONE)
    video = parse_video((await api.client.get(f"/videos/{video.id}")).content)
    assert video is not None
    assert (video.status, video.progress) == (Status.READY, 100)
    assert video.expires_at is not None


async def test_a_job_fails_when_its_metadata_says_so(api: Api) -> None:
    created = await api.create(metadata={"simulator": {"fail": "moderation_blocked"}})
    assert created["error"] is None
    api.clock.pass_by(DONE)
    response = await api.client.get(f"/videos/{created['id']}")
    failed = conforming("VideoResource", response)
    assert (failed["status"], failed["error"]["code"]) == ("failed", "moderation_blocked")
    assert failed["completed_at"] is failed["expires_at"] is None
    video = parse_video(response.content)
    assert video is not None
    assert video.failure is not None
    assert (video.status, video.failure.kind) == (Status.FAILED, FailureKind.MODERATION_OUTPUT)
    content = await api.client.get(f"/videos/{created['id']}/content")
    assert content.status_code == 404
    conforming("ErrorResponse", content)


@one_skin
@pytest.mark.parametrize(
    "metadata", [{}, {"simulator": 1}, {"simulator": {}}, {"simulator": {"fail": 3}}, {"fail": "moderation_blocked"}]
)
async def test_other_metadata_is_only_echoed(api: Api, metadata: dict[str, Any]) -> None:
    created = await api.create(metadata=metadata)
    api.clock.pass_by(DONE)
    video = await api.video(created["id"])
    assert (video["status"], video["metadata"]) == ("completed", metadata)


# Refusals


@one_skin
@pytest.mark.parametrize(
    ("changes", "code", "param", "message"),
    [
        (
            {"seconds": 4},
            "invalid_type",
            "seconds",
            "Invalid type for 'seconds': expected one of '4', '8', or '12', but got an integer instead.",
        ),
        (
            {"seconds": "5"},
            "invalid_value",
            "seconds",
            "Invalid value: '5'. Supported values are: '4', '8', and '12'.",
        ),
        (
            {"size": "1920x1080"},
            "invalid_value",
            "size",
            "Invalid value: '1920x1080'. Supported values are: '720x1280', '1280x720', '1024x1792', and '1792x1024'.",
        ),
        ({"duration": 4}, "unknown_parameter", "duration", "Unknown parameter: 'duration'."),
        ({"prompt": None}, "invalid_type", "prompt", "expected a string, but got null instead."),
        ({"prompt": ""}, "string_below_min_length", "prompt", "minimum length 1, but got an empty string instead."),
        ({"prompt": "x" * 32001}, "string_above_max_length", "prompt", "maximum length 32000, but got a string with"),
        ({"metadata": ["a"]}, "invalid_type", "metadata", "expected an object, but got an array instead."),
        ({"model": "sora-3"}, "invalid_value", "model", "Invalid value: 'sora-3'. Supported values are: 'sora-2'."),
        ({"model": True}, "invalid_type", "model", "expected 'sora-2', but got a boolean instead."),
        ({"model": '{"error": {"code": "moderation_blocked"}}'}, "invalid_value", "model", "Supported values"),
        ({"input_reference": ""}, "string_below_min_length", "input_reference", "but got an empty string instead."),
        (
            {"input_reference": {"sha256": "0" * 64, "media_type": "image/png", "bytes": 1}},
            "invalid_type",
            "input_reference",
            "expected a string, but got an object instead.",
        ),
    ],
)
async def test_a_bad_parameter_hides_behind_a_content_policy_violation(
    api: Api, changes: dict[str, Any], code: str, param: str, message: str
) -> None:
    response = await api.post(json.dumps(GOOD | changes))
    outer = conforming("ErrorResponse", response)["error"]
    assert response.status_code == 400
    assert outer["message"].startswith('litellm.BadRequestError: litellm.ContentPolicyViolationError: {"error": {')
    assert "\nmodel=" in outer["message"]
    assert (outer["code"], outer["param"]) == ("400", None)
    failure = classify(Asked.CREATE, 400, response.headers, response.content)
    assert (failure.kind, failure.code, failure.param) == (FailureKind.INVALID_REQUEST, code, param)
    assert message in failure.message
    assert failure.request_id == response.headers["x-request-id"]
    assert api.service.store.bill() == []


async def test_a_missing_parameter_is_named(api: Api) -> None:
    response = await api.post('{"model": "sora-2"}')
    failure = classify(Asked.CREATE, response.status_code, response.headers, response.content)
    assert (failure.code, failure.param) == ("missing_required_parameter", "prompt")
    assert failure.message == "Missing required parameter: 'prompt'."


@one_skin
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"\xff\xfe\x00",
        b'{"model": "sora-2", "prompt": NaN}',
        b'{"model": "sora-2", "prompt": "\\ud800"}',
        b'{"metadata": ' + b"[" * 100_000,
        b'{"metadata": {"n": 1' + b"0" * 5000 + b"}}",
        b'--x\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nA cat\r\n--x--',
    ],
)
async def test_a_body_that_is_no_json_object_is_refused_plainly(api: Api, body: bytes) -> None:
    response = await api.post(body)
    error = conforming("ErrorResponse", response)["error"]
    assert (response.status_code, error["type"], error["code"]) == (400, "invalid_request_error", None)
    assert "litellm" not in error["message"]
    assert api.service.store.billed() == 0


@pytest.mark.parametrize("skin", ["process-asyncio", "port"], indirect=True)
async def test_an_endless_body_is_refused(api: Api) -> None:
    response = await api.post(b" " * (MAX_BODY + 1))
    assert response.status_code == 413
    conforming("ErrorResponse", response)


@one_skin
@pytest.mark.parametrize(("method", "tail"), [("GET", ""), ("DELETE", ""), ("GET", "/content")])
async def test_an_unknown_id_is_not_found(api: Api, method: str, tail: str) -> None:
    response = await api.client.request(method, f"/videos/video_nobody{tail}")
    conforming("ErrorResponse", response)
    failure = classify(Asked.STATUS, response.status_code, response.headers, response.content)
    assert (response.status_code, failure.kind) == (404, FailureKind.LOST)
    assert "video_nobody" in failure.message


@one_skin
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/videos/", 404),
        ("PUT", "/videos", 405),
        ("POST", "/videos/video_1", 405),
        ("POST", "/videos/video_1/cancel", 404),
    ],
)
async def test_other_paths_and_methods_are_refused_in_the_same_envelope(
    api: Api, method: str, path: str, status: int
) -> None:
    response = await api.client.request(method, path)
    assert response.status_code == status
    conforming("ErrorResponse", response)


async def test_every_answer_has_a_request_id_of_its_own(api: Api) -> None:
    paths = ["/videos", "/videos", "/videos/nobody", "/nothing", "/videos?limit=x"]
    ids = [(await api.client.get(path)).headers["x-request-id"] for path in paths]
    ids += [(await api.post(body)).headers["x-request-id"] for body in ("{", json.dumps(GOOD))]
    assert len(set(ids)) == len(ids)


# Content


@pytest.mark.parametrize(("size", "seconds"), [("1280x720", "4"), ("720x1280", "4")])
async def test_content_is_a_video_of_the_size_and_length_asked_for(api: Api, size: str, seconds: str) -> None:
    created = await api.create(size=size, seconds=seconds)
    api.clock.pass_by(DONE)
    response = await api.client.get(f"/videos/{created['id']}/content")
    assert response.headers["content-type"] == "video/mp4"
    assert response.headers["content-length"] == str(len(response.content))
    assert response.headers["content-disposition"] == f'attachment; filename="{created["id"]}.mp4"'
    found = mp4.inspect(io.BytesIO(response.content))
    assert isinstance(found, mp4.Mp4)
    assert mp4.differences(found, size=size, seconds=seconds) == ()
    with av.open(io.BytesIO(response.content)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 24 * int(seconds)


async def test_content_is_the_videos_own_and_always_the_same(api: Api) -> None:
    one, other = [(await api.create())["id"] for _ in range(2)]
    api.clock.pass_by(DONE)
    first = await api.content(one)
    api.clock.pass_by(86_400)
    assert await api.content(one) == first
    assert await api.content(other) != first


async def test_content_before_completion_is_not_ready(api: Api) -> None:
    created = await api.create()
    for seconds in (0.0, 1.2):
        api.clock.pass_by(seconds)
        response = await api.client.get(f"/videos/{created['id']}/content")
        assert response.status_code == 404
        error = conforming("ErrorResponse", response)["error"]
        assert error["message"] == "Video is not ready yet, use GET /v1/videos/{id} to check status."


async def test_only_the_video_itself_can_be_had(api: Api) -> None:
    created = await api.create()
    api.clock.pass_by(DONE)
    response = await api.client.get(f"/videos/{created['id']}/content?variant=thumbnail")
    failure = classify(Asked.CREATE, response.status_code, response.headers, response.content)
    assert (response.status_code, failure.code, failure.param) == (400, "invalid_value", "variant")


async def test_a_real_video_is_rendered_once_while_other_requests_are_answered(skin: str) -> None:
    async with opened(skin, footage=RealFootage, rules=ANY_SIZE) as api:
        video_id = (await api.post(json.dumps(GOOD | {"size": "320x180"}))).json()["id"]
        api.clock.pass_by(DONE)
        contents: list[bytes] = []
        answered = 0

        async def fetch() -> None:
            contents.append(await api.content(video_id))

        async with anyio.create_task_group() as group:
            group.start_soon(fetch)
            group.start_soon(fetch)
            while not contents:
                assert (await api.client.get(f"/videos/{video_id}")).status_code == 200
                answered += 1
                await anyio.sleep(0.01)
        contents.append(await api.content(video_id))
    assert len(contents) == 3
    assert len(set(contents)) == 1
    assert answered > 5
    with av.open(io.BytesIO(contents[0])) as container:
        frames = [(frame.width, frame.height) for frame in container.decode(video=0)]
    assert frames == [(320, 180)] * 96


@one_skin
async def test_what_is_kept_is_what_is_served(skin: str) -> None:
    """Encoders may repeat themselves or not, so only bytes that no encoder makes can show it."""
    async with opened(skin, footage=RealFootage, rules=ANY_SIZE) as api:
        video_id = (await api.post(json.dumps(GOOD | {"size": "320x180"}))).json()["id"]
        api.clock.pass_by(DONE)
        store = api.service.store
        assert store.keep(video_id, b"first") == b"first"
        assert store.keep(video_id, b"second") == b"first"
        assert await api.content(video_id) == b"first"
        await api.client.delete(f"/videos/{video_id}")
        assert store.clip(video_id) is None


async def test_a_render_that_nobody_waits_for_is_given_up(skin: str) -> None:
    if skin == "port":
        return  # a server goes on rendering: the next request for it will be quick
    async with opened(skin, footage=RealFootage) as api:
        created = await api.create(seconds="12", size="1792x1024")
        api.clock.pass_by(DONE)
        with anyio.move_on_after(0.1) as patience:
            await api.content(created["id"])
        assert patience.cancelled_caught
        assert api.service.store.clip(created["id"]) is None


# List and delete


async def test_pages_hold_every_video_once(api: Api) -> None:
    ids = [(await api.create(prompt=f"Take {number}"))["id"] for number in range(7)]
    for order, expected in (("asc", ids), ("desc", ids[::-1])):
        seen: list[str] = []
        query = f"?limit=3&order={order}"
        while True:
            page = conforming("VideoListResource", await api.client.get(f"/videos{query}"))
            seen += [video["id"] for video in page["data"]]
            assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][-1]["id"])
            if not page["has_more"]:
                break
            query = f"?limit=3&order={order}&after={page['last_id']}"
        assert seen == expected


async def test_a_page_has_twenty_newest_first_unless_asked_otherwise(api: Api) -> None:
    page = conforming("VideoListResource", await api.client.get("/videos"))
    assert (page["data"], page["first_id"], page["last_id"], page["has_more"]) == ([], None, None, False)
    ids = [(await api.create())["id"] for _ in range(21)]
    page = conforming("VideoListResource", await api.client.get("/videos"))
    assert [video["id"] for video in page["data"]] == ids[:0:-1]
    assert page["has_more"]
    page = conforming("VideoListResource", await api.client.get("/videos?limit=0"))
    assert (page["data"], page["has_more"]) == ([], True)
    page = conforming("VideoListResource", await api.client.get("/videos?limit=100"))
    assert (len(page["data"]), page["has_more"]) == (21, False)


@one_skin
@pytest.mark.parametrize(
    ("query", "param"),
    [("limit=101", "limit"), ("limit=-1", "limit"), ("limit=x", "limit"), ("order=up", "order"), ("after=x", "after")],
)
async def test_a_bad_query_is_refused(api: Api, query: str, param: str) -> None:
    response = await api.client.get(f"/videos?{query}")
    conforming("ErrorResponse", response)
    failure = classify(Asked.CREATE, response.status_code, response.headers, response.content)
    assert (response.status_code, failure.param) == (400, param)


async def test_a_deleted_video_is_gone_but_stays_on_the_bill(api: Api) -> None:
    ids = [(await api.create())["id"] for _ in range(3)]
    response = await api.client.delete(f"/videos/{ids[1]}")
    assert response.status_code == 400
    conforming("ErrorResponse", response)
    api.clock.pass_by(DONE)
    deleted = conforming("DeletedVideoResource", await api.client.delete(f"/videos/{ids[1]}"))
    assert deleted == {"id": ids[1], "object": "video.deleted", "deleted": True}
    for method, tail in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
        assert (await api.client.request(method, f"/videos/{ids[1]}{tail}")).status_code == 404
    page = conforming("VideoListResource", await api.client.get("/videos?order=asc"))
    assert [video["id"] for video in page["data"]] == [ids[0], ids[2]]
    page = conforming("VideoListResource", await api.client.get(f"/videos?order=asc&after={ids[1]}"))
    assert [video["id"] for video in page["data"]] == [ids[2]]
    assert [line.video_id for line in api.service.store.bill()] == ids


# Money


async def test_every_created_job_is_one_line_on_the_bill(api: Api) -> None:
    first = await api.create(key="k1", metadata={"callsheet_ref": "a#1"})
    api.clock.pass_by(2)
    second = await api.create(seconds="12")
    lines = api.service.store.bill()
    assert [(line.number, line.video_id, line.billed_at) for line in lines] == [
        (1, first["id"], EPOCH),
        (2, second["id"], EPOCH + 2),
    ]
    assert [(line.model, line.size, line.seconds, line.idempotency_key) for line in lines] == [
        ("sora-2", "1280x720", "4", "k1"),
        ("sora-2", "1280x720", "12", None),
    ]
    assert json.loads(lines[0].request) == GOOD | {"metadata": {"callsheet_ref": "a#1"}}


async def test_a_repeated_key_returns_the_first_job_and_bills_nothing(api: Api) -> None:
    first = await api.create(key="once")
    api.clock.pass_by(DONE)
    backwards = json.dumps(dict(reversed(GOOD.items())), indent=2)
    response = await api.post(backwards, "once")
    assert response.status_code == 200
    assert response.headers["idempotent-replayed"] == "true"
    assert conforming("VideoResource", response) == await api.video(first["id"])
    await api.client.delete(f"/videos/{first['id']}")
    assert (await api.create(key="once"))["id"] == first["id"]
    assert api.service.store.billed() == 1


async def test_a_key_belongs_to_one_request(api: Api) -> None:
    await api.create(key="once")
    response = await api.post(json.dumps(GOOD | {"prompt": "Another"}), "once")
    error = conforming("ErrorResponse", response)["error"]
    assert (response.status_code, error["type"]) == (400, "idempotency_error")
    assert classify(Asked.CREATE, 400, response.headers, response.content).kind is FailureKind.INVALID_REQUEST
    assert api.service.store.billed() == 1


async def test_a_refused_request_does_not_use_up_its_key(api: Api) -> None:
    assert (await api.post(json.dumps(GOOD | {"seconds": 4}), "once")).status_code == 400
    await api.create(key="once")


async def test_requests_without_a_key_are_jobs_of_their_own(api: Api) -> None:
    assert (await api.create())["id"] != (await api.create())["id"]
    assert (await api.create(key=""))["id"] != (await api.create(key=""))["id"]
    assert api.service.store.billed() == 4


async def test_a_large_image_is_on_the_bill_by_its_hash(api: Api) -> None:
    image = "data:image/png;base64," + "A" * 2_000_000
    await api.create(key="once", input_reference=image)
    await api.create(key="once", input_reference=image)
    assert (await api.post(json.dumps(GOOD | {"input_reference": image + "B"}), "once")).status_code == 400
    (line,) = api.service.store.bill()
    assert json.loads(line.request)["input_reference"].startswith("sha256:")
    assert len(line.request) < 1000


# What survives


async def test_a_restart_changes_nothing(skin: str, tmp_path: Path) -> None:
    path, clock = tmp_path / "store.db", Clock()
    async with opened(skin, path=path, clock=clock) as api:
        done = await api.create(key="once")
        clock.pass_by(DONE)
        content = await api.content(done["id"])
        made = await api.create(metadata={"ü": ["é", None]})
        clock.pass_by(1.2)
        before = [await api.video(video["id"]) for video in (done, made)]
        bill = api.service.store.bill()
    assert [video["status"] for video in before] == ["completed", "in_progress"]
    async with opened(skin, path=path, clock=clock, footage=RealFootage) as api:
        assert [await api.video(video["id"]) for video in before] == before
        assert api.service.store.bill() == bill
        assert (await api.create(key="once"))["id"] == done["id"]
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    async with opened(skin, path=path, clock=clock) as api:
        assert await api.content(done["id"]) == content


async def test_a_real_video_is_the_same_after_a_restart(skin: str, tmp_path: Path) -> None:
    path, clock = tmp_path / "store.db", Clock()
    contents = []
    for _ in range(2):
        async with opened(skin, path=path, clock=clock, footage=RealFootage, rules=ANY_SIZE) as api:
            video = (await api.post(json.dumps(GOOD | {"size": "320x180"}), "once")).json()
            clock.pass_by(DONE)
            contents.append(await api.content(video["id"]))
    assert contents[0] == contents[1]


SERVER = """
import json, sys, time
from functools import partial
import anyio
from pipeline.simulator.app import application
from pipeline.simulator.footage import StockFootage
from pipeline.simulator.server import serve
from pipeline.simulator.service import open_simulator

with open_simulator(
    path=sys.argv[1], request_schema=json.loads(sys.argv[2]), now=time.time, footage=StockFootage
) as service:
    anyio.run(partial(serve, application(service), port=0, started=partial(print, flush=True)))
print("ended in order", flush=True)
"""


@pytest.fixture
def launch() -> Iterator[Callable[[Path], tuple[subprocess.Popen[str], str]]]:
    """Start a server in a process of its own; gives the process and its address."""
    running: list[subprocess.Popen[str]] = []

    def start(path: Path) -> tuple[subprocess.Popen[str], str]:
        command = [sys.executable, "-c", SERVER, str(path), json.dumps(RULES)]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        running.append(process)
        assert process.stdout is not None
        return process, process.stdout.readline().strip()

    yield start
    for process in running:
        process.kill()
        process.communicate()


def test_a_killed_server_forgets_nothing_it_has_answered(
    launch: Callable[[Path], tuple[subprocess.Popen[str], str]], tmp_path: Path
) -> None:
    path, ids = tmp_path / "store.db", []
    process, address = launch(path)
    for number in range(20):
        response = httpx.post(f"{address}/videos", json=GOOD, headers={"idempotency-key": f"k{number}"})
        ids.append(response.json()["id"])
    process.kill()
    process.wait()
    with Store.open(path) as store:
        assert [line.video_id for line in store.bill()] == ids
    _, address = launch(path)
    listed = httpx.get(f"{address}/videos?order=asc").json()
    assert [video["id"] for video in listed["data"]] == ids
    again = httpx.post(f"{address}/videos", json=GOOD, headers={"idempotency-key": "k3"})
    assert again.json()["id"] == ids[3]


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server_in_order(
    launch: Callable[[Path], tuple[subprocess.Popen[str], str]], tmp_path: Path, ending: signal.Signals
) -> None:
    process, address = launch(tmp_path / "store.db")
    assert address.startswith("http://127.0.0.1:")
    with httpx.Client() as client:  # its connection is idle, not closed
        assert client.get(f"{address}/videos").status_code == 200
        process.send_signal(ending)
        out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (0, "ended in order\n", "")


# The store


def test_nothing_changes_the_bill(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with open_simulator(path=path, request_schema=RULES, now=Clock(), footage=StockFootage) as service:
        service.create(json.dumps(GOOD).encode(), None)
    connection = sqlite3.connect(path)
    for statement in ("DELETE FROM bill", "UPDATE bill SET seconds = '0'"):
        with pytest.raises(sqlite3.IntegrityError, match="a bill is never"):
            connection.execute(statement)
    connection.close()


def test_a_store_that_cannot_be_one_is_refused(tmp_path: Path) -> None:
    text, foreign = tmp_path / "text.db", tmp_path / "foreign.db"
    text.write_text("not a database, but long enough to be read as the head of one" * 10, "utf-8")
    connection = sqlite3.connect(foreign)
    connection.execute("CREATE TABLE jobs (id)")
    connection.close()
    for path in (text, foreign, tmp_path, tmp_path / "missing" / "store.db"):
        with pytest.raises(StorageError, match=path.name):
            Store.open(path)
    with closing(sqlite3.connect(foreign)) as connection:
        assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == [("jobs",)]


def test_stock_footage_keeps_one_file_for_all(tmp_path: Path) -> None:
    path, clock = tmp_path / "store.db", Clock()
    with open_simulator(path=path, request_schema=RULES, now=clock, footage=StockFootage) as service:
        ids = [service.create(json.dumps(GOOD).encode(), None).video["id"] for _ in range(50)]
        clock.pass_by(DONE)

        async def contents() -> set[bytes]:
            return {await service.content(video_id) for video_id in ids}

        assert len(anyio.run(contents)) == 50
    assert path.stat().st_size < 400_000


def test_what_is_missing_is_named() -> None:
    script = (
        "import sys; sys.modules['av'] = None\n"
        "from pipeline.simulator.service import open_simulator\n"
        "from pipeline.errors import UsageError\n"
        "try:\n"
        "    with open_simulator(path=':memory:', request_schema={}, now=float): pass\n"
        "except UsageError as error: print(error)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert 'pip install "callsheet[simulator]"' in told.stdout


# The port


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.com", ""])
def test_only_this_machine_may_reach_it(host: str) -> None:
    started: list[str] = []
    with (
        open_simulator(path=":memory:", request_schema=RULES, now=Clock(), footage=StockFootage) as service,
        pytest.raises(UsageError, match="no loopback address"),
    ):
        anyio.run(partial(serve, application(service), host=host, port=0, started=started.append))
    assert started == []


@pytest.mark.parametrize("skin", ["port"], indirect=True)
async def test_a_taken_port_is_named(api: Api) -> None:
    port = api.client.base_url.port
    assert port is not None
    with pytest.raises(UsageError, match=f"port {port}"):
        await serve(application(api.service), port=port, started=print)


# Time


HOURS = Pace(queue=(600.0, 1800.0), render=(3600.0, 7200.0))


class TestVirtualTime:
    @pytest.fixture
    def anyio_backend(self) -> tuple[str, Mapping[str, Any]]:
        testing = pytest.importorskip("trio.testing", reason="trio is a development dependency")
        return "trio", {"clock": testing.MockClock(autojump_threshold=0)}

    async def test_hours_pass_in_no_time(self) -> None:
        def now() -> float:
            return EPOCH + anyio.current_time()

        async with AsyncExitStack() as stack:
            service = stack.enter_context(
                open_simulator(path=":memory:", request_schema=RULES, now=now, footage=StockFootage, pace=HOURS)
            )
            api = Api(await stack.enter_async_context(in_process(service)), service, Clock())
            began = anyio.current_time()
            ids = [(await api.create(prompt=f"Take {number}"))["id"] for number in range(20)]
            waited = {}
            for video_id in ids:
                while (await api.video(video_id))["status"] != "completed":  # noqa: ASYNC110 - polling is the point
                    await anyio.sleep(60)
                waited[video_id] = (await api.video(video_id))["completed_at"] - EPOCH - began
            contents = {await api.content(video_id) for video_id in ids}
        assert all(4200 <= seconds <= 9000 for seconds in waited.values())
        assert len(set(waited.values())) > 10
        assert len(contents) == 20


def test_speed_divides_all_times() -> None:
    slow, fast = (Pace(queue=(10, 20), render=(30, 40), speed=speed).life("video_1", 100.0) for speed in (1, 10))
    assert fast.started_at - 100 == pytest.approx((slow.started_at - 100) / 10)
    assert fast.ended_at - 100 == pytest.approx((slow.ended_at - 100) / 10)
    assert [slow.progress(now) for now in (0.0, slow.started_at, slow.ended_at, 1e9)] == [0, 0, 100, 100]


def test_a_job_can_be_made_at_once() -> None:
    clock = Clock()
    pace = Pace(queue=(0, 0), render=(0, 0))
    with open_simulator(path=":memory:", request_schema=RULES, now=clock, footage=StockFootage, pace=pace) as service:
        assert service.create(json.dumps(GOOD).encode(), None).video["status"] == "completed"

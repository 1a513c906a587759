"""Each dialect speaks like the server that it stands for: in process, and against what was recorded of real ones."""

import base64
import hashlib
import io
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from pipeline import mp4, shipped
from pipeline.classes import Asked, classify
from pipeline.errors import UsageError
from pipeline.videos import Status, parse_video

for module in ("av", "PIL", "starlette", "uvicorn", "python_multipart"):
    pytest.importorskip(module, reason=f"{module} is an extra: callsheet[simulator]")

from pipeline.simulator import dialects, wording  # noqa: E402
from pipeline.simulator.app import application  # noqa: E402
from pipeline.simulator.faults import Answer, Fault, Faults, faults_from  # noqa: E402
from pipeline.simulator.footage import StockFootage  # noqa: E402
from pipeline.simulator.service import VideoService, open_simulator  # noqa: E402
from pipeline.simulator.store import Store  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data"
OPENAI = SHARED / "openai-videos.schemas.json"
PAIRS = SHARED / "litellm_pairs.jsonl"
GOOD = {"model": "sora-2", "prompt": "A paper boat", "size": "1280x720", "seconds": "4"}
DONE = 60.0
KEY = "sk-a-key-of-a-test"
NAMES = dialects.names()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


CLIPS: dict[str, bytes] = {}


class Clips:
    """Keeps the stock clips for all tests here."""

    def clip(self, name: str) -> bytes | None:
        return CLIPS.get(name)

    def keep(self, name: str, data: bytes) -> bytes:
        return CLIPS.setdefault(name, data)


@dataclass
class Server:
    """A client of one dialect, its service, and its time."""

    client: httpx.AsyncClient
    service: VideoService
    clock: list[float]

    def wait(self, seconds: float) -> None:
        self.clock[0] += seconds

    async def post(self, **fields: Any) -> httpx.Response:
        """Create a job by the first encoding that the dialect takes, GOOD but for these fields; None leaves one out."""
        request = {name: value for name, value in (GOOD | fields).items() if value is not None}
        json_is_taken = "json" in self.service.dialect.request.encodings
        return await self.client.post("/videos", **{"json" if json_is_taken else "data": request})

    async def made(self, **fields: Any) -> str:
        response = await self.post(**fields)
        assert response.status_code == 200, response.text
        return str(response.json()["id"])

    async def get(self, path: str, **options: Any) -> httpx.Response:
        return await self.client.get(f"/videos/{path}", **options)

    @property
    def bill(self) -> list[dict[str, Any]]:
        return [json.loads(line.request) for line in self.service.store.bill()]


@asynccontextmanager
async def served(
    name: str, *faults: Fault, key: str | None = None, path: str | Path = ":memory:", **headers: str
) -> AsyncIterator[Server]:
    """The dialect in process, with these faults; ``headers`` go with every request."""
    spoken, clock = dialects.dialect(name), [1_790_000_000.0]
    with open_simulator(
        path=path,
        request_schema=shipped.schema("sora-request"),
        now=lambda: clock[0],
        footage=lambda store: StockFootage(Clips()),
        dialect=spoken,
    ) as service:
        transport = httpx.ASGITransport(application(service, faults=Faults(faults), key=key))
        sent = {"authorization": f"Bearer {KEY}"} | headers if spoken.key else headers
        async with httpx.AsyncClient(transport=transport, base_url="http://simulator/v1", headers=sent) as client:
            yield Server(client, service, clock)


def conforming(name: str, response: httpx.Response) -> Any:
    """The answer's body, once OpenAI's schema has found nothing wrong with it."""
    body = response.json()
    if OPENAI.exists():
        components = json.loads(OPENAI.read_text("utf-8"))["components"]
        schema = {"components": components, "$ref": f"#/components/schemas/{name}"}
        assert [error.message for error in Draft202012Validator(schema).iter_errors(body)] == []
    return body


each = pytest.mark.parametrize("name", NAMES)


# The data


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)


@each
def test_a_dialect_keeps_to_its_schema_and_is_called_like_its_file(name: str) -> None:
    assert dialects.dialect(name).name == name
    Draft202012Validator.check_schema(dialects.dialect(name).request.schema or {})


def test_an_unknown_dialect_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="callsheet, litellm, litellm-old, new-api, openai, sglang, vllm-omni, znapai"):
        dialects.dialect("azure")


FACTS = {
    "errors": "message type param code inner model status word value where",
    "video": "id model status progress created_at created_at_ms completed_at expires_at prompt size seconds duration "
    "took metadata error code message",
    "list": "data first_id last_id has_more",
    "delete": "id video",
}


@each
@pytest.mark.parametrize("part", FACTS)
def test_a_template_names_only_facts(name: str, part: str) -> None:
    spoken = dialects.dialect(name)
    value = {
        "errors": dict(spoken.errors),
        "video": [spoken.video.add, spoken.video.created, spoken.video.completed, spoken.video.error],
        "list": spoken.list and spoken.list.page,
        "delete": spoken.delete and spoken.delete.answer,
    }[part]
    named = {fact for text in texts(value) for fact in re.findall(r"\{(\w+)\}", text)}
    assert named <= set(FACTS[part].split())


def test_a_template_becomes_what_its_facts_are() -> None:
    facts = {"a": 1, "b": "x", "c": None}
    template = {"k": "{a}", "t": "{a} and {b}", "l": ["{c}", {"n": "{b}"}], "n": 7}
    assert wording.filled(template, facts) == {"k": 1, "t": "1 and x", "l": [None, {"n": "x"}], "n": 7}


# All of them


@each
async def test_a_job_is_made_and_its_bytes_are_there(name: str) -> None:
    async with served(name) as server:
        video_id = await server.made()
        assert len(server.bill) == 1
        early = (await server.get(video_id)).content
        video = parse_video(early)
        assert video is not None
        assert video.status is Status.ACTIVE
        server.wait(DONE)
        video = parse_video((await server.get(video_id)).content)
        assert video is not None
        assert video.status is Status.READY
        content = await server.get(f"{video_id}/content", follow_redirects=True)
        assert (content.status_code, content.content[4:8]) == (200, b"ftyp")
        assert content.headers["content-type"] == "video/mp4"


@each
async def test_a_job_fails_by_a_rule_about_its_prompt(name: str) -> None:
    async with served(name, Fault(on="create", prompt="boat", fail="moderation_blocked")) as server:
        video_id, other = await server.made(), await server.made(prompt="A fox")
        server.wait(DONE)
        video = parse_video((await server.get(video_id)).content)
        assert video is not None
        assert video.status is Status.FAILED
        good = parse_video((await server.get(other)).content)
        assert good is not None
        assert good.status is Status.READY


WORDS = {
    "new-api": ("queued", "unknown", "in_progress", "completed", "failed"),
}


@each
async def test_the_words_of_a_status(name: str) -> None:
    async with served(name, Fault(on="create", nth=2, fail="x")) as server:
        created = (await server.post()).json()
        failing = await server.made()
        words = [created["status"]]
        for seconds in (0, 1.2, DONE):
            server.wait(seconds)
            words.append((await server.get(created["id"])).json()["status"])
        words.append((await server.get(failing)).json()["status"])
    assert tuple(words) == WORDS.get(name, ("queued", "queued", "in_progress", "completed", "failed"))


KEYS = (
    "id object model status progress created_at completed_at expires_at prompt size seconds remixed_from_video_id error"
)
#: By dialect: keys that its completed Video has besides OpenAI's, and those that it lacks.
VIDEOS = {
    "callsheet": ("metadata", ""),
    "znapai": ("metadata", ""),
    "openai": ("", ""),
    "litellm": ("usage", "prompt"),
    "litellm-old": ("usage", "prompt"),
    "sglang": ("quality url urls file_path file_paths num_outputs peak_memory_mb inference_time_s", "prompt"),
    "vllm-omni": ("quality media_type file_name stage_durations peak_memory_mb inference_time_s", ""),
    "new-api": ("task_id", "prompt remixed_from_video_id error"),
}


@each
async def test_the_keys_of_a_video(name: str) -> None:
    async with served(name) as server:
        video_id = await server.made()
        server.wait(DONE)
        video = (await server.get(video_id)).json()
    more, fewer = ({*keys.split()} for keys in VIDEOS[name])
    assert set(video) == {*KEYS.split()} - fewer | more
    assert (video["model"], video["size"], video["seconds"]) == ("sora-2", "1280x720", "4")
    assert video["progress"] == 100


@each
async def test_an_idempotency_key_is_heeded_by_one_only(name: str) -> None:
    async with served(name, **{"idempotency-key": "once"}) as server:
        await server.made()
        await server.made()
        assert len(server.bill) == (1 if name == "callsheet" else 2)


@each
async def test_jobs_in_memory_are_gone_after_a_restart_and_the_bill_is_not(name: str, tmp_path: Path) -> None:
    async with served(name, path=tmp_path / "bill.db") as server:
        video_id = await server.made()
    async with served(name, path=tmp_path / "bill.db") as server:
        answer = await server.get(video_id)
        assert (answer.status_code == 404) is (name in {"sglang", "vllm-omni"})
        assert await server.made() != video_id
    with Store.open(tmp_path / "bill.db") as store:
        assert store.billed() == 2


# Requests


#: By dialect: the status of a create request with a JSON body, a multipart form and an urlencoded one.
TAKEN = {
    "callsheet": (200, 400, 400),
    "znapai": (200, 400, 400),
    "openai": (200, 200, 400),
    "litellm": (200, 200, 400),
    "litellm-old": (200, 200, 400),
    "sglang": (200, 200, 400),
    "vllm-omni": (422, 200, 200),
    "new-api": (200, 200, 400),
}


@each
async def test_the_encodings_that_are_taken(name: str) -> None:
    parts = {key: (None, value) for key, value in GOOD.items()}
    async with served(name) as server:
        answers = [
            await server.client.post("/videos", **body) for body in ({"json": GOOD}, {"files": parts}, {"data": GOOD})
        ]
        assert tuple(answer.status_code for answer in answers) == TAKEN[name]
        assert len(server.bill) == sum(answer.is_success for answer in answers)
        assert all(request["prompt"] == "A paper boat" for request in server.bill)


@each
async def test_a_broken_form_is_refused(name: str) -> None:
    kinds = ["multipart/form-data", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"]
    async with served(name) as server:
        for kind in kinds:
            answer = await server.client.post("/videos", content=b"\xff\0=%%%&&--x", headers={"content-type": kind})
            assert 400 <= answer.status_code < 500 or name == "litellm-old"
        assert server.bill == []


IMAGE = b"\x89PNG bytes" * 200_000
UPLOAD = {"input_reference": ("first.png", IMAGE, "image/png")}


@pytest.mark.parametrize("name", [name for name in NAMES if dialects.dialect(name).request.files])
async def test_an_uploaded_image_is_on_the_bill_by_its_hash(name: str) -> None:
    async with served(name) as server:
        answer = await server.client.post("/videos", data=GOOD, files=UPLOAD)
        assert answer.status_code == 200, answer.text
        (request,) = server.bill
    assert request["input_reference"] == {
        "sha256": hashlib.sha256(IMAGE).hexdigest(),
        "media_type": "image/png",
        "bytes": len(IMAGE),
    }


async def test_an_upload_for_another_field_is_unknown() -> None:
    async with served("openai") as server:
        answer = await server.client.post("/videos", data=GOOD, files={"mask": ("m.png", b"x", "image/png")})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "mask")


#: What is sent; by dialect the status and the field that the truth is about; for all others, 200.
REFUSED: list[tuple[dict[str, Any], dict[str, tuple[int, str | None]]]] = [
    (
        {"seconds": 4},
        {
            "callsheet": (400, "seconds"),
            "znapai": (400, "seconds"),
            "openai": (400, "seconds"),
            "litellm-old": (400, "seconds"),
        },
    ),
    (
        {"seconds": "5"},
        dict.fromkeys(("callsheet", "znapai", "openai", "litellm", "litellm-old", "new-api"), (400, "seconds")),
    ),
    (
        {"seconds": "abc"},
        dict.fromkeys(NAMES, (400, None)) | {"vllm-omni": (422, None)},
    ),
    (
        {"size": "1920x1080"},
        dict.fromkeys(("callsheet", "znapai", "openai", "litellm", "litellm-old"), (400, "size"))
        | {"new-api": (400, None)},
    ),
    ({"size": "1024x1792"}, {"openai": (400, "size"), "new-api": (400, None)}),
    (
        {"size": "1024x1792", "model": "sora-2-pro"},
        {"callsheet": (400, "model"), "znapai": (400, "model"), "vllm-omni": (400, None)},
    ),
    ({"size": "832x480"}, {name: (400, None) for name in NAMES if name not in {"sglang", "vllm-omni"}}),
    (
        {"model": "sora-9"},
        {name: (400, None) for name in NAMES if name not in {"sglang", "new-api"}} | {"new-api": (503, None)},
    ),
    (
        {"duration": "8"},
        dict.fromkeys(("callsheet", "znapai", "openai", "litellm", "litellm-old"), (400, "duration")),
    ),
    ({"prompt": None}, dict.fromkeys(NAMES, (400, None)) | {"litellm-old": (500, None), "vllm-omni": (422, None)}),
    ({"metadata": '{"a": "b"}'}, {"callsheet": (400, None), "znapai": (400, None), "openai": (400, "metadata")}),
]


@each
@pytest.mark.parametrize(("fields", "refused"), REFUSED, ids=[" ".join(map(str, fields)) for fields, _ in REFUSED])
async def test_what_a_request_may_hold(name: str, fields: dict[str, Any], refused: dict[str, Any]) -> None:
    async with served(name) as server:
        answer = await server.post(**fields)
        status, param = refused.get(name, (200, None))
        assert answer.status_code == status, answer.text
        assert len(server.bill) == (status == 200)
        if param is not None:
            assert param in answer.text


@pytest.mark.parametrize(("name", "seconds"), [("new-api", "8"), ("sglang", "4"), ("vllm-omni", "4")])
async def test_duration_means_something_or_nothing(name: str, seconds: str) -> None:
    """new-api reads it; the self-hosted ones render their default, and do not say so."""
    async with served(name) as server:
        answer = await server.post(seconds=None, duration=8)
        assert answer.json()["seconds"] == seconds
        assert all("duration" not in request for request in server.bill)


@pytest.mark.parametrize("name", ["sglang", "vllm-omni"])
async def test_a_size_that_cannot_be_made_becomes_another_and_is_told(name: str) -> None:
    async with served(name) as server:
        video_id = await server.made(size="65x49", seconds="7")
        server.wait(DONE)
        video = (await server.get(video_id)).json()
        assert (video["size"], video["seconds"]) == ("64x48", "7")
        found = mp4.inspect(io.BytesIO((await server.get(f"{video_id}/content")).content))
    assert isinstance(found, mp4.Mp4)
    assert mp4.differences(found, size="64x48", seconds="7") == ()


async def test_a_fields_own_name_is_stronger_than_another() -> None:
    async with served("new-api") as server:
        assert (await server.post(seconds="4", duration=8)).json()["seconds"] == "4"
        assert server.bill == [GOOD]


@pytest.mark.parametrize("name", ["litellm", "litellm-old", "sglang", "vllm-omni"])
async def test_metadata_gets_lost(name: str) -> None:
    async with served(name) as server:
        video_id = await server.made(metadata="kept")
        assert "kept" not in (await server.get(video_id)).text
        assert "metadata" not in server.bill[0]


async def test_a_json_image_of_openai_is_an_object() -> None:
    async with served("openai") as server:
        for image, status in [
            ({"image_url": "https://images.example/a.png"}, 200),
            ({"file_id": "file-1"}, 200),
            ({"image_url": "https://images.example/a.png", "file_id": "file-1"}, 400),
            ({}, 400),
            ("https://images.example/a.png", 400),
            ({"sha256": "0" * 64, "media_type": "image/png", "bytes": 1}, 400),
        ]:
            assert (await server.post(input_reference=image)).status_code == status


@pytest.mark.parametrize(
    ("name", "status"), [("litellm", 400), ("litellm-old", 500), ("sglang", 400), ("new-api", 400)]
)
async def test_an_image_as_an_object_is_not_taken_by_all(name: str, status: int) -> None:
    async with served(name) as server:
        answer = await server.post(input_reference={"image_url": "https://images.example/a.png"})
        assert answer.status_code == status
        assert (await server.post(input_reference="https://images.example/a.png")).status_code == 200


async def test_a_header_of_the_answer_tells_of_the_video() -> None:
    async with served("new-api") as server:
        answer = await server.post(seconds="8")
    assert json.loads(answer.headers["x-new-api-other-ratios"]) == {"seconds": 8}


# Keys


#: By dialect: status and body without a key, and with a wrong one.
NO_DATABASE = {"error": {"message": "No connected db.", "type": "no_db_connection", "param": None, "code": "400"}}
WRONG_KEY = {
    "message": "Incorrect API key provided.",
    "type": "invalid_request_error",
    "param": None,
    "code": "invalid_api_key",
}
INVALID_TOKEN = {"error": {"message": "Invalid token", "type": "new_api_error", "param": "", "code": ""}}
LOCKED = {
    "znapai": (401, 401, {"error": WRONG_KEY}),
    "openai": (401, 401, {"error": WRONG_KEY}),
    "litellm": (500, 400, NO_DATABASE),
    "litellm-old": (500, 400, NO_DATABASE),
    "new-api": (401, 401, INVALID_TOKEN),
}


@each
async def test_who_wants_a_key_wants_the_right_one(name: str) -> None:
    async with served(name, key="sk-another") as server:
        wrong = await server.get("video_1")
        server.client.headers.pop("authorization", None)
        missing = await server.get("video_1")
        right = await server.get("video_1", headers={"authorization": "Bearer sk-another"})
    if name in LOCKED:
        assert (missing.status_code, wrong.status_code, wrong.json()) == LOCKED[name]
        assert right.text != wrong.text
    else:
        assert missing.text == wrong.text == right.text


# Ids


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("callsheet", r"video_[0-9a-f]{32}"),
        ("openai", r"video_[0-9a-f]{32}"),
        ("vllm-omni", r"video_gen_[0-9a-f]{32}"),
        ("new-api", r"task_[0-9a-f]{32}"),
        ("sglang", r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
        ("litellm", r"video_[A-Za-z0-9]+={1,2}"),
    ],
)
async def test_what_jobs_are_called(name: str, form: str) -> None:
    async with served(name) as server:
        created = (await server.post()).json()
        assert re.fullmatch(form, created["id"])
        assert server.service.store.bill()[0].video_id == created["id"]
        assert created.get("task_id", created["id"]) == created["id"]


@pytest.mark.parametrize(("name", "provider"), [("litellm", "openai"), ("litellm-old", "azure")])
async def test_the_id_of_a_status_is_another_one_that_leads_nowhere(name: str, provider: str) -> None:
    async with served(name) as server:
        video_id = await server.made()
        text = base64.b64decode(video_id.removeprefix("video_")).decode()
        own = text.rpartition(":")[2]
        assert text == f"litellm:custom_llm_provider:{provider};model_id:sora-2;video_id:{own}"
        shown = (await server.get(video_id)).json()["id"]
        text = base64.b64decode(shown.removeprefix("video_")).decode()
        assert text == f"litellm:custom_llm_provider:{provider};model_id:;video_id:{own}"
        server.wait(DONE)
        for asked in (shown, own, "nonsense"):
            for tail in ("", "/content"):
                answer = await server.get(f"{asked}{tail}")
                assert answer.status_code == 500, answer.text
        for asked in (video_id.rstrip("="), video_id.replace("=", "%3D")):
            assert (await server.get(asked)).status_code == 200


# Content


#: By dialect: the answer before a video is ready, of a failed one, and of an unknown id: status and a part of the text.
EARLY = {
    "callsheet": [(404, "not ready"), (404, "failed"), (404, "not found")],
    "znapai": [(404, "not ready"), (404, "failed"), (404, "not found")],
    "openai": [(404, "not ready"), (404, "failed"), (404, "not found")],
    "litellm": [(404, "OpenAIException"), (404, "OpenAIException"), (500, "api.openai.com")],
    "litellm-old": [(200, "not ready"), (200, "failed"), (500, "api_base")],
    "sglang": [(404, '{"detail": "Generation is still in-progress"}'), (404, "detail"), (404, "Video not found")],
    "vllm-omni": [(404, '{"detail": "Generation is still in-progress"}'), (422, "failed"), (404, "Video not found")],
    "new-api": [(400, "current status: unknown"), (400, "current status: failed"), (404, "Task not found")],
}


@each
async def test_content_that_is_not_there(name: str) -> None:
    async with served(name, Fault(on="create", nth=2, fail="x")) as server:
        ids = [await server.made(), await server.made(), "video_nobody"]
        answers = [await server.get(f"{ids[0]}/content")]
        server.wait(DONE)
        answers += [await server.get(f"{video_id}/content") for video_id in ids[1:]]
    for answer, (status, part) in zip(answers, EARLY[name], strict=True):
        assert (answer.status_code, part in answer.text) == (status, True), answer.text


async def test_an_old_gateway_sends_errors_as_videos() -> None:
    async with served("litellm-old") as server:
        answer = await server.get(f"{await server.made()}/content")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "video/mp4")
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("name", "late"),
    [("openai", 404), ("litellm", 404), ("litellm-old", 200), ("new-api", 502)]
    + [(name, 0) for name in ("callsheet", "sglang")],
)
async def test_content_that_expires(name: str, late: int) -> None:
    async with served(name) as server:
        video_id = await server.made()
        server.wait(DONE)
        first = await server.get(f"{video_id}/content")
        server.wait(3600)
        answer = await server.get(f"{video_id}/content")
        assert answer.status_code == (late or first.status_code)
        assert (answer.content == first.content) is (late == 0)
        assert (await server.get(video_id)).json()["status"] == "completed"


#: By dialect: the statuses of ``variant`` = video, thumbnail, 0.
VARIANTS = {
    "callsheet": (200, 400, 400),
    "openai": (302, 400, 400),
    "litellm": (200, 200, 200),
    "sglang": (404, 404, 200),
    "vllm-omni": (200, 200, 200),
}


@pytest.mark.parametrize("name", VARIANTS)
async def test_what_a_variant_is(name: str) -> None:
    async with served(name) as server:
        video_id = await server.made()
        server.wait(DONE)
        answers = [await server.get(f"{video_id}/content?variant={variant}") for variant in ("video", "thumbnail", "0")]
        assert tuple(answer.status_code for answer in answers) == VARIANTS[name]
        if name == "sglang":
            assert answers[0].json() == {"detail": "Video variant video not found"}


@pytest.mark.parametrize("deliver", ["redirect", "link"])
async def test_bytes_at_another_host_are_for_who_shows_no_key(deliver: str) -> None:
    async with served("openai", Fault(on="content", deliver=deliver)) as server:
        video_id = await server.made()
        server.wait(DONE)
        answer = await server.get(f"{video_id}/content")
        url = answer.headers["location"] if deliver == "redirect" else answer.json()["url"]
        assert answer.status_code == (302 if deliver == "redirect" else 200)
        assert url.startswith("http://storage.simulator/")
        assert (await server.client.get(url)).status_code == 400
        del server.client.headers["authorization"]
        good = await server.client.get(url)
        assert (good.status_code, good.content[4:8]) == (200, b"ftyp")
        assert (await server.client.get(url.replace("signature=", "signature=0"))).status_code == 403


async def test_the_other_host_of_a_loopback_address_has_its_other_name() -> None:
    async with served("openai") as server:
        video_id = await server.made()
        server.wait(DONE)
        for asked, told in (("127.0.0.1", "localhost"), ("localhost", "127.0.0.1")):
            answer = await server.client.get(f"http://{asked}:8000/v1/videos/{video_id}/content")
            assert answer.headers["location"].startswith(f"http://{told}:8000/storage/")


# Failed jobs


async def test_a_failed_job_is_a_video_under_an_error() -> None:
    async with served("vllm-omni", Fault(fail="x")) as server:
        video_id = await server.made()
        assert [(await server.get(video_id)).json()[key] for key in ("size", "progress")] == [None, 0]
        server.wait(1.2)
        assert (await server.get(video_id)).json()["progress"] == 0
        server.wait(DONE)
        answer = await server.get(video_id)
        video = answer.json()
    assert (answer.status_code, video["object"], video["status"]) == (500, "video", "failed")
    assert video["error"]["code"] == 500


async def test_an_error_without_a_code() -> None:
    async with served("sglang", Fault(fail="x")) as server:
        video_id = await server.made()
        server.wait(DONE)
        answer = await server.get(video_id)
    assert (answer.status_code, answer.json()["error"]) == (200, {"message": "The video could not be generated."})


# List and delete


#: By dialect: the status of a list, and of the deletion of a running job and of one that has ended.
LISTS = {
    "callsheet": (200, 400, 200),
    "znapai": (405, 405, 405),
    "openai": (200, 400, 200),
    "litellm": (400, 405, 405),
    "litellm-old": (400, 405, 405),
    "sglang": (200, 200, 200),
    "vllm-omni": (200, 200, 200),
    "new-api": (404, 404, 404),
}


@each
async def test_list_and_delete_or_none(name: str) -> None:
    async with served(name) as server:
        ended = await server.made()
        server.wait(DONE)
        running = await server.made()
        listed = await server.client.get("/videos")
        deletions = [await server.client.delete(f"/videos/{video_id}") for video_id in (running, ended)]
        assert (listed.status_code, *(answer.status_code for answer in deletions)) == LISTS[name]
        if listed.is_success:
            assert [video["id"] for video in listed.json()["data"]] == [running, ended]
        if deletions[1].is_success:
            assert (await server.get(ended)).status_code == 404
            assert deletions[1].json()["id"] == ended
        assert len(server.bill) == 2


async def test_sglang_deletes_with_a_video_and_lists_leniently() -> None:
    async with served("sglang") as server:
        ids = [await server.made() for _ in range(21)]
        page = (await server.client.get("/videos?order=sideways")).json()
        assert set(page) == {"data", "object"}
        assert [video["id"] for video in page["data"]] == ids[:0:-1]
        assert (await server.client.get("/videos?after=nobody")).json()["data"] == []
        assert (await server.client.get("/videos?limit=0")).status_code == 422
        deleted = (await server.client.delete(f"/videos/{ids[0]}")).json()
    assert (deleted["object"], deleted["status"]) == ("video", "deleted")


async def test_vllm_omni_lists_all() -> None:
    async with served("vllm-omni") as server:
        for _ in range(21):
            await server.made()
        page = (await server.client.get("/videos")).json()
    assert (len(page["data"]), page["has_more"]) == (21, False)


# OpenAI's own schema


async def test_openais_answers_are_openais() -> None:
    async with served("openai", Fault(on="create", nth=2, fail="moderation_blocked")) as server:
        created = conforming("VideoResource", await server.post())
        failing = conforming("VideoResource", await server.post(model="sora-2-pro", size="1024x1792"))
        conforming("ErrorResponse", await server.get(f"{created['id']}/content"))
        conforming("ErrorResponse", await server.client.delete(f"/videos/{created['id']}"))
        server.wait(DONE)
        conforming("VideoResource", await server.get(created["id"]))
        assert conforming("VideoResource", await server.get(failing["id"]))["error"]["code"] == "moderation_blocked"
        conforming("VideoListResource", await server.client.get("/videos?limit=1"))
        conforming("DeletedVideoResource", await server.client.delete(f"/videos/{failing['id']}"))
        for answer in [
            await server.get(failing["id"]),
            await server.get("nobody/content"),
            await server.post(seconds=4),
            await server.post(extra=1),
            await server.client.get("/videos?limit=x"),
            await server.client.put("/videos"),
            await server.client.get("/nothing"),
            await server.client.post("/videos", content=b"{"),
            await server.client.get("/videos", headers={"authorization": "Basic x"}),
        ]:
            assert answer.is_client_error
            conforming("ErrorResponse", answer)


# What was recorded of LiteLLM's proxies


def upstream(status: int, error: dict[str, Any]) -> Fault:
    return Fault(on="create", answer=Answer(status, {"Retry-After": "17"}, error=error))


def recorded(gateway: str) -> dict[str, Any]:
    if not PAIRS.exists():
        pytest.skip("the recorded exchanges lie beside the repository, and are not here")
    lines = map(json.loads, PAIRS.read_text("utf-8").splitlines())
    return {line["case"]: line for line in lines if line["gateway"] == gateway}


def inner(body: Any) -> dict[str, Any]:
    """The upstream's error inside a gateway's message."""
    text = body["error"]["message"]
    error: dict[str, Any] = json.JSONDecoder().raw_decode(text, text.index('{"error":'))[0]["error"]
    return error


#: Gateways and the names that their deployment has in the recording.
GATEWAYS = {"litellm": ("litellm-1.106.2/openai", "sora-2"), "litellm-old": ("litellm-1.81.10/azure", "az-sora-2")}
CREATES = [
    "create_seconds_int_bad_value",
    "create_seconds_bad_string",
    "create_duration_instead",
    "create_size_1920x1080",
    "create_no_prompt",
    "create_no_model",
    "create_unknown_model",
]
UPSTREAM = ["T401", "T403", "T429", "T429Q", "T500", "T503", "TMODBLOCK", "TSAFE", "TBILL"]


@pytest.mark.parametrize("name", GATEWAYS)
@pytest.mark.parametrize("case", CREATES)
async def test_a_gateway_refuses_in_the_words_that_were_recorded(name: str, case: str) -> None:
    gateway, model = GATEWAYS[name]
    found = recorded(gateway)[case]
    async with served(name) as server:
        request = found["request"]["body"]
        if request.get("model") == model:
            request["model"] = "sora-2"
        answer = await server.client.post("/videos", json=request)
    assert answer.status_code == found["response"]["status"]
    expected = json.loads(json.dumps(found["response"]["body"]).replace(model, "sora-2"))
    assert answer.json() == expected


@pytest.mark.parametrize("name", GATEWAYS)
@pytest.mark.parametrize("case", UPSTREAM)
async def test_a_gateway_words_its_upstreams_errors_as_recorded(name: str, case: str) -> None:
    gateway, model = GATEWAYS[name]
    response = recorded(gateway)[f"create_upstream_{case}"]["response"]
    async with served(name, upstream(response["status"], inner(response["body"]))) as server:
        answer = await server.post()
    assert answer.status_code == response["status"]
    assert answer.json() == json.loads(json.dumps(response["body"]).replace(model, "sora-2"))
    assert answer.headers.get("llm_provider-retry-after") == ("17" if name == "litellm" else None)
    assert "retry-after" not in answer.headers


@pytest.mark.parametrize("name", GATEWAYS)
async def test_a_gateway_has_no_list_and_no_delete_as_recorded(name: str) -> None:
    found = recorded(GATEWAYS[name][0])
    async with served(name) as server:
        for case, answer in [
            ("list", await server.client.get("/videos?limit=2")),
            ("delete", await server.client.delete("/videos/video_1")),
            ("cancel", await server.client.post("/videos/video_1/cancel")),
            ("create_proxy_key_wrong", await server.client.get("/videos", headers={"authorization": "Basic x"})),
        ]:
            assert (answer.status_code, answer.json()) == (
                found[case]["response"]["status"],
                found[case]["response"]["body"],
            )


@pytest.mark.parametrize("name", GATEWAYS)
async def test_a_gateways_video_has_the_keys_that_were_recorded(name: str) -> None:
    found = recorded(GATEWAYS[name][0])
    async with served(name) as server:
        created = (await server.post()).json()
        shown = (await server.get(created["id"])).json()
    for video, case in ((created, "create_ok"), (shown, "status_video_prog")):
        expected = found[case]["response"]["body"]
        assert set(video) == set(expected)
        assert video["usage"] == expected["usage"]


async def test_a_status_that_is_no_video_is_a_500_at_an_old_gateway() -> None:
    async with served("litellm-old") as server:
        video_id = await server.made()
        server.service.store.forget()
        answer = await server.get(video_id)
    assert answer.status_code == 500
    assert "3 validation errors for VideoObject" in answer.json()["error"]["message"]
    assert classify(Asked.STATUS, 500, answer.headers, answer.content).message


# The page


PAGE = (ROOT / "docs" / "simulator.md").read_text("utf-8")


def row(name: str) -> str:
    """A dialect's row in the table of the page, as its data have it."""
    spoken = dialects.dialect(name)
    deletes = spoken.delete and ("any" if spoken.delete.running else "ended")
    cells = [
        f"`{name}`",
        "yes" if spoken.key else "no",
        ", ".join(spoken.request.encodings),
        "base64" if spoken.ids.envelope else "a UUID" if spoken.ids.uuid else f"`{spoken.ids.prefix}…`",
        "yes" if spoken.list else "no",
        deletes or "no",
        spoken.content.delivery,
        f"{spoken.expiry.shown} s" if spoken.expiry.enforced else "never",
        "heeded" if spoken.idempotency else "ignored",
        "in memory" if spoken.memory else "on disk",
    ]
    return f"| {' | '.join(cells)} |"


def test_the_table_of_the_page_is_the_data() -> None:
    assert re.findall(r"^\| `[a-z-]+` \| (?:yes|no) \|.*$", PAGE, re.MULTILINE) == [row(name) for name in NAMES]


def test_the_page_names_every_key_of_the_faults_file() -> None:
    keys = shipped.schema("faults")["properties"]["faults"]["items"]["properties"]
    assert re.findall(r"^\| `([a-z_]+)` \|", PAGE.partition("## Faults")[2], re.MULTILINE) == list(keys)


def test_the_faults_on_the_page_are_read() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    faults = faults_from(text.encode(), file="page", schema=shipped.schema("faults"))
    answers = [faults.due("create", "").answer for _ in range(5)]
    assert [answer and answer.status for answer in answers] == [None, None, 429, None, 502]

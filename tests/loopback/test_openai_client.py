"""A client that is not ours: the official ``openai`` package against ``callsheet simulate --dialect openai``."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway import Bill, call, start

for module in ("av", "PIL", "starlette", "uvicorn", "python_multipart"):
    pytest.importorskip(module, reason=f"{module} is an extra: callsheet[simulator]")

#: Every call of its warns that OpenAI's own endpoint is closed; the package still speaks the protocol.
pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")

KEY = "sk-a-key-of-a-test"

FAULTS = """
version: 1
faults:
  - { on: create, nth: 2, fail: moderation_blocked }
  - on: list
    nth: 3
    answer: { status: 429, headers: { Retry-After: "7" }, error: { message: Slow down, type: requests } }
  - { on: content, nth: 2, hang_up: before }
"""


@pytest.fixture(scope="module")
def openai() -> Any:
    """The package; it is large, and imported only where it is used."""
    return pytest.importorskip("openai", reason="openai is a development dependency")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("server")
    (folder / "faults.yaml").write_text(FAULTS)
    options = ["--port", "0", "--videos", "stock", "--speed", "20", "--state", "bill.db", "--faults", "faults.yaml"]
    process = start(folder, "simulate", "--dialect", "openai", *options, CALLSHEET_SIMULATOR_KEY=KEY)
    assert process.stdout is not None
    yield process.stdout.readline().strip(), folder / "bill.db"
    process.terminate()
    assert process.communicate(timeout=10) == ("", "")
    assert process.returncode == 0


def test_the_official_client_creates_polls_lists_downloads_and_deletes(
    openai: Any, server: tuple[str, Path], tmp_path: Path
) -> None:
    address, bill = server
    with openai.OpenAI(api_key=KEY, base_url=address, max_retries=0) as client:
        created = client.videos.create(model="sora-2", prompt="A fox in ünder glass", seconds="4", size="1280x720")
        assert (created.object, created.prompt, created.error) == ("video", "A fox in ünder glass", None)
        done = client.videos.poll(created.id, poll_interval_ms=20)
        assert (done.status, done.progress, done.id) == ("completed", 100, created.id)
        image = ("first.png", b"\x89PNG", "image/png")
        failing = client.videos.create(prompt="A crow", input_reference=image)
        failed = client.videos.poll(failing.id, poll_interval_ms=20)
        assert (failed.status, failed.error.code) == ("failed", "moderation_blocked")
        assert (failed.model, failed.size, failed.seconds) == ("sora-2", "720x1280", "4")

        assert [video.id for video in client.videos.list(limit=1)] == [failing.id, created.id]  # by two requests
        with pytest.raises(openai.RateLimitError) as limited:
            client.videos.list()
        assert limited.value.response.headers["retry-after"] == "7"
        assert [video.id for video in client.videos.list(order="asc")] == [created.id, failing.id]

        client.videos.download_content(created.id).write_to_file(tmp_path / "fox.mp4")
        assert (tmp_path / "fox.mp4").read_bytes()[4:8] == b"ftyp"
        with pytest.raises(openai.APIConnectionError):
            client.videos.download_content(created.id)

        deleted = client.videos.delete(created.id)
        assert (deleted.id, deleted.deleted, deleted.object) == (created.id, True, "video.deleted")
        with pytest.raises(openai.NotFoundError):
            client.videos.retrieve(created.id)
    lines = Bill(bill).lines()
    assert [line["prompt"] for line in lines] == ["A fox in ünder glass", "A crow"]
    assert lines[1]["input_reference"]["bytes"] == 4


def test_the_official_client_reads_the_errors(openai: Any, server: tuple[str, Path]) -> None:
    with openai.OpenAI(api_key=KEY, base_url=server[0], max_retries=0) as client:
        for wrong, param, code in [
            ({"seconds": "5"}, "seconds", "invalid_value"),
            ({"size": "1024x1792"}, "size", "invalid_value"),
            ({"extra_body": {"duration": "4"}}, "duration", "unknown_parameter"),
        ]:
            with pytest.raises(openai.BadRequestError) as refused:
                client.videos.create(prompt="A fox", **wrong)
            assert (refused.value.param, refused.value.code) == (param, code)
    with (
        openai.OpenAI(api_key="sk-another", base_url=server[0], max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError) as locked,
    ):
        stranger.videos.list()
    assert locked.value.code == "invalid_api_key"


def test_a_dialect_or_a_file_that_cannot_be_used_ends_the_command(tmp_path: Path) -> None:
    ended = call(tmp_path, "simulate", "--dialect", "azure")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "there is no dialect 'azure'; there are callsheet, litellm, litellm-old" in ended.stderr
    (tmp_path / "faults.yaml").write_text("version: 1\nfaults:\n  - { on: create, nht: 3, delay: 1 }\n")
    ended = call(tmp_path, "simulate", "--faults", "faults.yaml")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "faults.yaml:3:19" in ended.stderr
    assert 'unknown key "nht"' in ended.stderr
    assert call(tmp_path, "simulate", "--faults", "missing.yaml").returncode == 2

"""What no well-behaved server can send: the simulator on a port, with its proxy in front."""

import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from gateway import Bill, simulator

for module in ("av", "PIL", "starlette", "uvicorn", "python_multipart"):
    pytest.importorskip(module, reason=f"{module} is an extra: callsheet[simulator]")

from pipeline.simulator.faults import Answer, Fault  # noqa: E402

GOOD = {"model": "sora-2", "prompt": "A paper boat", "size": "1280x720", "seconds": "4"}


@contextmanager
def served(folder: Path, *faults: Fault, dialect: str | None = None) -> Iterator[httpx.Client]:
    with simulator(folder / "bill.db", dialect=dialect, faults=faults) as address:
        headers = {"authorization": "Bearer sk-a-key-of-a-test"}
        with httpx.Client(base_url=address, headers=headers, trust_env=False, timeout=10) as client:
            yield client


def finished(client: httpx.Client) -> str:
    """Make a video, and return the path of its content when it is there."""
    video_id = client.post("/videos", json=GOOD).json()["id"]
    while client.get(f"/videos/{video_id}").json()["status"] != "completed":
        time.sleep(0.02)
    return f"/videos/{video_id}/content"


def test_what_is_not_spoiled_is_as_ever(tmp_path: Path) -> None:
    with served(tmp_path, Fault(on="content", nth=2, truncate=0.5)) as client:
        path = finished(client)
        first = client.get(path)
        with pytest.raises(httpx.RemoteProtocolError):
            client.get(path)
        again = client.get(path)
    assert first.content == again.content
    assert first.content[4:8] == b"ftyp"
    assert "x-simulator-fault" not in first.headers


def test_a_truncated_body_has_the_length_of_the_whole(tmp_path: Path) -> None:
    with served(tmp_path, Fault(on="content", nth=1, truncate=0.5)) as client:
        path = finished(client)
        received = b""
        cut = pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body")
        with client.stream("GET", path) as answer, cut:
            for chunk in answer.iter_raw():
                received += chunk
        whole = client.get(path).content
    assert "x-simulator-fault" not in answer.headers
    assert int(answer.headers["content-length"]) == len(whole)
    assert received == whole[: len(whole) // 2]


def test_a_body_drips(tmp_path: Path) -> None:
    with served(tmp_path, Fault(on="content", drip=100)) as client, client.stream("GET", finished(client)) as answer:
        chunks = answer.iter_raw()
        assert len(next(chunks)) == 100
        assert int(answer.headers["content-length"]) > 1000


def test_a_body_does_not_end(tmp_path: Path) -> None:
    with (
        served(tmp_path, Fault(on="content", endless=True)) as client,
        client.stream("GET", finished(client)) as answer,
    ):
        received = 0
        for chunk in answer.iter_raw():
            received += len(chunk)
            if received > 20 << 20:
                break
    assert received > 20 << 20
    assert "content-length" not in answer.headers


def test_a_small_body_becomes_a_large_one(tmp_path: Path) -> None:
    with (
        served(tmp_path, Fault(on="content", gzip_bomb=64)) as client,
        client.stream("GET", finished(client)) as answer,
    ):
        length = sum(len(chunk) for chunk in answer.iter_bytes())
    assert answer.headers["content-encoding"] == "gzip"
    assert length == 64 << 20
    assert answer.num_bytes_downloaded < 1 << 20


def test_a_connection_is_reset_in_the_middle(tmp_path: Path) -> None:
    with served(tmp_path, Fault(on="content", reset=1000)) as client, pytest.raises(httpx.ReadError):
        client.get(finished(client))


@pytest.mark.parametrize(("when", "billed"), [("before", 0), ("after", 1)])
def test_the_server_hangs_up(tmp_path: Path, when: str, billed: int) -> None:
    with served(tmp_path, Fault(on="create", hang_up=when)) as client:
        with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
            client.post("/videos", json=GOOD)
        assert len(Bill(tmp_path / "bill.db")) == billed


def test_a_large_request_and_a_client_that_goes(tmp_path: Path) -> None:
    """The proxy passes on what comes in pieces, and outlives who hangs up at any time."""
    image = "data:image/png;base64," + "A" * 5_000_000
    with served(tmp_path, Fault(on="list", hang_up="before")) as client:
        address = urlsplit(str(client.base_url))
        for said in (b"", b"GET /v1/videos HTTP/1.1\r\nHost: x", b"GET /v1/videos/x HTTP/1.1\r\nHost: x\r\n\r\n"):
            with closing(socket.create_connection((address.hostname, address.port))) as connection:
                connection.sendall(said)
        answer = client.post("/videos", json=GOOD | {"input_reference": image})
        assert answer.status_code == 200, answer.text
        assert answer.headers["connection"] == "close"


def test_what_is_spoiled_behind_a_redirect_are_the_bytes(tmp_path: Path) -> None:
    faults = Fault(on="content", nth=1, truncate=0.5), Fault(on="content", deliver="link", truncate=0.5)
    with served(tmp_path, *faults, dialect="openai") as client:
        path = finished(client)
        redirect, link = client.get(path), client.get(path)
        assert (redirect.status_code, link.status_code) == (302, 200)
        for url in (redirect.headers["location"], link.json()["url"]):
            assert url.startswith("http://localhost:")
            with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
                httpx.get(url, trust_env=False)


def test_a_client_that_waits_for_leave_to_send_its_body(tmp_path: Path) -> None:
    body = b'{"model": "sora-2"}'
    head = f"POST /v1/videos HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n"
    with served(tmp_path, Fault(on="create", answer=Answer(500, body="x" * 100), truncate=0.5)) as client:
        address = urlsplit(str(client.base_url))
        with closing(socket.create_connection((address.hostname, address.port))) as connection:
            connection.sendall(head.encode())
            assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
            connection.sendall(body)
            received = b""
            while chunk := connection.recv(1000):
                received += chunk
    assert received.startswith(b"HTTP/1.1 500 ")
    assert received.endswith(b"\r\n\r\n" + b"x" * 50)


def test_a_fault_of_the_answer_and_of_its_bytes(tmp_path: Path) -> None:
    wrong = Answer(500, body="An error that is cut off in the middle.")
    with (
        served(tmp_path, Fault(on="list", answer=wrong, truncate=0.5)) as client,
        client.stream("GET", "/videos") as answer,
    ):
        assert answer.status_code == 500
        with pytest.raises(httpx.RemoteProtocolError):
            answer.read()


def test_no_proxy_where_none_is_needed(tmp_path: Path) -> None:
    with served(tmp_path, Fault(on="list", answer=Answer(500))) as client:
        assert client.get("/videos").headers.get("connection") != "close"

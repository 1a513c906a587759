"""``callsheet doctor`` at servers that are well, and at servers with one defect each: what it finds and never sends."""

import datetime as dt
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml
from gateway import Bill, Ended, call, gateway, simulator
from jsonschema import Draft202012Validator

from pipeline import providers, shipped

KEY = "sk-STUDIO-0123456789"
PROFILE = """\
name: studio
title: Studio gateway
auth: { scheme: bearer, env: [STUDIO_API_KEY] }
request:
  schema: sora-request.schema.json
  defaults: { model: sora-2, size: 1280x720, seconds: "8" }
poll: { first: 0.1, interval: 0.1, slowest: 0.2 }
limits: { requests_per_minute: 6000, max_in_flight: 5, polls_per_second: 50, downloads: 2 }
price: { currency: USD, per_second: { sora-2: 0.1 } }
"""
Reply = tuple[int, Any, dict[str, str]]
"""Status, body (bytes, or what is written as JSON) and headers."""


@dataclass
class Server:
    """Answers by ``reply(method, path)``, and keeps what it was asked."""

    reply: Callable[[str, str], Reply]
    url: str = ""
    seen: list[tuple[str, str]] = field(default_factory=list)
    keys: set[str | None] = field(default_factory=set)


@contextmanager
def serving(reply: Callable[[str, str], Reply], context: ssl.SSLContext | None = None) -> Iterator[Server]:
    server = Server(reply)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16  # one write for an answer: two wait 40 ms for each other

        def answer(self) -> None:
            path = self.path.removeprefix("/v1")
            server.seen.append((self.command, path))
            server.keys.add(self.headers.get("Authorization"))
            status, body, headers = server.reply(self.command, path)
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response_only(status)
            for name, value in {"Date": formatdate(usegmt=True), **headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = answer  # noqa: N815  # their names

        def log_message(self, *_: object) -> None: ...

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None: ...  # a client that trusts nobody hangs up

    httpd = Quiet(("127.0.0.1", 0), Handler)
    if context is not None:
        httpd.socket = context.wrap_socket(httpd.socket, server_side=True)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    server.url = f"http{'s' * bool(context)}://127.0.0.1:{httpd.server_address[1]}/v1"
    try:
        yield server
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


def error(message: str, **fields: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None, **fields}}


def well(method: str, path: str) -> Reply:
    """A server that has two jobs, lists them newest first, and says clearly what it has not."""
    if path == "/models":
        return 200, {"object": "list", "data": [{"id": "sora-2"}, {"id": "sora-2-pro"}]}, {}
    if path.startswith("/videos?"):
        jobs = [
            {"id": f"v{n}", "object": "video", "status": "queued", "created_at": 9 - n, "prompt": "A"} for n in (1, 2)
        ]
        return 200, {"object": "list", "data": jobs, "has_more": False}, {}
    return 404, error("no such video"), {}


def but(wanted: Callable[[str, str], bool], status: int, body: Any, **headers: str) -> Callable[[str, str], Reply]:
    """The well server, with one defect."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda method, path: (status, body, named) if wanted(method, path) else well(method, path)


def anything(method: str, path: str) -> bool:
    return True


def the_list(method: str, path: str) -> bool:
    return path.startswith("/videos?")


def the_models(method: str, path: str) -> bool:
    return path == "/models"


def the_id(method: str, path: str) -> bool:
    return method == "GET" and path.startswith("/videos/") and not path.endswith("/content")


def the_content(method: str, path: str) -> bool:
    return path.endswith("/content")


def the_deletion(method: str, path: str) -> bool:
    return method == "DELETE"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "studio.yaml").write_text(PROFILE)
    return tmp_path


def doctor(folder: Path, url: str, *more: str, key: str = KEY, profile: str = "studio.yaml") -> tuple[Ended, Any]:
    """Examine, and return how the command ended and its document."""
    environment = {"STUDIO_API_KEY": key} if key else {}
    ended = call(folder, "doctor", "--profile", profile, "--base-url", url, "--json", *more, **environment)
    document = json.loads(ended.stdout)
    Draft202012Validator(shipped.schema("doctor")).validate(document)
    assert document["exit"] == ended.returncode
    return ended, document


def found(document: Any, probe: str) -> tuple[str, str]:
    """Verdict and message of a probe."""
    (one,) = [finding for finding in document["findings"] if finding["probe"] == probe]
    return one["verdict"], one["message"]


def learned(document: Any) -> dict[str, tuple[Any, Any]]:
    """What was learned and what the profile says, by field."""
    return {".".join(one["field"]): (one["learned"], one["profile"]) for one in document["learned"]}


def test_a_server_that_is_well_is_found_so_and_nothing_is_sent_that_could_create(folder: Path) -> None:
    with serving(well) as server:
        ended, document = doctor(folder, server.url)
    assert ended.returncode == 0
    assert {one["probe"]: one["verdict"] for one in document["findings"]} == {
        **dict.fromkeys(("address", "tls", "key", "models", "list", "unknown id", "content", "delete", "clock"), "ok"),
        "rate": "unknown",
        "server": "unknown",
        "disk": "ok",
    }
    assert learned(document) == {"abilities.list": (True, False), "abilities.delete": (True, False)}
    assert [method for method, _ in server.seen] == ["GET", "GET", "GET", "GET", "DELETE"]
    (unknown,) = {path.split("/")[2] for _, path in server.seen if path.startswith("/videos/")}
    assert server.keys == {f"Bearer {KEY}"}
    assert KEY not in ended.stdout + ended.stderr
    with serving(well) as server:
        doctor(folder, server.url)
    assert unknown not in str(server.seen), "an id that nobody has is another one each time"
    assert [path.name for path in folder.iterdir()] == ["studio.yaml"], "nothing is left on the disk"


#: What is wrong, the probe that finds it, its verdict and words, the exit code, and what is learned by it.
DEFECTS: dict[str, tuple[Callable[[str, str], Reply], str, str, str, int, dict[str, Any]]] = {
    "the key is wrong": (
        but(anything, 401, error(f"Incorrect API key provided: {KEY}", code="invalid_api_key")),
        *("key", "problem", "rejected with HTTP 401: Incorrect API key provided: [key removed]", 4),
        {},
    ),
    "there is no list": (
        but(the_list, 405, {"detail": "Method Not Allowed"}),
        *("list", "ok", "there is none: GET /videos answers HTTP 405, a detail as FastAPI's", 0),
        {"abilities.list": False, "abilities.delete": True},
    ),
    "the list is a page": (
        but(the_list, 200, b"<!DOCTYPE html><p>Hello"),
        *("list", "ok", "there is none: GET /videos answers HTTP 200, a web page", 0),
        {"abilities.list": False, "abilities.delete": True},
    ),
    "the list is empty": (
        but(the_list, 200, {"data": []}),
        *("list", "unknown", "an empty list", 0),
        {"abilities.delete": True},
    ),
    "the list begins at the wrong end": (
        but(the_list, 200, {"data": [{"id": f"v{n}", "status": "queued", "created_at": n} for n in (1, 2)]}),
        *("list", "warning", "oldest first", 0),
        {"abilities.list": False, "abilities.delete": True},
    ),
    "the list shows no prompts": (
        but(the_list, 200, {"data": [{"id": f"v{n}", "status": "queued", "created_at": 9 - n} for n in (1, 2)]}),
        *("list", "warning", "newest first, without prompts", 0),
        {"abilities.list": True, "abilities.delete": True},
    ),
    "the list has one job": (
        but(the_list, 200, {"data": [{"id": "v", "status": "queued", "metadata": {"callsheet_ref": "r"}}]}),
        *("list", "unknown", "a list without prompts, whose order cannot be told", 0),
        {"abilities.echo": True, "abilities.delete": True},
    ),
    "the list waits": (
        but(the_list, 429, error("slow down"), Retry_After="7"),
        *("rate", "ok", "retry-after: 7", 0),
        {"abilities.delete": True},
    ),
    "the list is for others": (
        but(the_list, 403, error("not for you")),
        *("key", "ok", "accepted, as far as a GET can show", 0),
        {"abilities.delete": True},
    ),
    "the list breaks": (
        but(the_list, 500, error("oops")),
        *("list", "unknown", "GET /videos: HTTP 500", 0),
        {"abilities.delete": True},
    ),
    "an unknown id is an accident": (
        but(the_id, 500, error("litellm.APIConnectionError: None - 3 validation errors")),
        *("unknown id", "warning", "HTTP 500, an error object as OpenAI's", 0),
        {"abilities.list": True},
    ),
    "an unknown id has a code of the server's own": (
        but(the_id, 400, {"code": "unknown_task", "message": "E1042", "data": None}),
        *("unknown id", "warning", "HTTP 400, code and message at the top", 0),
        {"errors.unknown_task": "lost", "abilities.list": True},
    ),
    "everything is a web page": (
        but(anything, 200, b"\n<html><body>Welcome to nginx"),
        *("unknown id", "problem", "HTTP 200, a web page for an id that nobody has", 69),
        {},
    ),
    "a web page is not found": (
        but(the_id, 404, b"<html>404 Not Found"),
        *("unknown id", "problem", "there is no /videos/{id}: HTTP 404, a web page", 69),
        {},
    ),
    "the path is not there": (
        but(the_id, 404, {"detail": "Not Found"}),
        *("unknown id", "problem", "there is no /videos/{id}: HTTP 404, a detail as FastAPI's", 69),
        {},
    ),
    "it is somewhere else": (
        but(anything, 301, b"", Location="https://videos.example.com/v1/videos"),
        *("unknown id", "problem", "redirected to https://videos.example.com/v1/videos", 69),
        {},
    ),
    "an error is handed over as a video": (
        but(the_content, 200, error("not found"), Content_Type="video/mp4"),
        *("content", "warning", "HTTP 200, an error object as OpenAI's in place of a video", 0),
        {"abilities.list": True, "abilities.delete": True},
    ),
    "content is an accident": (
        but(the_content, 502, error("upstream")),
        *("content", "warning", "HTTP 502", 0),
        {"abilities.list": True, "abilities.delete": True},
    ),
    "nothing can be deleted": (
        but(the_deletion, 405, {"detail": "Method Not Allowed"}),
        *("delete", "ok", "there is none: HTTP 405", 0),
        {"abilities.list": True, "abilities.delete": False},
    ),
    "everything can be deleted": (
        but(the_deletion, 200, {"deleted": True}),
        *("delete", "warning", "its word proves nothing", 0),
        {"abilities.list": True},
    ),
    "deletion has no path": (
        but(the_deletion, 404, {"detail": "Not Found"}),
        *("delete", "unknown", "cannot be told from HTTP 404", 0),
        {"abilities.list": True},
    ),
    "the models are others": (
        but(the_models, 200, {"data": [{"id": "veo-3"}]}),
        *("models", "warning", "veo-3; none of the profile's (sora-2)", 0),
        {"abilities.list": True, "abilities.delete": True},
    ),
    "no models are listed": (
        but(the_models, 200, {"data": "none"}),
        *("models", "unknown", "GET /models lists none", 0),
        {"abilities.list": True, "abilities.delete": True},
    ),
    "a clock is an hour off": (
        but(anything, 404, error("no such video"), Date=formatdate(4102444800, usegmt=True)),
        *("clock", "warning", "s ahead of this machine's", 0),
        {"abilities.list": False, "abilities.delete": True},
    ),
    "it speaks of limits": (
        but(the_id, 404, error("no such video"), X_RateLimit_Limit_Requests="25", X_RateLimit_Reset_Requests="6s"),
        *("rate", "ok", "x-ratelimit-limit-requests: 25, x-ratelimit-reset-requests: 6s", 0),
        {"abilities.list": True, "abilities.delete": True, "limits.requests_per_minute": 25},
    ),
    "it says what it is": (
        but(the_id, 404, error("no such video"), Server="uvicorn\x1b[31m", X_LiteLLM_Version="1.2.3"),
        *("server", "ok", "LiteLLM 1.2.3, says that it is uvicorn", 0),
        {"abilities.list": True, "abilities.delete": True},
    ),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_each_defect_is_found_where_it_is(folder: Path, name: str) -> None:
    reply, probe, verdict, words, code, lessons = DEFECTS[name]
    with serving(reply) as server:
        ended, document = doctor(folder, server.url)
    assert found(document, probe)[0] == verdict
    assert words in found(document, probe)[1]
    assert ended.returncode == code
    assert {name: value for name, (value, _) in learned(document).items()} == lessons
    assert not [method for method, _ in server.seen if method not in {"GET", "DELETE"}]
    assert KEY not in ended.stdout + ended.stderr


def test_people_see_one_line_for_each_probe_and_nothing_foreign_moves_the_cursor(folder: Path) -> None:
    reply = but(the_id, 400, {"code": "not\x1b[2J_exist", "message": f"\x1b[31m{KEY}\n\u202e"}, Server="\x1b[7muvicorn")
    with serving(reply) as server:
        shown = call(folder, "doctor", "--profile", "studio.yaml", "--base-url", server.url, STUDIO_API_KEY=KEY)
    assert shown.returncode == 0
    assert not {"\x1b", "\u202e"} & {*shown.stdout}
    assert KEY not in shown.stdout
    lines = shown.stdout.splitlines()
    assert lines[0] == f"Studio gateway  {server.url}"
    heads = [line.split("  ")[0] for line in lines[1:] if line[0] != " "]
    probes = "address tls key models list;unknown id;content delete clock rate server disk"
    assert heads[:12] == [name for part in probes.split(";") for name in ([part] if "id" in part else part.split())]
    assert (
        "  abilities.list: true; the profile says false (GET /videos lists jobs, newest first, with prompts)" in lines
    )


def test_without_a_key_what_is_possible_is_asked_and_the_exit_code_says_so(folder: Path) -> None:
    with serving(well) as server:
        ended, document = doctor(folder, server.url, key="")
    assert ended.returncode == 4
    assert found(document, "key") == ("problem", "the key is missing: set STUDIO_API_KEY")
    assert found(document, "list")[0] == "ok"
    assert server.keys == {None}


def test_a_server_that_wants_a_key_the_profile_does_not_know_of_teaches_that(folder: Path) -> None:
    (folder / "studio.yaml").write_text(
        PROFILE.replace("env: [STUDIO_API_KEY]", "env: [STUDIO_API_KEY], required: false")
    )
    with serving(but(anything, 401, error("no key"))) as server:
        ended, document = doctor(folder, server.url, key="")
    assert ended.returncode == 4
    assert found(document, "key")[1] == "none is sent, and one is wanted: HTTP 401: no key"
    assert learned(document) == {"auth.required": (True, False)}


def test_a_key_that_is_refused_with_400_teaches_nothing_about_the_list(folder: Path) -> None:
    refused = error("No connected db.", type="no_db_connection", code="400")
    with serving(but(anything, 400, refused)) as server:
        ended, document = doctor(folder, server.url)
    assert ended.exit_code == 4
    assert found(document, "list")[0] == "unknown"
    assert learned(document) == {}


def test_nobody_there_is_said_and_nothing_else_is_asked(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    ended, document = doctor(folder, f"http://127.0.0.1:{port}/v1")
    assert ended.returncode == 69
    assert found(document, "address") == ("problem", f"no connection to 127.0.0.1, port {port}: Connection refused")
    assert found(document, "list")[0] == "unknown"
    assert found(document, "disk")[0] == "ok"


def test_a_proxy_is_what_is_connected_to(folder: Path) -> None:
    def through(method: str, path: str) -> Reply:
        return well(method, path.partition("/v1")[2])  # a proxy is told the whole address

    with serving(through) as proxy:
        ended, document = doctor(folder, "http://127.0.0.1:9/v1", "--proxy", proxy.url.removesuffix("/v1"))
    assert ended.returncode == 0, document
    assert found(document, "address")[1].startswith("the proxy 127.0.0.1, connected in ")
    assert {path.partition("/v1")[0] for _, path in proxy.seen} == {"http://127.0.0.1:9"}


def test_of_what_is_no_server_no_draft_is_written(folder: Path) -> None:
    with serving(but(anything, 200, b"<html>")) as server:
        ended, document = doctor(folder, server.url, "--write", "mine.yaml")
    assert (ended.returncode, document["draft"], (folder / "mine.yaml").exists()) == (69, None, False)
    assert "no draft is written" in ended.stderr


def test_a_server_that_hangs_up_is_no_server(folder: Path) -> None:
    def hang_up() -> None:
        with suppress(OSError):
            while True:
                listener.accept()[0].close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=hang_up)
        thread.start()
        ended, document = doctor(folder, f"http://127.0.0.1:{listener.getsockname()[1]}/v1")
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert ended.returncode == 69
    assert found(document, "address")[0] == "ok"
    assert found(document, "unknown id")[0] == "problem"


def test_a_certificate_is_trusted_or_it_is_said_and_the_key_stays_here(folder: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    with serving(well, context) as server:
        ended, document = doctor(folder, server.url)
        assert ended.returncode == 69
        assert "the certificate is not trusted" in found(document, "tls")[1]
        assert found(document, "list") == ("unknown", "not asked: there is no connection that can be trusted")
        assert server.seen == []
        ended, document = doctor(folder, server.url, "--ca-file", "ca.pem")
    assert ended.returncode == 0
    verdict, words = found(document, "tls")
    assert (verdict, words.split(",")[0]) == ("ok", "TLSv1.3")


def test_a_certificate_that_ends_soon_is_a_warning(folder: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(days=3, hours=1)
    authority.issue_cert("127.0.0.1", not_after=soon).configure_cert(context)
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    with serving(well, context) as server:
        _, document = doctor(folder, server.url, "--ca-file", "ca.pem")
    assert found(document, "tls") == ("warning", "TLSv1.3, the certificate is trusted and good for 3 days")


def test_a_folder_that_takes_no_files_is_a_problem(folder: Path) -> None:
    (folder / "outputs").write_text("no folder")
    with serving(well) as server:
        ended, document = doctor(folder, server.url, "--output", "/proc/self")
    assert ended.returncode == 5
    assert found(document, "disk")[0] == "problem"


def test_a_draft_is_a_profile_that_says_what_was_learned(folder: Path) -> None:
    reply = but(
        the_id,
        400,
        {"code": "unknown_task", "message": "E1042", "data": None},
        X_RateLimit_Limit_Requests="25",
    )
    with serving(reply) as server:
        _, document = doctor(folder, server.url, "--write", "mine.yaml")
        again = call(folder, "doctor", "--profile", "studio.yaml", "--base-url", server.url, "--write", "mine.yaml")
        asked = len(server.seen)
        assert document["draft"] == "mine.yaml"
        draft = providers.own_profile(folder / "mine.yaml")
        assert (draft.name, draft.base_url, draft.abilities.list) == ("mine", server.url, True)
        assert {code: kind.value for code, kind in draft.codes.items()} == {"unknown_task": "lost"}
        assert draft.limits.requests_per_minute == 25
        text = (folder / "mine.yaml").read_text()
        assert "  # learned: x-ratelimit-limit-requests: 25, taken as a minute's\n  requests_per_minute: 25\n" in text
        assert yaml.safe_load(text)["request"] == yaml.safe_load(PROFILE)["request"]
        assert again.returncode == 2
        assert "mine.yaml exists and stays as it is" in again.stderr
        assert len(server.seen) == asked == 5, "nothing is asked where the answer could not be kept"
        # The draft teaches what it was taught.
        ended, document = doctor(folder, server.url, profile="mine.yaml")
    assert ended.returncode == 0
    assert all(value == said for value, said in learned(document).values())
    assert found(document, "unknown id")[0] == "ok"


def test_the_cheapest_clip_is_rendered_when_a_person_says_so_and_paid_once(folder: Path) -> None:
    with simulator(folder / "bill.db") as upstream, gateway(upstream) as front:
        refused = call(
            folder, "doctor", "--profile", "studio.yaml", "--base-url", front.url, "--spend", STUDIO_API_KEY=KEY
        )
        assert refused.returncode == 2
        assert "spending was not confirmed" in refused.stderr
        assert front.posts() == 0
        ended, document = doctor(folder, front.url, "--spend", "--yes", "--write", "mine.yaml")
        assert ended.returncode == 0, ended
        assert "Cost of what is submitted: 0.40 USD" in ended.stderr
        assert front.posts() == 1
        (folder / "studio.yaml").write_text(PROFILE.replace("{ sora-2: 0.1 }", "{ sora-2: { 1024x1792: 0.01 } }"))
        again, _ = doctor(folder, front.url, "--spend", "--yes")
        assert again.returncode == 0
        assert front.posts() == 1, "the same day's clip is there already"
    (clip,) = Bill(folder / "bill.db").lines()
    assert (clip["size"], clip["seconds"]) == ("720x1280", "4")
    assert found(document, "clip")[0] == "ok"
    campaign = Path(document["campaign"])
    assert [path.name for path in campaign.glob("videos/*.mp4")] == ["cheapest-t1.mp4"]
    assert (campaign / "doctor.yaml").exists()
    assert learned(document)["abilities.same_id"] == (True, True)
    assert providers.own_profile(folder / "mine.yaml").abilities.delete


def test_a_clip_is_not_paid_for_where_there_is_a_problem(folder: Path) -> None:
    with serving(but(anything, 401, error("no"))) as server:
        ended, _ = doctor(folder, server.url, "--spend", "--yes")
    assert ended.returncode == 4
    assert "no clip is rendered before the problems are solved" in ended.stderr
    assert {method for method, _ in server.seen} == {"GET", "DELETE"}


def test_the_bundled_simulator_is_examined_without_a_network(folder: Path) -> None:
    ended = call(folder, "doctor", "simulator")
    assert ended.returncode == 0
    assert "the bundled simulator, inside this process" in ended.stdout
    assert call(folder, "doctor").returncode == 2
    nobody = call(folder, "doctor", "simulater")
    assert nobody.returncode == 2
    assert "did you mean simulator?" in nobody.stderr

"""Key canary: a marked key through every command and every failure; zero occurrences in any file or output.

Every command is a process of its own that holds the key, against a raw server that quotes it back in every way. Then
every byte of every file and of all output is searched for it, in any writing, and every request that the servers saw:
there it may be in the Authorization header, must be there, and nowhere else. ``canary/`` has the tools.

One thing is left alone: the bytes of a video are kept as they come, whatever a server has put into them.
"""

import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from shutil import copytree
from typing import Any
from urllib.parse import quote
from urllib.request import Request as Asking
from urllib.request import urlopen

import click
import pytest
from loopback.canary.hostile import Answer, Request, Server, serving, whole
from loopback.canary.marks import WRITINGS, Canary
from loopback.canary.stage import CLEAN, VARIABLE, Cast, Ended, KeyFound, Role, Stage, until, video
from warm import Process, Warm

from pipeline.cli import COMMANDS, cli
from pipeline.client import POSTS_AT_ONCE
from pipeline.ledger import rescue
from pipeline.videos import MAX_JSON

DEVELOPMENT = {
    "PYTHONDEVMODE": "1",
    "PYTHONASYNCIODEBUG": "1",
    "PYTHONFAULTHANDLER": "1",
    "HTTPX_LOG_LEVEL": "debug",
    "PYTHONMALLOC": "pymalloc",  # else every buffer for the largest file allowed is filled with a pattern
}

Quoting = Callable[[str], bytes]
"""A raw answer that quotes a key."""


@pytest.fixture(scope="module")
def plain() -> Iterator[Warm]:
    with Warm(CLEAN) as warm:
        yield warm


@pytest.fixture(scope="module")
def development() -> Iterator[Warm]:
    with Warm(CLEAN | DEVELOPMENT) as warm:
        yield warm


@contextmanager
def staged(folder: Path, warm: Warm) -> Iterator[Stage]:
    with closing(Stage(folder, Canary.hatched(), warm)) as stage:
        yield stage


@pytest.fixture
def stage(tmp_path: Path, plain: Warm) -> Iterator[Stage]:
    with staged(tmp_path, plain) as stage:
        yield stage


@pytest.fixture
def talkative(tmp_path: Path, development: Warm) -> Iterator[Stage]:
    """A stage where the interpreter says as much as it can."""
    with staged(tmp_path, development) as stage:
        yield stage


def cold(stage: Stage, words: str, environment: Mapping[str, str]) -> None:
    """Call the command through a shell, in an interpreter of its own: with the key there when it is imported."""
    said = stage.folder / "said"
    said.mkdir(exist_ok=True)
    ended = subprocess.run(
        ["sh", "-c", f"ulimit -c 0; exec {sys.executable} -m pipeline {words}"],
        cwd=stage.folder,
        env=stage.environment | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
    )
    (said / "cold").write_bytes(ended.stdout + ended.stderr)


@pytest.fixture
def key(stage: Stage) -> str:
    return stage.canary.text


def error(message: str, **fields: Any) -> dict[str, Any]:
    return {"error": {"message": message, **fields}}


# --- that the canary would be seen ---------------------------------------------------------------------------------


@pytest.mark.parametrize("writing", WRITINGS)
def test_the_key_is_found_however_it_is_written(writing: str) -> None:
    canary = Canary.hatched()
    written = WRITINGS[writing](canary.text).encode()
    for text in (written, written.upper(), written.lower(), written.decode().encode("utf-16-le")[1:] + written):
        assert list(canary.traces(b"\0something " + text + b" or other", "here"))


def test_each_half_of_the_key_is_found_and_another_key_is_not() -> None:
    canary, other = Canary.hatched(), Canary.hatched()
    for part in (canary.text[:26], canary.text[-16:], canary.text[::-1], canary.text.encode().hex(), canary.head):
        assert list(canary.traces(f"x{part}y".encode(), "here"))
    for written in (canary.text.encode("utf-16-le"), canary.text.encode("utf-16-be")):
        assert list(canary.traces(written, "here"))
    for write in WRITINGS.values():
        assert not list(canary.traces(write(other.text).encode(), "here"))


def test_a_key_in_a_file_a_name_or_another_part_of_a_request_is_found(stage: Stage, key: str) -> None:
    (stage.folder / "file").write_bytes(bytes(5000) + key.encode() + bytes(5000))
    (stage.folder / stage.canary.tail).mkdir()
    assert {trace.place for trace in stage.traces()} == {"file", f"the name {stage.canary.tail}"}
    head = f"GET /v1/videos/video_x HTTP/1.1\r\nAuthorization: {stage.canary.header}\r\n"
    good, bad = (Request(f"{head}{more}\r\n".encode()) for more in ("", f"Cookie: a={key}\r\n"))
    server = Server(lambda _: None, requests=[good])
    assert (server.received(stage.canary), server.misplaced(stage.canary)) == (1, [])
    server.requests.append(bad)
    assert server.misplaced(stage.canary)


# --- every command --------------------------------------------------------------------------------------------------


class Counter:
    """The server of the tour: it has listed, forgotten, refused and broken down, as ``mood`` says."""

    def __init__(self, key: str) -> None:
        self.mood = ""
        self._key = key

    def __call__(self, request: Request) -> Answer:
        if self.mood == "unauthorized":
            return whole(401, error(f"Incorrect API key provided: {self._key}"), Retry_After="0")
        if self.mood == "broken":
            return whole(500, f"<html>oops: {self._key}</html>".encode(), Retry_After="0")
        if request.target.endswith("/video_held"):
            return whole(200, video("held", prompt="held", model="sora-2", error=error(self._key)))
        if request.target.endswith("/video_strange"):
            return whole(200, video("strange", prompt=f"no: {self._key}", model=self._key, size=self._key))
        if "?" in request.target:
            fields = {"prompt": "held", "metadata": {"a": self._key}, "model": self._key, "seconds": self._key}
            listed = [video("done"), video("strange", **fields), video(self._key), video(request.target), self._key]
            more = "after=" not in request.target
            return whole(200, {"object": "list", "data": listed, "has_more": more, "last_id": self._key})
        return whole(404, error(f"no such video for {self._key}"))


class Tour:
    """One visit to one command: ``stage`` has a campaign with a job in every state that stays."""

    def __init__(self, stage: Stage, server: Server, counter: Counter, form: tuple[str, ...]) -> None:
        self.stage, self.server, self.form = stage, server, form
        self._counter = counter

    def __call__(self, code: int, *arguments: str, mood: str = "") -> Ended:
        """Call the command, to a server in this mood, and expect this exit code."""
        self._counter.mood = mood
        ended = self.stage.call(*arguments, *self.form)
        assert ended.code == code, (arguments, ended)
        return ended

    def at_server(self, profile: str = "plain") -> tuple[str, ...]:
        return ("--profile", f"{profile}.yaml", "--base-url", self.server.url)


def _visit_validate(tour: Tour) -> None:
    tour(0, "validate", "trip.yaml", "--profile", "plain.yaml")
    tour(2, "validate", "plain.yaml", "--var", "a=b")


def _visit_plan(tour: Tour) -> None:
    tour(0, "plan", "trip.yaml", *tour.at_server())
    tour(0, "plan", "trip.yaml", *tour.at_server(), "--save", "saved.json")
    tour(2, "plan", "trip.yaml")


def _visit_run(tour: Tour) -> None:
    before = len(tour.server.requests)
    files = ("--events", "events.ndjson", "--log", "log.txt", "--metrics", "run.prom")
    tour(3, "run", "trip.yaml", *tour.at_server(), "--takeover", *files)
    (tour.stage.campaign / "videos/done-t1.mp4").unlink()
    tour(4, "run", "trip.yaml", *tour.at_server(), mood="unauthorized")
    assert len(tour.server.requests) > before


def _visit_status(tour: Tour) -> None:
    tour(0, "status", "trip.yaml")
    tour(0, "status", "outputs/trip")
    tour(5, "status", ".")


def _visit_show(tour: Tour) -> None:
    for name in ("done", "failed", "refused", "held", "asked"):
        tour(0, "show", "trip.yaml", f"{name}#1")
    tour(2, "show", "outputs/trip", "nobody")


def _visit_resolve(tour: Tour) -> None:
    tour(0, "resolve", "trip.yaml", *tour.at_server())
    adopt = ("resolve", "trip.yaml", "held#1", "adopt")
    tour(2, *adopt, "video_nobody", *tour.at_server())
    tour(2, *adopt, "video_strange", *tour.at_server())
    tour(4, *adopt, "video_held", *tour.at_server(), mood="unauthorized")
    tour(69, *adopt, "video_held", *tour.at_server(), mood="broken")
    tour(0, *adopt, "video_held", *tour.at_server())
    tour(2, "resolve", "trip.yaml", "asked#1", "resubmit", *tour.at_server())
    tour(0, "resolve", "trip.yaml", "asked#1", "resubmit", "--yes", *tour.at_server())
    tour(0, "resolve", "trip.yaml", "given#1", "abandon", *tour.at_server())


def _visit_verify(tour: Tour) -> None:
    tour(0, "verify", "trip.yaml")
    (tour.stage.campaign / "videos/done-t1.json").write_text("{}")
    tour(1, "verify", "outputs/trip")


def _visit_rebuild(tour: Tour) -> None:
    tour(2, "rebuild", "trip.yaml")
    for path in tour.stage.campaign.glob("ledger.db*"):
        path.rename(tour.stage.folder / path.name)
    tour(0, "rebuild", "outputs/trip")
    tour(0, "status", "outputs/trip")


def _visit_audit(tour: Tour) -> None:
    tour(1, "audit", "trip.yaml", *tour.at_server("list"))
    tour(4, "audit", "trip.yaml", *tour.at_server("list"), mood="unauthorized")
    tour(69, "audit", "trip.yaml", *tour.at_server("list"), mood="broken")
    (tour.stage.folder / "ids.txt").write_text("video_done\nvideo_somebody\n")
    tour(1, "audit", "outputs/trip", "--ids", "ids.txt")


def _visit_simulate(tour: Tour) -> None:
    canary = tour.stage.canary
    tour(2, "simulate", "--port", "99999")
    process, out, _ = tour.stage.start("simulate", "--port", "0", "--videos", "stock", "--state", "bill.db")
    until(lambda: out.read_text().endswith("\n"))
    url = out.read_text().strip()
    body = b'{"model": "sora-2", "prompt": "A day", "size": "1280x720", "seconds": "4"}'
    headers = {"Authorization": canary.header, "Content-Type": "application/json"}
    for data in (body, None):
        with urlopen(Asking(f"{url}/videos", data, headers)) as answer:
            assert answer.status == 200
    process.send_signal(signal.SIGINT)
    assert process.wait() == 0


def _visit_schema(tour: Tour) -> None:
    for name in ("manifest", "run", "profile"):
        tour(0, "schema", name)
    tour(2, "schema", "nonsense")


def _visit_profiles(tour: Tour) -> None:
    tour(0, "profiles", "--profile", "plain.yaml")
    tour(0, "profiles", "canary", "--profile", "plain.yaml")
    tour(0, "profiles", "canary", "openai", "--profile", "plain.yaml")
    tour(2, "profiles", "nobody")


def _visit_doctor(tour: Tour) -> None:
    asked = ("doctor", *tour.at_server("list"))
    tour(0, *asked)
    tour(0, *asked, "--write", f"draft{len(tour.form)}.yaml")
    tour(4, *asked, mood="unauthorized")
    tour(69, *asked, mood="broken")
    tour(4, *asked, "--spend", "--yes", mood="unauthorized")
    tour(2, "doctor", "nobody")


def _visit_explain(tour: Tour) -> None:
    listed = 2 if tour.form else 0  # rules are for people
    tour(listed, "explain")
    tour(listed, "explain", "unknown-key")
    tour(2, "explain", "nonsense")
    tour(0, "explain", "trip.yaml", "--job", "done#1", "--profile", "plain.yaml")
    tour(2, "explain", "trip.yaml", "--job", "nobody", "--profile", "plain.yaml")


def _visit_init(tour: Tour) -> None:
    tour(0, "init", "first.yaml")
    tour(2, "init", "trip.yaml")


def _visit_retry(tour: Tour) -> None:
    tour(0, "retry", "trip.yaml", "--all", "--profile", "plain.yaml")
    tour(0, "plan", "trip.yaml", *tour.at_server())
    tour(2, "retry", "trip.yaml", "held#1", "--profile", "plain.yaml")


def _visit_reject(tour: Tour) -> None:
    tour(0, "reject", "trip.yaml", "done#1")
    tour(2, "reject", "trip.yaml", "failed#1")


def _visit_pick(tour: Tour) -> None:
    tour(0, "pick", "trip.yaml", "done#1")
    tour(0, "pick", "trip.yaml", "done#1", "--undo")
    tour(2, "pick", "trip.yaml", "refused#1")


def _visit_clean(tour: Tour) -> None:
    manifest = tour.stage.folder / "trip.yaml"
    manifest.write_text(manifest.read_text().replace("done", "another"))
    tour(0, "clean", "trip.yaml", "--profile", "plain.yaml")
    tour(2, "clean", "trip.yaml", "--orphans", "--profile", "plain.yaml")
    tour(0, "clean", "trip.yaml", "--orphans", "--yes", "--profile", "plain.yaml")


def _visit_lock(tour: Tour) -> None:
    tour(0, "lock", "trip.yaml", "--profile", "plain.yaml")
    tour(0, "verify", "trip.yaml", "--profile", "plain.yaml")


def _visit_export(tour: Tour) -> None:
    for kind in ("jsonl", "csv", "parquet", "videofolder", "webdataset"):
        tour(0, "export", "trip.yaml", "--format", kind, "--to", kind)
    tour(2, "export", "trip.yaml", "--format", "csv", "--to", "jsonl")


def _visit_report(tour: Tour) -> None:
    tour(0, "report", "trip.yaml")
    tour(5, "report", ".")


#: A visit to each command. One that is new needs one too: what can it print, and what can a server tell it to print?
VISITS: Mapping[str, Callable[[Tour], None]] = {
    "validate": _visit_validate,
    "plan": _visit_plan,
    "run": _visit_run,
    "status": _visit_status,
    "show": _visit_show,
    "resolve": _visit_resolve,
    "verify": _visit_verify,
    "rebuild": _visit_rebuild,
    "audit": _visit_audit,
    "simulate": _visit_simulate,
    "schema": _visit_schema,
    "explain": _visit_explain,
    "profiles": _visit_profiles,
    "doctor": _visit_doctor,
    "init": _visit_init,
    "retry": _visit_retry,
    "reject": _visit_reject,
    "pick": _visit_pick,
    "clean": _visit_clean,
    "lock": _visit_lock,
    "export": _visit_export,
    "report": _visit_report,
}


def _visits() -> Iterator[Any]:
    for verb in COMMANDS:
        command = cli.get_command(click.Context(cli), verb)
        assert command is not None
        takes_json = any("--json" in parameter.opts for parameter in command.params)
        for form, interpreter in (((), "plain"), (("--json",) if takes_json else (), "development")):
            yield pytest.param(verb, form, interpreter, id=f"{verb}{form[0] if form else ''}-{interpreter}")


@pytest.fixture(scope="module")
def campaign(
    tmp_path_factory: pytest.TempPathFactory, plain: Warm, clip: bytes
) -> Iterator[tuple[Stage, Server, Counter]]:
    """A campaign with a job in every state that stays, and the server that made them."""
    with staged(tmp_path_factory.mktemp("tour"), plain) as stage:
        key, together = stage.canary.text, threading.Barrier(3)

        def doubtful(request: Request) -> Answer:
            together.wait(10)
            return whole(500, error(f"{key} had an accident with {request.prompt}"))

        counter = Counter(key)
        roles = {
            "done": Role(content=[whole(200, clip)]),
            "failed": Role(poll=[whole(200, video("failed", status="failed", **error(f"no: {key}", code=key)))]),
            "refused": Role(post=[whole(400, error(f"{key}: no", param=key))]),
            **{name: Role(post=[doubtful]) for name in ("held", "asked", "given")},
        }
        stage.manifest(roles)
        cast = Cast(roles, others=counter)
        with serving(lambda request: counter(request) if counter.mood else cast(request)) as server:
            ended = stage.call(*stage.run(server))
            assert ended.code == 3, ended
            cast = Cast({}, others=counter)
            assert sorted(stage.look_around()) == ["done", "failed", "failed", "held", "held", "held"]
            yield stage, server, counter
            stage.is_clean(server)


@pytest.mark.parametrize(("verb", "form", "interpreter"), [*_visits()])
def test_no_command_shows_the_key(
    verb: str,
    form: tuple[str, ...],
    interpreter: str,
    campaign: tuple[Stage, Server, Counter],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    assert verb in VISITS, f"{verb} is a new command: let the canary visit it"
    made, server, counter = campaign
    folder = tmp_path / "copy"
    copytree(made.folder, folder, ignore=lambda *_: ["said"])
    with closing(Stage(folder, made.canary, request.getfixturevalue(interpreter))) as stage:
        VISITS[verb](Tour(stage, server, counter, form))
        stage.is_clean(server)


def test_no_help_shows_the_key(stage: Stage) -> None:
    for words in ((), ("-h",), ("--version",), ("nonsense",), *((verb, "-h") for verb in COMMANDS)):
        stage.call(*words)
    cold(stage, "-h 2>&1 >said/help", DEVELOPMENT)
    stage.is_clean()


# --- every refusal and every doubt of a POST -----------------------------------------------------------------------

HEADERS = (
    "content-type",
    "location",
    "server",
    "date",
    "retry-after",
    "retry-after-ms",
    "www-authenticate",
    "etag",
    "link",
    "x-anything",
)


def in_json(writing: str) -> Quoting:
    """Return a JSON answer with the key in it in this writing. No two of them are alike: that would end the run."""

    def quoting(key: str) -> bytes:
        message = f"{writing}: your key, {WRITINGS[writing](key)}, is not it"
        return whole(400, f'{{"error": {{"message": "{message}", "code": "no_key"}}}}'.encode())

    return quoting


def in_html(writing: str) -> Quoting:
    return lambda key: whole(400, f"<html>{writing}: your key, {WRITINGS[writing](key)}, is not it</html>".encode())


REFUSALS: Mapping[str, Quoting] = {
    "message": lambda key: whole(400, error(f"Incorrect API key provided: {key}. Find yours in the console.")),
    "middle": lambda key: whole(413, error(f"too{key}large{key}{key}")),
    "code": lambda key: whole(422, error("a code", code=key, param=key, type=key)),
    "type": lambda key: whole(400, error("a type", type=key)),
    "nested": lambda key: whole(
        400, error(f'litellm.BadRequestError: OpenAIException - {{"error": {{"message": "{key}"}}}} {key}')
    ),
    "moderated": lambda key: whole(400, error(f"our safety system: {key}", code="moderation_blocked")),
    "detail": lambda key: whole(422, {"detail": [{"loc": ["body", key], "msg": f"no {key}", "input": key}]}),
    "words": lambda key: whole(400, {"detail": f"bad {key}"}),
    "html": lambda key: whole(400, f"<html><p title='{key}'>Your key:<b>{key}</b></html>".encode()),
    "text": lambda key: whole(400, f"text{key}text".encode()),
    "cut": lambda key: whole(400, f'{{"error": {{"message": "cut off {key}'.encode()),
    "list": lambda key: whole(400, f'["list", "{key}"]'.encode()),
    "name": lambda key: whole(400, {"error": {key: key, "message": "name"}}),
    "long": lambda key: whole(400, error(f"{'long ' * 397} {key}")),
    "longer": lambda key: whole(400, f"{'longer' * 49}{key}".encode()),
    "headers": lambda key: whole(400, error("headers"), **dict.fromkeys(HEADERS, f"a={key}")),
    **{f"json, {writing}": in_json(writing) for writing in WRITINGS},
    **{f"html, {writing}": in_html(writing) for writing in WRITINGS},
    "utf-16": lambda key: whole(400, f'{{"error": {{"message": "your key: {key}"}}}}'.encode("utf-16")),
    "x-request-id": lambda key: whole(400, error("one"), X_Request_Id=key),
    "request-id": lambda key: whole(400, error("two"), Request_Id=f"for {key}"),
    "x-litellm-call-id": lambda key: whole(400, error("three"), X_Litellm_Call_Id=key),
}
DOUBTS: Mapping[str, Quoting] = {
    "error": lambda key: whole(500, error(f"internal: {key}", code=key), **dict.fromkeys(HEADERS, f"a={key}")),
    "html": lambda key: whole(502, f"<html><body>Bad key {key}</body></html>".encode()),
    "conflict": lambda key: whole(409, f"conflict of {key}".encode()),
    "no id": lambda key: whole(200, {"object": "video", "status": key}),
    "id": lambda key: whole(200, {"id": key, "object": "video", "status": "queued"}),
    "id around it": lambda key: whole(200, {"id": f"video_{key}_1", "object": "video", "status": "queued"}),
    "redirect": lambda key: whole(302, f"see {key}".encode(), Location=f"/v1/videos?key={quote(key)}"),
    "no json": lambda key: whole(200, f"OK {key}".encode()),
    "cut": lambda key: whole(200, video("a", prompt=f"{key}{'x' * 100}"))[:-50],
    "reason": lambda key: whole(500, error("oops")).replace(b"Whatever", f"Bad {key}".encode()),
    "length": lambda key: f"HTTP/1.1 200 OK\r\nContent-Length: {key}\r\n\r\n".encode(),
    "nothing": lambda key: b"",
    "header": lambda key: f"HTTP/1.1 200 OK\r\nThe key {key}: is no header\r\n\r\n".encode(),
    "status line": lambda key: f"HTTP/1.1 {key}\r\n\r\n".encode(),
    "chunk": lambda key: f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{key}\r\n".encode(),
    "location": lambda key: whole(307, Location=f"http://127.0.0.1:{quote(key)}/"),
}


def quoted_at_once(stage: Stage, quotings: Mapping[str, Quoting], code: int) -> Server:
    """Run a campaign with a job for each answer to its POST; with up to four, they all come together."""
    together = threading.Barrier(len(quotings) if len(quotings) <= POSTS_AT_ONCE else 1)

    def answered(answer: bytes) -> Callable[[Request], bytes]:
        def answered(_: Request) -> bytes:
            together.wait(20)
            return answer

        return answered

    names = {name: _job(name) for name in quotings}
    stage.manifest(names.values())
    roles = {names[name]: Role(post=[answered(quoting(stage.canary.text))]) for name, quoting in quotings.items()}
    with serving(Cast(roles)) as server:
        ended = stage.call(*stage.run(server))
        assert ended.code == code, ended
        assert len(server.requests) == len(quotings), "each is answered once"
    return server


def _job(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name)


def test_no_refusal_brings_the_key_into_the_ledger(stage: Stage) -> None:
    server = quoted_at_once(stage, REFUSALS, 1)
    assert set(stage.look_around()) == {"failed"}
    stage.is_clean(server)


@pytest.mark.parametrize("first", range(0, len(DOUBTS), 4))
def test_no_doubt_brings_the_key_into_the_ledger(stage: Stage, first: int) -> None:
    server = quoted_at_once(stage, dict([*DOUBTS.items()][first : first + 4]), 3)
    assert set(stage.look_around()) == {"held"}
    stage.is_clean(server)


@pytest.mark.parametrize("writing", ["escaped for JSON and HTML", "base64 of the header"])
def test_no_key_that_comes_as_an_id_is_asked_for(stage: Stage, key: str, writing: str) -> None:
    stage.manifest("a")
    created = whole(200, f'{{"id": "{WRITINGS[writing](key)}", "status": "queued"}}'.encode())
    with serving(Cast({"a": Role(post=[created])})) as server:
        process, _, _ = stage.start(*stage.run(server, "--grace", "0.1"))
        until(lambda: len(server.requests) > 1 or not process.running)
        process.send_signal(signal.SIGINT)
        process.wait()
        stage.is_clean(server)


@pytest.mark.parametrize(("status", "code"), [(401, 4), (402, 4), (403, 4), (404, 69), (429, 69)], ids=str)
def test_no_refusal_that_ends_the_run_shows_the_key(stage: Stage, key: str, status: int, code: int) -> None:
    stage.manifest("ab")
    headers = {"Retry_After": "4000", "Www_Authenticate": f'Bearer realm="{key}"'}
    answer = whole(status, error(f"Your key {key} is not good for this", code=key), **headers)
    with serving(Cast({name: Role(post=[answer]) for name in "ab"}, others=lambda _: answer)) as server:
        ended = stage.call(*stage.run(server, "--json"))
        assert (ended.code, set(stage.look_around())) == (code, {"planned"})
        stage.is_clean(server)


def test_half_a_key_at_the_end_of_what_is_read_is_kept_out(stage: Stage, key: str) -> None:
    stage.manifest("a")
    goes_on = threading.Event()

    def long(_: Request) -> Iterator[bytes]:
        answer = whole(400, b"x" * MAX_JSON + key.encode() + b"x" * 100)
        end = answer.index(key[:31].encode()) + 30
        yield answer[:end]
        goes_on.wait(1.0)
        yield answer[end:]

    with serving(Cast({"a": Role(post=[long])})) as server:
        assert stage.call(*stage.run(server)).code == 1
        assert stage.look_around() == ["failed"]
        stage.is_clean(server)


# --- polls and downloads --------------------------------------------------------------------------------------------


def failed(name: str, **fields: Any) -> bytes:
    return whole(200, video(name, status="failed", **fields))


POLLS: Mapping[str, Callable[[str], list[bytes]]] = {
    "message": lambda key: [failed("message", **error(f"because of {key}", code=key))],
    "words": lambda key: [failed("words", error=key)],
    "word": lambda key: [whole(200, video("word", status=key)), failed("word", **error("no"))],
    "fields": lambda key: [failed("fields", **dict.fromkeys(("prompt", "model", "size", "metadata", "progress"), key))],
    "names": lambda key: [failed("names", metadata={key: key, "callsheet_ref": key}, remixed_from_video_id=key)],
    "gone": lambda key: [whole(200, video("gone", status="expired", **error(key)))],
    "broken": lambda key: [whole(500, video("broken", status="failed", **error(key)))],
    "html": lambda key: [whole(500, f"<html>{key}</html>".encode()), failed("html")],
    "unknown": lambda key: [whole(404, error(f"no such video for {key}")), failed("unknown")],
    "other": lambda key: [whole(500, {"id": key, "status": "failed"}), failed("other")],
    "throttled": lambda key: [whole(429, error(key), Retry_After="0"), failed("throttled")],
    "moved": lambda key: [whole(302, Location=f"/v1/videos/x?key={quote(key)}"), failed("moved")],
}


def test_no_poll_brings_the_key_into_the_ledger(stage: Stage, key: str) -> None:
    stage.manifest(POLLS)
    roles = {
        name: Role(post=[whole(200, video(name, prompt=key, metadata={"key": key}))], poll=polls(key))
        for name, polls in POLLS.items()
    }
    with serving(Cast(roles)) as server:
        assert stage.call(*stage.run(server)).code == 1
        assert set(stage.look_around()) == {"failed", "expired"}
        stage.is_clean(server)


@pytest.mark.parametrize("status", [401, 403])
def test_no_poll_that_ends_the_run_shows_the_key(stage: Stage, key: str, status: int) -> None:
    stage.manifest("a")
    with serving(Cast({"a": Role(poll=[whole(status, error(f"{key} has no rights", code=key))])})) as server:
        assert stage.call(*stage.run(server, "--json")).code == 4
        stage.look_around()
        stage.is_clean(server)


@pytest.mark.parametrize("what", ["post", "poll"])
def test_a_cookie_does_not_carry_the_key(stage: Stage, key: str, what: str) -> None:
    jobs = "abcdefghijkl"  # more than go out at once
    stage.manifest(jobs)
    roles = {job: Role(**{what: [whole(200, video(job), Set_Cookie=f"a={quote(key)}; Path=/")]}) for job in jobs}
    with serving(Cast(roles)) as server:
        process, _, _ = stage.start(*stage.run(server, "--grace", "0.1"))
        until(lambda: len(server.requests) > 2 * len(jobs))
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
        stage.is_clean(server)


DOWNLOADS: Mapping[str, Quoting] = {
    "error": lambda key: whole(200, error(f"bad key {key}"), Content_Type="video/mp4"),
    "html": lambda key: whole(200, f"<html>{key}</html>".encode()),
    "gone": lambda key: whole(410, error(f"gone: {key}", code=key)),
    "unknown": lambda key: whole(404, error(f"unknown: {key}", code=key)),
    "forbidden": lambda key: whole(403, f"<Error><Key>{key}</Key></Error>".encode()),
    "throttled": lambda key: whole(429, error(key), Retry_After="100"),
    "broken": lambda key: whole(503, error(key), X_Request_Id=key),
    "encoded": lambda key: whole(200, key.encode(), Content_Encoding=key[:40]),
    "other": lambda key: whole(200, key.encode(), Digest=f"sha-256={WRITINGS['base64'](key)}", Etag=key),
    "short": lambda key: whole(200, f"{key}{key}".encode())[: -len(key)],
    "nonsense": lambda key: f"HTTP/1.1 200 {key}\r\n{key}\r\n\r\n".encode(),
    "ftp": lambda key: whole(302, Location=f"ftp://{quote(key)}@127.0.0.1/"),
    "port": lambda key: whole(302, Location=f"http://127.0.0.1:{quote(key)}/"),
}


def test_no_download_that_fails_leaves_the_key(stage: Stage, key: str) -> None:
    stage.manifest(DOWNLOADS)
    with serving(Cast({name: Role(content=[content(key)]) for name, content in DOWNLOADS.items()})) as server:
        process, _, _ = stage.start(*stage.run(server, "--grace", "1"))
        until(lambda: len({one.target for one in server.requests if "content" in one.target}) == len(DOWNLOADS), 20)
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
        assert set(stage.look_around()) <= {"completed", "expired"}
        stage.is_clean(server)


def test_a_download_that_the_key_is_not_good_for_ends_without_it(stage: Stage, key: str) -> None:
    stage.manifest("a")
    with serving(Cast({"a": Role(content=[whole(401, error(f"{key} is no key"), Retry_After="0")])})) as server:
        assert stage.call(*stage.run(server)).code == 4
        stage.look_around()
        stage.is_clean(server)


@pytest.mark.parametrize("elsewhere", ["other port", "tls", "home"])
def test_the_key_stays_with_the_address_that_it_was_given_for(stage: Stage, elsewhere: str, clip: bytes) -> None:
    stage.manifest("a")

    def content(_: Request) -> Answer:
        there = {"other port": target.url, "tls": home.url.replace("http", "https"), "home": home.url}
        return whole(302, Location=f"{there[elsewhere]}/videos/video_b/content?signature=1")

    with serving(lambda _: whole(200, clip)) as target:
        with serving(Cast({"a": Role(content=[content]), "b": Role(content=[whole(200, clip)])})) as home:
            process, _, _ = stage.start(*stage.run(home, "--grace", "0.1"))
            if elsewhere == "tls":
                until(lambda: home.handshakes)
                process.send_signal(signal.SIGINT)
            assert process.wait() == (130 if elsewhere == "tls" else 0)
        assert len(target.requests) == (elsewhere == "other port")
        assert not any(request.authorizations for request in target.requests)
        assert not target.misplaced(stage.canary)
        stage.is_clean(home)


LOCATIONS = (
    "http://127.0.0.1:{target}/{job}?key={key}",
    "http://127.0.0.1:{target}/{job}/{key}",
    "http://{key}@127.0.0.1:{target}/{job}",
    "http://user:{key}@127.0.0.1:{target}/{job}",
    "http://user:{key}@127.0.0.1:{home}/{job}",
    "/{job}?key={key}",
)


@pytest.fixture(scope="module")
def quoted_back(tmp_path_factory: pytest.TempPathFactory, plain: Warm) -> Iterator[tuple[Canary, list[Request]]]:
    """What two servers were asked after one of them had quoted the key in the locations of its redirects."""
    jobs = [f"job{number}" for number in range(len(LOCATIONS))]
    with staged(tmp_path_factory.mktemp("quoted"), plain) as stage, serving(lambda _: whole(404)) as target:
        key = quote(stage.canary.text, safe="")

        def moved(job: str, location: str) -> Callable[[Request], Answer]:
            return lambda _: whole(302, Location=location.format(job=job, key=key, home=home.port, target=target.port))

        roles = {job: Role(content=[moved(job, where)]) for job, where in zip(jobs, LOCATIONS, strict=True)}
        stage.manifest(jobs)
        with serving(Cast(roles)) as home:
            process, _, _ = stage.start(*stage.run(home, "--grace", "0.1"))
            until(lambda: len({one.target for one in home.requests if "content" in one.target}) == len(jobs))
            until(lambda: len(home.requests) + len(target.requests) >= 4 * len(jobs), 5, or_else=False)
            process.send_signal(signal.SIGINT)
            process.wait()
        yield stage.canary, home.requests + target.requests


@pytest.mark.parametrize("number", range(len(LOCATIONS)))
def test_a_location_does_not_take_the_key_along(quoted_back: tuple[Canary, list[Request]], number: int) -> None:
    canary, requests = quoted_back
    server = Server(lambda _: None, requests=[one for one in requests if f"/job{number}" in one.target])
    found = server.misplaced(canary)
    if found:
        raise KeyFound("\n".join(map(str, found)))


# --- the key itself -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "usable"),
    [
        ("{key}\n", True),
        (" {key}\r\n", True),
        ("{head} {tail}", False),
        ("{head}\n{tail}", False),
        ("{head}\t{tail}", False),
        ("{head}\x01{tail}", False),
        ("{key}é", False),
        ("{key}\udcff", False),
        ("\ufeff{key}", False),
        ("{key}" * 20, False),
        ("", False),
        (" \n", False),
    ],
    ids=ascii,
)
def test_a_key_that_cannot_be_sent_is_not_shown(stage: Stage, key: str, shape: str, usable: bool) -> None:
    stage.manifest("a", provider="znapai")
    value = shape.format(key=key, head=key[:30], tail=key[30:])
    with serving(lambda _: whole(401, error(f"no: {key}"))) as server:
        ended = stage.call(
            *("run", "trip.yaml", "--yes", "--base-url", server.url), ZNAPAI_API_KEY=value, **{VARIABLE: None}
        )
        assert (ended.code, bool(server.requests)) == (4, usable), ended
        stage.is_clean(*[server] if usable else [])


def test_two_keys_that_differ_are_not_shown(stage: Stage, key: str) -> None:
    stage.manifest("a", provider="znapai")
    other = Canary.hatched()
    keys = {"ZNAPAI_API_KEY": key, "ZnapAI_API_KEY": other.text}
    with serving(lambda _: whole(401)) as server:
        ended = stage.call("run", "trip.yaml", "--yes", "--base-url", server.url, **keys)
        assert (ended.code, server.requests, other.traces_below(stage.folder)) == (4, [], [])
        stage.is_clean()


@pytest.mark.parametrize("way", ["option", "variable"])
def test_a_key_in_an_address_is_not_shown(stage: Stage, key: str, way: str) -> None:
    stage.manifest("a")
    url = f"http://user:{quote(key, safe='')}@127.0.0.1:9/v1"
    words = ("run", "trip.yaml", "--yes", "--profile", "plain.yaml")
    if way == "option":
        ended = stage.call(*words, "--base-url", url)
    else:
        ended = stage.call(*words, CALLSHEET_CANARY_BASE_URL=url)
    assert ended.code == 2
    stage.is_clean()


# --- crashes --------------------------------------------------------------------------------------------------------

ENDS: Mapping[str, tuple[int, ...]] = {
    "KILL": (signal.SIGKILL,),
    "ABRT": (signal.SIGABRT,),
    "TERM": (signal.SIGTERM,),
    "INT twice": (signal.SIGINT, signal.SIGINT),
}


def _end(process: Process, numbers: tuple[int, ...], err: Path) -> None:
    for number in numbers:
        process.send_signal(number)
        if len(numbers) > 1:  # or the second would be the first one's
            until(lambda: "Stopping" in err.read_text() or not process.running)
    process.wait()


@pytest.mark.parametrize(
    ("instant", "end"),
    [
        ("post", "KILL"),
        ("post", "ABRT"),
        ("post", "INT twice"),
        ("poll", "KILL"),
        ("poll", "TERM"),
        ("content", "TERM"),
        ("content", "KILL"),
        ("content", "ABRT"),
        ("content", "INT twice"),
    ],
)
def test_no_crash_leaves_the_key(instant: str, end: str, clip: bytes, request: pytest.FixtureRequest) -> None:
    stage: Stage = request.getfixturevalue("talkative" if end == "ABRT" else "stage")  # which prints its stacks
    key = stage.canary.text.encode()
    stage.manifest("ab")

    def half(_: Request) -> Iterator[bytes]:
        head = whole(200, clip)[:200] if instant == "content" else b"HTTP/1.1 200 OK\r\nServer: " + key
        return server.holding(head)

    cast = Cast({"a": Role(**{instant: [half]}), "b": Role(content=[whole(200, clip)])})
    with serving(cast) as server:
        process, _, err = stage.start(*stage.run(server, "--grace", "0.3"))
        until(lambda: (instant, "a") in cast.asked)
        if instant == "content":
            until(
                lambda: any(path.stat().st_size > 64 for path in stage.campaign.glob("videos/.a-t1*.part")),
                5,
                or_else=False,
            )
        _end(process, ENDS[end], err)
        stage.is_clean(server)
        stage.look_around()
        stage.is_clean(server)


# --- the disk and the streams ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("places", ["one", "none"])
def test_a_disk_that_is_full_in_the_middle_leaves_no_key(talkative: Stage, places: str, clip: bytes) -> None:
    """The limit on the size of files comes between the POST and its answer: the ledger cannot be written any more."""
    stage, key = talkative, talkative.canary.text
    stage.manifest("ab")
    fallbacks = [stage.campaign / "videos", stage.folder / "state/callsheet"]

    def full(request: Request) -> Answer:
        if places == "none":
            for path in rescue.places(stage.campaign / "ledger.db", fallbacks):
                path.mkdir(parents=True, exist_ok=True)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (4096, 4096))
        return whole(200, video(request.prompt, prompt=key, metadata={"key": key}))

    started = threading.Event()

    def post(request: Request) -> Answer:
        started.wait(10)
        return full(request)

    with serving(Cast({name: Role(post=[post], content=[whole(200, clip)]) for name in "ab"})) as server:
        process, _, err = stage.start(*stage.run(server))
        started.set()
        assert process.wait() == 5
        said = err.read_text()
        assert ("PAID-NOT-RECORDED" in said) == (places == "none"), said
        assert bool([*stage.folder.rglob("*.rescue.jsonl")])
        stage.is_clean(server)
        stage.look_around()
        stage.call(*stage.run(server, "--no-submit", "--grace", "0.1"))
        stage.is_clean(server)


def _garbage(stage: Stage) -> None:
    (stage.campaign / "ledger.db").write_bytes(b"garbage" * 1000)


def _folder(stage: Stage) -> None:
    (stage.campaign / "ledger.db").mkdir()


def _lock(stage: Stage) -> None:
    (stage.campaign / "ledger.lock").mkdir()


def _link(stage: Stage) -> None:
    (stage.campaign / "videos").symlink_to("/nonexistent/folder")


def _rescued(stage: Stage) -> None:
    (stage.campaign / "ledger.rescue.jsonl").mkdir()


@pytest.mark.parametrize("damage", [_garbage, _folder, _lock, _link, _rescued])
def test_a_folder_that_cannot_be_used_is_said_without_the_key(stage: Stage, damage: Callable[[Stage], None]) -> None:
    stage.manifest("a")
    stage.campaign.mkdir(parents=True)
    damage(stage)
    with serving(Cast({"a": Role()})) as server:
        assert stage.call(*stage.run(server)).code == 5
        for verb in ("plan", "status", "resolve", "verify", "rebuild", "audit")[:: 1 if damage is _garbage else 3]:
            stage.call(verb, "trip.yaml", *(("--profile", "list.yaml") if verb in {"plan", "audit"} else ()))
        stage.call(*stage.run(server, "--output", "trip.yaml/outputs"))
        assert server.requests == []
        stage.is_clean()


def test_a_second_run_is_sent_away_without_the_key(stage: Stage) -> None:
    stage.manifest("a")
    with serving(Cast({"a": Role(poll=[lambda _: server.holding()])})) as server:
        stage.start(*stage.run(server))
        until(lambda: len(server.requests) > 1)
        assert stage.call(*stage.run(server)).code == 75
        assert stage.call("resolve", "trip.yaml", "a", "abandon").code in {2, 75}
        stage.is_clean(server)


@pytest.mark.parametrize("redirection", ["<&- >&- 2>said/err", "2>&- >said/out", ">/dev/full 2>said/err"])
def test_streams_that_are_closed_or_full_get_no_key(stage: Stage, key: str, redirection: str) -> None:
    stage.manifest("a")
    with serving(lambda _: whole(401, error(f"no: {key}"))) as server:
        words = " ".join(stage.run(server, "--json"))
        cold(stage, f"{words} {redirection}", DEVELOPMENT if "<&-" in redirection else {})
        stage.is_clean(server)


# --- a server that is not there -------------------------------------------------------------------------------------

AWAY = ("refused", "tls", "lost")


@pytest.fixture(scope="module", autouse=True)
def away(tmp_path_factory: pytest.TempPathFactory, plain: Warm) -> Iterator[Mapping[str, Any]]:
    """Runs that wait ten seconds for a server. They begin before all other tests, and are looked at after them."""
    stages = {name: Stage(tmp_path_factory.mktemp(name), Canary.hatched(), plain) for name in AWAY}
    keys = {name: stage.canary.text for name, stage in stages.items()}
    nonsense = "HTTP/1.1 {0} Bad\r\nServer: {0}\r\n\r\n{0}".format(keys["tls"]).encode()
    moved = whole(302, Location=f"http://127.0.0.1:{quote(keys['lost'])}/")
    answers = {"content": whole(404)}

    def content(_: Request) -> Answer:
        return answers["content"]

    for stage in stages.values():
        stage.manifest("abcdef")
    with (
        serving(lambda _: None, nonsense) as talker,
        serving(Cast(dict.fromkeys("abcdef", Role(content=[content])))) as home,
    ):
        first, _, _ = stages["lost"].start(*stages["lost"].run(home, "--grace", "0.1"))
        until(lambda: len({one.target for one in home.requests if "content" in one.target}) == len("abcdef"))
        first.send_signal(signal.SIGINT)
        first.wait()
        answers["content"] = moved
        urls = {"refused": "http://127.0.0.1:9/v1", "tls": talker.url.replace("http", "https"), "lost": home.url}
        started = {name: stage.start(*stage.run(urls[name], "--json")) for name, stage in stages.items()}
        yield {"stages": stages, "started": started, "talker": talker, "home": home}
        for stage in stages.values():
            stage.close()


@pytest.mark.parametrize("name", AWAY)
def test_a_server_that_is_not_there_gets_no_key_into_the_output(away: Mapping[str, Any], name: str) -> None:
    stage, (process, _, err) = away["stages"][name], away["started"][name]
    assert process.wait(60) == 69
    assert "cannot be reached" in err.read_text()
    stage.look_around()
    if name == "tls":
        assert away["talker"].handshakes
        assert not away["talker"].misplaced(stage.canary)
    stage.is_clean(*[away["home"]] if name == "lost" else [])

"""--proxy and --ca-file: what a person says of the network is used, and nothing that the environment or a file says."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from gateway import Bill, Ended, call, simulator
from loopback.between import proxy, secured
from loopback.canary.marks import Canary
from loopback.test_client import BODY, KEY, PROFILE, VIDEO, answer, serving

from pipeline.client import UNTRUSTED, VideosClient
from pipeline.credential import find_key
from pipeline.errors import UsageError
from pipeline.evidence import Acceptance, Ambiguity, NotSent, PostOutcome, Refusal
from pipeline.network import DIRECT, Network
from pipeline.profile import Auth

for module in ("av", "PIL", "starlette", "uvicorn", "python_multipart"):
    pytest.importorskip(module, reason=f"{module} is an extra: callsheet[simulator]")

PLAIN = """\
name: plain
title: Plain
auth: { scheme: bearer, env: [PLAIN_KEY], required: false }
request:
  schema: sora-request.schema.json
  defaults: { model: sora-2, size: 1280x720, seconds: "4" }
abilities: { list: true }
poll: { first: 0.1, interval: 0.1, slowest: 0.5 }
limits: { requests_per_minute: 6000, max_in_flight: 20, polls_per_second: 50, downloads: 4 }
price: { currency: USD, otherwise: 0 }
"""
MANIFEST = """\
version: 1
name: spring
provider: plain
jobs:
  - { id: fox, prompt: A fox, takes: 2 }
"""
DONE = ["fox#1", "fox#2"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(ca: trustme.CA, tmp_path: Path) -> Path:
    ca.cert_pem.write_to_path(tmp_path / "corporate.pem")
    return tmp_path / "corporate.pem"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "spring.yaml").write_text(MANIFEST)
    (folder / "plain.yaml").write_text(PLAIN)
    return folder


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    with simulator(tmp_path / "bill.db") as address:
        yield address


def test_what_one_network_trusts_no_other_does(ca_file: Path) -> None:
    known = DIRECT.trust().get_ca_certs()
    assert len(known) > 50
    assert len(Network(ca_file=ca_file).trust().get_ca_certs()) == len(known) + 1
    assert DIRECT.trust().get_ca_certs() == known


def run(folder: Path, url: str, *words: str, **environment: str) -> Ended:
    return call(
        folder, "run", "spring.yaml", "--yes", "--profile", "plain.yaml", "--base-url", url, *words, **environment
    )


def traces(canary: Canary, folder: Path, *ended: Ended) -> list[str]:
    """Return where the proxy's password can be read: in any file below the folder, or in what was said."""
    said = "".join(one.stdout + one.stderr for one in ended).encode()
    return [str(trace) for trace in (*canary.traces(said, "said"), *canary.traces_below(folder))]


# --- a proxy --------------------------------------------------------------------------------------------------------


def test_a_campaign_goes_through_a_proxy_to_a_server_that_only_the_corporation_trusts(
    folder: Path, tmp_path: Path, server: str, ca: trustme.CA, ca_file: Path
) -> None:
    canary = Canary.hatched()
    with secured(server, ca) as url, proxy(password=canary.text) as front:
        network = ("--proxy", front.url, "--ca-file", str(ca_file))
        ended = run(folder, url, *network)
        assert ended.returncode == 0, ended.stderr
        asked = len(front.asked)
        words = ("audit", "outputs/spring", "--profile", "plain.yaml", "--base-url", url, *network)
        audited = call(folder, *words)
        assert audited.returncode == 0, audited.stderr
    assert len(Bill(tmp_path / "bill.db")) == 2
    assert {*front.asked} == {f"CONNECT {url.removeprefix('https://').removesuffix('/v1')}"}
    assert len(front.asked) == asked + 1
    assert traces(canary, folder, ended, audited) == []


def test_a_campaign_goes_through_a_proxy_to_a_server_on_plain_http(folder: Path, tmp_path: Path, server: str) -> None:
    with proxy() as front:
        ended = run(folder, server, "--proxy", front.url)
    assert ended.returncode == 0, ended.stderr
    assert len(Bill(tmp_path / "bill.db")) == 2
    assert front.asked.count(f"POST {server}/videos") == 2
    assert sum(line.startswith("GET ") and line.endswith("/content") for line in front.asked) == 2


async def created(url: str, network: Network) -> PostOutcome:
    key = find_key(Auth("bearer", ("K",)), {"K": KEY})
    async with VideosClient(url, profile=PROFILE, key=key, downloads=2, network=network) as client:
        return await client.create(BODY, idempotency_key="key-1")


@pytest.mark.parametrize("status", [b"407 Proxy Authentication Required", b"502 Bad Gateway", b"403 %s"])
async def test_what_a_proxy_did_not_connect_was_not_sent(status: bytes, ca: trustme.CA, ca_file: Path) -> None:
    canary = Canary.hatched()
    quoted = status.replace(b"%s", f"{canary.text} {canary.tail}".encode())
    refusal = b"HTTP/1.1 " + quoted + b"\r\nContent-Length: 0\r\n\r\n"
    refusing = proxy(password=canary.text, refusal=refusal)
    with serving(answer(200, VIDEO)) as server, secured(server.url, ca) as url, refusing as front:
        outcome = await created(url, Network(front.url, ca_file))
    assert isinstance(outcome, NotSent)
    assert [line.split()[0] for line in front.asked] == ["CONNECT"]
    assert (server.requests, server.connections) == ([], 0)
    assert not list(canary.traces(outcome.failure.message.encode(), "the failure"))
    assert KEY not in "".join(front.heads)


async def test_a_proxy_that_hangs_up_leaves_a_doubt_at_the_most(ca: trustme.CA, ca_file: Path) -> None:
    with serving(answer(200, VIDEO)) as server, secured(server.url, ca) as url, proxy(refusal=b"") as front:
        outcome = await created(url, Network(front.url, ca_file))
    assert isinstance(outcome, NotSent | Ambiguity)
    assert server.connections == 0


async def test_a_proxy_that_is_spoken_to_over_tls_is_trusted_as_servers_are(
    ca: trustme.CA, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    with serving(answer(200, VIDEO)) as server, secured(server.url, ca) as url, proxy(password="word", ca=ca) as front:
        strange = await created(url, Network(front.url))
        assert isinstance(strange, NotSent)
        assert (strange.failure.code, front.asked, server.connections) == (UNTRUSTED, [], 0)
        assert isinstance(await created(url, Network(front.url, ca_file)), Acceptance)
    assert len(front.asked) == 1
    assert server.header(0, "authorization") == f"Bearer {KEY}"
    assert server.header(0, "proxy-authorization") is None


def test_the_environments_proxies_are_not_used(folder: Path, server: str) -> None:
    names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    with proxy() as front:
        around = {name: front.url for upper in names for name in (upper, upper.lower())}
        assert run(folder, server, **around, NO_PROXY="").returncode == 0
    assert front.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "socks5://me:hunter22@127.0.0.1:9",
        "ftp://me:hunter22@proxy.example",
        "proxy.example:3128",
        "//me:hunter22@proxy.example",
        "http://",
        "http://me:hunter22@",
        "http://me:hunter22@proxy.example:99999",
        "http://me:hunter22@proxy.example/path",
        "http://me:hunter22@[::1",
        "",
    ],
)
def test_what_is_no_proxy_is_said_without_its_password_and_nothing_is_written(folder: Path, url: str) -> None:
    ended = run(folder, "http://127.0.0.1:9/v1", "--proxy", url)
    assert ended.returncode == 2
    assert "--proxy takes an address like http://proxy.example:3128" in " ".join(ended.stderr.split())
    assert "hunter22" not in ended.stdout + ended.stderr
    assert not (folder / "outputs").exists()


def test_a_key_is_not_shown_to_a_proxy_elsewhere_though_the_server_is_on_this_machine(folder: Path) -> None:
    url, elsewhere = "http://127.0.0.1:9/v1", "http://me:hunter22@192.0.2.1:3128"
    ended = run(folder, url, "--proxy", elsewhere, PLAIN_KEY="the-key-of-the-account")
    assert ended.returncode == 2
    assert "would carry the key unencrypted to the proxy" in " ".join(ended.stderr.split())
    assert not (folder / "outputs").exists()
    with pytest.raises(UsageError):
        Network(elsewhere).check(url, carries_key=True)
    Network(elsewhere).check(url, carries_key=False)
    Network(elsewhere).check("https://host/v1", carries_key=True)
    Network(elsewhere).check(None, carries_key=True)
    Network("http://localhost:3128").check(url, carries_key=True)


# --- certificates ----------------------------------------------------------------------------------------------------


async def test_a_certificate_file_makes_a_server_trusted_and_the_environment_does_not(
    ca: trustme.CA, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    monkeypatch.setenv("SSL_CERT_DIR", str(ca_file.parent))
    trustme.CA().cert_pem.write_to_path(ca_file.parent / "other.pem")
    with serving(answer(200, VIDEO)) as server, secured(server.url, ca) as url:
        for network in (Network(), Network(ca_file=ca_file.parent / "other.pem")):
            outcome = await created(url, network)
            assert isinstance(outcome, NotSent)
            assert outcome.failure.code == UNTRUSTED
        assert isinstance(await created(url, Network(ca_file=ca_file)), Acceptance)


@pytest.mark.parametrize(
    "content", [None, b"", b"no certificate\n", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_file_without_certificates_is_said_and_nothing_is_written(folder: Path, content: bytes | None) -> None:
    if content is not None:
        (folder / "ca.pem").write_bytes(content)
    ended = run(folder, "https://127.0.0.1:9/v1", "--ca-file", "ca.pem")
    assert ended.returncode == 2
    assert "ca.pem has no certificates that can be read" in " ".join(ended.stderr.split())
    assert not (folder / "outputs").exists()


@pytest.mark.parametrize(("status", "kind"), [(401, Refusal), (407, Ambiguity)])
async def test_the_password_of_a_proxy_that_is_quoted_in_an_answer_is_kept_nowhere(status: int, kind: type) -> None:
    """On plain http the proxy answers itself, or hands its own header on, and the server quotes it."""
    canary = Canary.hatched()
    body = f'{{"error": {{"message": "who is me:{canary.text}?"}}}}'.encode()
    with proxy(password=canary.text, refusal=answer(status, body, X_Request_Id=canary.text)) as front:
        outcome = await created("http://127.0.0.1:9/v1", Network(front.url))
    assert isinstance(outcome, kind)
    assert len(front.asked) == 1
    assert not list(canary.traces(repr(outcome).encode(), "the outcome"))

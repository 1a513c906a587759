"""One manifest at every kind of server: only its provider is another word, and ledger, files and bill agree at the end.

The servers are the simulator's dialects, with faults on, in virtual time. What they are like was measured on, or read
in, the servers that they stand for: docs/simulator.md.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import PIL.Image
import pytest
from world import World, now

from pipeline import files, providers, shipped
from pipeline.credential import Secret
from pipeline.files import Loaded
from pipeline.jobs import DOUBTFUL, State
from pipeline.mp4 import Mp4, inspect
from pipeline.simulator import dialects
from pipeline.simulator.app import application
from pipeline.simulator.faults import Answer, Fault, Faults
from pipeline.simulator.footage import StockFootage
from pipeline.simulator.service import open_simulator

MANIFEST = """\
version: 1
name: move
provider: {provider}
limits: {{ requests_per_minute: 600, max_in_flight: 6 }}
jobs:
  - id: fox
    prompt: "A fox in {{{{ weather }}}}"
    matrix: {{ weather: [rain, snow, fog] }}
    takes: 2
    metadata: {{ client: acme }}
  - id: forbidden
    prompt: A crow
    seconds: "8"
"""
#: The profile for each dialect: two of them are of one server in two versions.
SERVERS = {
    name: "litellm" if name.startswith("litellm") else name for name in dialects.names() if name != dialects.DEFAULT
}
SLOW_DOWN = {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}
HARMLESS = [
    Fault(on="create", nth=3, answer=Answer(429, {"Retry-After": "7"}, error=SLOW_DOWN)),
    Fault(on="status", nth=[2, 4], progress="backwards"),
    Fault(on="status", nth=[3, 8], answer=Answer(502, {"Content-Type": "text/html"}, body="<html>Bad Gateway</html>")),
    Fault(on="status", nth=[5, 6], status_word="warming up"),
    Fault(on="content", nth=[1, 4], answer=Answer(200, {"Content-Type": "video/mp4"}, body="<html>busy</html>")),
    Fault(on="create", nth=4, delay=100),
]

Start = Callable[..., World]


@pytest.fixture
def start(tmp_path: Path, shelf: dict[str, bytes]) -> Iterator[Start]:
    class Shelf:
        def clip(self, name: str) -> bytes | None:
            return shelf.get(name)

        def keep(self, name: str, data: bytes) -> bytes:
            return shelf.setdefault(name, data)

    opened = []

    def started(dialect: str, faults: list[Fault]) -> World:
        around = open_simulator(
            path=":memory:",
            request_schema=shipped.schema("sora-request"),
            now=now,
            footage=lambda store: StockFootage(Shelf()),
            dialect=dialects.dialect(dialect),
        )
        opened.append(around)
        service = around.__enter__()
        # No name of another host can be looked up in virtual time: redirects have their test on a real port.
        app = application(
            service, faults=Faults([*faults, Fault(on="content", deliver="bytes")]), key="the key of the account"
        )
        profile = providers.profile(SERVERS[dialect])
        return World(tmp_path, service, app, profile, secret=Secret("the key of the account"))

    yield started
    for around in opened:
        around.__exit__(None, None, None)


def loaded(folder: Path, dialect: str, text: str = MANIFEST) -> Loaded:
    path = folder / "move.yaml"
    path.write_text(text.format(provider=SERVERS[dialect]))
    return files.load(path, variables={})


def assert_agree(world: World, states: dict[State, int]) -> None:
    """Each video that is done has its whole file; whatever was billed is known to be paid, or is in doubt."""
    jobs = world.jobs().values()
    assert Counter(job.state for job in jobs) == states
    for job in jobs:
        if job.state is State.DONE:
            assert job.path is not None
            with (world.folder / job.path).open("rb") as file:
                assert isinstance(inspect(file), Mp4)
    in_doubt = sum(job.state in DOUBTFUL for job in jobs)
    accepted = sum(world.events(job.name).count(kind) for job in jobs for kind in ("accepted", "adopted"))
    assert len(world.bill()) == accepted + in_doubt
    assert not list(world.folder.rglob("*.part"))


@pytest.mark.parametrize("dialect", SERVERS)
async def test_a_campaign_is_finished_by_any_server_though_much_goes_wrong(start: Start, dialect: str) -> None:
    world = start(dialect, [*HARMLESS, Fault(on="create", prompt="crow", fail="moderation_blocked")])
    found = loaded(world.folder, dialect)
    await world.run(found.specs, requests_per_minute=600, max_in_flight=6)
    assert_agree(world, {State.DONE: 6, State.FAILED: 1})
    failure = world.jobs()["forbidden#1"].failure
    assert failure is not None
    assert failure.message
    world.seen.clear()
    await world.run(found.specs)
    assert world.seen == [], "and a second run asks for nothing"


@pytest.mark.parametrize("dialect", SERVERS)
async def test_what_was_billed_under_an_error_is_found_in_the_list_or_held(start: Start, dialect: str) -> None:
    """Only a list that shows prompts can tell: of the servers without one nobody guesses."""
    bad_gateway = Answer(502, {"Content-Type": "text/html"}, body="<html>502</html>")
    world = start(dialect, [Fault(on="create", nth=2, after=True, answer=bad_gateway)])
    found = loaded(world.folder, dialect)
    for _ in range(2):  # one does not show a size before the end
        await world.run(found.specs)
    tells = dialects.dialect(dialect).list is not None and world.profile.abilities.list and shows_prompts(world)
    assert_agree(world, {State.DONE: 7} if tells else {State.DONE: 6, State.HELD: 1})


def shows_prompts(world: World) -> bool:
    page = world.service.page(limit=1, after=None, order="desc")
    return all("prompt" in video for video in page["data"])


@pytest.mark.parametrize("dialect", [name for name in SERVERS if dialects.dialect(name).memory])
async def test_what_a_server_of_ones_own_forgot_is_rendered_again_without_a_word(start: Start, dialect: str) -> None:
    world = start(dialect, [Fault(on="status", nth=3, forget="all")])
    found = loaded(world.folder, dialect)
    for _ in range(3):
        await world.run(found.specs)
    assert_agree(world, {State.DONE: 7})
    assert len(world.bill()) > 7


@pytest.fixture(scope="module")
def frame() -> bytes:
    """A PNG of 1280x720."""
    data = BytesIO()
    PIL.Image.new("RGB", (1280, 720), "orange").save(data, "PNG")
    return data.getvalue()


WITH_IMAGE = """\
version: 1
name: move
provider: {provider}
jobs:
  - {{ id: fox, prompt: A fox, input_reference: fox.png }}
"""


@pytest.mark.parametrize("dialect", SERVERS)
async def test_the_first_frame_gets_to_any_server(start: Start, dialect: str, tmp_path: Path, frame: bytes) -> None:
    (tmp_path / "fox.png").write_bytes(frame)
    world = start(dialect, [])
    found = loaded(tmp_path, dialect, WITH_IMAGE)
    await world.run(found.specs, images=found.images.values())
    assert_agree(world, {State.DONE: 1})

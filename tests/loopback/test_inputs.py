"""A campaign with images, run by the shipped composition against a real server: what is staged, what is sent, when not.

The jobs and their images are put together here, as a manifest's reader would hand them on.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from gateway import PLAIN, Bill, Gateway, call, gateway, hears_nothing, plain, simulator
from jsonschema import Draft202012Validator

from pipeline import commands, plans, providers, shipped
from pipeline.campaign import Campaign
from pipeline.checking import selection
from pipeline.clearing import Cleared
from pipeline.costs import Estimate
from pipeline.errors import ManifestError, StorageError
from pipeline.events import Doubted, Event
from pipeline.files import Loaded
from pipeline.images import Image
from pipeline.instructions import Options, Profiles
from pipeline.jobs import Job
from pipeline.onlookers import Begun, Progress
from pipeline.preparation import Prepared, compared, prepare, read_ledger
from pipeline.profile import Travel

MANIFEST = """\
version: 1
name: trip
provider: plain
jobs:
  - { id: fox, prompt: Wave }
  - { id: crow, prompt: Wave, tags: [dark] }
  - { id: bare, prompt: Nobody waves }
"""


def profile(images: Any = {"image": {"as": "base64"}}, **fields: Any) -> str:  # noqa: B006  # nobody changes it
    price = {"currency": "USD", "per_second": {"sora-2": 0}}
    return plain(request={**PLAIN["request"], "input_reference": images}, price=price, **fields)


def image(text: str) -> Image:
    data = text.encode() * 20
    return Image(data, len(data), "image/webp", 1280, 720, hashlib.sha256(data).hexdigest())


PICTURES = {"fox": image("fox"), "crow": image("crow")}


class Onlooker(Progress):
    """Sees what people are shown, and does something when the run has started: all is enrolled, nothing is sent."""

    def __init__(self, at_the_start: Callable[[], object] = lambda: None) -> None:
        self._at_the_start = at_the_start

    def started(self, begun: Begun) -> None:
        self._at_the_start()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "trip.yaml").write_text(MANIFEST)
    (tmp_path / "plain.yaml").write_text(profile())
    (tmp_path / "keyed.yaml").write_text(profile(abilities={"idempotency": True}))
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[Gateway]:
    with simulator(folder / "bill.db") as upstream, gateway(upstream) as front:
        yield front


@pytest.fixture
def bill(folder: Path) -> Bill:
    return Bill(folder / "bill.db")


def with_images(loaded: Loaded, held: dict[str, Image]) -> Loaded:
    specs = []
    for spec in loaded.specs:
        picture = PICTURES.get(spec.name.partition("#")[0])
        request = {**spec.request, "input_reference": picture.reference} if picture else spec.request
        specs.append(replace(spec, request=request))
    return replace(loaded, specs=specs, images={picture.sha256: picture for picture in held.values()})


def cleared(
    folder: Path,
    url: str,
    held: dict[str, Image] = PICTURES,
    profile: str = "plain.yaml",
    select: tuple[str, ...] = (),
) -> Cleared:
    """Return the campaign as it is before a run. ``held`` are the images whose originals could be read."""
    options = Options(folder / "outputs", profiles=Profiles(folder / profile), select=select, base_url=url, yes=True)
    loaded = with_images(prepare(folder / "trip.yaml", options).loaded, held)
    campaign, selected = Campaign(folder / "outputs/trip"), selection(loaded.specs, options)
    plan = compared(campaign, loaded, selected, read_ledger(campaign))
    return Cleared(Prepared(loaded, campaign, plan, Estimate(None), selected, {}), options, url, None)


def run(folder: Path, server: Gateway, *, onlooker: Onlooker | None = None, **how: Any) -> commands.Ended:
    ready = cleared(folder, server.url, **how)
    return anyio.run(partial(commands.run, ready, progress=onlooker or Onlooker()))


def staged(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "outputs/trip").glob("inputs/*")}


def name(job: str) -> str:
    return f"{PICTURES[job].sha256}.webp"


def copy_of(folder: Path, job: str) -> Path:
    return folder / "outputs/trip/inputs" / name(job)


def sent(bill: Bill) -> list[str]:
    return sorted(line.get("input_reference", "") for line in bill.lines())


ALL = {f"{picture.sha256}.webp": picture.data for picture in PICTURES.values()}
TEXTS = sorted(["", *(base64.b64encode(picture.data).decode() for picture in PICTURES.values())])


def test_images_are_staged_and_sent_and_a_finished_campaign_needs_none(
    folder: Path, server: Gateway, bill: Bill
) -> None:
    assert run(folder, server).exit_code == 0
    assert staged(folder) == ALL
    assert sent(bill) == TEXTS
    for path in (folder / "outputs/trip/inputs").iterdir():
        path.unlink()
    server.seen.clear()
    assert run(folder, server).exit_code == 0
    assert staged(folder) == {}, "nothing needs them any more"
    assert server.seen == []


def test_only_what_may_be_submitted_is_staged(folder: Path, server: Gateway) -> None:
    run(folder, server, select=("bare",))
    assert not (folder / "outputs/trip/inputs").exists()
    run(folder, server, select=("tag:dark",))
    assert list(staged(folder)) == [name("crow")]
    copy_of(folder, "crow").unlink()
    run(folder, server)
    assert list(staged(folder)) == [name("fox")], "the crow is done"


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"another picture")])
def test_a_copy_that_is_damaged_after_the_enrolment_ends_the_run_before_anything_is_sent(
    folder: Path, server: Gateway, bill: Bill, harm: Callable[[Path], object]
) -> None:
    copy = copy_of(folder, "fox")
    with pytest.raises(StorageError, match=rf"{copy.name}: .*run again") as caught:
        run(folder, server, select=("fox",), onlooker=Onlooker(lambda: harm(copy)))
    assert caught.value.exit_code == 5
    assert server.posts() == 0
    assert run(folder, server).exit_code == 0, "the next run stages it again"
    assert sent(bill) == TEXTS


def test_after_a_crash_the_staged_copies_are_enough(folder: Path, server: Gateway, bill: Bill) -> None:
    class Dies(Exception):
        pass

    def dies() -> None:
        raise Dies

    with suppress(Dies):
        run(folder, server, onlooker=Onlooker(dies))
    assert staged(folder) == ALL
    assert run(folder, server, held={}).exit_code == 0
    assert sent(bill) == TEXTS


def test_the_image_of_a_job_in_doubt_is_staged_again_for_its_repetition(
    folder: Path, server: Gateway, bill: Bill
) -> None:
    class Leaves(Onlooker):
        def observe(self, before: Job, event: Event, after: Job) -> None:
            assert not isinstance(event, Doubted), "the run dies here"

    server.meddle = hears_nothing
    with pytest.raises(AssertionError, match="the run dies here"):
        run(folder, server, profile="keyed.yaml", select=("fox",), onlooker=Leaves())
    copy_of(folder, "fox").unlink()
    server.meddle = lambda method, path, act: act()
    run(folder, server, profile="keyed.yaml", select=("bare",))
    assert staged(folder) == {}, "not asked for in this run"
    assert run(folder, server, profile="keyed.yaml", select=("fox",)).exit_code == 0
    assert list(staged(folder)) == [name("fox")]
    assert sent(bill) == ["", base64.b64encode(PICTURES["fox"].data).decode()]


def test_nothing_is_staged_for_a_job_that_waits_for_a_person(folder: Path, server: Gateway) -> None:
    server.meddle = hears_nothing
    assert run(folder, server, select=("fox",)).exit_code == 3
    copy_of(folder, "fox").unlink()
    assert run(folder, server, select=("fox",)).exit_code == 3
    assert staged(folder) == {}


def test_every_document_names_the_image_and_none_has_it(folder: Path, server: Gateway) -> None:
    reference = PICTURES["fox"].reference
    before = cleared(folder, server.url).prepared
    planned = plans.document(before, {})
    Draft202012Validator(shipped.schema("plan")).validate(planned)
    assert planned["jobs"][0]["request"]["input_reference"] == reference
    assert run(folder, server).exit_code == 0
    (shown,) = json.loads(call(folder, "show", "outputs/trip", "fox#1", "--json").stdout)["jobs"]
    assert shown["request"]["input_reference"] == reference
    assert reference["sha256"] in call(folder, "show", "outputs/trip", "fox#1").stdout
    assert call(folder, "verify", "outputs/trip").returncode == 0
    (folder / "outputs/trip/ledger.db").rename(folder / "lost.db")
    for leftover in (folder / "outputs/trip").glob("ledger.db-*"):
        leftover.unlink()
    made = call(folder, "rebuild", "outputs/trip")
    assert made.returncode == 0, made.stderr
    assert call(folder, "verify", "outputs/trip").returncode == 0
    again = cleared(folder, server.url).prepared.plan
    assert not again.has_work, "the same jobs, by their names and their images"


def test_the_rules_of_a_profile_for_images(folder: Path) -> None:
    rules = providers.own_profile(folder / "plain.yaml").request.input_reference
    assert (rules.image, rules.url) == (Travel("base64"), None)
    for name in ("znapai", "simulator"):
        rules = providers.profile(name).request.input_reference
        assert (rules.image, rules.url) == (Travel("base64"), Travel("text"))
    silent = folder / "silent.yaml"
    silent.write_text(plain())
    rules = providers.own_profile(silent).request.input_reference
    assert (rules.image, rules.url) == (None, None)
    for wrong in ({"image": "base64"}, {"image": {"as": "ftp"}}, {"url": "maybe"}, {"file": True}, "yes"):
        silent.write_text(profile(wrong))
        with pytest.raises(ManifestError):
            providers.own_profile(silent)

"""A job that begins with an image: the server gets exactly the bytes that its identity names, or nothing at all."""

import base64
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from world import App, World, breaks, does_and_then, spec

from pipeline.errors import StorageError
from pipeline.events import Event, Intended
from pipeline.images import Image
from pipeline.jobs import Job, Spec, State
from pipeline.profile import Abilities, ReferenceRules, Travel

LOST = does_and_then(breaks(httpx.ReadError("cut")))


def image(text: str) -> Image:
    data = text.encode() * 500
    return Image(data, len(data), "image/png", 1280, 720, hashlib.sha256(data).hexdigest())


def job_with(picture: Image, number: int = 1, prompt: str | None = None) -> Spec:
    return spec(number, prompt, input_reference=picture.reference)


FOX, CROW = image("fox"), image("crow")


def listening(world: World) -> list[dict[str, Any]]:
    """Return the bodies of the POSTs, as the server gets them from now on."""
    bodies: list[dict[str, Any]] = []
    app: App = world.app

    async def listens(scope: Any, receive: Any, send: Any) -> None:
        body = bytearray()

        async def hears() -> Any:
            message = await receive()
            body.extend(message.get("body", b""))
            return message

        await app(scope, hears, send)
        if scope["method"] == "POST":
            bodies.append(json.loads(body))

    world.app = listens
    return bodies


def staged(world: World, picture: Image) -> Path:
    return world.folder / "inputs" / f"{picture.sha256}.png"


@pytest.mark.parametrize(("form", "head"), [("base64", ""), ("data_url", "data:image/png;base64,")])
async def test_the_server_gets_the_images_bytes_in_the_form_that_its_profile_names(
    world: World, form: str, head: str
) -> None:
    request = replace(world.profile.request, input_reference=ReferenceRules(Travel(form)))
    world.profile = replace(world.profile, request=request)
    bodies = listening(world)
    await world.run([job_with(FOX), job_with(CROW, 2), spec(3)], images=[FOX, CROW])
    sent = {body["prompt"]: body.get("input_reference") for body in bodies}
    fox, crow = (head + base64.b64encode(picture.data).decode() for picture in (FOX, CROW))
    assert sent == {"Shot 1": fox, "Shot 2": crow, "Shot 3": None}
    assert world.states() == {State.DONE}


async def test_an_address_is_sent_as_it_is(world: World) -> None:
    bodies = listening(world)
    await world.run([spec(1, input_reference="https://example.com/fox.png")])
    assert [body["input_reference"] for body in bodies] == ["https://example.com/fox.png"]
    assert not (world.folder / "inputs").exists()


async def test_what_is_kept_names_the_image_and_does_not_hold_it(world: World) -> None:
    await world.run([job_with(FOX)], images=[FOX])
    job = world.jobs()["shot-1#1"]
    assert job.request["input_reference"] == FOX.reference
    sidecar = json.loads((world.folder / "videos/shot-1-t1.json").read_text())
    assert sidecar["request"]["input_reference"] == FOX.reference
    picture = base64.b64encode(FOX.data)[:200]
    kept = [path for path in world.folder.rglob("*") if path.is_file()]
    assert all(picture not in path.read_bytes() for path in kept)


async def test_our_own_reference_goes_with_the_image(world: World) -> None:
    world.profile = replace(world.profile, abilities=Abilities(echo=True))
    bodies = listening(world)
    await world.run([job_with(FOX)], images=[FOX])
    assert bodies[0]["input_reference"] == base64.b64encode(FOX.data).decode()
    assert bodies[0]["metadata"]["callsheet_ref"] == world.jobs()["shot-1#1"].idempotency_key


async def test_a_repeated_key_comes_with_the_same_image(world: World) -> None:
    bodies = listening(world)
    world.fault("POST", "/videos", LOST)
    await world.run([job_with(FOX)], images=[FOX])
    assert len(bodies) == 2
    assert bodies[0] == bodies[1]
    assert len(world.bill()) == 1
    assert world.states() == {State.DONE}


async def test_after_a_crash_the_staged_copy_is_enough(world: World) -> None:
    bodies = listening(world)
    specs = [job_with(FOX, number) for number in range(8)]
    await world.run(specs, images=[FOX], until=5, requests_per_minute=30)
    assert 0 < len(bodies) < 8
    await world.run(specs)
    assert {body["input_reference"] for body in bodies} == {base64.b64encode(FOX.data).decode()}
    assert len(world.bill()) == 8
    assert world.states() == {State.DONE}


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(FOX.data[:-1] + b"?")])
async def test_without_the_right_copy_nothing_is_sent_and_nothing_is_in_doubt(world: World, harm) -> None:
    await world.run([], images=[FOX])
    harm(staged(world, FOX))
    with pytest.RaisesGroup(pytest.RaisesExc(StorageError, match=FOX.sha256), flatten_subgroups=True):
        await world.run([job_with(FOX)])
    assert world.count("POST") == 0
    assert world.states() == {State.PLANNED}
    assert world.events("shot-1#1") == []
    await world.run([job_with(FOX)], images=[FOX])
    assert world.states() == {State.DONE}
    assert len(world.bill()) == 1


async def test_a_copy_that_is_lost_behind_the_intent_makes_no_doubt(world_without_keys: World) -> None:
    world = world_without_keys

    def harms(before: Job, event: Event, after: Job) -> None:
        if isinstance(event, Intended):
            staged(world, FOX).unlink()

    with pytest.RaisesGroup(pytest.RaisesExc(StorageError, match=FOX.sha256), flatten_subgroups=True):
        await world.run([job_with(FOX)], images=[FOX], observe=harms)
    assert world.count("POST") == 0
    assert world.states() == {State.PLANNED}
    assert world.events("shot-1#1") == ["intended", "returned"]
    await world.run([job_with(FOX)], images=[FOX])
    assert world.states() == {State.DONE}
    assert len(world.bill()) == 1


async def test_doubts_that_differ_in_their_images_are_not_taken_for_one_another(world_with_list: World) -> None:
    """The list shows two videos of one prompt, and no image: whose is whose, no program can know."""
    world = world_with_list
    world.fault("POST", "/videos", LOST, LOST)
    specs = [job_with(FOX, 1, "Wave"), job_with(CROW, 2, "Wave")]
    await world.run(specs, images=[FOX, CROW])
    assert world.states() == {State.HELD}
    assert len(world.bill()) == world.count("POST") == 2

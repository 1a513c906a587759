"""A scene through a gateway: what the gateway said, what Callsheet recorded and showed, and what is wrong with that."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from running import Ran, failure, run
from scenes import Expected, Scene, of
from table import Place, Row

_ROOT = Path(__file__).resolve().parents[2]
_SHIPPED = _ROOT / "pipeline" / "profiles" / "litellm.yaml"

_EXCEPTION = re.compile(r"\blitellm\.([A-Z]\w+(?:Error|Exception))\b")
_DISGUISE = "ContentPolicyViolationError"


def trial(place: Place, scene: Scene) -> Row:
    """Have the scene's job go wrong, and hold what came of it against what is expected."""
    folder = place.folder / re.sub(r"[^a-z0-9]+", "-", scene.name.lower()).strip("-")
    folder.mkdir()
    before = len(place.upstream.billed())
    key = None if scene.knows_key else "a-key-that-nobody-has"
    ran = run(folder, _manifest(scene), place.gateway, profile=_changed(scene, folder), key=key)
    billed = len(place.upstream.billed()) - before
    events, expected = ran.stories[scene.prompt].events, of(scene.expected, place.version)
    told = next((failure(entry) for entry in reversed(events) if failure(entry)), {})
    answer = next((entry.raw for entry in reversed(events) if entry.raw), b"").decode("utf-8", "replace")
    called, found = _called(answer), _found(ran, scene, told, billed, expected)
    wrong = [*_differences(found, expected)]
    if (place.deployment in of(scene.as_content_policy, place.version)) != (_DISGUISE in called):
        wrong.append(f"the gateway says {called or 'nothing'}: {answer[:300]}")
    field = f", `{found.param}`" if found.param else ""
    ours = f"{found.kind}{field}: {told['message']}" if told else found.state
    return Row(place, scene.name, f"{told.get('http_status') or 200} {called}".strip(), ours, tuple(wrong))


def _manifest(scene: Scene) -> dict[str, Any]:
    """Return the one job; a manifest lets a placeholder have values that it refuses when they are written out."""
    manifest: dict[str, Any] = {"jobs": [{"id": "shot", "prompt": scene.prompt, "model": scene.model}]}
    if scene.variables:
        manifest["vars"] = dict(scene.variables)
        manifest["defaults"] = {name: f"{{{{ {name} }}}}" for name in scene.variables}
    return manifest


def _changed(scene: Scene, folder: Path) -> Path | None:
    """Write the shipped profile with the scene's change; return None where nothing is changed.

    The shipped one refuses what the scene wants to be sent, so the rules that depend on the model are left out.
    """
    if not (scene.fields or scene.variables):
        return None
    path = folder / "changed.yaml"
    profile = yaml.safe_load(_SHIPPED.read_text("utf-8"))
    schema = json.loads((_ROOT / "schemas" / profile["request"]["schema"]).read_text("utf-8"))
    profile["name"] = path.stem
    profile["request"] |= {
        "schema": {name: rule for name, rule in schema.items() if name in {"type", "required", "properties"}},
        "fields": {name: dict(told) for name, told in scene.fields.items()},
    }
    path.write_text(json.dumps(profile, indent=2))
    return path


def _found(ran: Ran, scene: Scene, told: dict[str, Any], billed: int, expected: Expected) -> Expected:
    message = told.get("message", "")
    return Expected(
        exit=ran.exit,
        state=ran.stories[scene.prompt].job.state.value,
        kind=told.get("kind"),
        param=told.get("param"),
        says=expected.says if expected.says in ran.shown and message.startswith(expected.says) else message,
        billed=billed,
    )


def _differences(found: Expected, expected: Expected) -> Iterator[str]:
    for name in Expected.__dataclass_fields__:
        ours, wanted = getattr(found, name), getattr(expected, name)
        if ours != wanted:
            yield f"{name} is {ours!r}, not {wanted!r}"


def _called(answer: str) -> str:
    """Return what an answer of the gateway's is called: by its exceptions, its type, or the status of a Video."""
    names = " ".join(dict.fromkeys(_EXCEPTION.findall(answer)))
    try:
        value = json.loads(answer)
    except ValueError:
        return names
    error = value.get("error")
    return names or str(value.get("status") or (error.get("type") if isinstance(error, dict) else ""))

"""The verb that examines a server before a campaign trusts it; and, when a person says so, renders the cheapest clip.

What asks creates nothing. The clip is a campaign of one job with a ledger of its own: nothing that is paid is lost, and
asking again on the same day pays nothing more. The clock, chance and the environment come in here.
"""

import json
import os
import signal
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from random import SystemRandom
from tempfile import TemporaryDirectory
from typing import Any

from pipeline import (
    authoring,
    commands,
    comparing,
    diagnosis,
    examining,
    outputs,
    providers,
    shipped,
    starter,
    validation,
)
from pipeline.clearing import Cleared
from pipeline.commands import Ended
from pipeline.credential import find_key
from pipeline.errors import CredentialError, StorageError, UsageError
from pipeline.examining import Patient
from pipeline.instructions import Options
from pipeline.ledger import reading
from pipeline.onlookers import Progress
from pipeline.outlines import outline, taught
from pipeline.preparation import Prepared
from pipeline.probing import Prober
from pipeline.profile import Profile, address, profile_from
from pipeline.surroundings import simulator
from pipeline.symptoms import Lesson, Sign, Verdict
from pipeline.videos import parse_video

_EXITS: Mapping[str, int] = {"disk": 5, "key": 4}
_NO_USABLE_ANSWER = 69
_GRAVEST_FIRST = (5, 4, _NO_USABLE_ANSWER, 0)
_ENOUGH = 1 << 30
"""Bytes below which a disk is worth a warning."""

_MANIFEST = "doctor.yaml"
_PROMPT = "A paper boat drifts across a still pond, morning light"


@dataclass(frozen=True, slots=True)
class Learned:
    """A lesson beside what the profile says, None where it says nothing."""

    lesson: Lesson
    said: Any

    @property
    def is_new(self) -> bool:
        return bool(self.lesson.value != self.said)


@dataclass(frozen=True, slots=True)
class Examined:
    """What was found at a server, and learned of it. ``written``: the profile as it is, which the lessons are about.

    ``base_url`` is None for the bundled simulator. ``draft`` is a profile that was written, ``campaign`` the folder of
    a clip that was rendered, and ``clip`` the exit code of that.
    """

    profile: Profile
    written: Mapping[str, Any]
    base_url: str | None
    findings: tuple[Sign, ...]
    learned: tuple[Learned, ...]
    draft: Path | None = None
    campaign: Path | None = None
    clip: int = 0

    @property
    def is_server(self) -> bool:
        """Whether something answered that can be a server of videos."""
        problems = {one.probe for one in self.findings if one.verdict is Verdict.PROBLEM}
        return not problems & {"address", "tls", "unknown id"}

    @property
    def exit_code(self) -> int:
        codes = [_EXITS.get(one.probe, _NO_USABLE_ANSWER) for one in self.findings if one.verdict is Verdict.PROBLEM]
        return min([*codes, self.clip], key=lambda code: _GRAVEST_FIRST.index(code) if code in _GRAVEST_FIRST else -1)


async def examine(name: str | None, options: Options) -> Examined:
    """Ask a profile's server everything that costs nothing.

    Raises UsageError for an unknown profile and for an address that must not be used, ManifestError for a wrong file.
    """
    written = _written(name, options)
    profile = profile_from(written)
    url = address(profile, options.base_url, os.environ, allow_http=options.allow_http)
    key, missing = None, None
    try:
        key = find_key(profile.auth, os.environ)
    except CredentialError as error:
        missing = str(error)
    rules = providers.request_schema(profile.request)
    models = comparing.models(written, rules)
    default = profile.request.defaults.get("model")
    models.sort(key=lambda model: model != default)
    patient = Patient(profile, models, missing, key is not None, options.network.proxy is not None)
    with nullcontext() if url else simulator(":memory:", rules, now=time.time) as app:
        base_url = url or profile.base_url or ""
        async with Prober(base_url, key=key, network=options.network, now=time.time, app=app) as prober:
            found = await examining.examine(prober, patient, SystemRandom())
    return _with_said(Examined(profile, written, url, (), ()), [*found, _disk(options.output)])


def _written(name: str | None, options: Options) -> Mapping[str, Any]:
    given = options.profiles.file
    if name is not None:
        return authoring.written(name, options)
    if given is None:
        raise UsageError(f"name a profile: there are {', '.join(options.profiles.names)}")
    return providers.written_profile(given)


def _with_said(examined: Examined, said: Iterable[Sign | Lesson]) -> Examined:
    """Return the examination with more findings, and more lessons beside what the profile says."""
    rules = providers.request_schema(examined.profile.request)
    facts = comparing.facts(examined.written, shipped.schema("profile"), rules)
    findings, learned = [*examined.findings], [*examined.learned]
    for one in said:
        if isinstance(one, Sign):
            findings.append(one)
        else:
            fact = facts.get(one.field)
            learned.append(Learned(one, fact and fact.value))
    return replace(examined, findings=tuple(findings), learned=tuple(learned))


def _disk(folder: Path) -> Sign:
    try:
        free = outputs.room(folder)
    except StorageError as error:
        return Sign("disk", Verdict.PROBLEM, str(error), "choose another --output")
    words = f"{free / (1 << 30):,.1f} GiB free, files are synced and named in {folder}"
    return Sign("disk", Verdict.OK if free > _ENOUGH else Verdict.WARNING, words)


def write_draft(examined: Examined, path: Path) -> Examined:
    """Write the profile with what was learned, under the file's name. Raises UsageError where it cannot be written."""
    lessons = [one.lesson for one in examined.learned]
    if examined.base_url is not None:
        lessons.append(Lesson(("base_url",), examined.base_url, "the address that was asked"))
        if examined.profile.transport != "http":
            lessons.append(Lesson(("transport",), "http", "it was asked over the network"))
    profile = taught(examined.written, lessons)
    if not validation.findings(path.stem, shipped.schema("profile")["properties"]["name"]):
        profile["name"] = path.stem
    head = [
        f"A draft by `callsheet doctor` of {_today()}, out of the profile {examined.profile.name}.",
        "Read it before you use it: what the server did not show is as it was there.",
    ]
    text = outline(profile, lessons, head)
    providers.checked_profile(text.encode(), str(path))
    starter.write_new(path, text)
    return replace(examined, draft=path)


async def clear(examined: Examined, options: Options, *, confirm: Callable[[Prepared], bool | None]) -> Cleared:
    """Return a run of one job, the cheapest that the profile allows, which may spend; ``commands.cleared`` says what
    can refuse it. Its campaign is the day's: what is paid is not paid again on the same day.
    """
    name = f"doctor-{examined.profile.name[:60]}-{_today()}"
    kept = options.output / name / _MANIFEST
    if kept.exists():
        return await commands.cleared(kept, options, confirm=confirm)
    with TemporaryDirectory() as folder:
        manifest = Path(folder) / _MANIFEST
        manifest.write_text(_manifest(examined, name), "utf-8")
        return await commands.cleared(manifest, options, confirm=confirm)


def _manifest(examined: Examined, name: str) -> str:
    profile = examined.profile
    rules = providers.request_schema(profile.request)
    request = comparing.cheapest(profile, comparing.models(examined.written, rules), rules)
    job = {"id": "cheapest", "prompt": _PROMPT, **request}
    manifest = {"version": 1, "name": name, "provider": profile.name, "jobs": [job]}
    return json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"


def kept_manifest(cleared: Cleared) -> Path:
    """Return where the clip's manifest is kept: `run` goes on with it."""
    return cleared.prepared.campaign.folder / _MANIFEST


async def render_clip(
    examined: Examined, cleared: Cleared, *, progress: Progress, ending: Collection[signal.Signals] = ()
) -> tuple[Examined, Ended]:
    """Render the clip, and return what that has shown besides. Raises CallsheetError as ``commands.run`` does."""
    campaign, kept = cleared.prepared.campaign, kept_manifest(cleared)
    campaign.outputs.make()
    if not kept.exists():
        starter.write_new(kept, _manifest(examined, cleared.prepared.loaded.manifest.name))
    end = await commands.run(cleared, progress=progress, ending=ending)
    with reading.opened(campaign.ledger) as connection:
        job = next(job for job in reading.jobs(connection) if not job.orphaned)
        events = reading.events(connection, job)
    words = examined.profile.status
    shown = [video for entry in events if (video := parse_video(entry.raw, words=words, created=True)) is not None]
    ready_at = next((entry.at for entry in events if entry.kind == "completed"), None)
    said = [*diagnosis.about_clip(job, ready_at, shown)]
    if job.video_id and end.exit_code == 0 and cleared.url is not None:
        network = cleared.options.network
        async with Prober(cleared.url, key=cleared.key, network=network, now=time.time) as prober:
            said += diagnosis.about_clips_content(await prober.ask("GET", "videos", job.video_id, "content"))
    examined = replace(examined, campaign=campaign.folder, clip=end.exit_code)
    return _with_said(examined, said), end


def _today() -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(time.time()))

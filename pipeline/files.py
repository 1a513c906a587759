"""A manifest -> its jobs: with all that it names, and held against what its provider takes."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from pipeline import advice, hints, providers, shipped, source
from pipeline.blocking import checkpoint
from pipeline.document import Document, Place
from pipeline.errors import ManifestError, Problem, UsageError
from pipeline.expansion import Expanded, expand
from pipeline.folder import Folder, content, why
from pipeline.images import Image
from pipeline.including import Including
from pipeline.instructions import Profiles
from pipeline.jobs import Spec
from pipeline.making import Trace
from pipeline.manifest import Layer, Manifest, Part, assembled, ordered, read
from pipeline.profile import Limits, Profile, ReferenceRules, RequestRules, Travel
from pipeline.sayings import shown


@dataclass(frozen=True, slots=True)
class Loaded:
    """A manifest without mistakes, and what it asks for. ``images`` are those that requests refer to, by sha256."""

    manifest: Manifest
    profile: Profile
    specs: Sequence[Spec]
    warnings: tuple[Problem, ...]
    images: Mapping[str, Image] = field(default_factory=dict)

    @property
    def limits(self) -> Limits:
        """The manifest's limits, and the profile's where it is silent."""
        return replace(self.profile.limits, **self.manifest.limits)


Source = Path | Mapping[str, Any]
"""A manifest: its file, or the same as a value of JSON, whose paths lead from the current folder."""

UNWRITTEN = Path("<manifest>")
"""Stands for the file of a manifest that is a value: places in it are those of its JSON, indented by two."""

Remembered = Callable[[str], Mapping[str, str]]
"""What gives the variables that earlier commands about a campaign of this name were given."""


_OURS = Profiles()


def load(
    manifest: Source,
    *,
    variables: Mapping[str, str],
    profiles: Profiles = _OURS,
    remembered: Remembered | None = None,
) -> Loaded:
    """Return the manifest's jobs, checked. ``variables`` replace texts of its ``vars``.

    Raises ManifestError with every problem in the manifest and in all that it names, and with the warnings; UsageError
    for a value that JSON does not have.
    """
    read, profile, expanded, found = _expanded(manifest, variables, profiles, remembered, ())
    if profile is None or any(problem.severity == "error" for problem in found):
        raise ManifestError(found)
    unused = advice.unused_variables(read, expanded.used)
    found = ordered([*found, *expanded.advice, *unused], first=read.document.text.file)
    return Loaded(read, profile, expanded.specs, tuple(found), expanded.images)


def traces(
    manifest: Source,
    names: Collection[str],
    *,
    variables: Mapping[str, str],
    profiles: Profiles = _OURS,
    remembered: Remembered | None = None,
) -> tuple[Manifest, Mapping[str, Trace]]:
    """Return the manifest, and where those of its jobs come from that have one of the names.

    Raises ManifestError where the manifest has mistakes, and UsageError for a name that no job has.
    """
    read, _, expanded, found = _expanded(manifest, variables, profiles, remembered, names)
    if any(problem.severity == "error" for problem in found):
        raise ManifestError(found)
    for name in names:
        if name not in expanded.traces:
            near = hints.close(name, [spec.name for spec in islice(expanded.specs, 10_000)])
            raise UsageError(f"there is no job {name}" + (f"; did you mean {near}?" if near else ""))
    return read, expanded.traces


def _expanded(
    source: Source,
    variables: Mapping[str, str],
    profiles: Profiles,
    remembered: Remembered | None,
    traced: Collection[str],
) -> tuple[Manifest, Profile | None, Expanded, list[Problem]]:
    document, found = _document(source)
    provider = document.value.get("provider") if isinstance(document.value, dict) else None
    chosen = _chosen(provider, profiles) if isinstance(provider, str) else None
    manifest, parts, folder, unfit = _manifest(document, variables, chosen, remembered)
    found += unfit
    chosen, unfit = (chosen, []) if chosen else _meant(manifest, profiles)
    rules = chosen.request if chosen else _ANYTHING
    expanded = expand(
        manifest,
        rules,
        providers.request_schema(rules),
        tables=folder.table,
        images=folder.image,
        turn=checkpoint,
        traced=traced,
    )
    found = [*found, *unfit, *expanded.problems, *folder.problems, *advice.about(parts)]
    found += _budget_problems(manifest, chosen) if chosen else ()
    return manifest, chosen, expanded, ordered(found, first=document.text.file)


_ANYTHING = RequestRules(
    {}, {}, metadata=True, extra_body=True, input_reference=ReferenceRules(Travel("base64"), Travel("text"))
)
"""What an unknown provider takes: of it nothing can be said."""


def campaign_name(manifest: Source) -> str:
    """Return the name in a manifest, which may have other mistakes. Raises ManifestError where it has no usable one."""
    document, found = _document(manifest)
    part, unfit = read(document, shipped.schema("manifest"))
    name: str = part.value.get("name", "")
    if not name:
        raise ManifestError(ordered([*found, *unfit], first=document.text.file))
    return name


def _manifest(
    document: Document,
    variables: Mapping[str, str],
    provider: Profile | None,
    remembered: Remembered | None,
) -> tuple[Manifest, list[Part], Folder, list[Problem]]:
    found: list[Problem] = []
    folder = Folder(Path(document.text.file))
    schemas = {
        included: providers.language("include" if included else "manifest", provider) for included in (False, True)
    }

    def read_part(document: Document, included: bool) -> Part:
        part, unfit = read(document, schemas[included])
        found.extend(unfit)
        return part

    parts = Including(folder, read_part).parts(document)
    name = parts[-1].value.get("name")
    manifest, unfit = assembled(parts, variables=variables, remembered=remembered(name) if remembered and name else {})
    return manifest, parts, folder, found + unfit


def _budget_problems(manifest: Manifest, profile: Profile) -> list[Problem]:
    """Hold the budget against the profile's prices."""
    budget, layer, price = manifest.budget, Layer(manifest.document, ("budget",)), profile.price
    bounds = [Layer(manifest.document, ("budget", name)) for name in ("max_cost", "max_videos")]
    if budget.keys() == {"currency"} and not any(map(manifest.is_said, bounds)):
        return [layer.value_place.problem("budget", "the budget bounds nothing", "write max_cost or max_videos too")]
    if price is None and "max_cost" in budget:
        message = f"the profile {profile.name} has no prices: a run needs one to keep the budget"
        fix = "give --price to `plan` and `run`, per second of video; or write `max_videos` in place of `max_cost`"
        return [layer.key_place.warning("budget", message, fix)]
    currency = budget.get("currency")
    if price is not None and currency not in {None, price.currency}:
        place = Layer(manifest.document, ("budget", "currency")).value_place
        message = f"the prices of the profile {profile.name} are in {price.currency}, not in {currency}"
        return [place.problem("budget", message, f"write {price.currency}")]
    return []


def _document(manifest: Source) -> tuple[Document, list[Problem]]:
    file, data = (str(manifest), _content(manifest)) if isinstance(manifest, Path) else _composed(manifest)
    document, found = source.parse(data, file=file)
    if document is None:
        raise ManifestError(found)
    return document, found


def _content(path: Path) -> bytes:
    if path.is_dir():
        problem = Place(str(path), 1, 1).problem("file", f"{path} is a folder", "this command takes the manifest")
        raise ManifestError([problem])
    try:
        return content(path, source.MAX_BYTES)
    except (OSError, ValueError) as error:
        raise ManifestError(
            [Place(str(path), 1, 1).problem("file", f"{path} cannot be read: {why(error)}", "check the path")]
        ) from error


def _composed(manifest: Mapping[str, Any]) -> tuple[str, bytes]:
    """Return a manifest that was built in code as a file of it would be: one reader reads both."""
    try:
        text = json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False).translate(_NOT_IN_YAML)
        return str(UNWRITTEN), text.encode()
    except (TypeError, ValueError) as error:
        raise UsageError(f"the manifest is no value of JSON: {error}") from error


# What JSON may have in a text as it is, and YAML may not.
_NOT_IN_YAML = {code: f"\\u{code:04x}" for code in (*range(0x7F, 0xA0), 0x2028, 0x2029, 0xFEFF, 0xFFFE, 0xFFFF)}


def _chosen(name: str, profiles: Profiles) -> Profile | None:
    """Return the profile of this name. Raises UsageError where a file was given, and has another."""
    given = None if profiles.file is None else providers.own_profile(profiles.file)
    if given is not None and given.name != name:
        raise UsageError(f"the manifest asks for the profile {name!r}, and the file given is {given.name!r}")
    return given or profiles.named(name)


def _meant(manifest: Manifest, profiles: Profiles) -> tuple[Profile | None, list[Problem]]:
    """Return, for a name that no profile has, the nearest, so that the jobs can be checked."""
    names, name = profiles.names, manifest.provider
    if not name:
        return None, []
    near = hints.close(name, names)
    address = ": a manifest cannot decide where the key goes" if "/" in name else ""
    message = f"there is no profile {shown(name)}{address}"
    fix = f"write {near}" if near else f"write one of {', '.join(names)}"
    problem = manifest.document.value_at(("provider",)).problem("unknown-provider", message, fix)
    return profiles.named(near) if near else None, [problem]

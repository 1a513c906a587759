"""A manifest's file -> its jobs; and the package's own schemas, profiles and examples, which only this module reads."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from pipeline import advice, hints, source
from pipeline.document import Document, Place
from pipeline.errors import ManifestError, Problem, UsageError
from pipeline.expansion import Expanded, expand
from pipeline.folder import Folder, content, why
from pipeline.images import Image
from pipeline.including import Including
from pipeline.jobs import Spec
from pipeline.making import Trace
from pipeline.manifest import Layer, Manifest, Part, assembled, ordered, read
from pipeline.profile import Limits, Profile, ReferenceRules, RequestRules, profile_from
from pipeline.sayings import shown
from pipeline.validation import problems


@dataclass(frozen=True, slots=True)
class Loaded:
    """A manifest without mistakes, and what it asks for. ``images`` are those that requests refer to, by sha256."""

    manifest: Manifest
    profile: Profile
    specs: list[Spec]
    warnings: tuple[Problem, ...]
    images: Mapping[str, Image] = field(default_factory=dict)

    @property
    def limits(self) -> Limits:
        """The manifest's limits, and the profile's where it is silent."""
        return replace(self.profile.limits, **self.manifest.limits)


Remembered = Callable[[str], Mapping[str, str]]
"""What gives the variables that earlier commands about a campaign of this name were given."""


def load(
    path: Path, *, variables: Mapping[str, str], own: Path | None = None, remembered: Remembered | None = None
) -> Loaded:
    """Return the manifest's jobs, checked. ``variables`` replace texts of its ``vars``; ``own`` is a profile's file.

    Raises ManifestError with every problem in the manifest and in all that it names, and with the warnings.
    """
    manifest, profile, expanded, found = _expanded(path, variables, own, remembered, None)
    if profile is None or any(problem.severity == "error" for problem in found):
        raise ManifestError(found)
    unused = advice.unused_variables(manifest, expanded.used)
    found = ordered([*found, *expanded.advice, *unused], first=str(path))
    return Loaded(manifest, profile, expanded.specs, tuple(found), expanded.images)


def trace(
    path: Path,
    name: str,
    *,
    variables: Mapping[str, str],
    own: Path | None = None,
    remembered: Remembered | None = None,
) -> tuple[Manifest, Trace]:
    """Return the manifest, and where one of its jobs comes from.

    Raises ManifestError where the manifest has mistakes, and UsageError where it has no such job.
    """
    manifest, _, expanded, found = _expanded(path, variables, own, remembered, name)
    if any(problem.severity == "error" for problem in found):
        raise ManifestError(found)
    if expanded.trace is None:
        near = hints.close(name, [spec.name for spec in expanded.specs[:10_000]])
        raise UsageError(f"there is no job {name}" + (f"; did you mean {near}?" if near else ""))
    return manifest, expanded.trace


def _expanded(
    path: Path, variables: Mapping[str, str], own: Path | None, remembered: Remembered | None, traced: str | None
) -> tuple[Manifest, Profile | None, Expanded, list[Problem]]:
    manifest, parts, folder, found = _manifest(path, variables, remembered)
    chosen, unfit = _profile(manifest, own_profile(own) if own else None)
    rules = chosen.request if chosen else _ANYTHING
    expanded = expand(
        manifest,
        rules,
        schema(rules.schema.removesuffix(_SCHEMA)) if chosen else {},
        tables=folder.table,
        images=folder.image,
        traced=traced,
    )
    found = [*found, *unfit, *expanded.problems, *folder.problems, *advice.about(parts)]
    found += _budget_problems(manifest, chosen) if chosen else ()
    return manifest, chosen, expanded, ordered(found, first=str(path))


_ANYTHING = RequestRules("", {}, metadata=True, extra_body=True, input_reference=ReferenceRules("base64", url=True))
"""What an unknown provider takes: of it nothing can be said."""


def campaign_name(path: Path) -> str:
    """Return the name in a manifest, which may have other mistakes. Raises ManifestError where it has no usable one."""
    document, found = _document(path)
    part, unfit = read(document, schema("manifest"))
    name: str = part.value.get("name", "")
    if not name:
        raise ManifestError(ordered([*found, *unfit], first=str(path)))
    return name


def _manifest(
    path: Path, variables: Mapping[str, str], remembered: Remembered | None
) -> tuple[Manifest, list[Part], Folder, list[Problem]]:
    document, found = _document(path)
    folder = Folder(path)
    schemas = {included: schema("include" if included else "manifest") for included in (False, True)}

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
    layer, price = Layer(manifest.document, ("budget",)), profile.price
    if not manifest.budget:
        return []
    if price is None:
        message = f"the profile {profile.name} has no prices: a run needs one to keep the budget"
        return [layer.key_place.warning("budget", message, "give --price to `plan` and `run`, per second of video")]
    currency = manifest.budget.get("currency", price.currency)
    if currency != price.currency:
        place = Layer(manifest.document, ("budget", "currency")).value_place
        message = f"the prices of the profile {profile.name} are in {price.currency}, not in {currency}"
        return [place.problem("budget", message, f"write {price.currency}")]
    return []


def schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema ``schemas/<name>.schema.json``. Raises UsageError where there is none."""
    found: dict[str, Any] = json.loads(schema_text(name))
    return found


def schema_text(name: str) -> str:
    """Return the text of ``schemas/<name>.schema.json``. Raises UsageError where there is none."""
    names = _names(_resource("schemas"), _SCHEMA)
    if name not in names:
        raise UsageError(f"there is no schema {name!r}; there are {', '.join(names)}")
    return (_resource("schemas") / f"{name}{_SCHEMA}").read_text("utf-8")


def profile(name: str) -> Profile:
    """Return the profile. Raises UsageError where there is none, ManifestError where it breaks its schema."""
    if name not in profile_names():
        raise UsageError(f"there is no profile {name!r}; there are {', '.join(profile_names())}")
    file = f"{name}{_PROFILE}"
    return _checked_profile((_profiles() / file).read_bytes(), file)


def own_profile(path: Path) -> Profile:
    """Return a user's profile. Raises UsageError where it cannot be read, ManifestError where it breaks the schema."""
    return _checked_profile(bytes_of(path, source.MAX_BYTES), str(path))


def bytes_of(path: Path, most: int) -> bytes:
    """Return what is in a file that an option names. Raises UsageError for one that cannot be read, or has more."""
    try:
        return content(path, most)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {why(error)}") from error


def _checked_profile(data: bytes, file: str) -> Profile:
    document, found = source.parse(data, file=file)
    found = found or problems(document, schema("profile")) if document else found
    if document is None or found:
        raise ManifestError(found)
    return profile_from(document.value)


def profile_names() -> tuple[str, ...]:
    return _names(_profiles(), _PROFILE)


def manifests_dir() -> Traversable:
    """Return the folder of the example manifests."""
    return _resource("manifests")


_SCHEMA, _PROFILE = ".schema.json", ".yaml"


def _document(path: Path) -> tuple[Document, list[Problem]]:
    file = str(path)
    try:
        data = content(path, source.MAX_BYTES)
    except (OSError, ValueError) as error:
        raise ManifestError(
            [Place(file, 1, 1).problem("file", f"{file} cannot be read: {why(error)}", "check the path")]
        ) from error
    document, found = source.parse(data, file=file)
    if document is None:
        raise ManifestError(found)
    return document, found


def _profile(manifest: Manifest, own: Profile | None) -> tuple[Profile | None, list[Problem]]:
    """Return the manifest's profile; for an unknown name the nearest, so that the jobs can be checked."""
    names, name = profile_names(), manifest.provider
    if own is not None and name:
        if own.name != name:
            raise UsageError(f"the manifest asks for the profile {name!r}, and the file given is {own.name!r}")
        return own, []
    if name in names or not name:
        return profile(name) if name else None, []
    near = hints.close(name, names)
    address = ": a manifest cannot decide where the key goes" if "/" in name else ""
    message = f"there is no profile {shown(name)}{address}"
    fix = f"write {near}" if near else f"write one of {', '.join(names)}"
    problem = manifest.document.value_at(("provider",)).problem("unknown-provider", message, fix)
    return profile(near) if near else None, [problem]


def _resource(folder: str) -> Traversable:
    """A wheel has the folder inside the package, a checkout and an editable install beside it."""
    inside = resources.files("pipeline") / f"_{folder}"
    return inside if inside.is_dir() else Path(__file__).resolve().parent.parent / folder


def _profiles() -> Traversable:
    return resources.files("pipeline") / "profiles"


def _names(folder: Traversable, suffix: str) -> tuple[str, ...]:
    return tuple(sorted(item.name.removesuffix(suffix) for item in folder.iterdir() if item.name.endswith(suffix)))

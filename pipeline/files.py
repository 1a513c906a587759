"""A manifest's file -> its jobs; and the package's own schemas, profiles and examples, which only this module reads."""

import json
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from pipeline import advice, hints, source
from pipeline.document import Document, Place
from pipeline.errors import CallsheetError, ManifestError, Problem, UsageError
from pipeline.expansion import Expanded, expand
from pipeline.folder import Folder, content, why
from pipeline.images import Image
from pipeline.including import Including
from pipeline.jobs import Spec
from pipeline.making import Trace
from pipeline.manifest import Layer, Manifest, Part, assembled, ordered, read
from pipeline.profile import Limits, Profile, ReferenceRules, RequestRules, Travel, profile_from
from pipeline.sayings import shown
from pipeline.soundness import unsound
from pipeline.validation import problems, resolved


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


@dataclass(frozen=True, slots=True)
class Profiles:
    """Whose profiles there are: one of a ``file``, those of a ``folder`` of the person's own, and ours.

    Never one from beside a manifest: who writes a manifest must not say where the key goes.
    """

    file: Path | None = None
    folder: Path | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted({*profile_names(), *self.own}))

    @property
    def own(self) -> Mapping[str, Path]:
        """The files of the person's folder, by the name that each must have. One with the name of ours replaces it."""
        if self.folder is None or not self.folder.is_dir():
            return {}
        return {path.stem: path for path in sorted(self.folder.glob(f"*{_PROFILE}"))}

    def sound(self) -> tuple[Profile, ...]:
        """Return the profiles that can be read: one in a person's folder that has mistakes is nobody's concern yet."""
        found = []
        for name in self.names:
            with suppress(CallsheetError):
                found.append(self.named(name))
        return tuple(profile for profile in found if profile)

    def named(self, name: str) -> Profile | None:
        """Return the profile of this name, or None. Raises UsageError, ManifestError for a file that is none."""
        return None if (found := self.written(name)) is None else profile_from(found)

    def written(self, name: str) -> Mapping[str, Any] | None:
        """Return the profile of this name as it is written, or None. Raises as ``named`` does."""
        if self.file is not None and (given := written_profile(self.file))["name"] == name:
            return given
        if name in self.own:
            found = written_profile(self.own[name])
            if found["name"] != name:
                raise UsageError(
                    f"{self.own[name]} has the profile {found['name']!r}: name it {found['name']}{_PROFILE}"
                )
            return found
        return written_profile(name) if name in profile_names() else None


_OURS = Profiles()


def load(
    path: Path,
    *,
    variables: Mapping[str, str],
    profiles: Profiles = _OURS,
    remembered: Remembered | None = None,
) -> Loaded:
    """Return the manifest's jobs, checked. ``variables`` replace texts of its ``vars``.

    Raises ManifestError with every problem in the manifest and in all that it names, and with the warnings.
    """
    manifest, profile, expanded, found = _expanded(path, variables, profiles, remembered, ())
    if profile is None or any(problem.severity == "error" for problem in found):
        raise ManifestError(found)
    unused = advice.unused_variables(manifest, expanded.used)
    found = ordered([*found, *expanded.advice, *unused], first=str(path))
    return Loaded(manifest, profile, expanded.specs, tuple(found), expanded.images)


def traces(
    path: Path,
    names: Collection[str],
    *,
    variables: Mapping[str, str],
    profiles: Profiles = _OURS,
    remembered: Remembered | None = None,
) -> tuple[Manifest, Mapping[str, Trace]]:
    """Return the manifest, and where those of its jobs come from that have one of the names.

    Raises ManifestError where the manifest has mistakes, and UsageError for a name that no job has.
    """
    manifest, _, expanded, found = _expanded(path, variables, profiles, remembered, names)
    if any(problem.severity == "error" for problem in found):
        raise ManifestError(found)
    for name in names:
        if name not in expanded.traces:
            near = hints.close(name, [spec.name for spec in expanded.specs[:10_000]])
            raise UsageError(f"there is no job {name}" + (f"; did you mean {near}?" if near else ""))
    return manifest, expanded.traces


def _expanded(
    path: Path, variables: Mapping[str, str], profiles: Profiles, remembered: Remembered | None, traced: Collection[str]
) -> tuple[Manifest, Profile | None, Expanded, list[Problem]]:
    document, found = _document(path)
    provider = document.value.get("provider") if isinstance(document.value, dict) else None
    chosen = profiles.named(provider) if isinstance(provider, str) else None
    manifest, parts, folder, unfit = _manifest(document, path, variables, chosen, remembered)
    found += unfit
    chosen, unfit = (chosen, []) if chosen else _meant(manifest, profiles)
    rules = chosen.request if chosen else _ANYTHING
    expanded = expand(
        manifest,
        rules,
        request_schema(rules),
        tables=folder.table,
        images=folder.image,
        traced=traced,
    )
    found = [*found, *unfit, *expanded.problems, *folder.problems, *advice.about(parts)]
    found += _budget_problems(manifest, chosen) if chosen else ()
    return manifest, chosen, expanded, ordered(found, first=str(path))


_ANYTHING = RequestRules(
    {}, {}, metadata=True, extra_body=True, input_reference=ReferenceRules(Travel("base64"), Travel("text"))
)
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
    document: Document,
    path: Path,
    variables: Mapping[str, str],
    provider: Profile | None,
    remembered: Remembered | None,
) -> tuple[Manifest, list[Part], Folder, list[Problem]]:
    found: list[Problem] = []
    folder = Folder(path)
    schemas = {included: language("include" if included else "manifest", provider) for included in (False, True)}

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


def language(name: str, provider: Profile | None) -> dict[str, Any]:
    """Return the JSON Schema of manifests, or of included files, with the sizes and lengths that a provider takes."""
    found = schema(name)
    if provider is None:
        return found
    taken = request_schema(provider.request)["properties"]
    for key in ("size", "seconds"):
        ours = found["$defs"][key]
        told = {word: rule for word, rule in taken.get(key, {}).items() if word != "type"}
        if told.get("enum") != ours["then"]["enum"]:
            found["$defs"][key] = {**ours, "then": told, "examples": [provider.request.defaults[key]]}
    return found


def request_schema(rules: RequestRules) -> Mapping[str, Any]:
    """Return the JSON Schema that a profile's requests are held against."""
    return resolved(_of_file(rules.schema) if isinstance(rules.schema, str) else rules.schema)


def _of_file(name: str) -> Mapping[str, Any]:
    return schema(name.removesuffix(_SCHEMA))


def schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema ``schemas/<name>.schema.json``. Raises UsageError where there is none."""
    found: dict[str, Any] = json.loads(schema_text(name))
    return found


def schema_text(name: str) -> str:
    """Return the text of ``schemas/<name>.schema.json``. Raises UsageError where there is none."""
    if name not in schema_names():
        raise UsageError(f"there is no schema {name!r}; there are {', '.join(schema_names())}")
    return (_resource("schemas") / f"{name}{_SCHEMA}").read_text("utf-8")


def schema_names() -> tuple[str, ...]:
    return _names(_resource("schemas"), _SCHEMA)


def profile(name: str) -> Profile:
    """Return the profile. Raises UsageError where there is none, ManifestError where it breaks its schema."""
    return profile_from(written_profile(name))


def own_profile(path: Path) -> Profile:
    """Return a user's profile. Raises UsageError where it cannot be read, ManifestError where it breaks the schema."""
    return profile_from(written_profile(path))


def written_profile(which: str | Path) -> Mapping[str, Any]:
    """Return a profile as it is written: ours by its name, a user's by its path. Raises as those two do."""
    if isinstance(which, Path):
        return checked_profile(bytes_of(which, source.MAX_BYTES), str(which))
    if which not in profile_names():
        raise UsageError(f"there is no profile {which!r}; there are {', '.join(profile_names())}")
    file = f"{which}{_PROFILE}"
    return checked_profile((_profiles() / file).read_bytes(), file)


def bytes_of(path: Path, most: int) -> bytes:
    """Return what is in a file that an option names. Raises UsageError for one that cannot be read, or has more."""
    try:
        return content(path, most)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {why(error)}") from error


def checked_profile(data: bytes, file: str) -> Mapping[str, Any]:
    """Return what a profile's text says. Raises ManifestError where it breaks the schema."""
    document, found = source.parse(data, file=file)
    if document is not None and not found:
        names = [f"{name}{_SCHEMA}" for name in schema_names()]
        found = problems(document, schema("profile")) or unsound(document, names, _of_file)
    if document is None or found:
        raise ManifestError(found)
    value: Mapping[str, Any] = document.value
    return value


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


def _meant(manifest: Manifest, profiles: Profiles) -> tuple[Profile | None, list[Problem]]:
    """Return, for a name that no profile has, the nearest, so that the jobs can be checked."""
    names, name = profiles.names, manifest.provider
    if not name:
        return None, []
    if profiles.file is not None:
        given = own_profile(profiles.file).name
        raise UsageError(f"the manifest asks for the profile {name!r}, and the file given is {given!r}")
    near = hints.close(name, names)
    address = ": a manifest cannot decide where the key goes" if "/" in name else ""
    message = f"there is no profile {shown(name)}{address}"
    fix = f"write {near}" if near else f"write one of {', '.join(names)}"
    problem = manifest.document.value_at(("provider",)).problem("unknown-provider", message, fix)
    return profiles.named(near) if near else None, [problem]


def _resource(folder: str) -> Traversable:
    """A wheel has the folder inside the package, a checkout and an editable install beside it."""
    inside = resources.files("pipeline") / f"_{folder}"
    return inside if inside.is_dir() else Path(__file__).resolve().parent.parent / folder


def _profiles() -> Traversable:
    return resources.files("pipeline") / "profiles"


def _names(folder: Traversable, suffix: str) -> tuple[str, ...]:
    return tuple(sorted(item.name.removesuffix(suffix) for item in folder.iterdir() if item.name.endswith(suffix)))

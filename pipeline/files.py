"""The only module that reads manifests, their tables, and the package's own schemas, profiles and examples."""

import errno
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from pipeline import hints, source, tables
from pipeline.document import Document, Place
from pipeline.errors import ManifestError, Problem, UsageError
from pipeline.expansion import expand
from pipeline.images import Image
from pipeline.jobs import Spec
from pipeline.manifest import Manifest, ordered, read
from pipeline.profile import Limits, Profile, RequestRules, profile_from
from pipeline.sayings import shown
from pipeline.tables import Table
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


def load(path: Path, *, variables: Mapping[str, str], own: Path | None = None) -> Loaded:
    """Return the manifest's jobs, checked. ``variables`` replace texts of its ``vars``; ``own`` is a profile's file.

    Raises ManifestError with every problem in the manifest and in its tables, and with the warnings.
    """
    document, found = _document(path)
    manifest, unfit = read(document, schema("manifest"), variables=variables)
    found += unfit
    rows: dict[str, Table | None] = {}
    for written, place in manifest.tables.items():
        rows[written], unfit = _table(path, written, place)
        found += unfit
    chosen, unfit = _profile(manifest, own_profile(own) if own else None)
    found += unfit
    rules = schema(chosen.request.schema.removesuffix(_SCHEMA)) if chosen else {}
    specs, unfit = expand(manifest, chosen.request if chosen else RequestRules("", {}), rules, rows)
    found = ordered([*found, *unfit], first=str(path))
    if chosen is None or any(problem.severity == "error" for problem in found):
        raise ManifestError(found)
    return Loaded(manifest, chosen, specs, tuple(found))


def campaign_name(path: Path) -> str:
    """Return the name in a manifest, which may have other mistakes. Raises ManifestError where it has no usable one."""
    document, found = _document(path)
    manifest, unfit = read(document, schema("manifest"), variables={})
    if not manifest.name:
        raise ManifestError(ordered([*found, *unfit], first=str(path)))
    return manifest.name


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
        return _content(path, most)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {_why(error)}") from error


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
        data = _content(path, source.MAX_BYTES)
    except (OSError, ValueError) as error:
        raise ManifestError(
            [Place(file, 1, 1).problem("file", f"{file} cannot be read: {_why(error)}", "check the path")]
        ) from error
    document, found = source.parse(data, file=file)
    if document is None:
        raise ManifestError(found)
    return document, found


def _table(manifest: Path, written: str, place: Place) -> tuple[Table | None, list[Problem]]:
    """Return the rows of a table in or below the manifest's folder."""
    suffix = Path(written).suffix.lower()
    if suffix not in tables.FORMATS:
        fix = f"save it as one of {', '.join(tables.FORMATS)}"
        return None, [place.problem("from", f"{shown(written)} has no suffix that tells the kind of table", fix)]
    try:
        path = (manifest.parent / written).resolve()
        if not path.is_relative_to(manifest.parent.resolve()):
            return None, [place.problem("from", "the table lies outside the manifest's folder", "move it there")]
        data = _content(path, tables.MAX_BYTES)
    except (OSError, ValueError, RuntimeError) as error:
        return None, [place.problem("from", f"the table cannot be read: {_why(error)}", "check the path")]
    return tables.parse(data, file=str(manifest.parent / written))


def _content(path: Path, limit: int) -> bytes:
    """Return what is in a regular file. Nothing else is waited for. Raises OSError for others, and for large ones."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"it is larger than {limit >> 20} MiB")
    return data


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


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

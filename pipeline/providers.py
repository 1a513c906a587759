"""Profiles: ours by their names, and a person's own, checked whole; and what a provider makes of the language."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pipeline import shipped, source
from pipeline.errors import ManifestError
from pipeline.folder import bytes_of
from pipeline.profile import Profile, RequestRules, profile_from
from pipeline.shipped import PROFILE, SCHEMA
from pipeline.soundness import unsound
from pipeline.validation import problems, resolved


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
    return _ours(which)


@cache
def _ours(name: str) -> Mapping[str, Any]:
    """Return one of ours, which is checked once a process: it does not change."""
    return checked_profile(shipped.profile_text(name), f"{name}{PROFILE}")


def checked_profile(data: bytes, file: str) -> Mapping[str, Any]:
    """Return what a profile's text says. Raises ManifestError where it breaks the schema."""
    document, found = source.parse(data, file=file)
    if document is not None and not found:
        names = [f"{name}{SCHEMA}" for name in shipped.schema_names()]
        found = problems(document, shipped.schema("profile")) or unsound(document, names, _of_file)
    if document is None or found:
        raise ManifestError(found)
    value: Mapping[str, Any] = document.value
    return value


def language(name: str, provider: Profile | None) -> dict[str, Any]:
    """Return the JSON Schema of manifests, or of included files, with the sizes and lengths that a provider takes."""
    found = shipped.schema(name)
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
    return shipped.schema(name.removesuffix(SCHEMA))

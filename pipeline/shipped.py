"""The package's own schemas, profiles and examples, as they are on disk. Only this module knows where they lie."""

import json
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from pipeline.errors import UsageError

SCHEMA, PROFILE = ".schema.json", ".yaml"
"""What the files' names end with."""


def schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema ``schemas/<name>.schema.json``. Raises UsageError where there is none."""
    found: dict[str, Any] = json.loads(schema_text(name))
    return found


@cache
def schema_text(name: str) -> str:
    """Return the text of ``schemas/<name>.schema.json``. Raises UsageError where there is none."""
    if name not in schema_names():
        raise UsageError(f"there is no schema {name!r}; there are {', '.join(schema_names())}")
    return (_resource("schemas") / f"{name}{SCHEMA}").read_text("utf-8")


@cache
def schema_names() -> tuple[str, ...]:
    return _names(_resource("schemas"), SCHEMA)


@cache
def profile_names() -> tuple[str, ...]:
    return _names(_profiles(), PROFILE)


def manifests_dir() -> Traversable:
    """Return the folder of the example manifests."""
    return _resource("manifests")


def profile_text(name: str) -> bytes:
    """Return the profile's text. Raises UsageError where there is none."""
    if name not in profile_names():
        raise UsageError(f"there is no profile {name!r}; there are {', '.join(profile_names())}")
    return (_profiles() / f"{name}{PROFILE}").read_bytes()


def _resource(folder: str) -> Traversable:
    """A wheel has the folder inside the package, a checkout and an editable install beside it."""
    inside = resources.files("pipeline") / f"_{folder}"
    return inside if inside.is_dir() else Path(__file__).resolve().parent.parent / folder


def _profiles() -> Traversable:
    return resources.files("pipeline") / "profiles"


def _names(folder: Traversable, suffix: str) -> tuple[str, ...]:
    return tuple(sorted(item.name.removesuffix(suffix) for item in folder.iterdir() if item.name.endswith(suffix)))

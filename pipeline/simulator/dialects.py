"""A dialect: how one server of ``/v1/videos`` takes requests and words its answers, as a value.

Servers differ in data, never in code: a new one is a new file in ``dialects/``, checked by
``schemas/dialect.schema.json``, which says what each field means. The defaults here are those of that schema.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from pipeline import shipped, source
from pipeline.errors import ManifestError, UsageError
from pipeline.validation import problems

DEFAULT = "callsheet"

Template = Any
"""A JSON value whose texts have ``{names}`` in them: see ``wording.filled``."""


@dataclass(frozen=True, slots=True)
class Taking:
    """What a create request may hold. Without a ``schema`` the one of the strict API holds."""

    encodings: Collection[str] = ("json",)
    files: Collection[str] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    coerce: Mapping[str, str] = field(default_factory=dict)
    dropped: Collection[str] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    schema: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Ids:
    """How a job is called; with an ``envelope`` the name is base64 of that text, which holds the true one."""

    prefix: str = "video_"
    uuid: bool = False
    envelope: str | None = None
    later: str | None = None


@dataclass(frozen=True, slots=True)
class Video:
    """How a Video differs from OpenAI's."""

    add: Mapping[str, Template] = field(default_factory=dict)
    without: Collection[str] = ()
    created: Mapping[str, Template] = field(default_factory=dict)
    completed: Mapping[str, Template] = field(default_factory=dict)
    omit_null: bool = False
    words: Mapping[str, str] = field(default_factory=dict)
    progress: str = "rising"
    error: Template = field(default_factory=lambda: {"code": "{code}", "message": "{message}"})
    failed_status: int = 200


@dataclass(frozen=True, slots=True)
class Expiry:
    """``shown`` is what ``expires_at`` says, in seconds after completion; ``enforced``: it is true."""

    shown: int | None = 3600
    enforced: bool = False


@dataclass(frozen=True, slots=True)
class Content:
    delivery: str = "bytes"
    variants: Collection[str] | None = ("video",)
    file_name: str = '"{id}.mp4"'


@dataclass(frozen=True, slots=True)
class Listing:
    limit: int | None = 20
    least: int = 0
    most: int = 100
    lenient: bool = False
    page: Template = None


@dataclass(frozen=True, slots=True)
class Deleting:
    running: bool = False
    answer: Template = field(default_factory=lambda: {"id": "{id}", "object": "video.deleted", "deleted": True})


@dataclass(frozen=True, slots=True)
class Headers:
    """``upstream`` is what a gateway makes of the name of a header that came with an error from behind it."""

    request_id: str | None = "x-request-id"
    created: Mapping[str, str] = field(default_factory=dict)
    upstream: str | None = "{name}"


@dataclass(frozen=True, slots=True)
class Dialect:
    name: str
    title: str
    key: bool = False
    idempotency: bool = False
    memory: bool = False
    request: Taking = Taking()
    ids: Ids = Ids()
    video: Video = Video()
    expiry: Expiry = Expiry()
    content: Content = Content()
    list: Listing | None = None
    delete: Deleting | None = None
    headers: Headers = Headers()
    errors: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


_PARTS = {
    "request": Taking,
    "ids": Ids,
    "video": Video,
    "expiry": Expiry,
    "content": Content,
    "list": Listing,
    "delete": Deleting,
    "headers": Headers,
}
_FOLDER, _SUFFIX = "dialects", ".yaml"


@cache
def names() -> tuple[str, ...]:
    """Return the names of the dialects that there are."""
    folder = resources.files("pipeline.simulator") / _FOLDER
    return tuple(sorted(item.name.removesuffix(_SUFFIX) for item in folder.iterdir() if item.name.endswith(_SUFFIX)))


@cache
def dialect(name: str) -> Dialect:
    """Return the dialect. Raises UsageError where there is none, ManifestError where it breaks its schema."""
    if name not in names():
        raise UsageError(f"there is no dialect {name!r}; there are {', '.join(names())}")
    file = f"{name}{_SUFFIX}"
    document, found = source.parse((resources.files("pipeline.simulator") / _FOLDER / file).read_bytes(), file=file)
    found = found or problems(document, shipped.schema("dialect")) if document else found
    if document is None or found:
        raise ManifestError(found)
    return Dialect(**{key: _PARTS[key](**value) if key in _PARTS else value for key, value in document.value.items()})

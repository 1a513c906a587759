"""A profile: what one server wants and is able to do, as a value. Pure.

Servers differ in data, never in code: a new server is a new file, checked by ``schemas/profile.schema.json``, whose
descriptions say what every field means (``docs/profiles.md`` shows them).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from pipeline.classes import REFUSALS
from pipeline.errors import UsageError
from pipeline.jobs import FailureKind
from pipeline.videos import Status


@dataclass(frozen=True, slots=True)
class Auth:
    """``required``: without a key no request is made. Else one is sent where there is one."""

    scheme: str
    env: tuple[str, ...] = ()
    required: bool = True

    @property
    def takes_key(self) -> bool:
        return self.scheme != "none"


@dataclass(frozen=True, slots=True)
class Travel:
    """How something travels: in which form (``form``), in which field of the body."""

    form: str
    field: str = "input_reference"


@dataclass(frozen=True, slots=True)
class ReferenceRules:
    """What the server takes as ``input_reference``: an image's bytes, a URL; None for what it does not."""

    image: Travel | None = None
    url: Travel | None = None


@dataclass(frozen=True, slots=True)
class Field:
    """What a field of the manifest is called on the wire, and whether it is text or a whole number there."""

    name: str
    type: str = "string"


@dataclass(frozen=True, slots=True)
class RequestRules:
    """``schema`` names a file in ``schemas/``, or is a JSON Schema; ``defaults`` are sent where the manifest is silent.

    ``extra_body`` tells whether further fields may be sent; as a mapping, which ones, each with its JSON Schema.
    """

    schema: str | Mapping[str, Any]
    defaults: Mapping[str, Any]
    encoding: str = "json"
    fields: Mapping[str, Field] = field(default_factory=dict)
    metadata: bool = False
    extra_body: bool | Mapping[str, Any] = False
    input_reference: ReferenceRules = ReferenceRules()


@dataclass(frozen=True, slots=True)
class Abilities:
    """What the server is known to do beyond create, retrieve and content.

    ``same_id``: its status answers name a job as its create answer did.
    """

    list: bool = False
    delete: bool = False
    idempotency: bool = False
    echo: bool = False
    same_id: bool = True


@dataclass(frozen=True, slots=True)
class Content:
    """How a finished video is handed over. ``expiry``: seconds for which it is kept, where the server does not say.

    ``url``: the key of a JSON answer that has the video's address; None where the bytes come themselves.
    """

    redirects: bool = True
    url: str | None = None
    expiry: float | None = None


@dataclass(frozen=True, slots=True)
class Doubt:
    """How long a request without an answer may still be carried out, in seconds; see ``policies.Policy``.

    ``refusals``: the HTTP statuses that prove that nothing was created.
    """

    settle: float = 900.0
    between: float = 60.0
    key_life: float = 12 * 3600.0
    refusals: frozenset[int] = REFUSALS


@dataclass(frozen=True, slots=True)
class PollPace:
    """Seconds: age of a job at its first poll, then between polls of a young and of an old job."""

    first: float
    interval: float
    slowest: float


@dataclass(frozen=True, slots=True)
class Limits:
    requests_per_minute: float
    max_in_flight: int
    polls_per_second: float
    downloads: int
    max_video_mib: int = 64


@dataclass(frozen=True, slots=True)
class Price:
    """Prices of a second of video by model, or by model and size; ``otherwise`` is that of models without one."""

    currency: str
    per_second: Mapping[str, float | Mapping[str, float]] = field(default_factory=dict)
    otherwise: float | None = None

    def of(self, model: str | None, size: str | None) -> float | None:
        """Return what a second costs, or None where nobody knows it."""
        found = self.per_second.get(model, self.otherwise) if model is not None else self.otherwise
        if isinstance(found, Mapping):
            return found.get(size) if size is not None else None
        return found


@dataclass(frozen=True, slots=True)
class Profile:
    """``base_url`` is None where the server is everybody's own. ``status``: words beside those that are known anyway.

    ``codes``: what the server's own error codes mean. ``unbilled``: failures of accepted jobs that cost nothing.
    """

    name: str
    title: str
    auth: Auth
    request: RequestRules
    poll: PollPace
    limits: Limits
    base_url: str | None = None
    transport: str = "http"
    abilities: Abilities = Abilities()
    content: Content = Content()
    status: Mapping[str, Status] = field(default_factory=dict)
    codes: Mapping[str, FailureKind] = field(default_factory=dict)
    doubt: Doubt = Doubt()
    unbilled: frozenset[FailureKind] = frozenset()
    price: Price | None = None

    def cost(self, request: Mapping[str, Any]) -> float | None:
        """Return what this request costs, or None where nobody knows it."""
        if self.price is None:
            return None
        per_second = self.price.of(request.get("model"), request.get("size"))
        seconds = str(request.get("seconds"))
        if per_second is None or not _NUMBER.fullmatch(seconds):
            return None
        return per_second * (float(seconds) if "." in seconds else int(seconds))


def profile_from(data: Mapping[str, Any]) -> Profile:
    """Return the profile in data that ``schemas/profile.schema.json`` has accepted."""
    auth, doubt, price = data["auth"], data.get("doubt", {}), data.get("price")
    base_url = data.get("base_url")
    return Profile(
        name=data["name"],
        title=data["title"],
        base_url=base_url and base_url.rstrip("/"),
        auth=Auth(auth["scheme"], tuple(auth.get("env", ())), auth.get("required", True)),
        request=_request_rules(data["request"]),
        poll=PollPace(**data["poll"]),
        limits=Limits(**data["limits"]),
        transport=data.get("transport", "http"),
        abilities=Abilities(**data.get("abilities", {})),
        content=Content(**data.get("content", {})),
        status={word.strip().lower(): Status[meaning.upper()] for word, meaning in data.get("status", {}).items()},
        codes={code: FailureKind(kind) for code, kind in data.get("errors", {}).items()},
        doubt=Doubt(**doubt | ({"refusals": frozenset(doubt["refusals"])} if "refusals" in doubt else {})),
        unbilled=frozenset(map(FailureKind, data.get("unbilled", ()))),
        price=Price(**price) if price else None,
    )


def _request_rules(data: Mapping[str, Any]) -> RequestRules:
    travels = {
        what: Travel(**{"form": told["as"]} | {key: value for key, value in told.items() if key == "field"})
        for what, told in data.get("input_reference", {}).items()
    }
    return RequestRules(
        schema=data["schema"],
        defaults=MappingProxyType(data["defaults"]),
        encoding=data.get("encoding", "json"),
        fields={name: Field(**{"name": name} | told) for name, told in data.get("fields", {}).items()},
        metadata=data.get("metadata", False),
        extra_body=data.get("extra_body", False),
        input_reference=ReferenceRules(**travels),
    )


def address(profile: Profile, base_url: str | None, environment: Mapping[str, str], *, allow_http: bool) -> str | None:
    """Return where requests and the key go: to ``base_url``, the environment's word, or the profile's address.

    None is the bundled simulator. Only a person can override it, never a manifest. Raises UsageError for what is no
    base address, and for plain http that would show the key to the network.
    """
    variable = f"CALLSHEET_{profile.name.upper().replace('-', '_')}_BASE_URL"
    override = base_url or environment.get(variable) or None
    if override is None and profile.transport == "bundled":
        return None
    url = (override or profile.base_url or "").rstrip("/")
    if not url:
        raise UsageError(
            f"the profile {profile.name} is of many servers and has no address: say it with --base-url or {variable}"
        )
    if not _ADDRESS.fullmatch(url) or not _is_host(url):
        shown = re.sub("//.*@", "//***@", url)
        raise UsageError(f"not a base address: {shown!r}; write it like https://host/v1, without a user or a key")
    parts = urlsplit(url)
    carries = profile.auth.required or any(environment.get(name, "").strip() for name in profile.auth.env)
    safe = parts.scheme == "https" or parts.hostname in LOOPBACK or not (profile.auth.takes_key and carries)
    if not (safe or allow_http):
        raise UsageError(f"{url} would carry the key unencrypted: use https, or --allow-http if the network is yours")
    return url


_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_ADDRESS = re.compile(r"https?://([A-Za-z0-9.-]+|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?(/[!-\"$->@-~]*)?")


def _is_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname and parts.hostname.encode("ascii").decode("idna")) and parts.port != 0
    except (ValueError, UnicodeError):
        return False

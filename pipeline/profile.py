"""A profile: what one server wants and is able to do, as a value. Pure.

Servers differ in data, never in code: a new server is a new file in ``profiles/``, checked by
``schemas/profile.schema.json``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from pipeline.errors import UsageError


@dataclass(frozen=True, slots=True)
class Auth:
    scheme: str
    env: tuple[str, ...] = ()

    @property
    def needs_key(self) -> bool:
        return self.scheme != "none"


@dataclass(frozen=True, slots=True)
class ReferenceRules:
    """What the server takes as ``input_reference``: an image as text of this form (``images.as_text``), a URL."""

    image: str | None = None
    url: bool = False


@dataclass(frozen=True, slots=True)
class RequestRules:
    """``schema`` names a file in ``schemas/``; ``defaults`` are sent where the manifest is silent."""

    schema: str
    defaults: Mapping[str, Any]
    metadata: bool = False
    extra_body: bool = False
    input_reference: ReferenceRules = ReferenceRules()


@dataclass(frozen=True, slots=True)
class Abilities:
    """What the server is known to do beyond create, retrieve and content."""

    list: bool = False
    delete: bool = False
    idempotency: bool = False
    echo: bool = False


@dataclass(frozen=True, slots=True)
class Doubt:
    """How long a request without an answer may still be carried out, in seconds; see ``decisions.Policy``."""

    settle: float = 900.0
    between: float = 60.0
    key_life: float = 12 * 3600.0


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
    """Prices of a second of video by model; ``otherwise`` is that of models which are not named."""

    currency: str
    per_second: Mapping[str, float] = field(default_factory=dict)
    otherwise: float | None = None


@dataclass(frozen=True, slots=True)
class Profile:
    name: str
    title: str
    base_url: str
    auth: Auth
    request: RequestRules
    poll: PollPace
    limits: Limits
    transport: str = "http"
    abilities: Abilities = Abilities()
    doubt: Doubt = Doubt()
    price: Price | None = None

    def cost(self, request: Mapping[str, Any]) -> float | None:
        """Return what this request costs, or None where nobody knows it."""
        if self.price is None:
            return None
        per_second = self.price.per_second.get(request["model"], self.price.otherwise)
        return None if per_second is None else per_second * int(request["seconds"])


def profile_from(data: Mapping[str, Any]) -> Profile:
    """Return the profile in data that ``schemas/profile.schema.json`` has accepted."""
    request, auth = data["request"], data["auth"]
    return Profile(
        name=data["name"],
        title=data["title"],
        base_url=data["base_url"].rstrip("/"),
        auth=Auth(auth["scheme"], tuple(auth.get("env", ()))),
        request=RequestRules(
            schema=request["schema"],
            defaults=MappingProxyType(request["defaults"]),
            metadata=request.get("metadata", False),
            extra_body=request.get("extra_body", False),
            input_reference=ReferenceRules(**request.get("input_reference", {})),
        ),
        poll=PollPace(**data["poll"]),
        limits=Limits(**data["limits"]),
        transport=data.get("transport", "http"),
        abilities=Abilities(**data.get("abilities", {})),
        doubt=Doubt(**data.get("doubt", {})),
        price=Price(**data["price"]) if "price" in data else None,
    )


def address(profile: Profile, base_url: str | None, environment: Mapping[str, str], *, allow_http: bool) -> str | None:
    """Return where requests and the key go: to ``base_url``, the environment's word, or the profile's address.

    None is the bundled simulator. Only a person can override it, never a manifest. Raises UsageError for what is no
    base address, and for plain http that would show the key to the network.
    """
    override = base_url or environment.get(f"CALLSHEET_{profile.name.upper().replace('-', '_')}_BASE_URL") or None
    if override is None and profile.transport == "bundled":
        return None
    url = (override or profile.base_url).rstrip("/")
    if not _ADDRESS.fullmatch(url) or not _is_host(url):
        shown = re.sub("//.*@", "//***@", url)
        raise UsageError(f"not a base address: {shown!r}; write it like https://host/v1, without a user or a key")
    parts = urlsplit(url)
    safe = parts.scheme == "https" or parts.hostname in _LOOPBACK or not profile.auth.needs_key
    if not (safe or allow_http):
        raise UsageError(f"{url} would carry the key unencrypted: use https, or --allow-http if the network is yours")
    return url


_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_ADDRESS = re.compile(r"https?://([A-Za-z0-9.-]+|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?(/[!-\"$->@-~]*)?")


def _is_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname and parts.hostname.encode("ascii").decode("idna")) and parts.port != 0
    except (ValueError, UnicodeError):
        return False

"""The key: found, checked, sent, and never shown. Pure."""

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.errors import CredentialError
from pipeline.profile import Auth

_USABLE = re.compile(r"[\x21-\x7e]{8,512}")
_REDACTED = b"[key removed]"


@dataclass(frozen=True, slots=True)
class Secret:
    """A key. Its text leaves only through ``header`` ; ``repr``, logs and tracebacks show stars."""

    _text: str = field(repr=False)

    @property
    def header(self) -> str:
        """The value of the Authorization header."""
        return f"Bearer {self._text}"

    @property
    def fingerprint(self) -> str:
        """32 bits that tell two keys apart and give neither away."""
        return hashlib.sha256(b"callsheet key\0" + self._text.encode()).hexdigest()[:8]

    def redact(self, data: bytes) -> bytes:
        """Return the data without the key's bytes, plain or in base64: servers quote keys in their errors."""
        plain = self._text.encode()
        for needle in (plain, base64.b64encode(plain), base64.b64encode(plain).rstrip(b"=")):
            data = data.replace(needle, _REDACTED)
        return data


def find_key(auth: Auth, environment: Mapping[str, str]) -> Secret | None:
    """Return the key that the profile's variables hold, or None where the profile wants none.

    Raises CredentialError, naming the variables and never a value, when there is none, when two variables disagree,
    or when the value could not be sent in a header as it is.
    """
    if not auth.needs_key:
        return None
    values = {name: environment[name].strip() for name in auth.env if environment.get(name, "").strip()}
    if not values:
        others = "".join(f" (or {name})" for name in auth.env[1:])
        raise CredentialError(f"the key is missing: set {auth.env[0]}{others}")
    if len(set(values.values())) > 1:
        raise CredentialError(f"{' and '.join(values)} hold different keys: unset one")
    name, text = next(iter(values.items()))
    if not _USABLE.fullmatch(text):
        raise CredentialError(f"{name} holds no usable key: 8 to 512 visible ASCII characters without spaces")
    return Secret(text)

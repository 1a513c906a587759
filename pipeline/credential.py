"""The key: found, checked, sent, and never shown. Pure."""

from __future__ import annotations  # what only lends its type is not loaded

import base64
import hashlib
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from pipeline.errors import CredentialError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.profile import Auth

_USABLE = re.compile(r"[\x21-\x7e]{8,512}")
REDACTED = "[key removed]"
_LONGEST_LETTER = 16
_PIECE = 8
_NAMED = {"&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "apos", "+": "plus", "/": "sol", "=": "equals"}
_URL_SAFE_BASE64 = {"+": "-", "/": "_"}


@dataclass(frozen=True)
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

    @cached_property
    def _writings(self) -> re.Pattern[bytes]:
        """Match the key as software writes what it quotes: as it is, in base64, escaped for JSON, HTML or a URL."""
        plain = self._text.encode()
        # Of base64, what the key alone decides: it may stand after one or two more bytes, as in "Bearer ...".
        encoded = [base64.b64encode(bytes(before) + plain) for before in range(3)]
        stable = [text[(0, 2, 3)[n] : (n + len(plain)) * 8 // 6] for n, text in enumerate(encoded)]
        texts = (plain, *stable)
        first = re.escape(b"".join(map(_beginnings, texts)))  # one look at a byte that begins no writing
        return re.compile(b"(?=[%s])(?:%s)" % (first, b"|".join(map(_as_written, texts))))

    @cached_property
    def _pieces(self) -> frozenset[str]:
        return frozenset(self._text[n : n + _PIECE] for n in range(len(self._text) - _PIECE + 1))

    def redact(self, data: bytes) -> bytes:
        """Return the data without the key, however it is written: servers quote keys in their errors."""
        return self._writings.sub(REDACTED.encode(), data)

    def redact_text(self, text: str) -> str:
        """Return the text without the key."""
        return self.redact(text.encode("utf-8", "replace")).decode()

    def redact_words(self, text: str) -> str:
        """Return the text without the key, and without any word that has a piece of it: a library may quote that."""

        def whole(word: re.Match[str]) -> str:
            return REDACTED if any(piece in word[0] for piece in self._pieces) else word[0]

        return re.sub(r"\S+", whole, self.redact_text(text))

    def redact_start(self, data: bytes) -> bytes:
        """Return the beginning of longer data without the key, and without the piece of one at its end."""
        return self.redact(data)[: -_LONGEST_LETTER * len(self._text)]


class Censor:
    """Takes the key, and whatever else must not be kept, out of what was answered."""

    def __init__(self, *secrets: Secret | None) -> None:
        self._secrets = [secret for secret in secrets if secret is not None]

    def answer(self, headers: Mapping[str, str], body: bytes, *, whole: bool) -> tuple[dict[str, str], bytes]:
        """Return an answer's headers and body. One that is not ``whole`` may end in the middle of a key."""
        headers = dict(headers.items())  # of httpx's headers in one pass
        for secret in self._secrets:
            headers = {name: secret.redact_text(value) for name, value in headers.items()}
            body = secret.redact(body) if whole else secret.redact_start(body)
        return headers, body

    def words(self, text: str) -> str:
        """Return what a library says, without any word that has a piece of a secret."""
        for secret in self._secrets:
            text = secret.redact_words(text)
        return text

    def finds(self, text: str) -> bool:
        return any(secret.redact_text(text) != text for secret in self._secrets)


def find_key(auth: Auth, environment: Mapping[str, str]) -> Secret | None:
    """Return the key that the profile's variables hold, or None where the profile takes none, or needs none.

    Raises CredentialError, naming the variables and never a value, when there is none, when two variables disagree,
    or when the value could not be sent in a header as it is.
    """
    if not auth.takes_key:
        return None
    values = {name: environment[name].strip() for name in auth.env if environment.get(name, "").strip()}
    if not values and not auth.required:
        return None
    if not values:
        others = "".join(f" (or {name})" for name in auth.env[1:])
        raise CredentialError(f"the key is missing: set {auth.env[0]}{others}")
    if len(set(values.values())) > 1:
        raise CredentialError(f"{' and '.join(values)} hold different keys: unset one")
    name, text = next(iter(values.items()))
    if not _USABLE.fullmatch(text):
        raise CredentialError(f"{name} holds no usable key: 8 to 512 visible ASCII characters without spaces")
    return Secret(text)


def _as_written(text: bytes) -> bytes:
    """Return a pattern of the text: each letter as it is or escaped, more than once too, and UTF-16's zeros between."""
    return rb"\0{0,3}".join(_letter(letter) for letter in text.decode())


def _beginnings(text: bytes) -> bytes:
    """Return the bytes with which such a writing of the text may begin."""
    letter = text[:1].decode()
    return rf"\%&{letter}{_URL_SAFE_BASE64.get(letter, '')}".encode()


def _letter(letter: str) -> bytes:
    number = ord(letter)
    ways = [
        rf"\\{{0,8}}{re.escape(letter)}",
        rf"%(?:25){{0,4}}{_hex(number)}",
        rf"\\{{1,8}}u00{_hex(number)}",
        rf"&(?:amp;){{0,4}}#0{{0,4}}(?:{number}|[xX]0{{0,4}}{_hex(number)});",
    ]
    if letter in _NAMED:
        ways.append(rf"&(?:amp;){{0,4}}{_NAMED[letter]};")
    if letter in _URL_SAFE_BASE64:
        ways.append(_URL_SAFE_BASE64[letter])
    return f"(?:{'|'.join(ways)})".encode()


def _hex(number: int) -> str:
    return "".join(f"[{digit.lower()}{digit.upper()}]" for digit in f"{number:02x}")

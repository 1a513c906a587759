"""The canary: a key that is found again wherever it went, and however it was written there."""

import base64
import html
import json
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import quote, quote_plus


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


#: How software writes a key that it quotes: a name, and what it makes of the key.
WRITINGS: Mapping[str, Callable[[str], str]] = {
    "plain": lambda key: key,
    "base64": _base64,
    "base64 without its end": lambda key: _base64(key).rstrip("="),
    "base64 of the header": lambda key: _base64(f"Bearer {key}"),
    "base64 of user and key": lambda key: _base64(f"user:{key}"),
    "base64 for URLs": lambda key: base64.urlsafe_b64encode(key.encode()).decode(),
    "quoted for a URL": lambda key: quote(key, safe=""),
    "quoted for a URL in small letters": lambda key: re.sub("%..", lambda found: found[0].lower(), quote(key, safe="")),
    "every byte quoted for a URL": lambda key: "".join(f"%{byte:02X}" for byte in key.encode()),
    "quoted for a form": quote_plus,
    "escaped for JSON, slashes too": lambda key: json.dumps(key)[1:-1].replace("/", "\\/"),
    "escaped for JSON and HTML": lambda key: key.replace("&", "\\u0026").replace("=", "\\u003d"),
    "every letter escaped for JSON": lambda key: "".join(f"\\u{ord(letter):04x}" for letter in key),
    "escaped for HTML": html.escape,
}


@dataclass(frozen=True, slots=True)
class Trace:
    """A place where the key, or half of it, can be read."""

    place: str
    form: str
    around: bytes

    def __str__(self) -> str:
        return f"{self.place}: {self.form}: {self.around!r}"


@dataclass(frozen=True)
class Canary:
    """A key of two random halves, with letters between them that JSON, URLs, forms and HTML write in other ways."""

    head: str
    tail: str

    @classmethod
    def hatched(cls) -> "Canary":
        return cls(secrets.token_hex(8), secrets.token_hex(8))

    @property
    def text(self) -> str:
        return f"sk-CANARY-{self.head}/+=&~~~{self.tail}"

    @property
    def header(self) -> str:
        return f"Bearer {self.text}"

    @cached_property
    def _needles(self) -> Mapping[bytes, str]:
        """What is looked for, in small letters, and how it is called. Each half counts: it alone gives the key away."""
        found: dict[bytes, str] = {}
        for name, part in (("the key", self.text), ("its first half", self.head), ("its last 16 letters", self.tail)):
            for form, needle in _forms(part.encode()):
                found.setdefault(needle.lower(), f"{name}, {form}")
        return found

    def traces(self, data: bytes, place: str) -> Iterator[Trace]:
        """Yield how the key can be read in the bytes, whatever the case of their letters."""
        small = data.lower()
        for needle, form in self._needles.items():
            at = small.find(needle)
            if at >= 0:
                yield Trace(place, form, data[max(0, at - 40) : at + len(needle) + 40])

    def traces_below(self, folder: Path) -> list[Trace]:
        """Return how the key can be read in the files of a folder, or in their names."""
        found: list[Trace] = []
        for path in sorted(folder.rglob("*")):
            place = str(path.relative_to(folder))
            found += self.traces(place.encode("utf-8", "surrogateescape"), f"the name {place}")
            if path.is_file() and not path.is_symlink():
                found += self.traces(path.read_bytes(), place)
        return found


def _forms(part: bytes) -> Iterator[tuple[str, bytes]]:
    text = part.decode()
    yield "plain", part
    yield "reversed", part[::-1]
    yield "in hex", part.hex().encode()
    yield "in UTF-16", text.encode("utf-16-le")
    for before in range(3):
        middle = _stable_base64(part, before)
        yield f"in base64 after {before} more bytes", middle
        yield f"in base64 for URLs after {before} more bytes", middle.translate(bytes.maketrans(b"+/", b"-_"))
    for form, write in WRITINGS.items():
        if not form.startswith("base64"):
            yield form, write(text).encode()


def _stable_base64(part: bytes, before: int) -> bytes:
    """Return the letters of base64 that the part alone decides, where so many bytes more than threes precede it."""
    written = base64.b64encode(bytes(before) + part)
    return written[(0, 2, 3)[before] : (before + len(part)) * 8 // 6]

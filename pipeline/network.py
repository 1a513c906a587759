"""What is between here and a server: a proxy and certificates, when a person says so."""

import ssl
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from pipeline.credential import Secret
from pipeline.errors import UsageError

if TYPE_CHECKING:
    import httpx


@dataclass(frozen=True, slots=True)
class Network:
    """What a corporate network wants: a proxy's URL, and a file with certificates to trust besides the known ones.

    Only a person says so: neither a manifest nor a profile does, and the environment's proxies are not looked at.
    """

    proxy: str | None = None
    ca_file: Path | None = None

    @property
    def password(self) -> Secret | None:
        """The proxy's password, where the URL has one that is long enough to be told from other text."""
        url = self._proxy_url()
        password = unquote(url.password) if url else ""
        return Secret(password) if len(password) >= _TELLING else None

    def trust(self) -> ssl.SSLContext:
        """Return whom TLS trusts. Raises UsageError for a file without certificates."""
        if self.ca_file is None:
            return _known()
        context = _made()
        try:
            context.load_verify_locations(self.ca_file)
        except OSError as error:  # ssl.SSLError is one
            raise UsageError(f"{self.ca_file} has no certificates that can be read: {error.strerror}") from error
        return context

    def proxied(self, tls: ssl.SSLContext) -> "httpx.Proxy | None":
        """Return the proxy, which is trusted as servers are. Raises UsageError for what is no http or https URL."""
        import httpx  # noqa: PLC0415  # as above

        url = self._proxy_url()
        return httpx.Proxy(url, ssl_context=tls if url.scheme == "https" else None) if url else None

    def check(self, url: str | None, *, carries_key: bool) -> None:
        """Raise UsageError for what cannot be used on the way to this URL, and for a key that a proxy would read.

        None is the bundled simulator. What is plain http on this machine is not when a proxy elsewhere asks for it.
        """
        from pipeline.profile import LOOPBACK  # noqa: PLC0415  # who asks nobody needs no profile

        if self.ca_file is not None:
            self.trust()
        proxy = self._proxy_url()
        if proxy and url and carries_key and url.startswith("http:") and proxy.host not in LOOPBACK:
            raise UsageError(f"{url} would carry the key unencrypted to the proxy: use https, or --allow-http")

    def _proxy_url(self) -> "httpx.URL | None":
        if self.proxy is None:
            return None
        import httpx  # noqa: PLC0415  # as above

        try:
            url = httpx.URL(self.proxy)
        except (ValueError, httpx.InvalidURL):
            url = httpx.URL("")
        fits = url.scheme in {"http", "https"} and url.host and url.raw_path == b"/" and 0 < (url.port or 80) < 1 << 16
        if not fits:
            raise UsageError("--proxy takes an address like http://proxy.example:3128")  # not quoted: it has a password
        return url


DIRECT = Network()
_TELLING = 4


@cache
def _known() -> ssl.SSLContext:
    """Return the one that nothing is added to. Reading all certificates takes longer than a request."""
    return _made()


def _made() -> ssl.SSLContext:
    import httpx  # noqa: PLC0415  # it takes longer to import than most commands to do their work

    return httpx.create_ssl_context(trust_env=False)

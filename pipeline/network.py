"""What is between here and a server: a proxy and certificates, when a person says so; and where no redirect leads."""

import ipaddress
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import httpx

from pipeline.errors import UsageError


@dataclass(frozen=True, slots=True)
class Network:
    """What a corporate network wants: a proxy's URL, and a file with certificates to trust besides the known ones.

    Only a person says so: neither a manifest nor a profile does, and the environment's proxies are not looked at.
    """

    proxy: str | None = None
    ca_file: Path | None = None

    def trust(self) -> ssl.SSLContext:
        """Return whom TLS trusts. Raises UsageError for a file without certificates."""
        context = httpx.create_ssl_context(trust_env=False)
        if self.ca_file is not None:
            try:
                context.load_verify_locations(self.ca_file)
            except OSError as error:  # ssl.SSLError is one
                raise UsageError(f"{self.ca_file} has no certificates that can be read: {error.strerror}") from error
        return context

    def proxied(self) -> httpx.Proxy | None:
        """Return the proxy. Raises UsageError for what is no http or https URL."""
        if self.proxy is None:
            return None
        try:
            return httpx.Proxy(self.proxy)
        except (ValueError, httpx.InvalidURL):
            raise UsageError("--proxy takes an address like http://proxy.example:3128") from None  # it has a password


DIRECT = Network()


def may_not_follow(home: Iterable[str], target: Iterable[str]) -> bool:
    """Tell whether a redirect leads from the internet into a private network: no server sends us to our neighbours."""
    return all(_is_public(address) for address in home) and not all(_is_public(address) for address in target)


def _is_public(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_global

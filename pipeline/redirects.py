"""Where an answer may lead: never from https to less, and never from the internet to our neighbours."""

import ipaddress
import socket
from collections.abc import Iterable

import anyio
import httpx


async def check(home: httpx.URL, target: httpx.URL, *, proxied: bool) -> None:
    """Raise UnsupportedProtocol for a target to which no answer of ``home`` may lead.

    Behind a proxy only addresses that stand there as numbers are looked at: the names are the proxy's to look up.
    Raises OSError for a name that has no address.
    """
    if target.scheme not in {"https", home.scheme}:
        raise httpx.UnsupportedProtocol("redirected to an address that is not https")
    if may_not_follow(await _addresses(home, proxied=proxied), await _addresses(target, proxied=proxied)):
        raise httpx.UnsupportedProtocol("redirected to an address inside a private network")


def may_not_follow(home: Iterable[str], target: Iterable[str]) -> bool:
    """Tell whether a redirect leads from the internet into a private network: no server sends us to our neighbours."""
    return all(_is_public(address) for address in home) and not all(_is_public(address) for address in target)


async def _addresses(url: httpx.URL, *, proxied: bool) -> list[str]:
    flags = socket.AI_NUMERICHOST if proxied else 0
    try:
        found = await anyio.getaddrinfo(url.host, url.port or 443, type=socket.SOCK_STREAM, flags=flags)
    except socket.gaierror:
        if not proxied:
            raise
        return []
    return [str(entry[4][0]) for entry in found]


def _is_public(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_global

"""Which addresses keys may be fetched from: https, and no host that the network sees as this machine or its metadata.

A key set's address is configured, but the address of its host comes from DNS, and `jwks_uri` from a document. So the
URL is checked first, and then the address that it leads to, before anything is sent (server-side request forgery;
RFC 9700, section 4.9.1 and CWE-918). Private networks are fine: issuers inside the cluster live there.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final, TypeAlias

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_METADATA: Final = frozenset({ipaddress.ip_address("fd00:ec2::254")})
"""Metadata services of clouds that stand at no link-local address."""
_PORTS: Final = {"https": 443, "http": 80}
_SHOWN: Final = 200


class AddressRefused(ValueError):
    """A URL or a peer that keys are not fetched from, and why."""


@dataclass(frozen=True, slots=True)
class Address:
    """A checked URL, split."""

    secure: bool
    """https; plain http only ever goes to this machine."""
    host: str
    """A name or an address, without brackets."""
    port: int
    target: str
    """Path and query."""


def parse_address(url: str, *, allow_loopback: bool) -> Address:
    """Check a URL. Raises AddressRefused."""
    if not url.isascii() or not url.isprintable() or set(url) & set(' "<>\\^`{|}'):
        raise AddressRefused("the address holds characters that no URL has")
    scheme, _, rest = url.partition("://")
    authority = rest.partition("/")[0].partition("?")[0].partition("#")[0]
    if "@" in authority or "#" in rest or "%" in authority:
        raise AddressRefused("the address holds a user name, a fragment or a zone; write it without")
    try:
        parsed = parse_url(url)
    except LocationParseError as error:
        raise AddressRefused("the address is no URL") from error
    host, scheme = (parsed.host or "").strip("[]"), scheme.lower()
    if scheme not in _PORTS or not host or parsed.port == 0:
        raise AddressRefused("the address does not begin with `https://` and a host")
    if scheme == "http" and not (allow_loopback and _names_loopback(host)):
        raise AddressRefused(
            "issuers are asked over https only; plain http is for loopback, with `--allow-http-loopback`"
        )
    return Address(scheme == "https", host, parsed.port or _PORTS[scheme], parsed.request_uri)


def check_peer(address: str, *, secure: bool, allow_loopback: bool) -> None:
    """Check the address that a connection would lead to. Raises AddressRefused."""
    peer = _plain(ipaddress.ip_address(address))
    if peer.is_loopback:
        if not allow_loopback:
            raise AddressRefused(f"its host is `{peer}`, this machine; only `--allow-http-loopback` admits that")
    elif not secure:
        raise AddressRefused(f"its host is `{peer}`, and plain http is for loopback only")
    elif peer.is_link_local or peer.is_unspecified or peer.is_multicast or peer in _METADATA:
        raise AddressRefused(f"its host is `{peer}`, an address that no issuer has")


def never_asked(url: str) -> str | None:
    """Why nobody is asked at a URL, whatever a name in it leads to; None where that is not known before."""
    try:
        address = parse_address(url, allow_loopback=True)
        if _is_address(address.host):
            check_peer(address.host, secure=address.secure, allow_loopback=True)
    except AddressRefused as error:
        return str(error)
    return None


def shown(url: str) -> str:
    """A URL fit for an error text: what may be secret in it, user name and query, is left out."""
    scheme, sign, rest = url.partition("?")[0].partition("://")
    if not sign:
        scheme, rest = "", scheme
    authority, slash, path = rest.partition("/")
    text = f"{scheme}{sign}{authority.rpartition('@')[2]}{slash}{path}"[:_SHOWN]
    return "".join(character if " " < character <= "~" and character != "`" else "?" for character in text)


def _plain(address: _Address) -> _Address:
    """The IPv4 address inside an IPv6 one that only wraps it."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def _names_loopback(host: str) -> bool:
    return ipaddress.ip_address(host).is_loopback if _is_address(host) else host == "localhost"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True

"""Envoy's messages on one side, the core's values on the other: `envoy.service.auth.v3`, both directions.

Reading is strict: where the parts of a CheckRequest disagree, or a value is one that Envoy never sends, nobody can
tell what the upstream will see, so the request is refused. Writing is in `respond`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Final

from google.protobuf.message import DecodeError

from extauthz._pb.envoy.service.auth.v3.attribute_context_pb2 import AttributeContext
from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckRequest
from extauthz.model.reason import Reason
from extauthz.model.request import RequestView, Source
from extauthz.model.target import Malformed, Target, parse_host, parse_method, parse_target
from extauthz.model.verdict import Refusal
from extauthz.server.respond import INTERNAL_DENIAL, write_verdict

__all__ = ["INTERNAL_DENIAL", "MAX_HEADERS", "read_check", "write_verdict"]

MAX_HEADERS: Final = 1000
"""How many headers a request may have, pseudo headers included. Envoy's own default limit is 100."""

PINNED_POLICY: Final = "extauthz.dev/policy"
"""Key of the route's `context_extensions` that names the policy."""

_FOREIGN: Final = re.compile(r"[^!#$%&'*+.^_`|~0-9A-Za-z:-]")
_MAX_ADDRESS: Final = 64
_MAX_REQUEST_ID: Final = 128

_Headers = dict[str, tuple[str, ...]]
_BREAKS: Final = ("\0", "\r", "\n")


class _BadCredential(Malformed):
    """What is wrong stands in `Authorization`: its scheme has a word for that (RFC 6750, section 3.1)."""


def read_check(data: bytes) -> RequestView | Refusal:
    """Read a serialised CheckRequest of any content and length.

    Never raises: what is no CheckRequest, asks about no HTTP request, or has no single reading gives a refusal with
    Reason.REQUEST_MALFORMED, a broken `Authorization` one with CREDENTIAL_MALFORMED. The detail says what was wrong and
    quotes nothing of the request.
    """
    try:
        return _view(CheckRequest.FromString(data).attributes)
    except DecodeError:
        return Refusal(Reason.REQUEST_MALFORMED, "the message is not a CheckRequest")
    except _BadCredential as problem:
        return Refusal(Reason.CREDENTIAL_MALFORMED, str(problem))
    except Malformed as problem:
        return Refusal(Reason.REQUEST_MALFORMED, str(problem))


def _view(attributes: AttributeContext) -> RequestView:
    if not attributes.request.HasField("http"):
        raise Malformed("the CheckRequest has no http attributes")
    http = attributes.request.http
    headers = _headers(http)
    _settle_pseudo_headers(headers, http)
    return RequestView(
        method=parse_method(http.method),
        host=parse_host(http.host),
        target=_target(http),
        headers=headers,
        source=_source(attributes.source),
        stream_id=http.id,
        request_id=_request_id(headers),
        pinned_policy=attributes.context_extensions.get(PINNED_POLICY),
    )


def _target(http: AttributeContext.HttpRequest) -> Target:
    target = parse_target(http.path)
    # Envoy leaves both empty. A caller that fills them must not smuggle past us what `path` does not show.
    if http.fragment or http.query not in {"", target.query}:
        raise Malformed("the `query` or `fragment` attribute disagrees with the path")
    return target


def _headers(http: AttributeContext.HttpRequest) -> _Headers:
    """The headers from whichever of the two forms Envoy used (`encode_raw_headers` chooses)."""
    plain, raw = len(http.headers), len(http.header_map.headers)
    if plain + raw > MAX_HEADERS:
        raise Malformed(f"the request has more than {MAX_HEADERS} headers")
    if plain and raw:
        raise Malformed("the headers came both as `headers` and as `header_map`")
    return _from_raw(http) if raw else _from_map(http)


def _from_map(http: AttributeContext.HttpRequest) -> _Headers:
    pairs = list(http.headers.items())
    _refuse_unsound([name for name, _ in pairs], [value for _, value in pairs])
    headers: _Headers = {name.lower(): (value,) for name, value in pairs}
    if len(headers) != len(pairs):
        raise Malformed("two header names differ only in case")
    return headers


def _from_raw(http: AttributeContext.HttpRequest) -> _Headers:
    names, values = [], []
    for header in http.header_map.headers:
        text, octets = header.value, header.raw_value
        if text and octets:
            raise Malformed("a header has both `value` and `raw_value`")
        names.append(header.key)
        values.append(text or octets.decode("latin-1"))
    _refuse_unsound(names, values)
    headers: _Headers = {}
    for name, value in zip(map(str.lower, names), values, strict=True):
        headers[name] = (*headers[name], value) if name in headers else (value,)
    return headers


def _refuse_unsound(names: list[str], values: list[str]) -> None:
    """Refuse names that are no tokens and values with CR, LF or NUL (RFC 9110, sections 5.1 and 5.5)."""
    # One look at the joined text costs less than a look at each.
    if not all(names) or _FOREIGN.search("".join(names)) is not None:
        raise Malformed("a header name is not a token")
    joined = "".join(values)
    if "\0" in joined or "\r" in joined or "\n" in joined:
        raise _broken_value(names, values)


def _broken_value(names: list[str], values: list[str]) -> Malformed:
    broken = {name.lower() for name, value in zip(names, values, strict=True) if any(sign in value for sign in _BREAKS)}
    words = "a header value holds CR, LF or NUL"
    return _BadCredential(words) if broken == {"authorization"} else Malformed(words)


def _settle_pseudo_headers(headers: _Headers, http: AttributeContext.HttpRequest) -> None:
    """Drop the pseudo headers (RFC 9113, section 8.3) after checking that they tell what the attributes tell."""
    for name, told in ((":method", http.method), (":path", http.path), (":authority", http.host), ("host", http.host)):
        seen = headers.get(name)
        if seen is not None and seen != (told,):
            raise Malformed(f"the header `{name}` disagrees with the request's attributes")
    for name in [name for name in headers if ":" in name]:
        if name.rfind(":") != 0:
            raise Malformed("a header name is not a token")
        del headers[name]


def _request_id(headers: _Headers) -> str:
    values = headers.get("x-request-id", ("",))
    text = values[0] if len(values) == 1 else ""
    return text if len(text) <= _MAX_REQUEST_ID and text.isascii() and text.isprintable() else ""


def _source(peer: AttributeContext.Peer) -> Source:
    # A pipe or an internal listener leaves this text empty.
    text = peer.address.socket_address.address
    return Source(address=_address(text) if len(text) <= _MAX_ADDRESS else "", principal=peer.principal)


@lru_cache(maxsize=4096)
def _address(text: str) -> str:
    """An IP address in its one canonical form (RFC 5952), an IPv4-mapped one as IPv4; empty for anything else."""
    try:
        address = ip_address(text)
    except ValueError:
        return ""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)

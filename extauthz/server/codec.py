"""Envoy's messages on one side, the core's values on the other: `envoy.service.auth.v3`, both directions.

Reading is strict: where the parts of a CheckRequest disagree, or a value is one that Envoy never sends, nobody can
tell what the upstream will see, so the request is refused. Writing is in `respond`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from operator import and_, attrgetter
from typing import Final, NamedTuple

from google.protobuf.message import DecodeError

from extauthz._pb.envoy.config.core.v3.base_pb2 import HeaderValue
from extauthz._pb.envoy.service.auth.v3.attribute_context_pb2 import AttributeContext
from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckRequest
from extauthz.model.reason import Reason
from extauthz.model.request import Glimpse, RequestView, Source
from extauthz.model.step import Step
from extauthz.model.target import Malformed, Target, parse_host, parse_method, parse_target
from extauthz.model.verdict import Refusal
from extauthz.server.form import read_form
from extauthz.server.respond import INTERNAL_DENIAL, write_verdict

__all__ = ["INTERNAL_DENIAL", "MAX_HEADERS", "glimpse", "read_check", "write_verdict"]

MAX_HEADERS: Final = 1000
"""How many headers a request may have, pseudo headers included. Envoy's own default limit is 100."""

PINNED_POLICY: Final = "extauthz.dev/policy"
"""Key of the route's `context_extensions` that names the policy."""

_FOREIGN: Final = re.compile(r"[^!#$%&'*+.^_`|~0-9A-Za-z:\n-]")
_MAX_ADDRESS: Final = 64
_MAX_REMEMBERED: Final = 2048
"""Characters of the names of a request's headers, beyond which they are not kept."""
_MAX_REQUEST_ID: Final = 128

_Headers = dict[str, tuple[str, ...]]
_BREAKS: Final = ("\0", "\r", "\n")
_PARTS: Final = attrgetter("key", "value", "raw_value")


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
        return Refusal(Reason.CREDENTIAL_MALFORMED, str(problem), at=Step.REQUEST)
    except Malformed as doubt:
        return Refusal(Reason.REQUEST_MALFORMED, str(doubt))


def glimpse(data: bytes) -> Glimpse:
    """What identifies a request that `read_check` refuses. Never raises."""
    try:
        attributes = CheckRequest.FromString(data).attributes
    except DecodeError:
        return Glimpse()
    http = attributes.request.http
    ids = {value for name, value in http.headers.items() if name.lower() == "x-request-id"}
    ids |= {_value_of(each) for each in http.header_map.headers if each.key.lower() == "x-request-id"}
    return Glimpse(
        _read_or_nothing(parse_method, http.method),
        _read_or_nothing(parse_host, http.host),
        _source(attributes.source),
        http.id,
        _request_id({"x-request-id": tuple(ids)}) if ids else "",
    )


def _read_or_nothing(read: Callable[[str], str], text: str) -> str:
    try:
        return read(text)
    except Malformed:
        return ""


def _view(attributes: AttributeContext) -> RequestView:
    request = attributes.request
    if not request.HasField("http"):
        raise Malformed("the CheckRequest has no http attributes")
    http = request.http
    told = _Told(http.method, http.path, http.host)
    headers = _headers(http, told)
    form, doubt = read_form(http, headers) if "content-type" in headers else ("", "")
    return RequestView(
        parse_method(told.method),
        parse_host(told.host),
        _target(http, told.path),
        headers,
        _source(attributes.source),
        http.id,
        _request_id(headers),
        attributes.context_extensions.get(PINNED_POLICY),
        form,
        doubt,
    )


class _Told(NamedTuple):
    """What the attributes tell besides the headers."""

    method: str
    path: str
    host: str


def _target(http: AttributeContext.HttpRequest, path: str) -> Target:
    target = parse_target(path)
    # Envoy leaves both empty. A caller that fills them must not smuggle past us what `path` does not show.
    query = http.query
    if http.fragment or (query and query != target.query):
        raise Malformed("the `query` or `fragment` attribute disagrees with the path")
    return target


def _headers(http: AttributeContext.HttpRequest, told: _Told) -> _Headers:
    """The headers from whichever of the two forms Envoy used (`encode_raw_headers` chooses), pseudo headers left out.

    Names and values are joined by line feeds, which neither may hold, and looked at as one text each: that costs a
    fraction of looking at each.
    """
    raw, plain = http.header_map.headers, http.headers
    count = len(plain) + len(raw)
    if not count:
        return {}
    if count > MAX_HEADERS:
        raise Malformed(f"the request has more than {MAX_HEADERS} headers")
    if plain and raw:
        raise Malformed("the headers came both as `headers` and as `header_map`")
    if plain:
        names, values = "\n".join(plain), "\n".join(plain.values())
    else:
        keys, texts, octets = zip(*map(_PARTS, raw), strict=True)
        names, values = "\n".join(keys), _raw_values(texts, octets)
    known = _read_names(names) if len(names) <= _MAX_REMEMBERED else _Names.of(names)
    if not known.sound or len(known.keys) != count:
        raise Malformed("a header name is not a token")
    if "\0" in values or "\r" in values or values.count("\n") != count - 1:
        raise _broken_value(http)
    headers = _paired(known, values.split("\n"), in_map=bool(plain))
    if known.pseudo or "host" in headers:
        _settle_pseudo_headers(headers, told, known.pseudo)
    return headers


class _Names(NamedTuple):
    """The names of a request's headers, looked at."""

    keys: tuple[str, ...]
    """In lower case."""
    sound: bool
    """Whether each is a token, or the name of a pseudo header."""
    repeated: bool
    pseudo: tuple[str, ...]

    @classmethod
    def of(cls, names: str) -> _Names:
        """Look at names that are joined by line feeds."""
        keys = tuple(names.lower().split("\n"))
        pseudo = tuple(key for key in keys if ":" in key)
        sound = _FOREIGN.search(names) is None and "" not in keys and all(key.rfind(":") == 0 for key in pseudo)
        return cls(keys, sound, len(set(keys)) != len(keys), tuple(dict.fromkeys(pseudo)))


# Clients and proxies send the same names over and over.
_read_names: Final = lru_cache(maxsize=1024)(_Names.of)


def _raw_values(texts: tuple[str, ...], octets: tuple[bytes, ...]) -> str:
    if not any(texts):
        return b"\n".join(octets).decode("latin-1")
    if any(map(and_, map(bool, texts), map(bool, octets))):
        raise Malformed("a header has both `value` and `raw_value`")
    return "\n".join(text or octet.decode("latin-1") for text, octet in zip(texts, octets, strict=True))


def _value_of(header: HeaderValue) -> str:
    return header.value or header.raw_value.decode("latin-1")


def _broken_value(http: AttributeContext.HttpRequest) -> Malformed:
    """What to say of values with CR, LF or NUL (RFC 9110, section 5.5)."""
    raw = [(header.key, _value_of(header)) for header in http.header_map.headers]
    pairs = [*http.headers.items(), *raw]
    broken = {name.lower() for name, value in pairs if any(sign in value for sign in _BREAKS)}
    words = "a header value holds CR, LF or NUL"
    return _BadCredential(words) if broken == {"authorization"} else Malformed(words)


def _paired(names: _Names, texts: list[str], *, in_map: bool) -> _Headers:
    """Names and values of as many headers, those of one name together (RFC 9110, section 5.3)."""
    if not names.repeated:
        return dict(zip(names.keys, zip(texts, strict=True), strict=True))
    if in_map:
        raise Malformed("two header names differ only in case")
    headers: _Headers = {}
    for name, value in zip(names.keys, texts, strict=True):
        headers[name] = (*headers[name], value) if name in headers else (value,)
    return headers


def _settle_pseudo_headers(headers: _Headers, told: _Told, pseudo: tuple[str, ...]) -> None:
    """Drop the pseudo headers (RFC 9113, section 8.3) after checking that they tell what the attributes tell."""
    host = (told.host,)
    if headers.get("host", host) != host:
        raise Malformed("the header `host` disagrees with the request's attributes")
    wanted = {":method": (told.method,), ":path": (told.path,), ":authority": host}
    for name in pseudo:
        seen = headers.pop(name)
        if wanted.get(name, seen) != seen:
            raise Malformed(f"the header `{name}` disagrees with the request's attributes")


def _request_id(headers: _Headers) -> str:
    values = headers.get("x-request-id", ("",))
    text = values[0] if len(values) == 1 else ""
    return text if len(text) <= _MAX_REQUEST_ID and text.isascii() and text.isprintable() else ""


def _source(peer: AttributeContext.Peer) -> Source:
    # A pipe or an internal listener leaves this text empty.
    text = peer.address.socket_address.address
    return Source(_address(text) if len(text) <= _MAX_ADDRESS else "", peer.principal)


@lru_cache(maxsize=4096)
def _address(text: str) -> str:
    """An IP address in its one canonical form (RFC 5952), an IPv4-mapped one as IPv4; empty for anything else."""
    try:
        address = ip_address(text)
    except ValueError:
        return ""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)

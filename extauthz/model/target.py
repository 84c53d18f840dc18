"""The one normaliser: host and path in the single form that matching uses (RFC 3986, sections 3.3 and 6.2.2).

What is matched must be what the upstream will serve. A path that two servers could read differently is therefore not
repaired but reported as odd, by name: a policy may let some oddities through, and then the path is matched as it
stands. Paths are compared in one canonical form: each octet is percent-decoded and encoded again by one table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple, NewType
from urllib.parse import unquote_to_bytes

from extauthz.model.oddity import PathOddity

Host = NewType("Host", str)
"""A host in lower case, without port or trailing dot; an IPv6 address keeps its brackets."""

Path = NewType("Path", str)
"""A path in canonical form: begins with `/`, upper-case percent-encoding, and only where it is needed."""


class Malformed(ValueError):
    """The host or path has no single reading. The message says why and never quotes the input."""


class Target(NamedTuple):
    """A request target, split and normalised."""

    path: Path
    query: str
    """The query as sent, without its `?`; empty when there is none."""
    oddities: frozenset[PathOddity]


_NO_ODDITIES: Final[frozenset[PathOddity]] = frozenset()
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,62})"
_HOST: Final = re.compile(rf"({_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]{{2,45}}\])\.?(?::\d{{1,5}})?", re.ASCII)
_MAX_HOST: Final = 253
_MAX_PATH: Final = 8192
_MAX_READINGS: Final = 1024
"""Characters of an odd path, beyond which it is not read in every way: no path that a policy names is longer."""
_PLAIN_PATH: Final = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~!$&'()*+,=:@-]*)+/?|/", re.ASCII)
_PERCENT: Final = re.compile(r"%(?:([0-9A-Fa-f]{2})|)", re.ASCII)
_FORBIDDEN: Final = re.compile(r"[\x00-\x20\x7f-\U0010ffff#]")
_TWICE: Final = re.compile(r"%25[0-9A-Fa-f]{2}", re.ASCII)
_SLASHES: Final = re.compile(rb"[/\\]")
_READ_AS: Final = (
    (re.compile(r"%25(?=[0-9A-Fa-f]{2})", re.ASCII), "%"),
    (re.compile("%2[Ff]"), "/"),
    (re.compile("%5[Cc]"), "/"),
    (re.compile("(;|%3[Bb])[^/]*"), ""),
    (re.compile("/{2,}"), "/"),
)
_KEPT: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,=:@")
_METHOD: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,32}", re.ASCII)


def parse_method(text: str) -> str:
    """A request method as it stands (RFC 9110, section 9.1).

    Raises Malformed when it is no token, and for lower case: case matters, but many servers take `delete` for `DELETE`.
    """
    if _METHOD.fullmatch(text) is None:
        raise Malformed("the method is not a token of at most 32 characters")
    if text != text.upper():
        raise Malformed("the method has lower case, which some servers take for upper case")
    return text


@lru_cache(maxsize=1024)
def parse_host(authority: str) -> Host:
    """The host of an `:authority`: lower case, port and one trailing dot removed.

    Raises Malformed for user information, an empty label, a character that host names lack, and over-long names.
    """
    found = _HOST.fullmatch(authority.lower()) if authority.isascii() and len(authority) <= _MAX_HOST + 7 else None
    if found is None or len(found[1]) > _MAX_HOST:
        raise Malformed("the host is not a host name or address with an optional port")
    return Host(found[1])


def parse_target(text: str) -> Target:
    """Split `:path` at its first `?` and normalise the path.

    Raises Malformed for what no policy can allow: another form than `/…`, a dot segment in any encoding, `#`, control
    characters, white space or non-ASCII as they are, NUL, broken percent-encoding, and octets that are not UTF-8.
    """
    path, _, query = text.partition("?")
    if len(path) > _MAX_PATH:
        raise Malformed(f"the path is longer than {_MAX_PATH} characters")
    # Nearly every path is plain already: this pattern holds exactly when the slow reading would change nothing.
    if _PLAIN_PATH.fullmatch(path) is not None:
        return Target(Path(path), query, _NO_ODDITIES)
    return _read_slowly(path, query)


def parse_policy_path(text: str) -> Path:
    """Normalise a path that a policy author wrote. Raises Malformed for one that no request could have."""
    target = parse_target("".join(c if c.isascii() else _encode(c.encode()) for c in text.replace(" ", "%20")))
    if target.query or "?" in text:
        raise Malformed("a path is matched without its query: remove `?` and what follows")
    return target.path


def readings(path: Path) -> Iterator[Path]:
    """What servers may take an odd path for, in which any of them decodes twice, takes encoded slashes and backslashes
    for slashes, cuts parameters or merges slashes.

    Raises Malformed where one of them finds a dot segment, and for a path that is too long to be read so many times.
    """
    if len(path) > _MAX_READINGS:
        raise Malformed(f"the path is longer than {_MAX_READINGS} characters")
    found = {str(path)}
    for pattern, instead in _READ_AS:
        found |= {pattern.sub(instead, each) for each in found}
    for each in sorted(found - {path}):
        yield parse_target(each).path


def segments(path: Path) -> list[str]:
    """The segments of a canonical path: `/a/b/` gives `["a", "b", ""]`."""
    return path[1:].split("/")


def _read_slowly(path: str, query: str) -> Target:
    if not path.startswith("/"):
        raise Malformed("the path does not begin with `/`")
    if _FORBIDDEN.search(path) is not None:
        raise Malformed("the path holds a control character, white space, `#` or a character outside ASCII")
    parts = [_segment(part) for part in path[1:].split("/")]
    canonical = "/" + "/".join(parts)
    return Target(Path(canonical), query, _oddities(canonical, parts))


def _oddities(path: str, parts: list[str]) -> frozenset[PathOddity]:
    odd = set()
    if "" in parts[:-1]:
        odd.add(PathOddity.EMPTY_SEGMENT)
    if "%2F" in path:
        odd.add(PathOddity.ENCODED_SLASH)
    if "%5C" in path:
        odd.add(PathOddity.BACKSLASH)
    if "%3B" in path:
        odd.add(PathOddity.PATH_PARAMETER)
    if _TWICE.search(path) is not None:
        odd.add(PathOddity.DOUBLE_ENCODING)
    return frozenset(odd)


def _segment(text: str) -> str:
    """One segment in canonical form: every octet decoded once, then encoded again by one table."""
    octets = _decode(text)
    if any(octet < 0x20 or octet == 0x7F for octet in octets):
        raise Malformed("the path encodes a control character")
    try:
        octets.decode("utf-8", "strict")
    except UnicodeDecodeError as error:
        raise Malformed("the path encodes octets that are not UTF-8") from error
    if _holds_dots(octets) or (b"%" in octets and _holds_dots(unquote_to_bytes(octets))):
        raise Malformed("the path holds a dot segment")
    return _encode(octets)


def _holds_dots(octets: bytes) -> bool:
    """Whether a server that takes an encoded slash or a backslash for a slash, or cuts at `;`, sees a dot segment."""
    return any(piece.split(b";", 1)[0] in {b".", b".."} for piece in _SLASHES.split(octets))


def _decode(text: str) -> bytes:
    if "%" not in text:
        return text.encode("ascii")
    first, *rest = text.split("%")
    octets = bytearray(first, "ascii")
    for part in rest:
        digits = part[:2]
        if _PERCENT.fullmatch("%" + digits) is None or len(digits) != 2:
            raise Malformed("the path holds a `%` without two hexadecimal digits")
        octets.append(int(digits, 16))
        octets += part[2:].encode("ascii")
    return bytes(octets)


def _encode(octets: bytes) -> str:
    return "".join(chr(octet) if octet in _KEPT else f"%{octet:02X}" for octet in octets)

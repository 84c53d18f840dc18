"""Ways to match a path: exact, by prefix, by template, by regular expression; each in canonical form."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Final, Protocol, assert_never

import re2

from extauthz.model.target import Malformed, Path, parse_policy_path, segments


class Regex(Protocol):
    """A compiled pattern."""

    def fullmatch(self, text: str) -> object | None:
        """Something when the whole text matches."""


class PathKind(IntEnum):
    """How a path is matched, in falling precedence.

    The two unknown kinds stand for a broken policy's paths that could not be read: each outranks all that the path it
    was meant to be could have outranked, so that breaking a policy never hands its requests to another one.
    """

    UNKNOWN = 0
    EXACT = 1
    PREFIX = 2
    UNKNOWN_PATTERN = 3
    TEMPLATE = 4
    REGEX = 5


@dataclass(frozen=True, slots=True, order=True)
class PathMatch:
    """A way to match paths, and the path, template or pattern in canonical form."""

    kind: PathKind
    text: str = ""


EVERY_PATH: Final = PathMatch(PathKind.PREFIX, "/")
PARAMETER: Final = "{}"
"""Stands for one segment in a canonical template."""


def exact(text: str) -> PathMatch:
    """The match of one path. Raises Malformed."""
    return PathMatch(PathKind.EXACT, parse_policy_path(text))


def prefix(text: str) -> PathMatch:
    """The match of a path and all below it; a trailing slash says nothing. Raises Malformed."""
    return PathMatch(PathKind.PREFIX, parse_policy_path(text).rstrip("/") or "/")


def template(text: str) -> PathMatch:
    """The match of a template; the names of its parameters say nothing. Raises Malformed."""
    parts = text.split("/")
    if any(("{" in part or "}" in part) and not _is_parameter(part) for part in parts):
        raise Malformed("a `{name}` must stand for a whole segment, such as `/users/{id}/orders`")
    # A tilde is plain in every path, so it holds a parameter's place while the rest is normalised.
    literal = parse_policy_path("/".join("~" if _is_parameter(part) else part for part in parts)).split("/")
    canonical = (PARAMETER if _is_parameter(part) else kept for part, kept in zip(parts, literal, strict=True))
    return PathMatch(PathKind.TEMPLATE, "/".join(canonical))


def regex(text: str) -> PathMatch:
    """The match of a pattern. Raises Malformed when RE2 does not compile it."""
    compile_regex(text)
    return PathMatch(PathKind.REGEX, text)


def fits(match: PathMatch, path: Path) -> bool:
    """Whether a path is one that a match takes; what could not be read might be any."""
    match match.kind:
        case PathKind.EXACT:
            return path == match.text
        case PathKind.PREFIX:
            return _below(path, match.text)
        case PathKind.TEMPLATE:
            wanted, found = match.text[1:].split("/"), segments(path)
            return len(wanted) == len(found) and all(
                one == other or (one == PARAMETER and other != "") for one, other in zip(wanted, found, strict=True)
            )
        case PathKind.REGEX:
            return compile_regex(match.text).fullmatch(path) is not None
        case PathKind.UNKNOWN | PathKind.UNKNOWN_PATTERN:
            return True
        case _:
            assert_never(match.kind)


def narrower(one: PathMatch, other: PathMatch) -> tuple[PathMatch, ...] | None:
    """What both take: one of the two where it is within the other, None where they have nothing in common, both where
    that cannot be told."""
    for inner, outer in ((one, other), (other, one)):
        if outer in {EVERY_PATH, inner}:
            return (inner,)
        if inner.kind is PathKind.EXACT:
            return (inner,) if fits(outer, Path(inner.text)) else None
    if one.kind is other.kind is PathKind.PREFIX:
        inner, outer = sorted((one, other), key=lambda match: -len(match.text))
        return (inner,) if _below(inner.text, outer.text) else None
    return tuple(sorted((one, other)))


def _below(path: str, prefix: str) -> bool:
    return prefix in {"/", path} or path.startswith(f"{prefix}/")


def _is_parameter(part: str) -> bool:
    return (
        len(part) > 2
        and part[0] == "{"
        and part[-1] == "}"
        and part.isascii()
        and part[1:-1].replace("_", "a").replace("-", "a").isalnum()
    )


@lru_cache(maxsize=4096)
def compile_regex(text: str) -> Regex:
    """A compiled RE2 pattern, which matches in linear time. Raises Malformed with the compiler's words."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 8 << 20
    try:
        compiled: Regex = re2.compile(text, options)
    except re2.error as error:
        words = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise Malformed(f"the pattern is not RE2 syntax: {words}") from error
    return compiled

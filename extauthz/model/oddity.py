"""What two servers could read differently in a path (RFC 3986, section 3.3), and policies may let in by name."""

from __future__ import annotations

from enum import Enum


class PathOddity(Enum):
    """What makes servers disagree about a path, yet may be let through where an upstream is known to want it."""

    EMPTY_SEGMENT = "EmptySegment"
    """`//`: some servers merge the slashes."""
    ENCODED_SLASH = "EncodedSlash"
    """`%2F`: some servers take it for a slash."""
    BACKSLASH = "Backslash"
    r"""`\` or `%5C`: some servers take it for a slash."""
    PATH_PARAMETER = "PathParameter"
    """`;`: some servers cut a segment there."""
    DOUBLE_ENCODING = "DoubleEncoding"
    """`%25` before two hexadecimal digits: some servers decode twice."""

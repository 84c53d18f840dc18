"""What a match asks of a request beside host and path: method, headers and query parameters.

Those of a route of Gateway API are read as Envoy reads them, since the question is which route Envoy chooses: values of
a header that came more than once are joined by commas, and of a query parameter the first one counts, as it was sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from urllib.parse import unquote_plus

from extauthz.model.request import RequestView
from extauthz.policy.path import compile_regex


@dataclass(frozen=True, slots=True, order=True)
class HeaderMatch:
    """A header that must be there; with this value once, when there is one."""

    name: str
    value: str = ""
    """Empty: any value will do."""

    def takes(self, view: RequestView) -> bool:
        """Whether the request has the header."""
        return view.header(self.name) == self.value if self.value else self.name in view.headers

    def is_among(self, view: RequestView) -> bool:
        """Whether the request has the header more than once, and with this value."""
        values = view.headers.get(self.name, ())
        return len(values) > 1 and self.value in values


def lacks(method: str | None, headers: tuple[HeaderMatch, ...], view: RequestView) -> str | HeaderMatch | None:
    """The method or header that the request lacks, None when it has them all."""
    if method is not None and method != view.method:
        return method
    for header in headers:
        if not header.takes(view):
            return header
    return None


class Part(IntEnum):
    """A part of a request."""

    HEADER = 0
    QUERY = 1


@dataclass(frozen=True, slots=True, order=True)
class Condition:
    """A header or query parameter that must be as said."""

    part: Part
    name: str
    """Of a header in lower case."""
    value: str
    pattern: bool = False
    """Whether `value` is a regular expression that the whole value must match."""

    def takes(self, view: RequestView) -> bool:
        """Whether the request is as said."""
        found = _header(view, self.name) if self.part is Part.HEADER else _parameter(view, self.name)
        if found is None:
            return False
        return compile_regex(self.value).fullmatch(found) is not None if self.pattern else found == self.value


def read_twice(view: RequestView, name: str) -> bool:
    """Whether a query parameter has two readings: it came more than once, or with percent-encoding or `+` in it."""
    found = [(key, value) for key, value in _pairs(view.target.query) if unquote_plus(key) == name]
    return len(found) > 1 or any(set("%+") & set(key + value) for key, value in found)


def _header(view: RequestView, name: str) -> str | None:
    values = view.headers.get(name)
    return None if values is None else ",".join(values)


def _parameter(view: RequestView, name: str) -> str | None:
    return next((value for key, value in _pairs(view.target.query) if key == name), None)


def _pairs(query: str) -> Iterator[tuple[str, str]]:
    for pair in query.split("&"):
        key, _, value = pair.partition("=")
        yield key, value

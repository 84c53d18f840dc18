"""One match of a route as ours: path, method, headers, query parameters; of a GRPCRoute, service and method as a path.

Whatever is not understood leaves a match that takes more, with a `doubt` that says what it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from extauthz.model.target import Malformed, parse_method
from extauthz.policy.condition import Condition, Part
from extauthz.policy.path import (
    EVERY_PATH,
    PARAMETER,
    PathKind,
    PathMatch,
    compile_regex,
    exact,
    prefix,
    regex,
)

UNKNOWN: Final = PathMatch(PathKind.UNKNOWN)
_HTTP: Final = frozenset({"path", "method", "headers", "queryParams"})
_GRPC: Final = frozenset({"method", "headers"})
_NOT_SENT: Final = frozenset({"host", ":authority", ":method", ":path", ":scheme"})
"""Headers that Envoy matches and hands over under another name."""


@dataclass(frozen=True, slots=True)
class RouteMatch:
    """What one match of a route takes."""

    path: PathMatch = UNKNOWN
    method: str | None = None
    conditions: tuple[Condition, ...] = ()
    """Sorted."""
    doubt: str = ""
    """What is not understood; empty for nothing."""


EVERYTHING: Final = RouteMatch(EVERY_PATH)


class _Doubt(Exception):
    """Something that is not understood. The message names it."""


def read_match(kind: str, raw: object) -> RouteMatch:
    """One entry of `matches`. Never raises."""
    if not isinstance(raw, dict):
        return RouteMatch(doubt="a match")
    grpc = kind == "GRPCRoute"
    path, method, doubts = UNKNOWN, None, []
    conditions: tuple[Condition, ...] = ()
    try:
        path = _grpc_path(raw.get("method")) if grpc else _http_path(raw.get("path"))
    except _Doubt as doubt:
        doubts.append(str(doubt))
    try:
        method = None if grpc else _method(raw.get("method"))
        conditions = tuple(sorted(_conditions(raw)))
    except _Doubt as doubt:
        doubts.append(str(doubt))
    doubts += [f"`{str(name)[:40]}`" for name in raw if name not in (_GRPC if grpc else _HTTP)]
    return RouteMatch(path, method, conditions, "; ".join(doubts[:3]))


def _http_path(raw: object) -> PathMatch:
    if raw is None:
        return EVERY_PATH
    found = _known(raw, {"type", "value"}, "a path match")
    try:
        match found.get("type", "PathPrefix"), found.get("value", "/"):
            case "Exact", str(text):
                return exact(text)
            case "PathPrefix", str(text):
                return prefix(text)
            case "RegularExpression", str(text):
                return regex(text)
            case _:
                raise _Doubt("the kind of a path match")
    except Malformed as error:
        raise _Doubt("the value of a path match") from error


def _grpc_path(raw: object) -> PathMatch:
    """The path of a gRPC call is `/service/method` (gRPC over HTTP/2)."""
    if raw is None:
        return EVERY_PATH
    found = _known(raw, {"type", "service", "method"}, "a method match")
    service, method = found.get("service") or "", found.get("method") or ""
    if not isinstance(service, str) or not isinstance(method, str):
        raise _Doubt("a method match")
    try:
        match found.get("type", "Exact"):
            case "Exact":
                return _exact_call(service, method)
            case "RegularExpression":
                return regex(f"/(?:{service or '[^/]+'})/(?:{method or '[^/]+'})")
            case _:
                raise _Doubt("the kind of a method match")
    except Malformed as error:
        raise _Doubt("the value of a method match") from error


def _exact_call(service: str, method: str) -> PathMatch:
    if service and method:
        return exact(f"/{service}/{method}")
    if service:
        return prefix(f"/{service}")
    return PathMatch(PathKind.TEMPLATE, f"/{PARAMETER}{exact(f'/{method}').text}") if method else EVERY_PATH


def _method(raw: object) -> str | None:
    if raw is None:
        return None
    try:
        return parse_method(raw) if isinstance(raw, str) else _unclear("a method")
    except Malformed as error:
        raise _Doubt("a method") from error


def _conditions(raw: Mapping[str, Any]) -> Iterator[Condition]:
    """Of several with one name the first counts, as Gateway API says."""
    for member, part in (("headers", Part.HEADER), ("queryParams", Part.QUERY)):
        seen: set[str] = set()
        listed = raw.get(member) or []
        for each in listed if isinstance(listed, list) else _unclear(f"`{member}`"):
            condition = _condition(part, each)
            if condition.name not in seen:
                seen.add(condition.name)
                yield condition


def _condition(part: Part, raw: object) -> Condition:
    what = "a header match" if part is Part.HEADER else "a query parameter match"
    found = _known(raw, {"type", "name", "value"}, what)
    name, value, kind = found.get("name"), found.get("value"), found.get("type", "Exact")
    if not isinstance(name, str) or not isinstance(value, str) or kind not in {"Exact", "RegularExpression"}:
        raise _Doubt(what)
    if part is Part.HEADER:
        name = name.lower()
        if name in _NOT_SENT:
            raise _Doubt(f"a match of the header `{name}`")
    if kind == "RegularExpression":
        try:
            compile_regex(value)
        except Malformed as error:
            raise _Doubt(what) from error
    return Condition(part, name, value, kind == "RegularExpression")


def _known(raw: object, names: set[str], what: str) -> Mapping[str, Any]:
    if not isinstance(raw, dict) or not raw.keys() <= names:
        raise _Doubt(what)
    return raw


def _unclear(what: str) -> Any:  # noqa: ANN401 - never returns
    raise _Doubt(what)

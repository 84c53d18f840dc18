"""Gateways and routes as their API server hands them over, read for what requests they take and nothing else.

Their schema is not ours, and newer versions say more. INVARIANT: reading never raises, and what is not understood never
makes a target take less: it takes all that it could mean, and `doubt` says that its requests must be refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from extauthz.model.time import read_instant
from extauthz.policy.gateway.hostnames import ANY, is_hostname
from extauthz.policy.gateway.match import EVERYTHING, RouteMatch, read_match
from extauthz.policy.gateway.target import GROUP, Place

_HTTP_NEVER: Final = frozenset({"TCP", "UDP", "TLS"})
"""Protocols of listeners that no HTTPRoute and no GRPCRoute can be attached to."""


@dataclass(frozen=True, slots=True)
class Listener:
    """A listener of a Gateway, as far as HTTP comes through it."""

    name: str
    port: int | None
    hostname: str = ANY
    doubt: str = ""
    """What it says and is not understood; empty for nothing."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """A Gateway."""

    place: Place
    created: float
    """In seconds since the epoch; infinite where it does not say."""
    listeners: tuple[Listener, ...]
    lost: bool = False
    """It is no more; this is how it was last."""


@dataclass(frozen=True, slots=True)
class Parent:
    """What a route is attached to; a Gateway, or something else that says nothing of hosts here."""

    gateway: Place | None
    section: str = ""
    port: int | None = None


@dataclass(frozen=True, slots=True)
class RouteRule:
    """A rule of a route: alternatives, and the name by which a policy can target it."""

    name: str
    matches: tuple[RouteMatch, ...]


@dataclass(frozen=True, slots=True)
class GatewayRoute:
    """An HTTPRoute or a GRPCRoute."""

    place: Place
    created: float
    parents: tuple[Parent, ...]
    hostnames: tuple[str, ...]
    """None written: those of the listeners."""
    rules: tuple[RouteRule, ...]
    doubt: str = ""


GatewayObject: TypeAlias = Gateway | GatewayRoute


def read_object(kind: str, raw: Mapping[str, Any]) -> GatewayObject:
    """One object of Gateway API. Never raises."""
    metadata, spec = _mapping(raw.get("metadata")), _mapping(raw.get("spec"))
    place = Place(kind, _text(metadata.get("namespace")), _text(metadata.get("name")))
    created = read_instant(metadata.get("creationTimestamp"))
    since = math.inf if created is None else float(created)
    if kind == "Gateway":
        return Gateway(place, since, tuple(_listeners(spec.get("listeners"))))
    hostnames, doubt = _hostnames(spec.get("hostnames"))
    rules = tuple(_rules(kind, spec.get("rules")))
    return GatewayRoute(place, since, tuple(_parents(spec.get("parentRefs"), place)), hostnames, rules, doubt)


def _listeners(raw: object) -> Iterator[Listener]:
    if not isinstance(raw, list):
        yield Listener("", None, ANY, "its listeners")
        return
    for each in raw:
        found = _mapping(each)
        if _text(found.get("protocol")) in _HTTP_NEVER:
            continue
        hostname = found.get("hostname") or ANY
        name, port = _text(found.get("name")), found.get("port")
        known = isinstance(each, dict) and (hostname == ANY or is_hostname(hostname))
        yield Listener(
            name,
            port if isinstance(port, int) else None,
            str(hostname) if known else ANY,
            "" if known else "a listener",
        )


def _parents(raw: object, place: Place) -> Iterator[Parent]:
    for each in raw if isinstance(raw, list) else ():
        found = _mapping(each)
        kind, group, port = found.get("kind", "Gateway"), found.get("group", GROUP), found.get("port")
        gateway = None
        if (kind, group) == ("Gateway", GROUP):
            gateway = Place("Gateway", _text(found.get("namespace")) or place.namespace, _text(found.get("name")))
        yield Parent(gateway, _text(found.get("sectionName")), port if isinstance(port, int) else None)


def _hostnames(raw: object) -> tuple[tuple[str, ...], str]:
    if raw is None:
        return (), ""
    if not isinstance(raw, list):
        return (ANY,), "its hostnames"
    odd = [each for each in raw if not is_hostname(each)]
    known = dict.fromkeys(each for each in raw if is_hostname(each))
    return ((ANY,), "a hostname") if odd else (tuple(known), "")


def _rules(kind: str, raw: object) -> Iterator[RouteRule]:
    if raw is None or raw == []:
        yield RouteRule("", (EVERYTHING,))
        return
    if not isinstance(raw, list):
        yield RouteRule("", (RouteMatch(doubt="its rules"),))
        return
    for each in raw:
        if not isinstance(each, dict):
            yield RouteRule("", (RouteMatch(doubt="a rule"),))
            continue
        yield RouteRule(_text(each.get("name")), tuple(_matches(kind, each.get("matches"))))


def _matches(kind: str, raw: object) -> Iterator[RouteMatch]:
    if raw is None or raw == []:
        yield EVERYTHING
    elif not isinstance(raw, list):
        yield RouteMatch(doubt="the matches of a rule")
    else:
        yield from (read_match(kind, each) for each in raw)


def _mapping(raw: object) -> Mapping[str, Any]:
    return raw if isinstance(raw, dict) else {}


def _text(raw: object) -> str:
    return raw if isinstance(raw, str) else ""

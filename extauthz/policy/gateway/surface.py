"""What each target takes: hosts and matches, worked out from all Gateways and routes at one moment.

A target that is gone took something before. INVARIANT: those requests do not fall to another, laxer policy: as long as
a policy names the target, what it took last is remembered, and refused. That memory only ever refuses.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from extauthz.policy.gateway.hostnames import ANY, met
from extauthz.policy.gateway.match import EVERYTHING, RouteMatch
from extauthz.policy.gateway.reading import Gateway, GatewayObject, GatewayRoute, Listener, Parent
from extauthz.policy.gateway.target import Place, TargetRef


@dataclass(frozen=True, slots=True)
class Surface:
    """What a target takes, before the policy's own rules and its namespace's grants narrow it."""

    ref: TargetRef
    created: float
    hosts: tuple[str, ...]
    written: bool
    """Whether the target itself names these hosts; else they are those of listeners, or any."""
    matches: tuple[RouteMatch, ...]
    doubt: str = ""
    gone: bool = False
    """It is no more; this is what it took last."""
    kept: tuple[str, ...] = field(default=(), repr=False)
    """Hosts by which it was known before a Gateway of it went: without them, what it takes could fall to a policy for a
    host that is closer. They are remembered, so that they are no part of any digest."""


Objects = Mapping[Place, GatewayObject]
Surfaces = Mapping[TargetRef, "Surface | None"]
"""For each target that a policy names what it takes; None for one that is not there and never was."""


class Remembering:
    """Works out surfaces at one moment after the other, and keeps those of targets that went, and their Gateways."""

    def __init__(self) -> None:
        self._last: Surfaces = {}
        self._gateways: Mapping[Place, Gateway] = {}

    def surfaces(self, refs: Iterable[TargetRef], objects: Objects) -> Surfaces:
        """What each target takes now, or took last. Of targets that are no longer named nothing is kept."""
        named = tuple(refs)
        self._gateways = dict(self._parents(named, objects))
        found: dict[TargetRef, Surface | None] = {}
        for ref in named:
            surface, last = surface_of(ref, objects, self._gateways), self._last.get(ref)
            if surface is None and last is not None:
                surface = last if last.gone else replace(last, gone=True)
            found[ref] = surface
        self._last = found
        return found

    def _parents(self, refs: Iterable[TargetRef], objects: Objects) -> Iterator[tuple[Place, Gateway]]:
        """The Gateways of targeted routes, as they are or as they were last."""
        routes = (objects.get(ref.place) for ref in refs)
        for place in {p.gateway for route in routes if isinstance(route, GatewayRoute) for p in route.parents}:
            now, last = None if place is None else objects.get(place), self._gateways.get(place) if place else None
            if isinstance(now, Gateway):
                yield now.place, now
            elif last is not None:
                yield last.place, replace(last, lost=True)


def surface_of(ref: TargetRef, objects: Objects, gateways: Mapping[Place, Gateway]) -> Surface | None:
    """What a target takes; None when it, or its section, is not there."""
    match objects.get(ref.place):
        case Gateway() as gateway:
            return _of_gateway(ref, gateway)
        case GatewayRoute() as route:
            return _of_route(ref, route, gateways)
        case _:
            return None


def digest_of(surfaces: Surfaces) -> bytes:
    """Tells surfaces of another content apart. What is remembered does not count: replicas remember for themselves."""
    now = sorted((ref, surface) for ref, surface in surfaces.items() if surface is not None and not surface.gone)
    return hashlib.sha256(repr(now).encode()).digest() if now else b""


def _of_gateway(ref: TargetRef, gateway: Gateway) -> Surface | None:
    listeners = [each for each in gateway.listeners if ref.section in {"", each.name} or each.doubt]
    if not listeners:
        return None
    hosts = tuple(dict.fromkeys(each.hostname for each in listeners))
    doubt = next((each.doubt for each in listeners if each.doubt), "")
    return Surface(ref, gateway.created, hosts, ANY not in hosts, (EVERYTHING,), doubt)


def _of_route(ref: TargetRef, route: GatewayRoute, gateways: Mapping[Place, Gateway]) -> Surface | None:
    rules = [each for each in route.rules if ref.section in {"", each.name} or any(m.doubt for m in each.matches)]
    if ref.section and all(each.name != ref.section for each in rules):
        return None
    hosts = _narrowed(
        route, _listened(route.parents, {each.place: each for each in gateways.values() if not each.lost})
    )
    kept: tuple[str, ...] = ()
    if any(each.gateway in gateways and gateways[each.gateway].lost for each in route.parents if each.gateway):
        kept = _narrowed(route, _listened(route.parents, gateways))
    matches = tuple(dict.fromkeys(each for rule in rules for each in rule.matches))
    return Surface(ref, route.created, hosts, bool(route.hostnames), matches, route.doubt, kept=kept)


def _narrowed(route: GatewayRoute, listened: Iterable[str]) -> tuple[str, ...]:
    """A route that no listener has room for gets no requests; should one come all the same, it is not let go."""
    known = tuple(dict.fromkeys(listened))
    return (met(route.hostnames, known) or route.hostnames) if route.hostnames else known


def _listened(parents: tuple[Parent, ...], gateways: Mapping[Place, Gateway]) -> Iterator[str]:
    """The hostnames of the listeners that a route is attached to; any, where one of its parents cannot be looked at."""
    listeners = [_listeners(parent, gateways) for parent in parents]
    if not listeners or None in listeners:
        yield ANY
        return
    found = [each for several in listeners for each in several or ()]
    yield from (each.hostname for each in found) if found else (ANY,)


def _listeners(parent: Parent, gateways: Mapping[Place, Gateway]) -> list[Listener] | None:
    gateway = None if parent.gateway is None else gateways.get(parent.gateway)
    if gateway is None:
        return None
    return [
        each
        for each in gateway.listeners
        if each.doubt or (parent.section in {"", each.name} and parent.port in {None, each.port})
    ]

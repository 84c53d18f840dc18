"""What each target takes: hosts and matches, worked out from all Gateways and routes at one moment.

A target that is gone took something before. INVARIANT: those requests do not fall to another, laxer policy: as long as
a policy names the target, what it took last is remembered, and refused. That memory only ever refuses.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

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


Objects = Mapping[Place, GatewayObject]
Surfaces = Mapping[TargetRef, "Surface | None"]
"""For each target that a policy names what it takes; None for one that is not there and never was."""


class Remembering:
    """Works out surfaces at one moment after the other, and keeps those of targets that went."""

    def __init__(self) -> None:
        self._last: Surfaces = {}

    def surfaces(self, refs: Iterable[TargetRef], objects: Objects) -> Surfaces:
        """What each target takes now, or took last. Of targets that are no longer named nothing is kept."""
        found: dict[TargetRef, Surface | None] = {}
        for ref in refs:
            surface, last = surface_of(ref, objects), self._last.get(ref)
            if surface is None and last is not None:
                surface = last if last.gone else replace(last, gone=True)
            found[ref] = surface
        self._last = found
        return found


def surface_of(ref: TargetRef, objects: Objects) -> Surface | None:
    """What a target takes; None when it, or its section, is not there."""
    match objects.get(ref.place):
        case Gateway() as gateway:
            return _of_gateway(ref, gateway)
        case GatewayRoute() as route:
            return _of_route(ref, route, objects)
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


def _of_route(ref: TargetRef, route: GatewayRoute, objects: Objects) -> Surface | None:
    rules = [each for each in route.rules if ref.section in {"", each.name} or any(m.doubt for m in each.matches)]
    if ref.section and all(each.name != ref.section for each in rules):
        return None
    listened = tuple(dict.fromkeys(_listened(route.parents, objects)))
    # A route that no listener has room for gets no requests; should one come all the same, it is not let go.
    hosts = (met(route.hostnames, listened) or route.hostnames) if route.hostnames else listened
    matches = tuple(dict.fromkeys(each for rule in rules for each in rule.matches))
    return Surface(ref, route.created, hosts, bool(route.hostnames), matches, route.doubt)


def _listened(parents: tuple[Parent, ...], objects: Objects) -> Iterator[str]:
    """The hostnames of the listeners that a route is attached to; any, where one of its parents cannot be looked at."""
    listeners = [_listeners(parent, objects) for parent in parents]
    if not listeners or None in listeners:
        yield ANY
        return
    found = [each for several in listeners for each in several or ()]
    yield from (each.hostname for each in found) if found else (ANY,)


def _listeners(parent: Parent, objects: Objects) -> list[Listener] | None:
    gateway = None if parent.gateway is None else objects.get(parent.gateway)
    if not isinstance(gateway, Gateway):
        return None
    return [
        each
        for each in gateway.listeners
        if each.doubt or (parent.section in {"", each.name} and parent.port in {None, each.port})
    ]

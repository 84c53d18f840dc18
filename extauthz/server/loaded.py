"""What is loaded, for `/snapshot`: policies, their mistakes and issuers. No key material, no secrets, no counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from types import MappingProxyType
from typing import Any, Protocol

from extauthz.introspection.desk import LineReadings
from extauthz.keys.jwks import KeyState
from extauthz.model.time import Instant
from extauthz.model.token import IssuerRef
from extauthz.model.verdict import PolicyRef
from extauthz.policy.match import Route
from extauthz.policy.snapshot import Snapshot
from extauthz.telemetry.line import timestamp


class Mistake(Protocol):
    """A mistake in an object, with or without the place in a file."""

    def as_dict(self) -> Mapping[str, Any]:
        """For machines."""


def loaded(
    snapshot: Snapshot | None,
    mistakes: Iterable[Mistake],
    keys: Mapping[IssuerRef, KeyState],
    now: Instant,
    endpoints: Mapping[IssuerRef, LineReadings] = MappingProxyType({}),
) -> Mapping[str, Any]:
    """The page; with None nothing is loaded yet."""
    return {
        "version": None if snapshot is None else snapshot.version,
        "policies": [] if snapshot is None else [_policy(snapshot, ref) for ref in sorted(snapshot.policies)],
        "mistakes": [mistake.as_dict() for mistake in mistakes],
        "issuers": [
            *(_issuer(ref, state, now) for ref, state in sorted(keys.items())),
            *(_introspected(ref, readings) for ref, readings in sorted(endpoints.items(), key=itemgetter(0))),
        ],
    }


def _policy(snapshot: Snapshot, ref: PolicyRef) -> Mapping[str, Any]:
    routes = snapshot.policies[ref]
    return {
        "policy": str(ref),
        "hosts": sorted({route.key.host for route in routes}),
        "targets": _targets(routes),
        "rules": sorted({route.rule.name for route in routes if route.rule.refuses is None}),
        "mode": routes[0].rule.mode.value if routes else None,
        "broken": snapshot.mistaken.get(ref),
    }


def _targets(routes: Iterable[Route]) -> Mapping[str, Sequence[str]]:
    """The objects of Gateway API that hosts came from, each with those hosts; empty where the policy names its own."""
    found: dict[str, set[str]] = {}
    for route in routes:
        if route.key.within is not None:
            found.setdefault(str(route.key.within.target), set()).add(route.key.host)
    return {target: sorted(hosts) for target, hosts in sorted(found.items())}


def _issuer(ref: IssuerRef, state: KeyState, now: Instant) -> Mapping[str, Any]:
    found = state.keys
    return {
        "issuer": str(ref),
        "usable": state.usable(now) is not None,
        "problem": state.problem,
        "fetchedAt": None if state.fetched_at is None else timestamp(state.fetched_at),
        "keys": [] if found is None else [key.kid for key in found.keys],
        "skipped": [] if found is None else [f"{each.kid}: {each.why}" for each in found.skipped],
    }


def _introspected(ref: IssuerRef, readings: LineReadings) -> Mapping[str, Any]:
    problem = readings.problem
    return {"issuer": str(ref), "endpoint": readings.endpoint, "usable": problem is None, "problem": problem}

"""Policies beside each other: which one serves where two say the same, and the routing of all of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from operator import is_not

from extauthz.model.verdict import PolicyRef
from extauthz.policy.attach import Age, Targeting, attach
from extauthz.policy.gateway.surface import Surfaces
from extauthz.policy.gateway.target import Place
from extauthz.policy.grants import HOSTS_ANNOTATION, Grants, granted
from extauthz.policy.match import MatchKey, Route
from extauthz.policy.problem import Cause, ObjectRef, Problem
from extauthz.policy.snapshot import Routing


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy, compiled: its routes, and what is wrong with it."""

    ref: ObjectRef
    routes: tuple[Route, ...]
    problems: tuple[Problem, ...]
    targeting: Targeting | None = None
    """What its targets are for; None where it names hosts."""
    age: Age = (math.inf, "", "")


@dataclass(frozen=True, slots=True)
class Served:
    """All policies beside each other."""

    compiled: tuple[Policy, ...]
    grants: Grants | None
    """What they were settled from."""
    routing: Routing
    problems: tuple[Problem, ...]


class Attaching:
    """Attaches policies to their targets, one set after the other. What did not change stays the very same value."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Policy, object, Policy]] = {}

    def all(self, policies: Iterable[Policy], surfaces: Surfaces | None, grants: Grants | None) -> list[Policy]:
        """The policies with the routes of their targets."""
        known: dict[int, tuple[Policy, object, Policy]] = {}
        made = []
        for policy in policies:
            if policy.targeting is None:
                made.append(policy)
                continue
            # INVARIANT: whatever `attach` looks at besides the policy is compared here, or an old one would stay.
            beside = (
                None if surfaces is None else [surfaces.get(ref) for ref in policy.targeting.refs],
                None if grants is None else grants.get(policy.ref.namespace, ()),
            )
            before = self._known.get(id(policy))
            entry = before if before is not None and before[1] == beside else None
            known[id(policy)] = entry or (policy, beside, _attached(policy, policy.targeting, surfaces, grants))
            made.append(known[id(policy)][2])
        self._known = known
        return made


def _attached(policy: Policy, targeting: Targeting, surfaces: Surfaces | None, grants: Grants | None) -> Policy:
    found = attach(policy.ref, policy.age, targeting, surfaces, grants)
    return replace(policy, routes=policy.routes + found.routes, problems=policy.problems + found.problems)


@dataclass(frozen=True, slots=True)
class _Known:
    """What was worked out for one policy by itself."""

    policy: Policy
    allowed: tuple[str, ...] | None
    """The hosts that its namespace was granted then; None where nobody shares."""
    within: Policy
    hosts: frozenset[str]
    ref: PolicyRef


class Settling:
    """Settles policies beside each other, one set after the other.

    Only policies that share a host can conflict, so the others cost no more than a look.
    """

    def __init__(self) -> None:
        self._known: dict[int, _Known] = {}
        self._last: Served | None = None

    def settle(self, compiled: tuple[Policy, ...], grants: Grants | None) -> Served:
        """All policies, in order of age, without hosts that are not theirs and without their conflicts. The last ones,
        when they are the very same."""
        last = self._last
        if last is not None and grants == last.grants and _same(compiled, last.compiled):
            return last
        known = [self._know(policy, grants) for policy in compiled]
        self._known = {id(each.policy): each for each in known}
        policies = list(_without_conflicts(known))
        # A folder may hold two objects of one name; then each keeps its scope, as a broken one.
        routes: dict[PolicyRef, tuple[Route, ...]] = {}
        for each, policy in zip(known, policies, strict=True):
            routes[each.ref] = routes.get(each.ref, ()) + policy.routes
        self._last = Served(
            compiled,
            grants,
            Routing(routes, None if last is None else last.routing),
            tuple(problem for policy in policies for problem in policy.problems),
        )
        return self._last

    def _know(self, policy: Policy, grants: Grants | None) -> _Known:
        # INVARIANT: whatever `_within_grants` looks at besides the policy is compared here, or an old one would stay.
        allowed = None if grants is None else tuple(grants.get(policy.ref.namespace, ()))
        found = self._known.get(id(policy))
        if found is not None and found.allowed == allowed:
            return found
        within = _within_grants(policy, grants)
        return _Known(policy, allowed, within, frozenset(r.key.host for r in within.routes), policy_ref(policy.ref))


def _same(one: tuple[Policy, ...], other: tuple[Policy, ...]) -> bool:
    return len(one) == len(other) and not any(map(is_not, one, other))


def _within_grants(policy: Policy, grants: Grants | None) -> Policy:
    """The policy without the hosts that its namespace may not claim."""
    namespace = policy.ref.namespace
    taken = sorted({r.key.host for r in policy.routes if not granted(grants, namespace, r.key.host)})
    if not taken:
        return policy
    named = ", ".join(f"`{host}`" for host in taken[:5])
    words = f"namespace `{namespace}` may not claim {named}; its annotation `{HOSTS_ANNOTATION}` grants hosts"
    routes = tuple(route for route in policy.routes if route.key.host not in taken)
    problem = Problem(policy.ref, ("spec", "hosts"), words, Cause.HOST_NOT_GRANTED)
    return replace(policy, routes=routes, problems=(*policy.problems, problem))


def _without_conflicts(every: Sequence[_Known]) -> Iterator[Policy]:
    """Of two policies with an identical match the older serves; the newer refuses what else it speaks for."""
    owners = _Owners()
    users = Counter(host for each in every for host in each.hosts)
    shared = {host for host, number in users.items() if number > 1}
    for each in every:
        policy, mine = each.within, each.ref
        # INVARIANT: a match names its host, so two policies without a common host have none in common.
        if shared.isdisjoint(each.hosts):
            yield policy
            continue
        # A greedy route stands for a match that could not be read, so it is identical to no other.
        plain = [route.key for route in policy.routes if route.plain]
        taken = {key: owner for key in plain if (owner := owners.of(key, mine)) is not None}
        owners.add((key for key in plain if key not in taken), mine)
        if not taken:
            yield policy
            continue
        problem = Problem(policy.ref, ("spec", "rules"), _conflict(taken), Cause.CONFLICTED)
        routes = (
            replace(route, rule=replace(route.rule, broken=problem.message))
            for route in policy.routes
            if not route.plain or route.key not in taken
        )
        yield replace(policy, routes=tuple(routes), problems=(*policy.problems, problem))


class _Owners:
    """Which policy a match belongs to: the first that said it.

    Two policies that name the same match of two different targets do not collide: which of the targets a request is for
    is told by their age.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], dict[Place | None, PolicyRef]] = {}

    def of(self, key: MatchKey, mine: PolicyRef) -> PolicyRef | None:
        """The other policy that has this match already."""
        known = self._known.get(key.said)
        if known is None:
            return None
        target = _target(key)
        found = known.values() if target is None else (known.get(None), known.get(target))
        return next((owner for owner in found if owner not in {None, mine}), None)

    def add(self, keys: Iterable[MatchKey], mine: PolicyRef) -> None:
        """These are the policy's, unless they have an owner."""
        for key in keys:
            self._known.setdefault(key.said, {}).setdefault(_target(key), mine)


def _target(key: MatchKey) -> Place | None:
    return None if key.within is None else key.within.target.place


def _conflict(taken: dict[MatchKey, PolicyRef]) -> str:
    key, owner = next(iter(taken.items()))
    _, paths, method, *_ = key.said
    shown = " and ".join(path.text for path in paths) if isinstance(paths, tuple) else ""
    what = f"{method or 'every method'} {shown or 'every path'} on {key.host}"
    return f"conflicted: {owner} is older and matches the same ({what}); change the match here or there"


def policy_ref(ref: ObjectRef) -> PolicyRef:
    """The model's name for an AccessPolicy."""
    return PolicyRef(ref.namespace, ref.name)

"""Policies beside each other: which one serves where two say the same, and the routing of all of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from extauthz.model.verdict import PolicyRef
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


@dataclass(frozen=True, slots=True)
class Served:
    """All policies beside each other."""

    compiled: tuple[Policy, ...]
    grants: Grants | None
    """What they were settled from."""
    routing: Routing
    problems: tuple[Problem, ...]


def settle(compiled: tuple[Policy, ...], grants: Grants | None, last: Served | None = None) -> Served:
    """All policies, in order of age, without hosts that are not theirs and without their conflicts; `last` is what was
    served before."""
    policies = list(_without_conflicts(_within_grants(policy, grants) for policy in compiled))
    # A folder may hold two objects of one name; then each keeps its scope, as a broken one.
    routes: dict[PolicyRef, tuple[Route, ...]] = {}
    for policy in policies:
        ref = policy_ref(policy.ref)
        routes[ref] = routes.get(ref, ()) + policy.routes
    return Served(
        compiled,
        grants,
        Routing(routes, None if last is None else last.routing),
        tuple(problem for policy in policies for problem in policy.problems),
    )


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


def _without_conflicts(policies: Iterable[Policy]) -> Iterator[Policy]:
    """Of two policies with an identical match the older serves; the newer refuses what else it speaks for."""
    owners: dict[MatchKey, PolicyRef] = {}
    for policy in policies:
        mine = policy_ref(policy.ref)
        # A greedy route stands for a match that could not be read, so it is identical to no other.
        plain = [route.key for route in policy.routes if not route.greedy]
        taken = {key: owners[key] for key in plain if owners.get(key, mine) != mine}
        owners.update((key, mine) for key in plain if key not in owners)
        if not taken:
            yield policy
            continue
        problem = Problem(policy.ref, ("spec", "rules"), _conflict(taken), Cause.CONFLICTED)
        routes = (
            replace(route, rule=replace(route.rule, broken=problem.message))
            for route in policy.routes
            if route.greedy or route.key not in taken
        )
        yield Policy(policy.ref, tuple(routes), (*policy.problems, problem))


def _conflict(taken: dict[MatchKey, PolicyRef]) -> str:
    key, owner = next(iter(taken.items()))
    what = f"{key.method or 'every method'} {key.path.text or 'every path'} on {key.host}"
    return f"conflicted: {owner} is older and matches the same ({what}); change the match here or there"


def policy_ref(ref: ObjectRef) -> PolicyRef:
    """The model's name for an AccessPolicy."""
    return PolicyRef(ref.namespace, ref.name)

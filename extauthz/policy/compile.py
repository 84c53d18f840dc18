"""From checked objects to a snapshot. It depends on the set of objects alone, never on the order they came in."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from extauthz.config import INSTALL_NAMESPACE
from extauthz.model.reuse import Limit, Reuse, ReuseKey
from extauthz.model.token import ClaimPath, Demand, IssuerRef, Slot, SlotKind, Trust
from extauthz.model.verdict import Challenge, PolicyRef
from extauthz.policy.clause import Clause
from extauthz.policy.clauses.authentication import RequireAuthentication
from extauthz.policy.clauses.cel import compile_cel
from extauthz.policy.clauses.claims import RequireClaim
from extauthz.policy.clauses.roles import RequireRoles
from extauthz.policy.clauses.scopes import RequireScopes
from extauthz.policy.counts import LimitSpec, ReuseSpec
from extauthz.policy.grants import HOSTS_ANNOTATION, Grants, granted
from extauthz.policy.held import Held, HeldData
from extauthz.policy.issuers import Issuers, compile_issuers
from extauthz.policy.match import MatchKey, Route
from extauthz.policy.parse import CLUSTER_KINDS, ISSUER_KINDS, Broken, Parsed
from extauthz.policy.problem import FieldPath, ObjectRef, Problem
from extauthz.policy.rule import Rule
from extauthz.policy.scope import keys_of, path_match, salvage
from extauthz.policy.snapshot import Snapshot
from extauthz.policy.spec import (
    AccessPolicySpec,
    MatchSpec,
    RequireSpec,
    RuleSpec,
    SlotSpec,
    TokenSpec,
)


@dataclass(frozen=True, slots=True)
class _Policy:
    """One policy, compiled: its routes, and what is wrong with it."""

    ref: ObjectRef
    routes: tuple[Route, ...]
    problems: tuple[Problem, ...]


def compile_snapshot(
    objects: Iterable[Parsed | Broken], *, install_namespace: str = INSTALL_NAMESPACE, grants: Grants | None = None
) -> Snapshot:
    """Compile a complete set of objects. Broken ones deny their own scope and touch no other.

    `install_namespace` is where extauthz itself lives: the references of cluster-wide objects lead there.
    `grants` says which hosts each namespace may claim; None where nobody shares.
    """
    ordered = sorted(objects, key=lambda item: (item.created, item.ref))
    held = Held(
        {item.ref: item.spec for item in ordered if isinstance(item, Parsed) and isinstance(item.spec, HeldData)}
    )
    issuers = compile_issuers((item for item in ordered if item.ref.kind in ISSUER_KINDS), held, install_namespace)
    policies = [_compile_policy(item, issuers) for item in ordered if item.ref.kind == "AccessPolicy"]
    policies = list(_settle_conflicts(_within_grants(policy, grants) for policy in policies))
    # A folder may hold two objects of one name; then each keeps its scope, as a broken one.
    routes: defaultdict[PolicyRef, tuple[Route, ...]] = defaultdict(tuple)
    for policy in policies:
        routes[_policy_ref(policy.ref)] += policy.routes
    return Snapshot(
        version=_version(ordered, grants),
        policies=dict(routes),
        issuer_keys=issuers.keys,
        problems=(
            *(problem for item in ordered if isinstance(item, Broken) for problem in item.problems),
            *issuers.problems,
            *(problem for policy in policies for problem in policy.problems),
        ),
    )


def _compile_policy(item: Parsed | Broken, issuers: Issuers) -> _Policy:
    match item:
        case Parsed(spec=AccessPolicySpec() as spec):
            return _compile_spec(item, spec, issuers)
        case Broken():
            return _Policy(item.ref, tuple(_salvaged_routes(item)), ())
        case _:
            raise AssertionError("an AccessPolicy has the spec of one")


def _salvaged_routes(item: Broken) -> Iterator[Route]:
    for place, found in enumerate(salvage(item.raw_spec)):
        rule = Rule(policy=_policy_ref(item.ref), name=f"rule-{found.rule}", broken=str(item.problems[0]))
        yield Route(found.key, rule, _age(item), (found.rule, place), found.greedy)


def _compile_spec(item: Parsed, spec: AccessPolicySpec, issuers: Issuers) -> _Policy:
    """A rule that names an issuer it cannot have refuses alone; the policy's other rules serve."""
    routes: list[Route] = []
    problems: list[Problem] = []
    for index, rule_spec in enumerate(spec.rules):
        where: FieldPath = ("spec", "rules", index)
        rule, unmet = _compile_rule(_policy_ref(item.ref), spec, rule_spec, issuers)
        problems.extend(Problem(item.ref, (*where, *field), words) for field, words in unmet)
        for place, match in enumerate(rule_spec.match or (MatchSpec(),)):
            path = path_match(match.path)
            keys = (key for host in spec.hosts for key in keys_of(host, match, path))
            routes.extend(Route(key, rule, _age(item), (index, place)) for key in keys)
    return _Policy(item.ref, tuple(routes), tuple(problems))


_Unmet = tuple[FieldPath, str]


def _compile_rule(
    policy: PolicyRef, spec: AccessPolicySpec, rule: RuleSpec, issuers: Issuers
) -> tuple[Rule, list[_Unmet]]:
    demand, unmet = _demand(rule.token, policy.namespace, issuers) if rule.token is not None else (None, [])
    unmet += _without_ids(rule, demand)
    require = rule.require or RequireSpec()
    authentication = require.authentication
    return (
        Rule(
            policy=policy,
            name=rule.name,
            mode=spec.mode,
            demand=demand,
            clauses=_clauses(require),
            reuse=_reuse(rule.reuse) if rule.reuse is not None else None,
            limits=tuple(_limit(limit) for limit in rule.limits),
            claim_headers=tuple(
                (name, ClaimPath(claim)) for name, claim in sorted(rule.upstream.claim_headers.items())
            ),
            forward_token=rule.upstream.forward_token,
            challenge=Challenge(
                realm=spec.challenge.realm,
                scopes=require.scopes,
                resource_metadata=spec.challenge.resource_metadata,
                acr_values=authentication.acr_values if authentication is not None else (),
                max_age=authentication.max_age if authentication is not None else None,
            ),
            odd_paths=frozenset(spec.allow_odd_paths),
            broken=unmet[0][1] if unmet else None,
        ),
        unmet,
    )


def _demand(token: TokenSpec, namespace: str, issuers: Issuers) -> tuple[Demand, list[_Unmet]]:
    trusts: list[Trust] = []
    unmet: list[_Unmet] = []
    for index, named in enumerate(token.issuers):
        ref = IssuerRef(named.kind, "" if named.kind in CLUSTER_KINDS else namespace, named.name)
        found = issuers.resolve(ref, namespace)
        if isinstance(found, str):
            unmet.append((("token", "issuers", index), found))
        elif not token.audiences and not found.audiences:
            words = f"neither this rule nor {ref} says an audience; without one, a token for another service would do"
            unmet.append((("token", "audiences"), words))
        else:
            trusts.append(found)
    audiences = frozenset(token.audiences) or None
    return Demand(
        slot=_slot(token.from_),
        issuers=tuple(trusts),
        audiences=audiences,
        max_lifetime=token.max_lifetime,
        exact_audience=token.audience_mode == "Exact",
        alongside=frozenset(token.alongside),
    ), unmet


def _without_ids(rule: RuleSpec, demand: Demand | None) -> list[_Unmet]:
    """Counting by token id needs issuers that give one."""
    if rule.reuse is None or rule.reuse.key is not ReuseKey.JTI or demand is None:
        return []
    return [
        (("reuse", "key"), f"{trust.ref} gives no token id; write `key: Token`, or `reuseKeyFallback: Token` there")
        for trust in demand.issuers
        if not trust.mapping.token_id and not trust.reuse_key_fallback
    ]


def _slot(spec: SlotSpec) -> Slot:
    match spec:
        case SlotSpec(header="authorization"):
            return Slot(SlotKind.AUTHORIZATION, "authorization")
        case SlotSpec(header=str(name)):
            return Slot(SlotKind.HEADER, name)
        case SlotSpec(cookie=str(name)):
            return Slot(SlotKind.COOKIE, name)
        case SlotSpec(query=str(name)):
            return Slot(SlotKind.QUERY, name)
        case _:
            raise AssertionError("a slot has exactly one member")


def _clauses(require: RequireSpec) -> tuple[Clause, ...]:
    """The clauses in the order they are asked: what a better login or token could mend comes first."""
    clauses: list[Clause] = []
    if require.authentication is not None:
        clauses.append(RequireAuthentication(require.authentication))
    if require.scopes:
        clauses.append(RequireScopes(frozenset(require.scopes)))
    if require.roles:
        clauses.append(RequireRoles(frozenset(require.roles)))
    clauses.extend(RequireClaim(claim) for claim in require.claims)
    if require.cel is not None:
        clauses.append(compile_cel(require.cel))
    return tuple(clauses)


def _reuse(spec: ReuseSpec) -> Reuse:
    return Reuse(
        max_uses=spec.max_uses,
        window=spec.window,
        key=spec.key,
        claim=ClaimPath(spec.claim) if spec.claim is not None else None,
        scope=spec.scope,
        bind_to=spec.bind_to,
        bind_header=spec.bind_header,
        retry_within=spec.retry.within if spec.retry is not None else None,
    )


def _limit(spec: LimitSpec) -> Limit:
    return Limit(
        name=spec.name,
        by=spec.by,
        claim=ClaimPath(spec.claim) if spec.claim is not None else None,
        requests=spec.requests,
        window=spec.window,
        scope=spec.scope,
        allow_on_store_error=spec.on_store_error == "Allow",
    )


def _within_grants(policy: _Policy, grants: Grants | None) -> _Policy:
    """The policy without the hosts that its namespace may not claim."""
    namespace = policy.ref.namespace
    taken = sorted({r.key.host for r in policy.routes if not granted(grants, namespace, r.key.host)})
    if not taken:
        return policy
    named = ", ".join(f"`{host}`" for host in taken[:5])
    words = f"namespace `{namespace}` may not claim {named}; its annotation `{HOSTS_ANNOTATION}` grants hosts"
    routes = tuple(route for route in policy.routes if route.key.host not in taken)
    return replace(policy, routes=routes, problems=(*policy.problems, Problem(policy.ref, ("spec", "hosts"), words)))


def _settle_conflicts(policies: Iterable[_Policy]) -> Iterator[_Policy]:
    """Of two policies with an identical match the older serves; the newer refuses what else it speaks for."""
    owners: dict[MatchKey, PolicyRef] = {}
    for policy in policies:
        mine = _policy_ref(policy.ref)
        # A greedy route stands for a match that could not be read, so it is identical to no other.
        plain = [route.key for route in policy.routes if not route.greedy]
        taken = {key: owners[key] for key in plain if owners.get(key, mine) != mine}
        owners.update((key, mine) for key in plain if key not in owners)
        if not taken:
            yield policy
            continue
        problem = Problem(policy.ref, ("spec", "rules"), _conflict(taken))
        routes = (
            replace(route, rule=replace(route.rule, broken=problem.message))
            for route in policy.routes
            if route.greedy or route.key not in taken
        )
        yield _Policy(policy.ref, tuple(routes), (*policy.problems, problem))


def _conflict(taken: dict[MatchKey, PolicyRef]) -> str:
    key, owner = next(iter(taken.items()))
    what = f"{key.method or 'every method'} {key.path.text or 'every path'} on {key.host}"
    return f"conflicted: {owner} is older and matches the same ({what}); change the match here or there"


def _age(item: Parsed | Broken) -> tuple[float, str, str]:
    return (item.created, item.ref.namespace, item.ref.name)


def _policy_ref(ref: ObjectRef) -> PolicyRef:
    return PolicyRef(ref.namespace, ref.name)


def _version(ordered: Iterable[Parsed | Broken], grants: Grants | None) -> str:
    """A digest over the content of all objects: equal content, equal version."""
    digest = hashlib.sha256(b"" if grants is None else json.dumps(grants, sort_keys=True).encode())
    for item in ordered:
        content = (
            repr(item.spec) if isinstance(item, Parsed) else json.dumps(item.raw_spec, sort_keys=True, default=str)
        )
        digest.update(f"{item.ref}\0{item.created}\0{content}\0".encode())
    return digest.hexdigest()[:12]

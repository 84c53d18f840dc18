"""From checked objects to a snapshot. It depends on the set of objects alone, never on the order they came in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TypeAlias

from extauthz.config import INSTALL_NAMESPACE
from extauthz.model.reuse import Limit, Reuse, ReuseKey
from extauthz.model.time import Instant
from extauthz.model.token import ClaimPath, Demand, IssuerRef, Slot, SlotKind, Trust
from extauthz.model.verdict import Challenge, PolicyRef
from extauthz.policy.attach import Draft, Targeting
from extauthz.policy.clause import Clause
from extauthz.policy.clauses.authentication import RequireAuthentication
from extauthz.policy.clauses.cel import compile_cel
from extauthz.policy.clauses.claims import RequireClaim
from extauthz.policy.clauses.roles import RequireRoles
from extauthz.policy.clauses.scopes import RequireScopes
from extauthz.policy.counts import LimitSpec, ReuseSpec
from extauthz.policy.gateway.surface import Surfaces
from extauthz.policy.gateway.surface import digest_of as digest_of_surfaces
from extauthz.policy.grants import Grants
from extauthz.policy.held import Held, HeldData
from extauthz.policy.issuers import Issuers, compile_issuers
from extauthz.policy.match import Route
from extauthz.policy.parse import CLUSTER_KINDS, ISSUER_KINDS, Broken, Parsed
from extauthz.policy.path import PathKind
from extauthz.policy.problem import Cause, FieldPath, Problem, Unmet
from extauthz.policy.remembered import Remembered, digest_of
from extauthz.policy.revoking import Revoking
from extauthz.policy.rule import Rule
from extauthz.policy.scope import headers_of, keys_of, path_match, salvage, salvage_rules
from extauthz.policy.selector import Labels, NamespaceLabels
from extauthz.policy.settled import Attaching, Policy, Settling, policy_ref
from extauthz.policy.snapshot import Snapshot
from extauthz.policy.spec import (
    AccessPolicySpec,
    MatchSpec,
    RequireSpec,
    RuleSpec,
    SlotSpec,
    TokenSpec,
)
from extauthz.policy.targets import salvage_targets, target_of
from extauthz.policy.within import Inner

_Object: TypeAlias = Parsed | Broken


def compile_snapshot(
    objects: Iterable[_Object],
    *,
    install_namespace: str = INSTALL_NAMESPACE,
    grants: Grants | None = None,
    surfaces: Surfaces | None = None,
) -> Snapshot:
    """Compile one complete set of objects. Broken ones deny their own scope and touch no other.

    `install_namespace` is where extauthz itself lives: the references of cluster-wide objects lead there.
    `grants` says which hosts each namespace may claim; None where nobody shares. `surfaces` says what each target of a
    policy takes; None where nobody knows of targets.
    """
    return Compiler(install_namespace).compile(objects, grants=grants, surfaces=surfaces)


class Compiler:
    """Compiles complete sets of objects one after the other, and only what changed in between.

    An object that did not change is recognised when it is the same value in memory. What comes out depends on the set
    alone, never on what was compiled before.
    """

    def __init__(self, install_namespace: str = INSTALL_NAMESPACE) -> None:
        self._install_namespace = install_namespace
        self._digests: Remembered[_Object, bytes] = Remembered(digest_of)
        self._revoking = Revoking(install_namespace)
        self._around: object = None
        self._policies: Remembered[_Object, Policy] | None = None
        self._attaching = Attaching()
        self._settling = Settling()

    def compile(
        self,
        objects: Iterable[_Object],
        now: Instant | None = None,
        grants: Grants | None = None,
        surfaces: Surfaces | None = None,
        labels: Labels | None = None,
    ) -> Snapshot:
        """Compile a set. TokenRevocations that count no longer at `now` are left out; requests come later than that."""
        ordered, revocations = _parted(objects)
        digests = self._digests.all(ordered)
        issuers = compile_issuers(
            (item for item in ordered if item.ref.kind in ISSUER_KINDS),
            _held(ordered),
            self._install_namespace,
            _labels(ordered) if labels is None else labels,
        )
        others = tuple(digest for item, digest in zip(ordered, digests, strict=True) if item.ref.kind != "AccessPolicy")
        policies = self._policies_beside(others, issuers)
        drafted = policies.all(item for item in ordered if item.ref.kind == "AccessPolicy")
        served = self._settling.settle(tuple(self._attaching.all(drafted, surfaces, grants)), grants)
        revoked = self._revoking.compile(revocations, issuers, now)
        return Snapshot(
            version=_version(
                grants, [*digests, digest_of_surfaces(surfaces or {}), _digest_of_allowed(issuers)], revoked.digest
            ),
            routing=served.routing,
            issuers=issuers.good,
            issuer_keys=issuers.keys,
            endpoints=issuers.endpoints,
            revocations=revoked.index,
            problems=(
                *(problem for item in ordered if isinstance(item, Broken) for problem in item.problems),
                *issuers.problems,
                *served.problems,
                *revoked.problems,
            ),
        )

    def _policies_beside(self, others: tuple[bytes, ...], issuers: Issuers) -> Remembered[_Object, Policy]:
        """Remembers policies as long as what they are compiled against is the same.

        INVARIANT: whatever `_compile_policy` looks at besides the policy is compared here, or an old one would stay.
        """
        around = (others, issuers.good, issuers.allowed, issuers.broken)
        if self._policies is None or around != self._around:
            self._around = around
            self._policies = Remembered(partial(_compile_policy, issuers=issuers))
        return self._policies


def _parted(objects: Iterable[_Object]) -> tuple[list[_Object], list[_Object]]:
    """The objects in order, and apart from them the TokenRevocations, which can be very many and need no order."""
    others: list[_Object] = []
    revocations: list[_Object] = []
    for item in objects:
        (revocations if item.ref.kind == "TokenRevocation" else others).append(item)
    others.sort(key=lambda item: (item.created, item.ref.kind, item.ref.namespace, item.ref.name))
    return others, revocations


def _held(objects: Iterable[_Object]) -> Held:
    return Held(
        {item.ref: item.spec for item in objects if isinstance(item, Parsed) and isinstance(item.spec, HeldData)}
    )


def _labels(objects: Iterable[_Object]) -> Labels:
    """The labels of Namespaces that stand beside the policies, as in a folder."""
    return {
        item.ref.name: item.spec.labels
        for item in objects
        if isinstance(item, Parsed) and isinstance(item.spec, NamespaceLabels)
    }


def _compile_policy(item: Parsed | Broken, issuers: Issuers) -> Policy:
    match item:
        case Parsed(spec=AccessPolicySpec() as spec):
            return _compile_spec(item, spec, issuers)
        case Broken():
            return Policy(item.ref, tuple(_salvaged_routes(item)), (), _salvaged_targeting(item), _age(item))
        case _:
            raise AssertionError("an AccessPolicy has the spec of one")


def _salvaged_routes(item: Broken) -> Iterator[Route]:
    for place, found in enumerate(salvage(item.raw_spec)):
        rule = Rule(policy=policy_ref(item.ref), name=f"rule-{found.rule}", broken=str(item.problems[0]))
        yield Route(found.key, rule, _age(item), (found.rule, place), found.greedy)


def _salvaged_targeting(item: Broken) -> Targeting | None:
    refs = tuple(dict.fromkeys(salvage_targets(item.raw_spec, item.ref.namespace)))
    return Targeting(refs, tuple(_salvaged_drafts(item))) if refs else None


def _salvaged_drafts(item: Broken) -> Iterator[Draft]:
    """INVARIANT: within its targets, what cannot be read of a broken policy is taken for everything."""
    for place, (index, part) in enumerate(salvage_rules(item.raw_spec)):
        rule = Rule(policy=policy_ref(item.ref), name=f"rule-{index}", broken=str(item.problems[0]))
        lost = part.greedy or part.path.kind in {PathKind.UNKNOWN, PathKind.UNKNOWN_PATTERN}
        for method in part.methods or (None,):
            inner = Inner() if lost else Inner(part.path, method, part.headers)
            yield Draft(rule, inner, (index, place), greedy=lost)


def _compile_spec(item: Parsed, spec: AccessPolicySpec, issuers: Issuers) -> Policy:
    """A rule that names an issuer it cannot have refuses alone; the policy's other rules serve."""
    routes: list[Route] = []
    drafts: list[Draft] = []
    problems: list[Problem] = []
    for index, rule_spec in enumerate(spec.rules):
        where: FieldPath = ("spec", "rules", index)
        rule, unmet = _compile_rule(policy_ref(item.ref), spec, rule_spec, issuers)
        problems.extend(Problem(item.ref, (*where, *field), why.words, why.cause) for field, why in unmet)
        for place, match in enumerate(rule_spec.match or (MatchSpec(),)):
            path = path_match(match.path)
            keys = (key for host in spec.hosts or () for key in keys_of(host, match, path))
            routes.extend(Route(key, rule, _age(item), (index, place)) for key in keys)
            inners = (Inner(path, method, headers_of(match)) for method in match.methods or (None,))
            drafts.extend(Draft(rule, inner, (index, place)) for inner in inners)
    refs = tuple(target_of(each, item.ref.namespace) for each in spec.target_refs or ())
    targeting = Targeting(refs, tuple(drafts)) if refs else None
    return Policy(item.ref, tuple(routes), tuple(problems), targeting, _age(item))


_Unmet = tuple[FieldPath, Unmet]


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
            broken=unmet[0][1].words if unmet else None,
        ),
        unmet,
    )


def _demand(token: TokenSpec, namespace: str, issuers: Issuers) -> tuple[Demand, list[_Unmet]]:
    trusts: list[Trust] = []
    introspectors: list[Trust] = []
    unmet: list[_Unmet] = []
    for index, named in enumerate(token.issuers):
        ref = IssuerRef(named.kind, "" if named.kind in CLUSTER_KINDS else namespace, named.name)
        found = issuers.resolve(ref, namespace)
        if isinstance(found, Unmet):
            unmet.append((("token", "issuers", index), found))
        elif not token.audiences and not found.audiences:
            words = f"neither this rule nor {ref} says an audience; without one, a token for another service would do"
            unmet.append((("token", "audiences"), Unmet(Cause.INVALID, words)))
        elif found.introspected is not None and introspectors:
            words = f"an opaque token does not say whose it is: name {introspectors[0].ref} or {ref}, not both"
            unmet.append((("token", "issuers", index), Unmet(Cause.INVALID, words)))
        else:
            (trusts if found.introspected is None else introspectors).append(found)
    audiences = frozenset(token.audiences) or None
    return Demand(
        slot=_slot(token.from_),
        issuers=tuple(trusts),
        introspector=introspectors[0] if introspectors else None,
        audiences=audiences,
        max_lifetime=token.max_lifetime,
        exact_audience=token.audience_mode == "Exact",
        alongside=frozenset(token.alongside),
    ), unmet


def _without_ids(rule: RuleSpec, demand: Demand | None) -> list[_Unmet]:
    """Counting by token id needs issuers that give one."""
    if rule.reuse is None or rule.reuse.key is not ReuseKey.JTI or demand is None:
        return []
    words = "gives no token id; write `key: Token`, or `reuseKeyFallback: Token` there"
    return [
        (("reuse", "key"), Unmet(Cause.INVALID, f"{trust.ref} {words}"))
        for trust in (*demand.issuers, *([demand.introspector] if demand.introspector is not None else []))
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


def _age(item: Parsed | Broken) -> tuple[float, str, str]:
    return (item.created, item.ref.namespace, item.ref.name)


def _digest_of_allowed(issuers: Issuers) -> bytes:
    """Which namespaces may name which issuers: labels of Namespaces decide it, and are no objects of ours."""
    said = sorted((str(ref), sorted(namespaces)) for ref, namespaces in issuers.allowed.items())
    return hashlib.sha256(json.dumps(said).encode()).digest()


def _version(grants: Grants | None, ordered: Iterable[bytes], others: bytes) -> str:
    """A digest over the content of all objects: equal content, equal version."""
    start = b"" if grants is None else json.dumps(grants, sort_keys=True).encode()
    return hashlib.sha256(b"".join((start, *ordered, others))).hexdigest()[:12]

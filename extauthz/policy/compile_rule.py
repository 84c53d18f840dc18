"""From a rule as its author wrote it to one that decides."""

from __future__ import annotations

from dataclasses import replace

from extauthz.model.reuse import Limit, LimitBy, Reuse, ReuseKey
from extauthz.model.token import ClaimPath, Demand, Slot, SlotKind, Trust
from extauthz.model.verdict import Challenge, PolicyRef
from extauthz.policy.clause import Clause
from extauthz.policy.clauses.authentication import RequireAuthentication
from extauthz.policy.clauses.cel import compile_cel
from extauthz.policy.clauses.claims import RequireClaim
from extauthz.policy.clauses.roles import RequireRoles
from extauthz.policy.clauses.scopes import RequireScopes
from extauthz.policy.counts import LimitSpec, ReuseSpec
from extauthz.policy.issuers import Issuers, named_issuer
from extauthz.policy.problem import Cause, FieldPath, Unmet, first_of
from extauthz.policy.rule import Rule
from extauthz.policy.slot import SlotSpec
from extauthz.policy.spec import AccessPolicySpec, RequireSpec, RuleSpec, TokenSpec

_Unmet = tuple[FieldPath, Unmet]


def compile_rule(
    policy: PolicyRef, spec: AccessPolicySpec, rule: RuleSpec, issuers: Issuers
) -> tuple[Rule, list[_Unmet]]:
    """The rule, and what it names and cannot have, by field: with any of that, it refuses."""
    demand, unmet = _demand(rule.token, policy.namespace, issuers) if rule.token is not None else (None, [])
    unmet += _without_ids(rule, demand)
    require = rule.require or RequireSpec()
    compiled = Rule(
        policy=policy,
        name=rule.name,
        mode=spec.mode,
        demand=demand,
        clauses=_clauses(require),
        reuse=_reuse(rule.reuse, demand) if rule.reuse is not None else None,
        limits=tuple(_limit(limit) for limit in rule.limits),
        claim_headers=tuple((name, ClaimPath(claim)) for name, claim in sorted(rule.upstream.claim_headers.items())),
        forward_token=rule.upstream.forward_token,
        challenge=_challenge(spec, require, demand),
        odd_paths=frozenset(spec.allow_odd_paths),
        broken=first_of([why.words for _, why in unmet]) if unmet else None,
    )
    return replace(compiled, other_grants=_for_other_grants(compiled)), unmet


def _challenge(spec: AccessPolicySpec, require: RequireSpec, demand: Demand | None) -> Challenge:
    authentication = require.authentication
    return Challenge(
        realm=spec.challenge.realm,
        scopes=require.scopes,
        resource_metadata=spec.challenge.resource_metadata,
        acr_values=authentication.acr_values if authentication is not None else (),
        max_age=authentication.max_age if authentication is not None else None,
        token_endpoint=demand is not None and demand.slot.kind is SlotKind.FORM,
    )


def _for_other_grants(rule: Rule) -> Rule | None:
    """The same rule for token requests that have no token: what it counts by addresses, and nothing else of it."""
    if rule.demand is None or not rule.demand.other_grants:
        return None
    limits = tuple(limit for limit in rule.limits if limit.by == (LimitBy.SOURCE_ADDRESS,))
    return replace(rule, demand=None, clauses=(), reuse=None, limits=limits, claim_headers=())


def _demand(token: TokenSpec, namespace: str, issuers: Issuers) -> tuple[Demand, list[_Unmet]]:
    trusts: list[Trust] = []
    introspectors: list[Trust] = []
    unmet: list[_Unmet] = []
    for index, named in enumerate(token.issuers):
        ref = named_issuer(named.kind, named.name, namespace)
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
        max_length=token.max_length,
        other_grants=frozenset(token.from_.other_grants),
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
        case SlotSpec(form=str(name)):
            return Slot(SlotKind.FORM, name)
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


def _reuse(spec: ReuseSpec, demand: Demand | None) -> Reuse:
    return Reuse(
        max_uses=spec.max_uses,
        window=spec.window,
        key=spec.key,
        claim=ClaimPath(spec.claim) if spec.claim is not None else None,
        scope=spec.scope,
        bind_to=spec.bind_to,
        bind_header=spec.bind_header,
        retry_within=spec.retry.within if spec.retry is not None else None,
        family=ClaimPath(spec.family.claim) if spec.family is not None else None,
        retry_once=demand is not None and demand.slot.kind is SlotKind.FORM,
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

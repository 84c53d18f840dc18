"""The story of one Check, top to bottom. Plain synchronous code: no I/O, no clock, nothing shared is written.

    RequestView -> rule -> credential -> verified token -> clauses -> spends -> (the edge commits) -> verdict

INVARIANT: every way out that is not an explicit `Allow` is a `Deny`, and spends come last, so a refused request spends
nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import assert_never

from extauthz.keys.jwks import KeyState
from extauthz.model.reason import Reason
from extauthz.model.request import RequestView
from extauthz.model.time import Instant
from extauthz.model.token import IssuerRef, VerifiedToken
from extauthz.model.verdict import Allow, Challenge, Deny, Ground, Mode, Refusal, Verdict
from extauthz.policy.rule import Rule
from extauthz.policy.snapshot import Snapshot
from extauthz.policy.upstream import changes_of
from extauthz.replay.plan import Owner, attempt_key, plan_spends
from extauthz.replay.spend import Pepper, Rate, Spend
from extauthz.replay.store import Committed, Refused, Unavailable
from extauthz.tokens.credential import find_credential
from extauthz.tokens.verify import Verifier


@dataclass(frozen=True, slots=True)
class World:
    """What a decision may look at besides the request. `snapshot` is None until the first policies are loaded."""

    snapshot: Snapshot | None
    keys: Mapping[IssuerRef, KeyState]
    verifier: Verifier
    pepper: Pepper


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Everything holds but the counts: the verdict when they hold too, and what a refusal needs when they do not."""

    allow: Allow
    spends: tuple[Spend, ...]
    attempt: bytes | None
    """Tells Envoy's repetition of one Check from a second request; None where Envoy gave no stream id."""
    challenge: Challenge
    bare: Allow
    """What a Shadow policy answers in place of a denial: the request as it came, but for headers that are ours."""


def decide(view: RequestView, world: World, now: Instant) -> Deny | Admission:
    """Decide everything but the counts."""
    snapshot = world.snapshot
    if snapshot is None:
        return Deny(refusal=Refusal(Reason.NOT_READY, "no policies are loaded yet"))
    rule = snapshot.choose(view)
    if isinstance(rule, Refusal):
        return Deny(refusal=rule)
    ours = tuple(snapshot.ours(view.headers))
    token = _authenticate(view, rule, world, now)
    ground = _ground(rule, token, world.pepper)
    judged = token if isinstance(token, Refusal) else _judge(view, rule, token, ours, world.pepper, now)
    bare = Allow(ground=ground, remove_headers=ours)
    if isinstance(judged, Refusal):
        return _refuse(judged, ground, rule.challenge, bare)
    allow, spends = judged
    return Admission(
        allow=replace(allow, ground=ground),
        spends=spends,
        attempt=attempt_key(view, token if isinstance(token, VerifiedToken) else None, world.pepper)
        if spends
        else None,
        challenge=rule.challenge,
        bare=bare,
    )


def settle(admission: Admission, outcome: Committed | Refused | Unavailable) -> Verdict:
    """The verdict, once the store has answered for the spends."""
    match outcome:
        case Committed(remaining=remaining):
            return admission.allow if remaining is None else replace(admission.allow, remaining=remaining)
        case Refused(spend=spend, retry_after=retry_after):
            refusal = Refusal(spend.reason, f"the count `{spend.label}` is spent", retry_after=retry_after)
        case Unavailable(detail=detail):
            if all(isinstance(spend, Rate) and spend.allow_on_store_error for spend in admission.spends):
                return admission.allow
            refusal = Refusal(Reason.STORE_UNAVAILABLE, detail)
        case _:
            assert_never(outcome)
    refused = _refuse(refusal, admission.allow.ground, admission.challenge, admission.bare)
    return refused.allow if isinstance(refused, Admission) else refused


def _authenticate(view: RequestView, rule: Rule, world: World, now: Instant) -> VerifiedToken | None | Refusal:
    """The verified token of the request, None where the rule admits without one."""
    if rule.broken is not None:
        return Refusal(Reason.POLICY_INVALID, rule.broken)
    if not view.target.oddities <= rule.odd_paths:
        odd = ", ".join(sorted(oddity.value for oddity in view.target.oddities - rule.odd_paths))
        return Refusal(
            Reason.REQUEST_MALFORMED, f"servers read the path differently ({odd}); `allowOddPaths` lets it in"
        )
    if rule.demand is None:
        return None
    credential = find_credential(view, rule.demand.slot)
    if isinstance(credential, Refusal):
        return credential
    return world.verifier.verify(credential, rule.demand, world.keys, now)


def _judge(
    view: RequestView, rule: Rule, token: VerifiedToken | None, ours: tuple[str, ...], pepper: Pepper, now: Instant
) -> tuple[Allow, tuple[Spend, ...]] | Refusal:
    """Ask every clause, then say what the request changes and spends."""
    if token is not None:
        for clause in rule.clauses:
            refusal = clause.check(token, view, now)
            if refusal is not None:
                return refusal
    allow = changes_of(rule, token, view, ours)
    if isinstance(allow, Refusal):
        return allow
    if rule.reuse is None and not rule.limits:
        return allow, ()
    owner = Owner(rule.policy, rule.name, rule.mode is Mode.SHADOW)
    spends = plan_spends(rule.reuse, rule.limits, token, view, owner, pepper, now)
    return spends if isinstance(spends, Refusal) else (allow, spends)


def _refuse(refusal: Refusal, ground: Ground, challenge: Challenge, bare: Allow) -> Deny | Admission:
    """A denial; under a Shadow policy, an admission that only records it."""
    deny = Deny(refusal=refusal, ground=ground, challenge=challenge)
    if ground.mode is Mode.ENFORCE:
        return deny
    shadow = replace(bare, shadowed=deny)
    return Admission(allow=shadow, spends=(), attempt=None, challenge=challenge, bare=shadow)


def _ground(rule: Rule, token: VerifiedToken | None | Refusal, pepper: Pepper) -> Ground:
    match token:
        case VerifiedToken():
            return Ground(
                policy=rule.policy,
                rule=rule.name,
                mode=rule.mode,
                issuer=token.trust.ref,
                subject=token.subject,
                client=token.client,
                token_hash=pepper.fingerprint(token.identity),
            )
        case Refusal(issuer=issuer):
            return Ground(policy=rule.policy, rule=rule.name, mode=rule.mode, issuer=issuer)
        case None:
            return Ground(policy=rule.policy, rule=rule.name, mode=rule.mode)
        case _:
            assert_never(token)

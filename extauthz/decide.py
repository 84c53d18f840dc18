r"""The story of one Check, top to bottom. Plain synchronous code: no I/O, no clock, nothing shared is written.

    RequestView -> rule -> credential -> verified token -> clauses -> spends -> (the edge commits) -> verdict
                                      \-> Ask (the edge asks, and calls again with the answer)

INVARIANT: every way out that is not an explicit `Allow` is a `Deny`, and spends come last, so a refused request spends
nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, NamedTuple, assert_never

from extauthz.keys.jwks import KeyState
from extauthz.model.question import Answered, Ask
from extauthz.model.reason import Reason
from extauthz.model.request import RequestView
from extauthz.model.step import Step
from extauthz.model.time import Instant, format_duration
from extauthz.model.token import IssuerRef, VerifiedToken
from extauthz.model.verdict import Allow, Challenge, Deny, Ground, Mode, Refusal, Verdict
from extauthz.policy.revocations import Revocations
from extauthz.policy.rule import Rule
from extauthz.policy.snapshot import Snapshot
from extauthz.policy.upstream import changes_of, depends_on_request
from extauthz.replay.family import marks_after
from extauthz.replay.plan import NO_QUOTAS, Owner, attempt_key, plan_spends
from extauthz.replay.room import Quotas
from extauthz.replay.spend import Bind, Mark, Pepper, Rate, Room, Spend, Unmarked, Use, counted_as
from extauthz.replay.store import Committed, Refused, Unavailable
from extauthz.tokens.cache import GenerationalCache
from extauthz.tokens.credential import find_credential
from extauthz.tokens.token_request import is_of_another_grant
from extauthz.tokens.verify import Verifier

NOT_LOADED: Final = Refusal(Reason.NOT_READY, "no policies are loaded yet")
"""Every answer until the first policies are loaded."""


class Admission(NamedTuple):
    """Everything holds but the counts: the verdict when they hold too, and what a refusal needs when they do not."""

    allow: Allow
    spends: tuple[Spend, ...]
    attempt: bytes | None
    """Tells Envoy's repetition of one Check from a second request; None where Envoy gave no stream id."""
    challenge: Challenge
    ours: tuple[str, ...] = ()
    """The headers of the request that only we may set: all that a Shadow policy changes in place of a denial."""


class Grant(NamedTuple):
    """What a rule makes of a token, whatever else the request holds."""

    rule: Rule
    token: VerifiedToken | None
    ground: Ground
    allow: Allow | None
    """The changes to a request that brings none of the headers that are ours; None where they depend on the request."""
    admission: Admission | None
    """The admission of such a request where the rule counts nothing."""


class Grants:
    """Remembers what was worked out once for a rule and a token. Safe to share among threads.

    INVARIANT: nothing in it decides: every requirement is asked for every request. And a grant counts only for the very
    objects that it was worked out for: a token that is verified anew, or a rule that is compiled anew, gets a new one.
    """

    def __init__(self, pepper: Pepper, size: int = 10_000, quotas: Quotas = NO_QUOTAS) -> None:
        self.pepper = pepper
        self.quotas = quotas
        self._known: GenerationalCache[tuple[int, int], Grant] = GenerationalCache(size)

    def of(self, rule: Rule, token: VerifiedToken | None) -> Grant:
        """The grant of this token under this rule."""
        key = (id(rule), id(token))
        grant = self._known.get(key)
        if grant is None or grant.rule is not rule or grant.token is not token:
            grant = self._work_out(rule, token)
            self._known.put(key, grant)
        return grant

    def _work_out(self, rule: Rule, token: VerifiedToken | None) -> Grant:
        ground = _ground(rule, token, self.pepper)
        allow = None if depends_on_request(rule) else changes_of(rule, token, None, (), ground)
        if not isinstance(allow, Allow):
            return Grant(rule, token, ground, None, None)
        if rule.counts:
            return Grant(rule, token, ground, allow, None)
        # Nothing is left that could refuse it, so there is no use for anything but the verdict.
        return Grant(rule, token, ground, allow, Admission(allow, (), None, rule.challenge))


class World(NamedTuple):
    """What a decision may look at besides the request. `snapshot` is None until the first policies are loaded."""

    snapshot: Snapshot | None
    keys: Mapping[IssuerRef, KeyState]
    verifier: Verifier
    grants: Grants


def decide(view: RequestView, world: World, now: Instant, answered: Answered | None = None) -> Deny | Admission | Ask:
    """Decide everything but the counts; or say what must be asked outside, to be called again with the answer."""
    snapshot = world.snapshot
    if snapshot is None:
        return Deny(refusal=NOT_LOADED)
    rule = snapshot.choose(view)
    if isinstance(rule, Refusal):
        return Deny(refusal=rule)
    rule = serving(rule, view)
    ours = snapshot.ours(view.headers)
    token = _authenticate(view, rule, world, now, answered)
    if isinstance(token, Ask):
        return token
    if isinstance(token, Refusal):
        ground = _ground(rule, token.token, world.grants.pepper)._replace(issuer=token.issuer)
        return _refuse(token, ground, rule.challenge, ours)
    grant = world.grants.of(rule, token)
    refusal = _ask(view, rule, token, snapshot.revocations, now)
    if refusal is None:
        if grant.admission is not None and not ours:
            return grant.admission
        admitted = _admit(view, grant, ours, world.grants, now)
        if isinstance(admitted, Admission):
            return admitted
        refusal = admitted
    return _refuse(refusal, grant.ground, rule.challenge, ours)


def settle(
    admission: Admission,
    outcome: Committed | Refused | Unavailable,
    marked: Committed | Refused | Unavailable | None = None,
) -> Verdict:
    """The verdict, once the store has answered for the spends; and `marked` for the mark of a family, if one was due.

    INVARIANT: what becomes of the mark changes no verdict: who comes too often is refused.
    """
    match outcome:
        case Committed(remaining=remaining):
            return admission.allow if remaining is None else replace(admission.allow, remaining=remaining)
        case Refused(spend=spend, retry_after=retry_after):
            words = _spent(outcome) + _of_family(admission, outcome, marked)
            refusal = Refusal(spend.reason, words, retry_after=retry_after, at=spend.step)
        case Unavailable(detail=detail):
            counts = [spend for spend in admission.spends if not isinstance(spend, Room)]
            if all(isinstance(count, Rate) and count.allow_on_store_error for count in counts):
                return admission.allow
            refusal = Refusal(Reason.STORE_UNAVAILABLE, detail)
        case _:
            assert_never(outcome)
    refused = _refuse(refusal, admission.allow.ground, admission.challenge, admission.ours)
    return refused.allow if isinstance(refused, Admission) else refused


def _spent(refused: Refused) -> str:
    """Why a spend is not possible, and when it will be, for the operator."""
    spend, wait = refused.spend, refused.retry_after
    match spend:
        case Bind():
            words = "another caller came first, and the token is tied to that one"
        case Use(max_uses=most):
            words = _all_taken(most, "use")
        case Rate(amount=amount, window=window):
            words = _all_taken(amount, "request", f" in any {format_duration(window)}")
        case Room(most=most):
            words = _all_taken(most, "key")
        case Mark() | Unmarked():
            words = "a token of this token's family was used again, and the family is revoked"
        case _:
            assert_never(spend)
    whose = f", counted as `{counted_as(spend.key)}`" if spend.step is Step.LIMITS else ""
    return f"{words} (`{spend.label}`{whose})" + (
        "" if wait is None else f"; possible again in {format_duration(wait)}"
    )


def _all_taken(number: int, what: str, within: str = "") -> str:
    return f"the one {what}{within} is taken" if number == 1 else f"all {number} {what}s{within} are taken"


def _of_family(admission: Admission, outcome: Refused, marked: Committed | Refused | Unavailable | None) -> str:
    """What becomes of the family of a token that came too often, for the operator."""
    if not marks_after(admission.spends, outcome):
        return ""
    match marked:
        case None:
            return "; a request that is so refused revokes the token's family"
        case Committed():
            return "; the token's family is revoked"
        case Refused():
            return f"; the token's family could not be revoked: {_spent(marked)}"
        case Unavailable(detail=detail):
            return f"; the token's family could not be revoked: {detail}"


def serving(rule: Rule, view: RequestView) -> Rule:
    """The rule, or what it has for token requests of other grants, where this is one."""
    # INVARIANT: one that can only refuse refuses these, too.
    if rule.other_grants is None or rule.demand is None or rule.broken is not None:
        return rule
    return rule.other_grants if is_of_another_grant(view, rule.demand.other_grants) else rule


def refuse_unserved(view: RequestView, rule: Rule) -> Refusal | None:
    """Why the rule does not serve the request that it takes, whatever token comes with it; None when it does."""
    if rule.broken is not None:
        return Refusal(Reason.POLICY_INVALID, rule.broken)
    for hidden in rule.hides:
        if hidden.takes(view):
            words = f"the rule `{hidden.rule}` was to take it: {hidden.words}"
            return Refusal(Reason.POLICY_INVALID, words)
    if view.target.oddities <= rule.odd_paths:
        return None
    odd = ", ".join(sorted(oddity.value for oddity in view.target.oddities - rule.odd_paths))
    words = f"servers read the path differently ({odd}); `allowOddPaths` lets it in"
    return Refusal(Reason.REQUEST_MALFORMED, words, at=Step.PATH)


def _authenticate(
    view: RequestView, rule: Rule, world: World, now: Instant, answered: Answered | None
) -> VerifiedToken | None | Refusal | Ask:
    """The verified token of the request, None where the rule admits without one."""
    unserved = refuse_unserved(view, rule)
    if unserved is not None:
        return unserved
    if rule.demand is None:
        return None
    credential = find_credential(view, rule.demand.slot, rule.demand.alongside, rule.demand.max_length)
    if isinstance(credential, Refusal):
        return credential
    if rule.demand.introspector is not None:
        token = world.verifier.introspect(credential, rule.demand, answered, now)
        if token is not None:
            return token
    return world.verifier.verify(credential, rule.demand, world.keys, now)


def _ask(
    view: RequestView, rule: Rule, token: VerifiedToken | None, revocations: Revocations | None, now: Instant
) -> Refusal | None:
    """Whether the token is revoked, then the first clause's refusal; None when all holds."""
    if token is not None:
        if revocations is not None:
            refusal = revocations.refuse(token, rule.policy.namespace, now)
            if refusal is not None:
                return refusal
        for clause in rule.clauses:
            refusal = clause.check(token, view, now)
            if refusal is not None:
                return refusal
    return None


def _admit(view: RequestView, grant: Grant, ours: tuple[str, ...], grants: Grants, now: Instant) -> Admission | Refusal:
    """What the request changes and spends."""
    rule, token, ground, allow, _ = grant
    if allow is None or ours:
        changes = changes_of(rule, token, view, ours, ground)
        if isinstance(changes, Refusal):
            return changes
        allow = changes
    if not rule.counts:
        return Admission(allow, (), None, rule.challenge, ours)
    owner = Owner(rule.policy, rule.name, rule.mode is Mode.SHADOW)
    spends = plan_spends(rule.reuse, rule.limits, token, view, owner, grants.pepper, now, grants.quotas)
    if isinstance(spends, Refusal):
        return spends
    return Admission(allow, spends, attempt_key(view, token, grants.pepper), rule.challenge, ours)


def _refuse(refusal: Refusal, ground: Ground, challenge: Challenge, ours: tuple[str, ...]) -> Deny | Admission:
    """A denial; under a Shadow policy, an admission that only records it."""
    deny = Deny(refusal=refusal, ground=ground, challenge=challenge)
    if ground.mode is Mode.ENFORCE:
        return deny
    shadow = Allow(ground=ground, remove_headers=ours, shadowed=deny)
    return Admission(allow=shadow, spends=(), attempt=None, challenge=challenge)


def _ground(rule: Rule, token: VerifiedToken | None, pepper: Pepper) -> Ground:
    if token is None:
        return Ground(policy=rule.policy, rule=rule.name, mode=rule.mode)
    return Ground(
        policy=rule.policy,
        rule=rule.name,
        mode=rule.mode,
        issuer=token.trust.ref,
        subject=token.subject,
        client=token.client,
        token_hash=pepper.fingerprint(token.identity),
    )

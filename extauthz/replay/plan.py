"""What a request that passed every check spends. Pure: the store commits the plan, all or none.

INVARIANT: a value to count or bind by that is missing refuses the request. Not to be counted is no way in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, assert_never

from extauthz.model.encoding import Json
from extauthz.model.reason import Reason
from extauthz.model.request import RequestView
from extauthz.model.reuse import BindTo, CountScope, Limit, LimitBy, Reuse, ReuseKey
from extauthz.model.step import Step
from extauthz.model.time import Instant
from extauthz.model.token import ClaimPath, IssuerRef, VerifiedToken, claim_at
from extauthz.model.verdict import PolicyRef, Refusal
from extauthz.replay.canonical import canonical
from extauthz.replay.family import marked_until
from extauthz.replay.room import Quotas
from extauthz.replay.spend import Bind, Grace, Parts, Pepper, Rate, Room, Spend, Unmarked, Use

NO_QUOTAS: Final = Quotas()
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Owner:
    """The rule that counts."""

    policy: PolicyRef
    rule: str
    shadow: bool
    """Shadow policies count apart, so that a trial run uses up nothing."""


def plan_spends(  # noqa: PLR0913, PLR0917 - everything a plan depends on, and nothing else
    reuse: Reuse | None,
    limits: tuple[Limit, ...],
    token: VerifiedToken | None,
    view: RequestView,
    owner: Owner,
    pepper: Pepper,
    now: Instant,
    quotas: Quotas = NO_QUOTAS,
) -> tuple[Spend, ...] | Refusal:
    """What a request that passed every check spends: that its family has no mark, `Bind`, `Use`, then `Rate`; the first
    to refuse is reported.

    A value to count or bind by that is missing refuses the request: uncounted is no way in. With a previous pepper, the
    same follows under that one: what a replica counted that knows only one of them refuses here too. Last comes the
    room for all of it within the quotas of who makes the keys; behind it counts by address alone, and room for them.
    """
    spends: list[Spend] = []
    for each in pepper.all:
        case = _Case(token, view, owner, each, now)
        for planned in _paid_plans(reuse, limits, quotas, case):
            if isinstance(planned, Refusal):
                return planned
            spends.append(planned if each is pepper else replace(planned, label=f"{planned.label}, previous pepper"))
    return tuple(spends)


def attempt_key(view: RequestView, token: VerifiedToken | None, pepper: Pepper) -> bytes | None:
    """Tells Envoy's repetition of one Check from a second request. None where Envoy gave no stream id."""
    if not view.stream_id:
        return None
    identity = token.identity if token is not None else b""
    return pepper.key("attempt", view.stream_id, *_request_parts(view), identity)


@dataclass(frozen=True, slots=True)
class _Case:
    """One request before one rule."""

    token: VerifiedToken | None
    view: RequestView
    owner: Owner
    pepper: Pepper
    now: Instant

    def key(self, kind: str, scope: CountScope, *parts: str | bytes) -> bytes:
        shadow = "shadow" if self.owner.shadow else "enforce"
        return self.pepper.key(kind, *self._scope(scope), shadow, *parts)

    def _scope(self, scope: CountScope) -> Parts:
        policy = self.owner.policy
        match scope:
            case CountScope.RULE:
                return scope.value, policy.namespace, policy.name, self.owner.rule
            case CountScope.POLICY:
                return scope.value, policy.namespace, policy.name
            case CountScope.GLOBAL:
                return (scope.value,)
            case _:
                assert_never(scope)


@dataclass(frozen=True, slots=True)
class _Same:
    """What makes two tokens the same for a count, and how long that must be remembered."""

    parts: Parts
    until: Instant
    label: str = "reuse"
    """What operators are told that counts."""


def _paid_plans(
    reuse: Reuse | None, limits: tuple[Limit, ...], quotas: Quotas, case: _Case
) -> Iterator[Spend | Refusal]:
    """INVARIANT: a count that tokens of all issuers share has one payer, whoever sends the request. Else a client of
    one issuer fills it with addresses for all others, and each payer has places for ends that another moved."""
    shared = tuple(limit for limit in limits if limit.by == (LimitBy.SOURCE_ADDRESS,)) if quotas.issuer else ()
    own = tuple(limit for limit in limits if limit not in shared) if shared else limits
    if reuse is not None or own:
        yield from _plans(reuse, own, case)
        yield from _rooms(quotas, case)
    if shared:
        yield from _plans(None, shared, case)
        yield from _rooms(quotas, replace(case, token=None))


def _plans(reuse: Reuse | None, limits: tuple[Limit, ...], case: _Case) -> Iterator[Spend | Refusal]:
    if reuse is not None:
        yield from _plan_reuse(reuse, case)
    for limit in limits:
        yield _plan_limit(limit, case)


def _rooms(quotas: Quotas, case: _Case) -> Iterator[Room]:
    """INVARIANT: who pays is told by the object that vouches for the token, never by what a client may choose."""
    token = case.token
    if quotas.issuer:
        namespace = case.owner.policy.namespace
        payer = ("anonymous", namespace) if token is None else ("issuer", *_issuer(token))
        name = f"addresses, and requests without a token, in {namespace}" if token is None else str(token.trust.ref)
        yield Room(key=case.pepper.key("room", *payer), most=quotas.issuer, label=f"store quota of {name}")
    if quotas.namespace and token is not None and token.trust.ref.namespace:
        namespace = token.trust.ref.namespace
        key = case.pepper.key("room", "namespace", namespace)
        yield Room(key=key, most=quotas.namespace, label=f"store quota of namespace {namespace}")


def _plan_reuse(reuse: Reuse, case: _Case) -> Iterator[Spend | Refusal]:
    same = _same(reuse, case)
    if isinstance(same, Refusal):
        yield same
        return
    if reuse.family is not None:
        yield _plan_family(reuse.family, reuse.scope, case)
    # Whether or not it counts uses: an edit that adds or removes a window must not take ties to another slot.
    use = case.key("use", reuse.scope, *same.parts)
    for bind_to in reuse.bind_to:
        yield _plan_bind(bind_to, reuse, same, use, case)
    if reuse.window is None:
        yield Use(
            key=use,
            max_uses=reuse.max_uses,
            until=same.until,
            label=same.label,
            grace=_grace(reuse, case),
        )
    else:
        key = case.key("reuse-rate", reuse.scope, *same.parts)
        yield Rate(key=key, amount=reuse.max_uses, window=reuse.window, step=Step.REUSE, label=same.label, company=use)


def _plan_family(claim: ClaimPath, scope: CountScope, case: _Case) -> Unmarked | Refusal:
    """INVARIANT: a token that names no family is refused: one that nobody can revoke is no way in."""
    token = case.token
    if token is None:
        raise AssertionError("what is counted by its token has one")
    value = claim_at(token.claims, claim)
    if not (isinstance(value, str | int) and value) or isinstance(value, bool):
        detail = f"the token has no claim `{claim}` that names its family by a text or a whole number"
        return Refusal(Reason.CLAIM_REFUSED, detail, issuer=token.trust.ref, at=Step.REUSE)
    if "iat" not in token.claims:
        detail = "the token has no `iat`, without which its family cannot be revoked for long enough"
        return Refusal(Reason.TOKEN_MALFORMED, detail, issuer=token.trust.ref, at=Step.REUSE)
    key = case.key("family", scope, *_issuer(token), claim, canonical(value))
    return Unmarked(key=key, until=marked_until(token, case.now))


def _plan_bind(bind_to: BindTo, reuse: Reuse, same: _Same, use: bytes, case: _Case) -> Bind | Refusal:
    """One tie for each thing bound to, so that adding another in the policy leaves the earlier ties in force."""
    header = reuse.bind_header or ""
    match bind_to:
        case BindTo.SOURCE_PRINCIPAL:
            value, wanted = case.view.source.principal, "the peer's identity, which needs mutual TLS"
        case BindTo.SOURCE_ADDRESS:
            value, wanted = case.view.source.address, "the peer's address"
        case BindTo.HEADER:
            value, wanted = case.view.header(header) or "", f"exactly one header `{header}`, which the mesh must set"
        case _:
            assert_never(bind_to)
    if not value:
        detail = f"`bindTo: [{bind_to.value}]` needs {wanted}; the request came without"
        return Refusal(Reason.TOKEN_BOUND_ELSEWHERE, detail, issuer=_ref(case))
    label = f"bindTo {bind_to.value}"
    name = header if bind_to is BindTo.HEADER else ""
    key = case.key("bind", reuse.scope, *same.parts, bind_to.value, name)
    return Bind(key=key, value=case.pepper.key("bound", value), until=same.until, label=label, company=use)


def _plan_limit(limit: Limit, case: _Case) -> Rate | Refusal:
    parts: list[str | bytes] = []
    for by in sorted(limit.by, key=lambda each: each.value):
        found = _told_apart(by, limit, case)
        if isinstance(found, Refusal):
            return found
        parts += (by.value, *found)
    return Rate(
        key=case.key("limit", limit.scope, limit.name, *parts),
        amount=limit.requests,
        window=limit.window,
        allow_on_store_error=limit.allow_on_store_error,
        label=limit.name,
        company=_company(limit, case),
    )


def _company(limit: Limit, case: _Case) -> bytes:
    """The key of a token's uses, for a limit that counts by the token alone."""
    if case.token is None or limit.by != (LimitBy.TOKEN,):
        return b""
    return case.key("use", limit.scope, ReuseKey.TOKEN.value, case.token.identity)


def _same(reuse: Reuse, case: _Case) -> _Same | Refusal:
    """What makes another token the same as this one."""
    token = case.token
    if token is None:
        words = "`reuse` counts tokens, and this rule admits without one; use `limits`"
        return Refusal(Reason.POLICY_INVALID, words, at=Step.REUSE)
    match reuse.key:
        case ReuseKey.TOKEN:
            return _by_token(token)
        case ReuseKey.JTI:
            return _by_token_id(token, case.now)
        case ReuseKey.CLAIM:
            return _by_claim(reuse, token, case.now)
        case _:
            assert_never(reuse.key)


def _by_token(token: VerifiedToken) -> _Same | Refusal:
    if token.trust.introspected is not None and "iat" not in token.claims:
        return _unbounded(token)
    # The identity says who signed. So one token is one token also where two objects describe its issuer.
    return _Same((ReuseKey.TOKEN.value, token.identity), token.window.remember_until)


def _by_token_id(token: VerifiedToken, now: Instant) -> _Same | Refusal:
    if token.token_id is not None and "iat" in token.claims:
        parts = (ReuseKey.JTI.value, *_issuer(token), token.token_id)
        return _Same(parts, _outlive_all(token, now), "reuse by token id")
    if token.trust.reuse_key_fallback:
        return _by_token(token)
    if token.token_id is not None:
        return _unbounded(token)
    detail = (
        "the token has no token id to count by; write `key: Token`, name the claim that holds one in `mapping.tokenId`"
        f" of {token.trust.ref}, or set its `reuseKeyFallback: Token`"
    )
    return Refusal(Reason.TOKEN_MALFORMED, detail, issuer=token.trust.ref, at=Step.REUSE)


def _by_claim(reuse: Reuse, token: VerifiedToken, now: Instant) -> _Same | Refusal:
    claim = reuse.claim
    value = claim_at(token.claims, claim) if claim is not None else None
    if claim is None or value is None:
        detail = f"the token has no claim `{claim}`, by which its uses are counted"
        return Refusal(Reason.CLAIM_REFUSED, detail, issuer=token.trust.ref, at=Step.REUSE)
    if "iat" not in token.claims:
        return _unbounded(token)
    parts = (ReuseKey.CLAIM.value, *_issuer(token), claim, canonical(value))
    return _Same(parts, _outlive_all(token, now), f"reuse by {claim}")


def _unbounded(token: VerifiedToken) -> Refusal:
    """INVARIANT: without `iat` nobody knows how long a token with the same id may still live, nor how long to count;
    nor for how long an endpoint, which can prolong a token, may go on calling it active."""
    told = token.trust.introspected is not None
    by, instead = ("", "let its endpoint say it") if told else (" by id or claim", "use `key: Token`")
    detail = f"the token has no `iat`, without which uses{by} cannot be remembered long enough; {instead}"
    return Refusal(Reason.TOKEN_MALFORMED, detail, issuer=token.trust.ref, at=Step.REUSE)


def _outlive_all(token: VerifiedToken, now: Instant) -> Instant:
    """The instant by which every token that exists now has expired.

    Another token may carry the same id or claim and live longer than this one. If it exists now, then it was issued by
    now plus the skew, lives for `max_lifetime` at most, and is accepted for one skew more.
    """
    trust = token.trust
    return max(token.window.remember_until, Instant(now + trust.max_lifetime + 2 * trust.clock_skew + 1.0))


def _told_apart(by: LimitBy, limit: Limit, case: _Case) -> Parts | Refusal:
    """The value by which a limit tells requests apart. All but the address are an issuer's words, and count as its."""
    token = case.token
    if by is LimitBy.SOURCE_ADDRESS:
        return (case.view.source.address,) if case.view.source.address else _missing(limit, "the peer's address", case)
    if token is None:
        detail = f"limit `{limit.name}` counts by {by.value}, and this rule admits without a token; use SourceAddress"
        return Refusal(Reason.POLICY_INVALID, detail, at=Step.LIMITS)
    match by:
        case LimitBy.SUBJECT:
            value: Json | bytes = token.subject
        case LimitBy.CLIENT:
            value = token.client
        case LimitBy.TOKEN:
            value = token.identity
        case LimitBy.ISSUER:
            return _issuer(token)
        case LimitBy.CLAIM:
            value = claim_at(token.claims, limit.claim) if limit.claim is not None else None
        case _:
            assert_never(by)
    if value is None:
        word = by.value.lower()
        mapped = f"{word} (`mapping.{word}` of {token.trust.ref})"
        return _missing(limit, f"claim `{limit.claim}`" if by is LimitBy.CLAIM else mapped, case)
    name = limit.claim or "" if by is LimitBy.CLAIM else ""
    return (*_issuer(token), name, value if isinstance(value, bytes) else canonical(value))


def _missing(limit: Limit, what: str, case: _Case) -> Refusal:
    detail = f"limit `{limit.name}` counts by a value that is missing: {what}"
    return Refusal(Reason.CLAIM_REFUSED, detail, issuer=_ref(case), at=Step.LIMITS)


def _grace(reuse: Reuse, case: _Case) -> Grace | None:
    view = case.view
    if reuse.retry_within is None or not (reuse.retry_once or view.method in _SAFE_METHODS):
        return None
    return Grace(case.pepper.key("repeat", *_request_parts(view)), reuse.retry_within, reuse.retry_once)


def _request_parts(view: RequestView) -> Parts:
    return view.method, view.host, view.target.path, view.target.query


def _issuer(token: VerifiedToken) -> Parts:
    """Both the object and the `iss`: an issuer object of one's own cannot burn another's tokens by naming its `iss`.

    An alias counts as the issuer that it names: a client that may choose where it logs in gains no second count.
    """
    trust, iss = token.trust, token.claims.get("iss")
    name = trust.issuer if iss in trust.aliases else iss
    return trust.ref.kind, trust.ref.namespace, trust.ref.name, name if isinstance(name, str) else ""


def _ref(case: _Case) -> IssuerRef | None:
    return case.token.trust.ref if case.token is not None else None

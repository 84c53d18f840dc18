"""The token's part of the story: its form, its issuer, and what that issuer's settings make of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from extauthz.explain.story import ToldStep
from extauthz.explain.told import skipped, told, told_in_order
from extauthz.keys.jwk import Key, KeySet
from extauthz.keys.jwks import KeyState
from extauthz.model.encoding import Json
from extauthz.model.reason import Reason
from extauthz.model.step import Step
from extauthz.model.time import Instant, format_duration
from extauthz.model.token import ClaimPath, Demand, IssuerRef, Trust, VerifiedToken, claim_at
from extauthz.model.verdict import Refusal
from extauthz.tokens.acceptance import refuse
from extauthz.tokens.claims import Verified, read_claims
from extauthz.tokens.jws import Jws, parse_jws, read_payload
from extauthz.tokens.quoting import quote, quote_all
from extauthz.tokens.signer import check_signature, find_keys, refuse_algorithm
from extauthz.tokens.verify import candidates, is_untimely_alone, refuse_type, usable_keys

_BY_ISSUER = (Step.KEYS, Step.ALGORITHM, Step.KEY, Step.SIGNATURE, Step.TYPE, Step.SENDER, Step.CLAIMS)
_ACCEPTANCE = (Step.TIME, Step.AUDIENCE, Step.LIFETIME)
STEPS = (Step.FORM, Step.ISSUER, *_BY_ISSUER, *_ACCEPTANCE)
"""All steps of a token, in order."""
BY_ENDPOINT = (Step.INTROSPECTION, Step.SENDER, Step.CLAIMS, *_ACCEPTANCE)
"""Those of a token that its issuer's endpoint is asked about, once it is known whom to ask."""

_LONGEST_YEAR = 253_402_300_799


def tell_token(
    text: str, demand: Demand, keys: Mapping[IssuerRef, KeyState], accepted: VerifiedToken | Refusal, now: Instant
) -> Iterator[ToldStep]:
    """Every check of a token. `accepted` is what the verifier answered."""
    jws = parse_jws(text, demand.ignored_header_parameters)
    claims = jws if isinstance(jws, Refusal) else read_payload(jws)
    if isinstance(jws, Refusal) or isinstance(claims, Refusal):
        yield told(Step.FORM, claims, wanted="a signed JWT in compact form")
        return
    yield told(Step.FORM, jws, found=_form(jws), wanted="a signed JWT in compact form")
    trusts = candidates(claims, demand)
    names = quote_all({name for trust in demand.issuers for name in (*trust.names, *_domain(trust))})
    yield told(Step.ISSUER, trusts, found=_said(claims), wanted=f"one of {names}")
    for trust in () if isinstance(trusts, Refusal) else trusts:
        yield from _tell_for(trust, jws, claims, demand, keys, now)
        if _decides(trust, claims, demand, accepted, now):
            return


def _decides(
    trust: Trust, claims: Mapping[str, Json], demand: Demand, answer: VerifiedToken | Refusal, now: Instant
) -> bool:
    """Whether the answer is this issuer's last word, so that no other with the same `iss` was asked."""
    if isinstance(answer, VerifiedToken):
        return answer.trust is trust
    if answer.issuer == trust.ref and answer.reason is Reason.KEYS_UNAVAILABLE:
        return True
    verified = read_claims(claims, trust, b"", b"", now)
    return answer.issuer == trust.ref and isinstance(verified, Verified) and is_untimely_alone(verified, demand, answer)


def _tell_for(
    trust: Trust, jws: Jws, claims: Mapping[str, Json], demand: Demand, keys: Mapping[IssuerRef, KeyState], now: Instant
) -> Iterator[ToldStep]:
    """What one issuer's settings make of the token. After a refusal, the steps that were not reached."""
    reached = set()
    for step in _checks(trust, jws, claims, demand, keys, now):
        yield step
        reached.add(step.name)
    for missed in (*_BY_ISSUER, *_ACCEPTANCE):
        if missed not in reached:
            yield skipped(missed, issuer=str(trust.ref))


def _checks(
    trust: Trust, jws: Jws, claims: Mapping[str, Json], demand: Demand, keys: Mapping[IssuerRef, KeyState], now: Instant
) -> Iterator[ToldStep]:
    who = str(trust.ref)
    key_set = usable_keys(keys, trust, now)
    yield told(Step.KEYS, key_set, found=_count(key_set), wanted=f"usable keys of {who}", issuer=who)
    if isinstance(key_set, Refusal):
        return
    refusal = refuse_algorithm(trust, jws)
    yield told(Step.ALGORITHM, refusal, found=quote(jws.alg), wanted=quote_all(trust.algorithms), issuer=who)
    if refusal is not None:
        return
    found = find_keys(trust, jws, claims, key_set)
    yield told(Step.KEY, found, found=_kid(jws), wanted=_kids(key_set), issuer=who)
    if isinstance(found, Refusal):
        return
    signer = check_signature(trust, jws, found)
    yield told(Step.SIGNATURE, signer, found=_fits(signer), wanted=f"made with the {_tried(found)}", issuer=who)
    if isinstance(signer, Refusal):
        return
    refusal = refuse_type(trust, jws)
    yield told(Step.TYPE, refusal, found=_typ(jws), wanted=_types(trust), issuer=who)
    if refusal is None:
        yield from tell_claims(trust, claims, demand, now)


def tell_claims(trust: Trust, claims: Mapping[str, Json], demand: Demand, now: Instant) -> Iterator[ToldStep]:
    """What the token says, and whether that is accepted now and here."""
    who = str(trust.ref)
    # The identity is for counts alone; nothing is counted by this reading.
    verified = read_claims(claims, trust, b"", b"", now)
    sender = told(Step.SENDER, None, found="`cnf`" if "cnf" in claims else "no `cnf`", wanted="no `cnf`", issuer=who)
    wanted = _wanted_claims(trust)
    if isinstance(verified, Refusal):
        # The reading stops at the first mistake, whichever of these steps it is of.
        for step, text in ((Step.SENDER, sender.wanted), (Step.CLAIMS, wanted)):
            yield told(step, verified, wanted=text, issuer=who) if step is verified.step else skipped(step, issuer=who)
        if verified.step not in {Step.SENDER, Step.CLAIMS}:
            yield told(verified.step, verified, issuer=who)
        return
    yield sender
    yield told(Step.CLAIMS, verified, found=_present(trust, claims), wanted=wanted, issuer=who)
    yield from told_in_order(tuple(_acceptance(verified, demand, now)), refuse(verified, demand, now))


def _acceptance(verified: Verified, demand: Demand, now: Instant) -> Iterator[ToldStep]:
    token, trust = verified.token, verified.token.trust
    who, skew = str(trust.ref), format_duration(trust.clock_skew)
    until = f"{_moment(verified.expires)} by `exp`"
    begins = token.window.opens + trust.clock_skew
    since = f"from {_moment(begins)} " if begins > 0 else ""
    yield told(
        Step.TIME, None, found=f"valid {since}to {until}", wanted=f"{_moment(now)}, give or take {skew}", issuer=who
    )
    audiences = " and ".join(quote_all(each) for each in verified.audience_claims) or "nobody"
    wanted = trust.audiences if demand.audiences is None else demand.audiences
    only = " and nobody else" if demand.exact_audience else ""
    yield told(Step.AUDIENCE, None, found=audiences, wanted=f"one of {quote_all(wanted)}{only}", issuer=who)
    lives = verified.expires - (now if verified.issued is None else verified.issued)
    longest = trust.max_lifetime if demand.max_lifetime is None else min(trust.max_lifetime, demand.max_lifetime)
    yield told(
        Step.LIFETIME, None, found=format_duration(lives), wanted=f"at most {format_duration(longest)}", issuer=who
    )


def _form(jws: Jws) -> str:
    return f"a JWT signed with {quote(jws.alg)}, {_kid(jws)}, {_typ(jws)}"


def _kid(jws: Jws) -> str:
    return "no `kid`" if jws.kid is None else f"`kid` {quote(jws.kid)}"


def _typ(jws: Jws) -> str:
    return f"`typ` {quote(jws.typ_as_sent)}" if jws.typ else "no `typ`"


def _types(trust: Trust) -> str:
    return f"{quote_all(kind or 'Absent' for kind in trust.token_types)} (`tokenTypes`)"


def _domain(trust: Trust) -> tuple[str, ...]:
    return (f"spiffe://{trust.trust_domain}/",) if trust.trust_domain else ()


def _said(claims: Mapping[str, Json]) -> str:
    return f"`iss` {quote(claims['iss'])}" if "iss" in claims else "no `iss`"


def _count(key_set: KeySet | Refusal) -> str:
    if isinstance(key_set, Refusal):
        return "none"
    unused = f", {len(key_set.skipped)} not used" if key_set.skipped else ""
    return f"{len(key_set.keys)}{unused}"


def _kids(key_set: KeySet) -> str:
    named = {key.kid for key in key_set.keys if key.kid is not None}
    nameless = sum(key.kid is None for key in key_set.keys)
    more = f"{', ' if named else ''}{nameless} without `kid`" if nameless else ""
    return f"one of {quote_all(named)}{more}"


def _tried(keys: tuple[Key, ...]) -> str:
    kids = {key.kid for key in keys if key.kid is not None}
    return f"key {quote_all(kids)}" if kids else f"{len(keys)} keys that fit `alg`"


def _fits(signer: str | Refusal) -> str:
    return "fits no key" if isinstance(signer, Refusal) else "fits"


def _wanted_claims(trust: Trust) -> str:
    parts = ["`exp`"]
    if trust.required_claims:
        parts.append(f"{quote_all(trust.required_claims)} (`requiredClaims`)")
    if trust.claim_present:
        parts.append(f"{quote_all(trust.claim_present)} (`claimPresent`)")
    if trust.claim_equals:
        parts.append(f"{quote_all(trust.claim_equals)} as `claimEquals` says")
    if trust.tenants is not None:
        parts.append(f"{quote(trust.tenants.claim)} that names the tenant in `iss`")
    if trust.subject_pattern:
        parts.append("a subject as `subjectPattern` says")
    return ", ".join(parts)


def _present(trust: Trust, claims: Mapping[str, Json]) -> str:
    asked = {*trust.required_claims, *trust.claim_present, *trust.claim_equals, "exp", "iat", "nbf"}
    return "has " + quote_all(name for name in asked if claim_at(claims, ClaimPath(name)) is not None)


def _moment(at: float) -> str:
    """A time as RFC 3339 writes it, to the second; one that no calendar has stays a number."""
    if not 0 <= at <= _LONGEST_YEAR:
        return f"{at:.0f}"
    return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

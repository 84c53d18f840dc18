"""Whether a verified token is accepted now, and here: asked anew for every request, never remembered.

Time (RFC 7519, sections 4.1.4 and 4.1.5), audience (RFC 7519, section 4.1.3) and how long the token lives in all.
"""

from __future__ import annotations

from dataclasses import replace

from extauthz.model.reason import Reason
from extauthz.model.time import Instant, format_duration
from extauthz.model.token import Demand
from extauthz.model.verdict import Refusal
from extauthz.tokens.claims import Verified
from extauthz.tokens.quoting import quote_all


def refuse(verified: Verified, demand: Demand, now: Instant) -> Refusal | None:
    """Why the token is not accepted by this demand at `now`; None when it is."""
    refusal = _refuse(verified, demand, now)
    # INVARIANT: whose token it is was verified before; it is told to operators alone, and admits nothing.
    return None if refusal is None else replace(refusal, token=verified.token)


def _refuse(verified: Verified, demand: Demand, now: Instant) -> Refusal | None:
    token, trust = verified.token, verified.token.trust
    if not token.window.accepts(now):
        return _out_of_time(verified, now)
    wanted = trust.audiences if demand.audiences is None else demand.audiences
    if not verified.audience_claims:
        return _for_others(verified, wanted)
    for found in verified.audience_claims:
        if wanted.isdisjoint(found):
            return _for_others(verified, wanted)
        if demand.exact_audience and not found <= wanted:
            return _for_others(verified, wanted, " and nobody else, as the rule's `audienceMode` says")
    # Without `iat` nobody knows when the token began: what is left of it counts. Never `nbf`, which may lie anywhere.
    lifetime = verified.expires - (now if verified.issued is None else verified.issued)
    longest = trust.max_lifetime if demand.max_lifetime is None else min(trust.max_lifetime, demand.max_lifetime)
    if lifetime > longest:
        return _too_long(verified, lifetime, longest, now)
    return None


def _out_of_time(verified: Verified, now: Instant) -> Refusal:
    trust, window = verified.token.trust, verified.token.window
    allowed = f"`clockSkew` of {trust.ref} lets in"
    skew = format_duration(trust.clock_skew)
    if now >= window.closes:
        since = format_duration(now - verified.expires)
        words = f"the token expired {since} ago; {allowed} those that expired less than {skew} ago"
        return Refusal(Reason.TOKEN_EXPIRED, words, issuer=trust.ref)
    opens = window.opens + trust.clock_skew
    ahead = format_duration(opens - now)
    # It opens with the later of them. A time is stored as a float.
    late = "iat" if verified.issued is not None and verified.issued > opens - 0.001 else "nbf"
    words = f"`{late}` lies {ahead} ahead of this clock; {allowed} what lies up to {skew} ahead"
    words += _in_milliseconds(verified.issued or window.opens, now)
    return Refusal(Reason.TOKEN_NOT_YET_VALID, words, issuer=trust.ref)


def _for_others(verified: Verified, wanted: frozenset[str], how: str = "") -> Refusal:
    trust = verified.token.trust
    found = " and ".join(quote_all(audience) for audience in verified.audience_claims) or "nobody"
    wants = (
        f"one of {quote_all(wanted)} is wanted, byte for byte (`audiences` of the rule, or else of {trust.ref})"
        if wanted
        else "neither the rule nor the issuer names an audience"
    )
    return Refusal(
        Reason.AUDIENCE_MISMATCH, f"the token is for {found}; {wants}{how}{_hint(verified)}", issuer=trust.ref
    )


def _hint(verified: Verified) -> str:
    """What an operator can do where providers are known to leave the audience out."""
    if not verified.audience_claims:
        return ": let the issuer add `aud`, or name the claim that holds the audience in `mapping.audience`"
    if verified.token.audiences == {"account"}:
        return ": add an audience mapper at the issuer; every token of a Keycloak realm is for `account`"
    return ""


def _too_long(verified: Verified, lifetime: float, longest: float, now: Instant) -> Refusal:
    ref, lives, allowed = verified.token.trust.ref, format_duration(lifetime), format_duration(longest)
    words = f"the token lives for {lives}, allowed are {allowed} (the lower `maxLifetime` of the rule and of {ref})"
    return Refusal(Reason.TOKEN_TOO_LONG_LIVED, words + _in_milliseconds(verified.expires, now), issuer=ref)


def _in_milliseconds(at: float, now: Instant) -> str:
    """What an operator should know of a time that lies some ten thousands of years ahead."""
    return "; it seems to be in milliseconds, and times are in seconds (RFC 7519, section 2)" if at > 500 * now else ""

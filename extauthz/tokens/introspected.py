"""Tokens that only their issuer's endpoint can read (RFC 7662): which ones it is asked about, and what its answer makes
of them.

INVARIANT: an opaque token does not say whose it is, so it goes to the one endpoint that its rule names; a JWT says, and
never goes to anyone but the issuer in its `iss`, and not even there when the rule trusts signatures of that issuer.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from extauthz.model.encoding import Json
from extauthz.model.question import Active, Answer, Inactive, Question, Unanswered
from extauthz.model.reason import Reason
from extauthz.model.step import Step
from extauthz.model.time import Instant
from extauthz.model.token import (
    ACCESS_TOKEN,
    REFRESH_TOKEN,
    ClaimPath,
    Demand,
    Introspected,
    SlotKind,
    TokenForms,
    Trust,
)
from extauthz.model.verdict import Refusal
from extauthz.tokens.claims import Verified, read_claims
from extauthz.tokens.jws import parse_jws, read_payload
from extauthz.tokens.quoting import quote, quote_all

_AROUND: Final = b" \t\r\n\0\xef\xbb\xbf\xfe\xff"
"""What may stand before a JSON object for a lenient parser: blanks, byte order marks, the other octets of UTF-16 and
UTF-32."""
_BASE64URL: Final = str.maketrans("+/", "-_", "=~")
"""To the one alphabet, without what a lenient decoder skips."""
_ALIKE: Final = str.maketrans("+/", "-_")
_KINDS: Final = ("token_type", "token_use", "typ")
"""Members in which servers say what kind of token it is."""
_TOKEN_TYPE: Final = ClaimPath("token_type")
_GRANTED: Final = ("access_token", "client_credentials")
"""What some servers write into `token_type` in place of how the token is presented (RFC 6749, section 5.1): what it is,
by the names of `token_type_hint` (RFC 7662, section 2.1). An issuer's settings must say that its endpoint does."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A token that an endpoint is asked about."""

    trust: Trust = field(compare=False)
    question: Question
    same: bytes = field(repr=False)
    """What is the same in every text that carries this token."""
    alike: bytes = field(repr=False)
    """What is the same in every text that some server takes for this token."""


def looks_signed(token: str) -> bool:
    """Whether a token can be read as a JWS or JWE in compact form, leniently: then it is no opaque one.

    INVARIANT: what some server would read as a JWT counts as one here, however oddly it is written, or another
    issuer's token could be sent to an endpoint that it does not belong to, and a JWT be used again as an opaque token.
    """
    header, dot, rest = token.partition(".")
    if not dot or "." not in rest:
        return False
    # What nearly every JWT begins with: `{"` in base64url.
    if header.startswith("eyJ"):
        return True
    text = header.translate(_BASE64URL)
    try:
        octets = base64.urlsafe_b64decode(text + "A" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return False
    return octets.lstrip(_AROUND).startswith(b"{")


def asked_about(token: str, demand: Demand) -> Asked | Refusal | None:
    """The question that the token needs, why it is neither asked nor verified, or None where signatures decide."""
    trust = demand.introspector
    if trust is None or trust.introspected is None:
        return None
    hint = REFRESH_TOKEN if demand.slot.kind is SlotKind.FORM else ACCESS_TOKEN
    if not looks_signed(token):
        return _opaque(token, trust, trust.introspected, hint)
    # The usual JWT beside an endpoint for opaque tokens is not read twice.
    if demand.issuers and trust.introspected.forms is TokenForms.OPAQUE:
        return None
    found = _signed(token, trust, trust.introspected, demand, hint)
    # Where the rule trusts signatures too, it is theirs to say what is wrong with a JWT.
    return None if isinstance(found, Refusal) and demand.issuers else found


def _opaque(token: str, trust: Trust, how: Introspected, hint: str) -> Asked | Refusal:
    if how.prefixes and not token.startswith(how.prefixes):
        words = f"the token is opaque, and does not begin with {quote_all(how.prefixes)} (`prefixes` of {trust.ref})"
        return Refusal(Reason.ISSUER_UNTRUSTED, words, issuer=trust.ref)
    # Servers that decode a token read it with or without the padding: it is one token.
    same = token.rstrip("=")
    # INVARIANT: one that is looked up by a database without regard to case, or decoded from either alphabet of base64,
    # has no second use in another spelling. That two tokens differ in nothing else is as unlikely as guessing one.
    alike = same.lower().translate(_ALIKE)
    question = Question(trust.ref, how.endpoint, token, hint)
    return Asked(trust, question, same.encode("ascii"), alike.encode("ascii"))


def _signed(token: str, trust: Trust, how: Introspected, demand: Demand, hint: str) -> Asked | Refusal | None:
    jws = parse_jws(token, trust.ignored_header_parameters)
    if isinstance(jws, Refusal):
        return jws
    if how.forms is TokenForms.OPAQUE:
        words = f"the token is a JWT, and the endpoint of {trust.ref} is asked about opaque ones; `tokens: Any` asks"
        return Refusal(Reason.TOKEN_MALFORMED, f"{words} it about this issuer's JWTs too", issuer=trust.ref)
    claims = read_payload(jws)
    if isinstance(claims, Refusal):
        return claims
    if any(other.speaks_for(claims) for other in demand.issuers):
        return None
    if not trust.speaks_for(claims):
        words = f"`iss` is {quote(claims.get('iss'))}, wanted is one of {quote_all(trust.names)}, byte for byte"
        return Refusal(Reason.ISSUER_UNTRUSTED, words, issuer=trust.ref)
    return Asked(trust, Question(trust.ref, how.endpoint, token, hint), jws.signing_input, jws.signing_input)


def read_answer(asked: Asked, answer: Answer, now: Instant) -> Verified | Refusal:
    """What the endpoint's answer makes of the token. Whether it is accepted now and here is asked after."""
    ref = asked.trust.ref
    match answer:
        case Active(claims):
            return _read(asked, claims, now)
        case Inactive():
            return Refusal(Reason.TOKEN_INACTIVE, f"the endpoint of {ref} says that it is not active", issuer=ref)
        case Unanswered(detail, retry_after):
            words = f"nobody can tell whether the token is active: {detail}"
            return Refusal(Reason.INTROSPECTION_UNAVAILABLE, words, issuer=ref, retry_after=retry_after)


def _read(asked: Asked, said: Mapping[str, Json], now: Instant) -> Verified | Refusal:
    trust = asked.trust
    # Who vouches is whom we asked; where the answer names somebody, it must be the same.
    claims = {"iss": trust.issuer, **said}
    if not trust.speaks_for(claims):
        words = f"the endpoint says that `iss` is {quote(claims['iss'])}, not {quote_all(trust.names)}"
        return Refusal(Reason.ISSUER_UNTRUSTED, words, issuer=trust.ref)
    kind = _refuse_other_kind if asked.question.hint == REFRESH_TOKEN else _refuse_kind
    refusal = kind(claims, trust)
    if refusal is not None:
        return refusal
    # The endpoint is in the identity so that another one, which says what it likes, cannot make the same.
    identity = hashlib.sha256(asked.question.endpoint.encode("ascii") + b"\0" + asked.alike).digest()
    return read_claims(claims, trust, identity, hashlib.sha256(asked.same).digest(), now)


def _refuse_other_kind(claims: Mapping[str, Json], trust: Trust) -> Refusal | None:
    """Where a refresh token is wanted, an access token must not use up its family, or whoever is sent one could."""
    for name in _KINDS:
        found = str(claims.get(name, "refresh")).lower()
        if "refresh" not in found and found != "offline" and (name, found) != ("token_type", "bearer"):
            words = f"the endpoint does not say that it is a refresh token (`{name}` is {quote(claims[name])})"
            dpop = (name, found) == ("token_type", "dpop")
            reason = Reason.SENDER_MISMATCH if dpop else Reason.TOKEN_MALFORMED
            return Refusal(reason, words, issuer=trust.ref, at=None if dpop else Step.TYPE)
    return None


def _refuse_kind(claims: Mapping[str, Json], trust: Trust) -> Refusal | None:
    """An endpoint knows refresh tokens too, and calls them active (RFC 7662, section 2.1)."""
    for name in _KINDS:
        if "refresh" in str(claims.get(name, "")).lower():
            words = f"the endpoint says that it is a refresh token (`{name}` is {quote(claims[name])})"
            return Refusal(Reason.TOKEN_MALFORMED, words, issuer=trust.ref, at=Step.TYPE)
    kind = claims.get("token_type", "Bearer")
    named = kind in _GRANTED
    if str(kind).lower() == "bearer" or (named and trust.claim_equals.get(_TOKEN_TYPE) == kind):
        return None
    # INVARIANT: a token that must be presented in another way than a bearer's is not taken for one (RFC 6750).
    mend = f"; where that is no more than its kind, `claimEquals: {{token_type: {kind}}}` says so" if named else ""
    words = f"the endpoint says that `token_type` is {quote(kind)}, and it came as a bearer token{mend}"
    reason = Reason.SENDER_MISMATCH if str(kind).lower() == "dpop" else Reason.TOKEN_MALFORMED
    return Refusal(reason, words, issuer=trust.ref, at=None if reason is Reason.SENDER_MISMATCH else Step.TYPE)

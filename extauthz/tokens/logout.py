"""Logout tokens (OpenID Connect Back-Channel Logout 1.0, sections 2.4 and 2.6): an issuer says that a session is over.

They are read as strictly as access tokens, and with the same keys. What keeps the two apart: a logout token has
`events` and no `nonce`, is for one of our client ids, and its type is never that of an access token.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from extauthz.keys.jwks import KeyState
from extauthz.model.encoding import Json
from extauthz.model.reason import Reason
from extauthz.model.step import Step
from extauthz.model.time import BEYOND_TIME, Instant
from extauthz.model.token import BackChannel, ClaimPath, IssuerRef, Trust, claim_at
from extauthz.model.verdict import Refusal
from extauthz.tokens.jws import Jws
from extauthz.tokens.quoting import quote, quote_all
from extauthz.tokens.signer import find_signer
from extauthz.tokens.verify import refuse_members, usable_keys

EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
"""The member of `events` that makes a token a logout token."""
_LONGEST: Final = 1024
"""Characters of a text, as in a TokenRevocation."""
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_OLDEST: Final = 3600.0
"""Seconds since a logout. Issuers send their tokens at once, and let them live for two minutes (section 2.4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Logout:
    """A logout that the issuer vouches for. It names a session, or else a subject."""

    trust: Trust
    token_id: str = field(repr=False)
    issued_at: Instant
    session: str | None
    subject: str | None
    """As the issuer's access tokens name it."""


class _Unfit(ValueError):
    """Not a logout token for us. The message says why, and holds nothing that names a person or session."""


def read_logout(
    jws: Jws, claims: Mapping[str, Json], trust: Trust, keys: Mapping[IssuerRef, KeyState], now: Instant
) -> Logout | Refusal:
    """Verify a logout token of an issuer that it names by `iss`. Never raises."""
    channel = trust.back_channel
    if channel is None:
        return Refusal(Reason.ISSUER_UNTRUSTED, f"{trust.ref} has no `backChannelLogout`", issuer=trust.ref)
    key_set = usable_keys(keys, trust, now)
    if isinstance(key_set, Refusal):
        return key_set
    signer = find_signer(trust, jws, claims, key_set)
    if isinstance(signer, Refusal):
        return signer
    if jws.typ not in channel.types:
        words = f"`typ` is {quote(jws.typ_as_sent)}; a logout token has `logout+jwt`, or none"
        return Refusal(Reason.TOKEN_MALFORMED, words, issuer=trust.ref, at=Step.TYPE)
    refusal = refuse_members(trust, jws)
    if refusal is not None:
        return refusal
    try:
        return _read(claims, trust, channel, now)
    except _Unfit as problem:
        return Refusal(Reason.TOKEN_MALFORMED, str(problem), issuer=trust.ref, at=Step.CLAIMS)


def _read(claims: Mapping[str, Json], trust: Trust, channel: BackChannel, now: Instant) -> Logout:
    if "nonce" in claims:
        raise _Unfit("the token has `nonce`: it is an ID token, or made to look like one")
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(EVENT), dict):
        raise _Unfit(f"`events` has no member `{EVENT}` with an object")
    _check_audience(claims.get("aud"), channel.clients)
    if trust.tenants is not None and claim_at(claims, trust.tenants.claim) != trust.tenants.by_issuer.get(
        str(claims.get("iss"))
    ):
        raise _Unfit(f"the claim `{trust.tenants.claim}` does not name the tenant in `iss`")
    issued_at, expires = _time(claims, "iat"), _time(claims, "exp")
    if issued_at > now + trust.clock_skew:
        raise _Unfit("`iat` lies ahead of this clock by more than `clockSkew`")
    if issued_at < now - _OLDEST:
        raise _Unfit("`iat` lies more than an hour back")
    if expires <= issued_at or now >= expires + trust.clock_skew:
        raise _Unfit("the token expired")
    token_id = _text(claims, "jti")
    if token_id is None:
        raise _Unfit("`jti` is missing")
    session, subject = _named(claims, trust, channel)
    return Logout(trust=trust, token_id=token_id, issued_at=issued_at, session=session, subject=subject)


def _named(claims: Mapping[str, Json], trust: Trust, channel: BackChannel) -> tuple[str | None, str | None]:
    """The session that ended; or else the subject, all of whose sessions did (section 2.4)."""
    session, sub = _text(claims, "sid"), _text(claims, "sub")
    if session is None and sub is None:
        raise _Unfit("neither `sub` nor `sid` says who was logged out")
    if session is not None and channel.sessions:
        return session, None
    # INVARIANT: the subject is the one that access tokens are compared by. Another claim's value would revoke nothing,
    # or another's tokens.
    paths = trust.mapping.subject
    found = _text(claims, paths[0]) if paths else None
    if found is None:
        named = f"`{paths[0]}` first" if paths else "no claim"
        raise _Unfit(f"the subject cannot be told: `mapping.subject` of {trust.ref} names {named}")
    return None, found


def _check_audience(aud: Json, clients: frozenset[str]) -> None:
    found = aud if isinstance(aud, list) else [aud]
    if clients.isdisjoint(each for each in found if isinstance(each, str)):
        raise _Unfit(f"`aud` names none of our client ids, {quote_all(clients)}")


def _time(claims: Mapping[str, Json], name: str) -> Instant:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < BEYOND_TIME:
        raise _Unfit(f"`{name}` is {quote(value)}, not a time")
    return Instant(value)


def _text(claims: Mapping[str, Json], name: str) -> str | None:
    """A claim that must be a text where it is there."""
    value = claim_at(claims, ClaimPath(name))
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST or _CONTROL.search(value):
        raise _Unfit(f"`{name}` is not a text of 1 to {_LONGEST} characters, none of them a control character")
    return value

"""The claims of an access token (RFC 7519, section 4.1; RFC 9068, section 2.2), read against one issuer's settings.

A claim that is there must have the type that its standard gives it: what is not understood is refused, never skipped.
Here stands what is true of a token for good. What depends on the request or the hour is asked in `acceptance`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from extauthz.model.encoding import Json
from extauthz.model.reason import Reason
from extauthz.model.step import Step
from extauthz.model.time import BEYOND_TIME, MAX_CLOCK_SKEW, AcceptanceWindow, Instant, Seconds
from extauthz.model.token import ClaimPath, RolesShape, Tenants, Trust, VerifiedToken, claim_at
from extauthz.model.verdict import Refusal
from extauthz.tokens.quoting import kind_of, quote

MAX_AUDIENCES: Final = 64
MAX_JTI: Final = 512
_AUD: Final = ClaimPath("aud")
_SPIFFE_ID: Final = re.compile(r"spiffe://[a-z0-9._-]+(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._-]+)+", re.ASCII)


class Verified(NamedTuple):
    """A verified token, and what acceptance asks about it besides."""

    token: VerifiedToken
    expires: Instant
    """`exp`, without the clock skew."""
    issued: Instant | None
    """`iat`, None when the token has none."""
    audience_claims: tuple[frozenset[str], ...]
    """Every claim that names an audience, `aud` and the mapped one: each must hold a wanted one. Empty for none."""


class _Unfit(ValueError):
    """The claims are not those of a token of this issuer. The message says why."""

    def __init__(self, detail: str, reason: Reason = Reason.TOKEN_MALFORMED) -> None:
        super().__init__(detail)
        self.reason = reason
        self.at = Step.CLAIMS if reason is Reason.TOKEN_MALFORMED else None


def read_claims(
    claims: Mapping[str, Json], trust: Trust, identity: bytes, signing_hash: bytes, now: Instant
) -> Verified | Refusal:
    """Read the claims of a token whose signature and `iss` hold.

    Refuses with `sender_mismatch` for a token with `cnf`, with `audience_mismatch` for one without audience and with
    `token_malformed` for all else; never raises. `now` only stands in for a missing `iat`.
    """
    try:
        return _read(claims, trust, identity, signing_hash, now)
    except _Unfit as problem:
        return Refusal(problem.reason, str(problem), issuer=trust.ref, at=problem.at)


def same_json(one: Json, other: Json) -> bool:
    """Whether two JSON values are equal, type included: `true` is not 1 and "1" is not 1, but 1.0 is 1 (RFC 8259)."""
    match one, other:
        case (bool(), _) | (_, bool()):
            return one is other
        case list(), list():
            return len(one) == len(other) and all(map(same_json, one, other))
        case dict(), dict():
            return one.keys() == other.keys() and all(same_json(value, other[name]) for name, value in one.items())
        case _:
            return one == other


def _read(claims: Mapping[str, Json], trust: Trust, identity: bytes, signing_hash: bytes, now: Instant) -> Verified:
    expires, issued, window = _times(claims, trust)
    _refuse_senders(claims)
    _refuse_events(claims)
    _check_required(claims, trust)
    audiences, audience_claims = _audiences(claims, trust.mapping.audience)
    mapping = trust.mapping
    token = VerifiedToken(
        trust=trust,
        claims=claims,
        identity=identity,
        signing_hash=signing_hash,
        window=window,
        issued_at=now if issued is None else issued,
        lifetime=Seconds(max(0.0, expires - (now if issued is None else issued))),
        audiences=audiences,
        subject=_text(claims, ClaimPath("sub"), mapping.subject),
        client=_text(claims, ClaimPath("client_id"), mapping.client),
        token_id=_text(claims, ClaimPath("jti"), mapping.token_id, MAX_JTI),
        scopes=_scopes(claims, mapping.scope),
        roles=_roles(claims, mapping.roles, trust.roles_shape),
    )
    _check_subject(token)
    return Verified(token, expires, issued, audience_claims)


def _times(claims: Mapping[str, Json], trust: Trust) -> tuple[Instant, Instant | None, AcceptanceWindow]:
    expires = _time(claims, "exp")
    if expires is None:
        raise _Unfit("the token has no `exp`; tokens that never expire are not taken")
    # A fraction of the last second is given up rather than argued about.
    expires = Instant(math.floor(expires))
    issued, not_before = _time(claims, "iat"), _time(claims, "nbf")
    if issued is not None and expires <= issued:
        # As the token has them: a time is a float once it is compiled, and would be told with a fraction of zero.
        raise _Unfit(f"`exp` is {quote(claims['exp'])}, not after `iat`, which is {quote(claims['iat'])}")
    begins = max((time for time in (issued, not_before) if time is not None), default=0.0)
    skew = trust.clock_skew
    last = expires
    if trust.introspected is not None and issued is not None:
        # INVARIANT: an endpoint may prolong a token that was used already. However often, it never lives for longer.
        last = Instant(max(expires, issued + trust.max_lifetime))
    # INVARIANT: another object for this issuer, or this one after an edit, may allow more skew: the token is the same.
    latest = Instant(last + MAX_CLOCK_SKEW)
    return expires, issued, AcceptanceWindow(Instant(begins - skew), Instant(expires + skew), latest)


def _time(claims: Mapping[str, Json], name: str) -> Instant | None:
    """A NumericDate (RFC 7519, section 2): any JSON number that a double holds exactly, and nothing like a number."""
    if name not in claims:
        return None
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Unfit(f"`{name}` is {'the text ' if isinstance(value, str) else ''}{quote(value)}, not a number")
    if not 0 < value < BEYOND_TIME:
        raise _Unfit(f"`{name}` is {quote(value)}, not a time between 1 and 2^53 seconds")
    return Instant(value)


def _refuse_senders(claims: Mapping[str, Json]) -> None:
    # INVARIANT: who is to present the token is not ours to forget. Whatever `cnf` holds, unread it refuses.
    if "cnf" in claims:
        words = "the token is bound to a sender by `cnf`, and no rule of this version confirms one"
        raise _Unfit(words, Reason.SENDER_MISMATCH)


def _refuse_events(claims: Mapping[str, Json]) -> None:
    """A token that tells of an event, such as a logout, gives no access: its events are named by URIs (RFC 8417,
    section 2.2)."""
    events = claims.get("events")
    if isinstance(events, dict) and any(":" in name for name in events):
        raise _Unfit("the token has `events`: it tells of a logout or of another event, and is no access token")


def _check_required(claims: Mapping[str, Json], trust: Trust) -> None:
    missing = [name for name in trust.required_claims if claim_at(claims, ClaimPath(name)) is None]
    if missing:
        name = min(missing)
        raise _Unfit(f"the claim `{name}` is missing; {trust.ref} lists it in `requiredClaims`{_instead(name)}")
    for path in sorted(trust.claim_present):
        if claim_at(claims, path) is None:
            raise _Unfit(f"the claim `{path}` is missing; {trust.ref} lists it in `claimPresent`")
    for path, wanted in trust.claim_equals.items():
        if not same_json(claim_at(claims, path), wanted):
            raise _Unfit(f"the claim `{path}` {_unequal(claim_at(claims, path), wanted)} of {trust.ref} demands")
    if trust.tenants is not None:
        _check_tenant(claims, trust.tenants)


def _unequal(found: Json, wanted: Json) -> str:
    """How a claim differs from what its issuer's settings want. Its value may name somebody, and is not told."""
    if found is None:
        return f"is missing, and not {quote(wanted)}, as `claimEquals`"
    if kind_of(found) != kind_of(wanted):
        return f"is {kind_of(found)}, and not {kind_of(wanted)} {quote(wanted)}, as `claimEquals`"
    return f"is not {quote(wanted)}, as `claimEquals`"


def _instead(name: str) -> str:
    """What else to do about a claim that some issuers leave out."""
    return "; `mapping.subject` can name another" if name == "sub" else ""


def _check_tenant(claims: Mapping[str, Json], tenants: Tenants) -> None:
    # INVARIANT: the tenant that `iss` names and the one that the claim names are one, or a key that all tenants share
    # could speak for another.
    if claim_at(claims, tenants.claim) != tenants.by_issuer.get(str(claims["iss"])):
        raise _Unfit(f"the claim `{tenants.claim}` does not name the tenant in `iss`", Reason.ISSUER_UNTRUSTED)


def _check_subject(token: VerifiedToken) -> None:
    trust, subject = token.trust, token.subject
    if trust.trust_domain and _SPIFFE_ID.fullmatch(subject or "") is None:
        raise _Unfit("`sub` is not a SPIFFE ID with a path (SPIFFE-ID, section 2)")
    if trust.subject_pattern and not _looks_like(subject or "", trust.subject_pattern):
        raise _Unfit(f"the subject is not as `subjectPattern` of {trust.ref} demands")


def _looks_like(text: str, pattern: str) -> bool:
    """Whether the text fits: `*` stands for any characters, at the end for at least one, and so does a `/` there."""
    first, *others = (pattern + "*" if pattern.endswith("/") else pattern).split("*")
    if not others:
        return text == first
    *middle, last = others
    if not text.startswith(first) or not text.endswith(last) or len(text) < len(first) + len(last):
        return False
    at, end = len(first), len(text) - len(last)
    for part in middle:
        at = text.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return bool(last) or at < len(text)


def _audiences(
    claims: Mapping[str, Json], paths: tuple[ClaimPath, ...]
) -> tuple[frozenset[str], tuple[frozenset[str], ...]]:
    """The token's audiences, and every claim that must match: `aud` counts even where another claim is mapped."""
    aud = _audience(claims["aud"], _AUD) if "aud" in claims else None
    path = _first(claims, paths)
    mapped = aud if path in {None, _AUD} else _audience(claim_at(claims, path or _AUD), path or _AUD)
    every = tuple(dict.fromkeys(audience for audience in (mapped, aud) if audience is not None))
    return every[0] if every else frozenset(), every


def _audience(value: Json, path: ClaimPath) -> frozenset[str]:
    if isinstance(value, str) and value:
        return frozenset((value,))
    items = value if isinstance(value, list) else [value]
    if not items:
        raise _Unfit(
            f"`{path}` is an empty array: the token is for nobody; let the client ask for the API's audience",
            Reason.AUDIENCE_MISMATCH,
        )
    if len(items) > MAX_AUDIENCES:
        raise _Unfit(f"`{path}` has {len(items)} entries, allowed are {MAX_AUDIENCES}")
    texts = frozenset(item for item in items if isinstance(item, str) and item)
    if not all(isinstance(item, str) and item for item in items):
        raise _Unfit(f"`{path}` is neither a text nor an array of texts")
    return texts


def _text(
    claims: Mapping[str, Json], standard: ClaimPath, paths: tuple[ClaimPath, ...], longest: int | None = None
) -> str | None:
    """A mapped claim that must be a text, and so must the standard's own wherever it is mapped."""
    if paths != (standard,) and _gives_way(claims, standard, paths):
        paths = tuple(path for path in paths if path != standard)
    elif standard in claims:
        checked = _check_text(claims[standard], standard, longest)
        if paths == (standard,):
            return checked
    path = _first(claims, paths)
    return None if path is None else _check_text(claim_at(claims, path), path, longest)


def _gives_way(claims: Mapping[str, Json], standard: ClaimPath, paths: tuple[ClaimPath, ...]) -> bool:
    """Whether the standard claim is empty and the mapping names another: some issuers fill one for people, and leave it
    empty for machines, which stand in another."""
    return (
        claims.get(standard) == ""
        and standard in paths
        and any(path != standard and claim_at(claims, path) is not None for path in paths)
    )


def _check_text(value: Json, path: ClaimPath, longest: int | None) -> str:
    if not isinstance(value, str) or not value:
        mend = "; `mapping.subject` can list another claim after it" if path == "sub" and value == "" else ""
        raise _Unfit(f"`{path}` is {kind_of(value)}, wanted is a text that is not empty{mend}")
    if longest is not None and len(value) > longest:
        raise _Unfit(f"`{path}` has {len(value)} characters, allowed are {longest}")
    return value


def _scopes(claims: Mapping[str, Json], paths: tuple[ClaimPath, ...]) -> frozenset[str]:
    """Granted scopes: a text with spaces between (RFC 9068, section 2.2.3), or an array of texts."""
    path = _first(claims, paths)
    value = None if path is None else claim_at(claims, path)
    match value:
        case None:
            return frozenset()
        case str():
            return frozenset(value.split(" ")) - {""}
        case list() if all(isinstance(item, str) for item in value):
            return frozenset(map(str, value)) - {""}
        case _:
            raise _Unfit(f"`{path}` is neither a text of scopes nor an array of texts")


def _roles(claims: Mapping[str, Json], paths: tuple[ClaimPath, ...], shape: RolesShape) -> frozenset[str]:
    """Granted roles: a text, an array of texts, or the names in an object, as the issuer writes them."""
    path = _first(claims, paths) if paths else None
    value = None if path is None else claim_at(claims, path)
    match value, shape:
        case None, _:
            return frozenset()
        case dict(), RolesShape.OBJECT_KEYS:
            return frozenset(value)
        case str(), RolesShape.NAMES:
            return frozenset({value}) - {""}
        case list(), RolesShape.NAMES if all(isinstance(item, str) for item in value):
            return frozenset(map(str, value)) - {""}
        case _:
            wanted = "an object" if shape is RolesShape.OBJECT_KEYS else "a text or an array of texts"
            other = "; `ObjectKeys` takes an object's names" if isinstance(value, dict) else ""
            found = "an array of other things" if isinstance(value, list) else kind_of(value)
            raise _Unfit(f"the roles in `{path}` are {found}, and `rolesShape: {shape.value}` takes {wanted}{other}")


def _first(claims: Mapping[str, Json], paths: tuple[ClaimPath, ...]) -> ClaimPath | None:
    """The first of the mapped claims that the token has."""
    for path in paths:
        if claim_at(claims, path) is not None:
            return path
    return None

"""Verification of a bearer token against the issuers that a rule trusts (RFC 7519, section 7.2; RFC 8725; RFC 9068).

In this order: form, header, issuer by `iss`, key by (`kid`, `alg`), signature, type, claims, acceptance. The signature
check is remembered, since it is the only costly step; acceptance is asked anew each time.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, TypeAlias

from extauthz.keys.jwk import KeySet
from extauthz.keys.jwks import KeyState
from extauthz.keys.schedule import SHORTEST
from extauthz.model.encoding import Json
from extauthz.model.question import Active, Answer, Answered, Ask
from extauthz.model.reason import Reason
from extauthz.model.step import Step
from extauthz.model.time import Instant, Seconds
from extauthz.model.token import Credential, Demand, IssuerRef, Trust, VerifiedToken
from extauthz.model.verdict import Refusal
from extauthz.tokens.acceptance import refuse
from extauthz.tokens.cache import GenerationalCache
from extauthz.tokens.claims import Verified, read_claims, same_json
from extauthz.tokens.introspected import Asked, asked_about, read_answer
from extauthz.tokens.jws import IGNORABLE, Jws, how_to_ignore, parse_jws, read_payload
from extauthz.tokens.quoting import quote, quote_all
from extauthz.tokens.signer import find_signer

_TIME: Final = frozenset({Reason.TOKEN_EXPIRED, Reason.TOKEN_NOT_YET_VALID, Reason.TOKEN_TOO_LONG_LIVED})
"""What may be different at another time; how long a token lives, where it has no `iat` and what is left counts."""
_PUBLISHED: Final = Seconds(300.0)
"""How long after it signs its first token a key may be lacking in a set that is fetched: sets are kept on the way."""
_NAMELESS: Final = (
    "the token has no `iss`, so nobody can tell whose it is: let the issuer write one; only JWT-SVIDs go without, by"
    " `trustDomain`"
)
_Keys: TypeAlias = Mapping[IssuerRef, KeyState]


class _Entry(NamedTuple):
    """A verification that held, with the keys and settings that it held under."""

    generation: str
    verified: Verified


@dataclass(frozen=True, slots=True)
class _Told:
    """An endpoint's answer, and what it made of the token that it is about."""

    answer: Answer
    asked: Asked
    verified: Verified


class Verifier:
    """Verifies tokens, and remembers the last ones that were good. Safe to share among threads.

    INVARIANT: only accepted tokens are remembered, so that no flood of bad ones pushes good ones out, and a memory
    counts only under the same keys and the same settings.
    """

    def __init__(self, cache_size: int = 10_000) -> None:
        self._cache: GenerationalCache[tuple[bytes, IssuerRef], _Entry] = GenerationalCache(cache_size)
        self._told: GenerationalCache[int, _Told] = GenerationalCache(cache_size)
        self.hits = 0
        """Verifications answered from memory. Close to exact: threads do not wait for each other to count."""
        self.misses = 0
        """Verifications that were not in memory, whatever came of them."""

    def verify(self, credential: Credential, demand: Demand, keys: _Keys, now: Instant) -> VerifiedToken | Refusal:
        """The verified token, or why it is refused. Never raises.

        Issuers that share one `iss` are asked in the demand's order. The first that accepts the token decides, or would
        but for the time; or else the first refusal. Where the keys of one are missing before that, nobody can tell, and
        `keys_unavailable` is the answer.
        """
        digest = hashlib.sha256(credential.token.encode("utf-8", "surrogatepass")).digest()
        known = self._recall(digest, demand, keys, now)
        if known is not None:
            refusal = refuse(known, demand, now)
            return known.token if refusal is None else refusal
        return self._verify(credential.token, digest, demand, keys, now)

    def introspect(
        self, credential: Credential, demand: Demand, answered: Answered | None, now: Instant
    ) -> VerifiedToken | Refusal | Ask | None:
        """The token as its issuer's endpoint says it is, why it is refused, or what is to be asked first; None for a
        token that signatures decide about. Never raises.

        INVARIANT: an answer counts for the very question that it is for, and for no other.
        """
        asked = asked_about(credential.token, demand)
        if asked is None or isinstance(asked, Refusal):
            return asked
        if answered is None or answered.question != asked.question:
            return Ask(asked.question)
        verified = self._read(asked, answered.answer, now)
        if isinstance(verified, Refusal):
            return verified
        refusal = refuse(verified, demand, now)
        return verified.token if refusal is None else refusal

    def _read(self, asked: Asked, answer: Answer, now: Instant) -> Verified | Refusal:
        """What an answer makes of the token; of an answer that is given again, what it made before."""
        known = self._told.get(id(answer))
        # INVARIANT: an answer is about one token, and its claims are read anew under other settings.
        if known is not None and known.answer is answer and known.asked == asked and known.asked.trust is asked.trust:
            return known.verified
        verified = read_answer(asked, answer, now)
        if isinstance(answer, Active) and isinstance(verified, Verified):
            self._told.put(id(answer), _Told(answer, asked, verified))
        return verified

    def _recall(self, digest: bytes, demand: Demand, keys: _Keys, now: Instant) -> Verified | None:
        for trust in demand.issuers:
            state = keys.get(trust.ref)
            known = self._look_up(digest, trust, None if state is None else state.usable(now))
            if known is None:
                continue
            # Another issuer with this `iss` has a say, too: whose token it is must not depend on what is remembered.
            several = len(demand.issuers) > 1
            if several and any(each is not trust and each.speaks_for(known.token.claims) for each in demand.issuers):
                return None
            self.hits += 1
            return known
        return None

    def _look_up(self, digest: bytes, trust: Trust, key_set: KeySet | None) -> Verified | None:
        entry = self._cache.get((digest, trust.ref))
        if entry is None or key_set is None or entry.generation != key_set.generation:
            return None
        known = entry.verified
        if known.token.trust is trust:
            return known
        if not _is_same(known.token.trust, trust):
            return None
        known = known._replace(token=known.token._replace(trust=trust))
        self._cache.put((digest, trust.ref), _Entry(entry.generation, known))
        return known

    def _verify(self, token: str, digest: bytes, demand: Demand, keys: _Keys, now: Instant) -> VerifiedToken | Refusal:
        jws = parse_jws(token, demand.ignored_header_parameters)
        if isinstance(jws, Refusal):
            return jws
        claims = read_payload(jws)
        if isinstance(claims, Refusal):
            return claims
        trusts = candidates(claims, demand)
        if isinstance(trusts, Refusal):
            return trusts
        # INVARIANT: neither time alone nor keys that are out of reach change who answers for a token. Uses by id, and
        # revocations, go by the issuer's object: a token that one counted or revoked would be new to the next.
        refusals: list[Refusal] = []
        for trust in trusts:
            key_set = usable_keys(keys, trust, now)
            if isinstance(key_set, Refusal):
                return key_set
            known = self._look_up(digest, trust, key_set)
            self.hits += known is not None
            verified = self._verify_for(trust, jws, claims, key_set, now) if known is None else known
            refusal = verified if isinstance(verified, Refusal) else refuse(verified, demand, now)
            if refusal is not None and isinstance(verified, Verified) and is_untimely_alone(verified, demand, refusal):
                return refusal
            if refusal is not None:
                refusals.append(refusal)
            elif isinstance(verified, Verified):
                self._cache.put((digest, trust.ref), _Entry(key_set.generation, verified))
                return verified.token
        return _until_fetched(refusals[0], claims, keys)

    def _verify_for(
        self, trust: Trust, jws: Jws, claims: Mapping[str, Json], key_set: KeySet, now: Instant
    ) -> Verified | Refusal:
        """Signature, type and claims, as one issuer's settings ask for them."""
        self.misses += 1
        signer = find_signer(trust, jws, claims, key_set)
        if isinstance(signer, Refusal):
            return signer
        refusal = refuse_type(trust, jws)
        if refusal is not None:
            return refusal
        signed = hashlib.sha256(jws.signing_input)
        identity = signed.copy()
        identity.update(b"\0" + signer.encode("ascii"))
        return read_claims(claims, trust, identity.digest(), signed.digest(), now)


def _until_fetched(refusal: Refusal, claims: Mapping[str, Json], keys: _Keys) -> Refusal:
    """The refusal, with a time to wait for where the token's key may be too new for the set that is known."""
    state = keys.get(refusal.issuer) if refusal.reason is Reason.KEY_UNKNOWN and refusal.issuer is not None else None
    # Nobody has verified this, and no more depends on it than how a denial is told.
    issued = claims.get("iat")
    if state is None or state.fetched_at is None or not isinstance(issued, int | float) or isinstance(issued, bool):
        return refusal
    return replace(refusal, retry_after=SHORTEST) if issued > state.fetched_at - _PUBLISHED else refusal


def is_untimely_alone(verified: Verified, demand: Demand, refusal: Refusal) -> bool:
    """Whether the token is refused for the time alone, and was or will be accepted at another."""
    # The last instant at which it can be accepted: of a token without `iat`, the least is left then.
    last = Instant(math.nextafter(verified.token.window.closes, -math.inf))
    return refusal.reason in _TIME and refuse(verified, demand, last) is None


def candidates(claims: Mapping[str, Json], demand: Demand) -> tuple[Trust, ...] | Refusal:
    """The issuers of the demand that the claims name. They are not verified yet: they only say whose keys to try."""
    trusts = tuple(trust for trust in demand.issuers if trust.speaks_for(claims))
    if trusts:
        return trusts
    if "iss" not in claims and any(trust.trust_domain for trust in demand.issuers):
        wanted = quote_all({f"spiffe://{trust.trust_domain}/" for trust in demand.issuers if trust.trust_domain})
        return Refusal(Reason.ISSUER_UNTRUSTED, f"the token has no `iss`, and its `sub` does not begin with {wanted}")
    iss = claims.get("iss")
    if not isinstance(iss, str):
        words = f"`iss` is {quote(iss)}, not a text" if "iss" in claims else _NAMELESS
        return Refusal(Reason.TOKEN_MALFORMED, words, at=Step.ISSUER)
    wanted = quote_all({name for trust in demand.issuers for name in trust.names})
    mend = "`issuerAliases` adds another form of the same issuer"
    words = f"`iss` is {quote(iss)}, wanted is one of {wanted}, byte for byte; {mend}"
    return Refusal(Reason.ISSUER_UNTRUSTED, words)


def usable_keys(keys: _Keys, trust: Trust, now: Instant) -> KeySet | Refusal:
    """The keys that this issuer's tokens are checked with."""
    state = keys.get(trust.ref)
    key_set = None if state is None else state.usable(now)
    if key_set is not None:
        return key_set
    why = (KeyState() if state is None else state).trouble(now)
    return Refusal(Reason.KEYS_UNAVAILABLE, f"there are no usable keys of {trust.ref}: {why}", issuer=trust.ref)


def refuse_type(trust: Trust, jws: Jws) -> Refusal | None:
    """The header's `typ` must be one that the issuer's access tokens have (RFC 8725, section 3.11)."""
    if jws.typ not in trust.token_types:
        found = quote(jws.typ_as_sent) if jws.typ else "absent"
        wanted = quote_all(kind or "Absent" for kind in trust.token_types)
        switch = f"add {quote(jws.typ_as_sent or 'Absent')} to its `tokenTypes` if that is meant"
        # RFC 9068, section 2.1, gave access tokens a type of their own because ID tokens have this one.
        apart = ", and keep ID tokens out by `claimPresent` or `claimEquals`" if jws.typ in {"jwt", ""} else ""
        words = f"`typ` is {found}; {trust.ref} accepts {wanted}: {switch}{apart}"
        return Refusal(Reason.TOKEN_MALFORMED, words, issuer=trust.ref, at=Step.TYPE)
    return refuse_members(trust, jws)


def refuse_members(trust: Trust, jws: Jws) -> Refusal | None:
    """A header must have no member that its issuer's tokens do not have."""
    # INVARIANT: what another issuer of the rule lets be in a header is not let be by this one.
    odd = () if IGNORABLE.isdisjoint(jws.members) else sorted(jws.members & IGNORABLE - trust.ignored_header_parameters)
    if odd:
        words = f"the token's header has `{odd[0]}`{how_to_ignore(odd[0])}"
        return Refusal(Reason.TOKEN_MALFORMED, words, issuer=trust.ref, at=Step.TYPE)
    return _refuse_svid_members(trust, jws) if trust.trust_domain else None


def _refuse_svid_members(trust: Trust, jws: Jws) -> Refusal | None:
    """A JWT-SVID has no header members but three (JWT-SVID, section 2)."""
    odd = jws.members - {"alg", "kid", "typ"}
    if not odd:
        return None
    words = f"the token's header has {quote_all(odd)}; a JWT-SVID has only `alg`, `kid` and `typ`"
    return Refusal(Reason.TOKEN_MALFORMED, words, issuer=trust.ref, at=Step.TYPE)


def _is_same(one: Trust, other: Trust) -> bool:
    """Whether two settings of one issuer judge a token alike. Plain equality would take `true` for 1 in claims."""
    same = one.claim_equals.keys() == other.claim_equals.keys() and all(
        same_json(wanted, other.claim_equals[path]) for path, wanted in one.claim_equals.items()
    )
    return same and replace(one, claim_equals={}) == replace(other, claim_equals={})

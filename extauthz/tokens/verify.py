"""Verification of a bearer token against the issuers that a rule trusts (RFC 7519, section 7.2; RFC 8725; RFC 9068).

In this order: form, header, issuer by `iss`, key by (`kid`, `alg`), signature, type, claims, acceptance. The signature
check is remembered, since it is the only costly step; acceptance is asked anew each time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from extauthz.keys.jwk import KeySet, signature_holds
from extauthz.keys.jwks import KeyState
from extauthz.model.encoding import Ambiguous, Json, parse_json_object
from extauthz.model.reason import Reason
from extauthz.model.time import Instant
from extauthz.model.token import Credential, Demand, IssuerRef, Trust, VerifiedToken
from extauthz.model.verdict import Refusal
from extauthz.tokens.acceptance import refuse
from extauthz.tokens.cache import GenerationalCache
from extauthz.tokens.claims import Verified, read_claims, same_json
from extauthz.tokens.jws import Jws, parse_jws
from extauthz.tokens.quoting import quote, quote_all

_Keys: TypeAlias = Mapping[IssuerRef, KeyState]


@dataclass(frozen=True, slots=True)
class _Entry:
    """A verification that held, with the keys and settings that it held under."""

    generation: str
    verified: Verified


class Verifier:
    """Verifies tokens, and remembers the last ones that were good. Safe to share among threads.

    INVARIANT: only accepted tokens are remembered, so that no flood of bad ones pushes good ones out, and a memory
    counts only under the same keys and the same settings.
    """

    def __init__(self, cache_size: int = 10_000) -> None:
        self._cache: GenerationalCache[tuple[bytes, IssuerRef], _Entry] = GenerationalCache(cache_size)
        self.hits = 0
        """Verifications answered from memory. Close to exact: threads do not wait for each other to count."""
        self.misses = 0
        """Verifications that were not in memory, whatever came of them."""

    def verify(self, credential: Credential, demand: Demand, keys: _Keys, now: Instant) -> VerifiedToken | Refusal:
        """The verified token, or why it is refused. Never raises.

        Issuers that share one `iss` are asked in the demand's order. The first that accepts the token decides, or else
        the first refusal; but when the keys of one are missing nobody can tell, and `keys_unavailable` is the answer.
        """
        digest = hashlib.sha256(credential.token.encode("utf-8", "surrogatepass")).digest()
        known = self._recall(digest, demand, keys, now)
        if known is not None:
            refusal = refuse(known, demand, now)
            return known.token if refusal is None else refusal
        return self._verify(credential.token, digest, demand, keys, now)

    def _recall(self, digest: bytes, demand: Demand, keys: _Keys, now: Instant) -> Verified | None:
        for trust in demand.issuers:
            known = self._look_up(digest, trust, _usable(keys, trust, now))
            if known is None:
                continue
            # Another issuer with this `iss` has a say, too: whose token it is must not depend on what is remembered.
            if any(other is not trust and other.speaks_for(known.token.claims) for other in demand.issuers):
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
        known = replace(known, token=replace(known.token, trust=trust))
        self._cache.put((digest, trust.ref), _Entry(entry.generation, known))
        return known

    def _verify(self, token: str, digest: bytes, demand: Demand, keys: _Keys, now: Instant) -> VerifiedToken | Refusal:
        jws = parse_jws(token)
        if isinstance(jws, Refusal):
            return jws
        try:
            claims = parse_json_object(jws.payload)
        except Ambiguous as problem:
            return Refusal(Reason.TOKEN_MALFORMED, f"the token's payload is not unambiguous JSON: {problem}")
        trusts = _candidates(claims, demand)
        if isinstance(trusts, Refusal):
            return trusts
        refusals: list[Refusal] = []
        for trust in trusts:
            key_set = _usable(keys, trust, now)
            if key_set is None:
                refusals.append(Refusal(Reason.KEYS_UNAVAILABLE, _no_keys(keys, trust), issuer=trust.ref))
                continue
            known = self._look_up(digest, trust, key_set)
            self.hits += known is not None
            verified = self._verify_for(trust, jws, claims, key_set, now) if known is None else known
            refusal = verified if isinstance(verified, Refusal) else refuse(verified, demand, now)
            if refusal is not None:
                refusals.append(refusal)
            elif isinstance(verified, Verified):
                self._cache.put((digest, trust.ref), _Entry(key_set.generation, verified))
                return verified.token
        return next((r for r in refusals if r.reason is Reason.KEYS_UNAVAILABLE), refusals[0])

    def _verify_for(
        self, trust: Trust, jws: Jws, claims: Mapping[str, Json], key_set: KeySet, now: Instant
    ) -> Verified | Refusal:
        """Signature, type and claims, as one issuer's settings ask for them."""
        self.misses += 1
        signer = _signer(trust, jws, claims, key_set)
        if isinstance(signer, Refusal):
            return signer
        for refusal in (_refuse_type(trust, jws), _refuse_members(trust, jws)):
            if refusal is not None:
                return refusal
        identity = hashlib.sha256(jws.signing_input + b"\0" + signer.encode("ascii")).digest()
        return read_claims(claims, trust, identity, now)


def _candidates(claims: Mapping[str, Json], demand: Demand) -> tuple[Trust, ...] | Refusal:
    """The issuers of the demand that the claims name. They are not verified yet: they only say whose keys to try."""
    trusts = tuple(trust for trust in demand.issuers if trust.speaks_for(claims))
    if trusts:
        return trusts
    if "iss" not in claims and any(trust.trust_domain for trust in demand.issuers):
        wanted = quote_all({f"spiffe://{trust.trust_domain}/" for trust in demand.issuers if trust.trust_domain})
        return Refusal(Reason.ISSUER_UNTRUSTED, f"the token has no `iss`, and its `sub` does not begin with {wanted}")
    iss = claims.get("iss")
    if not isinstance(iss, str):
        return Refusal(Reason.TOKEN_MALFORMED, f"`iss` is {quote(iss)}, not a text")
    wanted = quote_all({name for trust in demand.issuers for name in trust.names})
    words = f"`iss` is {quote(iss)}, wanted is one of {wanted}, byte for byte; `issuerAliases` adds another form"
    return Refusal(Reason.ISSUER_UNTRUSTED, words)


def _usable(keys: _Keys, trust: Trust, now: Instant) -> KeySet | None:
    state = keys.get(trust.ref)
    return None if state is None else state.usable(now)


def _no_keys(keys: _Keys, trust: Trust) -> str:
    state = keys.get(trust.ref)
    why = "they are not fetched yet" if state is None or state.problem is None else state.problem
    return f"there are no usable keys of {trust.ref}: {why}"


def _signer(trust: Trust, jws: Jws, claims: Mapping[str, Json], key_set: KeySet) -> str | Refusal:
    """The thumbprint of the key that signed, or why the signature does not count.

    Without `kid`, each key that fits `alg` is tried. A symmetric key's thumbprint is not told: the empty text.
    """
    if jws.alg not in trust.algorithms:
        accepted = quote_all(trust.algorithms)
        hint = (
            "such a token is signed with a shared secret and is for its issuer alone"
            if jws.alg.startswith("HS")
            else "add it to `algorithms` if that is meant"
        )
        words = f"`alg` is {quote(jws.alg)}; {trust.ref} accepts {accepted}: {hint}"
        return Refusal(Reason.SIGNATURE_INVALID, words, issuer=trust.ref)
    known = key_set.find(jws.kid, jws.alg)
    found = (
        tuple(key for key in known if key.signs_for(*_named(trust, claims))) if trust.key_issuer_must_match else known
    )
    for key in found:
        if signature_holds(key, jws.alg, jws.signing_input, jws.signature):
            return "" if isinstance(key.material, bytes) else key.thumbprint
    which = "without `kid`" if jws.kid is None else "with this `kid`"
    if found:
        words = f"the signature does not fit the key {which} and `alg` {quote(jws.alg)} of {trust.ref}{_hint(jws)}"
        return Refusal(Reason.SIGNATURE_INVALID, words, issuer=trust.ref)
    if known:
        words = f"{trust.ref} has a key {which}, but not for this `iss`, as its `keyIssuerMember` demands"
        return Refusal(Reason.SIGNATURE_INVALID, words, issuer=trust.ref)
    if key_set.ambiguous(jws.kid, jws.alg):
        words = f"{trust.ref} has several keys {which} and `alg` {quote(jws.alg)}; nobody can tell which one counts"
        return Refusal(Reason.SIGNATURE_INVALID, words, issuer=trust.ref)
    words = f"{trust.ref} has no usable key {which} for `alg` {quote(jws.alg)}{_hint(jws)}"
    return Refusal(Reason.KEY_UNKNOWN, words, issuer=trust.ref)


def _named(trust: Trust, claims: Mapping[str, Json]) -> tuple[str, str]:
    """The `iss` of the claims, and the tenant in it."""
    iss = str(claims.get("iss", ""))
    return iss, trust.tenants.by_issuer.get(iss, "") if trust.tenants is not None else ""


def _hint(jws: Jws) -> str:
    """What is known of tokens that no published key verifies."""
    if "nonce" in jws.members:
        return "; its header has `nonce`, as tokens of Microsoft Graph: the client asked for another API's scope"
    if jws.typ == "okta-internal-at+jwt":
        return "; tokens of Okta's org authorization server are for Okta alone: use a custom authorization server"
    return ""


def _refuse_members(trust: Trust, jws: Jws) -> Refusal | None:
    """A JWT-SVID has no header members but three (JWT-SVID, section 2)."""
    odd = jws.members - {"alg", "kid", "typ"}
    if not trust.trust_domain or not odd:
        return None
    words = f"the token's header has {quote_all(odd)}; a JWT-SVID has only `alg`, `kid` and `typ`"
    return Refusal(Reason.TOKEN_MALFORMED, words, issuer=trust.ref)


def _refuse_type(trust: Trust, jws: Jws) -> Refusal | None:
    """The header's `typ` must be one that the issuer's access tokens have (RFC 8725, section 3.11)."""
    if jws.typ in trust.token_types:
        return None
    found = quote(jws.typ_as_sent) if jws.typ else "absent"
    wanted = quote_all(kind or "Absent" for kind in trust.token_types)
    words = f"`typ` is {found}; {trust.ref} accepts {wanted}: add it to `tokenTypes` if that is meant"
    return Refusal(Reason.TOKEN_MALFORMED, words, issuer=trust.ref)


def _is_same(one: Trust, other: Trust) -> bool:
    """Whether two settings of one issuer judge a token alike. Plain equality would take `true` for 1 in claims."""
    same = one.claim_equals.keys() == other.claim_equals.keys() and all(
        same_json(wanted, other.claim_equals[path]) for path, wanted in one.claim_equals.items()
    )
    return same and replace(one, claim_equals={}) == replace(other, claim_equals={})

"""Who signed a token (RFC 7515, section 5.2): the algorithm, the key by (`kid`, `alg`), the signature.

The token only says which of the issuer's keys to try; what the key may be used with stands in the key set (RFC 8725,
section 3.1).
"""

from __future__ import annotations

from collections.abc import Mapping

from extauthz.keys.jwk import Key, KeySet, signature_holds
from extauthz.model.encoding import Json
from extauthz.model.reason import Reason
from extauthz.model.step import Step
from extauthz.model.token import Trust
from extauthz.model.verdict import Refusal
from extauthz.tokens.jws import Jws
from extauthz.tokens.quoting import quote, quote_all


def find_signer(trust: Trust, jws: Jws, claims: Mapping[str, Json], key_set: KeySet) -> str | Refusal:
    """The thumbprint of the key that signed, or why the signature does not count."""
    refusal = refuse_algorithm(trust, jws)
    if refusal is not None:
        return refusal
    keys = find_keys(trust, jws, claims, key_set)
    return keys if isinstance(keys, Refusal) else check_signature(trust, jws, keys)


def refuse_algorithm(trust: Trust, jws: Jws) -> Refusal | None:
    """Only the issuer's algorithms count, whatever its keys could be used with."""
    if jws.alg in trust.algorithms:
        return None
    accepted = quote_all(trust.algorithms)
    hint = (
        "such a token is signed with a shared secret and is for its issuer alone"
        if jws.alg.startswith("HS")
        else f"add {quote(jws.alg)} to its `algorithms` if that is meant"
    )
    words = f"`alg` is {quote(jws.alg)}; {trust.ref} accepts {accepted}: {hint}"
    return Refusal(Reason.SIGNATURE_INVALID, words, issuer=trust.ref, at=Step.ALGORITHM)


def find_keys(trust: Trust, jws: Jws, claims: Mapping[str, Json], key_set: KeySet) -> tuple[Key, ...] | Refusal:
    """The keys to try, at least one: the one with this `kid`, or without `kid` each that fits `alg`."""
    known = key_set.find(jws.kid, jws.alg)
    found = (
        tuple(key for key in known if key.signs_for(*_named(trust, claims))) if trust.key_issuer_must_match else known
    )
    if found:
        return found
    if known:
        words = f"{trust.ref} has a key {_which(jws)}, but not for this `iss`, as its `keyIssuerMember` demands"
        return Refusal(Reason.SIGNATURE_INVALID, words, issuer=trust.ref, at=Step.KEY)
    if key_set.ambiguous(jws.kid, jws.alg):
        words = (
            f"{trust.ref} has several keys {_which(jws)} and `alg` {quote(jws.alg)}; nobody can tell which one counts"
        )
        return Refusal(Reason.SIGNATURE_INVALID, words, issuer=trust.ref, at=Step.KEY)
    words = f"{trust.ref} has no usable key {_which(jws)} for `alg` {quote(jws.alg)}{_unused(jws, key_set)}{_hint(jws)}"
    return Refusal(Reason.KEY_UNKNOWN, words, issuer=trust.ref)


def check_signature(trust: Trust, jws: Jws, keys: tuple[Key, ...]) -> str | Refusal:
    """The thumbprint of the first key that the signature fits. A symmetric key's is not told: the empty text."""
    for key in keys:
        if signature_holds(key, jws.alg, jws.signing_input, jws.signature):
            return "" if isinstance(key.material, bytes) else key.thumbprint
    words = f"the signature does not fit the key {_which(jws)} and `alg` {quote(jws.alg)} of {trust.ref}{_hint(jws)}"
    return Refusal(Reason.SIGNATURE_INVALID, words, issuer=trust.ref)


def _which(jws: Jws) -> str:
    return "without `kid`" if jws.kid is None else "with this `kid`"


def _named(trust: Trust, claims: Mapping[str, Json]) -> tuple[str, str]:
    """The `iss` of the claims, and the tenant in it."""
    iss = str(claims.get("iss", ""))
    return iss, trust.tenants.by_issuer.get(iss, "") if trust.tenants is not None else ""


def _unused(jws: Jws, key_set: KeySet) -> str:
    """Why the set's own key of that name is not used: often one of the issuer's settings lets it in."""
    why = next((skipped.why for skipped in key_set.skipped if skipped.kid == jws.kid), None)
    return "" if why is None else f"; the key of that name in its set is not used: {why}"


def _hint(jws: Jws) -> str:
    """What is known of tokens that no published key verifies."""
    if "nonce" in jws.members:
        return "; its header has `nonce`, as tokens of Microsoft Graph: the client asked for another API's scope"
    if jws.typ == "okta-internal-at+jwt":
        return "; tokens of Okta's org authorization server are for Okta alone: use a custom authorization server"
    return ""

"""Who signed a token (RFC 7515, section 5.2): the algorithm, the key by (`kid`, `alg`), the signature.

The token only says which of the issuer's keys to try; what the key may be used with stands in the key set (RFC 8725,
section 3.1).
"""

from __future__ import annotations

from collections.abc import Mapping

from extauthz.keys.algorithm import ALGORITHMS
from extauthz.keys.jwk import MAX_TRIED, Key, KeySet, signature_holds
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
    words = f"`alg` is {quote(jws.alg)}; {trust.ref} accepts {accepted}: {_other_algorithm(trust, jws.alg)}"
    return Refusal(Reason.SIGNATURE_INVALID, words, issuer=trust.ref, at=Step.ALGORITHM)


def _other_algorithm(trust: Trust, alg: str) -> str:
    """What an operator can do about an algorithm that an issuer does not accept."""
    if alg.startswith("HS"):
        return (
            "such a token is signed with a shared secret, and whoever can check it can make it; let the issuer sign"
            " with a key pair"
        )
    if alg not in ALGORITHMS:
        return "no `algorithms` can name it, since it cannot be checked here; let the issuer sign with another"
    if all(name.startswith("HS") for name in trust.algorithms):
        return "those are for a shared secret, and a key pair needs an issuer of its own"
    return f"add {quote(alg)} to its `algorithms` if that is meant"


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
    fits = f"does not fit the key {_which(jws)}" if jws.kid is not None else f"fits none of {_tried(keys)}"
    # RFC 7517, section 4.5: a `kid` is there so that a new key is told from the old one.
    why = "; the token was altered, or the issuer put another key under that name" if jws.kid is not None else ""
    words = f"the signature {fits}, for `alg` {quote(jws.alg)} of {trust.ref}{_hint(jws) or why}"
    return Refusal(Reason.SIGNATURE_INVALID, words, issuer=trust.ref)


def _tried(keys: tuple[Key, ...]) -> str:
    """The keys that a token without `kid` was tried with."""
    if len(keys) < MAX_TRIED:
        return "the keys, as the token names none by `kid`"
    return f"the {MAX_TRIED} keys that are tried for a token without `kid` (let the issuer name its key)"


def _which(jws: Jws) -> str:
    return "without `kid`" if jws.kid is None else f"with the `kid` {quote(jws.kid)}"


def _named(trust: Trust, claims: Mapping[str, Json]) -> tuple[str, str]:
    """The `iss` of the claims, and the tenant in it."""
    iss = str(claims.get("iss", ""))
    return iss, trust.tenants.by_issuer.get(iss, "") if trust.tenants is not None else ""


def _unused(jws: Jws, key_set: KeySet) -> str:
    """Why the set's own key of that name is not used: often one of the issuer's settings lets it in."""
    why = next((skipped.why for skipped in key_set.skipped if skipped.kid == jws.kid), None)
    if why is not None:
        return f"; the key of that name in its set is not used: {why}"
    others = {alg for key in key_set.keys if key.kid == jws.kid for alg in key.algorithms}
    if jws.kid is not None and others:
        return f"; the key of that name in its set is for {quote_all(others)} alone"
    if jws.kid is not None and any(key.kid is None and jws.alg in key.algorithms for key in key_set.keys):
        return "; a key without `kid` is in its set, and such a key is for tokens without `kid`"
    return f"; its keys are {_named_by(key_set)}"


def _named_by(key_set: KeySet) -> str:
    """The keys of a set, by their `kid`."""
    nameless = sum(key.kid is None for key in key_set.keys)
    named = quote_all({key.kid for key in key_set.keys if key.kid is not None})
    return ", ".join(([named] if named else []) + ([f"{nameless} without `kid`"] if nameless else []))


def _hint(jws: Jws) -> str:
    """What is known of tokens that no published key verifies."""
    if "nonce" in jws.members:
        return "; its header has `nonce`, as tokens of Microsoft Graph: the client asked for another API's scope"
    if jws.typ == "okta-internal-at+jwt":
        return "; tokens of Okta's org authorization server are for Okta alone: use a custom authorization server"
    return ""

"""Fuzzes the token: what verifies was truly signed by the issuer and is good now (RFC 7519, section 7.2; RFC 8725)."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Final

from extauthz.model.encoding import Ambiguous, base64url_decode, base64url_encode, parse_json_object
from extauthz.model.time import Instant, Seconds
from extauthz.model.token import Credential, Demand, Slot, SlotKind, VerifiedToken
from extauthz.model.verdict import Refusal
from extauthz.tokens.verify import Verifier
from tests.building import TRUST
from tests.fuzz.answers import answer_of
from tests.fuzz.issuer import ALGS, AUDIENCE, ISSUER, NOW, claims, confused, header, key_set, sign
from tests.fuzz.octets import mutate_octets, mutate_text
from tests.fuzz.reading import good_claims
from tests.fuzz.target import Target, insist
from tests.fuzz.trees import mutate_tree, write_json
from tests.fuzz.words import TOKEN_WORDS
from tests.issuing import state

_SLOT: Final = Slot(SlotKind.AUTHORIZATION, "authorization")
_TRUST: Final = replace(
    TRUST, issuer=ISSUER, algorithms=frozenset(ALGS.values()), max_lifetime=Seconds(3600), clock_skew=Seconds(30)
)
_DEMAND: Final = Demand(slot=_SLOT, issuers=(_TRUST,), audiences=frozenset({AUDIENCE}))
_KEYS: Final = {_TRUST.ref: state(raw=key_set(), trust=_TRUST)}
_VERIFIER: Final = Verifier()
_TEXT: Final = mutate_text(TOKEN_WORDS)
_NAMES: Final = (
    *header(), *claims(), "nbf", "cnf", "crit", "b64", "zip", "cty", "jwk", "jku", "x5c", "x5u", "enc", "nonce", "azp",
    "tid",
)  # fmt: skip
_VALUES: Final = (
    ISSUER, AUDIENCE, [AUDIENCE], [AUDIENCE, "b"], NOW, NOW + 300, NOW - 29, NOW - 31, NOW + 3600, NOW + 0.5,
    str(NOW + 300), 1e15, 2**53, *ALGS, *ALGS.values(), "none", "None", "HS256", "RS384", "PS256", "ES384", "Ed25519",
    "at+jwt", "AT+JWT", "application/at+jwt", "JWT", "orders.read", "orders.read orders.write", ["orders.read"],
    {"jkt": "x"}, ["exp"],
)  # fmt: skip


def judge(data: bytes) -> str:
    """Verify the token twice, the second time perhaps from memory."""
    text = data.decode("latin-1")
    outcome, again = _verify(text), _verify(text)
    insist(outcome == again, "a token is judged otherwise when it comes a second time")
    if not isinstance(outcome, VerifiedToken):
        _, _, secret = text.rpartition(".")
        insist(len(secret) < 16 or secret not in outcome.detail, "a refusal quotes the signature")
        return answer_of(outcome)
    good = good_claims(text)
    insist(good is not None, "a token is verified that the issuer did not sign, or that is not good now")
    insist(good is not None and outcome.claims == good, "a verified token says something else than it holds")
    insist(outcome.window.accepts(Instant(NOW)), "a token is verified outside of its time")
    return f"verified {sorted(outcome.claims)}"


def _verify(text: str) -> VerifiedToken | Refusal:
    return _VERIFIER.verify(Credential(text, _SLOT), _DEMAND, _KEYS, Instant(NOW))


def mutate(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """Changes to the text, to one decoded segment, or to what a segment says; signed again or not."""
    parts = data.split(b".")
    if chance.random() < 0.25 or len(parts) != 3:
        return _TEXT(data, other, chance)
    at = chance.choice((0, 0, 1, 1, 1, 2))
    try:
        decoded = base64url_decode(parts[at].decode())
    except (Ambiguous, UnicodeDecodeError):
        return _TEXT(data, other, chance)
    parts[at] = base64url_encode(_changed(decoded, other, chance)).encode()
    if chance.random() < 0.6:
        parts[2] = _signature(parts, chance)
    return b".".join(parts)


def _changed(data: bytes, other: bytes, chance: random.Random) -> bytes:
    try:
        tree = parse_json_object(data)
    except Ambiguous:
        return mutate_octets(data, other, chance)
    if chance.random() < 0.15:
        return mutate_octets(data, other, chance)
    if chance.random() < 0.3:
        return write_json({**tree, chance.choice(_NAMES): chance.choice(_VALUES)}, chance)
    return write_json(mutate_tree(tree, (*_VALUES, *_NAMES), chance), chance)


def _signature(parts: list[bytes], chance: random.Random) -> bytes:
    """Mostly the true one, so that what comes behind the signature is reached; or a stranger's, or a confused one."""
    signing_input = b".".join(parts[:2])
    name = _named(parts[0]) if chance.random() < 0.9 else chance.choice(tuple(ALGS))
    whose = "corp" if chance.random() < 0.8 else "mallory"
    made = confused(signing_input, name) if chance.random() < 0.05 else sign(signing_input, name, whose)
    return base64url_encode(made).encode()


def _named(segment: bytes) -> str:
    """The key that a header asks for. RSA is left to the seeds: signing with it takes as long as ten inputs."""
    try:
        return "ec" if b"ES256" in base64url_decode(segment.decode()) else "ed"
    except (Ambiguous, UnicodeDecodeError):
        return "ed"


TARGET: Final = Target(name="tokens", mutate=mutate, judge=judge, share=15)

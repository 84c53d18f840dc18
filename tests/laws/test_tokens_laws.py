"""Laws of tokens: no change to a token is overlooked, and nothing that is sent raises."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from extauthz.keys.jwks import KeyState
from extauthz.model.time import Instant
from extauthz.model.token import Credential, Demand, IssuerRef, Slot, SlotKind, VerifiedToken
from extauthz.model.verdict import Refusal
from extauthz.tokens.credential import find_credential
from extauthz.tokens.verify import Verifier
from tests.building import NOW, view
from tests.issuing import CORP, claims, header, state, token

SLOT = Slot(SlotKind.AUTHORIZATION, "authorization")
DEMAND = Demand(slot=SLOT, issuers=(CORP,))
KEYS: dict[IssuerRef, KeyState] = {CORP.ref: state()}
GOOD = (token(), token(key="ec"), token(key="ed"))
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \n\x00é"


def verify(text: str) -> VerifiedToken | Refusal:
    """Verify by a fresh verifier."""
    return Verifier().verify(Credential(text, SLOT), DEMAND, KEYS, Instant(NOW))


def mutate(text: str, chance: random.Random) -> str:
    """The text with one to three changes."""
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(text)) if text else 0
        match chance.randrange(4):
            case 0:
                text = text[:at] + chance.choice(_ALPHABET) + text[at + 1 :]
            case 1:
                text = text[:at] + chance.choice(_ALPHABET) + text[at:]
            case 2:
                text = text[:at] + text[at + 1 :]
            case _:
                text = text[:at] + text[at:][::-1]
    return text


@given(st.sampled_from(GOOD), st.randoms(use_true_random=False))
def test_a_changed_token_never_verifies_unless_what_was_signed_is_unchanged(text: str, chance: random.Random) -> None:
    changed = mutate(text, chance)
    outcome = verify(changed)
    if isinstance(outcome, VerifiedToken):
        assert changed.rpartition(".")[0] == text.rpartition(".")[0]
        original = verify(text)
        assert isinstance(original, VerifiedToken)
        assert outcome.identity == original.identity


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_NAMES = st.sampled_from(["iss", "sub", "aud", "exp", "iat", "nbf", "jti", "scope", "client_id", "cnf", "x"])


@given(st.dictionaries(_NAMES, _JSON, max_size=4))
def test_signed_claims_of_any_kind_are_verified_or_refused(changes: dict[str, object]) -> None:
    outcome = verify(token({**claims(), **changes}))
    if isinstance(outcome, VerifiedToken):
        assert outcome.window.accepts(Instant(NOW))
        assert "orders-api" in outcome.audiences


@given(st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "x"]), _JSON, max_size=3))
def test_signed_headers_of_any_kind_are_verified_or_refused(changes: dict[str, object]) -> None:
    outcome = verify(token(head={**header(), **changes}))
    if isinstance(outcome, VerifiedToken):
        assert not changes.keys() & {"crit", "b64", "jwk"}


@given(st.text(max_size=200))
def test_no_text_raises(text: str) -> None:
    assert isinstance(verify(text), Refusal)


@given(
    st.sampled_from([SLOT, Slot(SlotKind.HEADER, "x-key"), Slot(SlotKind.COOKIE, "c"), Slot(SlotKind.QUERY, "q")]),
    st.dictionaries(st.sampled_from(["authorization", "x-key", "cookie"]), st.text(max_size=60), max_size=3),
    st.text(alphabet="q=&%;abc1+ /?", max_size=30),
)
def test_no_request_makes_the_search_for_a_credential_raise(slot: Slot, headers: dict[str, str], query: str) -> None:
    outcome = find_credential(view(f"/?{query}", headers=headers), slot)
    if isinstance(outcome, Credential):
        assert outcome.token
        assert outcome.token.isascii()

"""Laws of introspection: whatever an endpoint says, and whatever is sent to be asked about."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from extauthz.introspection.desk import Desk
from extauthz.model.question import Active, Answer, Inactive, Question
from extauthz.tokens.introspected import looks_signed
from tests.building import policy
from tests.clock import FakeClock
from tests.introspecting import ISSUER, OPAQUE, SECRET, active, issuer
from tests.issuing import claims, header, hmac_token, token
from tests.laws.test_tokens_laws import mutate
from tests.worlds import Asked

URL = "https://opaque.example/introspect"
_JWTS = [
    token(), token(key="ec"), token(claims(aud="x")), token(claims(exp=1)), token(claims(iss="https://evil.example")),
    token(head=header(typ="JWT")), token(head=header(alg="none")), hmac_token(b"k" * 32), token(claims(iss=...)),
]  # fmt: skip
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_NAMES = st.sampled_from(["iss", "sub", "aud", "exp", "iat", "nbf", "jti", "scope", "client_id", "cnf", "token_type"])


class Says(Desk):
    """Says the same of every token, and keeps what it was asked."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(FakeClock())
        self.answer = answer
        self.asked: list[str] = []

    def recall(self, question: Question) -> Active | Inactive | None:
        return None

    def ask(self, question: Question, until: float) -> Answer:
        self.asked.append(question.token)
        return self.answer


def said(**more: Any) -> Active:
    return Active({name: value for name, value in active(**more).items() if name != "active"})


def rule(*names: str, **more: Any) -> dict[str, Any]:
    return {"name": "r", "token": {"issuers": [{"name": n} for n in names], "audiences": ["orders-api"]}, **more}


@given(st.sampled_from(_JWTS), st.randoms(use_true_random=False), st.booleans(), st.sampled_from(["Opaque", "Any"]))
@settings(max_examples=150)
def test_an_endpoint_that_calls_everything_active_admits_no_jwt_that_keys_refuse(
    text: str, chance: random.Random, changed: bool, forms: str
) -> None:
    text = mutate(text, chance) if changed else text
    desk = Says(said())
    before = Asked(policy("p", rule("corp"))).reason("/", text)
    after = Asked(SECRET, issuer(URL, tokens=forms), policy("p", rule("corp", "opaque")), desk=desk).reason("/", text)
    if looks_signed(text):
        assert after == before
        assert desk.asked == []
    else:
        assert before != "allow"


@given(st.dictionaries(_NAMES, _JSON, max_size=4), st.booleans())
@settings(max_examples=150)
def test_claims_of_any_kind_are_taken_or_refused_and_a_refusal_spends_nothing(
    changes: dict[str, object], counted: bool
) -> None:
    more: dict[str, Any] = {"reuse": {"maxUses": 1}} if counted else {}
    asked = Asked(SECRET, issuer(URL), policy("p", rule("opaque", **more)), desk=Says(said(**changes)))
    reason = asked.reason("/", OPAQUE)
    assert reason != "internal"
    if reason == "allow":
        assert changes.get("iss", ISSUER) == ISSUER
        assert "cnf" not in changes
    else:
        assert len(asked.store) == 0  # type: ignore[arg-type]


@given(st.text(alphabet="abcXYZ019._~+/=-eyJ{", min_size=1, max_size=60))
def test_only_whole_tokens_that_are_no_jwts_are_ever_sent(text: str) -> None:
    desk = Says(Inactive())
    Asked(SECRET, issuer(URL), policy("p", rule("opaque", "corp")), desk=desk).ask("/", text)
    assert all(not looks_signed(each) and each == text for each in desk.asked)

"""Verification of a token (RFC 7515, 7519, 8725, 9068): rows B, C and D of the catalogue of hostile tokens."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from extauthz.keys.jwks import KeyState
from extauthz.model.encoding import base64url_decode
from extauthz.model.reason import Reason
from extauthz.model.step import Step
from extauthz.model.time import Instant, Seconds
from extauthz.model.token import (
    ClaimMapping,
    ClaimPath,
    Credential,
    Demand,
    IssuerRef,
    Slot,
    SlotKind,
    Trust,
    VerifiedToken,
)
from extauthz.model.verdict import Refusal
from extauthz.tokens.verify import Verifier
from tests.building import NOW
from tests.issuing import CORP, P256_ORDER, claims, compact, header, state, token, with_signature

SLOT = Slot(SlotKind.AUTHORIZATION, "authorization")


def verify(
    text: str, *trusts: Trust, keys: Mapping[IssuerRef, KeyState] | None = None, now: float = NOW, **demand: Any
) -> VerifiedToken | Refusal:
    """Verify by a fresh verifier."""
    wanted = Demand(slot=SLOT, issuers=trusts or (CORP,), **demand)
    held = {trust.ref: state() for trust in wanted.issuers} if keys is None else keys
    return Verifier().verify(Credential(text, SLOT), wanted, held, Instant(now))


def reason(*args: Any, **more: Any) -> Reason | None:
    """Why a token is refused; None when it is accepted."""
    outcome = verify(*args, **more)
    return outcome.reason if isinstance(outcome, Refusal) else None


@pytest.mark.parametrize("key", ["rsa", "ec", "ed"])
def test_a_good_token_of_each_kind_of_key_is_accepted(key: str) -> None:
    verified = verify(token(key=key))
    assert isinstance(verified, VerifiedToken)
    assert (verified.subject, verified.client, verified.token_id) == ("alice", "web", "id-1")
    assert verified.scopes == frozenset({"orders.read", "orders.write"})
    assert verified.window.closes == NOW + 330


# rows B, structure


@pytest.mark.parametrize("kid", ["../../dev/null", "' OR 1=1--", "other"])
def test_B10_C01_a_kid_that_is_unknown_names_the_issuer_to_refresh(kid: str) -> None:
    refusal = verify(token(head=header(kid=kid)))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.KEY_UNKNOWN
    assert refusal.issuer == CORP.ref
    # Who has only the log must see which key was meant, and which there are.
    assert refusal.detail.startswith(
        f"TokenIssuer shop/corp has no usable key with the `kid` `{kid}` for `alg` `RS256`"
    )
    assert refusal.detail.endswith("; its keys are `ec`, `ed`, `rsa`")


def test_a_kid_that_cannot_be_shown_is_told_in_words() -> None:
    for kid in ("k" * 201, "a`b"):
        refusal = verify(token(head=header(kid=kid)))
        assert isinstance(refusal, Refusal)
        assert "with the `kid` a text that is too long or not plain ASCII for" in refusal.detail


def test_a_signature_that_does_not_fit_names_the_key_that_it_was_held_against() -> None:
    refusal = verify(token(head=header(kid="rsa"), key="rsa-other"))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.SIGNATURE_INVALID
    assert refusal.detail.startswith("the signature does not fit the key with the `kid` `rsa`, for `alg` `RS256`")
    assert refusal.detail.endswith("; the token was altered, or the issuer put another key under that name")


def test_B18_F03_the_twin_of_an_ecdsa_signature_is_the_same_token() -> None:
    good = token(key="ec")
    signature = base64url_decode(good.rpartition(".")[2])
    r, s = signature[:32], int.from_bytes(signature[32:], "big")
    twin = with_signature(good, r + (P256_ORDER - s).to_bytes(32, "big"))
    one, other = verify(good), verify(twin)
    assert isinstance(one, VerifiedToken)
    assert isinstance(other, VerifiedToken)
    assert one.identity == other.identity


@pytest.mark.parametrize("typ", ["JWT", "logout+jwt", "dpop+jwt", "secevent+jwt", "at+jwt2", ...])
def test_B23_another_type_is_refused_and_the_switch_named(typ: Any) -> None:
    refusal = verify(token(head=header(typ=typ)))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.TOKEN_MALFORMED
    assert f"add `{'Absent' if typ is ... else typ}` to its `tokenTypes`" in refusal.detail
    assert ("and keep ID tokens out" in refusal.detail) is (typ in {"JWT", ...})
    assert refusal.step is Step.TYPE


# rows C, keys


def test_C11_a_key_that_was_withdrawn_ends_remembered_tokens_too() -> None:
    verifier, demand = Verifier(), Demand(slot=SLOT, issuers=(CORP,))
    credential = Credential(token(), SLOT)
    assert isinstance(verifier.verify(credential, demand, {CORP.ref: state()}, Instant(NOW)), VerifiedToken)
    refusal = verifier.verify(credential, demand, {CORP.ref: state("ec")}, Instant(NOW))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.KEY_UNKNOWN


def test_C15_C16_without_keys_or_with_stale_ones_nobody_is_told_to_drop_the_token() -> None:
    assert reason(token(), keys={}) is Reason.KEYS_UNAVAILABLE
    assert reason(token(), keys={CORP.ref: KeyState(problem="down")}) is Reason.KEYS_UNAVAILABLE
    stale = replace(state(), good_until=Instant(NOW))
    assert reason(token(), keys={CORP.ref: stale}) is Reason.KEYS_UNAVAILABLE


# rows D, claims


def test_a_rule_that_names_audiences_replaces_the_issuers_own() -> None:
    assert reason(token(), audiences=frozenset({"billing"})) is Reason.AUDIENCE_MISMATCH
    assert reason(token(claims(aud="billing")), audiences=frozenset({"billing"})) is None


def test_an_alias_of_the_issuer_counts() -> None:
    trust = replace(CORP, aliases=frozenset({"corp.example"}))
    assert reason(token(claims(iss="corp.example")), trust) is None


_GOOD = json.dumps(claims()).encode()


@pytest.mark.parametrize(
    ("value", "scopes"), [("a  b", {"a", "b"}), (["a", "b"], {"a", "b"}), ("", set()), (..., set()), ([], set())]
)
def test_D17_scopes_come_as_text_or_array(value: Any, scopes: set[str]) -> None:
    verified = verify(token(claims(scope=value)))
    assert isinstance(verified, VerifiedToken)
    assert verified.scopes == scopes


def test_scopes_are_found_where_the_issuer_puts_them() -> None:
    trust = replace(CORP, mapping=ClaimMapping(scope=(ClaimPath("scp"), ClaimPath("/a/b"))))
    verified = verify(token(claims(scope=..., a={"b": "x"})), trust)
    assert isinstance(verified, VerifiedToken)
    assert verified.scopes == frozenset({"x"})


@pytest.mark.parametrize(
    ("wanted", "value", "fits"), [(1, 1, True), (1, True, False), (1, "1", False), (True, 1, False)]
)
def test_claim_equals_compares_types_too(wanted: Any, value: Any, fits: bool) -> None:
    trust = replace(CORP, claim_equals={ClaimPath("x"): wanted})
    assert (reason(token(claims(x=value)), trust) is None) == fits


@pytest.mark.parametrize("value", [{}, "x", {"jkt": "abc"}, {"x5t#S256": "abc"}, {"kid": "a"}, None, []])
def test_E01_E20_a_token_bound_to_a_sender_is_refused_while_nobody_confirms_one(value: Any) -> None:
    assert reason(token(claims(cnf=value))) is Reason.SENDER_MISMATCH


# What is remembered


def test_a_remembered_token_still_expires() -> None:
    verifier, demand, keys = Verifier(), Demand(slot=SLOT, issuers=(CORP,)), {CORP.ref: state()}
    credential = Credential(token(), SLOT)
    assert isinstance(verifier.verify(credential, demand, keys, Instant(NOW)), VerifiedToken)
    assert isinstance(verifier.verify(credential, demand, keys, Instant(NOW)), VerifiedToken)
    assert verifier.hits == 1
    late = verifier.verify(credential, demand, keys, Instant(NOW + 330))
    assert isinstance(late, Refusal)
    assert late.reason is Reason.TOKEN_EXPIRED


def test_a_remembered_token_meets_each_rule_anew() -> None:
    verifier, keys = Verifier(), {CORP.ref: state()}
    credential = Credential(token(), SLOT)
    assert isinstance(
        verifier.verify(credential, Demand(slot=SLOT, issuers=(CORP,)), keys, Instant(NOW)), VerifiedToken
    )
    strict = Demand(slot=SLOT, issuers=(CORP,), audiences=frozenset({"billing"}))
    refusal = verifier.verify(credential, strict, keys, Instant(NOW))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.AUDIENCE_MISMATCH


def test_a_changed_issuer_is_asked_anew() -> None:
    verifier, keys = Verifier(), {CORP.ref: state()}
    credential = Credential(token(), SLOT)
    assert isinstance(
        verifier.verify(credential, Demand(slot=SLOT, issuers=(CORP,)), keys, Instant(NOW)), VerifiedToken
    )
    changed = replace(CORP, required_claims=frozenset({"tenant"}))
    assert isinstance(verifier.verify(credential, Demand(slot=SLOT, issuers=(changed,)), keys, Instant(NOW)), Refusal)


def test_settings_that_were_loaded_again_without_a_change_keep_what_is_remembered() -> None:
    verifier, keys, credential = Verifier(), {CORP.ref: state()}, Credential(token(), SLOT)
    again = replace(CORP, claim_equals=dict(CORP.claim_equals))
    for trust in (CORP, again, again):
        verified = verifier.verify(credential, Demand(slot=SLOT, issuers=(trust,)), keys, Instant(NOW))
        assert isinstance(verified, VerifiedToken)
        assert verified.trust is trust
    assert (verifier.hits, verifier.misses) == (2, 1)


def test_a_claim_that_must_now_be_true_is_no_longer_met_by_1() -> None:
    verifier, keys = Verifier(), {CORP.ref: state()}
    credential = Credential(token(claims(x=1)), SLOT)
    one, true = (replace(CORP, claim_equals={ClaimPath("x"): value}) for value in (1, True))
    assert isinstance(verifier.verify(credential, Demand(slot=SLOT, issuers=(one,)), keys, Instant(NOW)), VerifiedToken)
    assert isinstance(verifier.verify(credential, Demand(slot=SLOT, issuers=(true,)), keys, Instant(NOW)), Refusal)


def test_a_text_that_was_altered_is_not_the_one_that_is_remembered() -> None:
    verifier, demand, keys = Verifier(), Demand(slot=SLOT, issuers=(CORP,)), {CORP.ref: state()}
    assert isinstance(verifier.verify(Credential(token(), SLOT), demand, keys, Instant(NOW)), VerifiedToken)
    assert isinstance(verifier.verify(Credential(token() + "=", SLOT), demand, keys, Instant(NOW)), Refusal)


def test_a_token_remembered_for_one_issuer_is_not_known_to_another() -> None:
    other = replace(CORP, ref=IssuerRef("TokenIssuer", "shop", "other"))
    verifier, keys = Verifier(), {CORP.ref: state(), other.ref: state("ec")}
    credential = Credential(token(), SLOT)
    assert isinstance(
        verifier.verify(credential, Demand(slot=SLOT, issuers=(CORP,)), keys, Instant(NOW)), VerifiedToken
    )
    refusal = verifier.verify(credential, Demand(slot=SLOT, issuers=(other,)), keys, Instant(NOW))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.KEY_UNKNOWN


def test_refused_tokens_are_not_remembered() -> None:
    verifier, demand, keys = Verifier(cache_size=4), Demand(slot=SLOT, issuers=(CORP,)), {CORP.ref: state()}
    good = Credential(token(), SLOT)
    verifier.verify(good, demand, keys, Instant(NOW))
    for number in range(50):
        verifier.verify(Credential(token(claims(aud=f"x{number}")), SLOT), demand, keys, Instant(NOW))
    verifier.verify(good, demand, keys, Instant(NOW))
    assert verifier.hits == 1


def test_with_no_memory_each_token_is_verified_each_time() -> None:
    verifier, demand, keys = Verifier(cache_size=0), Demand(slot=SLOT, issuers=(CORP,)), {CORP.ref: state()}
    for _ in range(3):
        assert isinstance(verifier.verify(Credential(token(), SLOT), demand, keys, Instant(NOW)), VerifiedToken)
    assert verifier.hits == 0


def test_of_two_issuers_with_one_iss_the_one_that_accepts_decides() -> None:
    other = replace(CORP, ref=IssuerRef("TokenIssuer", "shop", "other"), audiences=frozenset({"billing"}))
    keys = {CORP.ref: state(), other.ref: state()}
    verified = verify(token(claims(aud="billing")), CORP, other, keys=keys)
    assert isinstance(verified, VerifiedToken)
    assert verified.trust is other


def test_whose_a_token_is_does_not_depend_on_what_is_remembered() -> None:
    other = replace(CORP, ref=IssuerRef("TokenIssuer", "shop", "other"))
    verifier, credential = Verifier(), Credential(token(), SLOT)
    demand = Demand(slot=SLOT, issuers=(CORP, other))
    second = {CORP.ref: state("ec"), other.ref: state()}
    verified = verifier.verify(credential, demand, second, Instant(NOW))
    assert isinstance(verified, VerifiedToken)
    assert verified.trust is other
    both = {CORP.ref: state(), other.ref: state()}
    verified = verifier.verify(credential, demand, both, Instant(NOW))
    assert isinstance(verified, VerifiedToken)
    assert verified.trust is CORP


def test_issuers_with_one_iss_remember_too() -> None:
    other = replace(CORP, ref=IssuerRef("TokenIssuer", "shop", "other"))
    verifier, keys = Verifier(), {CORP.ref: state(), other.ref: state()}
    for _ in range(3):
        verified = verifier.verify(
            Credential(token(), SLOT), Demand(slot=SLOT, issuers=(CORP, other)), keys, Instant(NOW)
        )
        assert isinstance(verified, VerifiedToken)
    assert (verifier.hits, verifier.misses) == (2, 1)


def test_while_one_of_two_issuers_has_no_keys_nobody_is_told_to_drop_the_token() -> None:
    other = replace(CORP, ref=IssuerRef("TokenIssuer", "shop", "other"))
    keys = {CORP.ref: state("ec"), other.ref: KeyState(problem="down")}
    assert reason(token(), CORP, other, keys=keys) is Reason.KEYS_UNAVAILABLE


def test_while_the_first_of_two_issuers_has_no_keys_the_second_does_not_answer_in_its_place() -> None:
    other = replace(CORP, ref=IssuerRef("TokenIssuer", "shop", "other"))
    keys = {CORP.ref: KeyState(problem="down"), other.ref: state()}
    assert reason(token(), CORP, other, keys=keys) is Reason.KEYS_UNAVAILABLE
    assert isinstance(verify(token(), other, CORP, keys=keys), VerifiedToken)


@pytest.mark.parametrize("age", [{}, {"iat": ...}])
def test_time_alone_does_not_change_who_answers_for_a_token(age: dict[str, Any]) -> None:
    """What one of them revoked or counted would be new to the next."""
    lenient = replace(CORP, ref=IssuerRef("TokenIssuer", "shop", "lenient"), clock_skew=Seconds(300))
    text = token(claims(**age))
    assert reason(text, CORP, lenient, now=NOW + 331) is Reason.TOKEN_EXPIRED
    assert isinstance(verify(text, lenient, CORP, now=NOW + 331), VerifiedToken)


def test_a_token_without_iat_that_lives_for_too_long_by_now_is_not_for_the_next_issuer_to_accept() -> None:
    brief = replace(CORP, ref=IssuerRef("TokenIssuer", "shop", "brief"), max_lifetime=Seconds(60))
    text = token(claims(iat=...))
    assert reason(text, brief, CORP) is Reason.TOKEN_TOO_LONG_LIVED
    verified = verify(text, brief, CORP, now=NOW + 240)
    assert isinstance(verified, VerifiedToken)
    assert verified.trust is brief


def test_a_token_whose_iat_tells_that_it_lives_for_too_long_goes_to_the_next_issuer() -> None:
    brief = replace(CORP, ref=IssuerRef("TokenIssuer", "shop", "brief"), max_lifetime=Seconds(60))
    verified = verify(token(), brief, CORP)
    assert isinstance(verified, VerifiedToken)
    assert verified.trust is CORP


def test_a_rule_without_issuers_trusts_nobody() -> None:
    demand = Demand(slot=SLOT, issuers=())
    refusal = Verifier().verify(Credential(token(), SLOT), demand, {CORP.ref: state()}, Instant(NOW))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.ISSUER_UNTRUSTED


def test_a_signature_that_does_not_hold_counts_as_work() -> None:
    verifier, demand, keys = Verifier(), Demand(slot=SLOT, issuers=(CORP,)), {CORP.ref: state()}
    verifier.verify(Credential(with_signature(token(), b"x" * 256), SLOT), demand, keys, Instant(NOW))
    assert (verifier.hits, verifier.misses) == (0, 1)


def test_the_identity_changes_with_the_signed_content_and_the_key() -> None:
    texts = [token(), token(claims(jti="id-2")), token(key="ec"), compact(json.dumps(header()).encode(), _GOOD + b" ")]
    found = [verify(text) for text in texts]
    assert len({each.identity for each in found if isinstance(each, VerifiedToken)}) == len(texts)


def test_the_same_content_signed_by_another_key_is_another_token() -> None:
    head, keys = json.dumps(header(kid=...)).encode(), {CORP.ref: state("rsa", "rsa-2")}
    one, other = (verify(compact(head, _GOOD, key), keys=keys) for key in ("rsa", "rsa-2"))
    assert isinstance(one, VerifiedToken)
    assert isinstance(other, VerifiedToken)
    assert one.identity != other.identity

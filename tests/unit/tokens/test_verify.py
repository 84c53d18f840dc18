"""Verification of a token (RFC 7515, 7519, 8725, 9068): rows B, C and D of the catalogue of hostile tokens."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from extauthz.keys.jwks import KeyState
from extauthz.model.encoding import base64url_decode
from extauthz.model.reason import Reason
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
from tests import issuing
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

_HOSTILE_HEADERS = {
    "b01_none": header("none"), "b01_none_case": header("nOnE"), "b04_no_alg": header(alg=...),
    "b04_number": header(alg=256), "b04_array": header(alg=["RS256"]), "b04_case": header("rs256"),
    "b07_jwk": header(jwk=issuing.jwk("rsa-evil")), "b08_jku": header(jku="https://evil.example/keys"),
    "b08_x5u": header(x5u="https://evil.example/cert"), "b09_x5c": header(x5c=["MIIB"]), "b10_number": header(kid=1),
    "b10_null": header(kid=None), "b10_array": header(kid=["rsa"]), "b10_nul": header(kid="rsa\x00"),
    "b10_long": header(kid="k" * 10_000), "b10_empty": header(kid=""), "b11_crit": header(crit=["exp2"], exp2=1),
    "b11_empty": header(crit=[]), "b11_text": header(crit="x"), "b11_twice": header(crit=["b64", "b64"], b64=True),
    "b12_false": header(b64=False), "b12_true": header(b64=True, crit=["b64"]), "b13_zip": header(zip="DEF"),
    "b13_enc": header(enc="A256GCM"), "b13_p2c": header(p2c=10**9), "b23_number": header(typ=1),
}  # fmt: skip


@pytest.mark.parametrize("head", _HOSTILE_HEADERS.values(), ids=_HOSTILE_HEADERS.keys())
def test_b_a_header_that_asks_for_trouble_is_refused_under_a_good_signature(head: dict[str, Any]) -> None:
    assert reason(token(head=head)) in {Reason.TOKEN_MALFORMED, Reason.SIGNATURE_INVALID}


@pytest.mark.parametrize("kid", ["../../dev/null", "' OR 1=1--", "other"])
def test_b10_c01_a_kid_that_is_unknown_names_the_issuer_to_refresh(kid: str) -> None:
    refusal = verify(token(head=header(kid=kid)))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.KEY_UNKNOWN
    assert refusal.issuer == CORP.ref
    assert kid not in refusal.detail


_ODD_HEADERS = {
    "b05_duplicate": b'{"alg":"none","alg":"RS256","typ":"at+jwt","kid":"rsa"}',
    "b06_escaped_duplicate": b'{"alg":"none","\\u0061lg":"RS256","typ":"at+jwt","kid":"rsa"}',
    "b21_bom": b"\xef\xbb\xbf" + json.dumps(header()).encode(),
    "b21_utf16": json.dumps(header()).encode("utf-16"),
    "b21_utf32": json.dumps(header()).encode("utf-32"),
    "b21_not_utf8": b'{"alg":"RS256","typ":"at+jwt","kid":"rsa","x":"\xff"}',
    "b22_deep": b'{"alg":"RS256","x":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    "b22_long": json.dumps(header(x="a" * 5000)).encode(),
    "b14_array": b"[]",
}


@pytest.mark.parametrize("head", _ODD_HEADERS.values(), ids=_ODD_HEADERS.keys())
def test_b_a_header_with_two_readings_is_refused(head: bytes) -> None:
    assert reason(token(head=head)) is Reason.TOKEN_MALFORMED


def test_b02_a_public_key_is_no_secret() -> None:
    public = issuing.rsa_key("rsa").public_key()
    secrets = [
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).strip(),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(issuing.jwk("rsa")).encode(),
        b"",
    ]
    assert {reason(issuing.hmac_token(secret)) for secret in secrets} == {Reason.SIGNATURE_INVALID}


def test_b13_b15_b25_other_forms_are_refused() -> None:
    good = token()
    head, payload, signature = good.split(".")
    forms = ["opaque", head, f"{head}.{payload}", f"{good}.", f"{good}.a", f"{good}.a.b", f".{payload}.{signature}"]
    forms += [f"{head}..{signature}", f"{head}.{payload}.", json.dumps({"payload": payload}), ""]
    assert {reason(form) for form in forms} == {Reason.TOKEN_MALFORMED}


@pytest.mark.parametrize("tail", ["=", "==", "\n", " ", "!", "+", "/", "A\n"])
def test_b16_b17_a_signature_with_anything_added_is_refused(tail: str) -> None:
    assert reason(token() + tail) in {Reason.TOKEN_MALFORMED, Reason.SIGNATURE_INVALID}


def test_b17_unused_trailing_bits_are_refused() -> None:
    good = token()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet.index(good[-1])
    for bits in range(1, 16):
        assert reason(good[:-1] + alphabet[last ^ bits]) in {Reason.TOKEN_MALFORMED, Reason.SIGNATURE_INVALID}


def test_b18_f03_the_twin_of_an_ecdsa_signature_is_the_same_token() -> None:
    good = token(key="ec")
    signature = base64url_decode(good.rpartition(".")[2])
    r, s = signature[:32], int.from_bytes(signature[32:], "big")
    twin = with_signature(good, r + (P256_ORDER - s).to_bytes(32, "big"))
    one, other = verify(good), verify(twin)
    assert isinstance(one, VerifiedToken)
    assert isinstance(other, VerifiedToken)
    assert one.identity == other.identity


@pytest.mark.parametrize(
    "signature",
    [
        b"\0" * 64,
        b"\0" * 32 + b"\1" * 32,
        P256_ORDER.to_bytes(32, "big") * 2,
        b"\1" * 63,
        b"\1" * 65,
        b"\1" * 70,
        b"\x30\x45",
    ],
)
def test_b19_psychic_short_and_der_signatures_are_refused(signature: bytes) -> None:
    assert reason(with_signature(token(key="ec"), signature)) is Reason.SIGNATURE_INVALID


@pytest.mark.parametrize("alg", ["ES256", "PS256", "ES256K", "HS256", "RS512", "EdDSA"])
def test_b20_another_algorithm_than_the_keys_is_refused(alg: str) -> None:
    assert reason(token(head=header(alg))) in {Reason.SIGNATURE_INVALID, Reason.KEY_UNKNOWN}


@pytest.mark.parametrize("typ", ["JWT", "logout+jwt", "dpop+jwt", "secevent+jwt", "at+jwt2", ...])
def test_b23_another_type_is_refused_and_the_switch_named(typ: Any) -> None:
    refusal = verify(token(head=header(typ=typ)))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.TOKEN_MALFORMED
    assert "add it to `tokenTypes`" in refusal.detail


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"])
def test_b24_the_media_type_may_be_written_in_full_and_in_any_case(typ: str) -> None:
    assert reason(token(head=header(typ=typ))) is None


# rows C, keys


def test_c03_without_kid_the_keys_that_fit_the_algorithm_are_tried() -> None:
    keys = {CORP.ref: state("rsa-2", "rsa", "ec")}
    assert reason(token(head=header(kid=...)), keys=keys) is None
    assert reason(token(head=header(kid=...)), keys={CORP.ref: state("rsa-2", "ec")}) is Reason.SIGNATURE_INVALID
    assert reason(token(head=header(kid=...)), keys={CORP.ref: state("ec")}) is Reason.KEY_UNKNOWN


def test_c04_a_pair_with_two_keys_is_used_for_nothing() -> None:
    raw = {"keys": [issuing.jwk("rsa"), issuing.jwk("rsa-2") | {"kid": "rsa"}, issuing.jwk("ec")]}
    keys = {CORP.ref: state(raw=raw)}
    assert reason(token(), keys=keys) is Reason.SIGNATURE_INVALID
    assert reason(token(key="ec"), keys=keys) is None


def test_c11_a_key_that_was_withdrawn_ends_remembered_tokens_too() -> None:
    verifier, demand = Verifier(), Demand(slot=SLOT, issuers=(CORP,))
    credential = Credential(token(), SLOT)
    assert isinstance(verifier.verify(credential, demand, {CORP.ref: state()}, Instant(NOW)), VerifiedToken)
    refusal = verifier.verify(credential, demand, {CORP.ref: state("ec")}, Instant(NOW))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.KEY_UNKNOWN


def test_c12_the_key_of_another_issuer_does_not_count() -> None:
    other = replace(CORP, ref=IssuerRef("TokenIssuer", "shop", "other"), issuer="https://other.example")
    keys = {CORP.ref: state("ec"), other.ref: state("rsa")}
    assert reason(token(), CORP, other, keys=keys) is Reason.KEY_UNKNOWN


def test_c15_c16_without_keys_or_with_stale_ones_nobody_is_told_to_drop_the_token() -> None:
    assert reason(token(), keys={}) is Reason.KEYS_UNAVAILABLE
    assert reason(token(), keys={CORP.ref: KeyState(problem="down")}) is Reason.KEYS_UNAVAILABLE
    stale = replace(state(), good_until=Instant(NOW))
    assert reason(token(), keys={CORP.ref: stale}) is Reason.KEYS_UNAVAILABLE


# rows D, claims

_BAD_TIMES = ["1790000300", True, None, [], {}, -1, 0, 2**53, 1e300]


@pytest.mark.parametrize("value", [..., *_BAD_TIMES])
def test_d01_to_d04_an_exp_that_is_no_time_is_refused(value: Any) -> None:
    assert reason(token(claims(exp=value))) is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"1" + b"0" * 400])
def test_d03_an_exp_that_is_not_finite_is_refused(number: bytes) -> None:
    said = json.dumps(claims(exp=12345)).encode().replace(b"12345", number)
    assert reason(token(said)) is Reason.TOKEN_MALFORMED


def test_d04_a_fraction_of_a_second_is_given_up() -> None:
    assert reason(token(claims(exp=NOW + 10.5))) is None
    assert reason(token(claims(exp=NOW + 10.5)), now=NOW + 40) is Reason.TOKEN_EXPIRED


def test_d05_a_token_that_lives_too_long_is_refused() -> None:
    assert reason(token(claims(exp=NOW + 10**9))) is Reason.TOKEN_TOO_LONG_LIVED
    assert reason(token(claims(exp=NOW + 300)), max_lifetime=Seconds(300)) is Reason.TOKEN_TOO_LONG_LIVED
    assert reason(token(claims(exp=NOW + 240)), max_lifetime=Seconds(300)) is None
    assert reason(token(claims(iat=..., exp=NOW + 7200))) is Reason.TOKEN_TOO_LONG_LIVED


def test_d06_expiry_counts_the_skew_and_its_boundary_is_refused() -> None:
    text = token(claims(exp=NOW))
    assert reason(text, now=NOW + 29) is None
    assert reason(text, now=NOW + 30) is Reason.TOKEN_EXPIRED
    assert reason(text, now=NOW + 31) is Reason.TOKEN_EXPIRED


@pytest.mark.parametrize("name", ["nbf", "iat"])
def test_d07_a_token_from_the_future_is_not_valid_yet(name: str) -> None:
    assert reason(token(claims(**{name: NOW + 31}))) is Reason.TOKEN_NOT_YET_VALID
    assert reason(token(claims(**{name: NOW + 30}))) is None


@pytest.mark.parametrize(
    "value", [[], "", None, 1, {}, [1, "orders-api"], ["orders-api", None], ["a"] * 10_000, ["orders-api", ""]]
)
def test_d08_an_audience_of_another_kind_is_refused(value: Any) -> None:
    assert reason(token(claims(aud=value))) in {Reason.TOKEN_MALFORMED, Reason.AUDIENCE_MISMATCH}


@pytest.mark.parametrize(
    "value", ["orders-api2", "orders-api.evil", "Orders-API", "orders-api/", "orders-api#a", "orders", ...]
)
def test_d09_an_audience_is_compared_byte_for_byte(value: Any) -> None:
    assert reason(token(claims(aud=value))) is Reason.AUDIENCE_MISMATCH


def test_d10_one_of_several_audiences_is_enough() -> None:
    assert reason(token(claims(aud=["other", "orders-api"]))) is None


def test_a_rule_that_names_audiences_replaces_the_issuers_own() -> None:
    assert reason(token(), audiences=frozenset({"billing"})) is Reason.AUDIENCE_MISMATCH
    assert reason(token(claims(aud="billing")), audiences=frozenset({"billing"})) is None


@pytest.mark.parametrize(
    "value",
    [
        "https://corp.example/",
        "http://corp.example",
        "https://CORP.example",
        "https://c\u043erp.example",
        "https://corp",
    ],
)
def test_d11_an_issuer_is_compared_byte_for_byte(value: str) -> None:
    assert reason(token(claims(iss=value))) is Reason.ISSUER_UNTRUSTED


@pytest.mark.parametrize("value", [..., None, 1, ["https://corp.example"], {}])
def test_d11_an_issuer_that_is_no_text_is_refused(value: Any) -> None:
    assert reason(token(claims(iss=value))) is Reason.TOKEN_MALFORMED


def test_an_alias_of_the_issuer_counts() -> None:
    trust = replace(CORP, aliases=frozenset({"corp.example"}))
    assert reason(token(claims(iss="corp.example")), trust) is None


_GOOD = json.dumps(claims()).encode()
_ODD_PAYLOADS = {
    "d12_aud_twice": _GOOD[:-1] + b',"aud":"orders-api"}', "d12_exp_twice": _GOOD[:-1] + b',"exp":1}',
    "d13_array": b"[]", "d13_text": b'"a"', "d13_number": b"1", "d13_bom": b"\xef\xbb\xbf" + _GOOD,
    "d13_utf16": _GOOD.decode().encode("utf-16"), "d13_surrogate": _GOOD[:-1] + b',"x":"\\ud800"}',
    "d13_trailing": _GOOD + b"x", "d13_two": _GOOD + _GOOD,
    "d14_deep": _GOOD[:-1] + b',"x":' + b"[" * 40 + b"]" * 40 + b"}",
    "d14_digits": _GOOD[:-1] + b',"x":' + b"9" * 5000 + b"}",
}  # fmt: skip


@pytest.mark.parametrize("payload", _ODD_PAYLOADS.values(), ids=_ODD_PAYLOADS.keys())
def test_d_a_payload_with_two_readings_is_refused(payload: bytes) -> None:
    assert reason(token(payload)) is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize("value", ["", 1, None, "x" * 600, []])
def test_d15_a_token_id_that_is_no_short_text_is_refused_where_it_is_needed(value: Any) -> None:
    trust = replace(CORP, required_claims=frozenset({"sub", "jti"}))
    assert reason(token(claims(jti=value)), trust) is Reason.TOKEN_MALFORMED
    assert reason(token(claims(jti=...)), trust) is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize("value", [..., None, 1, "", []])
def test_d16_a_subject_that_is_no_text_is_refused(value: Any) -> None:
    assert reason(token(claims(sub=value))) is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize(
    ("value", "scopes"), [("a  b", {"a", "b"}), (["a", "b"], {"a", "b"}), ("", set()), (..., set()), ([], set())]
)
def test_d17_scopes_come_as_text_or_array(value: Any, scopes: set[str]) -> None:
    verified = verify(token(claims(scope=value)))
    assert isinstance(verified, VerifiedToken)
    assert verified.scopes == scopes


@pytest.mark.parametrize("value", [1, {"a": 1}, [1], True])
def test_d17_scopes_of_another_kind_are_refused(value: Any) -> None:
    assert reason(token(claims(scope=value))) is Reason.TOKEN_MALFORMED


def test_scopes_are_found_where_the_issuer_puts_them() -> None:
    trust = replace(CORP, mapping=ClaimMapping(scope=(ClaimPath("scp"), ClaimPath("/a/b"))))
    verified = verify(token(claims(scope=..., a={"b": "x"})), trust)
    assert isinstance(verified, VerifiedToken)
    assert verified.scopes == frozenset({"x"})


def test_d20_an_id_token_is_told_apart_by_type_or_claim() -> None:
    id_token = token(claims(aud="web", nonce="n"), header(typ="JWT"))
    assert reason(id_token) is Reason.TOKEN_MALFORMED
    lenient = replace(CORP, token_types=frozenset({"jwt"}), claim_equals={ClaimPath("token_use"): "access"})
    assert reason(token(claims(), header(typ="JWT")), lenient) is Reason.TOKEN_MALFORMED
    assert reason(token(claims(token_use="access"), header(typ="JWT")), lenient) is None


@pytest.mark.parametrize(
    ("wanted", "value", "fits"), [(1, 1, True), (1, True, False), (1, "1", False), (True, 1, False)]
)
def test_claim_equals_compares_types_too(wanted: Any, value: Any, fits: bool) -> None:
    trust = replace(CORP, claim_equals={ClaimPath("x"): wanted})
    assert (reason(token(claims(x=value)), trust) is None) == fits


@pytest.mark.parametrize("value", [{}, "x", {"jkt": "abc"}, {"x5t#S256": "abc"}, {"kid": "a"}, None, []])
def test_e01_e20_a_token_bound_to_a_sender_is_refused_while_nobody_confirms_one(value: Any) -> None:
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

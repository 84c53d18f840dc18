"""Key sets are judged key by key, and a key is chosen by (`kid`, `alg`)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.keys.jwk import KeyRules, KeySetRefused, parse_key_set
from extauthz.model.encoding import base64url_encode
from extauthz.model.token import KeyAlgAbsent
from tests.unit.keys.made import (
    ASYMMETRIC,
    LENIENT,
    RULES,
    SECRETS,
    ec_jwk,
    ed_jwk,
    key_set,
    number,
    oct_jwk,
    rsa_jwk,
    rsa_key,
)

GOOD = ec_jwk("good", "good")
# Wycheproof's example of a modulus from the broken generator (CVE-2017-15361), a public number.
ROCA_N = (
    "AanFpofbj7KjD4Lf-N2hVMKR7yewSyXhhbirIMTGpfYEhZ_lnt5UoK98DnKIgArXGTu3MaW_HhFw16HGaTDUHqPrId7fe4r11CqRw09yBFuW79V8"
    "sYIwHdzCaWflUI6auImYbVfoN9_nD5n8N8SY9DwXw7mwZM9wREPXoDPgOoIWl6q_MPsp7n0zs3Z5ZaiQWOOzl1S9OhwAfSiiOwz6efnXEaxuTEtP"
    "d7BjSx7NaFka8Dx9U7YqXy2RFj1O9PjyaDGuRh7YXsX3iMUSP_wSyHQg_c_qHRtKUsNSGCT7OZg0hzm2KphtjnayKJvC64vAbROBR4Ubg6Bxg9IQ"
    "VZ-QYyE"
)


def without(name: str) -> dict[str, Any]:
    return {member: value for member, value in rsa_jwk("bad").items() if member != name}


def why(entry: Any, rules: KeyRules = RULES) -> str:
    """The reason for which an entry is skipped, beside a good key that stays."""
    keys = parse_key_set(key_set(entry, GOOD), rules)
    assert [key.kid for key in keys.keys] == ["good"]
    assert len(keys.skipped) == 1
    return keys.skipped[0].why


UNUSABLE: dict[str, tuple[Any, str]] = {
    "null": (None, "not a JSON object"),
    "a text": ("RSA", "not a JSON object"),
    "an array": ([], "not a JSON object"),
    "no kty": (without("kty"), "`kty` is missing"),
    "an unknown kty": (rsa_jwk("bad", kty="AKP"), "`kty` is `AKP`"),
    "a kty in lower case": (rsa_jwk("bad", kty="rsa"), "`kty` is `rsa`"),
    "a kty that is a list": (rsa_jwk("bad", kty=["RSA"]), "`kty` is no plain text"),
    "a symmetric key": (oct_jwk("bad"), "symmetric"),
    "private d": (rsa_jwk("bad", d="AQAB"), "private members"),
    "private p": (rsa_jwk("bad", p="AQAB"), "private members"),
    "private d of EC": (ec_jwk("bad", d=number(3)), "private members"),
    "private d of OKP": (ed_jwk("bad", d=number(3)), "private members"),
    "k in a public key": (ec_jwk("bad", k=number(3)), "private members"),
    "use enc": (rsa_jwk("bad", use="enc"), "`use` is `enc`; this issuer's `keyUse` accepts `sig`"),
    "no use": (without("use"), "has no `use`"),
    "a certificate alone": (without("n") | {"x5c": ["MIIC"]}, "`n` is missing; the certificate in its `x5c` does not"),
    "an alg that is null": (rsa_jwk("bad") | {"alg": None}, "its `alg` is null; let the issuer leave it out"),
    "a private member that is null": (rsa_jwk("bad") | {"d": None}, "its `d` is null, which belongs to"),
    "an empty use": (rsa_jwk("bad", use=""), "`use` is not a text"),
    "a use that is a list": (rsa_jwk("bad", use=["sig"]), "`use` is not a text"),
    "key_ops encrypt": (rsa_jwk("bad", key_ops=["encrypt"]), "`key_ops`"),
    "key_ops empty": (rsa_jwk("bad", key_ops=[]), "`key_ops`"),
    "key_ops a text": (rsa_jwk("bad", key_ops="verify"), "`key_ops`"),
    "an alg for encryption": (rsa_jwk("bad", alg="RSA-OAEP"), "`alg` is `RSA-OAEP`"),
    "alg none": (rsa_jwk("bad", alg="none"), "`alg` is `none`"),
    "alg HS256": (rsa_jwk("bad", alg="HS256"), "`alg` is `HS256`"),
    "an alg that is a number": (rsa_jwk("bad", alg=256), "`alg` is no plain text"),
    "alg of another type": (rsa_jwk("bad", alg="ES256"), "do not fit `ES256`"),
    "alg of another curve": (ec_jwk("bad", alg="ES384"), "do not fit `ES384`"),
    "no alg": (without("alg"), "`keyAlgAbsent`"),
    "no n": (without("n"), "`n` is missing"),
    "an n that is a number": (rsa_jwk("bad", n=17), "`n` is not a text"),
    "n with padding": (rsa_jwk("bad", n=rsa_jwk()["n"] + "=="), "`n` is not base64url"),
    "n with unused bits": (rsa_jwk("bad", n=rsa_jwk()["n"][:-1] + "B"), "`n` is base64url with unused bits"),
    "a huge n": (rsa_jwk("bad", n="A" * 100_000), "longer than 1400"),
    "RSA of 1024 bits": (rsa_jwk("bad", bits=1024), "1024 bits, allowed are 2048 to 8192"),
    "RSA of 8200 bits": (rsa_jwk("bad", n=number((1 << 8199) + 1)), "8200 bits"),
    "e of 1": (rsa_jwk("bad", e="AQ"), "exponent"),
    "e of 0": (rsa_jwk("bad", e="AA"), "exponent"),
    "an even e": (rsa_jwk("bad", e=number(65536)), "exponent"),
    "a huge e": (rsa_jwk("bad", e=number((1 << 64) + 1)), "exponent"),
    "an even n": (rsa_jwk("bad", n=number(1 << 2047)), "small factor"),
    "n with a small factor": (rsa_jwk("bad", n=number(3 * ((1 << 2047) // 3 * 2 + 1))), "small factor"),
    "a ROCA modulus": (rsa_jwk("bad", n=ROCA_N), "ROCA"),
    "no crv": (ec_jwk("bad", crv="P-256") | {"crv": None}, "`crv` is missing"),
    "secp256k1": (ec_jwk("bad", crv="secp256k1", alg="ES256"), "`crv` is `secp256k1`"),
    "Ed448": (ed_jwk("bad", crv="Ed448"), "`crv` is `Ed448`"),
    "X25519": (ed_jwk("bad", crv="X25519"), "`crv` is `X25519`"),
    "the crv of a longer curve": (ec_jwk("bad") | {"crv": "P-384", "alg": "ES384"}, "48 octets"),
    "a short x": (ec_jwk("bad", x=number(7)), "32 octets"),
    "a point off the curve": (ec_jwk("bad", y=ec_jwk("x", "other")["y"]), "not on the curve `P-256`"),
    "no y": ({m: v for m, v in ec_jwk("bad").items() if m != "y"}, "`y` is missing"),
    "the point 0, 0": (ec_jwk("bad", x="A" * 43, y="A" * 43), "not on the curve"),
    "a short Ed25519 x": (ed_jwk("bad", x="AAAA"), "32 octets"),
    "Ed25519 of order 1": (ed_jwk("bad", x=base64url_encode((1).to_bytes(32, "little"))), "small order"),
    "Ed25519 of order 2": (ed_jwk("bad", x=base64url_encode((2**255 - 20).to_bytes(32, "little"))), "small order"),
    "Ed25519 of order 4": (ed_jwk("bad", x="A" * 43), "small order"),
    "Ed25519 of order 8": (ed_jwk("bad", x="JuiVj8KyJ7BFw_SJ8u-Y8NXfrAXTxjM5sTgCiG1T_AU"), "small order"),
    "Ed25519 beyond the field": (ed_jwk("bad", x=base64url_encode((2**255 - 19).to_bytes(32, "little"))), "curve"),
    "Ed25519 off the curve": (ed_jwk("bad", x=base64url_encode((2).to_bytes(32, "little"))), "not on the curve"),
    "an empty kid": (rsa_jwk(""), "`kid` is not a text"),
    "a kid that is a number": (rsa_jwk(7), "`kid` is not a text"),
    "a kid of 257 characters": (rsa_jwk("k" * 257), "`kid` is not a text"),
    "a kid with a line break": (rsa_jwk("a\nb"), "`kid` is not a text"),
    "a kid outside ASCII": (rsa_jwk("clé"), "`kid` is not a text"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_an_unusable_key_is_skipped_with_a_reason_and_harms_no_other(name: str) -> None:
    entry, reason = UNUSABLE[name]
    assert reason in why(entry)


@pytest.mark.parametrize("name", UNUSABLE)
def test_no_reason_holds_key_material_or_control_characters(name: str) -> None:
    entry, _ = UNUSABLE[name]
    found = why(entry)
    assert found.isprintable()
    members = entry if isinstance(entry, dict) else {}
    for secret in (members.get(member) for member in ("n", "x", "y", "d", "k")):
        assert not (isinstance(secret, str) and len(secret) > 8 and secret in found)


@pytest.mark.parametrize(
    "entry",
    [
        rsa_jwk("k" * 256),
        rsa_jwk("a+/b=="),
        rsa_jwk("-123"),
        rsa_jwk("with a space"),
        rsa_jwk("a", key_ops=["verify"]),
        rsa_jwk("a", key_ops=["sign", "verify"]),
        rsa_jwk("a", alg="PS512"),
        rsa_jwk("a", x5c=["not a certificate"], x5t="AAAA"),
        rsa_jwk("a", e="Aw"),
        rsa_jwk("a", bits=4096),
        ec_jwk("a", crv="P-384", alg="ES384"),
        ec_jwk("a", crv="P-521", alg="ES512"),
        ed_jwk("a"),
        ed_jwk("a", alg="EdDSA"),
    ],
    ids=lambda entry: f"{entry['kid'][:12]} {entry['alg']}",
)
def test_a_good_key_is_used(entry: dict[str, Any]) -> None:
    keys = parse_key_set(key_set(entry), RULES)
    assert keys.skipped == ()
    assert [key.kid for key in keys.find(entry["kid"], entry["alg"])] == [entry["kid"]]


def test_a_key_serves_its_own_algorithm_and_no_other() -> None:
    keys = parse_key_set(key_set(rsa_jwk("a")), RULES)
    assert keys.keys[0].algorithms == {"RS256"}
    assert keys.find("a", "RS512") == ()
    assert keys.find("a", "HS256") == ()
    assert keys.find("a", "none") == ()
    assert keys.find("b", "RS256") == ()


def test_both_names_of_ed25519_mean_the_same_key_where_both_are_allowed() -> None:
    both = parse_key_set(key_set(ed_jwk("a", alg="EdDSA")), RULES)
    assert both.find("a", "Ed25519") == both.find("a", "EdDSA") != ()
    one = parse_key_set(key_set(ed_jwk("a", alg="EdDSA")), KeyRules(algorithms=frozenset({"Ed25519"})))
    assert one.find("a", "Ed25519")
    assert not one.find("a", "EdDSA")


def test_a_key_without_alg_serves_what_its_type_and_the_settings_allow() -> None:
    rules = KeyRules(
        algorithms=frozenset({"RS256", "PS256", "ES384", "HS256"}), alg_absent=KeyAlgAbsent.FROM_ALGORITHMS
    )
    keys = parse_key_set(key_set(rsa_jwk("r", alg=None), ec_jwk("e", alg=None), ec_jwk("f", crv="P-384")), rules)
    assert {key.kid: key.algorithms for key in keys.keys} == {"r": {"RS256", "PS256"}}
    assert [skipped.kid for skipped in keys.skipped] == ["e", "f"]


@pytest.mark.parametrize("use", ["jwt-svid", ""])
def test_a_use_that_the_issuer_allows_is_accepted(use: str) -> None:
    rules = KeyRules(algorithms=ASYMMETRIC, use=frozenset({use}))
    entry = rsa_jwk("a", use=use or None)
    assert parse_key_set(key_set(entry), rules).find("a", "RS256")


def test_a_token_without_kid_gets_at_most_four_keys_that_fit() -> None:
    entries = [ec_jwk(f"k{i}", f"k{i}") for i in range(6)]
    keys = parse_key_set(key_set(rsa_jwk("r"), *entries), RULES)
    assert [key.kid for key in keys.find(None, "ES256")] == ["k0", "k1", "k2", "k3"]
    assert [key.kid for key in keys.find(None, "RS256")] == ["r"]
    assert keys.find(None, "PS256") == ()


def test_a_key_without_kid_is_only_for_tokens_without_kid() -> None:
    keys = parse_key_set(key_set(ec_jwk(None), ec_jwk(None, "other")), RULES)
    assert len(keys.find(None, "ES256")) == 2
    assert keys.find("a", "ES256") == ()
    assert not keys.ambiguous(None, "ES256")


def test_different_keys_of_one_kid_and_alg_are_both_refused() -> None:
    keys = parse_key_set(key_set(ec_jwk("a", "a"), ec_jwk("a", "b"), rsa_jwk("a")), RULES)
    assert keys.find("a", "ES256") == ()
    assert keys.find(None, "ES256") == ()
    assert keys.ambiguous("a", "ES256")
    assert not keys.ambiguous("a", "RS256")
    assert keys.find("a", "RS256")
    assert [(skipped.kid, "`ES256`" in skipped.why) for skipped in keys.skipped] == [("a", True)]


def test_one_kid_for_several_algorithms_is_no_ambiguity() -> None:
    entries = [rsa_jwk("same", name, alg=alg) for name, alg in (("a", "RS256"), ("a", "RS512"), ("b", "PS512"))]
    keys = parse_key_set(key_set(*entries), RULES)
    assert keys.skipped == ()
    assert keys.find("same", "RS256")[0].thumbprint != keys.find("same", "PS512")[0].thumbprint


def test_an_alg_that_two_keys_share_by_absence_is_ambiguous_and_the_rest_stays() -> None:
    keys = parse_key_set(key_set(rsa_jwk("a", "a", alg=None), rsa_jwk("a", "b")), LENIENT)
    assert keys.ambiguous("a", "RS256")
    assert keys.find("a", "RS256") == ()
    assert keys.find("a", "PS256")


@pytest.mark.parametrize("broken", [{"n": "AAAA"}, {"e": "AQ"}, {"d": "AQAB"}], ids=["n", "e", "d"])
def test_a_broken_twin_makes_its_pair_ambiguous(broken: dict[str, Any]) -> None:
    """Two keys lay claim to the pair: which of them the issuer meant is not known."""
    keys = parse_key_set(key_set(GOOD, rsa_jwk("a", "a"), rsa_jwk("a", "b", **broken)), RULES)
    assert keys.ambiguous("a", "RS256")
    assert keys.find("a", "RS256") == ()


def test_a_key_for_another_use_makes_no_ambiguity() -> None:
    keys = parse_key_set(key_set(rsa_jwk("a", "a"), rsa_jwk("a", "b", use="enc")), RULES)
    assert keys.find("a", "RS256")
    assert not keys.ambiguous("a", "RS256")


def test_equal_keys_are_one_key() -> None:
    keys = parse_key_set(key_set(rsa_jwk("a"), rsa_jwk("a", x5t="AAAA"), rsa_jwk("a", alg="RS512")), RULES)
    assert [key.algorithms for key in keys.keys] == [{"RS256", "RS512"}]
    assert keys.skipped == ()


def test_symmetric_keys_count_only_where_they_are_allowed_and_long_enough() -> None:
    entries = [oct_jwk("a", 32), oct_jwk("b", 31), oct_jwk("c", 47, "HS384"), oct_jwk("d", 64, "HS512")]
    keys = parse_key_set(key_set(*entries, oct_jwk("e", 0)), SECRETS)
    assert [key.kid for key in keys.keys] == ["a", "d"]
    assert [skipped.kid for skipped in keys.skipped] == ["b", "c", "e"]
    assert "31 octets, `HS256` needs at least 32" in keys.skipped[0].why


def test_a_set_of_secrets_alone_is_refused_where_they_are_not_allowed() -> None:
    with pytest.raises(KeySetRefused, match="whoever read the set can sign"):
        parse_key_set(key_set(oct_jwk("a")), KeyRules(algorithms=SECRETS.algorithms))


def test_a_symmetric_key_without_alg_serves_what_it_is_long_enough_for() -> None:
    rules = KeyRules(algorithms=SECRETS.algorithms, alg_absent=KeyAlgAbsent.FROM_ALGORITHMS, symmetric=True)
    assert parse_key_set(key_set(oct_jwk("a", 50, alg=None)), rules).keys[0].algorithms == {"HS256", "HS384"}


def test_a_set_that_mixes_secrets_and_public_keys_has_no_secrets() -> None:
    both = KeyRules(algorithms=ASYMMETRIC | SECRETS.algorithms, symmetric=True)
    keys = parse_key_set(key_set(oct_jwk("a"), ec_jwk("b")), both)
    assert [key.kid for key in keys.keys] == ["b"]
    with pytest.raises(KeySetRefused, match="symmetric among public keys"):
        parse_key_set(key_set(oct_jwk("a"), ec_jwk("b")), SECRETS)


def test_a_secret_is_in_no_text_of_its_key() -> None:
    entry = oct_jwk("a")
    keys = parse_key_set(key_set(entry), SECRETS)
    assert entry["k"] not in repr(keys)
    assert repr(bytes(range(32))) not in repr(keys)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (b"", "no JSON key set"),
        (b"not json", "no JSON key set"),
        (b"[]", "not a JSON object"),
        (b"{}", "`{}`; give the issuer an asymmetric signing key"),
        (b'{"keys":{}}', "`keys` is not an array"),
        (b'{"keys":null}', "`keys` is not an array"),
        (b'{"keys":[]}', "`keys` is empty"),
        (b'{"jwks":[]}', "`keys` is missing"),
        (json.dumps(rsa_jwk()).encode(), "it is a single key"),
        (b'{"a":"-----BEGIN CERTIFICATE-----"}', "map of certificates"),
        (b"-----BEGIN PUBLIC KEY-----\nMFkw", "it is a key or certificate in PEM"),
        (b"\n <!DOCTYPE html><html></html>", "HTML"),
        (b'\xef\xbb\xbf{"keys":[]}', "byte order mark"),
        (b'{"keys":[],"keys":[]}', "twice"),
        (key_set(None), "`entry 1`: it is not a JSON object"),
        (key_set(*[rsa_jwk("a", use="enc")] * 12), "and 2 more"),
        (key_set(*range(101)), "101 keys, allowed are 100"),
        (key_set(*range(10_000)), "10000 keys"),
        (b" " * (1 << 20) + key_set(GOOD), "larger than 1048576 octets"),
        (b'{"keys":' + b"[" * 20_000 + b"]" * 20_000 + b"}", "nested"),
    ],
    ids=lambda value: str(value[:24]),
)
def test_what_is_no_key_set_is_refused_with_a_reason(document: bytes, reason: str) -> None:
    with pytest.raises(KeySetRefused) as refused:
        parse_key_set(document, RULES)
    assert reason in str(refused.value)


def test_a_set_of_a_hundred_keys_is_read() -> None:
    entries = [ec_jwk(f"k{i}", str(i % 5)) for i in range(100)]
    assert len(parse_key_set(key_set(*entries), RULES).keys) == 100


def test_the_order_of_the_document_never_matters() -> None:
    entries = [ec_jwk("a"), ec_jwk("b", "b"), rsa_jwk("c"), ed_jwk("d"), ec_jwk(None, "e")]
    forward, backward = (parse_key_set(key_set(*order), RULES) for order in (entries, entries[::-1]))
    assert forward == backward
    assert forward.find(None, "ES256") == backward.find(None, "ES256")


def test_the_generation_tells_sets_with_other_usable_keys_apart_and_no_others() -> None:
    one = parse_key_set(key_set(ec_jwk("a")), RULES).generation
    assert parse_key_set(key_set(ec_jwk("a", x5t="AAAA"), rsa_jwk("b", use="enc")), RULES).generation == one
    others = [[ec_jwk("b")], [ec_jwk("a", "b")], [ec_jwk("a"), rsa_jwk("b")], [ec_jwk(None)]]
    generations = {parse_key_set(key_set(*entries), RULES).generation for entries in others}
    assert len(generations | {one}) == 5


def test_honest_moduli_have_no_fingerprint_of_the_broken_generator() -> None:
    entries = [rsa_jwk(f"k{i}", f"roca{i}") for i in range(3)]
    assert rsa_key("roca0") is not rsa_key("roca1")
    assert len(parse_key_set(key_set(*entries), RULES).keys) == 3


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
MEMBERS = st.sampled_from(["kty", "kid", "use", "key_ops", "alg", "crv", "x", "y", "n", "e", "k", "d"])
BASES = st.sampled_from([rsa_jwk(), ec_jwk(), ed_jwk(), oct_jwk()])


@given(BASES, st.dictionaries(MEMBERS, JSON, max_size=3))
def test_no_entry_whatever_it_holds_harms_the_key_beside_it(base: dict[str, Any], changes: dict[str, Any]) -> None:
    for rules in (RULES, LENIENT):
        keys = parse_key_set(key_set(base | changes, GOOD), rules)
        assert keys.find("good", "ES256")[0].thumbprint


@given(st.binary(max_size=200))
def test_arbitrary_octets_are_refused_and_nothing_else_is_raised(document: bytes) -> None:
    with pytest.raises(KeySetRefused):
        parse_key_set(document, RULES)

"""The examples of RFC 7520, RFC 8037 and RFC 7797 with their keys, held against our reader of tokens.

They are read where they lie, never copied: beside the repository, or where TEST_VECTORS says. Their payloads are no
JSON, so what is tested is the form, the header, the choice of the key and the signature.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from extauthz.keys.jwk import KeyRules, KeySetRefused, parse_key_set, signature_holds
from extauthz.model.encoding import base64url_encode
from extauthz.model.reason import Reason
from extauthz.model.token import KeyAlgAbsent
from extauthz.model.verdict import Refusal
from extauthz.tokens.jws import Jws, parse_jws
from tests.vectors.published import VECTORS, absent

FOLDER = VECTORS / "jose-cookbook"
PRESENT = FOLDER.is_dir()

pytestmark = pytest.mark.skipif(not PRESENT, reason=absent(FOLDER))

COMPACT = (
    "jws/4_1.rsa_v15_signature.json",
    "jws/4_2.rsa-pss_signature.json",
    "jws/4_3.ecdsa_signature.json",
    "jws/4_4.hmac-sha2_integrity_protection.json",
    "curve25519/jws.json",
)
"""Examples in compact form with an attached payload: those that a bearer token could be."""

PRIVATE = ("d", "p", "q", "dp", "dq", "qi")


def example(name: str) -> dict[str, Any]:
    """One example file."""
    found: dict[str, Any] = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    return found


def rules(alg: str) -> KeyRules:
    """The rules of an issuer that uses one algorithm and need not say so in its keys."""
    return KeyRules(frozenset({alg}), KeyAlgAbsent.FROM_ALGORITHMS, frozenset({"sig", ""}), symmetric=alg[:2] == "HS")


def holds(text: str, jwk: dict[str, Any], alg: str) -> bool:
    """Whether a token in compact form is well formed and signed with the key."""
    jws = parse_jws(text)
    if isinstance(jws, Refusal):
        assert jws.reason is Reason.TOKEN_MALFORMED
        return False
    keys = parse_key_set(json.dumps({"keys": [jwk]}).encode(), rules(alg)).find(jws.kid, jws.alg)
    return any(signature_holds(key, jws.alg, jws.signing_input, jws.signature) for key in keys)


def public(jwk: dict[str, Any]) -> dict[str, Any]:
    """The half of a key that an issuer publishes."""
    return {name: value for name, value in jwk.items() if name not in PRIVATE}


def compact_forms(output: dict[str, Any]) -> list[str]:
    """Every form of a result, put together as if it were a compact token."""
    forms = [json.dumps(output[name]) for name in ("json", "json_flat") if name in output]
    if "compact" in output:
        forms.append(output["compact"])
    whole = output.get("json", {})
    parts = [(each["protected"], each["signature"]) for each in whole.get("signatures", []) if "protected" in each]
    return forms + [f"{protected}.{whole.get('payload', '')}.{signature}" for protected, signature in parts]


def files(folder: str) -> list[str]:
    """The examples in a folder; none where there are no vectors."""
    return sorted(str(file.relative_to(FOLDER)) for file in (FOLDER / folder).glob("*.json"))


@pytest.mark.parametrize("name", COMPACT)
def test_a_compact_example_verifies_with_its_key_and_no_other(name: str) -> None:
    found = example(name)
    text, jwk, alg = found["output"]["compact"], public(found["input"]["key"]), found["input"]["alg"]
    jws = parse_jws(text)
    assert isinstance(jws, Jws)
    assert jws.signing_input.decode() == found["signing"]["sig-input"]
    assert (jws.alg, jws.kid) == (alg, found["signing"]["protected"].get("kid"))
    assert holds(text, jwk, alg)
    others = [example(other)["input"] for other in COMPACT if other != name]
    assert not any(holds(text, public(other["key"]), other["alg"]) for other in others)


@pytest.mark.parametrize("name", COMPACT)
def test_a_compact_example_with_any_octet_of_its_signature_changed_is_refused(name: str) -> None:
    found = example(name)
    jwk, alg = public(found["input"]["key"]), found["input"]["alg"]
    jws = parse_jws(found["output"]["compact"])
    assert isinstance(jws, Jws)
    signed = jws.signing_input.decode()
    for at in range(len(jws.signature)):
        changed = jws.signature[:at] + bytes([jws.signature[at] ^ 1]) + jws.signature[at + 1 :]
        assert not holds(f"{signed}.{base64url_encode(changed)}", jwk, alg)


@pytest.mark.parametrize("name", COMPACT)
def test_an_example_in_json_form_is_refused(name: str) -> None:
    output = example(name)["output"]
    for form in (output["json"], output["json_flat"]):
        assert isinstance(parse_jws(json.dumps(form)), Refusal)


def test_a_detached_payload_is_refused() -> None:
    found = example("jws/4_5.signature_with_detached_content.json")
    assert isinstance(parse_jws(found["output"]["compact"]), Refusal)


@pytest.mark.parametrize(
    "name", ["jws/4_6.protecting_specific_header_fields.json", "jws/4_7.protecting_content_only.json"]
)
def test_headers_that_are_not_signed_make_no_token(name: str) -> None:
    found = example(name)
    jwk, alg = found["input"]["key"], found["input"]["alg"]
    assert not any(holds(form, jwk, alg) for form in compact_forms(found["output"]) if form.startswith("{"))


@pytest.mark.parametrize("name", files("rfc7797"))
def test_every_form_of_an_unencoded_payload_is_refused(name: str) -> None:
    found = example(name)
    forms = compact_forms(found["output"])
    assert len(forms) >= 2
    assert not any(holds(form, found["input"]["key"], "HS256") for form in forms)


@pytest.mark.parametrize("name", ["jwk/3_2.ec_private_key.json", "jwk/3_4.rsa_private_key.json"])
def test_a_private_key_in_a_key_set_is_refused(name: str) -> None:
    alg = "ES512" if "ec" in name else "RS256"
    with pytest.raises(KeySetRefused, match="private"):
        parse_key_set(json.dumps({"keys": [example(name)]}).encode(), rules(alg))


@pytest.mark.parametrize(
    ("name", "alg"), [("jwk/3_1.ec_public_key.json", "ES512"), ("jwk/3_3.rsa_public_key.json", "RS256")]
)
def test_a_public_key_is_the_one_of_the_private_example(name: str, alg: str) -> None:
    private = name.replace("3_1", "3_2").replace("3_3", "3_4").replace("public", "private")
    keys = [
        parse_key_set(json.dumps({"keys": [jwk]}).encode(), rules(alg))
        for jwk in map(public, map(example, (name, private)))
    ]
    assert keys[0].keys[0].thumbprint == keys[1].keys[0].thumbprint
    assert keys[0].generation == keys[1].generation

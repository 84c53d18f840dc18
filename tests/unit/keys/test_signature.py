"""A signature holds for the key, the algorithm, the message and the octets that it was made with, and no others."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from hypothesis import given
from hypothesis import strategies as st

from extauthz.keys.algorithm import ALGORITHMS
from extauthz.keys.jwk import Key, parse_key_set, signature_holds
from extauthz.model.encoding import base64url_decode
from tests.unit.keys.made import (
    LENIENT,
    RULES,
    SECRETS,
    SIGNING_INPUT,
    ec_jwk,
    ec_key,
    ed_jwk,
    ed_key,
    key_set,
    oct_jwk,
    rsa_jwk,
    rsa_key,
    sign,
)

CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
P256_ORDER = ec.SECP256R1().group_order


def pair(alg: str) -> tuple[Key, Any]:
    """A key for the algorithm, read from a key set, and what signs for it."""
    if alg[:2] in {"RS", "PS"}:
        return parse_key_set(key_set(rsa_jwk(alg=alg)), RULES).keys[0], rsa_key()
    if alg in CURVES:
        crv = CURVES[alg]
        return parse_key_set(key_set(ec_jwk(crv=crv, alg=alg)), RULES).keys[0], ec_key("a", crv)
    if alg.startswith("Ed"):
        return parse_key_set(key_set(ed_jwk(alg=alg)), RULES).keys[0], ed_key()
    octets = ALGORITHMS[alg].key_octets
    return parse_key_set(key_set(oct_jwk(octets=octets, alg=alg)), SECRETS).keys[0], bytes(range(octets))


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_right_signature_holds(alg: str) -> None:
    key, signer = pair(alg)
    assert signature_holds(key, alg, SIGNING_INPUT, sign(alg, signer))


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_another_message_does_not_hold(alg: str) -> None:
    key, signer = pair(alg)
    assert not signature_holds(key, alg, SIGNING_INPUT + b"A", sign(alg, signer))
    assert not signature_holds(key, alg, b"", sign(alg, signer))


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_signature_of_another_length_does_not_hold(alg: str) -> None:
    key, signer = pair(alg)
    signature = sign(alg, signer)
    for other in (b"", signature[:-1], signature + b"\0", b"\0" + signature, signature * 2):
        assert not signature_holds(key, alg, SIGNING_INPUT, other)


@pytest.mark.parametrize("alg", ALGORITHMS)
@pytest.mark.parametrize("other", [*ALGORITHMS, "none", "None", "", "ES256K", "Ed448", "hs256"])
def test_a_key_is_used_with_its_own_algorithm_only(alg: str, other: str) -> None:
    key, signer = pair(alg)
    if {alg, other} != {"EdDSA", "Ed25519"} and alg != other:
        assert not signature_holds(key, other, SIGNING_INPUT, sign(alg, signer))


def test_a_public_key_is_no_secret() -> None:
    """The key confusion attack: an HMAC made with what everybody can read."""
    key, _ = pair("RS256")
    public = base64url_decode(rsa_jwk()["n"])
    assert not signature_holds(key, "HS256", SIGNING_INPUT, sign("HS256", public))


def test_the_twin_of_an_ecdsa_signature_holds_too_as_the_mathematics_has_it() -> None:
    """So a signature is no name of a token: whoever counts uses must not count by it."""
    key, signer = pair("ES256")
    signature = sign("ES256", signer)
    twin = signature[:32] + (P256_ORDER - int.from_bytes(signature[32:])).to_bytes(32)
    assert signature_holds(key, "ES256", SIGNING_INPUT, twin)


@pytest.mark.parametrize("r", [0, 1, P256_ORDER - 1, P256_ORDER, 2**256 - 1])
@pytest.mark.parametrize("s", [0, 1, P256_ORDER - 1, P256_ORDER, 2**256 - 1])
def test_numbers_at_the_edges_make_no_ecdsa_signature(r: int, s: int) -> None:
    key, _ = pair("ES256")
    assert not signature_holds(key, "ES256", SIGNING_INPUT, r.to_bytes(32) + s.to_bytes(32))


def test_a_number_at_or_beyond_the_order_is_refused_before_any_arithmetic() -> None:
    """A tiny r has a second form r + n that fits the octets: only the range check tells them apart."""
    key = Key("a", frozenset({"ES256"}), object(), "")
    assert not signature_holds(key, "ES256", SIGNING_INPUT, P256_ORDER.to_bytes(32) + (1).to_bytes(32))
    assert not signature_holds(key, "ES256", SIGNING_INPUT, bytes(64))


def test_a_der_signature_does_not_hold() -> None:
    key, signer = pair("ES256")
    assert not signature_holds(key, "ES256", SIGNING_INPUT, signer.sign(SIGNING_INPUT, ec.ECDSA(hashes.SHA256())))


@pytest.mark.parametrize("salt", [0, 20, 31, 33, 64, padding.PSS.MAX_LENGTH])
def test_a_salt_of_another_length_does_not_hold(salt: int) -> None:
    key, signer = pair("PS256")
    scheme = padding.PSS(padding.MGF1(hashes.SHA256()), salt)
    assert not signature_holds(key, "PS256", SIGNING_INPUT, signer.sign(SIGNING_INPUT, scheme, hashes.SHA256()))


def test_another_hash_in_the_mask_does_not_hold() -> None:
    key, signer = pair("PS256")
    scheme = padding.PSS(padding.MGF1(hashes.SHA1()), 32)
    assert not signature_holds(key, "PS256", SIGNING_INPUT, signer.sign(SIGNING_INPUT, scheme, hashes.SHA256()))


def test_a_signature_that_is_the_modulus_or_more_does_not_hold() -> None:
    key, _ = pair("RS256")
    modulus = base64url_decode(rsa_jwk()["n"])
    for signature in (modulus, b"\xff" * 256, bytes(256), bytes(255) + b"\1"):
        assert not signature_holds(key, "RS256", SIGNING_INPUT, signature)


# RFC 7515, appendices A.2 and A.3: keys, header and payload, signatures.
PAYLOAD = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
A2_KEY = {
    "kty": "RSA",
    "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZ"
    "S-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2Ca"
    "pHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h"
    "4FRWyuXpoQ",
    "e": "AQAB",
}
A2_SIGNATURE = (
    "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t"
    "1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12j"
    "zDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQ"
    "Ge77Rw"
)
A3_KEY = {
    "kty": "EC",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}
A3_SIGNATURE = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
# RFC 8037, appendix A.4
A4_KEY = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
A4_INPUT = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
A4_SIGNATURE = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"


@pytest.mark.parametrize(
    ("jwk", "alg", "signing_input", "signature"),
    [
        (A2_KEY, "RS256", b"eyJhbGciOiJSUzI1NiJ9." + PAYLOAD.encode(), A2_SIGNATURE),
        (A3_KEY, "ES256", b"eyJhbGciOiJFUzI1NiJ9." + PAYLOAD.encode(), A3_SIGNATURE),
        (A4_KEY, "EdDSA", A4_INPUT, A4_SIGNATURE),
    ],
    ids=["RFC 7515 A.2", "RFC 7515 A.3", "RFC 8037 A.4"],
)
def test_the_examples_of_the_standards_hold(
    jwk: dict[str, str], alg: str, signing_input: bytes, signature: str
) -> None:
    (key,) = parse_key_set(key_set(jwk), LENIENT).find(None, alg)
    assert signature_holds(key, alg, signing_input, base64url_decode(signature))
    assert not signature_holds(key, alg, signing_input + b"A", base64url_decode(signature))


@given(st.sampled_from(sorted(ALGORITHMS)), st.sampled_from([*ALGORITHMS, "none"]), st.binary(max_size=300))
def test_arbitrary_octets_never_hold_and_never_raise(alg: str, other: str, signature: bytes) -> None:
    key, _ = pair(alg)
    assert not signature_holds(key, other, SIGNING_INPUT, signature)
    assert not signature_holds(key, alg, SIGNING_INPUT, signature[:64].ljust(64, b"\1"))

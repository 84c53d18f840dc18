"""Examples out of the RFCs themselves: tokens that must verify, and forms that must not be taken.

RFC 7515 (appendix A), RFC 7519 (sections 3.1 and 6.1), RFC 7516 (appendix A.1), RFC 8037 (appendix A), RFC 7797
(section 4) and RFC 6750 (section 2).
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from extauthz.keys.jwk import KeyRules, parse_key_set, signature_holds
from extauthz.keys.jwks import KeyState
from extauthz.model.reason import Reason
from extauthz.model.time import Instant, Seconds
from extauthz.model.token import (
    ClaimMapping,
    ClaimPath,
    Credential,
    Demand,
    IssuerRef,
    KeyAlgAbsent,
    Slot,
    SlotKind,
    Trust,
    VerifiedToken,
)
from extauthz.model.verdict import Refusal
from extauthz.tokens.credential import find_credential
from extauthz.tokens.jws import Jws, parse_jws
from extauthz.tokens.verify import Verifier
from tests.building import view

SLOT = Slot(SlotKind.AUTHORIZATION, "authorization")
EXPIRES = 1_300_819_380

# {"iss":"joe", "exp":1300819380, "http://example.com/is_root":true}, with line ends inside.
JOE = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"

HS256_KEY = {
    "kty": "oct",
    "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
}
HS256_TOKEN = f"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{JOE}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"

RS256_KEY = {
    "kty": "RSA",
    "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2l"
    "ZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2Ca"
    "pHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4"
    "FRWyuXpoQ",
    "e": "AQAB",
}
RS256_TOKEN = (
    f"eyJhbGciOiJSUzI1NiJ9.{JOE}.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt"
    "_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZ"
    "RmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWk"
    "WywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
)

ES256_KEY = {
    "kty": "EC",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}
ES256_TOKEN = (
    f"eyJhbGciOiJFUzI1NiJ9.{JOE}.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
)

ED25519_KEY = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
ED25519_TOKEN = (
    "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
    ".hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
)

UNSIGNED = f"eyJhbGciOiJub25lIn0.{JOE}."

SIGNED = {
    "HS256": (HS256_KEY, HS256_TOKEN),
    "RS256": (RS256_KEY, RS256_TOKEN),
    "ES256": (ES256_KEY, ES256_TOKEN),
    "EdDSA": (ED25519_KEY, ED25519_TOKEN),
}


def rules(alg: str) -> KeyRules:
    """The rules of an issuer that uses one algorithm, and whose keys say neither `alg` nor `use`."""
    return KeyRules(frozenset({alg}), KeyAlgAbsent.FROM_ALGORITHMS, frozenset({""}), symmetric=alg == "HS256")


def joe(alg: str) -> Trust:
    """An issuer whose tokens hold what the examples hold, and not more: `iss` has to do for an audience."""
    return Trust(
        ref=IssuerRef("TokenIssuer", "shop", "joe"),
        issuer="joe",
        algorithms=frozenset({alg}),
        audiences=frozenset({"joe"}),
        max_lifetime=Seconds(3600),
        clock_skew=Seconds(0),
        token_types=frozenset({"jwt", ""}),
        required_claims=frozenset(),
        claim_equals={ClaimPath("http://example.com/is_root"): True},
        claim_present=frozenset(),
        mapping=ClaimMapping(audience=(ClaimPath("iss"),)),
    )


def verify(alg: str, key: dict[str, Any], text: str, now: float) -> VerifiedToken | Refusal:
    """Verify a token that joe may have issued."""
    trust = joe(alg)
    keys = parse_key_set(json.dumps({"keys": [key]}).encode(), rules(alg))
    demand = Demand(slot=SLOT, issuers=(trust,))
    state = KeyState(keys, Instant(now + 3600), Instant(now), None)
    return Verifier().verify(Credential(text, SLOT), demand, {trust.ref: state}, Instant(now))


@pytest.mark.parametrize("alg", SIGNED)
def test_the_signature_of_an_example_holds(alg: str) -> None:
    key, text = SIGNED[alg]
    keys = parse_key_set(json.dumps({"keys": [key]}).encode(), rules(alg))
    jws = parse_jws(text)
    assert isinstance(jws, Jws)
    (found,) = keys.find(jws.kid, jws.alg)
    assert signature_holds(found, jws.alg, jws.signing_input, jws.signature)
    assert not signature_holds(found, jws.alg, jws.signing_input + b"A", jws.signature)


@pytest.mark.parametrize("alg", ["HS256", "RS256", "ES256"])
def test_the_claims_of_joe_are_accepted_until_they_expire(alg: str) -> None:
    key, text = SIGNED[alg]
    verified = verify(alg, key, text, EXPIRES - 1)
    assert isinstance(verified, VerifiedToken)
    assert (verified.window.opens, verified.window.closes) == (Instant(0.0), Instant(EXPIRES))
    late = verify(alg, key, text, EXPIRES)
    assert isinstance(late, Refusal)
    assert late.reason is Reason.TOKEN_EXPIRED


def test_a_payload_that_is_no_json_is_no_token() -> None:
    refusal = verify("EdDSA", ED25519_KEY, ED25519_TOKEN, EXPIRES - 1)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize("text", [UNSIGNED, f"{UNSIGNED}{HS256_TOKEN.rpartition('.')[2]}"])
def test_an_unsecured_token_is_refused(text: str) -> None:
    refusal = verify("HS256", HS256_KEY, text, EXPIRES - 1)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.TOKEN_MALFORMED


# Header of RFC 7516, appendix A.1: {"alg":"RSA-OAEP","enc":"A256GCM"}. The other four segments may hold anything.
JWE_HEADER = "eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ"


def test_an_encrypted_token_is_refused_and_called_one() -> None:
    refusal = parse_jws(f"{JWE_HEADER}.OKOa.48V1.5eym.XFBo")
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.TOKEN_MALFORMED
    assert "encrypted" in refusal.detail
    three = parse_jws(f"{JWE_HEADER}.OKOa.48V1")
    assert isinstance(three, Refusal)
    assert "`enc`" in three.detail


@pytest.mark.parametrize(
    "text",
    [
        # RFC 7797, sections 4.1 and 4.2: {"alg":"HS256"} with a detached payload, and b64 false with crit.
        "eyJhbGciOiJIUzI1NiJ9..5mvfOroL-g7HyqJoozehmsaqmvTYGEq5jTI1gVvoEoQ",
        "eyJhbGciOiJIUzI1NiIsImI2NCI6ZmFsc2UsImNyaXQiOlsiYjY0Il19..A5dxf2s96_n5FLueVuW1Z_vh161FwXZC4YLPff6dmDY",
        "eyJhbGciOiJIUzI1NiIsImI2NCI6ZmFsc2UsImNyaXQiOlsiYjY0Il19.JC4wMg.A5dxf2s96_n5FLueVuW1Z_vh161FwXZC4YLPff6dmDY",
    ],
)
def test_a_detached_or_unencoded_payload_is_refused(text: str) -> None:
    refusal = parse_jws(text)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.TOKEN_MALFORMED


def test_the_bearer_header_of_the_rfc_is_found_and_is_no_jwt() -> None:
    found = find_credential(view("/resource", headers={"authorization": "Bearer mF_9.B5f-4.1JqM"}), SLOT)
    assert found == Credential("mF_9.B5f-4.1JqM", SLOT)
    assert isinstance(parse_jws("mF_9.B5f-4.1JqM"), Refusal)


def test_the_query_parameter_of_the_rfc_counts_only_where_a_rule_asks_for_it() -> None:
    request = view("/resource?access_token=mF_9.B5f-4.1JqM")
    asked = Slot(SlotKind.QUERY, "access_token")
    assert find_credential(request, asked) == Credential("mF_9.B5f-4.1JqM", asked)
    absent = find_credential(request, SLOT)
    assert isinstance(absent, Refusal)
    assert absent.reason is Reason.CREDENTIAL_ABSENT

"""Thumbprints, by the examples of their standards."""

from __future__ import annotations

import json

from extauthz.keys.jwk import parse_key_set
from extauthz.keys.thumbprint import thumbprint
from tests.unit.keys.made import LENIENT, SECRETS, key_set, oct_jwk

# RFC 7638, section 3.1
RFC7638_N = (
    "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknj"
    "hMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQ"
    "vRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzK"
    "nqDKgw"
)
RFC7638_KEY = {"kty": "RSA", "n": RFC7638_N, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}
RFC7638_THUMBPRINT = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
# RFC 8037, appendices A.2 and A.3
RFC8037_KEY = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
RFC8037_THUMBPRINT = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_the_example_of_rfc_7638_holds() -> None:
    assert thumbprint({"e": "AQAB", "kty": "RSA", "n": RFC7638_N}) == RFC7638_THUMBPRINT
    assert parse_key_set(key_set(RFC7638_KEY), LENIENT).keys[0].thumbprint == RFC7638_THUMBPRINT


def test_the_example_of_rfc_8037_holds() -> None:
    assert parse_key_set(key_set(RFC8037_KEY), LENIENT).keys[0].thumbprint == RFC8037_THUMBPRINT


def test_leading_zeros_of_a_modulus_change_no_thumbprint() -> None:
    padded = RFC7638_KEY | {"n": "AAAA" + RFC7638_N}
    assert parse_key_set(key_set(padded), LENIENT).keys[0].thumbprint == RFC7638_THUMBPRINT


def test_the_thumbprint_of_a_secret_tells_nothing_of_it() -> None:
    key = oct_jwk()
    found = parse_key_set(key_set(key), SECRETS).keys[0].thumbprint
    assert found != thumbprint({"k": key["k"], "kty": "oct"})
    assert found == parse_key_set(key_set(key), SECRETS).keys[0].thumbprint
    assert key["k"] not in json.dumps(found)

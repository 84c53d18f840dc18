"""An issuer for tests: keys of each kind, and tokens good and hostile, built by hand so that nothing is mended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from extauthz.keys.jwk import KeyRules, parse_key_set
from extauthz.keys.jwks import KeyState
from extauthz.model.encoding import base64url_encode
from extauthz.model.time import Instant
from extauthz.model.token import KeyAlgAbsent, Trust
from tests.building import NOW, TRUST

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ISSUER = "https://corp.example"


@cache
def rsa_key(name: str) -> rsa.RSAPrivateKey:
    """One RSA key for each name, made once."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def ec_key(name: str) -> ec.EllipticCurvePrivateKey:
    """One P-256 key for each name, made once."""
    return ec.generate_private_key(ec.SECP256R1())


@cache
def ed_key(name: str) -> ed25519.Ed25519PrivateKey:
    """One Ed25519 key for each name, made once."""
    return ed25519.Ed25519PrivateKey.generate()


def _number(value: int, size: int) -> str:
    return base64url_encode(value.to_bytes(size, "big"))


def jwks(*names: str) -> dict[str, Any]:
    """A key set of the named keys: `rsa…`, `ec…` or `ed…`; each name is its `kid`."""
    return {"keys": [jwk(name) for name in names or ("rsa", "ec", "ed")]}


def jwk(name: str) -> dict[str, Any]:
    """One public key."""
    if name.startswith("rsa"):
        numbers = rsa_key(name).public_key().public_numbers()
        members = {"kty": "RSA", "alg": "RS256", "n": _number(numbers.n, 256), "e": "AQAB"}
    elif name.startswith("ec"):
        point = ec_key(name).public_key().public_numbers()
        members = {"kty": "EC", "alg": "ES256", "crv": "P-256", "x": _number(point.x, 32), "y": _number(point.y, 32)}
    else:
        raw = ed_key(name).public_key().public_bytes_raw()
        members = {"kty": "OKP", "alg": "EdDSA", "crv": "Ed25519", "x": base64url_encode(raw)}
    return {"kid": name, "use": "sig", **members}


def claims(**more: Any) -> dict[str, Any]:
    """The claims of a good token (RFC 9068); `...` takes one away."""
    said = {
        "iss": ISSUER,
        "sub": "alice",
        "client_id": "web",
        "aud": "orders-api",
        "iat": NOW - 60,
        "exp": NOW + 300,
        "jti": "id-1",
        "scope": "orders.read orders.write",
        **more,
    }
    return {name: value for name, value in said.items() if value is not ...}


def header(alg: Any = "RS256", kid: Any = "rsa", **more: Any) -> dict[str, Any]:
    """The header of a good token; `...` takes a member away."""
    return {
        name: value for name, value in {"alg": alg, "typ": "at+jwt", "kid": kid, **more}.items() if value is not ...
    }


def sign(signing_input: bytes, key: str = "rsa", alg: str = "RS256") -> bytes:
    """A signature in the form of RFC 7518, section 3."""
    if key.startswith("rsa"):
        scheme = padding.PSS(padding.MGF1(hashes.SHA256()), 32) if alg == "PS256" else padding.PKCS1v15()
        return rsa_key(key).sign(signing_input, scheme, hashes.SHA256())
    if key.startswith("ec"):
        r, s = decode_dss_signature(ec_key(key).sign(signing_input, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return ed_key(key).sign(signing_input)


def compact(head: bytes, payload: bytes, key: str = "rsa", alg: str = "RS256") -> str:
    """A compact JWS of these very bytes."""
    signing_input = f"{base64url_encode(head)}.{base64url_encode(payload)}"
    return f"{signing_input}.{base64url_encode(sign(signing_input.encode(), key, alg))}"


def token(
    said: Mapping[str, Any] | bytes | None = None, head: Mapping[str, Any] | bytes | None = None, key: str = "rsa"
) -> str:
    """A token, good by default. A mapping is written as JSON, bytes stand as they are."""
    algs = {"rs": "RS256", "ec": "ES256", "ed": "EdDSA"}
    alg = algs[key[:2]]
    first = header(alg, key) if head is None else head
    second = claims() if said is None else said
    return compact(
        first if isinstance(first, bytes) else json.dumps(first).encode(),
        second if isinstance(second, bytes) else json.dumps(second).encode(),
        key,
    )


def hmac_token(secret: bytes, head: Mapping[str, Any] | None = None, said: Mapping[str, Any] | None = None) -> str:
    """A good token but for being signed with HS256 under `secret`."""
    first = json.dumps(header("HS256") if head is None else head).encode()
    signing_input = (
        f"{base64url_encode(first)}.{base64url_encode(json.dumps(claims() if said is None else said).encode())}"
    )
    mac = hmac.HMAC(secret, hashes.SHA256())
    mac.update(signing_input.encode())
    return f"{signing_input}.{base64url_encode(mac.finalize())}"


def with_signature(text: str, signature: bytes) -> str:
    """The same token with another signature."""
    return f"{text.rpartition('.')[0]}.{base64url_encode(signature)}"


CORP = replace(TRUST, algorithms=frozenset({"RS256", "ES256", "EdDSA"}))
"""Trust in this issuer, whichever of its keys signs."""


def state(*names: str, raw: Mapping[str, Any] | None = None, trust: Trust = CORP) -> KeyState:
    """The keys of an issuer, just fetched."""
    rules = KeyRules(trust.algorithms, KeyAlgAbsent.REFUSE, frozenset({"sig"}), symmetric=False)
    document = json.dumps(raw if raw is not None else jwks(*names)).encode()
    return KeyState(parse_key_set(document, rules), Instant(NOW + 3600), Instant(NOW), None)

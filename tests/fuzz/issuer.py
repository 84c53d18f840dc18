"""An issuer whose keys and signatures are the same on every machine, so that seeds with signatures can be kept.

Its numbers are derived from their names: they protect nothing. `corp` signs for the policies here; `mallory` is anyone
else with keys of the same kinds and names.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, TypeAlias

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from extauthz.model.encoding import base64url_encode

ISSUER: Final = "https://corp.example"
AUDIENCE: Final = "orders-api"
NOW: Final = 1_790_000_000
ALGS: Final = {"rsa": "RS256", "ec": "ES256", "ed": "EdDSA"}
"""The algorithm of each key; the key's name is its `kid`."""

Key: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
# How far the first prime that fits lies above the number that the name gives.
_TO_PRIMES: Final = {"corp": (1176, 596), "mallory": (30, 76)}


@cache
def private_key(name: str, whose: str = "corp") -> Key:
    """The private key of that name."""
    match name:
        case "rsa":
            return _rsa(whose)
        case "ec":
            return ec.derive_private_key(int.from_bytes(_octets(f"{whose} ec", 32)) % (_ORDER - 1) + 1, ec.SECP256R1())
        case _:
            return ed25519.Ed25519PrivateKey.from_private_bytes(_octets(f"{whose} ed", 32))


def _rsa(whose: str) -> rsa.RSAPrivateKey:
    p, q = (
        (int.from_bytes(_octets(f"{whose} {name}", 128)) | 3 << 1022 | 1) + more
        for name, more in zip("pq", _TO_PRIMES[whose], strict=True)
    )
    d = pow(65537, -1, (p - 1) * (q - 1))
    numbers = rsa.RSAPrivateNumbers(
        p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), rsa.RSAPublicNumbers(65537, p * q)
    )
    return numbers.private_key()


def _octets(name: str, length: int) -> bytes:
    return hashlib.shake_256(f"extauthz fuzz {name}".encode()).digest(length)


def jwk(name: str, whose: str = "corp") -> dict[str, Any]:
    """One public key."""
    members: dict[str, Any]
    match private_key(name, whose).public_key():
        case rsa.RSAPublicKey() as key:
            members = {"kty": "RSA", "n": _number(key.public_numbers().n, 256), "e": "AQAB"}
        case ec.EllipticCurvePublicKey() as key:
            point = key.public_numbers()
            members = {"kty": "EC", "crv": "P-256", "x": _number(point.x, 32), "y": _number(point.y, 32)}
        case key:
            members = {"kty": "OKP", "crv": "Ed25519", "x": base64url_encode(key.public_bytes_raw())}
    return {"kid": name, "use": "sig", "alg": ALGS[name], **members}


def key_set(whose: str = "corp") -> dict[str, Any]:
    """All its public keys."""
    return {"keys": [jwk(name, whose) for name in ALGS]}


def sign(signing_input: bytes, name: str, whose: str = "corp") -> bytes:
    """A signature in the form of RFC 7518, section 3. The same every time."""
    match private_key(name, whose):
        case rsa.RSAPrivateKey() as key:
            return key.sign(signing_input, padding.PKCS1v15(), hashes.SHA256())
        case ec.EllipticCurvePrivateKey() as key:
            r, s = decode_dss_signature(key.sign(signing_input, ec.ECDSA(hashes.SHA256(), deterministic_signing=True)))
            return r.to_bytes(32) + s.to_bytes(32)
        case key:
            return key.sign(signing_input)


def confused(signing_input: bytes, name: str) -> bytes:
    """An HMAC under the text of a public key (RFC 8725, section 2.1)."""
    public = private_key(name).public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return hmac.digest(public.public_bytes(serialization.Encoding.PEM, form), signing_input, "sha256")


def header(name: str = "ed", **more: Any) -> dict[str, Any]:
    """The header of a good token; `...` takes a member away."""
    return _without({"alg": ALGS[name], "typ": "at+jwt", "kid": name, **more})


def claims(**more: Any) -> dict[str, Any]:
    """The claims of a good token; `...` takes one away."""
    said = {"iss": ISSUER, "sub": "alice", "client_id": "web", "aud": AUDIENCE, "iat": NOW - 60, "exp": NOW + 300}
    return _without({**said, "jti": "id-1", "scope": "orders.read", **more})


def token(said: Mapping[str, Any], name: str = "ed", head: Mapping[str, Any] | None = None) -> str:
    """A token of the issuer."""
    written = [json.dumps(part, separators=(",", ":")).encode() for part in (head or header(name), said)]
    signing_input = ".".join(map(base64url_encode, written))
    return f"{signing_input}.{base64url_encode(sign(signing_input.encode(), name))}"


def _number(value: int, size: int) -> str:
    return base64url_encode(value.to_bytes(size))


def _without(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not ...}

"""Keys that tests sign with, made once in a process, and the JSON Web Keys that show their public half."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, HMACAlgorithm, OKPAlgorithm, RSAAlgorithm, RSAPSSAlgorithm

from extauthz.keys.algorithm import ALGORITHMS
from extauthz.keys.jwk import KeyRules
from extauthz.model.encoding import base64url_encode
from extauthz.model.token import KeyAlgAbsent

ASYMMETRIC = frozenset(name for name in ALGORITHMS if not name.startswith("HS"))
SYMMETRIC = frozenset(ALGORITHMS) - ASYMMETRIC
RULES = KeyRules(algorithms=ASYMMETRIC)
LENIENT = KeyRules(algorithms=ASYMMETRIC, alg_absent=KeyAlgAbsent.FROM_ALGORITHMS, use=frozenset({"sig", ""}))
SECRETS = KeyRules(algorithms=SYMMETRIC, symmetric=True)

SIGNING_INPUT = b"eyJhbGciOiJ4In0.e30"

_CURVES = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1(), "secp256k1": ec.SECP256K1()}
_SIGNERS: dict[str, Any] = {
    "RS256": RSAAlgorithm(RSAAlgorithm.SHA256),
    "RS384": RSAAlgorithm(RSAAlgorithm.SHA384),
    "RS512": RSAAlgorithm(RSAAlgorithm.SHA512),
    "PS256": RSAPSSAlgorithm(RSAPSSAlgorithm.SHA256),
    "PS384": RSAPSSAlgorithm(RSAPSSAlgorithm.SHA384),
    "PS512": RSAPSSAlgorithm(RSAPSSAlgorithm.SHA512),
    "ES256": ECAlgorithm(ECAlgorithm.SHA256, ec.SECP256R1),
    "ES384": ECAlgorithm(ECAlgorithm.SHA384, ec.SECP384R1),
    "ES512": ECAlgorithm(ECAlgorithm.SHA512, ec.SECP521R1),
    "EdDSA": OKPAlgorithm(),
    "Ed25519": OKPAlgorithm(),
    "HS256": HMACAlgorithm(HMACAlgorithm.SHA256),
    "HS384": HMACAlgorithm(HMACAlgorithm.SHA384),
    "HS512": HMACAlgorithm(HMACAlgorithm.SHA512),
}


def rsa_key(name: str = "a", bits: int = 2048) -> rsa.RSAPrivateKey:
    """The RSA key of that name."""
    return _rsa_key(name, bits)


@cache
def _rsa_key(name: str, bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def ec_key(name: str = "a", crv: str = "P-256") -> ec.EllipticCurvePrivateKey:
    """The EC key of that name."""
    return _ec_key(name, crv)


@cache
def _ec_key(name: str, crv: str) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(_CURVES[crv])


def ed_key(name: str = "a") -> ed25519.Ed25519PrivateKey:
    """The Ed25519 key of that name."""
    return _ed_key(name)


@cache
def _ed_key(name: str) -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


def number(value: int) -> str:
    """A number as key sets write it."""
    return base64url_encode(value.to_bytes((value.bit_length() + 7) // 8))


def rsa_jwk(kid: Any = "a", name: str = "a", bits: int = 2048, **members: Any) -> dict[str, Any]:
    """An RSA key, with members changed; None removes one."""
    public = rsa_key(name, bits).public_key().public_numbers()
    return _jwk({"kty": "RSA", "alg": "RS256", "n": number(public.n), "e": number(public.e)}, kid, members)


def ec_jwk(kid: Any = "a", name: str = "a", crv: str = "P-256", alg: Any = "ES256", **members: Any) -> dict[str, Any]:
    """An EC key, with members changed; None removes one."""
    public, size = ec_key(name, crv).public_key().public_numbers(), (ec_key(name, crv).key_size + 7) // 8
    x, y = (base64url_encode(value.to_bytes(size)) for value in (public.x, public.y))
    return _jwk({"kty": "EC", "crv": crv, "alg": alg, "x": x, "y": y}, kid, members)


def ed_jwk(kid: Any = "a", name: str = "a", **members: Any) -> dict[str, Any]:
    """An Ed25519 key, with members changed; None removes one."""
    x = base64url_encode(ed_key(name).public_key().public_bytes_raw())
    return _jwk({"kty": "OKP", "crv": "Ed25519", "alg": "Ed25519", "x": x}, kid, members)


def oct_jwk(kid: Any = "a", octets: int = 32, alg: Any = "HS256", **members: Any) -> dict[str, Any]:
    """A symmetric key, with members changed; None removes one."""
    return _jwk({"kty": "oct", "alg": alg, "k": base64url_encode(bytes(range(octets)))}, kid, members)


def key_set(*entries: Any) -> bytes:
    """A key set."""
    return json.dumps({"keys": entries}).encode()


def sign(alg: str, key: Any, message: bytes = SIGNING_INPUT) -> bytes:
    """A signature."""
    return bytes(_SIGNERS[alg].sign(message, key))


def _jwk(known: dict[str, Any], kid: Any, members: dict[str, Any]) -> dict[str, Any]:
    whole = {"kid": kid, "use": "sig"} | known | members
    return {name: value for name, value in whole.items() if value is not None}

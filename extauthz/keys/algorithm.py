"""Signature algorithms: RFC 7518 section 3, RFC 8037 section 3.1 and RFC 9864 section 2.2.

PyJWT's algorithm objects and cryptography do the arithmetic (ECDSA is asked of cryptography itself). What a strict
verifier must know besides stands before them: which type of key belongs to which algorithm, how long a signature is,
and which numbers it may hold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurve,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm
from jwt.algorithms import HMACAlgorithm, OKPAlgorithm, RSAAlgorithm, RSAPSSAlgorithm

KeyType: TypeAlias = Literal["RSA", "EC", "OKP", "oct"]

_Verify: TypeAlias = Callable[[bytes, Any, bytes], bool]


@dataclass(frozen=True, slots=True)
class Algorithm:
    """What one algorithm demands of a key and of a signature."""

    kty: KeyType
    crv: str | None
    """The curve that the algorithm's key must lie on; None where the key type has none."""
    signature_octets: int
    """Exact length of a signature; 0 for RSA, where it is the length of the modulus."""
    verify: _Verify
    """Called with message, key and signature; the key is of the right type by then."""
    key_octets: int = 0
    """HMAC: the shortest key allowed, the length of the hash (RFC 7518, section 3.2)."""


def _ecdsa(crv: str, curve: EllipticCurve, digest: HashAlgorithm) -> Algorithm:
    order, half, with_digest = curve.group_order, (curve.key_size + 7) // 8, ECDSA(digest)

    def verify(message: bytes, key: EllipticCurvePublicKey, signature: bytes) -> bool:
        r, s = int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")
        # INVARIANT: both numbers are in [1, n-1], whatever the library below thinks of zeros (RFC 7518, section 3.4).
        if not (0 < r < order and 0 < s < order):
            return False
        try:
            key.verify(encode_dss_signature(r, s), message, with_digest)
        except InvalidSignature:
            return False
        return True

    return Algorithm("EC", crv, 2 * half, verify)


def _hmac(octets: int, verify: _Verify) -> Algorithm:
    return Algorithm("oct", None, octets, verify, key_octets=octets)


_ED25519: Final = Algorithm("OKP", "Ed25519", 64, OKPAlgorithm().verify)

ALGORITHMS: Final = MappingProxyType(
    {
        "RS256": Algorithm("RSA", None, 0, RSAAlgorithm(RSAAlgorithm.SHA256).verify),
        "RS384": Algorithm("RSA", None, 0, RSAAlgorithm(RSAAlgorithm.SHA384).verify),
        "RS512": Algorithm("RSA", None, 0, RSAAlgorithm(RSAAlgorithm.SHA512).verify),
        # Their salt is as long as the hash (RFC 7518, section 3.5): PyJWT asks for that length, never for "any".
        "PS256": Algorithm("RSA", None, 0, RSAPSSAlgorithm(RSAPSSAlgorithm.SHA256).verify),
        "PS384": Algorithm("RSA", None, 0, RSAPSSAlgorithm(RSAPSSAlgorithm.SHA384).verify),
        "PS512": Algorithm("RSA", None, 0, RSAPSSAlgorithm(RSAPSSAlgorithm.SHA512).verify),
        "ES256": _ecdsa("P-256", SECP256R1(), SHA256()),
        "ES384": _ecdsa("P-384", SECP384R1(), SHA384()),
        "ES512": _ecdsa("P-521", SECP521R1(), SHA512()),
        "EdDSA": _ED25519,
        "Ed25519": _ED25519,
        "HS256": _hmac(32, HMACAlgorithm(HMACAlgorithm.SHA256).verify),
        "HS384": _hmac(48, HMACAlgorithm(HMACAlgorithm.SHA384).verify),
        "HS512": _hmac(64, HMACAlgorithm(HMACAlgorithm.SHA512).verify),
    }
)
"""Every algorithm that a key may have. `none`, `ES256K`, `Ed448` and the encryption algorithms are not among them."""


def fitting(kty: str, crv: str | None) -> frozenset[str]:
    """The algorithms that a key of this type, and on this curve, could be used with."""
    return frozenset(name for name, known in ALGORITHMS.items() if known.kty == kty and known.crv in {None, crv})


def names_of(alg: str) -> frozenset[str]:
    """Every name of one algorithm: `EdDSA` with an Ed25519 key is what RFC 9864 calls `Ed25519`; others have one."""
    known = ALGORITHMS.get(alg)
    return frozenset(name for name, other in ALGORITHMS.items() if other is known) if known is not None else frozenset()


def holds(alg: str, material: Any, signing_input: bytes, signature: bytes) -> bool:  # noqa: ANN401 # one type per kty
    """Whether the signature is right, for a key that belongs to the algorithm. Never raises."""
    known = ALGORITHMS.get(alg)
    if known is None:
        return False
    if len(signature) != (known.signature_octets or (material.key_size + 7) // 8):
        return False
    try:
        return known.verify(signing_input, material, signature)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False

"""Signature algorithms: RFC 7518 section 3, RFC 8037 section 3.1 and RFC 9864 section 2.2.

PyJWT's algorithm objects and cryptography do the arithmetic. What a strict verifier must know besides stands before
them: which type of key belongs to which algorithm, how long a signature is, and which numbers it may hold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, SECP521R1, EllipticCurve
from jwt.algorithms import ECAlgorithm, HMACAlgorithm, OKPAlgorithm, RSAAlgorithm, RSAPSSAlgorithm

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
    order: int = 0
    """ECDSA: the order of the curve's group, which both numbers of a signature are below."""
    key_octets: int = 0
    """HMAC: the shortest key allowed, the length of the hash (RFC 7518, section 3.2)."""


def _ecdsa(crv: str, curve: EllipticCurve, verify: _Verify) -> Algorithm:
    return Algorithm("EC", crv, 2 * ((curve.key_size + 7) // 8), verify, order=curve.group_order)


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
        "ES256": _ecdsa("P-256", SECP256R1(), ECAlgorithm(ECAlgorithm.SHA256, SECP256R1).verify),
        "ES384": _ecdsa("P-384", SECP384R1(), ECAlgorithm(ECAlgorithm.SHA384, SECP384R1).verify),
        "ES512": _ecdsa("P-521", SECP521R1(), ECAlgorithm(ECAlgorithm.SHA512, SECP521R1).verify),
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
    if known.order and not _in_range(signature, known.order):
        return False
    try:
        return known.verify(signing_input, material, signature)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False


def _in_range(signature: bytes, order: int) -> bool:
    """INVARIANT: both numbers of an ECDSA signature are in [1, n-1], whatever the library below thinks of zeros."""
    half = len(signature) // 2
    return 0 < int.from_bytes(signature[:half]) < order and 0 < int.from_bytes(signature[half:]) < order

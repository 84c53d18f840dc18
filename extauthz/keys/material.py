"""The numbers of a JSON Web Key: RSA, EC and oct (RFC 7518, section 6), Ed25519 (RFC 8037, section 2).

A key that can be broken, or whose numbers make no key, is refused here, when the key set is read. By the time a
signature is checked there is nothing left to doubt about the key.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurve,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import load_der_public_key

from extauthz.keys.fermat import has_close_primes
from extauthz.keys.roca import SMALL_PRIMES, has_roca_fingerprint
from extauthz.keys.thumbprint import thumbprint
from extauthz.model.encoding import Ambiguous, Json, base64url_decode, base64url_encode, parse_json_object

MIN_RSA_BITS: Final = 2048
MAX_RSA_BITS: Final = 8192
_MAX_EXPONENT_BITS: Final = 64
# An RSA modulus of 8192 bits, and room for leading zeros: nothing longer is decoded.
_MAX_TEXT: Final = 1400
_CURVES: Final[dict[str, EllipticCurve]] = {"P-256": SECP256R1(), "P-384": SECP384R1(), "P-521": SECP521R1()}

_P: Final = 2**255 - 19
_D: Final = -121665 * pow(121666, -1, _P) % _P

# The thumbprint of a symmetric key would let a weak one be guessed (RFC 7638, section 7), so it is blinded.
_BLIND: Final = secrets.token_bytes(32)


class Unusable(ValueError):
    """A key that is not used, and why, in words for the operator. Never quotes key material."""


@dataclass(frozen=True, slots=True)
class Material:
    """A key's numbers, ready for verifying."""

    key: object = field(repr=False, compare=False)
    """A public key of cryptography's, or the octets of a symmetric key."""
    thumbprint: str
    """RFC 7638; of a symmetric key a blinded one, which differs from process to process."""
    octets: int
    """The length of a symmetric key; 0 for public ones."""


def read_material(jwk: Mapping[str, Json]) -> Material:
    """Read the numbers of a key whose `kty` and `crv` are known. Raises Unusable."""
    try:
        match jwk.get("kty"):
            case "RSA":
                return _rsa(jwk)
            case "EC":
                return _ec(jwk)
            case "OKP":
                return _ed25519(jwk)
            case _:
                return _oct(jwk)
    except UnsupportedAlgorithm as error:
        raise Unusable("its algorithm is switched off in this machine's OpenSSL") from error


def _rsa(jwk: Mapping[str, Json]) -> Material:
    # Leading zeros are against RFC 7518 section 6.3.1.1, but known issuers write them, and they change no number.
    n, e = (int.from_bytes(_octets(jwk, name)) for name in ("n", "e"))
    bits = n.bit_length()
    if not MIN_RSA_BITS <= bits <= MAX_RSA_BITS:
        raise Unusable(f"its RSA modulus has {bits} bits, allowed are {MIN_RSA_BITS} to {MAX_RSA_BITS}")
    if e < 3 or e % 2 == 0 or e.bit_length() > _MAX_EXPONENT_BITS:
        raise Unusable(f"its RSA exponent is not an odd number of at least 3 and at most {_MAX_EXPONENT_BITS} bits")
    if n % 2 == 0 or any(n % r == 0 for r in SMALL_PRIMES):
        raise Unusable("its RSA modulus has a small factor")
    if has_roca_fingerprint(n):
        raise Unusable("it comes from a generator whose keys can be factored (ROCA, CVE-2017-15361)")
    if has_close_primes(n):
        raise Unusable("its RSA primes lie so close together that anyone can factor it (CVE-2022-26320)")
    try:
        key = RSAPublicNumbers(e, n).public_key()
    except ValueError as error:
        raise Unusable("its RSA numbers make no key") from error
    return Material(key, thumbprint({"kty": "RSA", "n": _minimal(n), "e": _minimal(e)}), 0)


def _ec(jwk: Mapping[str, Json]) -> Material:
    crv = str(jwk.get("crv"))
    curve = _CURVES[crv]
    x, y = _octets(jwk, "x"), _octets(jwk, "y")
    length = (curve.key_size + 7) // 8
    if len(x) != length or len(y) != length:
        raise Unusable(f"its coordinates are not of {length} octets each, as `{crv}` demands")
    try:
        key = EllipticCurvePublicNumbers(int.from_bytes(x), int.from_bytes(y), curve).public_key()
    except ValueError as error:
        raise Unusable(f"its point is not on the curve `{crv}`") from error
    return Material(key, thumbprint({"kty": "EC", "crv": crv, "x": base64url_encode(x), "y": base64url_encode(y)}), 0)


def _ed25519(jwk: Mapping[str, Json]) -> Material:
    x = _octets(jwk, "x")
    if len(x) != 32:
        raise Unusable("its `x` is not of 32 octets, as `Ed25519` demands")
    y = int.from_bytes(x, "little") & (2**255 - 1)
    if not _is_ed25519_point(y):
        raise Unusable("its point is not on the curve `Ed25519`")
    if _has_small_order(y):
        raise Unusable("its point has a small order: anyone can sign for it")
    members = {"kty": "OKP", "crv": "Ed25519", "x": base64url_encode(x)}
    return Material(Ed25519PublicKey.from_public_bytes(x), thumbprint(members), 0)


def _oct(jwk: Mapping[str, Json]) -> Material:
    secret = _octets(jwk, "k")
    if _writes_public_key(secret):
        raise Unusable("its octets are a public key, with which anyone could sign; give it random ones")
    return Material(secret, base64url_encode(hmac.digest(_BLIND, secret, "sha256")), len(secret))


def _writes_public_key(secret: bytes) -> bool:
    """Whether a shared secret is the text of a public key or certificate: PEM with whatever white space, DER, or JSON.

    The key confusion of RFC 8725, section 2.1, brought about by a mistake in the settings.
    """
    if b"-----BEGIN" in b"".join(secret.split()):
        return True
    try:
        return bool(parse_json_object(secret))
    except Ambiguous:
        pass
    try:
        load_der_public_key(secret)
    except (ValueError, UnsupportedAlgorithm):
        return False
    return True


def _octets(jwk: Mapping[str, Json], name: str) -> bytes:
    text = jwk.get(name)
    if not isinstance(text, str):
        shown = "; the certificate in its `x5c` does not stand in for it" if "x5c" in jwk else ""
        raise Unusable(f"its `{name}` is missing{shown}" if text is None else f"its `{name}` is not a text")
    if len(text) > _MAX_TEXT:
        raise Unusable(f"its `{name}` is longer than {_MAX_TEXT} characters")
    try:
        return base64url_decode(text)
    except Ambiguous as error:
        raise Unusable(f"its `{name}` is {error}") from error


def _minimal(number: int) -> str:
    return base64url_encode(number.to_bytes((number.bit_length() + 7) // 8))


def _is_ed25519_point(y: int) -> bool:
    """Whether y, below p, has an x on -x² + y² = 1 + d x² y² (RFC 8032, section 5.1.3): x² is then (y²-1)/(dy²+1)."""
    above, below = (y * y - 1) % _P, (_D * y * y + 1) % _P
    return y < _P and pow(above * below, (_P - 1) // 2, _P) in {0, 1}


def _has_small_order(y: int) -> bool:
    """Whether eight times the point is the neutral element: its y is 0, 1 or -1, or doubling it makes y zero, which
    by the doubling formula and the curve's equation means d y⁴ + 2 y² = 1."""
    return y in {0, 1, _P - 1} or (_D * pow(y, 4, _P) + 2 * y * y - 1) % _P == 0

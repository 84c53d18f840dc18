"""A key set as an object in a cluster writes it: the members of public keys that RFC 7517, 7518 and 8037 know.

A folder takes key sets as issuers publish them, other members included, which are ignored (RFC 7517, section 4). An
API server holds no member that a schema does not name. What makes no usable key is told by the key ring.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, TypeAlias

from pydantic import ConfigDict, Field

from extauthz.policy.words import STRICT, Word

_Encoded: TypeAlias = Annotated[str, Field(min_length=1, max_length=8192)]
"""base64url; an RSA modulus of 16384 bits has 2731 characters."""
_Certificate: TypeAlias = Annotated[str, Field(min_length=1, max_length=16384, description="DER in base64.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class JwkSpec:
    """One public key (RFC 7517, section 4)."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    kty: Word
    """Key type: `RSA`, `EC` or `OKP`."""
    kid: Word | None = None
    """Key id, which tokens name."""
    alg: Word | None = None
    """The algorithm that the key is for."""
    use: Word | None = None
    """What the key is for: `sig`."""
    key_ops: Annotated[tuple[Word, ...], Field(max_length=8, alias="key_ops")] = ()
    """What the key is for, by operation."""
    n: _Encoded | None = None
    """RSA: the modulus."""
    e: Word | None = None
    """RSA: the exponent."""
    crv: Word | None = None
    """EC and OKP: the curve."""
    x: _Encoded | None = None
    """EC and OKP: the x coordinate, or the public key."""
    y: _Encoded | None = None
    """EC: the y coordinate."""
    x5c: Annotated[tuple[_Certificate, ...], Field(max_length=16, alias="x5c")] = ()
    """Certificates; not read."""
    x5t: Annotated[Word | None, Field(alias="x5t")] = None
    """A certificate's SHA-1; not read."""
    x5t_s256: Annotated[Word | None, Field(alias="x5t#S256")] = None
    """A certificate's SHA-256; not read."""
    issuer: Word | None = None
    """The issuer that the key signs for, with `keyIssuerMember: Match`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySetSpec:
    """A key set (RFC 7517, section 5)."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    keys: Annotated[tuple[JwkSpec, ...], Field(min_length=1, max_length=100)]
    """Its keys."""

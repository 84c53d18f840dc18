"""Keys that change every second, with overlap: each is published before it signs and for a while after it did."""

from __future__ import annotations

import secrets
import threading
from collections import deque
from dataclasses import dataclass
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from extauthz.model.encoding import base64url_encode

SIGNS_FROM: Final = 7
"""Beats from the first publication of a key until it signs: a key file is looked at every two seconds."""
SIGNS_UNTIL: Final = 12
PUBLISHED_UNTIL: Final = 20
DEAD_FROM: Final = 27
"""Beats after which nobody may take a token of this key any more."""


@dataclass(frozen=True, slots=True)
class RotatingKey:
    """One key, with a token that was good as long as the key was."""

    kid: str
    private: Ed25519PrivateKey
    born: int
    """The beat of its first publication."""
    witness: str

    def public(self) -> dict[str, str]:
        """As it stands in a key set (RFC 8037)."""
        raw = self.private.public_key().public_bytes_raw()
        return {
            "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": self.kid, "x": base64url_encode(raw)
        }  # fmt: skip


class Rotation:
    """The keys of one issuer. `beat` makes time pass; tokens may be asked for from other threads."""

    def __init__(self, issuer: str, claims: dict[str, Any]) -> None:
        """Begin with keys of every age. `claims` go into each witness."""
        self.issuer = issuer
        self._claims = claims
        self._lock = threading.Lock()
        self._beat = 0
        self._keys = deque(self._new(-age) for age in reversed(range(DEAD_FROM)))

    def beat(self) -> None:
        """A second passed: one key comes, the oldest goes."""
        with self._lock:
            self._beat += 1
            self._keys.append(self._new(self._beat))
            while self._age(self._keys[0]) > 2 * DEAD_FROM:
                self._keys.popleft()

    def jwks(self) -> dict[str, Any]:
        """The key set as published now."""
        with self._lock:
            return {"keys": [key.public() for key in self._keys if self._age(key) < PUBLISHED_UNTIL]}

    def good(self) -> str:
        """A token that must be taken: of a key that everyone knows by now, and that is not retired yet."""
        return self._witness(SIGNS_FROM, SIGNS_UNTIL)

    def retired(self) -> str | None:
        """A token that must be refused, because its key is long gone; None when none is yet."""
        with self._lock:
            dead = [key for key in self._keys if self._age(key) >= DEAD_FROM]
            return dead[-1].witness if dead else None

    def _witness(self, youngest: int, oldest: int) -> str:
        with self._lock:
            fit = [key for key in self._keys if youngest <= self._age(key) < oldest]
            return secrets.choice(fit).witness

    def _age(self, key: RotatingKey) -> int:
        return self._beat - key.born

    def _new(self, born: int) -> RotatingKey:
        private, kid = Ed25519PrivateKey.generate(), secrets.token_hex(6)
        claims = {**self._claims, "iss": self.issuer, "jti": kid}
        return RotatingKey(kid, private, born, jwt.encode(claims, private, "EdDSA", {"kid": kid, "typ": "at+jwt"}))

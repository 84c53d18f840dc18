"""A small token issuer for the demo and the tests: OpenID discovery, a key set, and tokens of every quality."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from extauthz.cli.demo.web import Page, WebServer
from extauthz.model.encoding import base64url_encode
from extauthz.model.time import Clock


class Issuer:
    """Serves its metadata and keys on loopback, over plain HTTP."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._forger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._curve_key = ec.generate_private_key(ec.SECP256R1())
        self.kid = f"demo-{secrets.token_hex(4)}"
        self.curve_kid = f"{self.kid}-ec"
        self._web = WebServer(self._page)
        self.url = self._web.url
        """The `iss` of its tokens."""

    def start(self) -> None:
        """Begin to serve."""
        self._web.start()

    def stop(self) -> None:
        """Close the port."""
        self._web.stop()

    def token(
        self, *, forged: bool = False, curve: bool = False, lifetime: int = 300, age: int = 0, **claims: object
    ) -> str:
        """A signed access token (RFC 9068) for `orders-api`, issued `age` seconds ago; claims given replace its own.

        Signed with RS256, or with ES256 when `curve` is said.
        """
        now = int(self._clock.now()) - age
        said = {
            "iss": self.url,
            "sub": "alice",
            "client_id": "demo",
            "aud": "orders-api",
            "iat": now,
            "exp": now + lifetime,
            "jti": secrets.token_hex(8),
            "scope": "orders.read orders.write",
            **claims,
        }
        alg, kid = ("ES256", self.curve_kid) if curve else ("RS256", self.kid)
        return self.sign({"alg": alg, "typ": "at+jwt", "kid": kid}, said, forged=forged)

    def sign(self, header: Mapping[str, Any], claims: Mapping[str, Any], *, forged: bool = False) -> str:
        """A JWS in compact form (RFC 7515), signed by the published key or, forged, by another RSA key."""
        signing_input = ".".join(base64url_encode(json.dumps(part).encode()) for part in (header, claims))
        if header.get("alg") == "ES256":
            signature = _es256(self._curve_key, signing_input.encode())
        else:
            key = self._forger if forged else self._key
            signature = key.sign(signing_input.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signing_input}.{base64url_encode(signature)}"

    def jwks(self) -> dict[str, Any]:
        """The published key set (RFC 7517): one RSA key, one on the curve P-256."""
        numbers = self._key.public_key().public_numbers()
        size = (numbers.n.bit_length() + 7) // 8
        point = self._curve_key.public_key().public_numbers()
        rsa_key = {
            "kty": "RSA",
            "kid": self.kid,
            "alg": "RS256",
            "use": "sig",
            "n": base64url_encode(numbers.n.to_bytes(size, "big")),
            "e": base64url_encode(numbers.e.to_bytes(3, "big")),
        }
        curve_key = {
            "kty": "EC",
            "kid": self.curve_kid,
            "alg": "ES256",
            "use": "sig",
            "crv": "P-256",
            "x": base64url_encode(point.x.to_bytes(32, "big")),
            "y": base64url_encode(point.y.to_bytes(32, "big")),
        }
        return {"keys": [rsa_key, curve_key]}

    def _page(self, path: str, _headers: list[tuple[str, str]], _method: str) -> Page:
        match path:
            case "/.well-known/openid-configuration":
                return 200, {"issuer": self.url, "jwks_uri": f"{self.url}/jwks"}
            case "/jwks":
                return 200, self.jwks()
            case _:
                return 404, {"error": "not_found"}


def _es256(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    """An ECDSA signature as JWS wants it: both numbers side by side, not in DER (RFC 7518, section 3.4)."""
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")

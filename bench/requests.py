"""Tokens, policies and CheckRequests to measure with: of the size and with the headers that Envoy sends."""

from __future__ import annotations

import time
from itertools import count
from typing import Any, Final

from tests import issuing
from tests.building import obj, policy, with_token
from tests.checks import check_request

KEYS: Final = {"RS256": "rsa", "ES256": "ec", "EdDSA": "ed"}
"""The test issuer's key for each algorithm."""
AUDIENCE: Final = "orders-api"
LIFETIME: Final = 3000

_COUNTER: Final = count(1)


def token(algorithm: str = "RS256") -> str:
    """A good token that never was before."""
    now = int(time.time())
    claims = issuing.claims(iat=now - 10, exp=now + LIFETIME, jti=f"id-{next(_COUNTER)}")
    return issuing.token(claims, key=KEYS[algorithm])


def check(bearer: str, path: str = "/api/orders/7") -> bytes:
    """A CheckRequest with raw headers, as Envoy sends one with `encode_raw_headers`; about 1,000 bytes with RS256."""
    number = next(_COUNTER)
    headers = {
        "user-agent": "curl/8.5.0",
        "accept": "*/*",
        "authorization": f"Bearer {bearer}",
        "x-forwarded-proto": "https",
        "x-request-id": f"6a1f0c2e-93c4-4a51-8c5e-{number:012x}",
    }
    return check_request(path=path, headers=headers, raw=True, stream_id=str(number))


def issuer() -> dict[str, Any]:
    """The issuer, whose keys stand in the object itself."""
    return obj("TokenIssuer", "corp", {"issuer": issuing.ISSUER, "keys": {"inline": issuing.jwks()}})


def policies() -> list[dict[str, Any]]:
    """The issuer, and a policy with a rule for each thing measured."""
    sub = {"claimHeaders": {"x-auth-sub": "sub"}}
    return [
        issuer(),
        policy(
            "orders",
            with_token(
                "read", match={"path": {"prefix": "/api/orders"}}, require={"scopes": ["orders.read"]}, upstream=sub
            ),
            with_token("audit", match={"path": {"prefix": "/api/audit"}}, require={"scopes": ["audit.read"]}),
            with_token("once", match={"path": {"prefix": "/api/once"}}, reuse={"maxUses": 1}, upstream=sub),
            with_token("often", match={"path": {"prefix": "/api/often"}}, reuse={"maxUses": 1_000_000}, upstream=sub),
        ),
    ]

"""Tokens as providers issue them, and the scaffold that lets them in. Values are invented, the form is real."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml

from extauthz.cli.issuer.providers import PROVIDERS
from tests import issuing
from tests.building import NOW, obj, policy
from tests.worlds import Asked

TIMES = {"iat": NOW - 30, "nbf": NOW - 30, "exp": NOW + 300}


@dataclass(frozen=True)
class Shape:
    """A token of a provider, and the key that signed it."""

    provider: str
    issuer: str
    audience: str
    header: dict[str, Any]
    claims: dict[str, Any]
    key: dict[str, Any] = field(default_factory=dict)
    """Members of the JWK besides its numbers and `kid`."""


SHAPES = [
    Shape(
        "forgerock",
        "https://am.example/oauth2/realms/root",
        "orders",
        {"typ": "JWT", "zip": "NONE", "kid": "wU3iInvented/+M1P1QM=", "alg": "RS256"},
        {
            "sub": "demo", "cts": "OAUTH2_STATELESS_GRANT", "auth_level": 0, "auditTrackingId": "a-1",
            "tokenName": "access_token", "token_type": "Bearer", "authGrantId": "g", "aud": "orders",
            "grant_type": "authorization_code", "scope": ["openid"], "auth_time": NOW - 60, "realm": "/",
            "expires_in": 3600, "jti": "j",
        },
    ),
    *(
        Shape(
            "cloudflare-access",
            "https://acme.cloudflareaccess.com",
            "32eafc7626e974616deaf0dc3ce63d7bcbed58a2731e84d06bc3cdf1b53c4228",
            {"alg": "RS256", "kid": "9338abe1invented", "typ": "JWT"},
            {"aud": ["32eafc7626e974616deaf0dc3ce63d7bcbed58a2731e84d06bc3cdf1b53c4228"], "type": "app", **who},
        )
        for who in (
            {"sub": "7335d417", "email": "a@corp.example", "identity_nonce": "6ei6", "country": "DE"},
            {"sub": "", "common_name": "e367826f93b8d71185e03fe518aff3b4.access"},
        )
    ),
    Shape(
        "google-iap",
        "https://cloud.google.com/iap",
        "/projects/123/global/backendServices/456",
        {"alg": "ES256", "typ": "JWT", "kid": "0oeLcQ"},
        {
            "aud": "/projects/123/global/backendServices/456", "azp": "/projects/123/global/backendServices/456",
            "sub": "accounts.google.com:1234567890", "email": "a@corp.example", "hd": "corp.example",
            "google": {"access_levels": ["accessPolicies/1/accessLevels/a"]},
        },
    ),
    Shape(
        "sap-xsuaa",
        "https://acme.authentication.eu10.hana.ondemand.com/oauth/token",
        "sb-orders!t1234",
        {
            "alg": "RS256", "jku": "https://acme.authentication.eu10.hana.ondemand.com/token_keys",
            "kid": "default-jwt-key-invented", "typ": "JWT", "jid": "qeYInvented=",
        },
        {
            "jti": "j", "sub": "u", "ext_attr": {"enhancer": "XSUAA", "zdn": "acme"}, "client_id": "sb-orders!t1234",
            "cid": "sb-orders!t1234", "azp": "sb-orders!t1234", "aud": ["orders!t1234", "sb-orders!t1234"],
            "scope": ["orders!t1234.Read", "uaa.user"], "zid": "z", "grant_type": "password", "rev_sig": "r",
        },
        {"value": "-----BEGIN PUBLIC KEY-----"},
    ),
]  # fmt: skip


def _named(shape: Shape) -> str:
    return shape.provider


def _decided(shape: Shape, spec: dict[str, Any]) -> tuple[str, str]:
    """The reason of the answer, and its detail."""
    name = {"RS256": "rsa-shape", "ES256": "ec-shape"}[shape.header["alg"]]
    key_set = {"keys": [{**issuing.jwk(name), **shape.key, "kid": shape.header["kid"]}]}
    asked = Asked(
        obj("TokenIssuer", "provider", {**spec, "keys": {"inline": key_set}}),
        policy("p", {"name": "r", "token": {"issuers": [{"name": "provider"}]}}),
    )
    said = {"iss": shape.issuer, **TIMES, **shape.claims}
    reason = asked.reason("/", issuing.compact(json.dumps(shape.header).encode(), json.dumps(said).encode(), name))
    return reason, getattr(getattr(asked.seen[-1].verdict, "refusal", None), "detail", "")


def _spec(shape: Shape) -> dict[str, Any]:
    written: dict[str, Any] = yaml.safe_load(PROVIDERS[shape.provider].write(shape.issuer, shape.audience))
    return written


@pytest.mark.parametrize("shape", SHAPES, ids=_named)
def test_a_scaffold_lets_its_providers_tokens_in(shape: Shape) -> None:
    assert _decided(shape, _spec(shape)) == ("allow", "")


@pytest.mark.parametrize("shape", [s for s in SHAPES if "ignoredHeaderParameters" in _spec(s)], ids=_named)
def test_a_header_that_is_refused_names_the_setting(shape: Shape) -> None:
    spec = _spec(shape)
    del spec["ignoredHeaderParameters"]
    reason, detail = _decided(shape, spec)
    assert reason == "token_malformed"
    assert "`ignoredHeaderParameters`" in detail

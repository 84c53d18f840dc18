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

GUID = "3f6c1d2e-7a44-4c0b-9d53-0c8f1e5a7b21"
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
    """Members of the JWK besides its numbers and `kid`; None takes one away."""


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
    Shape(
        "entra",
        f"https://{GUID}.ciamlogin.com/{GUID}/v2.0",
        "5d9a7e10",
        {"typ": "JWT", "alg": "RS256", "kid": "kT7Q"},
        {"aud": "5d9a7e10", "ver": "2.0", "tid": GUID, "sub": "s", "azp": "c", "scp": "Read", "uti": "u"},
        {"alg": None},
    ),
    Shape(
        "entra-b2c",
        f"https://acme.b2clogin.com/{GUID}/v2.0/",
        "5d9a7e10",
        {"alg": "RS256", "kid": "X5eXk4xy-invented", "typ": "JWT"},
        {"aud": "5d9a7e10", "sub": "s", "tfp": "B2C_1_signin", "scp": "Read", "azp": "c", "ver": "1.0"},
        {"alg": None, "nbf": 1493763266},
    ),
    Shape(
        "adfs",
        "http://sts.corp.example/adfs/services/trust",
        "microsoft:identityserver:orders",
        {"typ": "JWT", "alg": "RS256", "x5t": "kT7Q", "kid": "kT7Q"},
        {
            "aud": "microsoft:identityserver:orders", "apptype": "Public", "appid": "c", "ver": "1.0", "scp": "openid",
            "authmethod": "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport", "upn": "a@corp.example",
            "auth_time": "2026-09-21T10:00:00.000Z",
        },
    ),
    Shape(
        "supabase",
        "https://abc.supabase.co/auth/v1",
        "authenticated",
        {"alg": "ES256", "kid": "b81269f1-invented", "typ": "JWT"},
        {
            "aud": "authenticated", "sub": "u", "email": "a@corp.example", "phone": "", "role": "authenticated",
            "aal": "aal1", "amr": [{"method": "password", "timestamp": 1789999000}], "session_id": "s",
            "is_anonymous": False,
        },
        {"ext": True, "key_ops": ["verify"]},
    ),
    Shape(
        "kinde",
        "https://acme.kinde.com",
        "https://api.example",
        {"alg": "RS256", "kid": "35:6f", "typ": "JWT"},
        {"aud": ["https://api.example"], "azp": "c", "jti": "j", "org_code": "org_1", "scp": ["openid"], "sub": "kp_1"},
    ),
    Shape(
        "logto",
        "https://acme.logto.app/oidc",
        "https://api.example",
        {"alg": "RS256", "typ": "at+jwt", "kid": "k"},
        {"aud": "https://api.example", "sub": "u", "client_id": "c", "scope": "read", "jti": "j"},
    ),
    Shape(
        "fusionauth",
        "acme.com",
        "3c219e58",
        {"alg": "RS256", "typ": "JWT", "gty": ["password"], "kid": "gtGd"},
        {
            "aud": "3c219e58", "sub": "u", "jti": "j", "authenticationType": "PASSWORD", "applicationId": "3c219e58",
            "roles": ["admin"], "tid": "t", "auth_time": 1789999000,
        },
    ),
    Shape(
        "duende",
        "https://id.example",
        "orders-api",
        {"alg": "RS256", "kid": "9E1F", "typ": "at+jwt"},
        {"aud": "orders-api", "client_id": "m2m", "scope": ["orders.read"], "jti": "A1B2"},
    ),
    Shape(
        "circleci",
        f"https://oidc.circleci.com/org/{GUID}",
        GUID,
        {"alg": "RS256", "kid": "k", "typ": "JWT"},
        {"aud": GUID, "sub": "org/o/project/p/user/u", "oidc.circleci.com/project-id": "project-id"},
    ),
    Shape(
        "buildkite",
        "https://agent.buildkite.com",
        "https://api.example",
        {"typ": "JWT", "alg": "RS256", "kid": "k"},
        {
            "aud": "https://api.example", "sub": "organization:o:pipeline:p:ref:refs/heads/main", "build_number": 1,
            "organization_slug": "organization", "pipeline_slug": "pipeline", "step_key": None,
        },
    ),
    Shape(
        "terraform-cloud",
        "https://app.terraform.io",
        "https://api.example",
        {"typ": "JWT", "alg": "RS256", "kid": "j-fFinvented"},
        {"jti": "j", "aud": "https://api.example", "sub": "organization:o", "terraform_organization_id": "org-id"},
    ),
    Shape(
        "vault",
        "https://vault.example:8200/v1/identity/oidc",
        "orders",
        {"alg": "RS256", "kid": "1bd4-invented"},
        {"aud": "orders", "sub": "entity", "namespace": "root"},
    ),
    Shape(
        "salesforce",
        "https://acme.my.salesforce.com",
        "https://acme.my.salesforce.com",
        {"tnk": "core/prod/00D", "ver": "1.0", "kid": "246", "tty": "sfdc-core-token", "typ": "JWT", "alg": "RS256"},
        {
            "scp": "api", "aud": ["https://acme.my.salesforce.com"], "sub": "uid:005", "mty": "oauth", "sfi": "f",
            "roles": [], "hsc": False, "client_id": "3MVG",
        },
    ),
]  # fmt: skip


def _named(shape: Shape) -> str:
    return shape.provider


def _decided(shape: Shape, spec: dict[str, Any]) -> tuple[str, str]:
    """The reason of the answer, and its detail."""
    name = {"RS256": "rsa-shape", "ES256": "ec-shape"}[shape.header["alg"]]
    members = {**issuing.jwk(name), **shape.key, "kid": shape.header["kid"]}
    key_set = {"keys": [{name: value for name, value in members.items() if value is not None}]}
    asked = Asked(
        obj("TokenIssuer", "provider", {**spec, "keys": {"inline": key_set}}),
        policy("p", {"name": "r", "token": {"issuers": [{"name": "provider"}]}}),
    )
    said = {"iss": shape.issuer, **TIMES, **shape.claims}
    reason = asked.reason("/", issuing.compact(json.dumps(shape.header).encode(), json.dumps(said).encode(), name))
    return reason, getattr(getattr(asked.seen[-1].verdict, "refusal", None), "detail", "")


def _spec(shape: Shape) -> dict[str, Any]:
    text = PROVIDERS[shape.provider].write(shape.issuer, shape.audience).replace("FILL-IN-", "")
    written: dict[str, Any] = yaml.safe_load(text)
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

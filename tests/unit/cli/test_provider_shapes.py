"""Tokens as providers issue them, and the scaffold that lets them in. Values are invented, the form is real."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import yaml

from extauthz.cli.issuer.id_tokens import id_tokens_let_in
from extauthz.cli.issuer.providers import PROVIDERS
from extauthz.policy.parse import Parsed, parse
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
        "entra-v1",
        f"https://sts.windows.net/{GUID}/",
        "5d9a7e10",
        {"typ": "JWT", "alg": "RS256", "x5t": "kT7Q", "kid": "kT7Q"},
        {"aud": "5d9a7e10", "ver": "1.0", "tid": GUID, "sub": "s", "appid": "c", "scp": "Read", "uti": "u", "acr": "1"},
        {"alg": None},
    ),
    Shape(
        "zitadel",
        "https://acme.zitadel.cloud",
        "1414",
        {"alg": "RS256", "kid": "k", "typ": "JWT"},
        {
            "aud": ["2@orders", "1414"], "client_id": "2@orders", "jti": "j", "sub": "u",
            "urn:zitadel:iam:org:project:roles": {"buyer": {"1": "acme"}},
        },
    ),
    Shape(
        "stytch",
        "https://acme.customers.stytch.com",
        "project-live-1",
        {"alg": "RS256", "kid": "jwk-live-1", "typ": "JWT"},
        {"aud": ["project-live-1"], "client_id": "connected-app-live-1", "jti": "j", "scope": "read", "sub": "u"},
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
            "roles": ["admin"], "tid": "t", "auth_time": 1789999000, "tty": "at", "gty": ["password"],
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
    Shape(
        "entra-b2c-tfp",
        f"https://acme.b2clogin.com/tfp/{GUID}/b2c_1_signin/v2.0/",
        "5d9a7e10",
        {"typ": "JWT", "alg": "RS256", "kid": "X5eXk4xy-invented"},
        {"aud": "5d9a7e10", "sub": "s", "tfp": "B2C_1_signin", "scp": "Read Write", "azp": "c", "ver": "1.0"},
        {"alg": None, "nbf": 1493763266},
    ),
    *(
        Shape(
            "sap-ias",
            "https://acme.accounts.ondemand.com",
            "1ab2cd3e-c573",
            {"kid": "Aa1aAAinvented", "alg": "RS256", **more},
            {
                "ias_apis": ["sales-order"], "sub": "P123456", "aud": "1ab2cd3e-c573", "azp": "e7c7e327",
                "scim_id": "s", "user_uuid": "s", "app_tid": "t", "jti": "j",
            },
        )
        for more in ({}, {"jku": "https://acme.accounts.ondemand.com/oauth2/certs"})
    ),
    Shape(
        "oracle-idcs",
        "https://identity.oraclecloud.com/",
        "https://api.example",
        {"x5t#S256": "invented", "x5t": "invented", "kid": "SIGNING_KEY", "alg": "RS256"},
        {
            "user_tenantname": "idcs-1", "sub": "a@corp.example", "sub_type": "user", "scope": "", "client_id": "c",
            "userAppRoles": ["Authenticated"], "tenant": "idcs-1", "jti": "j", "gtp": "jwt", "tok_type": "AT",
            "aud": ["https://api.example", "urn:opc:lbaas:logicalguid=idcs-1"], "primTenant": True,
            "tenant_iss": "https://idcs-1.identity.oraclecloud.com:443",
        },
    ),
    Shape(
        "ibm-app-id",
        "https://eu-de.appid.cloud.ibm.com/oauth/v4/39a37f57-a227-4bfe-a044-93b6e6050a61",
        "c6f6bb37",
        {"alg": "RS256", "typ": "JOSE", "kid": "appId-39a37f57-2019"},
        {"aud": ["c6f6bb37"], "sub": "s", "amr": ["google"], "tenant": "39a37f57", "scope": "openid appid_default"},
        {"alg": None},
    ),
    Shape(
        "aws-sts",
        "https://a103a2cc-b461-473d-84fe-6c4f6d45af88.tokens.sts.global.api.aws",
        "https://api.example",
        {"alg": "RS256", "typ": "JWT", "kid": "RSA_0"},
        {
            "aud": "https://api.example", "sub": "arn:aws:iam::123456789012:role/Data", "jti": "j",
            "https://sts.amazonaws.com/": {"aws_account": "123456789012", "principal_tags": {"team": "data"}},
        },
        {"alg": None},
    ),
    *(
        Shape(
            provider,
            issuer,
            "orders",
            {"alg": "RS256", "kid": "k"},
            {
                "aud": ["orders"], "sub": "system:serviceaccount:shop:web", "jti": "j",
                "kubernetes.io": {
                    "namespace": "shop", "node": {"name": "n", "uid": "u"}, "pod": {"name": "p", "uid": "u"},
                    "serviceaccount": {"name": "web", "uid": "u"},
                },
            },
        )
        for provider, issuer in (
            ("gke", "https://container.googleapis.com/v1/projects/acme/locations/europe-west1/clusters/prod"),
            ("aks", f"https://westeurope.oic.prod-aks.azure.com/{GUID}/{GUID}/"),
            ("eks", "https://oidc-eks.eu-west-1.api.aws/id/0A1B2C3D"),
            ("eks", "https://oidc.eks.cn-north-1.amazonaws.com.cn/id/0A1B2C3D"),
        )
    ),
    Shape(
        "bitbucket",
        "https://api.bitbucket.org/2.0/workspaces/acme/pipelines-config/identity/oidc",
        f"ari:cloud:bitbucket::workspace/{GUID}",
        {"alg": "RS256", "kid": "k", "typ": "JWT"},
        {
            "aud": f"ari:cloud:bitbucket::workspace/{GUID}", "sub": "{repository-uuid}:{step}", "branchName": "main",
            "repositoryUuid": "{repository-uuid}", "stepUuid": "{step}", "workspaceUuid": f"{{{GUID}}}",
        },
    ),
    *(
        Shape(
            "github-actions",
            issuer,
            "https://api.example",
            {"typ": "JWT", "alg": "RS256", "x5t": "k", "kid": "38826b17-invented"},
            {"aud": "https://api.example", "sub": "repo:acme/a:ref:refs/heads/main", "repository_owner_id": "owner-id"},
        )
        for issuer in (
            "https://token.actions.githubusercontent.com/acme",
            "https://token.actions.acme.ghe.com",
            "https://github.corp.example/_services/token",
        )
    ),
    Shape(
        "gitlab-ci",
        "https://corp.example/gitlab",
        "https://api.example",
        {"kid": "k", "typ": "JWT", "alg": "RS256"},
        {
            "aud": "https://api.example", "sub": "project_path:g/p:ref_type:branch:ref:main", "jti": "j",
            "project_id": "project-id", "ref_protected": "true", "runner_id": 1,
        },
    ),
    Shape(
        "vault",
        "https://vault.example/v1/identity/oidc/provider/default",
        "orders",
        {"alg": "RS256", "kid": "1bd4-invented"},
        {"aud": "orders", "sub": "entity", "namespace": "root", "at_hash": "invented", "c_hash": "invented"},
    ),
    Shape(
        "descope",
        "https://api.euc1.descope.com/v1/apps/P2bInvented",
        "P2bInvented",
        {"alg": "RS256", "kid": "SK2invented", "typ": "JWT"},
        {"aud": ["P2bInvented"], "sub": "U2", "azp": "c", "scope": "tools"},
    ),
    Shape(
        "spring",
        "https://auth.example",
        "orders",
        {"kid": "k", "alg": "RS256"},
        {"sub": "web", "aud": "orders", "scope": ["message.read"], "jti": "j"},
        {"alg": None, "use": None},
    ),
    Shape(
        "openiddict",
        "https://id.example/",
        "orders",
        {"alg": "RS256", "kid": "k", "x5t": "k", "typ": "at+jwt"},
        {"sub": "u", "aud": "orders", "client_id": "c", "scope": "a b", "jti": "j", "oi_prst": "c", "oi_au_id": "x"},
    ),
    Shape(
        "better-auth",
        "https://app.example",
        "https://app.example",
        {"alg": "EdDSA", "kid": "k"},
        {"aud": "https://app.example", "sub": "u", "email": "a@corp.example", "createdAt": "2026-01-01T00:00:00.000Z"},
        {"use": None},
    ),
    Shape(
        "uaa",
        "https://corp.example/uaa/oauth/token",
        "orders",
        {"alg": "RS256", "jku": "https://corp.example/uaa/token_keys", "kid": "key-1", "typ": "JWT"},
        {
            "jti": "j", "sub": "u", "scope": ["orders.read", "openid"], "client_id": "web", "cid": "web", "azp": "web",
            "grant_type": "password", "user_id": "u", "origin": "uaa", "rev_sig": "r", "zid": "uaa",
            "aud": ["orders", "openid", "web"], "auth_time": NOW - 60,
        },
        {"value": "-----BEGIN PUBLIC KEY-----"},
    ),
    Shape(
        "wso2",
        "https://api.asgardeo.io/t/acme/oauth2/token",
        "orders",
        {"x5t": "k", "kid": "ZjQxInvented_RS256", "typ": "at+jwt", "alg": "RS256"},
        {
            "sub": "u", "aut": "APPLICATION_USER", "client_id": "c", "azp": "c", "aud": "orders", "scope": "read",
            "binding_type": "sso-session", "org_id": "o", "jti": "j",
        },
    ),
    Shape(
        "casdoor",
        "https://door.example",
        "c9f1",
        {"alg": "RS256", "kid": "cert-built-in", "typ": "JWT"},
        {
            "owner": "acme", "name": "alice", "sub": "21ff3de6", "tokenType": "access-token", "scope": "profile",
            "aud": ["c9f1"], "azp": "c9f1", "jti": "admin/b54c3ce9", "roles": [{"name": "buyer"}], "nonce": "",
        },
    ),
    Shape(
        "pomerium",
        "orders.example",
        "orders.example",
        {"alg": "ES256", "kid": "ccc5bc9d8"},
        {"aud": "orders.example", "sub": "u", "jti": "j", "email": "a@corp.example", "groups": ["g"], "user": "u"},
    ),
    Shape(
        "teleport",
        "teleport.example",
        "http://127.0.0.1:8080",
        {"alg": "RS256", "kid": "k"},
        {
            "aud": ["http://127.0.0.1:8080"], "sub": "bob", "username": "bob", "roles": ["admin"],
            "traits": {"logins": ["root"]},
        },
    ),
]  # fmt: skip


ID_TOKENS: list[tuple[str, dict[str, Any]]] = [
    # The client and the API are one app registration.
    ("entra", {"aud": "5d9a7e10", "ver": "2.0", "tid": GUID, "sub": "s", "uti": "u", "roles": ["Read"], "nonce": "n"}),
    ("entra-v1", {"aud": "5d9a7e10", "ver": "1.0", "tid": GUID, "sub": "s", "uti": "u", "roles": ["Read"]}),
    ("zitadel", {"aud": ["2@orders", "1414"], "sub": "u", "azp": "2@orders", "at_hash": "h", "amr": ["pwd"]}),
    ("stytch", {"aud": ["connected-app-live-1"], "sub": "u", "name": "Alice", "email": "a@corp.example"}),
    ("fusionauth", {"aud": "3c219e58", "sub": "u", "jti": "j", "applicationId": "3c219e58", "tty": "idt"}),
    ("spring", {"aud": ["orders"], "sub": "u", "azp": "orders", "nbf": None, "sid": "s", "jti": "j"}),
    # A session's.
    ("stytch", {"aud": ["project-live-1"], "sub": "u", "https://stytch.com/session": {"id": "s"}}),
]
"""Tokens for a client, signed by the same keys, whose audience may be the API's."""

CLIENTS = {
    "entra": "5d9a7e10-63b2-4e7f-a1c8-7f20d4b69e35",
    "entra-v1": "5d9a7e10-63b2-4e7f-a1c8-7f20d4b69e35",
    "zitadel": "1414",
    "stytch": "connected-app-live-1",
    "fusionauth": "3c219e58-ed0e-4b18-ad48-f4f92793ae32",
}
"""For whom the first of these are, by provider, as a client's id is written there."""

REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("casdoor", {"tokenType": "refresh-token"}, "`tokenType`"),
    ("oracle-idcs", {"tok_type": "IT"}, "`tok_type`"),
    ("sap-ias", {"cnf": {"x5t#S256": "invented"}}, "bound to a sender"),
    ("sap-ias", {"ias_apis": None}, "`ias_apis`"),
    ("ibm-app-id", {"scope": None}, "`scope`"),
    ("spring", {"aud": "web"}, "`orders` is wanted"),
    ("uaa", {"exp": NOW + 2_592_000}, "lives for"),
    ("entra-b2c-tfp", {"scp": None}, "`scp`"),
    ("bitbucket", {"repositoryUuid": "{other}"}, "`repositoryUuid`"),
    ("gke", {"kubernetes.io": None}, "`kubernetes.io`"),
    ("wso2", {"aud": ["web"]}, "`orders` is wanted"),
]
"""Tokens of the same issuers, signed by the same keys, that give no access: what they say otherwise, and why not."""

_SWITCHES = ("tokenTypes", "keyAlgAbsent", "keyUse", "requiredClaims", "ignoredHeaderParameters")


def _named(shape: Shape) -> str:
    return shape.provider


def _decided(shape: Shape, spec: dict[str, Any]) -> tuple[str, str]:
    """The reason of the answer, and its detail."""
    name = {"RS256": "rsa-shape", "ES256": "ec-shape", "EdDSA": "ed-shape"}[shape.header["alg"]]
    members = {**issuing.jwk(name), **shape.key, "kid": shape.header["kid"]}
    key_set = {"keys": [{name: value for name, value in members.items() if value is not None}]}
    asked = Asked(
        obj("TokenIssuer", "provider", {**spec, "keys": {"inline": key_set}}),
        policy("p", {"name": "r", "token": {"issuers": [{"name": "provider"}]}}),
    )
    whole = {"iss": shape.issuer, **TIMES, **shape.claims}
    said = {name: value for name, value in whole.items() if value is not None or name not in TIMES}
    reason = asked.reason("/", issuing.compact(json.dumps(shape.header).encode(), json.dumps(said).encode(), name))
    return reason, getattr(getattr(asked.seen[-1].verdict, "refusal", None), "detail", "")


def _spec(shape: Shape) -> dict[str, Any]:
    text = PROVIDERS[shape.provider].write(shape.issuer, shape.audience).replace("FILL-IN-", "")
    written: dict[str, Any] = yaml.safe_load(text)
    return written


@pytest.mark.parametrize("shape", SHAPES, ids=_named)
def test_a_scaffold_lets_its_providers_tokens_in(shape: Shape) -> None:
    assert _decided(shape, _spec(shape)) == ("allow", "")


@pytest.mark.parametrize("shape", SHAPES, ids=_named)
def test_a_token_that_is_refused_for_want_of_a_setting_names_it(shape: Shape) -> None:
    whole = _spec(shape)
    refused = set()
    for switch in [name for name in _SWITCHES if name in whole]:
        reason, detail = _decided(shape, {name: value for name, value in whole.items() if name != switch})
        if reason != "allow":
            refused.add(switch)
            assert f"`{switch}`" in detail
    # A setting may be for others of the provider's tokens, but these types are what this one has.
    assert ("tokenTypes" in refused) == (shape.header.get("typ") != "at+jwt")
    assert ("ignoredHeaderParameters" in refused) == (not shape.header.keys().isdisjoint({"jku", "zip"}))


@pytest.mark.parametrize(("provider", "claims"), ID_TOKENS, ids=[row[0] for row in ID_TOKENS])
def test_a_scaffold_keeps_id_tokens_out(provider: str, claims: dict[str, Any]) -> None:
    good = next(shape for shape in SHAPES if shape.provider == provider)
    reason, detail = _decided(replace(good, claims=claims), _spec(good))
    assert reason in {"token_malformed", "audience_mismatch"}
    assert "`claimPresent`" in detail or "`claimEquals`" in detail or "is wanted" in detail


@pytest.mark.parametrize(("provider", "audience"), CLIENTS.items(), ids=CLIENTS)
def test_what_lint_notes_does_let_id_tokens_in(provider: str, audience: str) -> None:
    shape = next(shape for shape in SHAPES if shape.provider == provider)
    claims = next(claims for name, claims in ID_TOKENS if name == provider)
    token = replace(shape, audience=audience, claims={**claims, "aud": audience})
    spec = _spec(token)
    spec.pop("claimPresent", None)
    spec.get("claimEquals", {}).pop("tty", None)
    parsed = parse(obj("TokenIssuer", "provider", spec))
    assert isinstance(parsed, Parsed)
    assert len(list(id_tokens_let_in([parsed]))) == 1
    assert _decided(token, spec) == ("allow", "")


@pytest.mark.parametrize(("provider", "changes", "words"), REFUSED, ids=[f"{row[0]} {row[2]}" for row in REFUSED])
def test_a_scaffold_keeps_its_providers_other_tokens_out(provider: str, changes: dict[str, Any], words: str) -> None:
    good = next(shape for shape in SHAPES if shape.provider == provider)
    claims = {name: value for name, value in {**good.claims, **changes}.items() if value is not None}
    reason, detail = _decided(replace(good, claims=claims), _spec(good))
    assert reason != "allow"
    assert words in detail

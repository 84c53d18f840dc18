"""What real identity providers issue, by the published collection of their shapes: each entry is accepted or refused as
it says, under the settings that it names. Values are invented, keys are made here."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from extauthz.cli.issuer.providers import PROVIDERS
from extauthz.model.encoding import base64url_encode
from extauthz.policy.parse import Parsed, parse
from tests import issuing
from tests.building import obj, policy
from tests.vectors.published import VECTORS, absent
from tests.worlds import Asked

FILE = VECTORS / "providers.json"
ENTRIES: list[dict[str, Any]] = json.loads(FILE.read_text()) if FILE.exists() else []
pytestmark = pytest.mark.skipif(not ENTRIES, reason=absent(VECTORS))

# Told by the collection for other validators; here it is so without a setting.
_ALWAYS = ("skipUnusableKeys", "keySelection")
_REASONS = {
    "signature_invalid": {"signature_invalid"},
    "key_unknown": {"key_unknown"},
    "claimEquals token_use": {"token_malformed"},
    "lifetime": {"token_too_long_lived"},
    "audience": {"audience_mismatch"},
}


def _named(entry: Mapping[str, Any]) -> str:
    return f"{entry['provider']}/{entry['token']}"


ACCEPTED = [entry for entry in ENTRIES if entry["verdict"] == "accept"]
REFUSED = [entry for entry in ENTRIES if entry["verdict"] != "accept"]
ISOLATED = [entry for entry in REFUSED if entry.get("isolate")]
BY_NAME = {_named(entry): entry for entry in ENTRIES}


def _name(shape: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
    """Which of the keys made here stands for a key of the shape: one for each `kid`."""
    kinds = {"RSA": "rsa", "EC": "ec", "OKP": "ed"}
    kids = list(dict.fromkeys(key.get("kid") for key in entry["jwks_shape"]["keys"]))
    return f"{kinds[shape['kty']]}-provider-{kids.index(shape.get('kid'))}"


def _jwk(shape: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    if shape["kty"] not in {"RSA", "EC", "OKP"}:
        return {"kty": shape["kty"], "kid": shape["kid"], "alg": shape["alg"], "use": shape["use"], "pub": "AAAA"}
    made = issuing.jwk(_name(shape, entry))
    said = {name: shape.get(name) for name in ("kid", "alg", "use")}
    members = {**made, **said, **shape.get("extra", {})}
    if shape.get("x5t"):
        members["x5t"] = shape["kid"] if shape["x5t"] == "=kid" else base64url_encode(b"t" * 20)
    if shape.get("x5c"):
        members["x5c"] = ["bm90IGEgY2VydGlmaWNhdGU="]
    return {name: value for name, value in members.items() if value is not None}


def _key_set(entry: Mapping[str, Any]) -> dict[str, Any]:
    shape = entry["jwks_shape"]
    if "body" in shape:
        return dict(shape["body"])
    return {"keys": [_jwk(key, entry) for key in shape["keys"]], **shape.get("extra_top_level", {})}


def _header(entry: Mapping[str, Any]) -> bytes:
    # Keycloak writes blanks into its header.
    spaces = (", ", " : ") if entry["provider"] == "keycloak" else (",", ":")
    return json.dumps(entry["header"], separators=spaces).encode()


def _minted(entry: Mapping[str, Any]) -> str:
    head, payload = _header(entry), json.dumps(entry["claims"]).encode()
    if entry["header"]["alg"].startswith("HS"):
        return issuing.hmac_token(b"s" * 64, entry["header"], entry["claims"])
    shapes = [key for key in entry["jwks_shape"]["keys"] if key.get("kid") == entry["jwks_shape"]["signing_kid"]]
    key = _name(shapes[0], entry) if shapes else "rsa-unpublished"
    if "nonce" not in entry["header"]:
        return issuing.compact(head, payload, key)
    # What is signed has the nonce's hash in its place (Microsoft Graph).
    nonce = base64url_encode(hashlib.sha256(entry["header"]["nonce"].encode()).digest())
    signed = issuing.compact(json.dumps({**entry["header"], "nonce": nonce}).encode(), payload, key)
    return f"{base64url_encode(head)}.{signed.split('.', 1)[1]}"


def _spec(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as a TokenIssuer is written."""
    spec = {name: value for name, value in settings.items() if name not in _ALWAYS}
    keys = dict(spec["keys"])
    if "use" in keys:
        spec["keyUse"] = keys.pop("use")
    if spec.get("caBundle") == "cluster CA":
        # What a TokenIssuer trusts anyway when it shows its own ServiceAccount.
        del spec["caBundle"]
    return {**spec, "keys": keys}


def _decided(entry: Mapping[str, Any], settings: Mapping[str, Any]) -> tuple[str, str]:
    """The reason of the answer, and its detail."""
    spec = _spec(settings)
    member = {name: value for name, value in spec["keys"].items() if name == "keyIssuerMember"}
    issuer = obj("TokenIssuer", "provider", {**spec, "keys": {"inline": _key_set(entry), **member}})
    asked = Asked(issuer, policy("p", {"name": "r", "token": {"issuers": [{"name": "provider"}]}}))
    assert not asked.snapshot or asked.snapshot.problems == ()
    reason = asked.reason("/", _minted(entry))
    verdict = asked.seen[-1].verdict
    return reason, getattr(getattr(verdict, "refusal", None), "detail", "")


_OWN: dict[str, dict[str, Any]] = {
    "hydra": {"issuer": "https://hydra.acme.example/", "tokenTypes": ["JWT"], "audiences": ["orders-api"]},
    "authentik": {
        "issuer": "https://auth.acme.example/application/o/orders/",
        "tokenTypes": ["JWT"],
        "audiences": ["c9Kinvented7Qz"],
        "claimPresent": ["azp", "uid"],
    },
    "stytch": {"issuer": "stytch.com/project-live-1a2b3c4d-invented", "tokenTypes": ["JWT"], "audiences": ["client-1"]},
    "gitlab-ci": {"issuer": "https://gitlab.com", "tokenTypes": ["JWT"], "audiences": ["https://orders.example"]},
}
"""For providers of which the collection has no accepted shape."""


def _against(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings that the entry names, or those of another token of its provider."""
    found = [BY_NAME.get(entry["against"]), *(e for e in ACCEPTED if e["provider"] == entry["provider"])]
    named = next((e["settings_needed"] for e in found if e is not None), None)
    return named or {"keys": {}, "maxLifetime": "24h", "reuseKeyFallback": "Token", **_OWN[entry["provider"]]}


def _settings() -> Iterator[tuple[str, Mapping[str, Any]]]:
    for entry in ACCEPTED:
        yield _named(entry), entry["settings_needed"]
    for entry in ISOLATED:
        yield f"{_named(entry)} isolated", entry["isolate"]["settings"]


@pytest.mark.parametrize(("name", "settings"), list(_settings()))
def test_the_settings_named_can_be_written(name: str, settings: Mapping[str, Any]) -> None:
    found = parse(obj("TokenIssuer", "provider", _spec(settings)))
    assert isinstance(found, Parsed), [str(problem) for problem in found.problems]


@pytest.mark.parametrize("entry", ACCEPTED, ids=_named)
def test_a_token_is_accepted_under_the_settings_named(entry: Mapping[str, Any]) -> None:
    assert _decided(entry, entry["settings_needed"]) == ("allow", "")


@pytest.mark.parametrize("entry", [e for e in ACCEPTED if "typ_not_at+jwt" in e["breaks"]], ids=_named)
def test_a_token_that_is_no_rfc_9068_token_is_refused_without_the_settings(entry: Mapping[str, Any]) -> None:
    needed = entry["settings_needed"]
    plain = {name: needed[name] for name in ("issuer", "issuerTemplate", "tenants", "trustDomain") if name in needed}
    reason, _ = _decided(entry, {**plain, "keys": {}, "audiences": needed["audiences"]})
    assert reason not in {"allow", "internal", "policy_invalid"}


@pytest.mark.parametrize("entry", REFUSED, ids=_named)
def test_a_token_is_refused_under_the_settings_of_its_provider(entry: Mapping[str, Any]) -> None:
    reason, detail = _decided(entry, _against(entry))
    assert reason not in {"allow", "internal", "policy_invalid", "not_ready"}
    assert detail


@pytest.mark.parametrize("entry", ISOLATED, ids=_named)
def test_a_token_is_refused_for_its_one_defect(entry: Mapping[str, Any]) -> None:
    reason, _ = _decided(entry, entry["isolate"]["settings"])
    assert reason in _REASONS[entry["isolate"]["expect"]]


SCAFFOLDS: dict[str, tuple[str, dict[str, Any]]] = {
    "entra/v1.0 user access token": ("entra-v1", {}),
    "entra/v2.0 application (client credentials) access token": ("entra", {}),
    "entra/v2.0 multi-tenant access token, keys from the common endpoint": ("entra-multitenant", {}),
    "azure-managed-identity/IMDS token for our own app registration": ("azure-managed-identity", {}),
    "okta/custom authorization server, user access token": ("okta", {}),
    "auth0/default profile, user": ("auth0", {}),
    "auth0/RFC 9068 profile, user": ("auth0-rfc9068", {}),
    "keycloak/24 and older, access token with an audience mapper": ("keycloak", {}),
    "keycloak/client with the at+jwt switch on": ("keycloak", {}),
    "cognito/user pool access token": ("cognito", {}),
    "cognito/user pool client credentials": ("cognito", {}),
    "google/ID token of a service account (metadata server or IAM)": ("google", {}),
    "google/self-signed service-account JWT": ("google-service-account", {}),
    "firebase/ID token": ("firebase", {}),
    "apple/identity token": ("apple", {}),
    "kubernetes/projected ServiceAccount token, 1.30 and newer": ("kubernetes", {}),
    "github-actions/OIDC token, names in sub": ("github-actions", {"claimEquals": {}}),
    "github-actions/OIDC token, immutable sub (repositories since 2026-07-15)": ("github-actions", {"claimEquals": {}}),
    "spiffe/JWT-SVID, keys from a SPIFFE bundle": ("spiffe", {}),
    "spiffe/JWT-SVID, keys from SPIRE's OIDC discovery provider": (
        "spire-oidc",
        {"subjectPattern": "spiffe://acme.example/"},
    ),
    "curity/JWT access token": ("curity", {}),
    "pingone/client credentials access token (no sub)": ("pingone", {}),
    "zitadel/JWT access token": ("zitadel", {}),
    "dex/ID token (the access token has the same shape)": ("dex", {}),
    "forgerock-am/access token; one kid for several algorithms": ("forgerock", {}),
    "clerk/session token (browser)": ("clerk", {}),
    "workos/MCP access token (AuthKit domain)": ("workos", {}),
}
"""Accepted shapes, the scaffold for each, and what an operator fills in by hand."""


def _scaffolded(entry: Mapping[str, Any]) -> dict[str, Any]:
    name, filled = SCAFFOLDS[_named(entry)]
    needed = entry["settings_needed"]
    url = (
        needed["issuer"]
        if needed.get("issuer", "Absent") != "Absent"
        else entry["claims"].get("iss", "https://acme.example")
    )
    text = PROVIDERS[name].spec
    values = {**(_groups(name, url)), "issuer": url, "audience": needed["audiences"][0]}
    for placeholder, value in values.items():
        text = text.replace(f"<{placeholder}>", value)
    return {**yaml.safe_load(text), **filled}


def _groups(name: str, url: str) -> Mapping[str, str]:
    """The groups of the provider's URL; the invented hosts of the collection are not always the provider's own."""
    found = re.fullmatch(PROVIDERS[name].url, url)
    return found.groupdict() if found is not None else {}


@pytest.mark.parametrize("entry", [e for e in ACCEPTED if _named(e) in SCAFFOLDS], ids=_named)
def test_a_scaffold_lets_its_providers_tokens_in(entry: Mapping[str, Any]) -> None:
    assert _decided(entry, _scaffolded(entry)) == ("allow", "")


def test_nearly_every_accepted_shape_has_a_scaffold() -> None:
    assert {_named(entry) for entry in ACCEPTED} - SCAFFOLDS.keys() == {
        "keycloak/25 and newer, client without the `basic` scope (no sub)",  # by `requiredClaims: []`
        "dex/ID token for a trusted peer",
        "descope/MCP access token, agentic issuer",  # by `issuerAliases`
    }

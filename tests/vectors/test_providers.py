"""What real identity providers issue, by the published collection of their shapes: each entry is accepted or refused as
it says, under the settings that it names. Values are invented, keys are made here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

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

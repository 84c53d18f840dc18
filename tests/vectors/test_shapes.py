"""Tokens and key sets as issuers make them that no collection here has: what each comes to, and the words that an
operator reads. Written from the issuers' documentation; values are invented, keys are made here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from extauthz.model.encoding import base64url_encode
from tests.building import NOW, obj, policy
from tests.unit.keys import made
from tests.worlds import Asked

ISSUER = "https://id.example"
GUID = "3f6c1d2e-7a44-4c0b-9d53-0c8f1e5a7b21"
CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
JWT: Mapping[str, Any] = {"tokenTypes": ["JWT"]}


def _private(alg: str, name: str) -> Any:
    if alg in CURVES:
        return made.ec_key(name, CURVES[alg])
    return made.ed_key(name) if alg.startswith("Ed") else made.rsa_key(name)


def jwk(alg: str = "RS256", kid: Any = "k", name: str = "k", **members: Any) -> dict[str, Any]:
    """The public key that verifies tokens of this algorithm, with members changed; None removes one."""
    if alg in CURVES:
        return made.ec_jwk(kid, name, CURVES[alg], alg, **members)
    return (
        made.ed_jwk(kid, name, alg=alg, **members)
        if alg.startswith("Ed")
        else made.rsa_jwk(kid, name, **{"alg": alg, **members})
    )


@dataclass(frozen=True)
class Shape:
    """A token, the settings of its issuer, and what a rule asks for."""

    name: str
    claims: Mapping[str, Any] = field(default_factory=dict)
    """Besides those of every token; `...` takes one away."""
    spec: Mapping[str, Any] = field(default_factory=lambda: JWT)
    """The settings besides `issuer`, `audiences` and `keys`."""
    header: Mapping[str, Any] = field(default_factory=dict)
    """Besides `alg`, `typ: JWT` and `kid: k`; `...` takes one away."""
    keys: tuple[Mapping[str, Any], ...] = ()
    """The key set; none for the one key that signs."""
    rule: Mapping[str, Any] = field(default_factory=dict)
    alg: str = "RS256"
    signer: str = "k"


def _whole(*parts: Mapping[str, Any]) -> bytes:
    merged = {name: value for part in parts for name, value in part.items()}
    return json.dumps({name: value for name, value in merged.items() if value is not ...}).encode()


def _token(shape: Shape) -> str:
    claims = {"iss": ISSUER, "aud": "orders", "sub": "u", "iat": NOW - 10, "exp": NOW + 300}
    header = _whole({"alg": shape.alg, "typ": "JWT", "kid": "k"}, shape.header)
    signed = f"{base64url_encode(header)}.{base64url_encode(_whole(claims, shape.claims))}"
    # An algorithm that cannot be checked here needs no signature: the token is refused before.
    known = (
        made.sign(shape.alg, _private(shape.alg, shape.signer), signed.encode()) if shape.alg in ALGORITHMS else b"?"
    )
    return f"{signed}.{base64url_encode(known)}"


ALGORITHMS = {*CURVES, "RS256", "RS512", "PS256", "EdDSA", "Ed25519"}


def _decided(shape: Shape, spec: Mapping[str, Any]) -> tuple[str, str]:
    """The reason of the answer, and its detail."""
    keys = list(shape.keys) or [jwk(shape.alg)]
    issuer = {"issuer": ISSUER, "audiences": ["orders"], **spec, "keys": {"inline": {"keys": keys}}}
    token = {"issuers": [{"name": "provider"}], **shape.rule.get("token", {})}
    asked = Asked(obj("TokenIssuer", "provider", issuer), policy("p", {"name": "r", **shape.rule, "token": token}))
    assert asked.snapshot is not None
    assert asked.snapshot.problems == (), list(map(str, asked.snapshot.problems))
    header = token.get("from", {}).get("header")
    text = _token(shape)
    reason = asked.reason("/", headers={header: text}) if header else asked.reason("/", text)
    return reason, getattr(getattr(asked.seen[-1].verdict, "refusal", None), "detail", "")


REFUSED: list[tuple[Shape, str, str]] = [
    # Nomad before an `oidc_issuer` is set.
    (Shape("no issuer", {"iss": ..., "nomad_namespace": "default"}), "token_malformed", "the token has no `iss`"),
    (Shape("an issuer that is null", {"iss": None}), "token_malformed", "`iss` is null, not a text"),
    (Shape("an issuer with a slash", {"iss": f"{ISSUER}/"}), "issuer_untrusted", "byte for byte"),
    (Shape("an audience with a slash", {"aud": "orders/"}), "audience_mismatch", "`orders` is wanted, byte for byte"),
    # Written by hand in many languages.
    (Shape("a time in text", {"exp": str(int(NOW + 300))}), "token_malformed", "`exp` is the text `1790000300`"),
    (
        Shape("times in milliseconds", {"iat": NOW * 1000, "exp": (NOW + 300) * 1000}),
        "token_not_yet_valid",
        "it seems to be in milliseconds",
    ),
    (
        Shape("an end in milliseconds", {"iat": ..., "exp": (NOW + 300) * 1000}),
        "token_too_long_lived",
        "it seems to be in milliseconds",
    ),
    (Shape("a subject that is a number", {"sub": 4711}), "token_malformed", "`sub` is a number, wanted is a text"),
    (Shape("a client that is null", {"client_id": None}), "token_malformed", "`client_id` is null, wanted is a text"),
    (Shape("an id that is a number", {"jti": 4711}), "token_malformed", "`jti` is a number, wanted is a text"),
    (
        Shape("a client that is an array", {"aud": ["orders"]}, {**JWT, "mapping": {"client": ["aud"]}}),
        "token_malformed",
        "`aud` is an array, wanted is a text",
    ),
    # What a key set says of its keys.
    (
        Shape("an algorithm that nobody checks", {}, alg="ES256K", keys=(jwk(),)),
        "signature_invalid",
        "no `algorithms` can name it, since it cannot be checked here",
    ),
    (Shape("a shared secret", {}, alg="HS256", keys=(jwk(),)), "signature_invalid", "sign with a key pair"),
    (
        Shape("an algorithm that is not listed", {}, {**JWT, "algorithms": ["RS256"]}, alg="ES384", keys=(jwk(),)),
        "signature_invalid",
        "add `ES384` to its `algorithms`",
    ),
    (
        Shape("PS256 with a key for RS256", {}, alg="PS256", keys=(jwk("RS256"),)),
        "key_unknown",
        "the key of that name in its set is for `RS256` alone",
    ),
    (
        Shape("a key without the `kid` that the token names", {}, keys=(jwk(kid=None),)),
        "key_unknown",
        "such a key is for tokens without `kid`",
    ),
    (
        Shape(
            "no `kid`, and more keys than are tried",
            {},
            header={"kid": ..., "x5t": "k"},
            keys=(*(jwk(kid=f"a{number}", name=f"a{number}") for number in range(4)), jwk(kid="k")),
        ),
        "signature_invalid",
        "fits none of the 4 keys that are tried for a token without `kid` (let the issuer name its key)",
    ),
    (
        Shape("no `kid`, and another's key", {}, header={"kid": ...}, signer="other"),
        "signature_invalid",
        "fits none of the keys, as the token names none by `kid`",
    ),
    # What tells access tokens from others.
    (
        Shape("a text for a truth value", {"ref_protected": "true"}, {**JWT, "claimEquals": {"ref_protected": True}}),
        "token_malformed",
        "the claim `ref_protected` is a text, and not a truth value `true`",
    ),
    (
        Shape("a claim that is missing", {}, {**JWT, "claimEquals": {"typ": "Bearer"}}),
        "token_malformed",
        "the claim `typ` is missing, and not `Bearer`",
    ),
    (
        Shape("another version", {"ver": "1.0"}, {**JWT, "claimEquals": {"ver": "2.0"}}),
        "token_malformed",
        "the claim `ver` is not `2.0`, as `claimEquals` of TokenIssuer shop/provider demands",
    ),
    # Where scopes, roles and clients are looked for.
    (
        Shape("scopes under another claim", {"scp": ["read"]}, rule={"require": {"scopes": ["read"]}}),
        "scope_missing",
        "none of the claims of `mapping.scope` of TokenIssuer shop/provider, which are `scope`; it has `scp`",
    ),
    (
        Shape(
            "scopes that an issuer does not say",
            {"permissions": ["read"]},
            {**JWT, "mapping": {"scope": []}},
            rule={"require": {"scopes": ["read"]}},
        ),
        "scope_missing",
        "TokenIssuer shop/provider has no `mapping.scope`; it has `permissions`",
    ),
    (
        Shape("no scopes at all", {}, rule={"require": {"scopes": ["read"]}}),
        "scope_missing",
        "none of the claims of `mapping.scope` of TokenIssuer shop/provider, which are `scope`",
    ),
    (
        Shape(
            "roles of a Keycloak client after the realm's",
            {"realm_access": {"roles": ["offline_access"]}, "resource_access": {"orders": {"roles": ["buyer"]}}},
            {**JWT, "mapping": {"roles": ["/realm_access/roles", "/resource_access/orders/roles"]}},
            rule={"require": {"roles": ["buyer"]}},
        ),
        "claim_refused",
        "they are read from `/realm_access/roles`, the first claim of `mapping.roles`",
    ),
    (
        Shape("groups that nobody mapped", {"groups": ["buyer"]}, rule={"require": {"roles": ["buyer"]}}),
        "claim_refused",
        "TokenIssuer shop/provider has no `mapping.roles`; it has `groups`",
    ),
    # Casdoor.
    (
        Shape(
            "roles that are objects",
            {"roles": [{"name": "buyer"}]},
            {**JWT, "mapping": {"roles": ["roles"]}},
            rule={"require": {"roles": ["buyer"]}},
        ),
        "token_malformed",
        "the roles in `roles` are an array of other things, and `rolesShape: Names` takes a text or an array of texts",
    ),
    (
        Shape("roles that are names in an object", {"roles": {"a": {}}}, {**JWT, "mapping": {"roles": ["roles"]}}),
        "token_malformed",
        "the roles in `roles` are an object, and `rolesShape: Names` takes a text or an array of texts; `ObjectKeys`",
    ),
    (
        Shape(
            "a limit for each client",
            {"cid": "web"},
            rule={"limits": [{"name": "each", "by": ["Client"], "requests": 5, "window": "1m"}]},
        ),
        "claim_refused",
        "counts by a value that is missing: client (`mapping.client` of TokenIssuer shop/provider",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "reason", "words"), REFUSED, ids=[row[0].name for row in REFUSED])
def test_a_token_that_is_refused_says_why(shape: Shape, reason: str, words: str) -> None:
    found, detail = _decided(shape, shape.spec)
    assert (found, words in detail) == (reason, True), detail

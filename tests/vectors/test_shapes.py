"""Tokens and key sets as issuers make them that no collection here has: what each comes to, and the words that an
operator reads. Written from the issuers' documentation; values are invented, keys are made here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from extauthz.model.encoding import base64url_encode
from tests import issuing
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


def jwk(alg: str = "RS256", /, kid: Any = "k", name: str = "k", **members: Any) -> dict[str, Any]:
    """The public key that verifies tokens of this algorithm, with members changed; None removes one."""
    changed = {"alg": alg, **members}
    if alg in CURVES:
        return made.ec_jwk(kid, name, CURVES[alg], **changed)
    return made.ed_jwk(kid, name, **changed) if alg.startswith("Ed") else made.rsa_jwk(kid, name, **changed)


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
    text = _token(shape).replace(".", "==.") if shape.rule is ALB else _token(shape)
    reason = asked.reason("/", headers={header: text}) if header else asked.reason("/", text)
    return reason, getattr(getattr(asked.seen[-1].verdict, "refusal", None), "detail", "")


BARE: Mapping[str, Any] = {"tokenTypes": ["Absent"], "mapping": {"client": [], "scope": []}}
NO_TYP: Mapping[str, Any] = {"typ": ...}

ACCEPTED: list[Shape] = [
    # How tokens are signed.
    *(
        Shape(f"signed with {alg}", {}, alg=alg, keys=(jwk(alg), jwk("RS256", "other", "other")))
        for alg in ("ES256", "ES384", "ES512", "PS256", "RS512", "EdDSA")
    ),
    Shape("the name of RFC 9864, and a key that says `EdDSA`", {}, alg="Ed25519", keys=(jwk("EdDSA"),)),
    Shape("`EdDSA`, and a key with the name of RFC 9864", {}, alg="EdDSA", keys=(jwk("Ed25519"),)),
    Shape("one key for many algorithms, and `alg` in none", {}, {**JWT, "keyAlgAbsent": "FromAlgorithms"}, alg="PS256",
          keys=(jwk("PS256", alg=None),)),
    Shape("no `kid`, `x5t` alone", {}, header={"kid": ..., "x5t": "k"}),
    # Docker's registry tokens; keys of old.
    Shape("no `kid`, and certificates in the header", {}, {**JWT, "ignoredHeaderParameters": ["x5c"]},
          {"kid": ..., "x5c": ["MIIC"]}, (jwk(kid=None),)),
    # Teleport: each key twice. Gluu: keys for encrypting, and one on a curve that nobody checks here.
    Shape("a key set with a key that has an empty `kid`", {}, keys=(jwk(), jwk(kid=""))),
    Shape("a key set with keys of all kinds", {"x5t#S256": "", "token_type": "Bearer"}, header={"typ": "jwt"}, keys=(
        jwk(kid="e", name="e", use="enc", alg="RSA-OAEP"), jwk(exp=1790003600000),
        made.ec_jwk("c", "c", "secp256k1", "ES256K"), made.oct_jwk("s"),
    )),
    # NHS login repeats claims in the header.
    Shape("claims in the header", {}, header={"sub": "u", "aud": "x", "iss": "y", "exp": 1, "iat": 1, "jti": "j"}),
    # When.
    Shape("times with fractions", {"iat": NOW - 0.5, "exp": NOW + 200.75}),
    Shape("a clock a second ahead", {"iat": NOW + 1, "nbf": NOW + 1}),
    # Whose, and for whom.
    Shape("an issuer without a scheme", {"iss": "accounts.google.com"},
          {**JWT, "issuerAliases": ["accounts.google.com"]}),
    Shape("an issuer that is an e-mail address", {"iss": "chat@system.gserviceaccount.com", "sub": ...},
          {**JWT, "issuer": "chat@system.gserviceaccount.com", "requiredClaims": []}),
    # Bot Framework; `endorsements` in its keys.
    Shape("no subject", {"sub": ..., "serviceurl": "https://smba.example"}, {**JWT, "requiredClaims": []},
          keys=(jwk(endorsements=["msteams"]),)),
    # Maskinporten.
    Shape("a subject deep inside", {"sub": ..., "consumer": {"authority": "iso6523-actorid-upis", "ID": "0192:999"}},
          {"tokenTypes": ["Absent"], "requiredClaims": [], "mapping": {"subject": ["/consumer/ID"]}}, NO_TYP,
          rule={"limits": [{"name": "each", "by": ["Subject"], "requests": 5, "window": "1m"}]}),
    Shape("one of several audiences", {"aud": ["https://id.example/userinfo", "orders"]}),
    # Privy, Better Auth, LinkedIn: ID tokens.
    Shape("next to nothing", {}, BARE, NO_TYP),
    # Scopes and roles.
    Shape("scopes in an array", {"scope": ["read", "openid"]}, rule={"require": {"scopes": ["read"]}}),
    Shape("scopes in `scp`", {"scp": "read write"}, {**JWT, "mapping": {"scope": ["scp"]}},
          rule={"require": {"scopes": ["read"]}}),
    Shape("roles in a namespace", {"https://acme.example/roles": ["buyer"]},
          {**JWT, "mapping": {"roles": ["https://acme.example/roles"]}}, rule={"require": {"roles": ["buyer"]}}),
    Shape("roles in an object in a namespace", {"https://hasura.io/jwt/claims": {"x-hasura-allowed-roles": ["buyer"]}},
          {**JWT, "mapping": {"roles": ["/https:~1~1hasura.io~1jwt~1claims/x-hasura-allowed-roles"]}},
          rule={"require": {"roles": ["buyer"]}}),
    Shape("roles of a client", {"realm_access": {"roles": ["x"]}, "resource_access": {"orders": {"roles": ["buyer"]}}},
          {**JWT, "mapping": {"roles": ["/resource_access/orders/roles"]}}, rule={"require": {"roles": ["buyer"]}}),
    Shape("claims of an account in a namespace", {"https://sts.amazonaws.com/": {"aws_account": "123456789012"}},
          {**JWT, "claimEquals": {"/https:~1~1sts.amazonaws.com~1/aws_account": "123456789012"}}),
    Shape("two hundred groups", {"groups": [f"{GUID}-{number:03}" for number in range(200)]},
          {**JWT, "mapping": {"roles": ["groups"]}}, rule={
              "token": {"maxLength": 16384}, "require": {"roles": [f"{GUID}-199"]},
          }),
    # Elsewhere than in `Authorization`.
    Shape("a proxy's own header", {"groups": ["g"]}, BARE, NO_TYP, rule={
        "token": {"from": {"header": "x-pomerium-jwt-assertion"}},
    }),
    Shape("a token without an id, counted", {}, {**JWT, "reuseKeyFallback": "Token"},
          rule={"reuse": {"maxUses": 1, "key": "Jti"}}),
    Shape("an id under another name, counted", {"uti": "u-1"}, {**JWT, "mapping": {"tokenId": ["uti"]}},
          rule={"reuse": {"maxUses": 1, "key": "Jti"}}),
]  # fmt: skip


@pytest.mark.parametrize("shape", ACCEPTED, ids=[shape.name for shape in ACCEPTED])
def test_a_token_is_accepted_under_the_settings_that_its_issuer_needs(shape: Shape) -> None:
    assert _decided(shape, shape.spec) == ("allow", "")


def _without(spec: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The settings, each time without one: what it is called, and what is left."""
    mapping: dict[str, Any] = spec.get("mapping", {})
    for name in spec.keys() - {"mapping", "issuer", "claimEquals"}:
        yield name, {each: value for each, value in spec.items() if each != name}
    for name in mapping:
        yield f"mapping.{name}", {**spec, "mapping": {each: path for each, path in mapping.items() if each != name}}


@pytest.mark.parametrize("shape", ACCEPTED, ids=[shape.name for shape in ACCEPTED])
def test_without_one_of_its_settings_a_token_is_accepted_or_the_setting_is_named(shape: Shape) -> None:
    for name, spec in _without(shape.spec):
        reason, detail = _decided(shape, spec)
        assert reason == "allow" or f"`{name}" in detail, (name, detail)
        assert reason != "allow" or name != "tokenTypes"


ALB: Mapping[str, Any] = {"token": {"from": {"header": "x-amzn-oidc-data"}}}

REFUSED: list[tuple[Shape, str, str]] = [
    # Nomad before an `oidc_issuer` is set.
    # The load balancer of AWS pads what it signs.
    (Shape("padding", {}, rule=ALB), "credential_malformed", "the segments of a JWT have no padding"),
    # Twilio.
    (Shape("a content type", {}, header={"cty": "twilio-fpa;v=1"}), "token_malformed", "the token's header has `cty`"),
    # Kubernetes before projected volumes.
    (Shape("a token that never ends", {"iat": ..., "exp": ...}), "token_malformed", "the token has no `exp`"),
    # SAP, FAPI, DPoP: to whom the token is bound is not confirmed here.
    (Shape("a token bound to a sender", {"cnf": {"x5t#S256": "x"}}), "sender_mismatch", "bound to a sender by `cnf`"),
    # PropelAuth, IBM Cloud IAM, WorkOS: nobody's.
    (Shape("no audience", {"aud": ...}), "audience_mismatch", "name the claim that holds the audience"),
    (
        Shape("two hundred groups", {"groups": [f"{GUID}-{number:03}" for number in range(200)]}),
        "token_malformed",
        "allowed are 8192 (`token.maxLength` of the rule)",
    ),
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


def _secret(document: str) -> Asked:
    """An issuer that signs with a secret which we share, and what stands in the Secret."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "shop"}}
    issuer = {"issuer": ISSUER, "audiences": ["orders"], "tokenTypes": ["JWT"], "algorithms": ["HS256"]}
    return Asked(
        {**secret, "stringData": {"k": document}},
        obj("TokenIssuer", "provider", {**issuer, "keys": {"secretRef": {"name": "s", "key": "k"}}}),
        policy("p", {"name": "r", "token": {"issuers": [{"name": "provider"}]}}),
    )


def _detail(asked: Asked, token: str) -> str:
    assert asked.reason("/", token) != "allow"
    return str(getattr(getattr(asked.seen[-1].verdict, "refusal", None), "detail", ""))


def test_a_shared_secret_without_a_name_verifies_tokens_without_a_name() -> None:
    claims = {"iss": ISSUER, "aud": "orders", "sub": "u", "iat": NOW, "exp": NOW + 60}
    asked = _secret(json.dumps({"keys": [made.oct_jwk(None)]}))
    assert asked.reason("/", issuing.hmac_token(bytes(range(32)), {"alg": "HS256", "typ": "JWT"}, claims)) == "allow"
    assert "a key pair needs an issuer of its own" in _detail(asked, _token(Shape("a key pair")))


def test_a_shared_secret_that_stands_as_it_is_says_how_to_write_it() -> None:
    detail = _detail(_secret("s" * 64), issuing.hmac_token(b"s" * 64, {"alg": "HS256", "typ": "JWT"}, {"iss": ISSUER}))
    assert '"kty": "oct"' in detail
    assert "in base64url" in detail


@pytest.mark.parametrize(("shape", "reason", "words"), REFUSED, ids=[row[0].name for row in REFUSED])
def test_a_token_that_is_refused_says_why(shape: Shape, reason: str, words: str) -> None:
    found, detail = _decided(shape, shape.spec)
    assert (found, words in detail) == (reason, True), detail

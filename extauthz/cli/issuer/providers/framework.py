"""Authorization servers that one builds from a framework: Spring, OpenIddict, Better Auth, UAA, WSO2, Casdoor."""

from __future__ import annotations

from typing import Final

from extauthz.cli.issuer.providers.provider import Provider

FRAMEWORK: Final = (
    Provider(
        name="spring",
        title="Spring Authorization Server",
        url=r"https?://[^/]+(?:/.*)?",
        example="https://auth.example",
        audience="what a token customizer writes into `aud`; without one it is the client's id",
        audience_example="orders-api",
        spec="""\
issuer: <issuer>
keys: {discovery: {}}
algorithms: [RS256]
audiences: ["<audience>"]
tokenTypes: [Absent]
maxLifetime: 10m        # Spring's default is five minutes
mapping: {client: []}
keyUse: [sig, Absent]   # its keys say neither `use` nor `alg`
keyAlgAbsent: FromAlgorithms
reuseKeyFallback: Token # older versions write no `jti`
claimPresent: [nbf]     # what access tokens have and ID tokens lack
""",
        fill=("write your API's name into `aud` by an `OAuth2TokenCustomizer`: ID tokens are for the client as well",),
        notes=("`scope` is an array of texts.",),
    ),
    Provider(
        name="openiddict",
        title="OpenIddict",
        url=r"https://.+",
        example="https://id.example/",
        audience="the resource that the server sets for the granted scopes",
        audience_example="orders-api",
        spec="""\
issuer: <issuer>
keys: {discovery: {}}
algorithms: [RS256]
audiences: ["<audience>"]
maxLifetime: 1h
""",
        fill=(
            "call `DisableAccessTokenEncryption()`: tokens have five segments until then, which nobody else can read",
        ),
        notes=("The issuer ends in a slash, and the slash counts.",),
    ),
    Provider(
        name="better-auth",
        title="Better Auth, JWT plugin",
        url=r"https://[^/]+",
        example="https://app.example",
        audience="the base URL of the application, unless the plugin's `jwt.audience` says otherwise",
        audience_example="https://app.example",
        spec="""\
issuer: <issuer>
keys:
  jwksUri: <issuer>/api/auth/jwks
algorithms: [EdDSA]
audiences: ["<audience>"]
tokenTypes: [Absent]
maxLifetime: 15m
mapping: {client: [], scope: []}
keyUse: [Absent]
reuseKeyFallback: Token # there is no `jti`
""",
    ),
    Provider(
        name="uaa",
        title="Cloud Foundry UAA",
        url=r"(?P<base>https://.+)/oauth/token",
        example="https://uaa.example/oauth/token",
        audience="what stands before the dot in your API's scopes",
        audience_example="orders",
        spec="""\
issuer: <issuer>
keys:
  jwksUri: <base>/token_keys
algorithms: [RS256]
audiences: ["<audience>"]
tokenTypes: [JWT]
maxLifetime: 12h        # keeps refresh tokens out, which the same key signs for weeks
ignoredHeaderParameters: [jku]  # in every header; the keys come from `jwksUri` all the same
""",
        notes=("`scope` is an array of texts, each with the API's name before the dot.",),
    ),
    Provider(
        name="wso2",
        title="WSO2 Identity Server and Asgardeo",
        url=r"https://.+/oauth2/token",
        example="https://api.asgardeo.io/t/acme/oauth2/token",
        audience="the identifier of your API; without one it is the client's id",
        audience_example="orders-api",
        spec="""\
issuer: <issuer>
keys: {discovery: {}}
algorithms: [RS256]
audiences: ["<audience>"]
maxLifetime: 1h
""",
        fill=("choose JWT as the type of the application's access tokens: they are opaque until then",),
        notes=("The token of the API Manager in `x-jwt-assertion` has no audience and is refused.",),
    ),
    Provider(
        name="casdoor",
        title="Casdoor",
        url=r"https://[^/]+",
        example="https://door.example",
        audience="the client id of the application",
        audience_example="c9f1example",
        spec="""\
issuer: <issuer>
keys: {discovery: {}}
algorithms: [RS256]
audiences: ["<audience>"]
tokenTypes: [JWT]
maxLifetime: 168h       # Casdoor's default; lower it at the application and here
mapping: {client: [azp]}
claimEquals: {tokenType: access-token}  # refresh tokens are signed by the same key
""",
        notes=(
            "ID tokens and access tokens are the same text; refresh tokens differ by `tokenType` alone.",
            "A token holds the whole user, roles as objects too, which `mapping.roles` cannot read: use `groups`.",
        ),
    ),
)

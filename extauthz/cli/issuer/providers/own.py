"""Authorization servers that one runs oneself: Keycloak, Ping, Curity, ForgeRock, Zitadel, Dex, Hydra, authentik."""

from __future__ import annotations

from typing import Final

from extauthz.cli.issuer.providers.provider import IdTokens, Provider

OWN: Final = (
    Provider(
        name="keycloak",
        title="Keycloak",
        url=r"https://.+/realms/[^/]+",
        example="https://sso.example/realms/shop",
        audience="the client id of your API, which an audience mapper puts into `aud`",
        audience_example="orders-api",
        spec="""\
issuer: <issuer>
keys: {discovery: {}}
algorithms: [RS256]
audiences: ["<audience>"]
tokenTypes: [JWT, at+jwt]  # `at+jwt` where the client's switch for RFC 9068 is on
maxLifetime: 30m
mapping: {client: [azp], roles: [/realm_access/roles]}
claimEquals: {typ: Bearer}  # the payload's `typ` tells access tokens from ID and refresh tokens
""",
        fill=(
            (
                "add an audience mapper for your API to the client or to a client scope: without it every token is for"
                " `account`, which must never be listed"
            ),
        ),
        notes=(
            (
                "Roles of a client stand in `/resource_access/CLIENT/roles`: write that path in place of the realm's."
                " Behind it, it would never be read: the first claim that a token has counts, and users have roles of"
                " the realm."
            ),
            (
                "Since Keycloak 25 `sub` comes from the client scope `basic`. Realms that were"
                " imported may lack it: add the"
                " scope, or write `requiredClaims: []` and keep rules off the subject."
            ),
            "Encryption keys in the key set are skipped. `iss` follows the host name in use: set one in Keycloak.",
            "Refresh tokens are signed with a shared secret (HS512) and are refused.",
        ),
        id_tokens=IdTokens(
            known_by=r"https?://.+/realms/[^/]+",
            audience=r"(?:(?!://).)+",
            common=frozenset({"azp", "jti", "session_state"}),
        ),
    ),
    Provider(
        name="pingfederate",
        title="PingFederate",
        url=r"https://[^/]+(?:/.*)?",
        example="https://ping.example",
        audience="the audience that you set in the access token manager",
        spec="""\
issuer: <issuer>
keys: {discovery: {}}
algorithms: [RS256, ES256]
audiences: ["<audience>"]
tokenTypes: [Absent, JWT, at+jwt]
maxLifetime: 2h
mapping: {subject: [sub, Username]}
keyAlgAbsent: FromAlgorithms  # its EC keys have no `alg`
""",
        fill=(
            (
                "set issuer, audience and `jti` in the access token manager: all three are empty until then, and tokens"
                " without issuer or audience are refused"
            ),
        ),
    ),
    Provider(
        name="curity",
        title="Curity Identity Server",
        url=r"https://[^/]+/.+/oauth-anonymous",
        example="https://idsvr.example/oauth/v2/oauth-anonymous",
        audience="the audience of your API at Curity",
        audience_example="api.example",
        spec="""\
issuer: <issuer>
keys: {discovery: {}}
algorithms: [RS256]
audiences: ["<audience>"]
tokenTypes: [Absent, JWT, at+jwt]
maxLifetime: 15m
claimEquals: {purpose: access_token}
""",
        notes=("Clients usually hold opaque tokens; let the gateway swap them (phantom token) or issue JWTs to them.",),
    ),
    Provider(
        name="forgerock",
        title="ForgeRock Access Management",
        url=r"https://[^/]+/.+",
        example="https://am.example/oauth2/realms/root",
        audience="the audience of your API",
        audience_example="orders-api",
        spec="""\
issuer: <issuer>
keys: {discovery: {}}
algorithms: [RS256]
audiences: ["<audience>"]
tokenTypes: [JWT]
maxLifetime: 1h
claimEquals: {tokenName: access_token}
ignoredHeaderParameters: [zip]  # its headers say `zip: NONE`
""",
        notes=(
            "One `kid` stands in its key set once for each algorithm; a key is chosen by both.",
            "Headers of its tokens say `zip: NONE`, which no standard knows; one that says more is refused.",
        ),
    ),
    Provider(
        name="zitadel",
        title="Zitadel",
        url=r"https://[^/]+",
        example="https://acme.zitadel.cloud",
        audience="the project id",
        audience_example="141421356237309504",
        spec="""\
issuer: <issuer>
keys: {discovery: {}}
algorithms: [RS256]
audiences: ["<audience>"]
tokenTypes: [Absent, JWT]
maxLifetime: 12h
mapping: {scope: [], roles: ["/urn:zitadel:iam:org:project:roles"]}
rolesShape: ObjectKeys  # roles are the member names of an object
claimPresent: [jti]     # ID tokens lack it, and are for the project as well
""",
        notes=(
            "Applications get opaque tokens unless their token type is JWT.",
            "An administrator can turn the keys to EC or Ed25519: add `ES256` or `EdDSA` to `algorithms` before.",
        ),
        id_tokens=IdTokens(
            known_by=r"https://[^/]+\.zitadel\.cloud|/urn:zitadel:iam:.+",
            audience=r"[0-9]+(?:@.+)?",
            common=frozenset({"azp"}),
        ),
    ),
    Provider(
        name="dex",
        title="Dex",
        url=r"https://[^/]+(?:/.*)?",
        example="https://dex.example/dex",
        audience="the client id",
        audience_example="orders-api",
        spec="""\
issuer: <issuer>
keys: {discovery: {}}
algorithms: [RS256]
audiences: ["<audience>"]
tokenTypes: [Absent]
maxLifetime: 24h
mapping: {scope: [], client: [azp], roles: [/groups]}
reuseKeyFallback: Token # there is no `jti`
""",
        notes=(
            "Access and ID tokens look alike, so the audience is the only fence: give your API a client of its own.",
        ),
    ),
    Provider(
        name="hydra",
        title="Ory Hydra, JWT access tokens",
        url=r"https://[^/]+/(?:.*)?",
        example="https://hydra.example/",
        audience="the audience that the client asks for",
        audience_example="orders-api",
        spec="""\
issuer: <issuer>
keys: {discovery: {}}
algorithms: [RS256]
audiences: ["<audience>"]
tokenTypes: [JWT]
maxLifetime: 1h
mapping: {scope: [scp, scope]}
""",
        notes=(
            "Tokens are opaque unless `strategies.access_token` is `jwt`.",
            "`aud` is an empty array unless the client asks for an audience; such a token is refused.",
        ),
    ),
    Provider(
        name="authentik",
        title="authentik",
        url=r"https://[^/]+/application/o/[^/]+/",
        example="https://auth.example/application/o/orders/",
        audience="the client id of the provider",
        audience_example="c9KexampleQz7",
        spec="""\
issuer: <issuer>
keys: {discovery: {}}
algorithms: [RS256]
audiences: ["<audience>"]
tokenTypes: [JWT]
maxLifetime: 1h
mapping: {client: [azp], tokenId: [uid], roles: [/groups]}
claimPresent: [azp, uid]
""",
        fill=("choose a signing key at the provider: without one tokens are signed with the client secret",),
        notes=("Scope mappings can overwrite any claim, `iss` and `aud` too: look through them.",),
    ),
    Provider(
        name="duende",
        title="Duende IdentityServer",
        url=r"https://.+",
        example="https://id.example",
        audience="the name of your API resource",
        audience_example="orders-api",
        spec="""\
issuer: <issuer>
keys: {discovery: {}}
algorithms: [RS256]
audiences: ["<audience>"]
maxLifetime: 1h
mapping: {subject: [sub, client_id]}  # client credentials come without `sub`
requiredClaims: []
claimPresent: [client_id]
""",
        notes=("There is no `aud` unless the scope belongs to an API resource; such a token is refused.",),
    ),
)

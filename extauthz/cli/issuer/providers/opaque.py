"""Tokens that only their issuer can read: opaque ones, and JWTs whose keys it does not publish (RFC 7662)."""

from __future__ import annotations

from typing import Final

from extauthz.cli.issuer.providers.provider import Provider

_CLIENT: Final = """\
  clientSecretBasic:
    clientId: FILL-IN-client
    secretRef: {name: extauthz-client, key: secret}
"""
_FILL: Final = (
    "register a client that may ask the introspection endpoint, and nothing else; put its secret into the Secret"
    " `extauthz-client`, entry `secret`"
)

OPAQUE: Final = (
    Provider(
        name="okta-org",
        title="Okta, org authorization server",
        url=r"https://[^/]+",
        example="https://acme.okta.com",
        audience="the org's own address",
        audience_example="https://acme.okta.com",
        spec="""\
issuer: <issuer>
introspection:
  url: <issuer>/oauth2/v1/introspect
"""
        + _CLIENT
        + """\
  tokens: Any  # they are JWTs, but Okta does not publish the key
audiences: ["<issuer>"]
maxLifetime: 1h
claimEquals: {token_type: Bearer}  # refresh tokens are active too, and lack it
mapping: {tokenId: [jti]}
""",
        fill=(_FILL,),
        notes=(
            (
                "Its tokens are for Okta's own API and all share one audience: a custom authorization server (`okta`)"
                " is better for an API of your own."
            ),
        ),
    ),
    Provider(
        name="onelogin",
        title="OneLogin, opaque access tokens",
        url=r"https://[^/]+/oidc/2",
        example="https://acme.onelogin.com/oidc/2",
        audience="the ids of the applications that may call",
        audience_example="c6f6bb37-307f-4470-a1a3-171c80003e91",
        spec="""\
issuer: <issuer>
introspection:
  url: <issuer>/token/introspection
"""
        + _CLIENT
        + """\
audiences: ["<audience>"]
maxLifetime: 1h
claimEquals: {token_type: access_token}  # its endpoint tells what a token is, not how it is presented
mapping: {audience: [client_id]}
""",
        fill=(_FILL, "list the id of every application that may call in `audiences`"),
        notes=("The endpoint tells no audience: the application stands in for it.",),
    ),
    Provider(
        name="hydra-opaque",
        title="Ory Hydra, opaque access tokens",
        url=r"https://[^/]+/(?:.*)?",
        example="https://hydra.example/",
        audience="the audience that the client asks for",
        audience_example="orders-api",
        spec="""\
issuer: <issuer>
introspection:
  url: https://FILL-IN-hydra-admin.example/admin/oauth2/introspect
"""
        + _CLIENT
        + """\
  prefixes: [ory_at_]
audiences: ["<audience>"]
maxLifetime: 1h
claimEquals: {token_use: access_token}
""",
        fill=(_FILL, "the admin API is another address than the issuer; serve it over https"),
        notes=(
            "`aud` is an empty array unless the client asks for an audience; such a token is refused.",
            "The endpoint tells no token id, and reads tokens leniently: let rules count by the subject instead.",
        ),
    ),
    Provider(
        name="zitadel-opaque",
        title="Zitadel, opaque access tokens",
        url=r"https://[^/]+",
        example="https://acme.zitadel.cloud",
        audience="the project id",
        audience_example="141421356237309504",
        spec="""\
issuer: <issuer>
introspection:
  url: <issuer>/oauth/v2/introspect
"""
        + _CLIENT
        + """\
audiences: ["<audience>"]
maxLifetime: 12h
claimEquals: {token_type: Bearer}
mapping: {roles: ["/urn:zitadel:iam:org:project:roles"]}
rolesShape: ObjectKeys  # roles are the member names of an object
""",
        fill=(_FILL,),
        notes=("The client is an application of the kind API, in a project that the tokens are for.",),
    ),
    Provider(
        name="keycloak-introspection",
        title="Keycloak, asked about each token",
        url=r"https://.+/realms/[^/]+",
        example="https://sso.example/realms/shop",
        audience="the client id of your API, which an audience mapper puts into `aud`",
        audience_example="orders-api",
        spec="""\
issuer: <issuer>
introspection:
  url: <issuer>/protocol/openid-connect/token/introspect
"""
        + _CLIENT
        + """\
  tokens: Any  # they are JWTs: the endpoint knows besides whether the session has ended
audiences: ["<audience>"]
maxLifetime: 1h
claimEquals: {typ: Bearer}
mapping: {client: [azp], roles: [/realm_access/roles]}
""",
        fill=(_FILL,),
        notes=("Use `keycloak`, which checks signatures, unless the end of a session must be noticed within seconds.",),
    ),
)

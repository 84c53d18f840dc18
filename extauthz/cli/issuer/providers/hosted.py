"""Hosted authorization servers: Okta, Auth0, Cognito, Google, PingOne, SAP, Cloudflare."""

from __future__ import annotations

from typing import Final

from extauthz.cli.issuer.providers.provider import IdTokens, Provider
from extauthz.cli.issuer.providers.proxy import ONE_TOKEN

HOSTED: Final = (
    Provider(
        name="okta",
        title="Okta, custom authorization server",
        url=r"https://[^/]+/oauth2/[^/]+",
        example="https://acme.okta.com/oauth2/default",
        audience="the audience set at the authorization server, such as `api://default`",
        audience_example="api://default",
        spec="""\
issuer: <issuer>
keys: {discovery: {}}
algorithms: [RS256]
audiences: ["<audience>"]
tokenTypes: [Absent, JWT]
maxLifetime: 1h
mapping: {scope: [scp], client: [cid]}
claimPresent: [cid, scp]  # what access tokens have and ID tokens lack
""",
        notes=(
            (
                "Tokens of the org authorization server (`iss` without `/oauth2/…`) cannot be"
                " verified by anyone but Okta:"
                " their key is not published. Use a custom authorization server, or `okta-org`, which asks Okta."
            ),
            (
                "A refresh token that is used twice makes Okta revoke all access tokens since the"
                " login; a signature does"
                " not show that. Keep lifetimes short."
            ),
        ),
    ),
    Provider(
        name="auth0",
        title="Auth0, default token profile",
        url=r"https://[^/]+/",
        example="https://acme.eu.auth0.com/",
        audience="the identifier of your API at Auth0",
        spec="""\
issuer: <issuer>
keys: {discovery: {}}
algorithms: [RS256]
audiences: ["<audience>"]
tokenTypes: [JWT]
maxLifetime: 24h        # Auth0's default; lower it at the API and here
mapping: {scope: [scope, permissions], client: [azp]}
reuseKeyFallback: Token # there is no `jti`
""",
        notes=(
            "Better: set the API to the RFC 9068 token profile and use `auth0-rfc9068`, which needs no switches.",
            "The issuer ends in a slash, and the slash counts.",
            (
                "A client that asks for no audience gets an opaque or an encrypted token (five segments): let it send"
                " `audience`."
            ),
        ),
    ),
    Provider(
        name="auth0-rfc9068",
        title="Auth0, RFC 9068 token profile",
        url=r"https://[^/]+/",
        example="https://acme.eu.auth0.com/",
        audience="the identifier of your API at Auth0",
        spec="""\
issuer: <issuer>
keys: {discovery: {}}
algorithms: [RS256]
audiences: ["<audience>"]
maxLifetime: 24h        # Auth0's default; lower it at the API and here
""",
        notes=("Choose the profile at the API's settings in Auth0. The issuer ends in a slash, and the slash counts.",),
    ),
    Provider(
        name="cognito",
        title="Amazon Cognito user pools",
        url=r"https://cognito-idp\.[a-z0-9-]+\.amazonaws\.com/[^/]+",
        example="https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Ab3Example",
        audience="the ids of the app clients that may call",
        audience_example="4h7example2k9client",
        spec="""\
issuer: <issuer>
keys: {discovery: {}}
algorithms: [RS256]
audiences: ["<audience>"]
tokenTypes: [Absent]
maxLifetime: 1h
mapping: {audience: [client_id], client: [client_id], roles: ["/cognito:groups"]}
claimEquals: {token_use: access}  # ID tokens are signed by the same key set
""",
        fill=("list the id of every app client that may call in `audiences`",),
        notes=(
            (
                "Access tokens have no `aud`: the app client stands in for it. Never list `aud` as a"
                " second source, because"
                " an ID token's `aud` is the very client id."
            ),
        ),
        id_tokens=IdTokens(
            known_by=r"https://cognito-idp\.[a-z0-9-]+\.amazonaws\.com/[^/]+",
            audience=r"[a-z0-9]+",
            common=frozenset({"cognito:groups", "origin_jti", "jti", "event_id"}),
        ),
    ),
    Provider(
        name="google",
        title="Google ID tokens of service accounts",
        url=r"https://accounts\.google\.com",
        example="https://accounts.google.com",
        audience="the audience that the caller asks for, usually your service's URL",
        spec="""\
issuer: <issuer>
issuerAliases: [accounts.google.com]  # Google writes both
keys: {discovery: {}}
algorithms: [RS256]
audiences: ["<audience>"]
tokenTypes: [JWT]
maxLifetime: 1h5m
mapping: {scope: [], client: [azp]}
reuseKeyFallback: Token # there is no `jti`
""",
        fill=("let rules name the callers, by `claims: [{claim: email, oneOf: [...]}]` or `sub`",),
        notes=("Anyone with a Google account can get an ID token for any audience: a rule must name who may call.",),
    ),
    Provider(
        name="google-service-account",
        title="Google service accounts, tokens signed by themselves",
        url=r"(?P<account>[^@/ ]+@[^@/ ]+)",
        example="batch@acme-prod.iam.gserviceaccount.com",
        audience="what the caller writes into `aud`, usually your service's URL",
        spec="""\
issuer: <issuer>
keys:
  jwksUri: https://www.googleapis.com/service_accounts/v1/jwk/<account>
algorithms: [RS256]
audiences: ["<audience>"]
tokenTypes: [JWT]
maxLifetime: 1h
mapping: {scope: []}
reuseKeyFallback: Token # there is no `jti`
""",
        notes=("The issuer is the account's e-mail address, and there is no discovery: one TokenIssuer an account.",),
    ),
    Provider(
        name="firebase",
        title="Firebase Authentication",
        url=r"https://securetoken\.google\.com/(?P<project>[^/]+)",
        example="https://securetoken.google.com/acme-prod",
        audience="the Firebase project",
        audience_example="acme-prod",
        spec="""\
issuer: <issuer>
keys:
  jwksUri: https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com
algorithms: [RS256]
audiences: ["<project>"]
tokenTypes: [JWT]
maxLifetime: 1h
mapping: {scope: [], client: []}
claimPresent: [firebase]
reuseKeyFallback: Token # there is no `jti`
""",
        notes=(
            "These are ID tokens. The address ending in `x509` is a map of certificates and no key set.",
            "The emulator issues unsigned tokens (`alg: none`), which are never taken: use a project of its own.",
        ),
    ),
    Provider(
        name="apple",
        title="Sign in with Apple",
        url=r"https://appleid\.apple\.com",
        example="https://appleid.apple.com",
        audience="your bundle id or services id",
        audience_example="com.example.app",
        spec="""\
issuer: <issuer>
keys: {discovery: {}}
algorithms: [RS256]
audiences: ["<audience>"]
tokenTypes: [Absent]
maxLifetime: 24h
mapping: {scope: [], client: []}
reuseKeyFallback: Token # there is no `jti`
""",
        notes=("These are identity tokens; `email_verified` is the text `true`, not a truth value.",),
    ),
    Provider(
        name="pingone",
        title="PingOne",
        url=r"https://auth\.pingone\.[a-z.]+/[0-9a-f-]{36}/as",
        example="https://auth.pingone.eu/6f5e4d3c-2b1a-4f09-8e7d-6c5b4a392817/as",
        audience="the audience of your resource at PingOne",
        spec="""\
issuer: <issuer>
keys: {discovery: {}}
algorithms: [RS256]
audiences: ["<audience>"]
tokenTypes: [Absent, JWT, at+jwt]
maxLifetime: 1h
mapping: {subject: [sub, client_id]}  # client credentials come without `sub`
requiredClaims: []
claimPresent: [client_id]
reuseKeyFallback: Token # there is no `jti`
""",
        notes=("From March 2027 on `typ` is always `at+jwt`: leave that alone in `tokenTypes` then.",),
    ),
    Provider(
        name="sap-xsuaa",
        title="SAP Authorization and Trust Management (XSUAA)",
        url=r"https://(?P<host>[^/]+)/oauth/token",
        example="https://acme.authentication.eu10.hana.ondemand.com/oauth/token",
        audience="the client id of your application's binding (`sb-APP!t1`), or its `xsappname`",
        audience_example="sb-orders!t1234",
        spec="""\
issuer: <issuer>
keys:
  jwksUri: https://<host>/token_keys
algorithms: [RS256]
audiences: ["<audience>"]
tokenTypes: [JWT]
maxLifetime: 12h
ignoredHeaderParameters: [jku]  # in every header; the keys come from `jwksUri` all the same
""",
        notes=(
            "Scopes begin with the `xsappname`: `orders!t1234.Read`. The tenant is in `zid`.",
            (
                "ID tokens are for the client id and have the one scope `openid`: name the `xsappname` as the audience,"
                " or let rules demand a scope of your API."
            ),
            "Subscribers' tokens name their own subdomains in `iss`, and have their own keys: a TokenIssuer for each.",
        ),
    ),
    Provider(
        name="cloudflare-access",
        title="Cloudflare Access, application tokens",
        url=r"https://[^/]+",
        example="https://acme.cloudflareaccess.com",
        audience="the application audience (AUD) tag of your Access application",
        audience_example="32eafc7626e974616deaf0dc3ce63d7bcbed58a2731e84d06bc3cdf1b53c4228",
        spec="""\
issuer: <issuer>
keys:
  jwksUri: <issuer>/cdn-cgi/access/certs
algorithms: [RS256]
audiences: ["<audience>"]
tokenTypes: [JWT]
maxLifetime: 24h        # the session duration of the application
mapping: {subject: [sub, common_name], client: [], scope: []}  # `sub` is empty for service tokens
claimEquals: {type: app}
reuseKeyFallback: Token # there is no `jti`
""",
        notes=(
            "The token comes in a header of its own: `from: {header: cf-access-jwt-assertion}` in the rule.",
            "Service tokens have `sub` empty and their client id in `common_name`.",
            ONE_TOKEN,
        ),
    ),
    Provider(
        name="google-iap",
        title="Google Cloud Identity-Aware Proxy",
        url=r"https://cloud\.google\.com/iap",
        example="https://cloud.google.com/iap",
        audience="the backend service, `/projects/NUMBER/global/backendServices/ID`, or the App Engine application",
        audience_example="/projects/123456789012/global/backendServices/987654321",
        spec="""\
issuer: <issuer>
keys:
  jwksUri: https://www.gstatic.com/iap/verify/public_key-jwk
algorithms: [ES256]
audiences: ["<audience>"]
tokenTypes: [JWT]
maxLifetime: 15m
mapping: {client: [], scope: []}
reuseKeyFallback: Token # there is no `jti`
""",
        notes=(
            "The token comes in a header of its own: `from: {header: x-goog-iap-jwt-assertion}` in the rule.",
            ONE_TOKEN,
        ),
    ),
    Provider(
        name="salesforce",
        title="Salesforce, JWT access tokens",
        url=r"https://[^/]+",
        example="https://acme.my.salesforce.com",
        audience="the org's own address, which every such token has",
        audience_example="https://acme.my.salesforce.com",
        spec="""\
issuer: <issuer>
keys:
  jwksUri: <issuer>/id/keys
algorithms: [RS256]
audiences: ["<audience>"]
tokenTypes: [JWT]
maxLifetime: 2h
mapping: {scope: [scp]}
claimEquals: {mty: oauth}
reuseKeyFallback: Token # there is no `jti`
""",
        notes=(
            "Tokens are opaque unless the connected app issues JWTs.",
            "All apps of an org share one audience: let rules name `client_id`.",
        ),
    ),
)

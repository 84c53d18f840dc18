"""Login services for web and agents: Clerk, WorkOS, Descope, Stytch, Supabase, Kinde, Logto, FusionAuth."""

from __future__ import annotations

from typing import Final

from extauthz.cli.issuer.providers.provider import IdTokens, Provider

SESSION: Final = (
    Provider(
        name="clerk",
        title="Clerk session tokens",
        url=r"https://[^/]+",
        example="https://clerk.example",
        audience="the browser origins that may call, which Clerk writes into `azp`",
        audience_example="https://shop.example",
        spec="""\
issuer: <issuer>
keys:
  jwksUri: <issuer>/.well-known/jwks.json
algorithms: [RS256]
audiences: ["<audience>"]
tokenTypes: [JWT]
maxLifetime: 2m
clockSkew: 10s
mapping: {audience: [azp], client: [azp], scope: []}
claimPresent: [sid]
""",
        notes=(
            "A token minted by a back end has neither `azp` nor `aud` and is refused: add `aud` by a JWT template.",
            "A token lives for a minute, which fits single use badly: browsers send one token many times.",
        ),
    ),
    Provider(
        name="workos",
        title="WorkOS AuthKit, tokens for MCP servers",
        url=r"https://[^/]+",
        example="https://acme.authkit.app",
        audience="your server's URL, configured as the resource indicator",
        audience_example="https://mcp.example",
        spec="""\
issuer: <issuer>
keys: {discovery: {}}
algorithms: [RS256]
audiences: ["<audience>"]
tokenTypes: [Absent, JWT]
maxLifetime: 1h
mapping: {scope: [scope, permissions]}
""",
        notes=(
            (
                "Session tokens of `api.workos.com/user_management` have no audience and are"
                " refused: add `aud` by a JWT"
                " template."
            ),
            "Without a configured resource indicator `aud` is the client id or a default of the environment.",
        ),
    ),
    Provider(
        name="descope",
        title="Descope",
        url=r"https://(?P<host>api(?:\.[a-z0-9-]+)?\.descope\.com)/(?:v1/apps/)?(?P<project>P[A-Za-z0-9]+)",
        example="https://api.descope.com/v1/apps/P2bExample0aQx",
        audience="the project id",
        audience_example="P2bExample0aQx",
        spec="""\
issuer: <issuer>
keys:
  jwksUri: https://<host>/<project>/.well-known/jwks.json
algorithms: [RS256]
audiences: ["<project>"]
tokenTypes: [JWT]
maxLifetime: 1h
mapping: {client: [azp]}
reuseKeyFallback: Token # there is no `jti`
""",
        fill=(
            (
                "one project has several issuers (for MCP servers:"
                " `…/v1/apps/agentic/PROJECT/SERVER`): list those that you"
                " mean in `issuerAliases`"
            ),
        ),
        notes=("All issuers of a project share keys and audience: only scopes tell its MCP servers apart.",),
    ),
    Provider(
        name="stytch",
        title="Stytch Connected Apps",
        url=r"(?:https://[^/]+|stytch\.com/[a-z0-9-]+)",
        example="https://acme.customers.stytch.com",
        audience="the id of the project",
        audience_example="project-live-1a2b3c4d-example",
        spec="""\
issuer: <issuer>
keys:
  jwksUri: FILL-IN-https://YOUR-DOMAIN/.well-known/jwks.json
algorithms: [RS256]
audiences: ["<audience>"]
tokenTypes: [JWT]
maxLifetime: 1h
claimPresent: [client_id, scope]
""",
        fill=("name the key set of your custom domain in `keys.jwksUri`",),
        notes=(
            "Without a custom domain `iss` is `stytch.com/PROJECT`, without a scheme.",
            "Session tokens are for the project as well and lack `client_id`: take them by a TokenIssuer of their own.",
            "ID tokens are for the connected app, so that its id is never an audience of your API.",
        ),
        id_tokens=IdTokens(
            known_by=r"https://[^/]+\.customers\.stytch\.(?:com|dev)|(?:https://)?stytch\.com/[a-z0-9-]+",
            audience=r"connected-app-.+",
        ),
    ),
    Provider(
        name="supabase",
        title="Supabase Auth",
        url=r"https://[^/]+/auth/v1",
        example="https://abcdefghijklmnop.supabase.co/auth/v1",
        audience="`authenticated`, which every signed-in user's token has",
        audience_example="authenticated",
        spec="""\
issuer: <issuer>
keys:
  jwksUri: <issuer>/.well-known/jwks.json
algorithms: [ES256, RS256]
audiences: ["<audience>"]
tokenTypes: [JWT]
maxLifetime: 1h
mapping: {client: [], scope: [], roles: [role]}
claimPresent: [session_id]
reuseKeyFallback: Token # there is no `jti`
""",
        notes=(
            "Projects with the old shared JWT secret sign with HS256: migrate to asymmetric signing keys.",
            "The keys `anon` and `service_role` are tokens of years without audience, and are refused.",
        ),
    ),
    Provider(
        name="kinde",
        title="Kinde",
        url=r"https://[^/]+",
        example="https://acme.kinde.com",
        audience="the audience of your API at Kinde",
        audience_example="https://api.example",
        spec="""\
issuer: <issuer>
keys: {discovery: {}}
algorithms: [RS256]
audiences: ["<audience>"]
tokenTypes: [JWT]
maxLifetime: 24h
mapping: {scope: [scp], client: [azp], roles: [permissions]}
claimPresent: [azp, scp]
""",
        notes=(
            "`aud` is an empty array unless the application asks for your API's audience; such a token is refused.",
        ),
    ),
    Provider(
        name="logto",
        title="Logto",
        url=r"https://[^/]+/oidc",
        example="https://acme.logto.app/oidc",
        audience="the identifier of your API resource at Logto",
        audience_example="https://api.example",
        spec="""\
issuer: <issuer>
keys: {discovery: {}}
algorithms: [ES384, RS256]
audiences: ["<audience>"]
maxLifetime: 1h
""",
        notes=("A client that asks for no `resource` gets an opaque token: let it send the API's identifier.",),
    ),
    Provider(
        name="fusionauth",
        title="FusionAuth",
        url=r"(?:https?://[^/]+|[^/:]+)",
        example="https://auth.example",
        audience="the id of the application that the user signed in to",
        audience_example="3c219e58-ed0e-4b18-ad48-f4f92793ae32",
        spec="""\
issuer: <issuer>
keys:
  jwksUri: FILL-IN-https://YOUR-FUSIONAUTH/.well-known/jwks.json
algorithms: [RS256]
audiences: ["<audience>"]
tokenTypes: [JWT]
maxLifetime: 1h
mapping: {client: [applicationId], roles: [roles]}
claimEquals: {tty: at}  # ID tokens are for the same application
""",
        fill=(
            "choose an RS256 key for the tenant's access tokens, whose default is a shared secret (HS256)",
            "name your server in `keys.jwksUri`",
        ),
        notes=(
            "The issuer is a setting of the tenant and need be no URL; its default is `acme.com`.",
            "Older versions write no `tty`, and nothing else tells access tokens from ID tokens.",
        ),
        id_tokens=IdTokens(
            known_by=r"https://[^/]+\.fusionauth\.io|applicationId",
            audience=r"[0-9a-f-]{36}",
            common=frozenset({"applicationId", "jti", "tid", "authenticationType", "scope"}),
        ),
    ),
)

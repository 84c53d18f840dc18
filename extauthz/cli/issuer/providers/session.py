"""Login services for web and agents: Clerk, WorkOS, Descope, Stytch."""

from __future__ import annotations

from typing import Final

from extauthz.cli.issuer.providers.provider import Provider

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
        url=r"https://api\.descope\.com/v1/apps/(?P<project>P[A-Za-z0-9]+)",
        example="https://api.descope.com/v1/apps/P2bExample0aQx",
        audience="the project id",
        audience_example="P2bExample0aQx",
        spec="""\
issuer: <issuer>
keys:
  jwksUri: https://api.descope.com/<project>/.well-known/jwks.json
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
        audience="the client id of the connected app",
        audience_example="connected-app-live-example",
        spec="""\
issuer: <issuer>
keys:
  jwksUri: FILL-IN-https://YOUR-DOMAIN/.well-known/jwks.json
algorithms: [RS256]
audiences: ["<audience>"]
tokenTypes: [JWT]
maxLifetime: 1h
""",
        fill=("name the key set of your custom domain in `keys.jwksUri`",),
        notes=(
            "Without a custom domain `iss` is `stytch.com/PROJECT`, without a scheme.",
            "Session tokens are for the project id and have no `jti`; take them by a TokenIssuer of their own.",
        ),
    ),
)

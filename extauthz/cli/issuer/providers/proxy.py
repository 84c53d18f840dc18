"""Proxies that sign in people, and say who came in a token of their own: Pomerium, Teleport."""

from __future__ import annotations

from typing import Final

from extauthz.cli.issuer.providers.provider import Provider

ONE_TOKEN: Final = "A request with `Authorization` besides has two credentials and is refused: let the proxy drop one."

PROXY: Final = (
    Provider(
        name="pomerium",
        title="Pomerium",
        url=r"(?:https://)?(?P<host>[a-z0-9.-]+)/?",
        example="orders.example",
        audience="the host of the route",
        audience_example="orders.example",
        spec="""\
issuer: <issuer>
keys:
  jwksUri: https://<host>/.well-known/pomerium/jwks.json
algorithms: [ES256]
audiences: ["<audience>"]
tokenTypes: [Absent, JWT]
maxLifetime: 10m
mapping: {client: [], scope: [], roles: [groups]}
""",
        notes=(
            "The token comes in a header of its own: `from: {header: x-pomerium-jwt-assertion}` in the rule.",
            "Each route has an issuer of its own, its host without a scheme: a TokenIssuer for each.",
            ONE_TOKEN,
        ),
    ),
    Provider(
        name="teleport",
        title="Teleport application access",
        url=r"[a-z0-9.-]+",
        example="teleport.example",
        audience="the URI of the application as Teleport reaches it",
        audience_example="http://127.0.0.1:8080",
        spec="""\
issuer: <issuer>
keys:
  jwksUri: https://FILL-IN-YOUR-PROXY/.well-known/jwks.json
algorithms: [RS256, ES256]
audiences: ["<audience>"]
tokenTypes: [Absent, JWT]
maxLifetime: 12h        # as long as the session's certificate
mapping: {client: [], scope: [], roles: [roles]}
reuseKeyFallback: Token # there is no `jti`
""",
        fill=("name the address of your proxy in `keys.jwksUri`",),
        notes=(
            "The token comes in a header of its own: `from: {header: teleport-jwt-assertion}` in the rule.",
            "The issuer is the cluster's name, without a scheme. Its set holds each key twice, once without a name.",
            ONE_TOKEN,
        ),
    ),
)

"""Identity services of clouds besides Microsoft's and Google's: SAP, Oracle, IBM, Amazon."""

from __future__ import annotations

from typing import Final

from extauthz.cli.issuer.providers.provider import Provider

CLOUD: Final = (
    Provider(
        name="sap-ias",
        title="SAP Cloud Identity Services (IAS)",
        url=r"https://[^/]+",
        example="https://acme.accounts.ondemand.com",
        audience="the client id of the application that provides the API",
        audience_example="1ab2cd3e-c573-4ad5-9007-28aa4e587a19",
        spec="""\
issuer: <issuer>
keys:
  jwksUri: <issuer>/oauth2/certs
algorithms: [RS256]
audiences: ["<audience>"]
tokenTypes: [Absent, JWT]
maxLifetime: 1h
ignoredHeaderParameters: [jku]  # in some tenants' headers; the keys come from `jwksUri` all the same
mapping: {scope: [ias_apis], client: [azp]}
claimPresent: [ias_apis]  # what tokens for an API have and ID tokens lack
""",
        notes=(
            "The APIs that the caller may use stand in `ias_apis`, and count as scopes here.",
            (
                "A client that shows a certificate gets a token bound to it (`cnf`), which is refused here: let it use"
                " a secret or `private_key_jwt`."
            ),
            "For XSUAA, which signs for other issuers, use `sap-xsuaa`.",
        ),
    ),
    Provider(
        name="oracle-idcs",
        title="Oracle Cloud identity domains (IDCS)",
        url=r"https://identity\.oraclecloud\.com/",
        example="https://identity.oraclecloud.com/",
        audience="the primary audience of your resource application",
        spec="""\
issuer: <issuer>
keys:
  jwksUri: https://FILL-IN-YOUR-DOMAIN.identity.oraclecloud.com/admin/v1/SigningCert/jwk
algorithms: [RS256]
audiences: ["<audience>"]
tokenTypes: [Absent, JWT]
maxLifetime: 1h
claimEquals: {tok_type: AT}  # ID tokens are signed by the same key
""",
        fill=(
            "name your own identity domain in `keys.jwksUri`",
            "let the domain show its signing certificate to clients without a login, in its default settings",
        ),
        notes=(
            "All identity domains share one issuer: only the key set says whose tokens are taken. The slash counts.",
        ),
    ),
    Provider(
        name="ibm-app-id",
        title="IBM Cloud App ID",
        url=r"https://[a-z-]+\.appid\.cloud\.ibm\.com/oauth/v4/[0-9a-f-]+",
        example="https://eu-de.appid.cloud.ibm.com/oauth/v4/39a37f57-a227-4bfe-a044-93b6e6050a61",
        audience="the ids of the clients that may call",
        audience_example="c6f6bb37-307f-4470-a1a3-171c80003e91",
        spec="""\
issuer: <issuer>
keys: {discovery: {}}
algorithms: [RS256]
audiences: ["<audience>"]
tokenTypes: [JOSE, JWT]
maxLifetime: 1h
mapping: {client: []}
claimPresent: [scope]     # what access tokens have and ID tokens lack
keyAlgAbsent: FromAlgorithms
reuseKeyFallback: Token   # there is no `jti`
""",
        fill=("list the id of every client that may call in `audiences`",),
        notes=("Tokens of IBM Cloud IAM (`https://iam.cloud.ibm.com/identity`) have no audience and are refused.",),
    ),
    Provider(
        name="aws-sts",
        title="AWS roles, outbound identity federation",
        url=r"https://[0-9a-f-]{36}\.tokens\.sts\.global\.api\.aws",
        example="https://a103a2cc-b461-473d-84fe-6c4f6d45af88.tokens.sts.global.api.aws",
        audience="what the caller asks `GetWebIdentityToken` for",
        spec="""\
issuer: <issuer>
keys: {discovery: {}}
algorithms: [ES384, RS256]
audiences: ["<audience>"]
tokenTypes: [Absent, JWT]
maxLifetime: 1h
mapping: {client: [], scope: []}
keyAlgAbsent: FromAlgorithms  # its RSA key has no `alg`
""",
        fill=("let rules name the roles, by `claims: [{claim: sub, oneOf: [arn:aws:iam::ACCOUNT:role/NAME]}]`",),
        notes=(
            (
                "What AWS says of the caller stands in one object: `/https:~1~1sts.amazonaws.com~1/org_id` is a claim"
                " of it, as a JSON Pointer."
            ),
        ),
    ),
)

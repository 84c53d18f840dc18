"""Microsoft: Entra ID in its versions, and managed identities."""

from __future__ import annotations

from typing import Final

from extauthz.cli.issuer.providers.provider import IdTokens, Provider

_TENANT: Final = r"(?P<tenant>[0-9a-fA-F-]{36})"
_GUID: Final = r"[0-9a-fA-F-]{36}"
_TENANT_EXAMPLE: Final = "3f6c1d2e-7a44-4c0b-9d53-0c8f1e5a7b21"
# The public cloud, those of the United States and China, and External ID for customers.
_LOGIN: Final = (
    r"https://(?:login\.microsoftonline\.(?:com|us)|login\.partner\.microsoftonline\.cn|[^/]+\.ciamlogin\.com)"
)
_IN_BOTH: Final = frozenset({"ver", "tid", "oid", "uti", "rh", "upn"})
_V2: Final = IdTokens(known_by=rf"{_LOGIN}/{_GUID}/v2\.0", audience=_GUID, common=_IN_BOTH)
_B2C: Final = IdTokens(
    known_by=rf"https://[^/]+\.b2clogin\.com/(?:{_GUID}|tfp/{_GUID}/[^/]+)/v2\.0/",
    audience=_GUID,
    common=_IN_BOTH | {"tfp"},
)
_ROTATION: Final = (
    "Entra's keys have no `alg`, hence `keyAlgAbsent: FromAlgorithms`; its tokens have no `jti`, but `uti`, which is as"
    " good."
)
_GROUPS: Final = (
    "A token may list up to 200 groups, and is longer than 8192 characters then: let the app registration write only"
    " groups that are assigned to the application, or raise `token.maxLength` in the rule."
)
_GRAPH: Final = (
    "A token for Microsoft Graph (`aud` is `00000003-0000-0000-c000-000000000000`, `nonce` in its header) cannot be"
    " verified by anyone else: let the client ask for your API's scope."
)

MICROSOFT: Final = (
    Provider(
        name="entra",
        title="Microsoft Entra ID, v2.0 tokens",
        url=rf"{_LOGIN}/{_TENANT}/v2\.0",
        example=f"https://login.microsoftonline.com/{_TENANT_EXAMPLE}/v2.0",
        audience="the application id (a GUID) of your API's app registration",
        audience_example="5d9a7e10-63b2-4e7f-a1c8-7f20d4b69e35",
        spec="""\
issuer: <issuer>
keys: {discovery: {}}
algorithms: [RS256]
audiences: ["<audience>"]
tokenTypes: [JWT]
maxLifetime: 100m       # they live for 60 to 90 minutes, and `iat` lies 5 minutes back
mapping: {scope: [scp, roles], client: [azp], tokenId: [uti], roles: [roles]}
claimEquals: {ver: "2.0", tid: "<tenant>"}
claimPresent: [azp]  # what access tokens have and ID tokens lack
keyAlgAbsent: FromAlgorithms
""",
        notes=(
            (
                "The API's manifest chooses the version (`accessTokenAcceptedVersion: 2`), not the"
                " address that the client"
                " uses; `null` means v1.0, for which there is `entra-v1`."
            ),
            "Users' tokens carry `scp`, applications' tokens `roles` and no `scp`: both count as scopes here.",
            "With continuous access evaluation tokens live for up to 28 hours: raise `maxLifetime` to `29h` only then.",
            _GROUPS,
            _ROTATION,
            _GRAPH,
        ),
        id_tokens=_V2,
    ),
    Provider(
        name="entra-v1",
        title="Microsoft Entra ID, v1.0 tokens",
        url=rf"https://sts\.windows\.net/{_TENANT}/",
        example=f"https://sts.windows.net/{_TENANT_EXAMPLE}/",
        audience="what the client asked for: your API's application id, or its `api://` URI",
        audience_example="api://5d9a7e10-63b2-4e7f-a1c8-7f20d4b69e35",
        spec="""\
issuer: <issuer>
keys:
  discovery:
    url: https://login.microsoftonline.com/<tenant>/.well-known/openid-configuration
algorithms: [RS256]
audiences: ["<audience>"]
tokenTypes: [JWT]
maxLifetime: 100m       # they live for 60 to 90 minutes, and `iat` lies 5 minutes back
mapping: {scope: [scp, roles], client: [appid], tokenId: [uti], roles: [roles]}
claimEquals: {ver: "1.0", tid: "<tenant>"}
claimPresent: [appid]  # what access tokens have and ID tokens lack
keyAlgAbsent: FromAlgorithms
""",
        fill=("list both forms of the audience if clients ask for both: the application id and the `api://` URI",),
        notes=("The issuer ends in a slash, and the slash counts.", _ROTATION, _GRAPH),
        id_tokens=IdTokens(known_by=rf"https://sts\.windows\.net/{_GUID}/", audience=_GUID, common=_IN_BOTH),
    ),
    Provider(
        name="entra-multitenant",
        title="Microsoft Entra ID, several tenants",
        url=rf"https://login\.microsoftonline\.com/{_TENANT}/v2\.0",
        example=f"https://login.microsoftonline.com/{_TENANT_EXAMPLE}/v2.0",
        audience="the application id (a GUID) of your API's app registration",
        audience_example="5d9a7e10-63b2-4e7f-a1c8-7f20d4b69e35",
        spec="""\
issuerTemplate: "https://login.microsoftonline.com/{tenantid}/v2.0"
tenants: ["<tenant>"]
tenantClaim: tid
keys:
  jwksUri: https://login.microsoftonline.com/common/discovery/v2.0/keys
  keyIssuerMember: Match
algorithms: [RS256]
audiences: ["<audience>"]
tokenTypes: [JWT]
maxLifetime: 100m
mapping: {scope: [scp, roles], client: [azp], tokenId: [uti], roles: [roles]}
claimEquals: {ver: "2.0"}
claimPresent: [azp]  # what access tokens have and ID tokens lack
keyAlgAbsent: FromAlgorithms
""",
        fill=("list every tenant that may come in `tenants`; there is no wildcard",),
        notes=(
            (
                "The common key set serves all tenants, those of private accounts too."
                " `keyIssuerMember: Match` keeps a key"
                " to the tenants it is meant for, and `tid` must name the tenant in `iss`."
            ),
            "Plainer and safer: one TokenIssuer for each tenant, made with `entra`.",
        ),
        id_tokens=_V2,
    ),
    Provider(
        name="azure-managed-identity",
        title="Azure managed identities",
        url=rf"https://sts\.windows\.net/{_TENANT}/",
        example=f"https://sts.windows.net/{_TENANT_EXAMPLE}/",
        audience="the resource that the workload asks for, byte for byte",
        audience_example="api://5d9a7e10-63b2-4e7f-a1c8-7f20d4b69e35",
        spec="""\
issuer: <issuer>
keys:
  discovery:
    url: https://login.microsoftonline.com/<tenant>/.well-known/openid-configuration
algorithms: [RS256]
audiences: ["<audience>"]
tokenTypes: [JWT]
maxLifetime: 24h10m     # such tokens live for a day
mapping: {scope: [roles], client: [appid], tokenId: [uti], roles: [roles]}
claimEquals: {ver: "1.0", idtyp: app, tid: "<tenant>"}
keyAlgAbsent: FromAlgorithms
""",
        fill=("let rules name the identities, by `claims: [{claim: oid, oneOf: [...]}]` or by `roles`",),
        notes=(
            (
                "Any identity of the tenant can ask for a token for your API unless assignment is"
                " required: that a token is"
                " there says little."
            ),
            "`aud` copies the resource as it was asked for, a slash at its end included.",
        ),
    ),
    Provider(
        name="entra-b2c",
        title="Azure AD B2C",
        url=r"https://(?P<host>[^/]+)/(?P<tenant>[0-9a-fA-F-]{36})/v2\.0/",
        example="https://acme.b2clogin.com/3f6c1d2e-7a44-4c0b-9d53-0c8f1e5a7b21/v2.0/",
        audience="the application id (a GUID) of your API's app registration",
        audience_example="5d9a7e10-63b2-4e7f-a1c8-7f20d4b69e35",
        spec="""\
issuer: <issuer>
keys:
  discovery:
    url: https://<host>/<tenant>/FILL-IN-USER-FLOW/v2.0/.well-known/openid-configuration
algorithms: [RS256]
audiences: ["<audience>"]
tokenTypes: [JWT]
maxLifetime: 1h
mapping: {scope: [scp], client: [azp]}
claimPresent: [azp, scp]  # what access tokens have and ID tokens lack
keyAlgAbsent: FromAlgorithms
reuseKeyFallback: Token # there is no `jti`
""",
        fill=("name the user flow or policy, such as `B2C_1_signin`, in `keys.discovery.url`",),
        notes=(
            "The issuer ends in a slash, and the slash counts.",
            "Each user flow has keys of its own address, and all sign for one issuer: `tfp` or `acr` names the flow.",
        ),
        id_tokens=_B2C,
    ),
    Provider(
        name="entra-b2c-tfp",
        title="Azure AD B2C, issuer that names the user flow",
        url=rf"https://[^/]+/tfp/{_TENANT}/[^/]+/v2\.0/",
        example=f"https://acme.b2clogin.com/tfp/{_TENANT_EXAMPLE}/b2c_1_signin/v2.0/",
        audience="the application id (a GUID) of your API's app registration",
        audience_example="5d9a7e10-63b2-4e7f-a1c8-7f20d4b69e35",
        spec="""\
issuer: <issuer>
keys: {discovery: {}}
algorithms: [RS256]
audiences: ["<audience>"]
tokenTypes: [JWT]
maxLifetime: 1h
mapping: {scope: [scp], client: [azp]}
claimPresent: [azp, scp]  # what access tokens have and ID tokens lack
keyAlgAbsent: FromAlgorithms
reuseKeyFallback: Token # there is no `jti`
""",
        notes=(
            "A property of the user flow, token compatibility, chooses this form of `iss` or that of `entra-b2c`.",
            "Each user flow is an issuer of its own: a TokenIssuer for each. The slash at the end counts.",
        ),
        id_tokens=_B2C,
    ),
    Provider(
        name="adfs",
        title="Active Directory Federation Services",
        url=r"http://(?P<host>[^/]+)/adfs/services/trust",
        example="http://sts.corp.example/adfs/services/trust",
        audience="`microsoft:identityserver:` and the identifier of your web API",
        audience_example="microsoft:identityserver:https://api.example",
        spec="""\
issuer: <issuer>
keys:
  jwksUri: https://<host>/adfs/discovery/keys
algorithms: [RS256]
audiences: ["<audience>"]
tokenTypes: [JWT]
maxLifetime: 1h
mapping: {scope: [scp], client: [appid], subject: [sub, upn, appid]}
requiredClaims: []      # there is no `sub` unless a claim rule issues it
claimPresent: [appid]
reuseKeyFallback: Token # there is no `jti`
""",
        notes=(
            "Access tokens name the issuer with `http://`, ID tokens as metadata does with `https://`.",
            "`auth_time` is a text here, so `require.authentication.maxAge` refuses every token.",
        ),
    ),
)

"""Tokens of workloads: Kubernetes, continuous integration, SPIFFE."""

from __future__ import annotations

from typing import Final

from extauthz.cli.issuer.providers.provider import Provider

_OUTSIDE: Final = """\
issuer: <issuer>
keys:
  jwksUri: <issuer>KEYS
algorithms: [RS256]
audiences: ["<audience>"]
tokenTypes: [Absent]
maxLifetime: 1h10m
mapping: {client: [], scope: []}
claimPresent: [kubernetes.io]
"""
_CALLERS: Final = (
    "let rules name the callers, by `claims: [{claim: sub, oneOf: [system:serviceaccount:NAMESPACE:NAME]}]`",
)

WORKLOAD: Final = (
    Provider(
        name="kubernetes",
        title="Kubernetes ServiceAccounts",
        url=r"https://[^/]+(?:/.*)?",
        example="https://kubernetes.default.svc.cluster.local",
        audience="an audience of your own, which callers ask for by a projected volume",
        audience_example="orders-api",
        spec="""\
issuer: <issuer>
keys:
  jwksUri: https://kubernetes.default.svc/openid/v1/jwks
  authentication: OwnServiceAccountToken  # the API server shows its keys to callers that it knows
algorithms: [RS256, ES256]
audiences: ["<audience>"]
tokenTypes: [Absent]
maxLifetime: 1h10m      # refuses the default API token, which lives for a year on many clusters
mapping: {client: [], scope: []}
claimPresent: [kubernetes.io]
""",
        fill=(
            "let callers mount a projected token: `serviceAccountToken: {audience: AUDIENCE, expirationSeconds: 3600}`",
            "let rules name the callers, by `claims: [{claim: sub, oneOf: [system:serviceaccount:NAMESPACE:NAME]}]`",
        ),
        notes=(
            "`kubectl get --raw /.well-known/openid-configuration` shows the cluster's issuer.",
            (
                "The token of a pod that was deleted stays valid until it expires. Before Kubernetes"
                " 1.30 there is no `jti`:"
                " add `reuseKeyFallback: Token`."
            ),
        ),
    ),
    Provider(
        name="eks",
        title="Amazon EKS ServiceAccounts, from outside the cluster",
        url=r"https://oidc(?:\.eks\.[a-z0-9-]+\.amazonaws|-eks\.[a-z0-9-]+\.api)(?:\.[a-z]+)+/id/[0-9A-F]+",
        example="https://oidc.eks.eu-west-1.amazonaws.com/id/0A1B2C3D4E5F60718293A4B5C6D7E8F9",
        audience="an audience of your own, which callers ask for by a projected volume",
        audience_example="orders-api",
        spec=_OUTSIDE.replace("KEYS", "/keys"),
        fill=_CALLERS,
        notes=("Discovery may name an internal host as `jwks_uri`, so the public address is pinned.",),
    ),
    Provider(
        name="gke",
        title="Google GKE ServiceAccounts, from outside the cluster",
        url=r"https://container\.googleapis\.com/v1/projects/[^/]+/(?:locations|zones)/[^/]+/clusters/[^/]+",
        example="https://container.googleapis.com/v1/projects/acme/locations/europe-west1/clusters/prod",
        audience="an audience of your own, which callers ask for by a projected volume",
        audience_example="orders-api",
        spec=_OUTSIDE.replace("KEYS", "/jwks"),
        fill=_CALLERS,
    ),
    Provider(
        name="aks",
        title="Azure AKS ServiceAccounts, from outside the cluster",
        url=r"https://[a-z0-9-]+\.oic\.prod-aks\.azure\.com/[0-9a-f-]{36}/[0-9a-f-]{36}/",
        example="https://westeurope.oic.prod-aks.azure.com/3f6c1d2e-7a44-4c0b-9d53-0c8f1e5a7b21/5aced6d5-4299-421b-84a9-6638aebbf4f0/",
        audience="an audience of your own, which callers ask for by a projected volume",
        audience_example="orders-api",
        spec=_OUTSIDE.replace("KEYS", "openid/v1/jwks"),
        fill=_CALLERS,
        notes=("The issuer ends in a slash, and the slash counts.",),
    ),
    Provider(
        name="github-actions",
        title="GitHub Actions",
        url=r"https://(?:token\.actions\.(?:githubusercontent\.com(?:/[^/]+)?|[^/]+\.ghe\.com)|[^/]+/_services/token)",
        example="https://token.actions.githubusercontent.com",
        audience="what the workflow asks for; GitHub's default is the owner's URL",
        spec="""\
issuer: <issuer>
keys: {discovery: {}}
algorithms: [RS256]
audiences: ["<audience>"]
tokenTypes: [JWT]
maxLifetime: 10m
mapping: {client: [], scope: []}
claimEquals: {repository_owner_id: "FILL-IN-owner-id"}
""",
        fill=(
            "name the owner, and the repository where it matters, by their ids: `repository_owner_id`, `repository_id`",
        ),
        notes=(
            "Ids are texts. Never match `sub` by its beginning: its form changed in 2026, and names can be taken over.",
            "`nbf` lies ten minutes before `iat`; lifetime is measured from `iat`.",
            (
                "An enterprise may have an issuer of its own (`…githubusercontent.com/ENTERPRISE`,"
                " `token.actions.ENTERPRISE.ghe.com`), a GitHub Enterprise Server has (`https://HOST/_services/token`)."
            ),
        ),
    ),
    Provider(
        name="gitlab-ci",
        title="GitLab CI",
        url=r"https://[^/]+(?:/[^/]+)*",
        example="https://gitlab.com",
        audience="what the job asks for in `id_tokens`",
        spec="""\
issuer: <issuer>
keys: {discovery: {}}
algorithms: [RS256]
audiences: ["<audience>"]
tokenTypes: [JWT]
maxLifetime: 1h10m
mapping: {client: [], scope: []}
claimEquals: {project_id: "FILL-IN-project-id", ref_protected: "true"}
""",
        fill=("name the project by its id, a text",),
        notes=("`ref_protected` is the text `true`. The old `CI_JOB_JWT` has no audience and is refused.",),
    ),
    Provider(
        name="bitbucket",
        title="Bitbucket Pipelines",
        url=r"https://api\.bitbucket\.org/2\.0/workspaces/[^/]+/pipelines-config/identity/oidc",
        example="https://api.bitbucket.org/2.0/workspaces/acme/pipelines-config/identity/oidc",
        audience="the workspace, unless the step asks for another",
        audience_example="ari:cloud:bitbucket::workspace/3f6c1d2e-7a44-4c0b-9d53-0c8f1e5a7b21",
        spec="""\
issuer: <issuer>
keys: {discovery: {}}
algorithms: [RS256]
audiences: ["<audience>"]
tokenTypes: [Absent, JWT]
maxLifetime: 1h10m
mapping: {client: [], scope: []}
claimEquals: {repositoryUuid: "FILL-IN-{repository-uuid}"}
reuseKeyFallback: Token # there is no `jti`
""",
        fill=("name the repository by its id, braces included",),
    ),
    Provider(
        name="spiffe",
        title="SPIFFE JWT-SVIDs, keys from a bundle endpoint",
        url=r"https://(?P<domain>[a-z0-9._-]+)(?:/.*)?",
        example="https://acme.example",
        audience="the SPIFFE ID or URL of your API",
        audience_example="spiffe://acme.example/orders",
        spec="""\
trustDomain: <domain>
keys:
  jwksUri: FILL-IN-https://YOUR-BUNDLE-ENDPOINT
algorithms: [RS256, ES256]
audiences: ["<audience>"]
tokenTypes: [Absent, JWT, JOSE]
maxLifetime: 10m
mapping: {client: [], scope: []}
keyUse: [jwt-svid]
keyAlgAbsent: FromAlgorithms
reuseKeyFallback: Token # there is no `jti`
""",
        fill=("name the address of the trust domain's bundle in `keys.jwksUri`",),
        notes=("For tokens with `iss` and keys from SPIRE's OIDC discovery provider, use `spire-oidc`.",),
    ),
    Provider(
        name="spire-oidc",
        title="SPIFFE JWT-SVIDs, keys from SPIRE's OIDC discovery provider",
        url=r"https://(?P<host>[^/]+)(?:/.*)?",
        example="https://oidc.acme.example",
        audience="the SPIFFE ID or URL of your API",
        audience_example="spiffe://acme.example/orders",
        spec="""\
issuer: <issuer>
keys: {discovery: {}}
algorithms: [RS256, ES256]
audiences: ["<audience>"]
tokenTypes: [Absent, JWT]
maxLifetime: 10m
subjectPattern: "FILL-IN-spiffe://YOUR-TRUST-DOMAIN/"
mapping: {client: [], scope: []}
keyUse: [sig, Absent]
keyAlgAbsent: FromAlgorithms
reuseKeyFallback: Token # there is no `jti`
""",
        fill=("name your trust domain in `subjectPattern`: `spiffe://DOMAIN/`",),
    ),
    Provider(
        name="circleci",
        title="CircleCI",
        url=r"https://oidc\.circleci\.com/org/(?P<org>[0-9a-f-]{36})",
        example="https://oidc.circleci.com/org/3f6c1d2e-7a44-4c0b-9d53-0c8f1e5a7b21",
        audience="the id of the organisation, unless the job asks for another",
        audience_example="3f6c1d2e-7a44-4c0b-9d53-0c8f1e5a7b21",
        spec="""\
issuer: <issuer>
keys: {discovery: {}}
algorithms: [RS256]
audiences: ["<audience>"]
tokenTypes: [Absent, JWT]
maxLifetime: 1h10m
mapping: {client: [], scope: []}
claimEquals: {oidc.circleci.com/project-id: "FILL-IN-project-id"}
reuseKeyFallback: Token # there is no `jti`
""",
        fill=("name the project by its id",),
    ),
    Provider(
        name="buildkite",
        title="Buildkite",
        url=r"https://agent\.buildkite\.com",
        example="https://agent.buildkite.com",
        audience="what the job asks for; Buildkite's default is the organisation's URL",
        audience_example="https://api.example",
        spec="""\
issuer: <issuer>
keys: {discovery: {}}
algorithms: [RS256]
audiences: ["<audience>"]
tokenTypes: [Absent, JWT]
maxLifetime: 10m
mapping: {client: [], scope: []}
claimEquals: {organization_slug: "FILL-IN-organization", pipeline_slug: "FILL-IN-pipeline"}
reuseKeyFallback: Token # there is no `jti`
""",
        fill=("name the organisation and the pipeline",),
        notes=("All organisations share one issuer: a rule that names none lets in everybody's jobs.",),
    ),
    Provider(
        name="terraform-cloud",
        title="HCP Terraform, workload identity",
        url=r"https://[^/]+",
        example="https://app.terraform.io",
        audience="what the workspace asks for, `TFC_WORKLOAD_IDENTITY_AUDIENCE`",
        audience_example="https://api.example",
        spec="""\
issuer: <issuer>
keys: {discovery: {}}
algorithms: [RS256]
audiences: ["<audience>"]
tokenTypes: [JWT]
maxLifetime: 2h10m     # until the end of the run
mapping: {client: [], scope: []}
claimEquals: {terraform_organization_id: "FILL-IN-org-id"}
""",
        fill=("name the organisation by its id",),
        notes=(
            "All organisations share one issuer: name the workspace, too, where it matters (`terraform_workspace_id`).",
        ),
    ),
    Provider(
        name="vault",
        title="HashiCorp Vault, identity tokens",
        url=r"https://.+/v1/(?:.+/)?identity/oidc(?:/provider/[^/]+)?",
        example="https://vault.example:8200/v1/identity/oidc",
        audience="the client id of the role",
        audience_example="orders",
        spec="""\
issuer: <issuer>
keys: {discovery: {}}
algorithms: [RS256]
audiences: ["<audience>"]
tokenTypes: [Absent]
maxLifetime: 24h        # the `ttl` of the role
mapping: {client: [], scope: []}
reuseKeyFallback: Token # there is no `jti`
""",
        notes=("A key of Vault may sign with ES256 or EdDSA instead: write its algorithm into `algorithms`.",),
    ),
)

"""Tokens of workloads: Kubernetes, continuous integration, SPIFFE."""

from __future__ import annotations

from typing import Final

from extauthz.cli.issuer.providers.provider import Provider

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
        url=r"https://oidc\.eks\.[a-z0-9-]+\.amazonaws\.com/id/[0-9A-F]+",
        example="https://oidc.eks.eu-west-1.amazonaws.com/id/0A1B2C3D4E5F60718293A4B5C6D7E8F9",
        audience="an audience of your own, which callers ask for by a projected volume",
        audience_example="orders-api",
        spec="""\
issuer: <issuer>
keys:
  jwksUri: <issuer>/keys
algorithms: [RS256]
audiences: ["<audience>"]
tokenTypes: [Absent]
maxLifetime: 1h10m
mapping: {client: [], scope: []}
claimPresent: [kubernetes.io]
""",
        fill=(
            "let rules name the callers, by `claims: [{claim: sub, oneOf: [system:serviceaccount:NAMESPACE:NAME]}]`",
        ),
        notes=("Discovery may name an internal host as `jwks_uri`, so the public address is pinned.",),
    ),
    Provider(
        name="github-actions",
        title="GitHub Actions",
        url=r"https://token\.actions\.githubusercontent\.com",
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
        ),
    ),
    Provider(
        name="gitlab-ci",
        title="GitLab CI",
        url=r"https://[^/]+",
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
)

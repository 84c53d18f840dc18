"""TokenIssuer and ClusterTokenIssuer as authors write them: whose signatures count, and what their tokens look like.

Strict is the default (RFC 9068, RFC 8725). Providers that issue something else are let in by narrow switches, one
issuer at a time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from extauthz.model.time import Seconds
from extauthz.model.token import KeyAlgAbsent, RolesShape
from extauthz.policy.claim_words import ClaimFlags, ClaimValues
from extauthz.policy.incluster import InCluster
from extauthz.policy.introspection import IntrospectionSpec
from extauthz.policy.key_set import KeySetSpec
from extauthz.policy.reference import DataRefSpec
from extauthz.policy.ruled import CelRule, Ruled, Union
from extauthz.policy.selector import SelectorSpec
from extauthz.policy.words import (
    STRICT,
    CaPem,
    ClaimWord,
    ClaimWords,
    ClockSkew,
    FilePath,
    HttpsUrl,
    Issuer,
    IssuerTemplate,
    MaxStale,
    ObjectName,
    RefreshInterval,
    Tenant,
    TokenLifetime,
    TrustDomain,
    Word,
)

Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512",
    "EdDSA", "Ed25519", "HS256", "HS384", "HS512",
]  # fmt: skip
IgnoredParameter = Literal["jku", "x5c", "zip"]
ABSENT = "Absent"
"""Stands for a member or claim that is not there."""

SAMPLE_ISSUER = "testing@secure.istio.io"

ASYMMETRIC: frozenset[str] = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"}
)

_PLACEHOLDER = re.compile(r"\{[A-Za-z_]+\}", re.ASCII)

_NAMED = f"(has(self.issuer) && self.issuer != '{ABSENT}')"


def _symmetric(spec: TokenIssuerSpec) -> int:
    """How many of the algorithms are symmetric."""
    return sum(name not in ASYMMETRIC for name in spec.algorithms)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoverySpec:
    """Where the keys stand is read from the issuer's metadata (OpenID Connect Discovery 1.0, RFC 8414)."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    url: HttpsUrl | None = None
    """The metadata document, when it does not stand below the issuer. Its `issuer` must still be this issuer's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysSpec(Union):
    """Where the keys come from: exactly one of `discovery`, `jwksUri`, `inline`, `file`, `secretRef` and
    `configMapRef`."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            "!has(self.authentication) || has(self.jwksUri) || has(self.discovery)",
            "`authentication` is for `jwksUri` and `discovery`; remove it",
            lambda spec: spec.authentication is not None and spec.jwks_uri is None and spec.discovery is None,
        ),
    )
    members: ClassVar[tuple[str, ...]] = ("discovery", "jwks_uri", "inline", "file", "secret_ref", "config_map_ref")
    discovery: DiscoverySpec | None = None
    """From the issuer's metadata."""
    jwks_uri: HttpsUrl | None = None
    """From a key set at this URL (RFC 7517, section 5)."""
    inline: Annotated[dict[str, Any], InCluster(KeySetSpec, "write the members of public keys only")] | None = None
    """A key set, written here. A folder takes it as the issuer publishes it, a cluster the members named here."""
    file: FilePath | None = None
    """A file with a key set, relative to the policy file that names it. Read again when it changes."""
    secret_ref: DataRefSpec | None = None
    """A key set in a Secret: the place for symmetric keys."""
    config_map_ref: DataRefSpec | None = None
    """A key set in a ConfigMap."""
    authentication: Literal["OwnServiceAccountToken"] | None = None
    """`OwnServiceAccountToken`: show our own ServiceAccount's token. Only the cluster's API server ever sees it."""
    key_issuer_member: Literal["Match"] | None = None
    """`Match`: a key only signs for the `iss` in its member `issuer`, its placeholder filled in with the tenant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaBundleSpec(Union):
    """Authorities that the issuer's server is checked against: exactly one of `inline`, `file` and `configMapRef`."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    members: ClassVar[tuple[str, ...]] = ("inline", "file", "config_map_ref")
    inline: CaPem | None = None
    """Certificates in PEM."""
    file: FilePath | None = None
    """A file with certificates in PEM, relative to the policy file that names it. Read again when it changes."""
    config_map_ref: DataRefSpec | None = None
    """Certificates in PEM in a ConfigMap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingSpec:
    """Under which claims this issuer puts what is needed: names, lists tried in order, or JSON Pointers. An empty list:
    the issuer does not say. `sub`, `client_id` and `jti` may be empty where a list names another that is there."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    scope: ClaimWords = ("scope",)
    """Granted scopes: a text with spaces between, or an array of texts."""
    client: ClaimWords = ("client_id",)
    """The client that the token was issued to."""
    audience: ClaimWords = ("aud",)
    """The audience. Where `aud` is present too, it must match as well."""
    subject: ClaimWords = ("sub",)
    """Whom the token is about."""
    token_id: ClaimWords = ("jti",)
    """The token's unique id."""
    roles: ClaimWords = ()
    """Roles, for `require.roles`; how they are written says `rolesShape`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshSpec:
    """How often keys are fetched, and for how long old ones serve when that fails."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    interval: RefreshInterval = Seconds(300)
    """Time between two fetches."""
    max_stale: MaxStale = Seconds(3600)
    """How long the last good keys serve when fetching fails; then requests get 503."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackChannelLogoutSpec:
    """Logouts that the issuer tells the controller of (OpenID Connect Back-Channel Logout 1.0). Each becomes a
    TokenRevocation."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    clients: Annotated[tuple[Word, ...], Field(min_length=1, max_length=64)]
    """Our client ids at the issuer: one of them must be in a logout token's `aud`."""
    token_types: Annotated[tuple[Word, ...], Field(min_length=1, max_length=4)] = ("logout+jwt", ABSENT)
    """Accepted `typ` of a logout token's header, without `application/`. `Absent` stands for a token without it."""
    ends: Literal["Session", "Subject"] = "Session"
    """`Session`: the tokens with the logout's `sid`; all that the subject has, where the logout names no session.
    `Subject`: all that the subject has, for issuers whose access tokens have no `sid`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenIssuerSpec(Ruled):
    """Whose signatures count, and what the tokens look like."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            f"[{_NAMED}, has(self.issuerTemplate), has(self.trustDomain)].filter(each, each).size() == 1",
            "exactly one of `issuer`, `issuerTemplate` and `trustDomain` is needed",
            lambda spec: [spec.named, spec.issuer_template, spec.trust_domain].count(None) != 2,
        ),
        CelRule(
            f"!has(self.issuer) || self.issuer != '{SAMPLE_ISSUER}'",
            f"`{SAMPLE_ISSUER}` is a sample whose private key is published, anyone can sign for it: name your own",
            lambda spec: spec.issuer == SAMPLE_ISSUER,
        ),
        CelRule(
            "!has(self.issuer) || !self.issuer.matches('[{][A-Za-z_]+[}]')",
            "no `iss` has a name in braces: write one tenant's, or for several `issuerTemplate` and `tenants`",
            lambda spec: spec.issuer is not None and _PLACEHOLDER.search(spec.issuer) is not None,
        ),
        CelRule(
            "has(self.issuerTemplate) == (has(self.tenants) && self.tenants.size() > 0)",
            "`issuerTemplate` and `tenants` need each other",
            lambda spec: (spec.issuer_template is not None) != bool(spec.tenants),
        ),
        CelRule(
            "!has(self.tenantClaim) || has(self.issuerTemplate)",
            "`tenantClaim` is for `issuerTemplate`; remove it",
            lambda spec: spec.tenant_claim is not None and spec.issuer_template is None,
        ),
        CelRule(
            f"{_NAMED} || !has(self.issuerAliases) || self.issuerAliases.size() == 0",
            "`issuerAliases` are other forms of `issuer`, which is missing; name it, or remove them",
            lambda spec: spec.named is None and bool(spec.issuer_aliases),
        ),
        CelRule(
            "has(self.keys) != has(self.introspection)",
            "exactly one of `keys` and `introspection` is needed; make two issuers of it, a rule may name both",
            lambda spec: (spec.keys is None) == (spec.introspection is None),
        ),
        CelRule(
            f"{_NAMED} || !has(self.introspection)",
            "`introspection` needs one `issuer`: whose endpoint it is",
            lambda spec: spec.named is None and spec.introspection is not None,
        ),
        CelRule(
            "!has(self.introspection) || !has(self.algorithms) || self.algorithms.size() == 0",
            "`algorithms` are for signatures, and with `introspection` none is checked; remove them",
            lambda spec: spec.introspection is not None and bool(spec.algorithms),
        ),
        CelRule(
            f"{_NAMED} || !has(self.keys) || !has(self.keys.discovery)",
            "`discovery` needs one `issuer`; name the key set in `keys.jwksUri`",
            lambda spec: spec.named is None and spec.keys is not None and spec.keys.discovery is not None,
        ),
        CelRule(
            "!has(self.keys) || !has(self.keys.authentication) || !has(self.caBundle)",
            "with `authentication`, the cluster's own authority counts; remove `caBundle`",
            lambda spec: spec.ca_bundle is not None and spec.keys is not None and spec.keys.authentication is not None,
        ),
        CelRule(
            "!has(self.claimFlags) || !has(self.claimEquals) || self.claimFlags.all(name, !(name in self.claimEquals))",
            "`claimFlags` and `claimEquals` name one claim; leave it in one of them",
            lambda spec: next(iter(spec.claim_flags.keys() & spec.claim_equals.keys()), ""),
        ),
        CelRule(
            "!has(self.algorithms) || self.algorithms.all(name, name.startsWith('HS')) "
            "|| !self.algorithms.exists(name, name.startsWith('HS'))",
            "`algorithms` mixes symmetric and asymmetric ones; make two issuers of it",
            lambda spec: 0 < _symmetric(spec) < len(spec.algorithms),
        ),
        CelRule(
            "!has(self.keys) || has(self.keys.secretRef) || !has(self.algorithms) "
            "|| !self.algorithms.exists(name, name.startsWith('HS'))",
            "symmetric algorithms need their key from `secretRef` or a secret `file`, nothing else",
            lambda spec: (
                _symmetric(spec) > 0 and spec.keys is not None and not (spec.keys.file or spec.keys.secret_ref)
            ),
        ),
        CelRule(
            "!has(self.backChannelLogout) || has(self.keys)",
            "`backChannelLogout` needs `keys`, which logout tokens are verified with; remove it",
            lambda spec: spec.back_channel_logout is not None and spec.keys is None,
        ),
        CelRule(
            "!has(self.backChannelLogout) || !has(self.trustDomain)",
            "`backChannelLogout` is for issuers with an `iss`, which a logout token names; remove it",
            lambda spec: spec.back_channel_logout is not None and spec.trust_domain is not None,
        ),
    )
    issuer: Issuer | None = None
    """The `iss` claim, byte for byte. `Absent`, or left out, where `issuerTemplate` or `trustDomain` stands."""
    issuer_template: IssuerTemplate | None = None
    """An `iss` with one `{name}` in it, which stands for each of `tenants`."""
    tenants: Annotated[tuple[Tenant, ...], Field(max_length=256)] = ()
    """The tenants that `issuerTemplate` is filled in with: a closed list."""
    tenant_claim: ClaimWord | None = None
    """The claim that must name the same tenant as `iss` does; `tid` where left out."""
    trust_domain: TrustDomain | None = None
    """For JWT-SVIDs without `iss`: their subject is a SPIFFE ID of this trust domain."""
    keys: KeysSpec | None = None
    """Where the keys come from. This, or `introspection`."""
    introspection: IntrospectionSpec | None = None
    """Which endpoint is asked about tokens that only it can read (RFC 7662)."""
    algorithms: Annotated[tuple[Algorithm, ...], Field(max_length=14)] = ()
    """Accepted signature algorithms; none means every asymmetric one that a key allows."""
    audiences: Annotated[tuple[Word, ...], Field(max_length=16)] = ()
    """The default for rules that name none."""
    max_lifetime: TokenLifetime = Seconds(3600)
    """Refuses tokens issued for longer."""
    clock_skew: ClockSkew = Seconds(30)
    """How far clocks may differ when times are compared."""
    token_types: Annotated[tuple[Word, ...], Field(min_length=1, max_length=8)] = ("at+jwt",)
    """Accepted `typ` of the token's header, without `application/`. `JWT` and `Absent` only count when written here."""
    ignored_header_parameters: Annotated[tuple[IgnoredParameter, ...], Field(max_length=3)] = ()
    """Parameters of the token's header that are let be where the issuer always writes them: never read or followed,
    since keys come from `keys` alone. `zip` counts only where it is `NONE`."""
    required_claims: Annotated[tuple[ClaimWord, ...], Field(max_length=32)] = ("sub",)
    """Claims that must be there besides `exp`, `iss` and the audience."""
    claim_equals: ClaimValues = field(default_factory=dict)
    """Claims and the values they must be equal to, type included: tells access tokens from ID tokens. A folder takes
    any JSON value, a cluster texts and whole numbers."""
    claim_flags: ClaimFlags = field(default_factory=dict)
    """Claims that must be `true` or `false`, as said here."""
    claim_present: Annotated[tuple[ClaimWord, ...], Field(max_length=32)] = ()
    """Claims that must be there."""
    mapping: MappingSpec = field(default_factory=MappingSpec)
    """Under which claims this issuer puts what is needed."""
    roles_shape: RolesShape = RolesShape.NAMES
    """How roles are written: as text or array of texts, or as the member names of an object."""
    subject_pattern: Word | None = None
    """What the subject must look like; `*` stands for any characters, a `/` at the end for everything below."""
    reuse_key_fallback: Literal["Token"] | None = None
    """`Token`: where a rule counts by `Jti` and a token has no id, or no `iat`, count by the token itself."""
    issuer_aliases: Annotated[tuple[Word, ...], Field(max_length=64)] = ()
    """Other `iss` values of this issuer, byte for byte."""
    key_alg_absent: KeyAlgAbsent = KeyAlgAbsent.REFUSE
    """What a key without `alg` is good for: nothing, or every algorithm listed that fits its type."""
    key_use: Annotated[tuple[Word, ...], Field(min_length=1, max_length=4)] = ("sig",)
    """Accepted `use` of a key; `Absent` stands for a key without it."""
    refresh: RefreshSpec = field(default_factory=RefreshSpec)
    """How often keys are fetched."""
    ca_bundle: CaBundleSpec | None = None
    """Authorities that the issuer's server is checked against, instead of the system's."""
    back_channel_logout: BackChannelLogoutSpec | None = None
    """Take logouts from this issuer; needs a controller with `--events`. Left out, its logouts are refused."""

    @property
    def named(self) -> str | None:
        """The `iss` claim, None where it is no single one."""
        return None if self.issuer == ABSENT else self.issuer


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterTokenIssuerSpec(TokenIssuerSpec):
    """The same for a whole cluster, with the namespaces that may use it."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        *TokenIssuerSpec.cel_rules,
        CelRule(
            "!has(self.allowedNamespaces) || !has(self.allowedNamespaceSelector)",
            "`allowedNamespaces` names them, or `allowedNamespaceSelector` selects them; leave one of the two",
            lambda spec: spec.allowed_namespaces is not None and spec.allowed_namespace_selector is not None,
        ),
    )
    allowed_namespaces: Annotated[tuple[ObjectName, ...], Field(max_length=256)] | None = None
    """The namespaces whose policies may name it; absent means all. A folder also takes `{selector: …}` here."""
    allowed_namespace_selector: SelectorSpec | None = None
    """Which namespaces' policies may name it, by the labels of the Namespace. Where those are not known, as by a
    sidecar, nothing is selected."""

"""TokenIssuer and ClusterTokenIssuer as authors write them: whose signatures count, and what their tokens look like.

Strict is the default (RFC 9068, RFC 8725). Providers that issue something else are let in by narrow switches, one
issuer at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from extauthz.model.time import Seconds
from extauthz.model.token import KeyAlgAbsent
from extauthz.policy.words import (
    STRICT,
    CaPem,
    ClaimWord,
    ClaimWords,
    ClockSkew,
    FilePath,
    HttpsUrl,
    Issuer,
    MaxStale,
    ObjectName,
    RefreshInterval,
    TokenLifetime,
    Union,
    Word,
)

Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512",
    "EdDSA", "Ed25519", "HS256", "HS384", "HS512",
]  # fmt: skip
ASYMMETRIC: frozenset[str] = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoverySpec:
    """Where the keys stand is read from the issuer's metadata (OpenID Connect Discovery 1.0, RFC 8414)."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    url: HttpsUrl | None = None
    """The metadata document, when it does not stand below the issuer. Its `issuer` must still be this issuer's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysSpec(Union):
    """Where the keys come from: exactly one of `discovery`, `jwksUri`, `inline` and `file`."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    members: ClassVar[tuple[str, ...]] = ("discovery", "jwks_uri", "inline", "file")
    discovery: DiscoverySpec | None = None
    """From the issuer's metadata."""
    jwks_uri: HttpsUrl | None = None
    """From a key set at this URL (RFC 7517, section 5)."""
    inline: dict[str, Any] | None = None
    """A key set, written here."""
    file: FilePath | None = None
    """A file with a key set, relative to the policy file that names it. Read again when it changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaBundleSpec(Union):
    """Authorities that the issuer's server is checked against: exactly one of `inline` and `file`."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    members: ClassVar[tuple[str, ...]] = ("inline", "file")
    inline: CaPem | None = None
    """Certificates in PEM."""
    file: FilePath | None = None
    """A file with certificates in PEM, relative to the policy file that names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingSpec:
    """Under which claims this issuer puts what is needed: names, lists tried in order, or JSON Pointers."""

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
    roles: ClaimWords | None = None
    """Roles, for the decision log and later clauses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshSpec:
    """How often keys are fetched, and for how long old ones serve when that fails."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    interval: RefreshInterval = Seconds(300)
    """Time between two fetches."""
    max_stale: MaxStale = Seconds(3600)
    """How long the last good keys serve when fetching fails; then requests get 503."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenIssuerSpec:
    """Whose signatures count, and what the tokens look like."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    issuer: Issuer
    """The `iss` claim, byte for byte."""
    keys: KeysSpec
    """Where the keys come from."""
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
    required_claims: Annotated[tuple[ClaimWord, ...], Field(max_length=32)] = ("sub",)
    """Claims that must be there besides `exp`, `iss` and the audience."""
    claim_equals: Annotated[dict[ClaimWord, Any], Field(max_length=32)] = field(default_factory=dict)
    """Claims and the JSON values they must be equal to, type included: tells access tokens from ID tokens."""
    claim_present: Annotated[tuple[ClaimWord, ...], Field(max_length=32)] = ()
    """Claims that must be there."""
    mapping: MappingSpec = field(default_factory=MappingSpec)
    """Under which claims this issuer puts what is needed."""
    reuse_key_fallback: Literal["Token"] | None = None
    """`Token`: where a rule counts by `Jti` and a token has no id, count by the token itself."""
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
    allowed_namespaces: Annotated[tuple[ObjectName, ...], Field(max_length=256)] | None = None
    """On a ClusterTokenIssuer: the namespaces whose policies may name it; absent means all."""

    def __post_init__(self) -> None:
        symmetric = [name for name in self.algorithms if name not in ASYMMETRIC]
        if symmetric and len(symmetric) != len(self.algorithms):
            raise ValueError("`algorithms` mixes symmetric and asymmetric ones; make two issuers of it")
        if symmetric and self.keys.file is None:
            raise ValueError("symmetric algorithms need their key from a secret `file`, never from a URL or the policy")

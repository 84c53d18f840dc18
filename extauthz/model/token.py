"""Credentials and tokens: what was presented, whose signatures count, and what a verified token says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple, NewType

from extauthz.model.encoding import Json
from extauthz.model.time import AcceptanceWindow, Instant, Seconds

ACCESS_TOKEN: Final = "access_token"
"""The kind of token for which an endpoint is asked unless a form held another (RFC 7662, section 2.1)."""

REFRESH_TOKEN: Final = "refresh_token"
"""The form parameter of RFC 6749, section 6, and the `grant_type` of a request that holds it."""

MAX_TOKEN: Final = 8192
"""Characters of a token, unless a rule says otherwise. Larger ones do not pass most servers' header limits anyway."""

ClaimPath = NewType("ClaimPath", str)
"""A claim's name, or a JSON Pointer (RFC 6901) when it begins with `/`."""


class SlotKind(Enum):
    """Where a credential may stand in a request."""

    AUTHORIZATION = "authorization"
    """The `Authorization` header with the `Bearer` scheme (RFC 6750, section 2.1)."""
    HEADER = "header"
    """Another header, holding the bare token."""
    COOKIE = "cookie"
    """A cookie of the given name, holding the bare token."""
    QUERY = "query"
    """A query parameter; only by opt-in, and removed before the request goes upstream."""
    FORM = "form"
    """The parameter `refresh_token` in the body of a token request (RFC 6749, section 6), which goes upstream."""


@dataclass(frozen=True, slots=True)
class Slot:
    """The one place in a request where a rule looks for its credential."""

    kind: SlotKind
    name: str
    """Header, cookie or parameter name; header names in lower case."""


class Credential(NamedTuple):
    """The token text that was presented. Never logged; its repr shows nothing of it."""

    token: str
    slot: Slot

    def __repr__(self) -> str:
        return f"Credential(slot={self.slot!r})"


class IssuerRef(NamedTuple):
    """The object that describes an issuer; `namespace` is empty for a ClusterTokenIssuer."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimMapping:
    """Under which claims an issuer puts what we need, each a list tried in order."""

    scope: tuple[ClaimPath, ...] = (ClaimPath("scope"),)
    client: tuple[ClaimPath, ...] = (ClaimPath("client_id"),)
    audience: tuple[ClaimPath, ...] = (ClaimPath("aud"),)
    subject: tuple[ClaimPath, ...] = (ClaimPath("sub"),)
    token_id: tuple[ClaimPath, ...] = (ClaimPath("jti"),)
    roles: tuple[ClaimPath, ...] = ()


class KeyAlgAbsent(Enum):
    """What a key without `alg` (RFC 7517, section 4.4) may be used for."""

    REFUSE = "Refuse"
    FROM_ALGORITHMS = "FromAlgorithms"


class RolesShape(Enum):
    """How an issuer writes roles."""

    NAMES = "Names"
    """A text, or an array of texts."""
    OBJECT_KEYS = "ObjectKeys"
    """An object whose member names are the roles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenants:
    """The tenants of a provider that writes the tenant into `iss`: a closed list, never a wildcard."""

    claim: ClaimPath
    """The claim that must name the same tenant as `iss` does."""
    by_issuer: Mapping[str, str]
    """Each accepted `iss`, byte for byte, and the tenant it names."""


class TokenForms(Enum):
    """Which tokens an introspection endpoint is asked about."""

    OPAQUE = "Opaque"
    """Those that are no JWTs."""
    ANY = "Any"
    """JWTs whose `iss` names the issuer as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Introspected:
    """How an issuer's tokens are told from others where only its endpoint can read them (RFC 7662)."""

    endpoint: str
    """The URL that is asked."""
    forms: TokenForms = TokenForms.OPAQUE
    prefixes: tuple[str, ...] = ()
    """What an opaque token begins with, one of them; none for anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackChannel:
    """How an issuer tells of logouts (OpenID Connect Back-Channel Logout 1.0)."""

    clients: frozenset[str]
    """Our client ids there: one of them is in a logout token's `aud`."""
    types: frozenset[str] = frozenset({"logout+jwt", ""})
    """Accepted `typ`, in lower case and without `application/`; the empty text stands for a token without one."""
    sessions: bool = True
    """Whether this issuer's access tokens have `sid`. Where they do not, a logout ends all that the subject has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What one issuer's tokens must look like: the settings of a TokenIssuer, checked and ready for use."""

    ref: IssuerRef
    issuer: str
    """The `iss` claim, byte for byte; empty where `trust_domain` or `tenants` say whose tokens these are."""
    aliases: frozenset[str] = frozenset()
    tenants: Tenants | None = None
    trust_domain: str = ""
    """Tokens without `iss` whose subject is a SPIFFE ID of this trust domain (JWT-SVID, section 3.1)."""
    algorithms: frozenset[str]
    """Names of RFC 7518, RFC 8037 and RFC 9864; never `none`; symmetric ones only alone."""
    audiences: frozenset[str]
    """Used by rules that name none."""
    max_lifetime: Seconds
    clock_skew: Seconds
    token_types: frozenset[str]
    """Lower case, without `application/`; the empty text stands for a token without `typ`."""
    required_claims: frozenset[str]
    claim_equals: Mapping[ClaimPath, Json]
    claim_present: frozenset[ClaimPath]
    mapping: ClaimMapping
    ignored_header_parameters: frozenset[str] = frozenset()
    """Members of a token's header that are let be, unread, where they would be refused."""
    key_alg_absent: KeyAlgAbsent = KeyAlgAbsent.REFUSE
    key_use: frozenset[str] = frozenset({"sig"})
    """Accepted values of a key's `use`; the empty text stands for a key without it."""
    key_issuer_must_match: bool = False
    """Whether a key only signs for the `iss` that its own `issuer` member names."""
    subject_pattern: str = ""
    """What the subject must look like: `*` stands for any characters, a `/` at the end for all below; empty for any."""
    roles_shape: RolesShape = RolesShape.NAMES
    reuse_key_fallback: bool = False
    """Whether `key: Jti` may count by the token itself where this issuer's token has no token id."""
    back_channel: BackChannel | None = None
    """None where logouts of this issuer do not count."""
    introspected: Introspected | None = None
    """How its endpoint is asked about tokens; None where signatures count. Never both."""

    def speaks_for(self, claims: Mapping[str, Json]) -> bool:
        """Whether these claims name this issuer: by `iss`, byte for byte, or by trust domain where they have none."""
        if "iss" not in claims:
            subject = claims.get("sub")
            return (
                self.trust_domain != ""
                and isinstance(subject, str)
                and subject.startswith(f"spiffe://{self.trust_domain}/")
            )
        iss = claims["iss"]
        if not isinstance(iss, str) or not iss:
            return False
        return iss == self.issuer or iss in self.aliases or (self.tenants is not None and iss in self.tenants.by_issuer)

    @property
    def names(self) -> frozenset[str]:
        """All that `iss` may be, for error texts."""
        tenants = frozenset(self.tenants.by_issuer) if self.tenants is not None else frozenset()
        return (self.aliases | tenants | {self.issuer}) - {""}


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What a rule demands of its token before any clause is asked."""

    slot: Slot
    issuers: tuple[Trust, ...]
    """Whose signatures count."""
    introspector: Trust | None = None
    """The one issuer whose endpoint is asked about tokens that are not signed by one of `issuers`. An opaque token does
    not say whose it is, so there can be no second."""
    audiences: frozenset[str] | None = None
    """One of them must be in the token; None leaves it to the issuer's own."""
    max_lifetime: Seconds | None = None
    """Tightens the issuer's, never widens it."""
    exact_audience: bool = False
    """Whether the token must be for nobody besides."""
    alongside: frozenset[str] = frozenset()
    """Headers for API keys that may be filled beside the token."""
    max_length: int = MAX_TOKEN
    """Characters of the token."""
    other_grants: frozenset[str] = frozenset()
    """Grants whose token requests pass without a token, where the slot is a form's."""

    @property
    def ignored_header_parameters(self) -> frozenset[str]:
        """What some issuer of the rule lets be in a header. Whose token it is is not known before it is read."""
        asked = (*self.issuers, self.introspector) if self.introspector is not None else self.issuers
        return frozenset(name for trust in asked for name in trust.ignored_header_parameters)


class VerifiedToken(NamedTuple):
    """A token whose signature and registered claims hold. Verification only: whether it is accepted now, here and once
    more is asked anew for every request. Its repr shows nothing that identifies it."""

    trust: Trust
    claims: Mapping[str, Json]
    identity: bytes
    """SHA-256 over the JWS signing input and the thumbprint of the key that signed: the same for every text that
    carries the same token, because padding and signatures can be altered and still verify (an ECDSA signature has a
    twin), the signing input cannot. The key is in it so that another issuer's key cannot make the same identity.
    Of a token that an endpoint vouches for, over its octets and that endpoint."""
    signing_hash: bytes
    """SHA-256 over the JWS signing input alone, which people can work out for themselves; of an opaque token, over its
    octets without `=` at the end; empty where there is none."""
    window: AcceptanceWindow
    issued_at: Instant
    lifetime: Seconds
    audiences: frozenset[str]
    subject: str | None
    client: str | None
    token_id: str | None
    scopes: frozenset[str]
    roles: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return f"VerifiedToken(issuer={self.trust.ref!r}, subject={self.subject!r}, client={self.client!r})"


def claim_at(claims: Mapping[str, Json], path: ClaimPath) -> Json:
    """The value of a claim by name or JSON Pointer (RFC 6901), None when it is absent or null."""
    if not path.startswith("/"):
        return claims.get(path)
    value: Json = dict(claims) if not isinstance(claims, dict) else claims
    for step in path[1:].split("/"):
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = value.get(name)
        elif isinstance(value, list) and name.isascii() and name.isdigit() and int(name) < len(value):
            value = value[int(name)]
        else:
            return None
    return value

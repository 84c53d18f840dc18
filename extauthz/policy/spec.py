"""AccessPolicy as authors write it: which requests, what they must show, how often a token may be reused.

The dataclasses are the one source for the parser, the reference page and the CRD schema: every bound, default and
description stands here. Cross-field rules stand in `__post_init__`, with words that say how to mend a mistake.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import product
from typing import Annotated, ClassVar, Final, Literal

from pydantic import ConfigDict, Field

from extauthz.model.oddity import PathOddity
from extauthz.model.reuse import BindTo, LimitBy
from extauthz.model.token import MAX_TOKEN
from extauthz.model.verdict import Mode
from extauthz.policy.claim_words import ClaimHeaders
from extauthz.policy.clauses.authentication import AuthenticationSpec
from extauthz.policy.clauses.cel import Expression
from extauthz.policy.clauses.claims import ClaimSpec
from extauthz.policy.counts import LimitSpec, ReuseSpec
from extauthz.policy.lists import once, once_named, twin
from extauthz.policy.ruled import CelRule, Ruled, Union
from extauthz.policy.slot import SlotSpec
from extauthz.policy.targets import TargetRefs
from extauthz.policy.words import (
    STRICT,
    HeaderName,
    HeaderValue,
    HostPattern,
    HttpsUrl,
    Label,
    LiteralPath,
    Method,
    ObjectName,
    Pattern,
    Realm,
    Scope,
    Template,
    TokenLifetime,
    Word,
)

_RESERVED_HEADERS = frozenset(
    {
        "host",
        "authorization",
        "proxy-authorization",
        "dpop",
        "cookie",
        "content-length",
        "content-type",
        "content-encoding",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "upgrade",
        "te",
        "trailer",
        "expect",
        "x-request-id",
        "forwarded",
    }
)
_RESERVED_PREFIXES = ("x-envoy-", "x-forwarded-", "sec-")


def _spelt(name: str) -> list[str]:
    """A name in each way that servers take for it: many read `_` as `-`."""
    return ["".join(signs) for signs in product(*(("-", "_") if sign == "-" else (sign,) for sign in name))]


_CLOSED_HEADERS = sorted(name for reserved in _RESERVED_HEADERS for name in _spelt(reserved))
_CLOSED_PREFIXES = tuple(prefix for reserved in _RESERVED_PREFIXES for prefix in _spelt(reserved))
_OPEN_TO_CLAIMS = " && ".join(
    [f"!(name in {_CLOSED_HEADERS})", *(f"!name.startsWith('{prefix}')" for prefix in _CLOSED_PREFIXES)]
)


def _reserved(names: Iterable[str]) -> str:
    """The first name that a claim cannot set."""
    return next((name for name in names if name in _CLOSED_HEADERS or name.startswith(_CLOSED_PREFIXES)), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class PathSpec(Union):
    """Which paths: exactly one of `exact`, `prefix`, `template` and `regex`."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    members: ClassVar[tuple[str, ...]] = ("exact", "prefix", "template", "regex")
    exact: LiteralPath | None = None
    """This path and no other."""
    prefix: LiteralPath | None = None
    """This path and all below it, by whole segments: `/api` takes `/api` and `/api/x`, not `/apix`."""
    template: Template | None = None
    """A path with `{name}` for any one segment: `/users/{id}/orders`. Every prefix that fits comes before it."""
    regex: Pattern | None = None
    """An RE2 pattern that matches the whole path, percent-encoded in upper case. Every prefix or template that fits
    comes before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderMatchSpec(Union):
    """Which header: exactly one of `exact` and `present`."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    members: ClassVar[tuple[str, ...]] = ("exact", "present")
    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            "self.name != 'host'",
            "Envoy tells the host apart from the headers; name it in `hosts`",
            lambda spec: spec.name == "host",
        ),
    )
    name: HeaderName
    """Header name in lower case."""
    exact: HeaderValue | None = None
    """The header is there once, with this value. A request that has it several times, once so, goes to no laxer rule:
    it is refused."""
    present: Literal[True] | None = None
    """`true`: the header is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchSpec(Ruled):
    """One alternative of a rule's `match`; all of its parts must hold."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            once_named("self.headers"),
            "`headers` has one name twice, and no request holds both; write an alternative of `match` for each value",
            lambda spec: twin(header.name for header in spec.headers),
        ),
    )
    methods: Annotated[tuple[Method, ...], Field(max_length=16)] = ()
    """Request methods; none means every method."""
    path: PathSpec | None = None
    """Which paths; none means every path."""
    headers: Annotated[tuple[HeaderMatchSpec, ...], Field(max_length=8)] = ()
    """Headers that must all be as said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerRefSpec:
    """The object that describes an issuer."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    kind: Literal["TokenIssuer", "ClusterTokenIssuer"] = "TokenIssuer"
    """A TokenIssuer of the policy's own namespace, or a ClusterTokenIssuer."""
    name: ObjectName
    """The object's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSpec(Ruled):
    """The token that a request must carry."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    issuers: Annotated[tuple[IssuerRefSpec, ...], Field(min_length=1, max_length=8)]
    """Whose tokens count."""
    audiences: Annotated[tuple[Word, ...], Field(max_length=16)] = ()
    """One of these must be in the token's audience, byte for byte; none leaves it to the issuer's `audiences`."""
    audience_mode: Literal["Contains", "Exact"] = "Contains"
    """`Exact` refuses a token that is for others too: each of its audiences must be one of these."""
    max_lifetime: TokenLifetime | None = None
    """Refuses tokens issued for longer; tightens the issuer's `maxLifetime`."""
    from_: Annotated[SlotSpec, Field(alias="from")] = field(default_factory=lambda: SlotSpec(header="authorization"))
    """The one place where the credential stands; the default is the `Authorization` header."""
    alongside: Annotated[tuple[Literal["x-api-key", "x-goog-api-key", "api-key"], ...], Field(max_length=3)] = ()
    """Headers for API keys that may be filled beside the token; they go upstream unread. A request that fills another
    of them carries two credentials and is refused."""
    max_length: Annotated[int, Field(ge=256, le=32768)] = MAX_TOKEN
    """Refuses tokens of more characters. Tokens that list two hundred groups have about 12,000; whatever else stands in
    the way, such as the upstream, must take headers of that size, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequireSpec:
    """What the token must say. All of it must hold."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    scopes: Annotated[tuple[Scope, ...], Field(max_length=32)] = ()
    """Scopes that the token must all have."""
    roles: Annotated[tuple[Word, ...], Field(max_length=32)] = ()
    """Roles that the token must all have; where they stand says the issuer's `mapping.roles`."""
    authentication: AuthenticationSpec | None = None
    """How and when the user must have authenticated (RFC 9470)."""
    claims: Annotated[tuple[ClaimSpec, ...], Field(max_length=32)] = ()
    """Claims and the values they must have."""
    cel: Expression | None = None
    """A condition over `claims` and `request`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamSpec(Ruled):
    """What goes upstream."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            f"!has(self.claimHeaders) || self.claimHeaders.all(name, {_OPEN_TO_CLAIMS})",
            "a claim cannot set a header of Envoy or of the protocol; choose a name of your own, such as `x-auth-sub`",
            lambda spec: _reserved(spec.claim_headers),
        ),
    )
    claim_headers: ClaimHeaders = field(default_factory=dict)
    """Headers set from claims. They are ours: on every admitted request the client's own are overwritten or removed."""
    forward_token: bool = False
    """Whether the upstream sees the token; by default it is removed."""


_LONGEST_RETRY: Final = 5.0


def _is_form(spec: RuleSpec) -> bool:
    return spec.token is not None and spec.token.from_.form is not None


def _retried(spec: RuleSpec) -> float:
    """For how long, in seconds."""
    return spec.reuse.retry.within if spec.reuse is not None and spec.reuse.retry is not None else 0.0


def _own_header(spec: RuleSpec) -> str:
    """The header that the token stands in; empty for none."""
    if spec.token is None:
        return ""
    return spec.token.from_.header or ("cookie" if spec.token.from_.cookie is not None else "")


def _bound(spec: RuleSpec) -> tuple[BindTo, ...]:
    return () if spec.reuse is None else spec.reuse.bind_to


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSpec(Ruled):
    """One rule: which requests, and what they must show. Exactly one of `token` and `anonymous: true`."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            "self.anonymous != has(self.token)",
            "exactly one of `token` and `anonymous: true` is needed",
            lambda spec: spec.anonymous == (spec.token is not None),
        ),
        CelRule(
            once_named("self.limits"),
            "`limits` has one name twice; give each a name of its own",
            lambda spec: twin(limit.name for limit in spec.limits),
        ),
        CelRule(
            "!self.anonymous || !has(self.require) && !has(self.reuse) && "
            "!(has(self.upstream.claimHeaders) && self.upstream.claimHeaders.size() > 0)",
            "`require`, `reuse` and `claimHeaders` need a token; remove them or `anonymous`",
            lambda spec: spec.anonymous and bool(spec.require or spec.reuse or spec.upstream.claim_headers),
        ),
        CelRule(
            "!has(self.reuse) || !has(self.reuse.retry) || has(self.token) && has(self.token.from.form) || "
            "duration(self.reuse.retry.within) <= duration('5s')",
            "`retry` for longer than 5s is for a refresh token (`from: {form: refresh_token}`) alone",
            lambda spec: _retried(spec) > _LONGEST_RETRY and not _is_form(spec),
        ),
        CelRule(
            "!has(self.reuse) || !has(self.reuse.retry) || !has(self.token) || !has(self.token.from.form) || "
            "!has(self.reuse.bindTo) || 'SourcePrincipal' in self.reuse.bindTo",
            "`retry` of a refresh token needs `bindTo: [SourcePrincipal]`, which tells the same sender by mutual TLS",
            lambda spec: _retried(spec) > 0 and _is_form(spec) and BindTo.SOURCE_PRINCIPAL not in _bound(spec),
        ),
        CelRule(
            "!has(self.reuse) || !has(self.reuse.bindHeader) || !has(self.token) || self.reuse.bindHeader != "
            "(has(self.token.from.header) ? self.token.from.header : has(self.token.from.cookie) ? 'cookie' : '')",
            "`bindHeader` names where the token stands, and who has the token sends that too; name a header that the "
            "mesh sets",
            lambda spec: spec.reuse is not None and spec.reuse.bind_header == _own_header(spec),
        ),
        CelRule(
            "!self.anonymous || !has(self.limits) || self.limits.all(limit, limit.by == ['SourceAddress'])",
            "without a token, limits can only count `by: [SourceAddress]`",
            lambda spec: spec.anonymous and any(limit.by != (LimitBy.SOURCE_ADDRESS,) for limit in spec.limits),
        ),
    )
    name: Label
    """Names the rule in logs, metrics and counts."""
    match: Annotated[tuple[MatchSpec, ...], Field(max_length=16)] = ()
    """Alternatives; none means every request on the policy's hosts."""
    token: TokenSpec | None = None
    """The token that a request must carry."""
    anonymous: bool = False
    """`true` admits requests without a token."""
    require: RequireSpec | None = None
    """What the token must say."""
    reuse: ReuseSpec | None = None
    """How often one token may be reused."""
    limits: Annotated[tuple[LimitSpec, ...], Field(max_length=8)] = ()
    """How many requests may come."""
    upstream: UpstreamSpec = field(default_factory=UpstreamSpec)
    """What goes upstream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChallengeSpec:
    """What a client without a good token is told (`WWW-Authenticate`)."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    realm: Realm = "extauthz"
    """The protection space (RFC 9110, section 11.5)."""
    resource_metadata: HttpsUrl | None = None
    """Where the metadata of the protected resource stands (RFC 9728, section 5.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessPolicySpec(Union):
    """Which requests, what they must show, how often a token may be reused, what goes upstream. Exactly one of `hosts`
    and `targetRefs`."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    members: ClassVar[tuple[str, ...]] = ("hosts", "target_refs")
    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            once_named("self.rules"),
            "`rules` has one name twice; give each a name of its own",
            lambda spec: twin(rule.name for rule in spec.rules),
        ),
        CelRule(
            once("self.hosts"),
            "`hosts` has one host twice; name it once",
            lambda spec: twin(spec.hosts or ()),
        ),
        CelRule(
            once("self.targetRefs"),
            "`targetRefs` has one target twice; name it once",
            lambda spec: twin(map(str, spec.target_refs or ())) != "",
        ),
    )
    hosts: Annotated[tuple[HostPattern, ...], Field(min_length=1, max_length=64)] | None = None
    """Hosts in lower case without port; `*.` takes every subdomain, `*` every host."""
    target_refs: TargetRefs | None = None
    """In place of `hosts`, for a central service: objects of Gateway API in the policy's own namespace. The policy is
    for the requests that these take, on hosts that the namespace may claim; its rules are matched within."""
    mode: Mode = Mode.ENFORCE
    """`Shadow` decides and records, but admits every request that one of its rules takes, also where a policy that
    enforces has a wider match; an odd path only where no other policy of the host enforces."""
    rules: Annotated[tuple[RuleSpec, ...], Field(min_length=1, max_length=64)]
    """What each request must show. A request that no rule takes is refused."""
    allow_odd_paths: Annotated[tuple[PathOddity, ...], Field(max_length=5)] = ()
    """Kinds of paths that servers read differently, let through and matched as they are: with `EmptySegment`, `//admin`
    is for the rule for `/`, not for that for `/admin`. Refused by default, and where some server may take one for a
    path that another policy of the host enforces."""
    challenge: ChallengeSpec = field(default_factory=ChallengeSpec)
    """What a client without a good token is told."""

"""What counts as authors write it: how often a token may be reused, and how many requests may come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Final, Literal

from pydantic import ConfigDict, Field

from extauthz.model.reuse import BindTo, CountScope, LimitBy, ReuseKey
from extauthz.policy.lists import once
from extauthz.policy.ruled import CelRule, Ruled
from extauthz.policy.words import STRICT, ClaimWord, HeaderName, Label, RetryWithin, Window

_REGISTERED: Final = ("iss", "aud", "exp", "nbf", "iat", "jti")
_NO_FAMILY: Final = [*_REGISTERED, *(f"/{name}" for name in _REGISTERED)]
"""By `iss`, one token that comes twice would end everybody's login; by `jti`, no other token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrySpec:
    """A grace for lost responses: the same safe request, again, is not counted. A token request is, where the token
    is a refresh token from a form, but for one repetition."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    within: RetryWithin
    """How long after the counted use: at most 5s, for a refresh token 10s. Needs `bindTo`, for a refresh token
    `SourcePrincipal` in it: for a plain bearer token it is a replay window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilySpec:
    """Tokens that end together, because one grant has led to all of them."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    claim: ClaimWord
    """The claim that has one value in all tokens of a family and another in each other family: a text or a whole
    number. Best the grant's own id; a `sid` that outlives the grant refuses the next grant of the session too. Never
    one of the client, such as `client_id`: a token that comes twice would end all logins by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReuseSpec(Ruled):
    """How often one token may be reused."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            "(self.key == 'Claim') == has(self.claim)",
            "`claim` goes with `key: Claim`, and only with it",
            lambda spec: (spec.key is ReuseKey.CLAIM) != (spec.claim is not None),
        ),
        CelRule(
            "(has(self.bindTo) && 'Header' in self.bindTo) == has(self.bindHeader)",
            "`bindHeader` goes with `bindTo: [Header]`, and only with it",
            lambda spec: (BindTo.HEADER in spec.bind_to) != (spec.bind_header is not None),
        ),
        CelRule(
            once("self.bindTo"),
            "`bindTo` names the same thing twice; name it once",
            lambda spec: len(set(spec.bind_to)) != len(spec.bind_to),
        ),
        CelRule(
            "!has(self.retry) || has(self.bindTo) && self.bindTo.size() > 0",
            "`retry` needs `bindTo`: without it, whoever steals the token could use the grace too",
            lambda spec: spec.retry is not None and not spec.bind_to,
        ),
        CelRule(
            "!has(self.retry) || !has(self.window)",
            "`retry` goes with uses counted over the token's life; remove `window` or `retry`",
            lambda spec: spec.retry is not None and spec.window is not None,
        ),
        CelRule(
            "!has(self.family) || !has(self.window)",
            "`family` goes with uses counted over the token's life; remove `window` or `family`",
            lambda spec: spec.family is not None and spec.window is not None,
        ),
        CelRule(
            "!has(self.family) || !has(self.claim) || self.family.claim != self.claim",
            "`family` needs another claim than the one that is counted, by which every token of it is a second use",
            lambda spec: spec.family is not None and spec.family.claim == spec.claim,
        ),
        CelRule(
            f"!has(self.family) || !(self.family.claim in {_NO_FAMILY})",
            "`family` needs a claim that names the grant; this one is the same in everybody's tokens, or in no two",
            lambda spec: spec.family is not None and spec.family.claim in _NO_FAMILY,
        ),
    )
    max_uses: Annotated[int, Field(ge=1, le=1_000_000)]
    """How many uses; 1 without a window is single use."""
    window: Window | None = None
    """With a window, the uses are counted in any interval of this length (429 when spent); without, over the token's
    whole life (401 when spent)."""
    key: ReuseKey = ReuseKey.TOKEN
    """What counts as the same token."""
    claim: ClaimWord | None = None
    """The claim that counts, with `key: Claim`."""
    scope: CountScope = CountScope.POLICY
    """Which requests share the count."""
    bind_to: Annotated[tuple[BindTo, ...], Field(max_length=3)] = ()
    """The first use ties the token to these; a use from elsewhere is refused. `SourceAddress` and `SourcePrincipal` are
    of Envoy's own peer: a load balancer or gateway in between is one peer for all its clients."""
    bind_header: HeaderName | None = None
    """The header with the caller's identity, with `bindTo: [Header]`. The mesh must set it and remove clients' own."""
    retry: RetrySpec | None = None
    """Absent: every request counts."""
    family: FamilySpec | None = None
    """A use beyond `maxUses`, or by another caller than `bindTo` has, ends the token's family: under the same `scope`,
    every token of this issuer with the same value of the claim is refused from then on, also one that was never seen,
    until all that may exist have expired. Absent: a use too many is refused, and ends nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSpec(Ruled):
    """At most so many requests in any interval of a length, told apart by who sends them."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            "('Claim' in self.by) == has(self.claim)",
            "`claim` goes with `by: [Claim]`, and only with it",
            lambda spec: (LimitBy.CLAIM in spec.by) != (spec.claim is not None),
        ),
        CelRule(
            once("self.by"),
            "`by` names the same thing twice; name it once",
            lambda spec: len(set(spec.by)) != len(spec.by),
        ),
    )
    name: Label
    """Names the limit; with `scope: Global`, limits of one name share their counts."""
    by: Annotated[tuple[LimitBy, ...], Field(min_length=1, max_length=6)]
    """What tells the requests apart; several together make one key. `SourceAddress` is Envoy's own peer: a load
    balancer in between is one peer for all its clients."""
    claim: ClaimWord | None = None
    """The claim that counts, with `by: [Claim]`."""
    requests: Annotated[int, Field(ge=1, le=1_000_000_000)]
    """How many requests."""
    window: Window
    """The length of the interval."""
    scope: CountScope = CountScope.POLICY
    """Which requests share the count."""
    on_store_error: Literal["Deny", "Allow"] = "Deny"
    """What happens when the store of counts cannot be reached."""

"""How often a token may be used: the settings of a rule that counts, checked and ready for use."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from extauthz.model.time import Seconds
from extauthz.model.token import ClaimPath


class ReuseKey(Enum):
    """What counts as the same token."""

    TOKEN = "Token"
    """The token itself: issuer and signing input."""
    JTI = "Jti"
    """The issuer's token id (RFC 7519, section 4.1.7)."""
    CLAIM = "Claim"
    """The value of a claim, such as a transaction id."""


class CountScope(Enum):
    """Which requests share one count."""

    RULE = "Rule"
    POLICY = "Policy"
    GLOBAL = "Global"


class BindTo(Enum):
    """What the first use ties a token to."""

    SOURCE_PRINCIPAL = "SourcePrincipal"
    SOURCE_ADDRESS = "SourceAddress"
    HEADER = "Header"


class LimitBy(Enum):
    """By what a limit tells its requests apart."""

    SUBJECT = "Subject"
    CLIENT = "Client"
    TOKEN = "Token"
    ISSUER = "Issuer"
    SOURCE_ADDRESS = "SourceAddress"
    CLAIM = "Claim"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reuse:
    """How often one token may be reused."""

    max_uses: int
    """At least 1; 1 without a window is single use."""
    window: Seconds | None = None
    """With a window, at most `max_uses` in any interval of that length; without, in the token's whole life."""
    key: ReuseKey = ReuseKey.TOKEN
    claim: ClaimPath | None = None
    """The claim that counts, with `ReuseKey.CLAIM`."""
    scope: CountScope = CountScope.POLICY
    bind_to: tuple[BindTo, ...] = ()
    bind_header: str | None = None
    """The header set by the mesh, in lower case, with `BindTo.HEADER`."""
    retry_within: Seconds | None = None
    """The same request may be repeated within this time, at most 10 s; None for off."""
    family: ClaimPath | None = None
    """The claim by which tokens are one family: a use too many ends it. None for no families."""
    retry_once: bool = False
    """Whether that is a token request, which may be repeated once; else a safe request, as often as it is lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """At most so many requests of one kind in any interval of a length."""

    name: str
    by: tuple[LimitBy, ...]
    claim: ClaimPath | None = None
    requests: int
    window: Seconds
    scope: CountScope = CountScope.POLICY
    allow_on_store_error: bool = False

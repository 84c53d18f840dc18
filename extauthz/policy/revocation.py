"""TokenRevocation as authors write it: which tokens are no longer good, although they have not expired."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar, Final, TypeAlias

from pydantic import ConfigDict

from extauthz.model.time import Instant
from extauthz.policy.ruled import ApiServer, CelRule, Ruled
from extauthz.policy.spec import IssuerRefSpec
from extauthz.policy.words import STRICT, Text, checked, shaped

LONGEST: Final = timedelta(days=401)
"""No token lives longer than 400 days, the most that an issuer's `maxLifetime` may be; a day more for all clocks."""
_SELECTORS: Final = ("jti", "subject", "session", "client")

_HOUR: Final = "([01][0-9]|2[0-3])"
Moment: TypeAlias = Annotated[
    str,
    shaped(
        rf"^20[0-9]{{2}}-[01][0-9]-[0-3][0-9]T{_HOUR}:[0-5][0-9]:[0-5][0-9](\.[0-9]{{1,6}})?(Z|[+-]{_HOUR}:[0-5][0-9])$",
        "a time of this century with its zone, such as `2030-01-31T12:00:00Z`",
        high=32,
    ),
    checked(datetime.fromisoformat),
    ApiServer(rules=(("timestamp(self) > timestamp('1999-12-30T00:00:00Z')", "there is no such day"),)),
]
"""A time as RFC 3339 writes it."""

TokenHash: TypeAlias = Annotated[
    str,
    shaped(
        r"^([0-9a-f]{64}|[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048])$",
        "SHA-256 in 64 lower-case hexadecimal digits, or in base64url without padding",
        high=64,
    ),
]
"""A digest of a token."""


def _span(spec: Any) -> timedelta | None:  # noqa: ANN401 - the spec below
    """From `issuedBefore` to `expires`."""
    if spec.issued_before is None:
        return None
    return datetime.fromisoformat(spec.expires) - datetime.fromisoformat(spec.issued_before)


def instant_of(moment: Moment) -> Instant:
    """When that is."""
    return Instant(datetime.fromisoformat(moment).timestamp())


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRevocationSpec(Ruled):
    """Which tokens of an issuer are no longer good. Where several things are said, a token is meant that has all."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            " || ".join(f"has(self.{name})" for name in (*_SELECTORS, "tokenHash", "issuedBefore")),
            "at least one of `jti`, `subject`, `session`, `client`, `tokenHash` and `issuedBefore` is needed",
            lambda spec: (
                not any((spec.jti, spec.subject, spec.session, spec.client, spec.token_hash, spec.issued_before))
            ),
        ),
        CelRule(
            f"!has(self.tokenHash) || !({' || '.join(f'has(self.{name})' for name in _SELECTORS)})",
            "`tokenHash` names one token already; remove what else is said about it, or `tokenHash`",
            lambda spec: bool(spec.token_hash and (spec.jti or spec.subject or spec.session or spec.client)),
        ),
        CelRule(
            "!has(self.issuedBefore) || timestamp(self.issuedBefore) < timestamp(self.expires)",
            "`expires` must be later than `issuedBefore`: until then such tokens may still be about",
            lambda spec: (span := _span(spec)) is not None and span <= timedelta(0),
        ),
        CelRule(
            "!has(self.issuedBefore) "
            f"|| timestamp(self.expires) - timestamp(self.issuedBefore) <= duration('{LONGEST.days * 24}h')",
            f"`expires` can be at most {LONGEST.days} days after `issuedBefore`: no token lives longer",
            lambda spec: (span := _span(spec)) is not None and span > LONGEST,
        ),
    )
    issuer: IssuerRefSpec
    """Whose tokens."""
    jti: Text | None = None
    """The token's id (RFC 7519, section 4.1.7), where the issuer's `mapping.tokenId` finds it."""
    subject: Text | None = None
    """Whom the token is about, where the issuer's `mapping.subject` finds it."""
    session: Text | None = None
    """The session that it was issued in: the claim `sid` (OpenID Connect Back-Channel Logout 1.0)."""
    client: Text | None = None
    """Whom it was issued to, where the issuer's `mapping.client` finds it."""
    token_hash: TokenHash | None = None
    """SHA-256 of all before the token's last dot (its signing input, RFC 7515, section 5.1). The rest, the signature,
    is left out: it can be written in several ways."""
    issued_before: Moment | None = None
    """Only tokens issued before this time. Alone, it means all of the issuer's."""
    expires: Moment
    """When the last of these tokens has expired by itself; from then on the object is no longer needed."""
    reason: Text | None = None
    """Why, for people who read it."""

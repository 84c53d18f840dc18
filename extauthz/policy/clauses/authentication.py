"""Step-up authentication (RFC 9470): how, and how long ago, the user must have authenticated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from extauthz.model.reason import Reason
from extauthz.model.request import RequestView
from extauthz.model.step import Step
from extauthz.model.time import Instant, format_duration
from extauthz.model.token import VerifiedToken
from extauthz.model.verdict import Refusal
from extauthz.policy.ruled import CelRule, Ruled
from extauthz.policy.words import STRICT, MaxAge, Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticationSpec(Ruled):
    """How the user must have authenticated: at least one of `acrValues` and `maxAge`."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            "has(self.acrValues) && self.acrValues.size() > 0 || has(self.maxAge)",
            "at least one of `acrValues` and `maxAge` is needed",
            lambda spec: not spec.acr_values and spec.max_age is None,
        ),
    )
    acr_values: Annotated[tuple[Scope, ...], Field(max_length=16)] = ()
    """The token's `acr` must be one of these; a token without `acr` does not count."""
    max_age: MaxAge | None = None
    """The token's `auth_time` must not be older than this."""


@dataclass(frozen=True, slots=True)
class RequireAuthentication:
    """The user authenticated as the spec says."""

    spec: AuthenticationSpec

    def check(self, token: VerifiedToken, view: RequestView, now: Instant) -> Refusal | None:
        """Refuse with `step_up_required`; with `token_malformed` when `auth_time` is no possible time."""
        acr = token.claims.get("acr")
        if self.spec.acr_values and acr not in self.spec.acr_values:
            wanted = ", ".join(f"`{each}`" for each in self.spec.acr_values)
            found = "the token has no `acr`, and one of" if acr is None else "the token's `acr` is none of"
            return Refusal(Reason.STEP_UP_REQUIRED, f"{found} {wanted}{' is wanted' if acr is None else ''}")
        return None if self.spec.max_age is None else self._check_age(token, now, self.spec.max_age)

    def _check_age(self, token: VerifiedToken, now: Instant, max_age: float) -> Refusal | None:
        authenticated = token.claims.get("auth_time")
        if authenticated is None:
            return Refusal(Reason.STEP_UP_REQUIRED, "the token has no `auth_time`")
        if isinstance(authenticated, bool) or not isinstance(authenticated, int | float):
            return Refusal(Reason.TOKEN_MALFORMED, "`auth_time` is not a number", at=Step.AUTHENTICATION)
        if authenticated > now + token.trust.clock_skew:
            return Refusal(Reason.TOKEN_MALFORMED, "`auth_time` is in the future", at=Step.AUTHENTICATION)
        # Not every number in JSON can be subtracted from a time.
        if authenticated < 0:
            return Refusal(Reason.STEP_UP_REQUIRED, "`auth_time` is before 1970")
        if now - authenticated <= max_age:
            return None
        age = format_duration(round(now - authenticated))
        return Refusal(
            Reason.STEP_UP_REQUIRED, f"the user authenticated {age} ago, `maxAge` is {format_duration(max_age)}"
        )

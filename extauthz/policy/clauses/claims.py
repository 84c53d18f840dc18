"""Required claim values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Final, Literal

from pydantic import ConfigDict, Field

from extauthz.model.reason import Reason
from extauthz.model.request import RequestView
from extauthz.model.time import Instant
from extauthz.model.token import ClaimPath, VerifiedToken, claim_at
from extauthz.model.verdict import Refusal
from extauthz.policy.ruled import Union
from extauthz.policy.words import STRICT, ClaimWord, Word

_MOST: Final = 5
"""Of the values that are asked, how many a denial tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimSpec(Union):
    """What one claim must be: exactly one of `oneOf`, `contains` and `present`."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    members: ClassVar[tuple[str, ...]] = ("one_of", "contains", "present")
    claim: ClaimWord
    """The claim, by name or JSON Pointer."""
    one_of: Annotated[tuple[Word, ...] | None, Field(min_length=1, max_length=64)] = None
    """The claim is a text and equal to one of these."""
    contains: Word | None = None
    """The claim is an array that holds this text, or a text equal to it."""
    present: Literal[True] | None = None
    """`true`: the claim is there and not null."""


@dataclass(frozen=True, slots=True)
class RequireClaim:
    """One claim must be as its spec says."""

    spec: ClaimSpec

    def check(self, token: VerifiedToken, view: RequestView, now: Instant) -> Refusal | None:
        """Refuse with `claim_refused`. The claim's value is the client's and stays out of the detail."""
        value = claim_at(token.claims, ClaimPath(self.spec.claim))
        if value is None:
            return Refusal(Reason.CLAIM_REFUSED, f"the token has no claim `{self.spec.claim}`")
        if self.spec.one_of is not None:
            met = isinstance(value, str) and value in self.spec.one_of
        elif self.spec.contains is not None:
            met = value == self.spec.contains or (isinstance(value, list) and self.spec.contains in value)
        else:
            met = True
        return None if met else Refusal(Reason.CLAIM_REFUSED, f"the claim `{self.spec.claim}` {self._why_not(value)}")

    def _why_not(self, value: object) -> str:
        if self.spec.one_of is None:
            return f"does not hold `{self.spec.contains}`"
        if isinstance(value, list):
            return "is a list, and `oneOf` takes a text: `contains` looks into a list"
        if not isinstance(value, str):
            return "is no text, and `oneOf` takes one"
        told = ", ".join(f"`{each}`" for each in self.spec.one_of[:_MOST])
        more = len(self.spec.one_of) - _MOST
        return f"is none of {told}{f' and {more} more' if more > 0 else ''}"

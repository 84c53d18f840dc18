"""Required roles, from wherever the issuer writes them (`mapping.roles`)."""

from __future__ import annotations

from dataclasses import dataclass

from extauthz.model.reason import Reason
from extauthz.model.request import RequestView
from extauthz.model.step import Step
from extauthz.model.time import Instant
from extauthz.model.token import VerifiedToken
from extauthz.model.verdict import Refusal


@dataclass(frozen=True, slots=True)
class RequireRoles:
    """All of these roles must be in the token."""

    roles: frozenset[str]

    def check(self, token: VerifiedToken, view: RequestView, now: Instant) -> Refusal | None:
        """Refuse with `claim_refused`, naming what is missing."""
        if self.roles <= token.roles:
            return None
        missing = ", ".join(f"`{role}`" for role in sorted(self.roles - token.roles))
        hint = "" if token.trust.mapping.roles else f"; {token.trust.ref} has no `mapping.roles`"
        return Refusal(Reason.CLAIM_REFUSED, f"the token lacks the roles {missing}{hint}", at=Step.ROLES)

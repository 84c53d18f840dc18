"""Required roles, from wherever the issuer writes them (`mapping.roles`)."""

from __future__ import annotations

from dataclasses import dataclass

from extauthz.model.reason import Reason
from extauthz.model.request import RequestView
from extauthz.model.step import Step
from extauthz.model.time import Instant
from extauthz.model.token import VerifiedToken
from extauthz.model.verdict import Refusal
from extauthz.policy.mapped import where_roles_are_read


@dataclass(frozen=True, slots=True)
class RequireRoles:
    """All of these roles must be in the token."""

    roles: frozenset[str]

    def check(self, token: VerifiedToken, view: RequestView, now: Instant) -> Refusal | None:
        """Refuse with `claim_refused`, naming what is missing."""
        if self.roles <= token.roles:
            return None
        missing = ", ".join(f"`{role}`" for role in sorted(self.roles - token.roles))
        words = f"the token lacks the roles {missing}{where_roles_are_read(token)}"
        return Refusal(Reason.CLAIM_REFUSED, words, at=Step.ROLES)

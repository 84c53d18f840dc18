"""Required scopes (RFC 6750, section 3.1: `insufficient_scope`)."""

from __future__ import annotations

from dataclasses import dataclass

from extauthz.model.reason import Reason
from extauthz.model.request import RequestView
from extauthz.model.time import Instant
from extauthz.model.token import VerifiedToken
from extauthz.model.verdict import Refusal
from extauthz.policy.mapped import where_scopes_are_read


@dataclass(frozen=True, slots=True)
class RequireScopes:
    """All of these scopes must be in the token."""

    scopes: frozenset[str]

    def check(self, token: VerifiedToken, view: RequestView, now: Instant) -> Refusal | None:
        """Refuse with `scope_missing`, naming what is missing."""
        if self.scopes <= token.scopes:
            return None
        missing = " ".join(sorted(self.scopes - token.scopes))
        return Refusal(Reason.SCOPE_MISSING, f"the token lacks the scopes `{missing}`{where_scopes_are_read(token)}")

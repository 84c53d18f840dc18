"""A clause: one thing a rule requires of a verified token. Each lives in its own file under `clauses/`."""

from __future__ import annotations

from typing import Protocol

from extauthz.model.request import RequestView
from extauthz.model.time import Instant
from extauthz.model.token import VerifiedToken
from extauthz.model.verdict import Refusal


class Clause(Protocol):
    """What every compiled clause can do. INVARIANT: pure; adding a clause can only refuse more."""

    def check(self, token: VerifiedToken, view: RequestView, now: Instant) -> Refusal | None:
        """None when the token meets the clause."""

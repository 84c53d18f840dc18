"""A rule, compiled: all that is needed to decide a request that it takes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from extauthz.model.oddity import PathOddity
from extauthz.model.request import RequestView
from extauthz.model.reuse import Limit, Reuse
from extauthz.model.token import ClaimPath, Demand
from extauthz.model.verdict import Challenge, Mode, PolicyRef, Refusal
from extauthz.policy.clause import Clause
from extauthz.policy.condition import HeaderMatch, lacks
from extauthz.policy.path import PathMatch, fits


@dataclass(frozen=True, slots=True)
class Hidden:
    """A match of another rule of the same policy that no request comes to, because a rule takes all of them."""

    path: PathMatch
    method: str | None
    headers: tuple[HeaderMatch, ...]
    rule: str
    """The other rule."""
    words: str

    def takes(self, view: RequestView) -> bool:
        """Whether the request was to come there."""
        return fits(self.path, view.target.path) and lacks(self.method, self.headers, view) is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of one policy."""

    policy: PolicyRef
    name: str
    mode: Mode = Mode.ENFORCE
    demand: Demand | None = None
    """What the token must be; None admits without one."""
    clauses: tuple[Clause, ...] = ()
    """Asked in this order."""
    reuse: Reuse | None = None
    limits: tuple[Limit, ...] = ()
    claim_headers: tuple[tuple[str, ClaimPath], ...] = ()
    """Headers set upstream from claims."""
    forward_token: bool = False
    challenge: Challenge = field(default_factory=Challenge)
    odd_paths: frozenset[PathOddity] = frozenset()
    """Kinds of odd paths that this rule lets through."""
    hides: tuple[Hidden, ...] = ()
    """What it takes, and another rule of the policy was to take: refused, for nobody can tell which one is meant."""
    broken: str | None = None
    """Why this rule can only refuse, for the operator; None in a good one."""
    other_grants: Rule | None = None
    """What serves token requests of other grants, which have no token; None where all of them are refused."""
    refuses: Refusal | None = None
    """What every request is told that comes here, where no rule of an author's stands; None in a rule of one."""

    def hiding(self, hides: tuple[Hidden, ...]) -> Rule:
        """The same rule, which hides these."""
        if not hides:
            return self
        others = None if self.other_grants is None else replace(self.other_grants, hides=hides)
        return replace(self, hides=hides, other_grants=others)

    @property
    def counts(self) -> bool:
        """Whether requests of this rule spend anything."""
        return self.reuse is not None or bool(self.limits)

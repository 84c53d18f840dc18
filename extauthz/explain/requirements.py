"""What the clauses of a rule want, and what the token has of it; what a request changes and counts, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from extauthz.explain.story import ToldStep
from extauthz.explain.told import told
from extauthz.model.request import RequestView
from extauthz.model.step import Step
from extauthz.model.time import BEYOND_TIME, Instant, format_duration
from extauthz.model.token import ClaimPath, VerifiedToken, claim_at
from extauthz.model.verdict import Allow, Refusal
from extauthz.policy.clause import Clause
from extauthz.policy.clauses.authentication import AuthenticationSpec, RequireAuthentication
from extauthz.policy.clauses.cel import RequireCel
from extauthz.policy.clauses.claims import ClaimSpec, RequireClaim
from extauthz.policy.clauses.roles import RequireRoles
from extauthz.policy.clauses.scopes import RequireScopes
from extauthz.policy.rule import Rule
from extauthz.tokens.quoting import quote, quote_all

_LONGEST: Final = 200
_PRIVATE: Final = frozenset({"jti", "sid", "nonce", "cnf"})
"""Claims whose values name one token or session, or prove something: never shown."""


def tell_clause(clause: Clause, token: VerifiedToken, view: RequestView, now: Instant) -> ToldStep:
    """What one clause asks, and its answer."""
    refusal = clause.check(token, view, now)
    match clause:
        case RequireScopes(scopes):
            found = quote_all(token.scopes) or "none"
            return told(Step.SCOPES, refusal, found=found, wanted=f"all of {quote_all(scopes)}")
        case RequireRoles(roles):
            found = quote_all(token.roles) or "none"
            return told(Step.ROLES, refusal, found=found, wanted=f"all of {quote_all(roles)}")
        case RequireClaim(spec):
            found, wanted = _claim(spec, token), _wanted(spec)
            return told(Step.CLAIM, refusal, found=found, wanted=wanted)
        case RequireAuthentication(spec):
            found, wanted = "; ".join(_authenticated(spec, token, now)), "; ".join(_asked(spec))
            return told(Step.AUTHENTICATION, refusal, found=found, wanted=wanted)
        case RequireCel(expression):
            found = "true" if refusal is None else "not true"
            return told(Step.CONDITION, refusal, found=found, wanted=f"`{expression[:_LONGEST]}`")
        case _:
            return told(Step.CLAIM, refusal, wanted=type(clause).__name__)


def tell_changes(rule: Rule, changes: Allow | Refusal) -> ToldStep:
    """What an admitted request would take upstream: names, and the claims that their values are from."""
    wanted = ", ".join(f"`{name}` from the claim `{claim}`" for name, claim in rule.claim_headers)
    if isinstance(changes, Refusal):
        return told(Step.UPSTREAM, changes, wanted=wanted)
    parts = [f"sets {_named(name for name, _ in changes.set_headers)}"] if changes.set_headers else []
    parts += [f"removes {_named(changes.remove_headers)}"] if changes.remove_headers else []
    parts += [f"removes {_named(changes.remove_query)} from the query"] if changes.remove_query else []
    return told(Step.UPSTREAM, changes, found="; ".join(parts) or "goes as it came", wanted=wanted)


def step_of(clause: Clause) -> Step:
    """The step of a clause that was not asked."""
    match clause:
        case RequireScopes():
            return Step.SCOPES
        case RequireRoles():
            return Step.ROLES
        case RequireAuthentication():
            return Step.AUTHENTICATION
        case RequireCel():
            return Step.CONDITION
        case _:
            return Step.CLAIM


def _claim(spec: ClaimSpec, token: VerifiedToken) -> str:
    value = claim_at(token.claims, ClaimPath(spec.claim))
    if value is None:
        return f"no `{spec.claim}`"
    hidden = spec.claim.strip("/") in _PRIVATE or spec.claim in token.trust.mapping.token_id
    return f"`{spec.claim}` is there" if hidden or spec.present else f"`{spec.claim}` is {quote(value)}"


def _wanted(spec: ClaimSpec) -> str:
    if spec.one_of is not None:
        return f"`{spec.claim}` is one of {quote_all(spec.one_of)}"
    if spec.contains is not None:
        return f"`{spec.claim}` holds {quote(spec.contains)}"
    return f"`{spec.claim}` is there"


def _asked(spec: AuthenticationSpec) -> Iterator[str]:
    if spec.acr_values:
        yield f"`acr` is one of {quote_all(spec.acr_values)}"
    if spec.max_age is not None:
        yield f"authenticated at most {format_duration(spec.max_age)} ago"


def _authenticated(spec: AuthenticationSpec, token: VerifiedToken, now: Instant) -> Iterator[str]:
    if spec.acr_values:
        yield f"`acr` is {quote(token.claims['acr'])}" if "acr" in token.claims else "no `acr`"
    if spec.max_age is not None:
        match token.claims.get("auth_time"):
            case int() | float() as at if not isinstance(at, bool) and abs(at) < BEYOND_TIME:
                yield f"{format_duration(round(max(0.0, now - at)))} ago"
            case _:
                yield "no time of it"


def _named(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)

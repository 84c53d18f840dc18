"""The token's part of the story where its issuer's endpoint says what it is (RFC 7662)."""

from __future__ import annotations

from collections.abc import Iterator

from extauthz.explain.story import ToldStep
from extauthz.explain.token import BY_ENDPOINT, tell_claims
from extauthz.explain.told import skipped, told
from extauthz.keys.address import shown
from extauthz.model.question import Active, Answer, Answered, Inactive, Unanswered
from extauthz.model.step import Step
from extauthz.model.time import Instant
from extauthz.model.token import Demand, TokenForms, Trust
from extauthz.model.verdict import Refusal
from extauthz.tokens.introspected import Asked, asked_about, looks_signed, read_answer
from extauthz.tokens.quoting import quote_all

_WANTED = {TokenForms.OPAQUE: "an opaque token", TokenForms.ANY: "an opaque token, or a JWT of this issuer"}


def tell_introspected(token: str, demand: Demand, answered: Answered | None, now: Instant) -> Iterator[ToldStep]:
    """Every check of a token that the rule's endpoint is asked about, or refuses to ask about."""
    trust, asked = demand.introspector, asked_about(token, demand)
    if trust is None or asked is None:
        return
    if isinstance(asked, Refusal):
        if asked.step is not Step.FORM:
            yield _form(token, trust)
        yield told(asked.step, asked, issuer=str(trust.ref))
        yield from _missed(trust, {Step.FORM, asked.step})
        return
    yield _form(token, trust)
    yield told(Step.ISSUER, None, found=_whose(token, trust), wanted=f"one that {trust.ref} is asked about")
    reached = {Step.FORM, Step.ISSUER}
    for step in _checks(asked, demand, answered, now):
        yield step
        reached.add(step.name)
    yield from _missed(trust, reached)


def _checks(asked: Asked, demand: Demand, answered: Answered | None, now: Instant) -> Iterator[ToldStep]:
    trust, who = asked.trust, str(asked.trust.ref)
    answer: Answer = Unanswered("its endpoint was not asked") if answered is None else answered.answer
    verified = read_answer(asked, answer, now)
    refusal = verified if isinstance(verified, Refusal) and not isinstance(answer, Active) else None
    wanted = f"active, says `{shown(asked.question.endpoint)}`"
    yield told(Step.INTROSPECTION, refusal, found=_said(answer), wanted=wanted, issuer=who)
    if not isinstance(answer, Active):
        return
    if isinstance(verified, Refusal) and verified.step in {Step.ISSUER, Step.TYPE}:
        yield told(verified.step, verified, issuer=who)
        return
    yield from tell_claims(trust, {"iss": trust.issuer, **answer.claims}, demand, now)


def _form(token: str, trust: Trust) -> ToldStep:
    forms = TokenForms.OPAQUE if trust.introspected is None else trust.introspected.forms
    found = "a JWT" if looks_signed(token) else "an opaque token"
    return told(Step.FORM, None, found=found, wanted=_WANTED[forms])


def _whose(token: str, trust: Trust) -> str:
    if looks_signed(token):
        return "its `iss`"
    prefixes = () if trust.introspected is None else trust.introspected.prefixes
    return f"begins with one of {quote_all(prefixes)}" if prefixes else "does not say whose it is"


def _said(answer: Answer) -> str:
    match answer:
        case Active():
            return "active"
        case Inactive():
            return "not active"
        case Unanswered():
            return "no answer"


def _missed(trust: Trust, reached: set[Step]) -> Iterator[ToldStep]:
    for step in BY_ENDPOINT:
        if step not in reached:
            yield skipped(step, issuer=str(trust.ref))

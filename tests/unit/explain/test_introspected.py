"""The story of an opaque token: whom it would be asked of, and what an answer makes of it."""

from __future__ import annotations

from typing import Any

import pytest

from extauthz.decide import Grants, World
from extauthz.explain.story import Outcome, Story, ToldStep
from extauthz.explain.telling import not_asked
from extauthz.explain.words import in_words
from extauthz.model.question import Active, Answer, Inactive, Question, Unanswered
from extauthz.model.step import Step
from extauthz.replay.spend import Pepper
from extauthz.server.explaining import explain_check
from extauthz.tokens.verify import Verifier
from tests.building import policy
from tests.checks import check_request
from tests.introspecting import OPAQUE, SECRET, active, issuer
from tests.issuing import claims, token
from tests.worlds import Asked

URL = "https://opaque.example/introspect"


def story(token: str = OPAQUE, answer: Answer | None = None, **introspection: Any) -> Story:
    rule = {"name": "r", "token": {"issuers": [{"name": "opaque"}], "audiences": ["orders-api"]}}
    asked = Asked(SECRET, issuer(URL, **introspection), policy("p", rule))
    world = World(asked.snapshot, asked.keys.states(), Verifier(), Grants(Pepper(b"p" * 32)))
    data = check_request(headers={"authorization": f"Bearer {token}"})

    def ask(question: Question) -> Answer:
        return not_asked(question) if answer is None else answer

    return explain_check(data, world, asked.store, asked.clock.now(), ask=ask)


def said(**more: Any) -> Active:
    return Active({name: value for name, value in active(**more).items() if name != "active"})


def step(told: Story, name: Step) -> ToldStep:
    (found,) = [each for each in told.steps if each.name is name]
    return found


def test_a_token_that_would_be_asked_about_is_told_as_that_and_is_not_sent() -> None:
    told = story()
    asked = step(told, Step.INTROSPECTION)
    assert asked.outcome is Outcome.REFUSED
    assert f"`{URL}` would be asked about it, and was not" in asked.note
    assert told.verdict.reason == "introspection_unavailable"
    assert step(told, Step.CLAIMS).outcome is Outcome.SKIPPED
    assert OPAQUE not in in_words(told, plain=True, every_rule=True)


def test_an_active_token_is_told_through_all_its_checks() -> None:
    told = story(answer=said())
    assert [each.name for each in told.steps if each.outcome is Outcome.REFUSED] == []
    assert step(told, Step.FORM).found == "an opaque token"
    assert step(told, Step.INTROSPECTION).found == "active"
    assert told.verdict.decision == "allow"
    assert told.verdict.subject == "alice"


@pytest.mark.parametrize(
    ("answer", "reason", "name"),
    [
        (Inactive(), "token_inactive", Step.INTROSPECTION),
        (Unanswered("it does not answer"), "introspection_unavailable", Step.INTROSPECTION),
        (said(iss="https://evil.example"), "issuer_untrusted", Step.ISSUER),
        (said(token_use="refresh_token"), "token_malformed", Step.TYPE),
        (said(sub=...), "token_malformed", Step.CLAIMS),
        (said(cnf={}), "sender_mismatch", Step.SENDER),
        (said(exp=1), "token_malformed", Step.CLAIMS),
        (said(aud="billing"), "audience_mismatch", Step.AUDIENCE),
        (said(exp=1_790_003_600), "token_too_long_lived", Step.LIFETIME),
    ],
)
def test_the_story_ends_where_the_decision_does(answer: Answer, reason: str, name: Step) -> None:
    told = story(answer=answer)
    refused = [each.name for each in told.steps if each.outcome is Outcome.REFUSED]
    assert (told.verdict.reason, told.verdict.step) == (reason, name)
    assert refused == [name]


@pytest.mark.parametrize(
    ("text", "more", "name"),
    [
        (OPAQUE, {"prefixes": ["oat_"]}, Step.ISSUER),
        (token(claims(iss="https://opaque.example")), {}, Step.FORM),
        (token(), {"tokens": "Any"}, Step.ISSUER),
    ],
)
def test_a_token_that_is_asked_about_nowhere_is_told_why(text: str, more: dict[str, Any], name: Step) -> None:
    told = story(text, said(), **more)
    assert told.verdict.step is name
    assert [each.name for each in told.steps if each.outcome is Outcome.REFUSED] == [name]
    assert text not in in_words(told, plain=True, every_rule=True)

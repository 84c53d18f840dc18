"""When an endpoint is left alone."""

from __future__ import annotations

from extauthz.introspection.breaker import THRESHOLD, Breaker
from extauthz.model.question import Unanswered
from extauthz.model.time import Seconds

FAILURE = Unanswered("`https://a.example/` cannot be asked: it does not answer")


def broken(now: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(THRESHOLD):
        assert breaker.admit(now) is None
        breaker.failed(FAILURE, now)
    return breaker


def test_failures_in_a_row_open_it_and_a_refusal_says_why_and_for_how_long() -> None:
    refusal = broken().admit(0.0)
    assert refusal is not None
    assert "it does not answer" in refusal.detail
    assert refusal.retry_after is not None
    assert 0.5 <= refusal.retry_after <= 1.0


def test_an_answer_between_failures_keeps_it_closed() -> None:
    breaker = Breaker()
    for _ in range(3 * THRESHOLD):
        breaker.failed(FAILURE, 0.0)
        breaker.succeeded()
    assert breaker.admit(0.0) is None


def test_after_the_pause_one_question_is_let_through_and_no_second() -> None:
    breaker = broken()
    assert breaker.admit(1.1) is None
    assert breaker.admit(1.1) is not None
    breaker.succeeded()
    assert breaker.admit(1.1) is None
    assert breaker.admit(1.1) is None


def test_a_question_that_was_given_up_unasked_lets_the_next_one_see() -> None:
    breaker = broken()
    assert breaker.admit(1.1) is None
    breaker.unasked()
    assert breaker.admit(1.1) is None


def test_each_failure_more_makes_the_pause_longer_up_to_a_bound() -> None:
    breaker, now = broken(), 0.0
    pauses = []
    for _ in range(12):
        refusal = breaker.admit(now)
        assert refusal is not None
        assert refusal.retry_after is not None
        pauses.append(refusal.retry_after)
        now += refusal.retry_after + 0.001
        assert breaker.admit(now) is None
        breaker.failed(FAILURE, now)
    assert max(pauses) <= 30.0
    assert pauses[-1] >= 15.0 > pauses[0]


def test_a_server_that_asks_to_be_left_alone_is_left_alone_at_once() -> None:
    breaker = Breaker()
    breaker.failed(Unanswered("answers with HTTP status 429", Seconds(7)), 0.0)
    assert breaker.admit(6.9) is not None
    assert breaker.admit(7.1) is None

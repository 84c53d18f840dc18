"""Where a decision ends."""

from extauthz.model.reason import Reason
from extauthz.model.step import Step, usual_step
from extauthz.model.verdict import Refusal


def test_every_reason_has_its_usual_step() -> None:
    assert all(isinstance(usual_step(reason), Step) for reason in Reason)


def test_every_word_is_one_word_and_stands_once() -> None:
    words = [step.value for step in Step]
    assert len(set(words)) == len(words)
    assert all(word.isascii() and word.islower() and word.isalpha() and len(word) <= 16 for word in words)


def test_a_refusal_says_where_it_stands_when_its_reason_does_not() -> None:
    assert Refusal(Reason.TOKEN_MALFORMED, "").step is Step.FORM
    assert Refusal(Reason.TOKEN_MALFORMED, "", at=Step.TYPE).step is Step.TYPE

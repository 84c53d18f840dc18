"""Small words for telling steps: an answer of a stage becomes a step that passed or refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from extauthz.explain.story import Outcome, ToldStep
from extauthz.model.step import Step
from extauthz.model.verdict import Refusal


def told(step: Step, answer: object, *, found: str = "", wanted: str = "", issuer: str = "") -> ToldStep:
    """What a stage answered: a Refusal, or anything else when it passed."""
    if isinstance(answer, Refusal):
        return ToldStep(
            name=answer.step, outcome=Outcome.REFUSED, found=found, wanted=wanted, note=answer.detail, issuer=issuer
        )
    return ToldStep(name=step, outcome=Outcome.PASSED, found=found, wanted=wanted, issuer=issuer)


def skipped(step: Step, note: str = "", issuer: str = "") -> ToldStep:
    """A step that was not asked."""
    return ToldStep(name=step, outcome=Outcome.SKIPPED, note=note, issuer=issuer)


def told_in_order(steps: Sequence[ToldStep], refusal: Refusal | None) -> Iterator[ToldStep]:
    """What a stage of several checks answered that stops at the first which refuses: those before it passed."""
    if refusal is None or refusal.step not in {step.name for step in steps}:
        yield from steps if refusal is None else ()
        if refusal is not None:
            yield told(refusal.step, refusal)
        return
    reached = True
    for step in steps:
        if step.name is refusal.step:
            yield replace(step, outcome=Outcome.REFUSED, note=refusal.detail)
            reached = False
        else:
            yield step if reached else skipped(step.name, issuer=step.issuer)

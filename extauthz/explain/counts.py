"""The counts' part of the story: what each allows, what is left, and what the store said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from extauthz.explain.story import Outcome, ToldSpend, ToldStep
from extauthz.explain.told import skipped
from extauthz.model.step import Step
from extauthz.model.time import format_duration
from extauthz.model.verdict import Refusal
from extauthz.replay.spend import Bind, Mark, Rate, Room, Spend, Unmarked, Use
from extauthz.replay.store import Left, Refused, Unavailable

Looked = tuple[Left, ...] | Unavailable
"""What a store said to a look."""


def tell_spends(spends: tuple[Spend, ...], looked: Looked) -> tuple[ToldSpend, ...]:
    """Every count, with what is left of it. Of a store that cannot tell, only what the policy allows."""
    if isinstance(looked, Unavailable):
        return tuple(_spend(spend, None) for spend in spends)
    return tuple(_spend(left.spend, left) for left in looked)


def tell_counts(spends: tuple[Spend, ...], looked: Looked, refusal: Refusal | None) -> Iterator[ToldStep]:
    """A step for each count, up to the one that refused; `refusal` is that of the verdict."""
    if isinstance(looked, Unavailable):
        yield from (skipped(spend.step, spend.label) for spend in spends)
        refused = refusal is not None
        note = looked.detail if refused else f"{looked.detail}; `onStoreError: Allow` lets the request in"
        yield ToldStep(name=Step.STORE, outcome=Outcome.REFUSED if refused else Outcome.PASSED, note=note)
        return
    ended = False
    for left in looked:
        if ended:
            yield skipped(left.spend.step, left.spend.label)
            continue
        ended = left.no is not None
        name = Step.STORE if isinstance(left.no, Unavailable) else left.spend.step
        note = refusal.detail if ended and refusal is not None else ""
        outcome = Outcome.REFUSED if ended else Outcome.PASSED
        yield ToldStep(name=name, outcome=outcome, found=_found(left), wanted=_wanted(left.spend), note=note)


def _spend(spend: Spend, left: Left | None) -> ToldSpend:
    outcome = Outcome.SKIPPED if left is None else Outcome.PASSED if left.no is None else Outcome.REFUSED
    kind, limit, window = _allowed(spend)
    return ToldSpend(
        label=spend.label,
        kind=kind,
        outcome=outcome,
        limit=limit,
        window=window,
        left=None if left is None else left.before,
        left_after=None if left is None else left.after,
        retry_after=left.no.retry_after if left is not None and isinstance(left.no, Refused) else None,
    )


def _allowed(spend: Spend) -> tuple[str, int | None, float | None]:
    match spend:
        case Bind():
            return "bind", None, None
        case Use(max_uses=most):
            return "use", most, None
        case Rate(amount=amount, window=window):
            return "rate", amount, window
        case Room(most=most):
            return "room", most, None
        case Unmarked() | Mark():
            return "mark", None, None
        case _:
            assert_never(spend)


def _found(left: Left) -> str:
    match left.no:
        case Unavailable(detail=detail):
            return detail
        case Refused(spend=Bind()):
            return "another caller was first"
        case Refused(spend=Unmarked()):
            return "a token of the family was used again"
        case _ if isinstance(left.spend, Unmarked):
            return "no token of the family was used again"
        case _ if left.before is None:
            return "no other caller was first"
        case _ if left.no is None and left.before == left.after:
            return f"{left.before} left; a repetition within `retry.within` is not counted"
        case _:
            return f"{left.before} left"


def _wanted(spend: Spend) -> str:
    match spend:
        case Bind():
            return f"the same caller each time (`{spend.label}`)"
        case Use(max_uses=most):
            return f"at most {most} in the token's whole life (`{spend.label}`)"
        case Rate(amount=amount, window=window):
            return f"at most {amount} in any {format_duration(window)} (`{spend.label}`)"
        case Unmarked() | Mark():
            return f"a family that is not revoked (`{spend.label}`)"
        case Room(most=most):
            return f"at most {most} keys in the store (`{spend.label}`)"
        case _:
            assert_never(spend)

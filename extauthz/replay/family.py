"""Families of tokens that end together: once one of them is used again, none of them is taken any more (RFC 9700,
section 4.14.2).

A family is a mark in the store. Every token of it asks that there is none, before it is counted; the mark is made by a
commit of its own, after one that was refused.
"""

from __future__ import annotations

from typing import Final

from extauthz.model.time import MAX_CLOCK_SKEW, Instant, Seconds
from extauthz.model.token import VerifiedToken
from extauthz.replay.room import grouped
from extauthz.replay.spend import Bind, Mark, Spend, Unmarked, Use
from extauthz.replay.store import Outcome, Refused

_IN_FLIGHT: Final = Seconds(60)
"""How long after it was admitted a request may still bring about another token of the family."""


def marked_until(token: VerifiedToken, now: Instant) -> Instant:
    """The instant by which every token of a family has expired that is marked now.

    INVARIANT: no count of such a token is kept for longer, whatever the skew of the issuer's settings is by then.
    """
    last = now + _IN_FLIGHT + token.trust.max_lifetime + 2 * MAX_CLOCK_SKEW
    return max(token.window.remember_until, Instant(last))


def marks_after(spends: tuple[Spend, ...], outcome: Outcome) -> tuple[Spend, ...]:
    """What is to be committed once these ended so: a mark for each family, paid by who pays for its counts.

    Nothing, unless a token came that was used before: more often than it may be, or by another caller.
    """
    if not isinstance(outcome, Refused) or not isinstance(outcome.spend, (Use, Bind)):
        return ()
    made: list[Spend] = []
    for group in grouped(spends):
        asked = [each for each in group.asked if isinstance(each, Unmarked)]
        if asked:
            made += (Mark(key=each.key, until=each.until, label=each.label) for each in asked)
            made += group.rooms
    return tuple(made)

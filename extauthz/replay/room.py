"""Who pays for the keys in a store: accounts that hold at most so many, so that nobody fills it for the others.

An account remembers, for each instant at which keys of it end, how many do. So that these are few, the end of a key
that is paid for is rounded up: by at most an eighth of its life, and at least to a whole second. What an account counts
is therefore never less than what lives, and exact for what is kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import ceil, frexp
from typing import Final, TypeAlias

from extauthz.model.time import Instant, Seconds
from extauthz.replay.spend import Asked, Count, Room, Spend, Unmarked

_PARTS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """How many keys each may have in the store; 0 for no bound."""

    issuer: int = 0
    """Each issuer; and limits by address alone, with requests without a token, under the policies of a namespace."""
    namespace: int = 0
    """All TokenIssuers of one namespace together: else whoever writes many of them has many quotas."""


@dataclass(frozen=True, slots=True)
class Group:
    """Counts, and the rooms that stand right behind them: each of these pays for every new key of those."""

    asked: tuple[Asked, ...]
    rooms: tuple[Room, ...]

    @property
    def counts(self) -> tuple[Count, ...]:
        """Those that may make a key."""
        return tuple(each for each in self.asked if not isinstance(each, Unmarked))


Groups: TypeAlias = "tuple[Group, ...]"


def grouped(spends: tuple[Spend, ...]) -> Groups:
    """The spends of a commit, in their order."""
    asked = tuple([each for each in spends if not isinstance(each, Room)])
    return (Group(asked, ()),) if len(asked) == len(spends) else tuple(_groups(spends))


def _groups(spends: tuple[Spend, ...]) -> Iterator[Group]:
    asked: list[Asked] = []
    rooms: list[Room] = []
    for spend in spends:
        if isinstance(spend, Room):
            # INVARIANT: a room that was parted from its counts would let them through unpaid.
            if all(isinstance(each, Unmarked) for each in asked):
                raise AssertionError("a room must stand behind the counts that it pays for, in one script with them")
            rooms.append(spend)
            continue
        if rooms:
            yield Group(tuple(asked), tuple(rooms))
            asked, rooms = [], []
        asked.append(spend)
    yield Group(tuple(asked), tuple(rooms))


def paid_until(until: Instant, now: Instant) -> Instant:
    """When a key that must be kept until then ends, where somebody pays for it."""
    # The least power of two that is not less than a sixteenth of its life, and at least 1.
    mantissa, exponent = frexp(max(1.0, (until - now) / _PARTS))
    width = 2.0 ** (exponent - (mantissa == 0.5))
    return Instant(ceil(until / width) * width)


class Account:
    """What one room holds. Not safe for threads: its owner holds a lock."""

    __slots__ = ("_ends",)

    def __init__(self) -> None:
        self._ends: dict[Instant, int] = {}

    def held(self, now: Instant) -> int:
        """How many keys live. Forgets those that ended."""
        for end in [end for end in self._ends if end <= now]:
            del self._ends[end]
        return sum(self._ends.values())

    def wait(self, excess: int, now: Instant) -> Seconds | None:
        """How long until at least so many have ended; None when that many never will."""
        for end in sorted(self._ends):
            excess -= self._ends[end]
            if excess <= 0:
                return Seconds(end - now)
        return None

    def lacks(self, ends: Iterable[Instant | None]) -> int:
        """How many keys that end then, None for those that are new, it does not pay for yet."""
        return sum(
            number if end is None else max(0, number - self._ends.get(end, 0)) for end, number in Counter(ends).items()
        )

    def move(self, before: Instant | None, end: Instant) -> None:
        """A key ends then at the earliest: a new one, or one that ended before, whoever paid for it."""
        paid = 0 if before is None else self._ends.get(before, 0)
        if before is not None and paid > 0:
            if end <= before:
                return
            self._ends[before] = paid - 1
        end = end if before is None else max(before, end)
        self._ends[end] = self._ends.get(end, 0) + 1

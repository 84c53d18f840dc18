"""A sliding window that is exact and small: a log of requests, those close together written as one group.

A fixed window lets twice the amount through at its boundary; a log of every request grows with the traffic. Here a
request joins the newest group while that began less than a sixtieth of the window ago, and a group counts in full
until its *last* request is a whole window old. So never too many are admitted, a request is refused at most a sixtieth
of the window early, and a log holds some sixty groups whatever the amount.
"""

from __future__ import annotations

from array import array
from typing import Final

from extauthz.model.time import Instant, Seconds

_PARTS: Final = 60
_COMPACT_ABOVE: Final = 256
"""More groups than one window makes: they come from windows of different length, and old ones can be joined."""


class RateLog:
    """The requests of one key. Not safe for threads: its owner holds a lock.

    Windows of several lengths may ask: after an edit, or when policies share a count. What is remembered reaches back
    by the longest of them that asked within its own length.
    """

    __slots__ = ("_groups", "_span", "_span_until")

    def __init__(self) -> None:
        # Flat triples of first instant, last instant and count, oldest first: 24 bytes a group.
        self._groups = array("d")
        self._span = Seconds(0.0)
        self._span_until = Instant(0.0)

    def __len__(self) -> int:
        """How many groups are remembered."""
        return len(self._groups) // 3

    @property
    def until(self) -> Instant:
        """The first instant at which nothing in the log counts any more; 0 when it is empty."""
        return Instant(self._groups[-2] + self._span) if self._groups else Instant(0.0)

    def wait(self, amount: int, window: Seconds, now: Instant) -> Seconds | None:
        """How long until one more request is within `amount`: None for now, else at most `window`. Changes nothing."""
        excess = self.count(window, now) + 1 - amount
        if excess <= 0:
            return None
        for at in range(self._oldest(window, now), len(self._groups), 3):
            excess -= int(self._groups[at + 2])
            if excess <= 0:
                return Seconds(min(window, self._groups[at + 1] + window - now))
        return window

    def note(self, window: Seconds, now: Instant) -> None:
        """Take note that a window of this length asks, and forget what none asks for."""
        if window >= self._span or now >= self._span_until:
            self._span, self._span_until = window, Instant(now + window)
        del self._groups[: self._oldest(self._span, now)]

    def count(self, window: Seconds, now: Instant) -> int:
        """How many requests count against a window that ends now."""
        return int(sum(self._groups[self._oldest(window, now) + 2 :: 3]))

    def add(self, window: Seconds, now: Instant) -> None:
        """Count one request. `now` is never before that of an earlier call."""
        self.note(window, now)
        groups = self._groups
        if groups and now - groups[-3] < window / _PARTS:
            groups[-2] = now
            groups[-1] += 1.0
        else:
            groups.extend((now, now, 1.0))
            if len(self) > _COMPACT_ABOVE:
                self._compact(window, now)

    def _oldest(self, window: Seconds, now: Instant) -> int:
        """Where the oldest group that still counts begins. The sum, not the difference, is compared: `until` is one."""
        groups = self._groups
        for at in range(0, len(groups), 3):
            if groups[at + 1] + window > now:
                return at
        return len(groups)

    def _compact(self, window: Seconds, now: Instant) -> None:
        """Join groups too old for the window that asks, as far as the longest window allows."""
        fine = self._oldest(window, now)
        joined = array("d")
        for at in range(0, fine, 3):
            first, last, count = self._groups[at : at + 3]
            if joined and last - joined[-3] < self._span / _PARTS:
                joined[-2] = last
                joined[-1] += count
            else:
                joined.extend((first, last, count))
        self._groups = joined + self._groups[fine:]

"""When an endpoint is left alone: after failures in a row, for longer each time, and then for one question to see.

Waiting out a timeout for each token while the endpoint is gone would keep those waiting who have no need to.
"""

from __future__ import annotations

import random
from typing import Final

from extauthz.model.question import Unanswered
from extauthz.model.time import Seconds

THRESHOLD: Final = 5
"""Failures in a row that open it."""
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 30.0


class Breaker:
    """Counts failures in a row. Not safe to share without a lock."""

    def __init__(self) -> None:
        self._random = random.SystemRandom()
        self._failures = 0
        self._closed_from = 0.0
        self._probing = False
        self.problem: str | None = None
        """What was wrong the last time; None after an answer."""

    @property
    def is_open(self) -> bool:
        """Whether it failed so often in a row that it is left alone."""
        return self._failures >= THRESHOLD

    def admit(self, now: float) -> Unanswered | None:
        """Why not to ask now; None to ask. The one question that is let through to see must be told of after."""
        wait = self._closed_from - now
        if wait > 0:
            return Unanswered(f"{self.problem}; it is asked again soon", Seconds(wait))
        if self.is_open:
            if self._probing:
                return Unanswered(f"{self.problem}; it is being asked again", Seconds(1.0))
            self._probing = True
        return None

    def succeeded(self) -> None:
        """An answer came."""
        self._failures = 0
        self._probing = False
        self.problem = None

    def failed(self, answer: Unanswered, now: float) -> None:
        """None came, or none that can be used."""
        self._probing = False
        self.problem = answer.detail
        self._failures += 1
        if self.is_open:
            pause = min(_FIRST_PAUSE * 2 ** min(self._failures - THRESHOLD, 16), _LONGEST_PAUSE)
            self._closed_from = now + pause * (0.5 + 0.5 * self._random.random())
        if answer.retry_after is not None:
            self._closed_from = max(self._closed_from, now + answer.retry_after)

    def unasked(self) -> None:
        """The question was given up before it was sent: that says nothing."""
        self._probing = False

"""Whether the server's clock jumped ahead, and took counts with it.

A server drops a key when its own clock says so. When that clock is set ahead, uses are forgotten early, and a token
that was used could be used again. Each reply carries the server's time, so a jump is seen against our monotonic clock,
by the very reply that comes after it. From then on, a token with less life left than the jump was long is doubtful: its
use may have been forgotten already. That lasts until every key from before the jump is past its time.

A clock set back makes the server forget later, which is no danger.
"""

from __future__ import annotations

import threading
from typing import Final

from extauthz.model.time import Instant, Seconds
from extauthz.replay.redis.fields import MARGIN
from extauthz.replay.spend import Bind, Rate, Room, Spend, Use

_JUMP: Final = Seconds(1.0)
"""Less than this is the clock's ordinary correction, and within the margin that every key is kept longer."""

_LEAST_HOLD: Final = Seconds(3600.0)
"""A jump is minded for the longest life that we have seen a key given, and at least for so long: other replicas may
have given longer ones."""


class ServerClock:
    """The server's clock beside ours. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._offset: tuple[float, float] | None = None
        """The server's time less our monotonic time lay between these at the last reply."""
        self._ahead = 0.0
        self._minded_until = 0.0
        self._longest_life = float(_LEAST_HOLD)

    def observe(self, server: Instant, sent: float, received: float) -> float:
        """Take note of a reply: the server's time, and when by our monotonic clock the call began and ended.

        Returns by how many seconds the clock has jumped ahead since the last one, 0.0 when it has not.
        """
        with self._lock:
            least, most = server - received, server - sent
            before, self._offset = self._offset, (least, most)
            if before is None or least - before[1] < _JUMP:
                return 0.0
            jump = most - before[0]
            self._ahead = jump + (self._ahead if received < self._minded_until else 0.0)
            self._minded_until = received + self._longest_life
            return jump

    def ahead(self, now: float) -> Seconds:
        """By how much keys may have been dropped early; 0.0 when no jump is minded any more. `now` is monotonic."""
        return Seconds(self._ahead if now < self._minded_until else 0.0)

    def mind(self, spends: tuple[Spend, ...], asked: Instant) -> None:
        """Take note of how long the keys of these live, which were asked for at this wall time."""
        ends = [spend.until for spend in spends if not isinstance(spend, (Rate, Room))]
        if ends and max(ends) - asked > self._longest_life:
            with self._lock:
                self._longest_life = max(self._longest_life, max(ends) - asked)

    def doubts(self, spends: tuple[Spend, ...], wall: Instant, now: float) -> bool:
        """Whether the count of one of these may have been dropped early. `wall` is wall time, `now` monotonic."""
        ahead = self.ahead(now)
        # A mark can be made whatever was forgotten; and what asks for one stands beside a use that ends earlier.
        return ahead > 0.0 and any(
            spend.until - wall + MARGIN <= ahead for spend in spends if isinstance(spend, (Use, Bind))
        )

"""A clock that stands still until a test turns it."""

from __future__ import annotations

import threading

from extauthz.model.time import Instant


class FakeClock:
    """A `Clock` whose hands a test moves. Safe to read from threads; wall and monotonic time advance together."""

    def __init__(self, wall: float = 1_790_000_000.0) -> None:
        self._lock = threading.Lock()
        self._wall = wall
        self._monotonic = 1000.0

    def now(self) -> Instant:
        """Wall time in seconds since the epoch."""
        with self._lock:
            return Instant(self._wall)

    def monotonic(self) -> float:
        """Seconds from an arbitrary start."""
        with self._lock:
            return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass, for both hands. Raises ValueError for a step back: time only runs on."""
        if seconds < 0:
            raise ValueError(f"`{seconds}` would turn time back; step the wall with `set_wall`")
        with self._lock:
            self._wall += seconds
            self._monotonic += seconds

    def set_wall(self, t: float) -> None:
        """Step the wall clock, forward or back, as an administrator or NTP does; monotonic time stands."""
        with self._lock:
            self._wall = t

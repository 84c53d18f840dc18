"""How often something may be done for each of several: a bucket of tokens that fills up again at a steady rate."""

from __future__ import annotations

import threading
from typing import Final

from extauthz.model.time import Clock

MAX_KEYS: Final = 10_000
"""More are not told apart: what fills up again to the brim first makes room."""


class Allowance:
    """Safe to share among threads."""

    def __init__(self, clock: Clock, *, each_second: float, at_once: int) -> None:
        """`at_once` may be done in a burst, `each_second` for as long as it goes on."""
        self._clock = clock
        self._rate = each_second
        self._most = at_once
        self._lock = threading.Lock()
        self._full_at: dict[str, float] = {}
        """When the bucket of each is full again; one that is not here is full."""

    def take(self, key: str) -> bool:
        """Whether it may be done once more now."""
        now = self._clock.monotonic()
        with self._lock:
            full_at = max(self._full_at.pop(key, now), now) + 1.0 / self._rate
            allowed = full_at - now <= self._most / self._rate + 1e-9
            if allowed:
                self._make_room(now)
                self._full_at[key] = full_at
            else:
                self._full_at[key] = full_at - 1.0 / self._rate
        return allowed

    def _make_room(self, now: float) -> None:
        if len(self._full_at) >= MAX_KEYS:
            self._full_at = {key: at for key, at in self._full_at.items() if at > now}

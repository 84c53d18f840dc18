"""A circuit breaker: after repeated failure, commits are refused at once until a probe has come back.

Waiting out a deadline for each request while the server is gone would fill the threads that serve the others. The
keeper makes the probes, not users' requests, so half-open needs no state here: a probe that comes back closes it.
"""

from __future__ import annotations

import threading

from extauthz.replay.redis.trouble import Trouble


class Breaker:
    """Counts failures in a row, and holds what is known to be wrong with the server. Safe for threads."""

    def __init__(self, threshold: int = 5) -> None:
        """Open after `threshold` failures in a row."""
        self._lock = threading.Lock()
        self._threshold = threshold
        self._failed = 0
        self._trouble: Trouble | None = Trouble("connecting", "the store is not connected yet")
        self.successes = 0
        """Grows whenever the server has answered; for looking whether it has meanwhile."""

    def trouble(self) -> Trouble | None:
        """Why commits are refused at once; None when they may try."""
        return self._trouble

    def failed(self, trouble: Trouble) -> bool:
        """Count a failure. Whether the breaker has just opened."""
        with self._lock:
            self._failed += 1
            if self._trouble is not None or self._failed < self._threshold:
                return False
            self._trouble = trouble
            return True

    def succeeded(self) -> None:
        """A commit came back: failures are in a row no more. Does not close an open breaker."""
        self.successes += 1
        if self._failed:
            with self._lock:
                self._failed = 0

    def open(self, trouble: Trouble) -> None:
        """Refuse commits from now on: a probe failed, or an inspection found a fault."""
        with self._lock:
            self._trouble = trouble

    def close(self) -> None:
        """A probe came back and nothing is wrong."""
        with self._lock:
            self._trouble = None
            self._failed = 0

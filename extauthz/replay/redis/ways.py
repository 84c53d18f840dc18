"""The ways in which callers that must not block wait for one store, and the threads that these share."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from extauthz.replay.redis.loops import Loops
from extauthz.replay.redis.relay import Relay


class Ways:
    """For tasks of event loops, and for commits that are handed over."""

    def __init__(self, trips: int) -> None:
        """Let so many trips be under way at once."""
        # Threads begin as they are needed. One goes on while the others travel.
        self._drivers = ThreadPoolExecutor(trips + 1, thread_name_prefix="store")
        self.loops = Loops(self._drivers)
        self.relay = Relay(self._drivers)

    def close(self) -> None:
        """End all waits, and the threads once their trips are over."""
        self.relay.close()
        self._drivers.shutdown(wait=False)

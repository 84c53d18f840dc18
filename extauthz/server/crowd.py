"""A bound on the calls that are in work or waiting.

gRPC's own bound (`maximum_concurrent_rpcs`) ends a call with an RPC error, which an Envoy that fails open takes for a
yes. So every call is taken, and one too many is answered at once, by a thread of its own, with a denial.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import ParamSpec, TypeVar

from extauthz.model.time import Clock

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ticket:
    """How a call came to be worked on."""

    since: float
    """When it arrived, on the monotonic clock."""
    crowded: bool
    """Whether it was one too many."""


class Crowd(ThreadPoolExecutor):
    """A pool of `threads` threads for at most `most` calls; calls beyond are marked as crowded and do not queue."""

    def __init__(self, clock: Clock, threads: int, most: int) -> None:
        super().__init__(max_workers=threads, thread_name_prefix="check")
        self._clock = clock
        self._most = most
        self._inside = 0
        self._lock = threading.Lock()
        self._mine = threading.local()
        self._doorman = ThreadPoolExecutor(max_workers=1, thread_name_prefix="crowded")

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Take a call. Never refuses it."""
        with self._lock:
            crowded = self._inside >= self._most
            self._inside += not crowded
        ticket = Ticket(self._clock.monotonic(), crowded)
        if crowded:
            return self._doorman.submit(self._run, ticket, partial(fn, *args, **kwargs))
        return super().submit(self._run, ticket, partial(fn, *args, **kwargs))

    def ticket(self) -> Ticket:
        """The ticket of the call that the current thread works on."""
        ticket: Ticket = self._mine.ticket
        return ticket

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - as its base
        """End all threads once their calls are done."""
        self._doorman.shutdown(wait, cancel_futures=cancel_futures)
        super().shutdown(wait, cancel_futures=cancel_futures)

    def _run(self, ticket: Ticket, call: Callable[[], T]) -> T:
        self._mine.ticket = ticket
        try:
            return call()
        finally:
            if not ticket.crowded:
                with self._lock:
                    self._inside -= 1

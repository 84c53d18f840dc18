"""A bound on the calls that are in work or waiting.

gRPC's own bound (`maximum_concurrent_rpcs`) ends a call with an RPC error, which an Envoy that fails open takes for a
yes. So every call is taken, and one too many is answered at once, by a thread of its own, with a denial.

It has threads and a queue of its own: the futures of the standard library's pool cost more than half a decision, and
gRPC only asks to be told when a call is done.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, Final, NamedTuple

from extauthz.model.time import Clock

_LOG: Final = logging.getLogger(__name__)


class Ticket(NamedTuple):
    """How a call came to be worked on."""

    since: float
    """When it arrived, on the monotonic clock."""
    crowded: bool
    """Whether it was one too many."""


class Call:
    """A call that waits for a thread, or is in work: as much of a future as gRPC asks for."""

    __slots__ = ("_callbacks", "_done", "args", "fn", "ticket")

    def __init__(self, ticket: Ticket, fn: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.ticket = ticket
        self.fn = fn
        self.args = args
        self._done = False
        self._callbacks: list[Callable[[Call], object]] = []

    def add_done_callback(self, callback: Callable[[Call], object]) -> None:
        """Have this called once, when the call is done, or now when it is."""
        self._callbacks.append(callback)
        if self._done:
            self._call_back()

    def run(self) -> None:
        """Do the work, on the current thread. Nothing escapes."""
        try:
            self.fn(*self.args)
        except Exception as error:  # noqa: BLE001  # the thread goes on to the next call
            _LOG.error("a call ended with %s", type(error).__name__)
        self._done = True
        self._call_back()

    def _call_back(self) -> None:
        # INVARIANT: a list gives each of its items to one taker, so of two threads that come here only one calls it.
        while self._callbacks:
            try:
                callback = self._callbacks.pop()
            except IndexError:
                return
            callback(self)


class Crowd(ThreadPoolExecutor):
    """A pool of `threads` threads for at most `most` calls; calls beyond are marked as crowded and do not queue.

    It is a ThreadPoolExecutor by name only, because gRPC takes no other for one method.
    """

    def __init__(self, clock: Clock, threads: int, most: int) -> None:
        super().__init__(max_workers=1)
        self._clock = clock
        self._most = most
        self._inside = 0
        self._lock = threading.Lock()
        self._mine = threading.local()
        self._closed = False
        self._waiting: SimpleQueue[Call | None] = SimpleQueue()
        self._turned_away: SimpleQueue[Call | None] = SimpleQueue()
        self._crew = [self._thread(f"check-{number}", self._waiting) for number in range(threads)]
        self._doorman = self._thread("crowded", self._turned_away)

    def submit(self, fn: Callable[..., object], /, *args: Any) -> Call:  # type: ignore[override]  # noqa: ANN401
        """Take a call. Never refuses it, but after `shutdown`."""
        since = self._clock.monotonic()
        with self._lock:
            # INVARIANT: no call is put behind the last one that the threads take, or nobody would ever answer it.
            if self._closed:
                raise RuntimeError("the pool is shut down")
            crowded = self._inside >= self._most
            self._inside += not crowded
            call = Call(Ticket(since, crowded), fn, args)
            (self._turned_away if crowded else self._waiting).put(call)
        return call

    def ticket(self) -> Ticket:
        """The ticket of the call that the current thread works on."""
        ticket: Ticket = self._mine.ticket
        return ticket

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - as its base
        """End all threads once the calls that wait are done."""
        with self._lock:
            closing, self._closed = not self._closed, True
            if closing:
                for _ in self._crew:
                    self._waiting.put(None)
                self._turned_away.put(None)
        for thread in (*self._crew, self._doorman) if wait else ():
            thread.join()

    def _thread(self, name: str, queue: SimpleQueue[Call | None]) -> threading.Thread:
        thread = threading.Thread(target=self._work, args=(queue,), name=name, daemon=True)
        thread.start()
        return thread

    def _work(self, queue: SimpleQueue[Call | None]) -> None:
        while (call := queue.get()) is not None:
            self._mine.ticket = call.ticket
            call.run()
            if not call.ticket.crowded:
                with self._lock:
                    self._inside -= 1

"""A bound on the calls that are in work or waiting.

gRPC's own bound (`maximum_concurrent_rpcs`) ends a call with an RPC error, which an Envoy that fails open takes for a
yes. So every call is taken, and one too many is answered at once, by a thread of its own, with a denial.

It has threads and a queue of its own: the futures of the standard library's pool cost more than half a decision, and
gRPC only asks to be told when a call is done.

A call that must wait for somebody else steps aside: another thread takes its place among those that work, so that calls
which wait for nobody are not held up by it. How many may be aside at a time is bounded, too.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, Final, NamedTuple

from extauthz.model.time import Clock

_LOG: Final = logging.getLogger(__name__)
_HERE: Final = threading.local()

MOST_ASIDE: Final = 64
"""Calls that may wait for somebody else at the same time."""


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
        self._wanted = threads
        self._aside = 0
        self._closed = False
        self._waiting: SimpleQueue[Call | None] = SimpleQueue()
        self._turned_away: SimpleQueue[Call | None] = SimpleQueue()
        self._crew = [self._thread(f"check-{number}", self._waiting) for number in range(threads)]
        """Those that work and those that are aside."""
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
        ticket: Ticket = _HERE.ticket
        return ticket

    @contextlib.contextmanager
    def aside(self) -> Iterator[bool]:
        """While the current thread waits for somebody else, another takes its place; False when too many wait."""
        with self._lock:
            room = self._aside < MOST_ASIDE
            self._aside += room
            # INVARIANT: as many threads work as ever, whatever others wait for.
            if room and not self._closed and len(self._crew) - self._aside < self._wanted:
                self._crew.append(self._thread("check-more", self._waiting))
        try:
            yield room
        finally:
            with self._lock:
                self._aside -= room

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - as its base
        """End all threads once the calls that wait are done."""
        with self._lock:
            closing, self._closed = not self._closed, True
            if closing:
                for _ in self._crew:
                    self._waiting.put(None)
                self._turned_away.put(None)
            leaving = (*self._crew, self._doorman)
        for thread in leaving if wait else ():
            thread.join()

    def _thread(self, name: str, queue: SimpleQueue[Call | None]) -> threading.Thread:
        thread = threading.Thread(target=self._work, args=(queue,), name=name, daemon=True)
        thread.start()
        return thread

    def _work(self, queue: SimpleQueue[Call | None]) -> None:
        while (call := queue.get()) is not None:
            _HERE.crowd, _HERE.ticket = self, call.ticket
            call.run()
            if not call.ticket.crowded and self._leaves():
                return

    def _leaves(self) -> bool:
        """A call is done: whether the thread that did it is one more than are needed, now that others are back."""
        with self._lock:
            self._inside -= 1
            if self._closed or len(self._crew) - self._aside <= self._wanted:
                return False
            self._crew.remove(threading.current_thread())
            return True


@contextlib.contextmanager
def stepping_aside() -> Iterator[bool]:
    """Around waiting for somebody else on a thread of a crowd; False when too many wait, so that this one must not."""
    crowd: Crowd | None = getattr(_HERE, "crowd", None)
    with contextlib.nullcontext(True) if crowd is None else crowd.aside() as room:  # noqa: FBT003
        yield room

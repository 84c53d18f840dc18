"""The threads on which answers wait for somebody else: a shared store, or an issuer's endpoint.

A call that waits for long steps aside: another thread takes its place, so that as many as ever wait for the store. How
many may be aside at a time is bounded.

The pool of the standard library cannot grow for a while and shrink again, and its futures, which nobody reads here,
cost as much as half a decision.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Final, TypeAlias

_LOG: Final = logging.getLogger(__name__)
_HERE: Final = threading.local()

MOST_ASIDE: Final = 64
"""Calls that may be aside at the same time."""

Work: TypeAlias = Callable[[], object]


class Crowd:
    """So many threads, and those that stand in for others. How much may wait for them is for others to bound."""

    def __init__(self, threads: int) -> None:
        self._lock = threading.Lock()
        self._wanted = threads
        self._aside = 0
        self._closed = False
        self._waiting: SimpleQueue[Work | None] = SimpleQueue()
        self._crew = [self._thread(f"check-{number}") for number in range(threads)]
        """Those that work and those that are aside."""

    def submit(self, work: Work) -> None:
        """Have it run. Raises RuntimeError after `shutdown`."""
        with self._lock:
            # INVARIANT: nothing is put behind the last that the threads take, or nobody would ever answer it.
            if self._closed:
                raise RuntimeError("the pool is shut down")
            self._waiting.put(work)

    @contextlib.contextmanager
    def aside(self) -> Iterator[bool]:
        """While the current thread waits for long, another takes its place; False when too many do."""
        with self._lock:
            room = self._aside < MOST_ASIDE
            self._aside += room
            # INVARIANT: as many threads work as ever, whatever others wait for.
            if room and not self._closed and len(self._crew) - self._aside < self._wanted:
                self._crew.append(self._thread("check-more"))
        try:
            yield room
        finally:
            with self._lock:
                self._aside -= room

    def shutdown(self, *, wait: bool = True) -> None:
        """End all threads once what waits is done."""
        with self._lock:
            closing, self._closed = not self._closed, True
            if closing:
                for _ in self._crew:
                    self._waiting.put(None)
            leaving = tuple(self._crew)
        for thread in leaving if wait else ():
            thread.join()

    def _thread(self, name: str) -> threading.Thread:
        thread = threading.Thread(target=self._work, name=name, daemon=True)
        thread.start()
        return thread

    def _work(self) -> None:
        _HERE.crowd = self
        while (work := self._waiting.get()) is not None:
            try:
                work()
            except Exception as error:  # noqa: BLE001  # the thread goes on to the next
                _LOG.error("a call ended with %s", type(error).__name__)
            if self._leaves():
                return

    def _leaves(self) -> bool:
        """Whether the current thread is one more than are needed, now that others are back."""
        with self._lock:
            if self._closed or len(self._crew) - self._aside <= self._wanted:
                return False
            self._crew.remove(threading.current_thread())
            return True


@contextlib.contextmanager
def stepping_aside() -> Iterator[bool]:
    """Around waiting for long on a thread of a crowd; False when too many do, so that this one must not."""
    crowd: Crowd | None = getattr(_HERE, "crowd", None)
    with contextlib.nullcontext(True) if crowd is None else crowd.aside() as room:  # noqa: FBT003
        yield room

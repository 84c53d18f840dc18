"""How a commit waits: a thread blocks, a task of an event loop awaits. What it waits for, and why, is written once.

The steps of a commit are coroutines. On a thread each `await` blocks where it stands, so such a coroutine runs from its
beginning to its end in one go, and `at_once` is all that it needs. On an event loop it is awaited like any other.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Any, Final, Protocol, TypeVar

T = TypeVar("T")


class Signal(Protocol):
    """Wakes one that waits, once."""

    def set(self) -> None:
        """Wake it, from any thread; at once if it does not wait yet. Never waits, never raises."""

    async def wait(self, seconds: float) -> None:
        """Wait until it is set, or for so long."""


class Waiting(Protocol):
    """A way to wait."""

    def signal(self) -> Signal:
        """A new signal, for the caller to wait for."""

    async def let_others_come(self) -> None:
        """Before a batch leaves: let those that are ready to board do so, without waiting for any that is not."""

    async def pause(self, seconds: float) -> None:
        """Do nothing for so long."""

    async def travel(self, trip: Callable[[], None]) -> None:
        """Run what blocks, and wait until it is done. It runs to its end even if the caller is cancelled."""


def at_once(steps: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in which everything that waits blocks. Raises RuntimeError for one that waits for a loop."""
    try:
        steps.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    steps.close()
    raise RuntimeError("a coroutine that waits for an event loop was run without one")


class _Mailbox:
    """Wakes a thread. It costs a third of an Event, which is a lock and a condition in Python."""

    __slots__ = ("_woken",)

    def __init__(self) -> None:
        self._woken: SimpleQueue[None] = SimpleQueue()

    def set(self) -> None:
        self._woken.put(None)

    async def wait(self, seconds: float) -> None:
        with contextlib.suppress(Empty):
            self._woken.get(timeout=max(0.0, seconds))


class Blocking:
    """On a thread."""

    def signal(self) -> Signal:
        """A new signal."""
        return _Mailbox()

    async def let_others_come(self) -> None:
        """Go at once: threads that are ready queue up while others travel."""

    async def pause(self, seconds: float) -> None:
        """Sleep."""
        threading.Event().wait(seconds)

    async def travel(self, trip: Callable[[], None]) -> None:
        """Run it here."""
        trip()


BLOCKING: Final = Blocking()


class OnLoop:
    """On an event loop, whose tasks must not block: trips run on the threads of `drivers`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, drivers: Executor) -> None:
        self.loop = loop
        """The loop that its tasks run on."""
        self._drivers = drivers
        self._woken: deque[asyncio.Future[None]] = deque()
        self._called = False

    def signal(self) -> Signal:
        """A new signal, for a task of this loop."""
        return _Promise(self)

    async def let_others_come(self) -> None:
        """One turn of the loop: tasks that were woken together would else leave one by one."""
        await asyncio.sleep(0)

    async def pause(self, seconds: float) -> None:
        """Sleep, while other tasks run."""
        await asyncio.sleep(seconds)

    async def travel(self, trip: Callable[[], None]) -> None:
        """Run it on a thread."""
        try:
            under_way = self.loop.run_in_executor(self._drivers, trip)
        except RuntimeError:
            # The store was closed after this batch boarded, and its connections with it: the trip is over soon.
            trip()
        else:
            await asyncio.shield(under_way)

    def wake(self, promise: asyncio.Future[None]) -> None:
        """Keep a promise, from any thread. Many at a time disturb the loop once."""
        self._woken.append(promise)
        if not self._called:
            self._called = True
            # The loop may be closed by now: then nobody waits.
            with contextlib.suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self._wake_all)

    def _wake_all(self) -> None:
        # INVARIANT: first this, then the queue is emptied, so that whoever comes in between calls again.
        self._called = False
        while self._woken:
            _keep(self._woken.popleft())


class Loops:
    """The event loops whose tasks wait for one store; usually there is one, or none."""

    def __init__(self, threads: int) -> None:
        """Let so many trips be under way at once."""
        # Its threads begin with the first trip of a task.
        self._drivers = ThreadPoolExecutor(threads, thread_name_prefix="store")
        self._last: OnLoop | None = None

    def here(self) -> OnLoop:
        """How the current task waits."""
        loop, last = asyncio.get_running_loop(), self._last
        if last is None or last.loop is not loop:
            self._last = last = OnLoop(loop, self._drivers)
        return last

    def close(self) -> None:
        """End the threads once their trips are over."""
        self._drivers.shutdown(wait=False)


class _Promise:
    """Wakes a task."""

    __slots__ = ("_on", "_promise")

    def __init__(self, on: OnLoop) -> None:
        self._on = on
        self._promise: asyncio.Future[None] = on.loop.create_future()

    def set(self) -> None:
        self._on.wake(self._promise)

    async def wait(self, seconds: float) -> None:
        late = self._on.loop.call_later(max(0.0, seconds), _keep, self._promise)
        try:
            await self._promise
        finally:
            late.cancel()


def _keep(promise: asyncio.Future[None]) -> None:
    if not promise.done():
        promise.set_result(None)

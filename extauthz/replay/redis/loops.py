"""How a commit waits in a task of an event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor

from extauthz.replay.redis.waiting import Signal


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

    async def let_others_come(self, *, many_wait: bool = False) -> None:
        """One turn of the loop: tasks that were woken together would else leave one by one."""
        await asyncio.sleep(0)

    async def pause(self, seconds: float) -> None:
        """Sleep, while other tasks run."""
        await asyncio.sleep(seconds)

    async def travel(self, depart: Callable[[], None], arrive: Callable[[], None]) -> None:
        """Run both on a thread."""

        def trip() -> None:
            depart()
            arrive()

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

    def __init__(self, drivers: Executor) -> None:
        self._drivers = drivers
        self._last: OnLoop | None = None

    def here(self) -> OnLoop:
        """How the current task waits."""
        loop, last = asyncio.get_running_loop(), self._last
        if last is None or last.loop is not loop:
            self._last = last = OnLoop(loop, self._drivers)
        return last


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

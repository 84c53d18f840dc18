"""How a commit waits on nobody's thread: whoever ends its wait has it go on, on one of a few threads that all share.

So a thousand commits in flight need as many threads as there are connections, and one more; and a caller that must not
wait, such as the thread that takes Checks, hands a commit over and is told later.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Executor
from typing import Any, Final, NoReturn, TypeAlias, TypeVar

from extauthz.model.time import SystemClock
from extauthz.replay.redis.waiting import Signal

T = TypeVar("T")

_LOG: Final = logging.getLogger(__name__)
_MONOTONIC: Final = SystemClock().monotonic
_HERE: Final = threading.local()

Work: TypeAlias = Callable[[], None]
Then: TypeAlias = Callable[[Callable[[], T]], None]
"""Is told the end, once: by what returns the result, or raises what the coroutine raised."""


def go_on(steps: Coroutine[Any, Any, T], then: Then[T]) -> None:
    """Run a coroutine until it waits by a Relay, which has it go on."""
    try:
        arrange = steps.send(None)
    except StopIteration as end:
        result: T = end.value
        then(lambda: result)
    except Exception as error:  # noqa: BLE001  # not swallowed: whoever asks for the result gets it
        raised = error

        def fail() -> NoReturn:
            raise raised

        then(fail)
    else:
        arrange(lambda: go_on(steps, then))


class _Until:
    """Awaited, hands what comes next to whom it is told to."""

    __slots__ = ("_arrange",)

    def __init__(self, arrange: Callable[[Work], None]) -> None:
        self._arrange = arrange

    def __await__(self) -> Generator[Callable[[Work], None]]:
        yield self._arrange


class Relay:
    """A way to wait, for coroutines that `go_on` began."""

    def __init__(self, drivers: Executor) -> None:
        """Go on, and travel, on the threads of `drivers`."""
        self._drivers = drivers
        self._alarms = _Alarms()

    def signal(self) -> Signal:
        """A new signal."""
        return _Baton(self._go_on, self._alarms)

    async def let_others_come(self, *, many_wait: bool = False) -> None:
        """Come to a driver that has nothing else to do; meanwhile others come. Where many wait, to any driver."""
        ready = _ready_here()
        if ready is not None and many_wait:
            return
        if ready is not None:
            # INVARIANT: also with nothing else to do, or a commit that another one's end begins would run within it.
            await _Until(ready.append)
        if ready is None or ready:
            await _Until(self._submit)

    async def pause(self, seconds: float) -> None:
        """Sleep, on no thread."""
        await self.signal().wait(seconds)

    async def travel(self, depart: Work, arrive: Work) -> None:
        """Depart, go on with what is ready here, and arrive on a driver that has nothing else to do.

        So the server has the next batch while those of the one before are finished.
        """
        depart()
        if _ready_here():
            await self.let_others_come()
        arrive()
        ready = _ready_here()
        if ready:
            # Who leads the next batch is among them, and departs before this one's Checks are finished.
            await _Until(ready.append)

    def close(self) -> None:
        """End all waits."""
        self._alarms.close()

    def _go_on(self, work: Work) -> None:
        """Have it go on: here, when this is a driver, once it is done with what it does."""
        ready = _ready_here()
        if ready is None:
            self._submit(work)
        else:
            ready.append(work)

    def _submit(self, work: Work) -> None:
        try:
            self._drivers.submit(_drive, work)
        except RuntimeError:
            # The store was closed meanwhile, and its connections with it: there is little left to wait for.
            _drive(work)


def _ready_here() -> deque[Work] | None:
    """What waits for the current thread; None when that is no driver."""
    return getattr(_HERE, "ready", None)


def _drive(work: Work) -> None:
    """Run it, and what it has go on."""
    before = _ready_here()
    ready = _HERE.ready = deque((work,))
    while ready:
        _run(ready.popleft())
    _HERE.ready = before


def _run(work: Work) -> None:
    try:
        work()
    except Exception as error:  # noqa: BLE001  # one commit must not end what all share
        _LOG.error("what follows a commit failed: %s", type(error).__name__)


class _Baton:
    """Has one coroutine go on."""

    __slots__ = ("_alarms", "_go_on", "_next", "is_set")

    def __init__(self, go_on: Callable[[Work], None], alarms: _Alarms) -> None:
        self._go_on = go_on
        self._alarms = alarms
        self.is_set = False
        self._next: list[Work] = []
        """What goes on, until somebody has it do so."""

    def set(self) -> None:
        self.is_set = True
        if self._next:
            self._release()

    async def wait(self, seconds: float) -> None:
        if not self.is_set:
            self._alarms.wake(self, seconds)
            await _Until(self._park)

    def _park(self, work: Work) -> None:
        self._next.append(work)
        if self.is_set:
            self._release()

    def _release(self) -> None:
        try:
            work = self._next.pop()
        except IndexError:
            # INVARIANT: who sets and who parks each look at what the other wrote, and `pop` lets one of them have it.
            return
        self._go_on(work)


class _Alarms:
    """Sets batons when their time is over. Its thread begins with the first."""

    def __init__(self) -> None:
        # A lock of its own costs a third of a condition that is entered.
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._due: list[tuple[float, int, _Baton]] = []
        """A heap. A baton that was set before its time stays until it is looked at."""
        self._numbers = itertools.count()
        self._begun = False
        self._closed = False

    def wake(self, baton: _Baton, seconds: float) -> None:
        """Set it in so many seconds; at once after `close`."""
        at = _MONOTONIC() + max(0.0, seconds)
        with self._lock:
            closed, begins = self._closed, not self._begun
            if not closed:
                self._begun = True
                heapq.heappush(self._due, (at, next(self._numbers), baton))
                if self._due[0][2] is baton:
                    self._changed.notify()
        if closed:
            baton.set()
        elif begins:
            threading.Thread(target=self._run, name="store-alarms", daemon=True).start()

    def close(self) -> None:
        """Set all, and end."""
        with self._lock:
            self._closed = True
            self._changed.notify()

    def _run(self) -> None:
        closed = False
        while not closed:
            with self._lock:
                late = self._late()
                while not late and not self._closed:
                    self._changed.wait(self._due[0][0] - _MONOTONIC() if self._due else None)
                    late = self._late()
                closed = self._closed
            for baton in late:
                baton.set()

    def _late(self) -> list[_Baton]:
        """Those whose time is over, all when it is closed; those that were set are forgotten on the way."""
        now, late = _MONOTONIC(), list[_Baton]()
        while self._due and (self._closed or self._due[0][0] <= now or self._due[0][2].is_set):
            baton = heapq.heappop(self._due)[2]
            if not baton.is_set:
                late.append(baton)
        return late

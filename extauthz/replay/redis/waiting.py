"""How a commit waits. What it waits for, and why, is written once, and there are three ways to do so.

The steps of a commit are coroutines. On a thread each `await` blocks where it stands, so such a coroutine runs from its
beginning to its end in one go, and `at_once` is all that it needs. On an event loop (`loops`) it is awaited like any
other. By `relay` it waits on nobody's thread: whoever ends its wait has it go on.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Coroutine
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

    async def let_others_come(self, *, many_wait: bool = False) -> None:
        """Before a batch boards: let those that are ready come, without waiting for any that is not. Where many wait
        already it need not."""

    async def pause(self, seconds: float) -> None:
        """Do nothing for so long."""

    async def travel(self, depart: Callable[[], None], arrive: Callable[[], None]) -> None:
        """Run both, and wait until that is done. It runs to its end even if the caller is cancelled.

        To depart takes no time; to arrive blocks, and others may go on before.
        """


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

    async def let_others_come(self, *, many_wait: bool = False) -> None:
        """Go at once: threads that are ready queue up while others travel."""

    async def pause(self, seconds: float) -> None:
        """Sleep."""
        threading.Event().wait(seconds)

    async def travel(self, depart: Callable[[], None], arrive: Callable[[], None]) -> None:
        """Run both here."""
        depart()
        arrive()


BLOCKING: Final = Blocking()

"""Who sends what, and when: commits that wait together travel together, in the order in which they came.

Whoever comes when a lane to the server is free takes it at once and sends its own commit. Whoever comes when all are
busy waits; when a lane comes free, the first in the queue takes it, and those who wait board with it, up to a bound. Of
many, half stay for the next lane: else all come back together, and we and the server take turns instead of working at
the same time. So batches form only under load, and no thread stands between a commit and its connection.

No I/O, no clock, no waiting here: a ticket wakes its owner by a function of the owner's, so the same class serves
threads and an event loop.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Generic, TypeVar

Lane = TypeVar("Lane")
Work = TypeVar("Work")
Result = TypeVar("Result")

_MANY: Final = 8
"""So many who wait are worth two trips."""


class Stage(Enum):
    """How far a ticket has come."""

    WAITING = auto()
    LEADING = auto()
    """It was given a lane, and must board."""
    ABOARD = auto()
    """It is in a batch, its own or another's."""
    SETTLED = auto()
    GIVEN_UP = auto()


@dataclass(slots=True, eq=False)
class Ticket(Generic[Lane, Work, Result]):
    """One piece of work on its way. Only Batches changes it, under its lock."""

    work: Work
    wake: Callable[[], None]
    """Is called once, when the owner has something to do or to read. Must not wait."""
    stage: Stage = Stage.WAITING
    lane: Lane | None = None
    boarded: bool = False
    """Whether it is or was in a batch: its work may be done, even where it gave up."""
    result: Result | None = None
    """What came back, there before the stage says so; None while nothing has."""


class Batches(Generic[Lane, Work, Result]):
    """The queue and the free lanes. Safe for threads.

    INVARIANT: a lane is in one place only: free, or with the ticket that leads. All tickets in the queue are waiting.
    """

    def __init__(self, most: int, lanes: int = 1) -> None:
        """Let at most `most` commits board together. So many `lanes` there will be."""
        self._lock = threading.Lock()
        self._most = most
        self._shares = lanes > 1
        self._free: list[Lane] = []
        self._queue: deque[Ticket[Lane, Work, Result]] = deque()

    def enter(self, ticket: Ticket[Lane, Work, Result]) -> bool:
        """Queue up. Whether the owner may board at once; otherwise it is woken."""
        with self._lock:
            if self._free:
                ticket.stage, ticket.lane = Stage.LEADING, self._free.pop()
                return True
            self._queue.append(ticket)
            return False

    def board(
        self, ticket: Ticket[Lane, Work, Result], *, late: bool
    ) -> tuple[Lane, list[Ticket[Lane, Work, Result]]] | None:
        """The lane to send on and the batch to send, when this ticket leads.

        None when it does not: its result is there, or it gives up. One that is aboard another's batch may give up too;
        its work may still be done. A `late` one does not lead but passes its lane on: with too little time it would
        fail for all who boarded with it.
        """
        with self._lock:
            lane, stage = ticket.lane, ticket.stage
            if stage is Stage.LEADING and lane is not None and not late:
                batch = [ticket, *(self._queue.popleft() for _ in range(self._company()))]
                for each in batch:
                    each.stage, each.boarded = Stage.ABOARD, True
                return lane, batch
            if stage is Stage.WAITING:
                self._queue.remove(ticket)
            if stage is not Stage.SETTLED:
                ticket.stage = Stage.GIVEN_UP
        if stage is Stage.LEADING and lane is not None:
            self.offer(lane)
        return None

    def _company(self) -> int:
        """How many board with one who leads."""
        waiting = len(self._queue)
        return min(self._most - 1, waiting // 2 if self._shares and waiting >= _MANY else waiting)

    def settle(self, results: Iterable[tuple[Ticket[Lane, Work, Result], Result]]) -> None:
        """Hand over the results of tickets aboard, and wake their owners."""
        with self._lock:
            settled = [(ticket, result) for ticket, result in results if ticket.stage is Stage.ABOARD]
            for ticket, result in settled:
                ticket.result, ticket.stage = result, Stage.SETTLED
        for ticket, _ in settled:
            ticket.wake()

    def offer(self, lane: Lane) -> None:
        """A lane is free, again or newly: the first that waits takes it."""
        with self._lock:
            if not self._queue:
                self._free.append(lane)
                return
            leader = self._queue.popleft()
            leader.stage, leader.lane = Stage.LEADING, lane
        leader.wake()

    def dismiss(self, result: Result) -> None:
        """Settle all who wait with this result: no lane will come for them."""
        with self._lock:
            waiting, self._queue = self._queue, deque()
            for ticket in waiting:
                ticket.stage, ticket.result = Stage.SETTLED, result
        for ticket in waiting:
            ticket.wake()

    def take_free(self) -> list[Lane]:
        """Take all free lanes out of service."""
        with self._lock:
            lanes, self._free = self._free, []
            return lanes

    def many_wait(self) -> bool:
        """Whether a batch is worth a trip without those who come next."""
        with self._lock:
            return len(self._queue) >= _MANY

    def waiting(self) -> int:
        """How many wait."""
        with self._lock:
            return len(self._queue)

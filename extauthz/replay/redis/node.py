"""One server: the queue before it, the connections to it, its breaker and its clock."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, NamedTuple

from extauthz.model.time import Clock, format_duration
from extauthz.replay.redis.batches import Batches, Ticket
from extauthz.replay.redis.breaker import Breaker
from extauthz.replay.redis.connect import Lane, Target
from extauthz.replay.redis.facts import Facts
from extauthz.replay.redis.keeper import Crossed, Crossings, Keeper, Options
from extauthz.replay.redis.server_clock import ServerClock
from extauthz.replay.redis.trouble import Redirect, Trouble
from extauthz.replay.redis.waiting import Waiting
from extauthz.replay.redis.wire import Codec, Request, told_at
from extauthz.replay.redis.witness import Ask, Witness
from extauthz.replay.store import Committed, Left, Outcome

_LOG: Final = logging.getLogger(__name__)
_LEAST_TO_LEAD: Final = 0.2
"""The part of its time that a commit must have left to lead a batch."""


class Tally(NamedTuple):
    """How often each happened at a server, or at several."""

    commits: int = 0
    """Requests that were sent."""
    batches: int = 0
    """Round trips that they took."""
    restarts: int = 0
    """It began anew, or another one in its place."""
    emptied: int = 0
    """It lost what it held."""

    def plus(self, other: Tally) -> Tally:
        """Both together."""
        return Tally(*map(sum, zip(self, other, strict=True)))


@dataclass(slots=True)
class _Trip:
    """A batch on its way."""

    lane: Lane
    batch: list[Ticket[Lane, Request, Crossed | Trouble]]
    sent: float = 0.0
    """When it departed, by monotonic time."""


class Node:
    """A way to one server, for many threads and tasks. `start` it first; until it is connected, all is Trouble."""

    def __init__(
        self,
        target: Target,
        clock: Clock,
        options: Options,
        codec: Codec,
        witness: Witness,
        tag: Callable[[], bytes | None] = bytes,
    ) -> None:
        """`tag` says under which tag a probe may write; None for nowhere, as on a node that holds no slot.

        All nodes of a store share one `witness`.
        """
        self._target = target
        self._clock = clock
        self._codec = codec
        self._witness = witness
        self._tag = tag
        self._deadline = options.deadline
        self._connections = options.connections
        self._breaker = Breaker()
        self._crossings: Crossings = Batches(options.batch, options.connections)
        self._server_clock = ServerClock()
        self._keeper = Keeper(
            target,
            options,
            clock,
            self._breaker,
            self._crossings,
            observe=self._observe,
            probe=self._probe,
            lost=self._lost,
        )
        self._lock = threading.Lock()
        self._commits = 0
        self._batches = 0

    def start(self) -> None:
        """Begin to connect, in the background."""
        self._keeper.start()

    def stop(self) -> None:
        """Close all connections."""
        self._keeper.stop()

    def trouble(self) -> Trouble | None:
        """Why all is refused at once; None when it may be tried."""
        return self._breaker.trouble()

    @property
    def facts(self) -> Facts | None:
        """What the server said of itself last; None before it said anything."""
        return self._keeper.facts

    @property
    def tally(self) -> Tally:
        """What happened here so far."""
        with self._lock:
            return Tally(self._commits, self._batches, self._keeper.restarts, self._keeper.emptied)

    async def commit(self, request: Request, deadline: float, waiting: Waiting) -> Outcome | Trouble:
        """What the script answers to a commit, by this deadline of the monotonic clock."""
        crossed = await self._cross(request, deadline, waiting)
        if isinstance(crossed, Trouble):
            return crossed
        outcome = self._codec.read(crossed.reply, request.spends)
        if outcome is None:
            return self._odd()
        doubtful = isinstance(outcome, Committed) and self._doubts(request, crossed.received)
        return self._jumped() if doubtful else outcome

    async def look(self, request: Request, deadline: float, waiting: Waiting) -> tuple[Left, ...] | Trouble:
        """What the script answers to a look, by this deadline of the monotonic clock."""
        seen = await self.foresee(request, deadline, waiting)
        return seen if isinstance(seen, (tuple, Trouble)) else self._odd()

    async def foresee(
        self, request: Request, deadline: float, waiting: Waiting
    ) -> tuple[Left, ...] | Outcome | Trouble:
        """What it would answer to a step, by this deadline; an Outcome where it answered the attempt before."""
        crossed = await self._cross(request, deadline, waiting)
        if isinstance(crossed, Trouble):
            return crossed
        left = self._codec.read_look(crossed.reply, request.spends)
        if left is None:
            outcome = self._codec.read(crossed.reply, request.spends)
            return self._odd() if outcome is None else outcome
        return self._jumped() if self._doubts(request, crossed.received) else left

    async def give_back(self, request: Request, deadline: float, waiting: Waiting) -> Trouble | None:
        """None when the script says that nothing of a step is counted any more."""
        crossed = await self._cross(request, deadline, waiting)
        if isinstance(crossed, Trouble):
            return crossed
        return None if self._codec.is_given_back(crossed.reply) else self._odd()

    async def _cross(self, request: Request, deadline: float, waiting: Waiting) -> Crossed | Trouble:
        """Send a request and wait for its reply, within the deadline."""
        trouble = self._breaker.trouble()
        if trouble is not None:
            return replace(trouble, sent=False)
        found = await self._carry(request, deadline, waiting)
        # Every connection may have been cut while it was idle, and the next is new.
        for _ in range(self._connections if request.repeatable else 0):
            if not isinstance(found, Trouble) or found.kind != "connection" or self._clock.monotonic() >= deadline:
                break
            found = await self._carry(request, deadline, waiting)
            if isinstance(found, Trouble):
                # Not where this one came, but the one before may have been counted, and gone elsewhere with its slot.
                found = replace(found, sent=True)
        return found

    async def _carry(self, request: Request, deadline: float, waiting: Waiting) -> Crossed | Trouble:
        """Wait for a lane or a place in a batch, and for what comes back."""
        signal, answered = waiting.signal(), self._breaker.successes
        ticket: Ticket[Lane, Request, Crossed | Trouble] = Ticket(request, signal.set)
        try:
            if not self._crossings.enter(ticket):
                await signal.wait(deadline - self._clock.monotonic())
            if ticket.result is None:
                # Many may be late at once, and must not stand in the way of those who are not.
                if not self._is_late(deadline):
                    await waiting.let_others_come(many_wait=self._crossings.many_wait())
                boarded = self._crossings.board(ticket, late=self._is_late(deadline))
                if boarded is not None:
                    trip = _Trip(*boarded)
                    await waiting.travel(partial(self._depart, trip), partial(self._arrive, trip, deadline))
        except BaseException:
            # Only a task can be stopped while it waits. INVARIANT: it takes neither a lane nor a place with it.
            self._crossings.board(ticket, late=True)
            raise
        if ticket.result is not None:
            return ticket.result
        late = self._late(sent=ticket.boarded)
        # Where others were answered meanwhile, it was the queue that took too long, and the server is well.
        if self._breaker.successes == answered:
            self._failed(late)
        return late

    def _is_late(self, deadline: float) -> bool:
        """Whether too little time is left to lead a batch."""
        return deadline - self._clock.monotonic() < self._deadline * _LEAST_TO_LEAD

    def _late(self, *, sent: bool) -> Trouble:
        within = format_duration(self._deadline)
        if sent:
            return Trouble("timeout", f"the store {self._target} did not answer within {within}")
        return Trouble("timeout", f"no connection to the store {self._target} was free within {within}", sent=False)

    def _depart(self, trip: _Trip) -> None:
        """Send a batch."""
        departed = False
        try:
            trip.sent = self._clock.monotonic()
            trip.lane.send([ticket.work for ticket in trip.batch])
            departed = True
        finally:
            if not departed:
                self._keeper.lost(trip.lane)

    def _arrive(self, trip: _Trip, deadline: float) -> None:
        """Read what comes back for it."""
        returned = False
        try:
            entries = trip.lane.receive(deadline)
            received = self._clock.monotonic()
            self._observe(entries, trip.sent, received)
            self._account(entries)
            returned = self._give_back(trip.lane, entries)
        finally:
            if not returned:
                self._keeper.lost(trip.lane)
        found = [entry if isinstance(entry, Trouble) else Crossed(entry, received) for entry in entries]
        self._crossings.settle(zip(trip.batch, found, strict=True))

    def _probe(self) -> Request:
        tag = self._tag()
        attempt = None if tag is None else secrets.token_bytes(16)
        return self._codec.write((), attempt, self._clock.now(), tag or b"")

    def _lost(self, ask: Ask) -> bool:
        tag = self._tag()
        return tag is not None and self._witness.lost(ask, tag)

    def _doubts(self, request: Request, received: float) -> bool:
        self._server_clock.mind(request.spends, request.asked)
        # The wall clock is asked only where the server's is in doubt.
        ahead = self._server_clock.ahead(received)
        return ahead > 0.0 and self._server_clock.doubts(request.spends, self._clock.now(), received)

    def _jumped(self) -> Trouble:
        ahead = format_duration(round(self._server_clock.ahead(self._clock.monotonic())))
        return Trouble("clock", f"the clock of the store {self._target} jumped ahead by {ahead} and may have lost uses")

    def _odd(self) -> Trouble:
        return Trouble("other", f"the store {self._target} gave an answer that is none")

    def _observe(self, replies: Iterable[object], sent: float, received: float) -> None:
        """Take note of the server's time. INVARIANT: before anybody reads one of these replies."""
        told = told_at(replies)
        jump = None if told is None else self._server_clock.observe(told, sent, received)
        if jump:
            _LOG.error(
                "the clock of the store %s jumped ahead by %s: uses were forgotten that much early",
                self._target,
                format_duration(round(jump)),
            )

    def _account(self, entries: list[object]) -> None:
        with self._lock:
            self._commits += len(entries)
            self._batches += 1
        first = entries[0]
        if isinstance(first, Trouble) and all(map(_failed, entries)):
            self._failed(first)
        else:
            self._breaker.succeeded()

    def _give_back(self, lane: Lane, entries: list[object]) -> bool:
        """Let others have the lane, unless it is dead or leads to the wrong server."""
        if not lane.alive or not self._keeper.keeps(lane):
            return False
        if any(isinstance(each, Trouble) and each.needs_reconnect for each in entries):
            return False
        self._crossings.offer(lane)
        return True

    def _failed(self, trouble: Trouble) -> None:
        if self._breaker.failed(trouble):
            _LOG.error("%s; commits are refused until a probe comes back", trouble.detail)
            self._crossings.dismiss(trouble)
            self._keeper.notice()


def _failed(entry: object) -> bool:
    """Whether the server failed. A node that tells who holds a slot did not."""
    return isinstance(entry, Trouble) and not isinstance(entry, Redirect)

"""Checks, taken off gRPC's queue and answered by the thread that takes them.

grpcio's own server hands each call from the thread that polls to a thread of a pool, which first waits until the
polling thread has brought the message: four times the interpreter changes hands, and each time costs about as much as a
decision. Here whoever polls decides, and only what must wait for somebody else is left to other threads.

While more than one waits, several are decided before their answers go out together. Each answer brings the next call
of its caller, and taking that in takes the core from whoever decides: one by one, that costs more than the decision.

That queue is the lowest layer that gRPC has in Python, and it promises its callers nothing: `pyproject.toml` admits the
versions that were tried, and whatever is used of it stands in this module.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias

import grpc
from grpc._cython import cygrpc  # type: ignore[attr-defined]

from extauthz.model.time import Clock, seconds_until

_LOG: Final = logging.getLogger(__name__)
_NO_MESSAGE: Final = b"a call of this method has one request message"
_WAVE: Final = 16
"""Answers that go out together, at most (`make bench ARGS='--only call'`; see ADR 34)."""
_WAVE_SECONDS: Final = 0.002
"""While an answer has waited for this long, no other decision begins before it is sent."""

Leave: TypeAlias = Callable[[Callable[[], None]], None]
"""Has something run by a thread that may wait."""
Later: TypeAlias = Callable[[Callable[[bytes], None], Leave], None]
"""What brings an answer about that somebody must be waited for. Does not wait itself: what must is left to others, and
the answer handed over, once, by whatever thread has it."""


class Ticket(NamedTuple):
    """How a call came. Times are on the monotonic clock."""

    since: float
    """When it arrived."""
    until: float
    """Until when its caller waits; infinite when it has not said."""
    crowded: bool
    """Whether it was one too many."""


class Answering(NamedTuple):
    """Who answers."""

    answer: Callable[[bytes, Ticket], bytes | Later]
    """Answers a message; must not wait, and returns what brings the answer about instead."""
    leave: Leave
    failed: bytes
    """The answer when these fail."""


class Calls:
    """The calls of one method with one message each way. One that comes while `most` are inside is one too many.

    INVARIANT: all of this happens on the one thread that polls, but sending: gRPC lets any thread do that.
    """

    def __init__(self, server: grpc.Server, method: str, answering: Answering, clock: Clock, most: int) -> None:
        """Of a server that was not started yet."""
        self.answering = answering
        self.waiting: deque[_Call] = deque()
        """Those whose message is there and not looked at."""
        self._ready: deque[tuple[_Call, bytes]] = deque()
        """Those decided, and their answers."""
        self.inside = 0
        """Those that wait or are worked on."""
        self._method = method
        self._clock = clock
        self._most = most
        # What grpc's own server is built on. Health and reflection stay with that, which has another queue.
        self._server = server._state.server  # type: ignore[attr-defined]  # noqa: SLF001
        self._queue = cygrpc.CompletionQueue()
        self._server.register_method(method)
        self._server.register_completion_queue(self._queue)
        self._open = 0
        """Those of which gRPC has more to tell."""
        self._more = True
        """Whether gRPC has not said yet that there will be no more."""
        self._thread = threading.Thread(target=self._run, name="checks", daemon=True)

    def start(self) -> None:
        """Take calls, once the server is started and until it has stopped."""
        self._ask()
        self._thread.start()

    def _run(self) -> None:
        while self._more or self._open:
            # What has arrived is taken in before the next decisions, so that each knows how long it has waited.
            event = self._queue.poll(deadline=0.0 if self.waiting or self._ready else None)
            try:
                if event.completion_type == cygrpc.CompletionType.queue_timeout:
                    self.wave()
                elif event.tag is self:
                    self._take(event)
                else:
                    event.tag(event)
            except Exception as error:  # noqa: BLE001  # what is wrong with one call must not end all others
                _LOG.error("a call failed: %s", type(error).__name__)
            # Kept until the next one comes, it would keep alive a call that is over.
            del event

    def wave(self) -> None:
        """Decide some of those that wait, then send their answers."""
        end = self._clock.monotonic() + _WAVE_SECONDS
        while self.waiting and len(self._ready) < _WAVE:
            call = self.waiting.popleft()
            answer = call.decide()
            if answer is not None:
                self._ready.append((call, answer))
            if self._clock.monotonic() >= end:
                break
        while self._ready:
            call, answer = self._ready.popleft()
            call.send(answer)

    def _ask(self) -> None:
        try:
            self._server.request_registered_call(self._queue, self._queue, self._method, self)
        except ValueError:
            # It began to stop while the last one came.
            self._more = False

    def _take(self, event: Any) -> None:  # noqa: ANN401
        if not event.success:
            self._more = False
            return
        self._ask()
        since = self._clock.monotonic()
        until = since + seconds_until(event.call_details.deadline)
        ticket = Ticket(since, until, crowded=self.inside >= self._most)
        self._open += 1
        self.inside += not ticket.crowded
        _Call(self, event.call, ticket)

    def over(self) -> None:
        """Of one, gRPC has told all."""
        self._open -= 1


class _Call:
    """One call. gRPC tells when its message is there, when the answer is sent, and when its caller has gone."""

    __slots__ = ("_call", "_calls", "_data", "_due", "_gone", "_ticket")

    def __init__(self, calls: Calls, call: Any, ticket: Ticket) -> None:  # noqa: ANN401
        self._calls = calls
        self._call = call
        self._ticket = ticket
        self._data = b""
        self._gone = False
        self._due = 2
        call.start_server_batch((cygrpc.ReceiveCloseOnServerOperation(0),), self._closed)
        call.start_server_batch((cygrpc.ReceiveMessageOperation(0),), self._received)

    def decide(self) -> bytes | None:
        """Its answer, to be sent; None when others will send one, or nobody waits for one.

        One whose caller has gone is not even looked at, and so spends nothing.
        """
        if self._gone:
            self._leave()
            return None
        try:
            answer = self._calls.answering.answer(self._data, self._ticket)
            if isinstance(answer, bytes):
                return answer
            answer(self.send, self._aside)
        except Exception as error:  # noqa: BLE001  # the last line: what failed must still not be an RPC error
            return self._failed(error)
        return None

    def _aside(self, work: Callable[[], None]) -> None:
        """Leave it to a thread that may wait."""

        def guarded() -> None:
            try:
                work()
            except Exception as error:  # noqa: BLE001  # as above
                self.send(self._failed(error))

        self._calls.answering.leave(guarded)

    def _failed(self, error: Exception) -> bytes:
        _LOG.error("a Check could not be answered: %s", type(error).__name__)
        return self._calls.answering.failed

    def send(self, answer: bytes) -> None:
        """Send its answer."""
        self._end(cygrpc.StatusCode.ok, b"", cygrpc.SendMessageOperation(answer, 0))

    def _end(self, code: object, details: bytes, *message: object) -> None:
        status = cygrpc.SendStatusFromServerOperation(None, code, details, 0)
        self._call.start_server_batch((cygrpc.SendInitialMetadataOperation(None, 0), *message, status), self._sent)

    def _received(self, event: Any) -> None:  # noqa: ANN401
        data = event.batch_operations[0].message()
        if data is not None:
            self._data = data
            if not self._ticket.crowded:
                self._calls.waiting.append(self)
            elif (answer := self.decide()) is not None:
                # One too many does not wait for those before it.
                self.send(answer)
        elif self._gone:
            self._leave()
        else:
            self._end(cygrpc.StatusCode.unimplemented, _NO_MESSAGE)

    def _sent(self, _event: object) -> None:
        self._leave()

    def _closed(self, event: Any) -> None:  # noqa: ANN401
        self._gone = event.batch_operations[0].cancelled()
        self._told()

    def _leave(self) -> None:
        self._calls.inside -= not self._ticket.crowded
        self._told()

    def _told(self) -> None:
        self._due -= 1
        if not self._due:
            self._calls.over()

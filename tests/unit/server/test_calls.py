"""How calls go through the one thread that takes them; what gRPC tells of each is told by the tests.

With a real gRPC beneath, the same is tested in `test_grpcio`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from extauthz.server.calls import Answering, Calls, Later, Ticket
from tests.clock import FakeClock

FAILED = b"failed"


class Call:
    """What gRPC holds of a call: it keeps what is begun, and whom to tell when that is done."""

    def __init__(self) -> None:
        self.tell: list[Callable[[Any], None]] = []
        self.broken = False

    def start_server_batch(self, operations: tuple[Any, ...], tell: Callable[[Any], None]) -> None:
        assert operations
        if self.broken:
            raise ValueError("gRPC does not take it")
        self.tell.append(tell)

    def answered(self) -> bool:
        """Whether an answer was begun: after the waits for the caller's end and for the message."""
        return len(self.tell) > 2

    def message(self, data: bytes | None) -> None:
        """The message is there."""
        self.tell[1](SimpleNamespace(batch_operations=[SimpleNamespace(message=lambda: data)]))

    def over(self, *, cancelled: bool) -> None:
        """The caller has gone."""
        self.tell[0](SimpleNamespace(batch_operations=[SimpleNamespace(cancelled=lambda: cancelled)]))

    def sent(self) -> None:
        """The answer is out."""
        self.tell[2](None)


class Taking(Calls):
    """Takes the calls that a test hands it, and runs nothing by itself."""

    def __init__(self, most: int = 8, answer: bytes | Later = b"answer") -> None:
        self.seen: list[tuple[bytes, Ticket]] = []
        self.left: list[Callable[[], None]] = []
        self.deciding: Callable[[], None] = lambda: None
        """What happens in each decision."""
        self.clock = FakeClock()

        def answering(data: bytes, ticket: Ticket) -> bytes | Later:
            self.seen.append((data, ticket))
            self.deciding()
            return answer

        state = SimpleNamespace(server=SimpleNamespace(register_method=str, register_completion_queue=id))
        server: Any = SimpleNamespace(_state=state)
        super().__init__(server, "/a/B", Answering(answering, self.left.append, FAILED), self.clock, most)

    def _ask(self) -> None:
        pass

    def take(self, message: bytes | None = None) -> Call:
        """A call comes, with its message or without."""
        call = Call()
        self._take(SimpleNamespace(success=True, call=call, call_details=SimpleNamespace(deadline=math.inf)))
        if message is not None:
            call.message(message)
        return call


def test_a_call_is_decided_when_it_is_its_turn_and_knows_when_it_came() -> None:
    calls = Taking()
    came = calls.clock.monotonic()
    call = calls.take(b"data")
    calls.clock.advance(3.0)
    assert not calls.seen
    calls.wave()
    assert calls.seen == [(b"data", Ticket(came, math.inf, crowded=False))]
    assert call.answered()


def test_one_too_many_is_answered_before_those_that_wait() -> None:
    calls = Taking(most=1)
    first, second = calls.take(b"first"), calls.take(b"second")
    assert [(data, ticket.crowded) for data, ticket in calls.seen] == [(b"second", True)]
    assert (first.answered(), second.answered()) == (False, True)


def test_a_call_whose_caller_has_gone_is_not_decided() -> None:
    calls = Taking()
    call = calls.take(b"data")
    call.over(cancelled=True)
    calls.wave()
    assert not calls.seen
    assert not call.answered()
    assert (calls.inside, calls._open) == (0, 0)


def test_a_caller_that_has_said_all_has_not_gone() -> None:
    calls = Taking()
    call = calls.take(b"data")
    call.over(cancelled=False)
    calls.wave()
    assert call.answered()


@pytest.mark.parametrize("crowded", [False, True])
def test_a_call_is_inside_until_its_answer_is_sent_and_open_until_its_caller_has_gone(*, crowded: bool) -> None:
    calls = Taking(most=int(not crowded))
    call = calls.take(b"data")
    if not crowded:
        assert calls.inside == 1
        calls.wave()
        assert calls.inside == 1
    call.sent()
    assert (calls.inside, calls._open) == (0, 1)
    call.over(cancelled=False)
    assert calls._open == 0


def test_a_call_that_goes_before_its_message_is_there_leaves_nothing_behind() -> None:
    calls = Taking()
    call = calls.take()
    call.over(cancelled=True)
    call.message(None)
    assert not call.answered()
    assert (calls.inside, calls._open) == (0, 0)


def test_what_must_wait_is_left_to_others_and_is_inside_until_it_is_sent() -> None:
    calls = Taking(most=1, answer=lambda send, leave: leave(lambda: send(b"later")))
    call = calls.take(b"data")
    calls.wave()
    assert not call.answered()
    assert (len(calls.left), calls.inside) == (1, 1)
    calls.left[0]()
    assert call.answered()
    call.sent()
    assert calls.inside == 0


def test_answers_of_those_that_wait_go_out_together() -> None:
    calls = Taking(most=40)
    waiting = [calls.take(b"data") for _ in range(40)]
    calls.deciding = lambda: went.append(sum(call.answered() for call in waiting))
    went: list[int] = []
    while calls.waiting:
        calls.wave()
    assert went == [0] * 16 + [16] * 16 + [32] * 8
    assert all(call.answered() for call in waiting)


def test_no_answer_waits_long_for_the_decisions_after_it() -> None:
    calls = Taking()
    waiting = [calls.take(b"data") for _ in range(5)]
    calls.deciding = lambda: calls.clock.advance(0.0012)
    calls.wave()
    assert [call.answered() for call in waiting] == [True, True, False, False, False]


def test_an_answer_that_cannot_be_sent_holds_up_no_other() -> None:
    calls = Taking()
    waiting = [calls.take(b"data") for _ in range(3)]
    waiting[0].broken = True
    with pytest.raises(ValueError, match="does not take it"):
        calls.wave()
    calls.wave()
    assert [call.answered() for call in waiting] == [False, True, True]


def test_an_answer_may_come_without_anybody_who_waits() -> None:
    sends: list[Callable[[bytes], None]] = []
    calls = Taking(answer=lambda send, _leave: sends.append(send))
    call = calls.take(b"data")
    calls.wave()
    assert not call.answered()
    sends[0](b"later")
    assert call.answered()
    assert not calls.left


def test_it_ends_when_grpc_has_no_more_and_the_last_call_is_over() -> None:
    calls = Taking()
    call = calls.take(b"data")
    calls._take(SimpleNamespace(success=False))
    assert (calls._more, calls._open) == (False, 1)
    calls.wave()
    call.sent()
    call.over(cancelled=False)
    calls._run()

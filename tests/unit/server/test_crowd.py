"""The pool of threads: every call that it takes is worked on."""

import threading

import pytest

from extauthz.model.time import Instant, SystemClock
from extauthz.server.crowd import Crowd


class _Closing:
    """A clock that closes the pool when it is read: the latest moment at which a shutdown can overtake a call."""

    def __init__(self) -> None:
        self.crowd: Crowd | None = None

    def now(self) -> Instant:
        return Instant(0.0)

    def monotonic(self) -> float:
        if self.crowd is not None:
            self.crowd.shutdown()
        return 0.0


def test_calls_that_wait_when_the_pool_closes_are_worked_on() -> None:
    crowd, gate = Crowd(SystemClock(), threads=1, most=4), threading.Event()
    ran: list[int] = []
    crowd.submit(gate.wait)
    for number in range(2):
        crowd.submit(ran.append, number)
    crowd.shutdown(wait=False)
    gate.set()
    crowd.shutdown()
    assert ran == [0, 1]


def test_a_call_that_a_shutdown_overtakes_is_refused_and_not_lost() -> None:
    clock = _Closing()
    crowd = Crowd(clock, threads=1, most=4)
    clock.crowd = crowd
    with pytest.raises(RuntimeError, match="shut down"):
        crowd.submit(print)

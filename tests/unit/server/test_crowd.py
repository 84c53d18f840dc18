"""The pool of threads: everything that it takes is worked on."""

import threading
from functools import partial

import pytest

from extauthz.server.crowd import Crowd


def test_what_waits_when_the_pool_closes_is_worked_on() -> None:
    crowd, gate = Crowd(threads=1), threading.Event()
    ran: list[int] = []
    crowd.submit(gate.wait)
    for number in range(2):
        crowd.submit(partial(ran.append, number))
    crowd.shutdown(wait=False)
    gate.set()
    crowd.shutdown()
    assert ran == [0, 1]


def test_what_comes_after_the_pool_was_closed_is_refused_and_not_lost() -> None:
    crowd = Crowd(threads=1)
    crowd.shutdown()
    with pytest.raises(RuntimeError, match="shut down"):
        crowd.submit(print)


def test_a_failure_costs_no_thread(caplog: pytest.LogCaptureFixture) -> None:
    crowd, ran = Crowd(threads=1), threading.Event()

    def fail() -> None:
        raise ValueError("not-to-be-told")

    crowd.submit(fail)
    crowd.submit(ran.set)
    crowd.shutdown()
    assert ran.is_set()
    assert "ValueError" in caplog.text
    assert "not-to-be-told" not in caplog.text

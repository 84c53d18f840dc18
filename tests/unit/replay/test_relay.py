"""Coroutines that wait on nobody's thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue

import pytest

from extauthz.replay.redis.relay import Relay, go_on
from extauthz.replay.redis.waiting import Signal

PATIENCE = 60.0


class Ends:
    """What coroutines came to, and on which threads."""

    def __init__(self) -> None:
        self._told: SimpleQueue[tuple[Callable[[], int], str]] = SimpleQueue()

    def tell(self, end: Callable[[], int]) -> None:
        """For `go_on`."""
        self._told.put((end, threading.current_thread().name))

    def next(self) -> int:
        """The next result; raises what the coroutine raised."""
        return self._told.get(timeout=PATIENCE)[0]()

    def where(self) -> str:
        """The thread that told the next result."""
        return self._told.get(timeout=PATIENCE)[1]

    def empty(self) -> bool:
        """Whether nothing was told since."""
        return self._told.empty()


@contextmanager
def relaying(threads: int = 2) -> Iterator[Relay]:
    """A relay with so many drivers."""
    with ThreadPoolExecutor(threads, thread_name_prefix="driver") as drivers:
        relay = Relay(drivers)
        yield relay
        relay.close()


@pytest.fixture
def relay() -> Iterator[Relay]:
    with relaying() as relay:
        yield relay


async def after(signal: Signal, result: int, seconds: float = PATIENCE) -> int:
    """Wait for the signal."""
    await signal.wait(seconds)
    return result


def test_what_waits_for_nothing_is_over_at_once_and_here() -> None:
    ends = Ends()

    async def steps() -> int:
        return 7

    go_on(steps(), ends.tell)
    assert ends.where() == threading.current_thread().name


def test_the_caller_does_not_wait_and_a_driver_goes_on(relay: Relay) -> None:
    ends, signal = Ends(), relay.signal()
    go_on(after(signal, 7), ends.tell)
    assert ends.empty()
    signal.set()
    assert ends.where().startswith("driver")


def test_a_signal_that_is_set_already_is_not_waited_for(relay: Relay) -> None:
    ends, signal = Ends(), relay.signal()
    signal.set()
    go_on(after(signal, 7), ends.tell)
    assert ends.next() == 7


def test_nobody_waits_longer_than_it_said_and_a_late_signal_does_no_harm(relay: Relay) -> None:
    ends, late, long = Ends(), relay.signal(), relay.signal()
    go_on(after(long, 1), ends.tell)
    go_on(after(late, 2, 0.01), ends.tell)
    assert ends.next() == 2
    late.set()
    late.set()
    long.set()
    assert ends.next() == 1
    assert ends.empty()


def test_many_wait_on_two_threads_and_are_woken_from_many() -> None:
    ends = Ends()
    with relaying(2) as relay, ThreadPoolExecutor(8) as threads:
        signals = [relay.signal() for _ in range(500)]
        for number, signal in enumerate(signals):
            go_on(after(signal, number), ends.tell)
            threads.submit(signal.set)
        assert sorted(ends.next() for _ in signals) == list(range(500))


def test_a_pause_ends_by_itself(relay: Relay) -> None:
    ends = Ends()

    async def steps() -> int:
        await relay.pause(0.01)
        return 7

    go_on(steps(), ends.tell)
    assert ends.next() == 7


def test_a_trip_blocks_a_driver_and_not_the_caller(relay: Relay) -> None:
    ends, gate, seen = Ends(), threading.Event(), list[str]()

    def trip() -> None:
        gate.wait(PATIENCE)
        seen.append(threading.current_thread().name)

    async def steps() -> int:
        await relay.let_others_come()
        await relay.travel(lambda: None, trip)
        return 7

    go_on(steps(), ends.tell)
    assert ends.empty()
    gate.set()
    assert ends.next() == 7
    assert seen[0].startswith("driver")


def test_ends_that_begin_the_next_pile_up_nowhere(relay: Relay) -> None:
    ends = Ends()

    async def steps() -> int:
        await relay.let_others_come()
        await relay.travel(lambda: None, lambda: None)
        return 7

    def begin(left: int) -> None:
        go_on(steps(), (lambda _end: begin(left - 1)) if left else ends.tell)

    begin(10_000)
    assert ends.next() == 7


def test_what_a_coroutine_raises_is_raised_for_who_asks(relay: Relay) -> None:
    ends, signal = Ends(), relay.signal()

    async def steps() -> int:
        await signal.wait(PATIENCE)
        raise LookupError("as it was")

    go_on(steps(), ends.tell)
    signal.set()
    with pytest.raises(LookupError, match="as it was"):
        ends.next()


def test_a_failure_in_what_follows_keeps_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    ends = Ends()

    def fail(_end: Callable[[], int]) -> None:
        raise ValueError("not-to-be-told")

    with caplog.at_level(logging.ERROR), relaying(1) as relay:
        signals = [relay.signal() for _ in range(3)]
        for signal, then in zip(signals, (ends.tell, fail, ends.tell), strict=True):
            go_on(after(signal, 7), then)
        for signal in signals:
            signal.set()
        assert (ends.next(), ends.next()) == (7, 7)
    assert "ValueError" in caplog.text
    assert "not-to-be-told" not in caplog.text


def test_when_it_closes_all_go_on() -> None:
    ends = Ends()
    with ThreadPoolExecutor(1) as drivers:
        relay = Relay(drivers)
        for number in range(3):
            go_on(after(relay.signal(), number), ends.tell)
        relay.close()
        assert sorted(ends.next() for _ in range(3)) == [0, 1, 2]
        drivers.shutdown()

        async def steps() -> int:
            await relay.let_others_come()
            await relay.travel(lambda: None, lambda: None)
            await relay.pause(PATIENCE)
            return 7

        go_on(steps(), ends.tell)
        assert ends.next() == 7


def beside_another(first: Callable[[Relay, list[str]], Awaitable[None]]) -> list[str]:
    """What is said where `first` and another are woken at once, in this order, on the only driver."""
    ends, said = Ends(), list[str]()
    with relaying(1) as relay:
        signals = [relay.signal() for _ in range(2)]

        async def one() -> int:
            await signals[0].wait(PATIENCE)
            await first(relay, said)
            return 1

        async def other() -> int:
            await signals[1].wait(PATIENCE)
            said.append("other")
            return 2

        async def wakes() -> int:
            await relay.let_others_come()
            assert threading.current_thread().name.startswith("driver")
            for signal in signals:
                signal.set()
            return 0

        for steps in (one, other, wakes):
            go_on(steps(), ends.tell)
        assert sorted(ends.next() for _ in range(3)) == [0, 1, 2]
    return said


def test_between_departure_and_arrival_others_go_on() -> None:
    async def travels(relay: Relay, said: list[str]) -> None:
        await relay.travel(lambda: said.append("departs"), lambda: said.append("arrives"))

    assert beside_another(travels) == ["departs", "other", "arrives"]


@pytest.mark.parametrize(("many_wait", "order"), [(True, ["leads", "other"]), (False, ["other", "leads"])])
def test_who_leads_waits_for_others_only_where_few_wait(many_wait: bool, order: list[str]) -> None:
    async def leads(relay: Relay, said: list[str]) -> None:
        await relay.let_others_come(many_wait=many_wait)
        said.append("leads")

    assert beside_another(leads) == order

"""One way to wait for threads, one for tasks; and coroutines that run without a loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from extauthz.replay.redis.loops import Loops, OnLoop
from extauthz.replay.redis.waiting import BLOCKING, at_once


def test_a_coroutine_that_blocks_runs_at_once_and_gives_its_result() -> None:
    done: list[str] = []

    async def steps() -> int:
        signal = BLOCKING.signal()
        threading.Thread(target=signal.set).start()
        await signal.wait(60.0)
        await signal.wait(0.0)
        await BLOCKING.let_others_come()
        await BLOCKING.pause(0.0)
        await BLOCKING.travel(lambda: done.append("departed"), lambda: done.append("arrived"))
        return 7

    assert at_once(steps()) == 7
    assert done == ["departed", "arrived"]


def test_what_a_coroutine_raises_comes_out() -> None:
    async def steps() -> None:
        raise LookupError("as it was")

    with pytest.raises(LookupError, match="as it was"):
        at_once(steps())


def test_a_coroutine_that_waits_for_a_loop_is_told_so_and_closed() -> None:
    closed: list[bool] = []

    async def steps() -> None:
        try:
            await asyncio.sleep(0)
        finally:
            closed.append(True)

    with pytest.raises(RuntimeError, match="event loop"):
        at_once(steps())
    assert closed == [True]


@pytest.fixture
def drivers() -> Iterator[ThreadPoolExecutor]:
    """The threads of a store."""
    with ThreadPoolExecutor(2) as drivers:
        yield drivers


def test_tasks_are_woken_from_many_threads(drivers: ThreadPoolExecutor) -> None:
    async def play() -> int:
        here = Loops(drivers).here()
        signals = [here.signal() for _ in range(500)]
        with ThreadPoolExecutor(8) as threads:
            for signal in signals:
                threads.submit(signal.set)
            await asyncio.gather(*(signal.wait(60.0) for signal in signals))
        return len(signals)

    assert asyncio.run(asyncio.wait_for(play(), 60)) == 500


def test_a_task_waits_no_longer_than_it_said_and_a_late_signal_does_no_harm(drivers: ThreadPoolExecutor) -> None:
    async def play() -> None:
        signal = Loops(drivers).here().signal()
        await signal.wait(0.01)
        signal.set()
        signal.set()
        await asyncio.sleep(0)
        await signal.wait(60.0)

    asyncio.run(asyncio.wait_for(play(), 60))


def test_nobody_is_hurt_by_waking_a_loop_that_is_gone(drivers: ThreadPoolExecutor) -> None:
    loop = asyncio.new_event_loop()
    signal = OnLoop(loop, drivers).signal()
    loop.close()
    signal.set()


def test_a_batch_that_boarded_as_the_store_was_closed_still_travels(drivers: ThreadPoolExecutor) -> None:
    done: list[str] = []

    async def play() -> None:
        here = Loops(drivers).here()
        drivers.shutdown()
        await here.travel(lambda: done.append("departed"), lambda: done.append("arrived"))

    asyncio.run(play())
    assert done == ["departed", "arrived"]


def test_each_loop_has_its_own_way_to_wait(drivers: ThreadPoolExecutor) -> None:
    loops = Loops(drivers)

    async def here() -> OnLoop:
        assert loops.here() is loops.here()
        return loops.here()

    assert asyncio.run(here()) is not asyncio.run(here())

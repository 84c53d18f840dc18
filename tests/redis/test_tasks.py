"""Tasks of an event loop commit by the same rules as threads, never block the loop, and take nothing with them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import threading
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from extauthz.model.time import Instant, Seconds, SystemClock
from extauthz.replay.redis import Options, RedisStore
from extauthz.replay.spend import Use
from extauthz.replay.store import Committed, Outcome, Refused, Unavailable
from tests.redis.proxy import Fault, before
from tests.redis.servers import Server, connected

pytestmark = pytest.mark.redis

CLOCK = SystemClock()
STEADY = Options(deadline=Seconds(3.0), check_every=Seconds(3600.0))
"""Nothing mends what a test breaks."""


def use(key: bytes | None = None) -> Use:
    """The only use of a token."""
    return Use(key=key or os.urandom(16), max_uses=1, until=Instant(CLOCK.now() + 300))


def admitted(outcomes: Iterable[Outcome]) -> int:
    """How many commits were counted; all others were refused."""
    found = list(outcomes)
    assert all(isinstance(each, Committed | Refused) for each in found), found
    return sum(isinstance(each, Committed) for each in found)


async def all_of(commits: Iterable[Coroutine[Any, Any, Outcome]]) -> list[Outcome]:
    """Run them side by side."""
    return await asyncio.gather(*commits)


async def begun(store: RedisStore, spend: Use | None = None) -> asyncio.Task[Outcome]:
    """A commit in a task that ran as far as it can without anybody else."""
    task = asyncio.create_task(store.commit_async((spend or use(),), None))
    await asyncio.sleep(0)
    return task


async def cancelled(task: asyncio.Task[Outcome]) -> None:
    """Cancel it, and see that it heeds."""
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def race(replicas: Sequence[RedisStore], spend: Use) -> list[Outcome]:
    """What 32 threads and 200 tasks are told that commit the same at once."""
    begin, told = threading.Barrier(33), []

    def commit(number: int) -> None:
        begin.wait()
        told.append(replicas[number % len(replicas)].commit((spend,), os.urandom(16)))

    async def tasks() -> list[Outcome]:
        begin.wait()
        return await all_of(replicas[at % len(replicas)].commit_async((spend,), os.urandom(16)) for at in range(200))

    threads = [threading.Thread(target=commit, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    told += asyncio.run(tasks())
    for thread in threads:
        thread.join()
    return told


def test_of_racing_tasks_and_threads_over_three_replicas_one_wins(server: Server) -> None:
    with ExitStack() as stack:
        replicas = [stack.enter_context(connected(server.target, CLOCK, STEADY)) for _ in range(3)]
        for _ in range(5):
            told = race(replicas, use())
            assert len(told) == 232
            assert admitted(told) == 1


def test_tasks_that_are_ready_together_travel_together(server: Server) -> None:
    with connected(server.target, CLOCK, STEADY) as store:
        before_it = store.state()
        assert admitted(asyncio.run(all_of(store.commit_async((use(),), None) for _ in range(100)))) == 100
        after = store.state()
        assert after.commits - before_it.commits == 100
        assert after.batches - before_it.batches <= 10


def test_the_loop_goes_on_while_the_server_hangs(server: Server) -> None:
    async def wait(store: RedisStore) -> tuple[list[Outcome], int]:
        turns, over = 0, asyncio.Event()

        async def turn() -> None:
            nonlocal turns
            while not over.is_set():
                turns += 1
                await asyncio.sleep(0.001)

        turning = asyncio.create_task(turn())
        outcomes = await all_of(store.commit_async((use(),), None) for _ in range(10))
        over.set()
        await turning
        return outcomes, turns

    options = replace(STEADY, deadline=Seconds(0.3))
    with (
        before(server.port) as proxy,
        connected(replace(server.target, port=proxy.port), CLOCK, options) as store,
    ):
        proxy.befall(Fault.HANG)
        outcomes, turns = asyncio.run(wait(store))
        assert all(isinstance(each, Unavailable) for each in outcomes), outcomes
        assert turns > 10
        proxy.befall(Fault.NONE)


@pytest.mark.parametrize("turns", [0, 1, 2])
def test_a_task_that_is_cancelled_before_its_batch_leaves_counts_nothing_or_all_and_leaves_its_lane(
    server: Server, turns: int
) -> None:
    async def play(store: RedisStore) -> None:
        spend = use()
        task = await begun(store, spend)
        for _ in range(turns):
            await asyncio.sleep(0)
        await cancelled(task)
        # The only lane is there for the next, and what the first had sent counts, if it had.
        assert admitted(await all_of(store.commit_async((spend,), None) for _ in range(3))) <= 1
        assert isinstance(await store.commit_async((use(),), None), Committed)

    with connected(server.target, CLOCK, replace(STEADY, connections=1)) as store:
        for _ in range(5):
            asyncio.run(play(store))


def test_a_task_that_is_cancelled_in_the_queue_counts_nothing(server: Server) -> None:
    async def play(store: RedisStore) -> None:
        first, spend = await begun(store), use()
        second = await begun(store, spend)
        await cancelled(second)
        assert isinstance(await first, Committed)
        assert isinstance(await store.commit_async((spend,), None), Committed)

    with connected(server.target, CLOCK, replace(STEADY, connections=1)) as store:
        asyncio.run(play(store))


def test_who_is_aboard_arrives_although_the_task_that_leads_is_cancelled(server: Server) -> None:
    async def play(store: RedisStore, process: subprocess.Popen[bytes]) -> None:
        sent = store.state().batches
        process.send_signal(signal.SIGSTOP)
        try:
            leader, *aboard = [asyncio.create_task(store.commit_async((use(),), None)) for _ in range(6)]
            await asyncio.sleep(0.05)
            await cancelled(leader)
        finally:
            process.send_signal(signal.SIGCONT)
        assert admitted(await asyncio.gather(*aboard)) == 5
        assert store.state().batches == sent + 1

    assert server.process is not None
    with connected(server.target, CLOCK, replace(STEADY, connections=1)) as store:
        asyncio.run(play(store, server.process))


def test_a_loop_that_is_closed_takes_no_other_with_it(server: Server) -> None:
    async def leave(store: RedisStore) -> None:
        _left = [await begun(store) for _ in range(10)]

    with connected(server.target, CLOCK, replace(STEADY, connections=1)) as store:
        for _ in range(5):
            asyncio.run(leave(store))
            assert isinstance(store.commit((use(),), None), Committed)
            assert isinstance(asyncio.run(store.commit_async((use(),), None)), Committed)

"""What a commit costs in each store, with 32 in flight, beside the least that one could ask of the same server.

The server is a process of its own on loopback. What is to be counted is made before the clock runs. A round ends when
every commit has its answer, and each must be Committed: keys of uses are new every time, rates have room for all.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from queue import SimpleQueue
from random import randbytes
from typing import Final

from bench.measure import Effort, Reading, Report, Row, Target, Variant, interleave, ratio
from extauthz.model.time import Instant, Seconds, SystemClock
from extauthz.replay.memory import MemoryStore
from extauthz.replay.redis import Options, RedisStore
from extauthz.replay.redis.connect import Lane
from extauthz.replay.redis.wire import commit_script
from extauthz.replay.spend import Bind, Rate, Room, Spend, Use
from extauthz.replay.store import AsyncStore, Committed, PatientStore, Store
from tests.redis.cluster import clustered, connected_to
from tests.redis.servers import Server, connected, running

IN_FLIGHT: Final = 32
RATE: Final = "commits/s"
P50: Final = "p50 ms"
P99: Final = "p99 ms"
SPENDS: Final = (1, 2, 5)
BATCHED: Final = 2.5
"""Times the commits of one call each that batches must carry."""
FIVE: Final = 2.0
"""Times the cost of one spend that five may have."""
_CALLS: Final = 6400
_SUBJECTS: Final = 500
_DEADLINE: Final = Seconds(5.0)
_LIFE: Final = 300.0
_INCR: Final = (
    b"local n = redis.call('INCR', KEYS[1]) if n == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end return n"
)

_EACH: Final = "one call each"
_BATCHED: Final = "batched"
_BUSY: Final = "a rate of a full log"
_BUSY_SUBJECTS: Final = 8
_HANDED: Final = "handed over"
"""As a server does with the Checks in flight: the goals are asked of this way, and of tasks."""
_TASKS: Final = "tasks"
_IN_QUOTAS: Final = "1 spend in two quotas"
_QUOTAS: Final = tuple(Room(key=name, most=10**9, label="quota") for name in (b"issuer", b"namespace"))

Call = Callable[[int], bool]
"""Makes the call of this thread; whether it was answered as it must be."""
AsyncCall = Callable[[], Awaitable[bool]]
"""Makes a call of a task."""
LaterCall = Callable[[Callable[[Callable[[], bool]], None]], None]
"""Hands a call over, and who is told of its end."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """Threads that call at once."""

    call: Call
    effort: Effort
    prepare: Callable[[int], None] = lambda _calls: None

    def run(self) -> Reading:
        """One round."""
        per_thread = self.effort.of(_CALLS // IN_FLIGHT)
        self.prepare(IN_FLIGHT * per_thread)
        took: list[list[float]] = [[] for _ in range(IN_FLIGHT)]
        wrong = [0] * IN_FLIGHT
        begin = threading.Barrier(IN_FLIGHT + 1)

        def work(number: int) -> None:
            begin.wait()
            for _ in range(per_thread):
                before = time.perf_counter()
                right = self.call(number)
                took[number].append(time.perf_counter() - before)
                wrong[number] += not right

        threads = [threading.Thread(target=work, args=(number,)) for number in range(IN_FLIGHT)]
        for thread in threads:
            thread.start()
        begin.wait()
        started = time.perf_counter()
        for thread in threads:
            thread.join()
        wall = time.perf_counter() - started
        if any(wrong):
            raise RuntimeError(f"{sum(wrong)} of {IN_FLIGHT * per_thread} calls were not answered as they must be")
        return _reading(sorted(each for one in took for each in one), wall)


@dataclass(frozen=True, slots=True)
class Tasks:
    """Tasks of one event loop that call at once."""

    call: AsyncCall
    effort: Effort
    prepare: Callable[[int], None]

    def run(self) -> Reading:
        """One round."""
        self.prepare(IN_FLIGHT * self.effort.of(_CALLS // IN_FLIGHT))
        return asyncio.run(self._run())

    async def _run(self) -> Reading:
        per_task = self.effort.of(_CALLS // IN_FLIGHT)
        took: list[float] = []

        async def work() -> int:
            wrong = 0
            for _ in range(per_task):
                before = time.perf_counter()
                wrong += not await self.call()
                took.append(time.perf_counter() - before)
            return wrong

        started = time.perf_counter()
        wrong = sum(await asyncio.gather(*(work() for _ in range(IN_FLIGHT))))
        wall = time.perf_counter() - started
        if wrong:
            raise RuntimeError(f"{wrong} of {len(took)} calls were not answered as they must be")
        return _reading(sorted(took), wall)


@dataclass(frozen=True, slots=True)
class Handed:
    """Commits that are handed over, as a server does; the end of each begins the next."""

    call: LaterCall
    effort: Effort
    prepare: Callable[[int], None]

    def run(self) -> Reading:
        """One round."""
        each = self.effort.of(_CALLS // IN_FLIGHT)
        self.prepare(IN_FLIGHT * each)
        took: list[float] = []
        ends: SimpleQueue[int] = SimpleQueue()

        def begin(left: int, wrong: int) -> None:
            before = time.perf_counter()

            def then(right: Callable[[], bool]) -> None:
                took.append(time.perf_counter() - before)
                found = wrong + (not right())
                begin(left - 1, found) if left > 1 else ends.put(found)

            self.call(then)

        started = time.perf_counter()
        for _ in range(IN_FLIGHT):
            begin(each, 0)
        wrong = sum(ends.get() for _ in range(IN_FLIGHT))
        wall = time.perf_counter() - started
        if wrong:
            raise RuntimeError(f"{wrong} of {len(took)} calls were not answered as they must be")
        return _reading(sorted(took), wall)


def _reading(took: Sequence[float], wall: float) -> Reading:
    def part(share: float) -> float:
        return took[min(len(took) - 1, int(len(took) * share))] * 1000

    return {RATE: len(took) / wall, P50: part(0.5), P99: part(0.99)}


def spends(several: int, number: int, now: Instant) -> tuple[Spend, ...]:
    """What a request spends: one use of a new token; then a rate by subject; then a tie and more rates."""
    until, subject = Instant(now + _LIFE), (number % _SUBJECTS).to_bytes(15, "big")
    token = randbytes(16)
    use = Use(key=token, max_uses=1, until=until)
    rates = [
        Rate(key=subject + bytes([at]), amount=10**6, window=Seconds(60.0), label="l") for at in range(several - 2)
    ]
    match several:
        case 1:
            return (use,)
        case 2:
            return use, Rate(key=subject + b"l", amount=10**6, window=Seconds(60.0), label="l")
        case _:
            return Bind(key=token, value=b"v" * 16, until=until), use, *rates


def busy(number: int, _now: Instant) -> tuple[Spend, ...]:
    """A rate of few subjects within a short window, so that its log soon has all the groups that one window makes."""
    return (Rate(key=b"%016d" % (number % _BUSY_SUBJECTS), amount=10**6, window=Seconds(0.3), label="l"),)


class Supply:
    """What the next requests spend, and their attempts; for many threads."""

    def __init__(self, make: Callable[[int, Instant], tuple[Spend, ...]], rooms: tuple[Room, ...] = ()) -> None:
        """`make` is told the number of the request, and the time."""
        self._make = make
        self._rooms = rooms
        self._numbers = count()
        self._made = deque[tuple[tuple[Spend, ...], bytes]]()
        self.take: Final = self._made.popleft

    def prepare(self, calls: int) -> None:
        """Make so many."""
        now = SystemClock().now()
        self._made += [((*self._make(next(self._numbers), now), *self._rooms), randbytes(16)) for _ in range(calls)]


def _threads(store: Store, supply: Supply, effort: Effort) -> Crowd:
    return Crowd(lambda _thread: isinstance(store.commit(*supply.take()), Committed), effort, supply.prepare)


def _tasks(store: AsyncStore, supply: Supply, effort: Effort) -> Tasks:
    async def call() -> bool:
        return isinstance(await store.commit_async(*supply.take()), Committed)

    return Tasks(call, effort, supply.prepare)


def _handed(store: PatientStore, supply: Supply, effort: Effort) -> Handed:
    def call(then: Callable[[Callable[[], bool]], None]) -> None:
        store.commit_later(*supply.take(), lambda outcome: then(lambda: isinstance(outcome(), Committed)))

    return Handed(call, effort, supply.prepare)


@contextmanager
def _bare(server: Server) -> Iterator[tuple[Call, Call]]:
    """`SET NX PX` and a script with INCR, one call each, over a connection for each thread of our own kind."""
    clock = SystemClock()
    lanes = [Lane(server.target, commit_script(), clock.monotonic) for _ in range(IN_FLIGHT)]
    sha = hashlib.sha1(_INCR, usedforsecurity=False).hexdigest().encode("ascii")
    life = b"%d" % (_LIFE * 1000)

    def ask(thread: int, *command: bytes) -> object:
        return lanes[thread].ask(*command, deadline=clock.monotonic() + _DEADLINE)

    ask(0, b"SCRIPT", b"LOAD", _INCR)
    try:
        yield (
            lambda thread: ask(thread, b"SET", randbytes(16), b"1", b"NX", b"PX", life) == b"OK",
            lambda thread: ask(thread, b"EVALSHA", sha, b"1", randbytes(16), life) == 1,
        )
    finally:
        for lane in lanes:
            lane.close()


def run(effort: Effort) -> Report:
    """The benchmark `store`."""
    with ExitStack() as stack:
        server = stack.enter_context(running("valkey"))
        connect = partial(_store, stack, server)
        each = connect(Options(deadline=_DEADLINE, connections=IN_FLIGHT, batch=1))
        batched = connect(Options(deadline=_DEADLINE))
        memory = MemoryStore(SystemClock(), 10_000_000)
        cluster = stack.enter_context(clustered())
        over = stack.enter_context(connected_to(cluster, SystemClock(), Options(deadline=_DEADLINE)))
        stores: dict[str, AsyncStore] = {"memory": memory, _EACH: each, _BATCHED: batched, "cluster of three": over}
        variants = [
            Variant(f"{name}, {_some(several)}", _threads(store, _supply(several), effort).run)
            for name, store in stores.items()
            for several in SPENDS
        ]
        variants += [
            Variant(f"{name}, {_TASKS}, {_some(several)}", _tasks(stores[name], _supply(several), effort).run)
            for name in (_EACH, _BATCHED)
            for several in SPENDS
        ]
        variants += [
            Variant(f"{name}, {_HANDED}, {_some(several)}", _handed(store, _supply(several), effort).run)
            for name, store in ((_EACH, each), (_BATCHED, batched))
            for several in SPENDS
        ]
        variants += [
            Variant(f"{_BATCHED}, {_HANDED}, {what}", _handed(batched, supply, effort).run)
            for what, supply in ((_IN_QUOTAS, _supply(1, _QUOTAS)), (_BUSY, Supply(busy)))
        ]
        put, increment = stack.enter_context(_bare(server))
        variants += [Variant("bare SET NX PX", Crowd(put, effort).run)]
        variants += [Variant("bare INCR script", Crowd(increment, effort).run)]
        rows = interleave(variants, effort.rounds)
    notes = (
        "client and servers share this machine; one call each has a connection for each of the 32, batches have two",
        "in flight are the calls of 32 threads, of 32 tasks of one event loop, or 32 handed over, as a server does",
        "threads are for comparison: each waits for its batch, and then for the interpreter; no Check is served so",
    )
    return Report("store", f"a commit, {IN_FLIGHT} in flight", rows, _targets(rows), notes=notes)


def _supply(several: int, rooms: tuple[Room, ...] = ()) -> Supply:
    return Supply(partial(spends, several), rooms)


def _some(several: int) -> str:
    return f"{several} spend{'s' * (several > 1)}"


def _store(stack: ExitStack, server: Server, options: Options) -> RedisStore:
    return stack.enter_context(connected(server.target, SystemClock(), options))


def _targets(rows: Sequence[Row]) -> tuple[Target, ...]:
    rates = {row.name: row.figures[RATE].values for row in rows}

    def whole(how: str, by: str, what: str) -> str:
        return f"{how}, {by}, {what}"

    batched = [
        Target(f"{over} / {under}", BATCHED, ratio(rates[over], rates[under]), at_least=True)
        for by in (_HANDED, _TASKS)
        for what in map(_some, SPENDS)
        for over, under in ((whole(_BATCHED, by, what), whole(_EACH, by, what)),)
    ]
    one = rates[whole(_BATCHED, _HANDED, _some(1))]
    five = ratio(one, rates[whole(_BATCHED, _HANDED, _some(5))])
    paid = ratio(one, rates[whole(_BATCHED, _HANDED, _IN_QUOTAS)])
    return (
        *batched,
        Target("batched: five spends cost / one", FIVE, five),
        Target("batched: a spend in two quotas costs / without", FIVE, paid),
    )

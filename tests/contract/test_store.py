"""What every store of counts promises: the embedded one, and the shared one on real servers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import Any

import pytest

from extauthz.model.reason import Reason
from extauthz.model.time import Instant, Seconds
from extauthz.replay.memory import MemoryStore
from extauthz.replay.redis import SharedStore
from extauthz.replay.spend import Bind, Grace, Mark, Rate, Room, Spend, Unmarked, Use
from extauthz.replay.store import (
    AsyncStore,
    Committed,
    Left,
    Outcome,
    PatientStore,
    Refused,
    Store,
    Unavailable,
    foreseen,
)
from tests.building import NOW
from tests.clock import FakeClock
from tests.redis.cluster import Cluster, ClusterClock, clustered, connected_to
from tests.redis.servers import Server, ServerClock, connected, running

UNTIL = Instant(NOW + 300)


@dataclass(frozen=True)
class Place:
    """A store under test, empty, and the clock that it goes by."""

    store: Store
    clock: FakeClock


class StandingClock(FakeClock):
    """The test's clock beside a server whose clock runs by itself."""

    def advance(self, seconds: float) -> None:
        raise AssertionError("this server's clock cannot be turned: mark the test with `turns_time`")


@pytest.fixture(scope="module")
def valkey() -> Iterator[Server]:
    with running("valkey", turned=True) as server:
        yield server


@pytest.fixture(scope="module")
def redis() -> Iterator[Server]:
    with running("redis") as server:
        yield server


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with clustered(turned=True) as cluster:
        yield cluster


def places(*kinds: str) -> tuple[Any, ...]:
    """Parameters for the fixture `place`."""
    return tuple(pytest.param(kind, marks=() if "memory" in kind else pytest.mark.redis, id=kind) for kind in kinds)


OTHER_WAYS = ("tasks: memory", "tasks: valkey", "tasks: cluster", "later: valkey", "later: cluster")
turns_time = pytest.mark.parametrize("place", places("memory", "valkey", "cluster", *OTHER_WAYS), indirect=True)


class Tasks:
    """A store that is asked by the tasks of an event loop, each for a thread that waits for it."""

    def __init__(self, store: AsyncStore, loop: asyncio.AbstractEventLoop) -> None:
        self._store = store
        self._loop = loop

    def commit(self, spends: tuple[Spend, ...], attempt: bytes | None) -> Outcome:
        """Commit in a task."""
        return asyncio.run_coroutine_threadsafe(self._store.commit_async(spends, attempt), self._loop).result()

    def ready(self) -> bool:
        """Whether it can be asked."""
        return self._store.ready()

    def look(self, spends: tuple[Spend, ...]) -> tuple[Left, ...] | Unavailable:
        """Look from a thread."""
        return self._store.look(spends)


class LaterOn:
    """A store that is asked by a caller who is told later, each for a thread that waits for it."""

    def __init__(self, store: PatientStore) -> None:
        self._store = store

    def commit(self, spends: tuple[Spend, ...], attempt: bytes | None) -> Outcome:
        """Commit, and wait to be told."""
        told: SimpleQueue[Callable[[], Outcome]] = SimpleQueue()
        self._store.commit_later(spends, attempt, told.put)
        return told.get()()

    def ready(self) -> bool:
        """Whether it can be asked."""
        return self._store.ready()

    def look(self, spends: tuple[Spend, ...]) -> tuple[Left, ...] | Unavailable:
        """Look from a thread."""
        return self._store.look(spends)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture(params=places("memory", "valkey", "redis", "cluster", *OTHER_WAYS))
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A store under test."""
    way, _, kind = request.param.rpartition(": ")
    with closing(_places(request, kind)) as found:
        store, clock = next(found)
        match way:
            case "tasks":
                yield Place(Tasks(store, request.getfixturevalue("loop")), clock)
            case "later":
                assert not isinstance(store, MemoryStore)
                yield Place(LaterOn(store), clock)
            case _:
                yield Place(store, clock)


def _places(request: pytest.FixtureRequest, kind: str) -> Generator[tuple[MemoryStore | SharedStore, FakeClock]]:
    if kind == "memory":
        clock = FakeClock(NOW)
        yield MemoryStore(clock, capacity=1000), clock
        return
    if kind == "cluster":
        ours: Cluster = request.getfixturevalue("cluster")
        ours.flush()
        turned = ClusterClock(ours, NOW)
        with connected_to(ours, turned) as store:
            yield store, turned
        return
    server: Server = request.getfixturevalue(kind)
    server.client().flushall()
    clock = StandingClock(NOW) if server.clock_file is None else ServerClock(server, NOW)
    with connected(server.target, clock) as store:
        yield store, clock


@pytest.fixture
def store(place: Place) -> Store:
    return place.store


@pytest.fixture
def clock(place: Place) -> FakeClock:
    return place.clock


def use(key: bytes = b"k", most: int = 1, until: float = UNTIL, grace: Grace | None = None) -> Use:
    """A use of a token."""
    return Use(key=key, max_uses=most, until=Instant(until), grace=grace)


def rate(key: bytes = b"r", amount: int = 5, window: float = 60.0) -> Rate:
    """A request within a rate."""
    return Rate(key=key, amount=amount, window=Seconds(window), label="l")


def bind(value: bytes, key: bytes = b"b") -> Bind:
    """A tie to a caller."""
    return Bind(key=key, value=value, until=UNTIL)


def is_committed(outcome: Outcome) -> bool:
    """Whether all was counted."""
    return isinstance(outcome, Committed)


def test_F01_a_second_use_is_refused_and_waiting_does_not_help(store: Store) -> None:
    assert is_committed(store.commit((use(),), None))
    second = store.commit((use(),), None)
    assert isinstance(second, Refused)
    assert second.spend.reason is Reason.TOKEN_REUSED
    assert second.retry_after is None


def test_n_uses_are_n_and_what_is_left_is_told(store: Store) -> None:
    left = [store.commit((use(most=3),), None) for _ in range(3)]
    assert left == [Committed(2), Committed(1), Committed(0)]
    assert not is_committed(store.commit((use(most=3),), None))


def test_F02_of_racing_uses_exactly_one_wins(store: Store) -> None:
    barrier, wins = threading.Barrier(32), []

    def run() -> None:
        barrier.wait()
        if is_committed(store.commit((use(), rate(amount=100)), None)):
            wins.append(1)

    threads = [threading.Thread(target=run) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(wins) == 1


@turns_time
def test_F04_F05_F06_a_rate_is_exact_in_every_interval_and_refusals_do_not_prolong_it(
    store: Store, clock: FakeClock
) -> None:
    assert all(is_committed(store.commit((rate(),), None)) for _ in range(5))
    for _ in range(59):
        outcome = store.commit((rate(),), None)
        assert isinstance(outcome, Refused)
        assert outcome.retry_after is not None
        assert 0 < outcome.retry_after <= 60
        clock.advance(1)
    clock.advance(2)
    assert is_committed(store.commit((rate(),), None))


def test_F07_all_or_nothing(store: Store, clock: FakeClock) -> None:
    assert is_committed(store.commit((rate(amount=1),), None))
    assert not is_committed(store.commit((use(), rate(amount=1)), None))
    assert is_committed(store.commit((use(),), None))


@turns_time
def test_F11_a_use_is_remembered_until_its_time_and_refused_past_it(store: Store, clock: FakeClock) -> None:
    store.commit((use(),), None)
    clock.advance(299)
    assert not is_committed(store.commit((use(),), None))
    clock.advance(1)
    assert isinstance(store.commit((use(),), None), Unavailable)


def test_F13_a_repeated_attempt_is_answered_the_same_and_counted_once(store: Store) -> None:
    first = store.commit((use(most=2),), b"attempt")
    assert store.commit((use(most=2),), b"attempt") == first
    assert store.commit((use(most=2),), b"other") == Committed(0)


def test_an_attempt_with_other_spends_is_no_repetition(store: Store) -> None:
    assert is_committed(store.commit((use(b"one"),), b"attempt"))
    assert is_committed(store.commit((use(b"two"),), b"attempt"))
    assert not is_committed(store.commit((use(b"one"),), b"third"))


def test_racing_repetitions_are_counted_once(store: Store) -> None:
    barrier, seen = threading.Barrier(16), []

    def run() -> None:
        barrier.wait()
        seen.append(store.commit((use(most=5),), b"attempt"))

    threads = [threading.Thread(target=run) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [Committed(4)] * 16


def test_the_first_use_binds_and_another_value_is_refused(store: Store) -> None:
    assert is_committed(store.commit((bind(b"alice"), use(most=9)), None))
    assert is_committed(store.commit((bind(b"alice"), use(most=9)), None))
    stolen = store.commit((bind(b"thief"), use(most=9)), None)
    assert isinstance(stolen, Refused)
    assert stolen.spend.reason is Reason.TOKEN_BOUND_ELSEWHERE
    assert store.commit((bind(b"alice"), use(most=9)), None) == Committed(6)


@turns_time
def test_a_grace_repeats_the_same_request_for_its_time_only(store: Store, clock: FakeClock) -> None:
    same, other = Grace(b"same", Seconds(3)), Grace(b"other", Seconds(3))
    assert is_committed(store.commit((use(grace=same),), None))
    clock.advance(2)
    assert is_committed(store.commit((use(grace=same),), None))
    assert not is_committed(store.commit((use(grace=other),), None))
    assert not is_committed(store.commit((use(),), None))
    clock.advance(2)
    assert not is_committed(store.commit((use(grace=same),), None))


@turns_time
def test_a_grace_for_once_is_used_up_by_the_first_repeat(store: Store, clock: FakeClock) -> None:
    once = Grace(b"same", Seconds(10), once=True)
    assert store.commit((use(grace=once),), None) == Committed(0)
    clock.advance(9)
    assert seen(store, use(grace=once)) == [(0, 0, "possible")]
    assert store.commit((use(grace=once),), b"attempt") == Committed(0)
    assert store.commit((use(grace=once),), b"attempt") == Committed(0)
    assert isinstance(store.commit((use(grace=once),), None), Refused)
    assert isinstance(store.commit((use(grace=replace(once, once=False)),), None), Refused)


@turns_time
def test_a_grace_for_once_ends_with_its_time(store: Store, clock: FakeClock) -> None:
    once = Grace(b"same", Seconds(10), once=True)
    store.commit((use(grace=once),), None)
    clock.advance(11)
    assert isinstance(store.commit((use(grace=once),), None), Refused)


def test_each_use_has_a_grace_for_once_of_its_own(store: Store) -> None:
    once = Grace(b"same", Seconds(10), once=True)
    left = [store.commit((use(most=2, grace=once),), None) for _ in range(5)]
    assert left[:4] == [Committed(1), Committed(1), Committed(0), Committed(0)]
    assert isinstance(left[4], Refused)


def test_of_racing_repeats_one_takes_the_grace_for_once(store: Store) -> None:
    once = Grace(b"same", Seconds(10), once=True)
    barrier, wins = threading.Barrier(16), []

    def run() -> None:
        barrier.wait()
        if is_committed(store.commit((use(grace=once),), None)):
            wins.append(1)

    threads = [threading.Thread(target=run) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(wins) == 2


@turns_time
def test_a_grace_lasts_no_longer_for_an_earlier_one_of_another_request(store: Store, clock: FakeClock) -> None:
    longer, shorter = use(most=5, grace=Grace(b"longer", Seconds(5))), use(most=5, grace=Grace(b"shorter", Seconds(1)))
    assert store.commit((longer,), None) == Committed(4)
    assert store.commit((shorter,), None) == Committed(3)
    clock.advance(2)
    assert store.commit((shorter,), None) == Committed(2)


def test_F19_an_edited_limit_keeps_its_count(store: Store) -> None:
    for _ in range(3):
        store.commit((rate(amount=5), use(most=5)), None)
    assert not is_committed(store.commit((rate(amount=3),), None))
    assert not is_committed(store.commit((use(most=3),), None))
    assert is_committed(store.commit((rate(amount=4), use(most=4)), None))
    assert not is_committed(store.commit((rate(amount=4, window=3600),), None))


def test_F10_a_full_store_refuses_new_keys_and_forgets_none() -> None:
    clock = FakeClock(NOW)
    store = MemoryStore(clock, capacity=10)
    assert all(is_committed(store.commit((use(bytes([n])),), None)) for n in range(10))
    assert isinstance(store.commit((use(b"new"),), None), Unavailable)
    assert all(not is_committed(store.commit((use(bytes([n])),), None)) for n in range(10))
    assert len(store) == 10
    clock.advance(301)
    assert is_committed(store.commit((use(b"new", until=clock.now() + 10),), None))


@turns_time
def test_a_later_use_with_an_earlier_end_shortens_no_memory(store: Store, clock: FakeClock) -> None:
    assert is_committed(store.commit((use(most=2), bind(b"alice")), None))
    soon = Instant(clock.now() + 10)
    short = (use(most=2, until=soon), Bind(key=b"b", value=b"alice", until=soon))
    assert is_committed(store.commit(short, None))
    clock.advance(100)
    assert not is_committed(store.commit((use(most=2),), None))
    assert not is_committed(store.commit((bind(b"eve"),), None))


@turns_time
def test_a_longer_window_is_remembered_though_a_shorter_one_asks_in_between(store: Store, clock: FakeClock) -> None:
    assert is_committed(store.commit((rate(amount=1, window=600),), None))
    clock.advance(100)
    assert is_committed(store.commit((rate(amount=1, window=60),), None))
    clock.advance(100)
    assert not is_committed(store.commit((rate(amount=1, window=600),), None))


def test_F12_a_wall_clock_that_is_set_back_forgets_nothing(store: Store, clock: FakeClock) -> None:
    store.commit((use(),), None)
    clock.set_wall(NOW - 600)
    assert not is_committed(store.commit((use(),), None))


def seen(store: Store, *spends: Spend) -> list[tuple[int | None, int | None, Seconds | None | str]]:
    """What a look tells of each spend: before, after, and how a refusal says to wait."""
    looked = store.look(spends)
    assert isinstance(looked, tuple)
    return [(left.before, left.after, _no(left)) for left in looked]


def _no(left: Left) -> Seconds | None | str:
    match left.no:
        case None:
            return "possible"
        case Refused(retry_after=wait):
            # A server whose clock stands still for us still adds what passes within a turn of its event loop.
            return None if wait is None else Seconds(round(wait))
        case Unavailable(detail=detail):
            return detail


def test_a_look_tells_what_is_left_before_and_after(store: Store) -> None:
    fresh = seen(store, bind(b"alice"), use(most=3), rate())
    assert fresh == [(None, None, "possible"), (3, 2, "possible"), (5, 4, "possible")]
    store.commit((bind(b"alice"), use(most=3), rate()), None)
    assert seen(store, use(most=3), rate()) == [(2, 1, "possible"), (4, 3, "possible")]


@turns_time
def test_a_look_at_what_is_spent_tells_it_of_each_spend_and_how_long_to_wait(store: Store, clock: FakeClock) -> None:
    assert is_committed(store.commit((bind(b"alice"), use(), rate(amount=1)), None))
    clock.advance(20)
    assert seen(store, bind(b"eve"), use(), rate(amount=1)) == [(None, None, None), (0, 0, None), (0, 0, Seconds(40.0))]
    assert seen(store, bind(b"alice")) == [(None, None, "possible")]


def test_a_look_at_a_repeat_within_its_grace_finds_it_possible_and_costing_nothing(store: Store) -> None:
    same = Grace(b"same", Seconds(3))
    store.commit((use(grace=same),), None)
    assert seen(store, use(grace=same)) == [(0, 0, "possible")]


@turns_time
def test_a_look_past_the_time_of_a_use_cannot_tell(store: Store, clock: FakeClock) -> None:
    clock.advance(300)
    assert isinstance(foreseen(store.look((use(),))), Unavailable)


def test_looking_uses_up_nothing_however_often(store: Store) -> None:
    for _ in range(20):
        store.look((bind(b"eve"), use(), rate(amount=1)))
    assert is_committed(store.commit((bind(b"alice"), use(), rate(amount=1)), None))


def mark(key: bytes = b"m", until: float = UNTIL) -> Mark:
    """A mark."""
    return Mark(key=key, until=Instant(until))


def unmarked(key: bytes = b"m", until: float = UNTIL) -> Unmarked:
    """A question for a mark."""
    return Unmarked(key=key, until=Instant(until))


def test_F16_what_asks_for_a_mark_is_refused_from_the_mark_on(store: Store) -> None:
    for left in (4, 3, 2):
        assert store.commit((unmarked(), use(most=5)), None) == Committed(left)
    for _ in range(3):
        assert store.commit((mark(),), None) == Committed(None)
        refused = store.commit((unmarked(), use(most=5)), None)
        assert isinstance(refused, Refused)
        assert (refused.spend, refused.spend.reason) == (unmarked(), Reason.TOKEN_REVOKED)
        assert refused.retry_after is None
    assert seen(store, use(most=5)) == [(2, 1, "possible")]
    assert is_committed(store.commit((unmarked(b"other"), use(b"k2")), None))


def test_F16_a_mark_is_told_before_what_is_spent_beside_it(store: Store) -> None:
    assert is_committed(store.commit((unmarked(), bind(b"alice"), use()), None))
    assert is_committed(store.commit((mark(),), None))
    refused = store.commit((unmarked(), bind(b"eve"), use()), None)
    assert isinstance(refused, Refused)
    assert refused.spend == unmarked()


def test_F16_a_look_sees_a_mark_and_makes_none(store: Store) -> None:
    for _ in range(3):
        assert seen(store, unmarked(), mark()) == [(None, None, "possible")] * 2
    assert is_committed(store.commit((mark(),), None))
    assert seen(store, unmarked(), mark()) == [(None, None, None), (None, None, "possible")]


@turns_time
def test_F16_a_mark_lasts_for_its_time_and_an_earlier_end_does_not_shorten_it(store: Store, clock: FakeClock) -> None:
    assert is_committed(store.commit((mark(),), None))
    assert is_committed(store.commit((mark(until=NOW + 10),), None))
    clock.advance(299)
    assert isinstance(store.commit((unmarked(until=NOW + 900),), None), Refused)
    clock.advance(10)
    assert is_committed(store.commit((unmarked(until=NOW + 900),), None))
    assert isinstance(store.commit((mark(until=NOW + 300),), None), Unavailable)


def test_F16_what_was_committed_before_the_mark_is_answered_the_same_again(store: Store) -> None:
    first = store.commit((unmarked(), use()), b"attempt")
    assert first == Committed(0)
    assert is_committed(store.commit((mark(),), None))
    assert store.commit((unmarked(), use()), b"attempt") == first
    assert isinstance(store.commit((unmarked(), use()), b"another"), Refused)


def test_F16_a_mark_takes_room_and_what_asks_for_it_takes_none(store: Store) -> None:
    assert is_committed(store.commit((unmarked(), use(most=9), room(1)), None))
    assert is_committed(store.commit((unmarked(b"another"), use(most=9), room(1)), None))
    full = store.commit((mark(), room(1)), None)
    assert isinstance(full, Refused)
    assert full.spend == room(1)
    assert is_committed(store.commit((unmarked(), use(most=9), room(1)), None))
    assert is_committed(store.commit((mark(), room(2)), None))
    assert is_committed(store.commit((mark(), room(2)), None))


def test_F16_of_racing_commits_none_is_admitted_once_the_mark_is_made(store: Store) -> None:
    begun, admitted = threading.Event(), list[bool]()

    def run(number: int) -> None:
        for each in range(20):
            after = begun.is_set()
            key = bytes([number, each])
            admitted.append(is_committed(store.commit((unmarked(), use(key)), None)) and after)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    assert is_committed(store.commit((mark(),), None))
    begun.set()
    for thread in threads:
        thread.join()
    assert not any(admitted)


def room(most: int, key: bytes = b"account") -> Room:
    """Room for the keys of the counts before it."""
    return Room(key=key, most=most, label="quota")


def test_what_needs_more_room_than_there_is_counts_nothing_and_other_accounts_are_untouched(store: Store) -> None:
    assert is_committed(store.commit((bind(b"alice"), use(), room(3)), None))
    refused = store.commit((use(b"new"), rate(), room(3)), None)
    assert isinstance(refused, Refused)
    assert refused.spend == room(3)
    assert refused.spend.reason is Reason.STORE_QUOTA
    assert refused.retry_after is not None
    assert 0 < refused.retry_after <= 400
    assert seen(store, use(b"new"), rate()) == [(1, 0, "possible"), (5, 4, "possible")]
    assert seen(store, rate(), room(3)) == [(5, 4, "possible"), (1, 0, "possible")]
    assert is_committed(store.commit((use(b"new"), rate(), room(3, b"other")), None))


def test_keys_that_are_known_are_counted_in_a_full_account_and_cost_nothing(store: Store) -> None:
    spends = (use(most=3), rate(), room(2))
    for _ in range(3):
        assert is_committed(store.commit(spends, None))
    spent = store.commit(spends, None)
    assert isinstance(spent, Refused)
    assert spent.spend == spends[0]
    assert seen(store, rate(), room(2)) == [(2, 1, "possible"), (0, 0, "possible")]


def test_a_key_that_another_account_pays_for_needs_room_where_it_is_counted_next(store: Store) -> None:
    """Or one account could make keys for ever, and another keep all of them."""
    brief, longer = rate(window=60), rate(window=600)
    assert is_committed(store.commit((brief, room(9, b"one")), None))
    assert is_committed(store.commit((use(), room(1, b"two")), None))
    full = store.commit((longer, room(1, b"two")), None)
    assert isinstance(full, Refused)
    assert full.spend == room(1, b"two")
    assert seen(store, use(b"new"), room(2, b"two")) == [(1, 0, "possible"), (2 - 1, 0, "possible")]
    for _ in range(3):
        assert is_committed(store.commit((longer, room(2, b"two")), None))
    assert isinstance(store.commit((use(b"new"), room(2, b"two")), None), Refused)


def test_a_repeated_attempt_takes_its_room_once(store: Store) -> None:
    for _ in range(3):
        assert is_committed(store.commit((use(), room(1)), b"attempt"))
    assert seen(store, use(), room(2)) == [(0, 0, None), (1, 1, "possible")]


def test_a_request_that_something_else_refuses_keeps_no_room(store: Store) -> None:
    assert is_committed(store.commit((rate(amount=1),), None))
    refused = store.commit((use(), rate(amount=1), room(9)), None)
    assert isinstance(refused, Refused)
    assert refused.spend == rate(amount=1)
    assert seen(store, use(b"new"), room(9)) == [(1, 0, "possible"), (9, 8, "possible")]


@turns_time
def test_room_is_there_again_once_the_keys_have_ended(store: Store, clock: FakeClock) -> None:
    assert is_committed(store.commit((use(), room(1)), None))
    refused = store.commit((use(b"new", until=NOW + 900), room(1)), None)
    assert isinstance(refused, Refused)
    assert refused.retry_after is not None
    clock.advance(299)
    assert isinstance(store.commit((use(b"new", until=NOW + 900), room(1)), None), Refused)
    clock.advance(refused.retry_after - 298)
    assert is_committed(store.commit((use(b"new", until=NOW + 900), room(1)), None))


def test_a_look_into_a_full_store_cannot_tell_of_new_keys_but_of_those_it_knows() -> None:
    store = MemoryStore(FakeClock(NOW), capacity=1)
    store.commit((use(most=2),), None)
    assert isinstance(store.look((use(b"new"),)), Unavailable)
    assert seen(store, use(most=2)) == [(1, 0, "possible")]

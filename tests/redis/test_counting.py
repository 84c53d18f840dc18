"""What is counted, against simple models: races over clients, histories, clocks that jump, room that is taken."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from extauthz.model.time import Instant, Seconds, SystemClock
from extauthz.replay.redis import RedisStore
from extauthz.replay.spend import Bind, Grace, Rate, Spend, Use
from extauthz.replay.store import Committed, Outcome, Refused, Unavailable, foreseen
from tests.building import NOW
from tests.laws.test_store_laws import Model
from tests.redis.servers import PATIENT, Server, ServerClock, connected, running

CLOCK = SystemClock()

# Sixty-fourths of a second lie far above what a server adds to the time within a turn of its event loop.
_TICKS = st.integers(0, 64 * 40).map(lambda n: n / 64)


def use(key: bytes = b"k" * 16, most: int = 1, now: float | None = None, life: float = 300.0) -> Use:
    """A use of a token."""
    return Use(key=key, max_uses=most, until=Instant((CLOCK.now() if now is None else now) + life))


def rate(key: bytes = b"r" * 16, amount: int = 3, window: float = 60.0) -> Rate:
    """A request within a rate."""
    return Rate(key=key, amount=amount, window=Seconds(window), label="l")


def race(threads: int, run: Callable[[int], Outcome]) -> list[Outcome]:
    """Run it in so many threads at once."""
    barrier, outcomes = threading.Barrier(threads), list[Outcome]()

    def racer(number: int) -> None:
        barrier.wait()
        outcomes.append(run(number))

    racers = [threading.Thread(target=racer, args=(number,)) for number in range(threads)]
    for each in racers:
        each.start()
    for each in racers:
        each.join()
    return outcomes


@pytest.fixture
def replicas(server: Server) -> Iterator[list[RedisStore]]:
    """Three stores over one server, as three replicas are."""
    with ExitStack() as stack:
        yield [stack.enter_context(connected(server.target, CLOCK)) for _ in range(3)]


def test_F02_of_two_hundred_racing_commits_of_one_token_over_three_clients_exactly_one_wins(
    replicas: list[RedisStore],
) -> None:
    def run(number: int) -> Outcome:
        return replicas[number % 3].commit((token, rate(token.key, 150)), b"%d" % number)

    for _ in range(5):
        token = use(os.urandom(16))
        outcomes = race(200, run)
        assert sum(isinstance(each, Committed) for each in outcomes) == 1
        assert sum(isinstance(each, Refused) for each in outcomes) == 199


def test_of_racing_commits_as_many_win_as_the_scarcest_count_allows(replicas: list[RedisStore]) -> None:
    for uses, amount in ((7, 90), (90, 7), (7, 7)):
        key = os.urandom(16)
        tie = Bind(key=key, value=b"v", until=Instant(CLOCK.now() + 300))
        outcomes = race(60, lambda n: replicas[n % 3].commit((tie, use(key, uses), rate(key, amount)), None))  # noqa: B023
        assert sorted(each.remaining or 0 for each in outcomes if isinstance(each, Committed)) == list(range(7))


def test_racing_repetitions_over_three_clients_are_one(replicas: list[RedisStore]) -> None:
    outcomes = race(60, lambda n: replicas[n % 3].commit((use(most=50),), b"attempt"))
    assert outcomes == [Committed(49)] * 60


def test_commits_that_wait_together_share_round_trips(server: Server) -> None:
    with connected(server.target, CLOCK) as store:
        race(100, lambda n: store.commit((use(os.urandom(16)),), None))
        state = store.state()
        assert state.commits == 100
        assert state.batches < 100


@pytest.fixture(scope="module")
def turned() -> Iterator[Server]:
    """A server whose clock the test turns."""
    with running("valkey", turned=True) as server:
        yield server


@pytest.fixture
def clock(turned: Server) -> ServerClock:
    with turned.client() as client:
        client.flushall()
    return ServerClock(turned, NOW)


@pytest.fixture
def store(turned: Server, clock: ServerClock) -> Iterator[RedisStore]:
    with connected(turned.target, clock, PATIENT) as store:
        yield store


class LooseModel(Model):
    """Leaves the server its microseconds at the border of a group."""

    def may_refuse(self, spend: Spend, now: float) -> bool:
        if isinstance(spend, Rate):
            return self.rate_count(spend, now, 61 / 60 + 0.001) >= spend.amount
        return self.must_refuse(spend, now)


def spends_named(name: bytes) -> st.SearchStrategy[Spend]:
    """Spends whose keys are of one history alone."""
    far = Instant(NOW + 1e9)
    keys = st.sampled_from([name + b"1", name + b"2"])
    return st.one_of(
        st.builds(lambda k, v: Bind(key=b"b" + k, value=v, until=far), keys, st.binary(max_size=1)),
        st.builds(lambda k, n: Use(key=b"u" + k, max_uses=n, until=far), keys, st.integers(1, 6)),
        st.builds(lambda k, n: rate(b"r" + k, n), keys, st.integers(1, 6)),
    )


@pytest.mark.redis
@given(st.data())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_every_history_is_answered_as_an_exact_store_would_and_as_a_look_foresaw(
    store: RedisStore, clock: ServerClock, data: st.DataObject
) -> None:
    model = LooseModel()
    each = st.lists(spends_named(os.urandom(8)), max_size=4, unique_by=lambda spend: spend.key)
    for gap, spends in data.draw(st.lists(st.tuples(_TICKS, each), max_size=25)):
        clock.advance(gap)
        now = clock.now()
        foreknown = foreseen(store.look(tuple(spends)))
        outcome = store.commit(tuple(spends), None)
        assert type(foreknown) is type(outcome)
        match outcome:
            case Committed(remaining=remaining):
                assert foreknown == outcome
                assert not any(model.must_refuse(spend, now) for spend in spends)
                for spend in spends:
                    model.apply(spend, now)
                assert (remaining is None) == all(isinstance(spend, Bind) for spend in spends)
            case Refused(spend=refused, retry_after=wait):
                assert model.may_refuse(refused, now)
                before = spends[: spends.index(refused)]
                assert not any(model.must_refuse(spend, now) for spend in before)
                assert (wait is not None and 0 < wait <= 60) == isinstance(refused, Rate)
            case Unavailable(detail=detail):
                raise AssertionError(detail)


@pytest.mark.redis
@given(st.lists(st.tuples(_TICKS, st.booleans()), max_size=40), st.integers(1, 5), st.integers(1, 20))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_windows_of_two_lengths_over_one_count_are_each_exact(
    store: RedisStore, clock: ServerClock, history: list[tuple[float, bool]], few: int, many: int
) -> None:
    key = os.urandom(16)
    rates = (rate(key, few, 60.0), rate(key, many, 600.0))
    admitted: tuple[list[float], list[float]] = ([], [])
    for gap, which in history:
        clock.advance(gap)
        now, asked = clock.now(), rates[which]
        if isinstance(store.commit((asked,), None), Committed):
            admitted[which].append(now)
            assert sum(t + asked.window > now for t in admitted[which]) <= asked.amount
        else:
            assert sum(t + asked.window + 10.1 > now for each in admitted for t in each) >= asked.amount


@pytest.mark.redis
def test_a_server_clock_that_jumps_ahead_admits_no_token_whose_use_may_be_forgotten(
    store: RedisStore, clock: ServerClock
) -> None:
    short, long = use(b"s" * 16, now=NOW, life=100), use(b"l" * 16, now=NOW, life=1000)
    for token in (short, long):
        assert isinstance(store.commit((token,), None), Committed)
    clock.turn_server(120.0)
    outcome = store.commit((short,), None)
    assert isinstance(outcome, Unavailable)
    assert "jumped ahead by 2m" in outcome.detail
    assert isinstance(store.look((short,)), Unavailable)
    assert isinstance(store.commit((long,), None), Refused)
    # The same life, used first after the jump: nobody can tell, so it is denied as well.
    assert isinstance(store.commit((use(b"n" * 16, now=NOW, life=100),), None), Unavailable)
    assert isinstance(store.commit((use(b"m" * 16, now=NOW, life=900),), None), Committed)
    # Of commits: a look denies nobody.
    assert store.state().failures["clock"] == 2


@pytest.mark.redis
def test_a_server_clock_that_is_set_back_admits_nothing_too_early_and_blocks_for_a_window_at_most(
    store: RedisStore, clock: ServerClock
) -> None:
    token, same = use(now=NOW), Grace(b"g" * 16, Seconds(3.0))
    graced = Use(key=b"g" * 16, max_uses=1, until=token.until, grace=same)
    assert isinstance(store.commit((token, graced), None), Committed)
    for _ in range(3):
        assert isinstance(store.commit((rate(),), None), Committed)
    clock.turn_server(-3600.0)
    assert isinstance(store.commit((token,), None), Refused)
    assert isinstance(store.commit((graced,), None), Refused)
    refused = store.commit((rate(),), None)
    assert isinstance(refused, Refused)
    assert refused.retry_after is not None
    assert 59 < refused.retry_after <= 60
    clock.advance(61.0)
    assert isinstance(store.commit((rate(),), None), Committed)


@pytest.mark.redis
def test_a_single_use_takes_one_small_key_and_every_key_goes_by_itself(server: Server) -> None:
    with connected(server.target, CLOCK) as store, server.client() as client:
        client.flushall()
        store.commit((use(),), None)
        assert client.keys() == [b"x1:" + b"k" * 16 + b"u"]
        assert client.memory_usage(b"x1:" + b"k" * 16 + b"u") <= 120
        tie = Bind(key=b"b" * 16, value=b"v" * 16, until=Instant(CLOCK.now() + 300))
        graced = Use(key=b"g" * 16, max_uses=3, until=tie.until, grace=Grace(b"f" * 16, Seconds(3.0)))
        store.commit((tie, graced, rate()), b"attempt")
        left = {key: client.pttl(key) for key in client.scan_iter()}
        assert len(left) == 5
        assert all(0 < ms <= 305_000 for ms in left.values())


@pytest.mark.redis
def test_a_busy_rate_takes_bounded_room_and_goes_when_its_window_is_over(
    turned: Server, store: RedisStore, clock: ServerClock
) -> None:
    with turned.client() as client:
        for _ in range(400):
            clock.advance(0.4)
            store.commit((rate(amount=10_000),), None)
        key = b"x1:" + b"r" * 16 + b"l"
        assert 300 < client.strlen(key) < 1200
        looked = store.look((rate(amount=10_000),))
        assert isinstance(looked, tuple)
        # Those of the last window, and at most a sixtieth of it more.
        assert looked[0].before is not None
        assert 10_000 - 154 <= looked[0].before <= 10_000 - 149
        clock.advance(60.1)
        assert client.exists(key) == 0


@pytest.mark.redis
def test_a_short_window_over_a_long_one_takes_bounded_room(
    turned: Server, store: RedisStore, clock: ServerClock
) -> None:
    store.commit((rate(amount=10_000, window=36_000),), None)
    for _ in range(600):
        clock.advance(0.1)
        assert isinstance(store.commit((rate(amount=10_000, window=1.0),), None), Committed)
    with turned.client() as client:
        assert 500 < client.strlen(b"x1:" + b"r" * 16 + b"l") < 2500
    looked = store.look((rate(amount=10_000, window=36_000),))
    assert isinstance(looked, tuple)
    assert looked[0].before == 10_000 - 601


@pytest.mark.redis
def test_what_is_left_is_told_rightly_by_the_very_commit_that_joins_a_log(
    store: RedisStore, clock: ServerClock
) -> None:
    short, long = rate(amount=10_000, window=1.0), rate(amount=10_000, window=36_000)
    for number in range(1, 301):
        clock.advance(0.1)
        assert store.commit((short, long), None) == Committed(10_000 - 2 * number)

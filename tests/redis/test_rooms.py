"""Quotas on real servers: exact over replicas, and a flood stays within its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from extauthz.model.reason import Reason
from extauthz.model.time import Instant, Seconds, SystemClock
from extauthz.replay.redis import RedisStore
from extauthz.replay.spend import Bind, Rate, Spend, Use
from extauthz.replay.store import Committed, Left, Refused
from tests.laws.test_room_laws import HISTORIES, Payers, room
from tests.redis.servers import PATIENT, Server, ServerClock, connected, running

pytestmark = pytest.mark.redis

REPLICAS, THREADS, MOST = 2, 4, 50


@pytest.fixture(scope="module")
def turned() -> Iterator[Server]:
    """A server whose clock the test turns."""
    with running("valkey", turned=True) as server:
        yield server


@given(data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_account_is_exact_by_the_clock_of_the_server(turned: Server, data: st.DataObject) -> None:
    history = data.draw(HISTORIES)
    with turned.client() as client:
        client.flushall()
    clock = ServerClock(turned)
    with connected(turned.target, clock, PATIENT) as store:
        payers = Payers()
        for gap, account, made in history[:20]:
            clock.advance(gap)
            payers.judge(store, account, made, clock.now())


def _spends(issuer: bytes, number: int, now: float) -> tuple[Spend, ...]:
    key, until = issuer + number.to_bytes(4, "big"), Instant(now + 300)
    tie = Bind(key=key, value=b"v", until=until)
    return tie, Use(key=key, max_uses=1, until=until), room(issuer, MOST)


def test_racing_replicas_fill_a_quota_exactly_and_leave_other_issuers_untouched(server: Server) -> None:
    clock, lock = SystemClock(), threading.Lock()
    admitted, others, wrong = 0, [], []

    def flood(store: RedisStore, part: int) -> None:
        nonlocal admitted
        for number in range(part * 100, part * 100 + 25):
            outcome = store.commit(_spends(b"flood", number, clock.now()), None)
            calm = store.commit(_spends(b"calm-%d" % part, number, clock.now()), None) if number % 5 == 0 else None
            with lock:
                admitted += isinstance(outcome, Committed)
                others.append(calm)
                if isinstance(outcome, Refused) and outcome.spend.reason is not Reason.STORE_QUOTA:
                    wrong.append(outcome)

    with connected(server.target, clock) as one, connected(server.target, clock) as other:
        threads = [
            threading.Thread(target=flood, args=((one, other)[part % REPLICAS], part)) for part in range(2 * THREADS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        # Two keys a token: its use, and its tie.
        assert admitted == MOST // 2
        assert not wrong
        assert all(isinstance(each, Committed) for each in others if each is not None)
        (refused,) = {type(one.commit(_spends(b"flood", 999, clock.now()), None))}
        assert refused is Refused


def test_keys_that_are_known_cost_nothing_and_are_counted_in_a_full_account(server: Server) -> None:
    clock = SystemClock()
    now = clock.now()
    use = Use(key=b"t", max_uses=3, until=Instant(now + 300))
    rate = Rate(key=b"r", amount=4, window=Seconds(60.0), label="l")
    full = room(b"full", 2)
    with connected(server.target, clock) as store:
        for _ in range(3):
            assert isinstance(store.commit((use, rate, full), None), Committed)
        # Not even by one that was made smaller meanwhile.
        assert isinstance(store.commit((rate, room(b"full", 1)), None), Committed)
        spent = store.commit((use, rate, full), None)
        assert isinstance(spent, Refused)
        assert spent.spend == use
        new = replace(use, key=b"other")
        refused = store.commit((new, full), None)
        assert isinstance(refused, Refused)
        assert refused.spend == full
        assert refused.retry_after is not None
        assert 0 < refused.retry_after <= 80
        looked: Any = store.look((new, full))
        assert [left.before for left in looked] == [3, 0]
        assert isinstance(looked[1], Left)
        # Refused, it made no key.
        with server.client() as client:
            assert not any(b"other" in key for key in client.scan_iter())


def test_a_prolonged_key_is_paid_for_to_its_new_end_and_only_once(server: Server) -> None:
    clock = SystemClock()
    with connected(server.target, clock) as store:
        use = Use(key=b"t", max_uses=9, until=Instant(clock.now() + 60))
        for more in (0, 60, 180, 420):
            longer = replace(use, until=Instant(use.until + more))
            assert isinstance(store.commit((longer, room(b"a", 2)), None), Committed)
        looked: Any = store.look((replace(use, key=b"u"), room(b"a", 2)))
        assert looked[1].before == 1
        with server.client() as client:
            ends = {key[-1:]: client.pexpiretime(key) for key in client.scan_iter()}
        assert ends[b"u"] == ends[b"q"]

"""Whatever becomes of the server or the way there: Unavailable with its name, then recovery without a restart."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue

import pytest

from extauthz.config import Settings, StoreAddress, load
from extauthz.model.time import Instant, Seconds, SystemClock
from extauthz.replay.choose import shared_store
from extauthz.replay.redis import Options, RedisStore, SharedStore, Target
from extauthz.replay.spend import Bind, Rate, Use
from extauthz.replay.store import Committed, Outcome, Refused, Unavailable
from tests.redis.proxy import Fault, Proxy, before
from tests.redis.servers import Server, connected, free_port, running, wait_for

CLOCK = SystemClock()
BRISK = Options(deadline=Seconds(0.25), check_every=Seconds(0.1))
STEADY = Options(deadline=Seconds(2.0), check_every=Seconds(3600.0))
_REPEATED_FOR = 3.0
"""Seconds for which the repetition of a Check is known."""


def use(key: bytes = b"k" * 16, most: int = 1) -> Use:
    """A use of a token that lives for five minutes."""
    return Use(key=key, max_uses=most, until=Instant(CLOCK.now() + 300))


def detail(outcome: Outcome) -> str:
    """Why a commit could not be made."""
    assert isinstance(outcome, Unavailable), outcome
    return outcome.detail


def is_back(store: SharedStore) -> bool:
    """Whether a commit of something new comes back."""
    return isinstance(store.commit((use(os.urandom(16)),), None), Committed)


def tells(store: SharedStore, *words: str) -> bool:
    """Whether a commit is Unavailable and says so in these words."""
    found = store.commit((use(os.urandom(16)),), None)
    return isinstance(found, Unavailable) and all(word in found.detail for word in words)


@contextmanager
def through(server: Server, options: Options = BRISK) -> Iterator[tuple[RedisStore, Proxy]]:
    """A store behind a proxy."""
    with before(server.port) as proxy, connected(replace(server.target, port=proxy.port), CLOCK, options) as store:
        yield store, proxy


def test_a_server_that_was_never_there_is_told_as_such_and_found_when_it_comes(tmp_path: Path) -> None:
    server = Server("valkey", tmp_path)
    store = RedisStore(server.target, CLOCK, BRISK)
    assert detail(store.commit((use(),), None)) == "the store is not connected yet"
    store.start()
    try:
        wait_for(lambda: tells(store, f"`redis://127.0.0.1:{server.port}`", "refuses connections"), "the reason")
        assert not store.ready()
        failed = store.state().failures
        assert failed["refused"] > 0
        assert store.look((use(),)) == Unavailable(str(store.trouble()))
        assert store.state().failures == failed, "a look is no commit that failed"
        server.start()
        wait_for(lambda: is_back(store), "the store")
        assert store.ready()
        assert store.trouble() is None
    finally:
        store.stop()
        server.kill()


def test_a_name_that_does_not_resolve_is_told_as_such() -> None:
    store = RedisStore(Target(host="nowhere.invalid"), CLOCK, BRISK)
    store.start()
    try:
        wait_for(lambda: tells(store, "nowhere.invalid", "cannot be"), "the reason")
    finally:
        store.stop()


def test_a_hung_server_is_unavailable_and_then_refused_at_once(server: Server) -> None:
    with through(server) as (store, proxy):
        proxy.befall(Fault.HANG)
        assert "did not answer" in detail(store.commit((use(),), None))
        wait_for(lambda: not store.ready(), "the breaker to open")
        sent = store.state().commits
        assert "did not answer in time" in detail(store.commit((use(),), None))
        assert store.state().commits == sent
        proxy.befall(Fault.NONE)
        wait_for(lambda: is_back(store), "the store")


def test_a_queue_that_is_too_long_is_no_fault_of_the_server(server: Server) -> None:
    options = Options(deadline=Seconds(0.5), connections=1, batch=1, check_every=Seconds(3600.0))
    with connected(server.target, CLOCK, options) as store:
        told: SimpleQueue[Callable[[], Outcome]] = SimpleQueue()
        for number in range(6000):
            store.commit_later((use(b"%16d" % number),), None, told.put)
        outcomes = [told.get()() for _ in range(6000)]
        late = [each for each in outcomes if not isinstance(each, Committed)]
        assert 100 < len(late) < 6000
        assert any("no connection to the store" in detail(each) for each in late)
        assert store.ready()
        assert is_back(store)


def test_a_stopped_process_is_unavailable_and_comes_back(server: Server) -> None:
    with connected(server.target, CLOCK, BRISK) as store:
        assert server.process is not None
        server.process.send_signal(signal.SIGSTOP)
        try:
            wait_for(lambda: not is_back(store) and not store.ready(), "the breaker to open")
        finally:
            server.process.send_signal(signal.SIGCONT)
        wait_for(lambda: is_back(store), "the store")


@pytest.mark.parametrize("fault", [Fault.CUT, Fault.LOSE])
def test_a_connection_that_breaks_before_the_reply_is_unavailable_when_there_is_no_attempt(
    server: Server, fault: Fault
) -> None:
    with through(server, STEADY) as (store, proxy):
        proxy.befall(fault, times=1)
        assert "the connection to the store" in detail(store.commit((use(),), None))
        wait_for(lambda: is_back(store), "the store")


@pytest.mark.parametrize("fault", [Fault.CUT, Fault.LOSE])
def test_a_commit_whose_reply_was_lost_is_repeated_and_counted_once(server: Server, fault: Fault) -> None:
    with through(server, STEADY) as (store, proxy):
        proxy.befall(fault, times=1)
        assert store.commit((use(most=5),), b"attempt") == Committed(4)
        assert store.commit((use(most=5),), b"other") == Committed(3)


def test_a_use_whose_reply_hung_is_admitted_to_the_repeated_check_and_to_nobody_else(server: Server) -> None:
    with through(server, replace(STEADY, deadline=Seconds(0.3))) as (store, proxy):
        proxy.befall(Fault.HANG, times=1)
        assert isinstance(store.commit((use(),), b"attempt"), Unavailable)
        wait_for(lambda: is_back(store), "the store")
        assert store.commit((use(),), b"attempt") == Committed(0)
        assert isinstance(store.commit((use(),), b"thief"), Refused)


@pytest.mark.slow
def test_a_commit_that_is_sent_again_late_is_not_refused_for_its_own_use(server: Server) -> None:
    with before(server.port) as proxy, _set_up(f"redis://127.0.0.1:{proxy.port}", "5s") as store:
        wait_for(store.ready, "the store to be ready")
        # No other commit is lost with it.
        wait_for(lambda: is_back(store), "a commit")
        proxy.befall(Fault.HOLD)
        told: SimpleQueue[Callable[[], Outcome]] = SimpleQueue()
        store.commit_later((use(),), b"attempt", told.put)
        threading.Event().wait(_REPEATED_FOR + 0.3)
        proxy.reset_all()
        proxy.befall(Fault.NONE)
        assert told.get()() == Committed(0)


@pytest.mark.parametrize(("deadline", "seconds"), [("100ms", 3), ("2s", 3), ("3s", 4), ("5s", 6)])
def test_an_attempt_is_known_for_longer_than_its_commit_may_take(server: Server, deadline: str, seconds: int) -> None:
    with server.client() as client, _set_up(f"redis://127.0.0.1:{server.port}", deadline) as store:
        wait_for(lambda: is_back(store), "the store to be ready")
        client.flushall()
        assert isinstance(store.commit((use(),), b"attempt"), Committed)
        kept = [client.pttl(key) for key in client.scan_iter() if key.endswith(b"a")]
    assert len(kept) == 1
    assert 1000 * (seconds - 1) < kept[0] <= 1000 * seconds


@contextmanager
def _set_up(url: str, deadline: str) -> Iterator[SharedStore]:
    """The store that these settings ask for, started."""
    found = load(
        {"policies": "p", "store": url, "pepper-file": "f", "store-deadline": deadline, "check-budget": "10s"}, {}
    )
    assert isinstance(found, Settings)
    assert isinstance(found.store, StoreAddress)
    store = shared_store(found, found.store, CLOCK)
    store.start()
    try:
        yield store
    finally:
        store.stop()


def test_every_connection_reset_at_once_costs_no_repeatable_commit(server: Server) -> None:
    with through(server, STEADY) as (store, proxy):
        for number in range(20):
            proxy.reset_all()
            attempt = b"attempt %d" % number
            assert isinstance(store.commit((use(os.urandom(16)),), attempt), Committed)


def test_a_restarted_server_has_no_script_and_gets_it_again(tmp_path: Path) -> None:
    server = Server("valkey", tmp_path, ("--appendonly", "yes", "--appendfsync", "always"))
    server.start()
    try:
        with connected(server.target, CLOCK, BRISK) as store:
            assert isinstance(store.commit((use(),), None), Committed)
            server.kill()
            wait_for(lambda: tells(store), "the outage")
            server.start()
            wait_for(lambda: is_back(store), "the store")
            # What was saved is still spent.
            assert isinstance(store.commit((use(),), None), Refused)
    finally:
        server.kill()


def test_a_flushed_script_is_sent_again_within_the_same_commit(server: Server) -> None:
    with connected(server.target, CLOCK, STEADY) as store, server.client() as client:
        client.script_flush()
        assert isinstance(store.commit((use(),), None), Committed)
        assert isinstance(store.commit((use(),), None), Refused)


def test_a_replica_takes_no_writes_and_is_told_as_such(server: Server) -> None:
    with connected(server.target, CLOCK, STEADY) as store, server.client() as client:
        store.commit((use(),), None)
        client.replicaof("127.0.0.1", str(free_port()))
        try:
            wait_for(lambda: tells(store, "replica"), "the reason")
            wait_for(lambda: not store.ready(), "the breaker to open")
        finally:
            client.replicaof("NO", "ONE")
        wait_for(lambda: is_back(store), "the store")


def test_a_full_server_refuses_new_counts_and_still_knows_the_old(server: Server) -> None:
    with connected(server.target, CLOCK, STEADY) as store, server.client() as client:
        store.commit((use(), bind()), None)
        client.config_set("maxmemory", "1")
        try:
            assert "OOM" in detail(store.commit((use(b"n" * 16), rate(b"n" * 16)), None))
            assert isinstance(store.commit((use(),), None), Refused)
        finally:
            client.config_set("maxmemory", "0")
        wait_for(lambda: is_back(store), "the store")
        # Nothing of the commit that failed was counted.
        assert isinstance(store.commit((use(b"n" * 16), rate(b"n" * 16)), None), Committed)


def test_a_server_that_stays_full_is_refused_as_a_whole_and_comes_back(server: Server) -> None:
    with connected(server.target, CLOCK, BRISK) as store, server.client() as client:
        assert isinstance(store.commit((use(),), None), Committed)
        client.config_set("maxmemory", "1")
        try:
            wait_for(lambda: not store.ready(), "a probe to find it full")
            assert "OOM" in detail(store.commit((use(),), None))
        finally:
            client.config_set("maxmemory", "0")
        wait_for(lambda: is_back(store), "the store")
        assert isinstance(store.commit((use(),), None), Refused)


def test_a_server_that_may_evict_is_refused_unless_allowed() -> None:
    with running("valkey", "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru") as server:
        store = RedisStore(server.target, CLOCK, BRISK)
        store.start()
        try:
            wait_for(lambda: tells(store, "may drop live counts", "`allkeys-lru`", "noeviction"), "the reason")
            assert store.state().may_evict
            with connected(server.target, CLOCK, replace(BRISK, allow_eviction=True)) as lenient:
                assert is_back(lenient)
            with server.client() as client:
                client.config_set("maxmemory-policy", "noeviction")
            wait_for(lambda: is_back(store), "the store")
            assert store.state().may_evict is False
        finally:
            store.stop()


def test_a_server_that_becomes_evicting_while_we_run_is_noticed(server: Server) -> None:
    with connected(server.target, CLOCK, BRISK) as store, server.client() as client:
        client.config_set("maxmemory", "1gb")
        client.config_set("maxmemory-policy", "volatile-ttl")
        try:
            wait_for(lambda: tells(store, "`volatile-ttl`"), "the reason")
        finally:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", "0")
        wait_for(lambda: is_back(store), "the store")


def test_a_foreign_value_under_a_key_of_ours_counts_nothing(server: Server) -> None:
    with connected(server.target, CLOCK, STEADY) as store, server.client() as client:
        client.rpush(b"x1:" + b"k" * 16 + b"u", "foreign")
        assert "WRONGTYPE" in detail(store.commit((rate(b"k" * 16), use()), None))
        client.set(b"x1:" + b"j" * 16 + b"u", "foreign")
        assert isinstance(store.commit((rate(b"k" * 16), use(b"j" * 16)), None), Unavailable)
        assert store.look((rate(b"k" * 16),))[0].before == 9  # type: ignore[index]


def test_a_server_that_loads_its_data_is_told_as_such(tmp_path: Path) -> None:
    # The delay is per key while it loads, in microseconds, so that it loads for a while.
    server = Server("valkey", tmp_path, ("--enable-debug-command", "yes", "--dbfilename", "dump.rdb"))
    server.start()
    try:
        with connected(server.target, CLOCK, BRISK) as store:
            with server.client() as client:
                client.mset({f"filler{n}": b"x" * 100 for n in range(3000)})
                client.save()
            server.kill()
            server.arguments += ("--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024")
            server.start()
            wait_for(lambda: tells(store, "is loading its data"), "the reason")
            wait_for(lambda: is_back(store), "the store")
    finally:
        server.kill()


def test_stopping_while_commits_wait_ends_them_all(server: Server) -> None:
    with through(server, replace(STEADY, deadline=Seconds(0.5))) as (store, proxy):
        proxy.befall(Fault.HANG)
        outcomes: list[Outcome] = []
        threads = [threading.Thread(target=lambda: outcomes.append(store.commit((use(),), None))) for _ in range(8)]
        for thread in threads:
            thread.start()
        store.stop()
        for thread in threads:
            thread.join()
        assert len(outcomes) == 8
        assert all(isinstance(outcome, Unavailable) for outcome in outcomes)
        assert detail(store.commit((use(),), None)) == "the store is closed"


def bind() -> Bind:
    """A tie to a caller."""
    return Bind(key=b"b" * 16, value=b"v" * 16, until=Instant(CLOCK.now() + 300))


def rate(key: bytes) -> Rate:
    """A request within a rate."""
    return Rate(key=key, amount=9, window=Seconds(60.0), label="l")


@pytest.mark.redis
def test_a_cluster_node_is_refused_and_told_as_such() -> None:
    # Ten thousand above the other port, where its own would be, there may be no port.
    with running("valkey", "--cluster-enabled", "yes", "--cluster-port", str(free_port())) as server:
        store = RedisStore(server.target, CLOCK, BRISK)
        store.start()
        try:
            wait_for(lambda: tells(store, "is a cluster node", "name the cluster by"), "the reason")
            assert not store.ready()
        finally:
            store.stop()

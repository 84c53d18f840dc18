"""A primary and its replica: counts that wait for it, a replica that stands still, and one that takes over."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from extauthz.model.time import Instant, Seconds, SystemClock
from extauthz.replay.redis import Options, RedisStore
from extauthz.replay.spend import Use
from extauthz.replay.store import Committed, Refused, Unavailable
from tests.redis.servers import KINDS, Server, connected, running, wait_for

pytestmark = [pytest.mark.redis, pytest.mark.timeout(120)]

WAITING = Options(deadline=Seconds(1.0), wait_replicas=1, check_every=Seconds(0.2))
UNWATCHED = replace(WAITING, check_every=Seconds(3600.0))
"""No probe opens the breaker between what is asked."""
FOLLOWED = Options(deadline=Seconds(5.0), min_replicas=1, check_every=Seconds(0.2))
CLOCK = SystemClock()


@pytest.fixture(params=KINDS)
def primary(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server that a replica may follow at once."""
    with running(request.param, "--repl-diskless-sync-delay", "0") as server:
        yield server


@contextmanager
def following(primary: Server) -> Iterator[Server]:
    """A replica that has all that the primary has."""
    with running(primary.kind, "--replicaof", f"127.0.0.1 {primary.port}") as replica:
        with replica.client() as client:
            wait_for(lambda: client.info("replication")["master_link_status"] == "up", "the replica to follow")
        yield replica


def once(name: bytes) -> tuple[Use]:
    """A use of a token that is good once."""
    return (Use(key=name, max_uses=1, until=Instant(CLOCK.now() + 300)),)


def test_a_count_that_the_replica_does_not_have_in_time_is_counted_and_not_admitted(primary: Server) -> None:
    with (
        following(primary) as replica,
        connected(primary.target, CLOCK, UNWATCHED) as store,
        connected(primary.target, CLOCK, UNWATCHED) as other,
    ):
        assert isinstance(store.commit(once(b"a"), None), Committed)
        with replica.paused():
            lost = store.commit(once(b"b"), b"attempt")
            assert isinstance(lost, Unavailable)
            assert "only 0 of the 1 replicas" in lost.detail
            # Envoy's repetition of the Check, at another of us, finds it counted, and still on no replica.
            assert isinstance(other.commit(once(b"b"), b"attempt"), Unavailable)
            # What is refused relies on no replica.
            assert isinstance(store.commit(once(b"a"), None), Refused)
            assert store.state().failures["unreplicated"] == other.state().failures["unreplicated"] == 1
        wait_for(lambda: isinstance(store.commit(once(os.urandom(8)), None), Committed), "the replica to go on")
        assert isinstance(store.commit(once(b"b"), None), Refused)


def test_replicas_that_stay_away_open_the_breaker_and_their_return_closes_it(primary: Server) -> None:
    with following(primary) as replica, connected(primary.target, CLOCK, WAITING) as store:
        with replica.paused():
            wait_for(lambda: not _is_admitted(store) and not store.ready(), "the breaker to open")
            assert "have the count in time" in (store.trouble() or "")
        wait_for(store.ready, "the breaker to close")
        assert _is_admitted(store)


def _is_admitted(store: RedisStore) -> bool:
    return isinstance(store.commit(once(os.urandom(8)), None), Committed)


def test_a_server_that_too_few_replicas_follow_is_not_counted_on(primary: Server) -> None:
    store = RedisStore(primary.target, CLOCK, FOLLOWED)
    store.start()
    try:
        wait_for(lambda: "followed by 0 replicas" in (store.trouble() or ""), "the fault")
        assert isinstance(store.commit(once(b"a"), None), Unavailable)
        with following(primary):
            wait_for(store.ready, "the store to be ready")
            assert "1 replica," in store.about()
            assert isinstance(store.commit(once(b"a"), None), Committed)
        wait_for(lambda: not store.ready(), "the loss of the replica to be seen")
    finally:
        store.stop()


def test_what_was_admitted_with_a_replica_that_has_it_outlives_the_primary(primary: Server) -> None:
    names = [b"token %d" % number for number in range(50)]
    with following(primary) as replica:
        with connected(primary.target, CLOCK, WAITING) as store:
            admitted = [name for name in names if isinstance(store.commit(once(name), None), Committed)]
            primary.kill()
        with replica.client() as client:
            client.execute_command("REPLICAOF", "NO", "ONE")
        with connected(replica.target, CLOCK) as store:
            assert admitted
            assert all(isinstance(store.commit(once(name), None), Refused) for name in admitted)

"""Counts in a cluster that wait for replicas: node by node, step by step, and over a failover."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from extauthz.model.time import Seconds
from extauthz.replay.store import Committed, Refused
from tests.redis.cluster import NODES, Cluster, clustered, connected_to
from tests.redis.servers import KINDS, wait_for
from tests.redis.test_cluster import CLOCK, at, detail, rate, slot
from tests.redis.test_replicas import FOLLOWED, UNWATCHED, WAITING

pytestmark = [pytest.mark.redis, pytest.mark.timeout(240)]

AT_ONCE = ("--repl-diskless-sync-delay", "0")
IN_STEPS = replace(UNWATCHED, deadline=Seconds(2.0))


@pytest.fixture(scope="module", params=KINDS)
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Three nodes that hold slots, with a replica each."""
    with clustered(request.param, *AT_ONCE, replicas=True) as cluster:
        yield cluster


def test_a_count_that_a_nodes_replica_lacks_is_not_admitted_and_other_nodes_admit(cluster: Cluster) -> None:
    first, second, *_ = cluster.members
    lost, kept = at(cluster, first), at(cluster, second)
    with connected_to(cluster, CLOCK, UNWATCHED) as store, connected_to(cluster, CLOCK, UNWATCHED) as other:
        with cluster.members[NODES].server.paused():
            assert "only 0 of the 1 replicas" in detail(store.commit((lost,), b"attempt"))
            # Envoy's repetition, over a connection that has written nothing.
            assert "only 0 of the 1 replicas" in detail(other.commit((lost,), b"attempt"))
            assert isinstance(store.commit((kept,), None), Committed)
        wait_for(lambda: isinstance(store.commit((at(cluster, first),), None), Committed), "the replica to go on")
        assert isinstance(store.commit((lost,), None), Refused)


def test_a_step_that_a_replica_lacks_is_given_back_with_those_before_it(cluster: Cluster) -> None:
    first, second, *_ = cluster.members
    token = at(cluster, first)
    limit = next(each for each in iter(rate, None) if cluster.holder(slot(each)) is second)
    with connected_to(cluster, CLOCK, IN_STEPS) as store:
        # The rate is counted first. Without a replica that has it, the token is not spent.
        with cluster.members[NODES + 1].server.paused():
            assert "only 0 of the 1 replicas" in detail(store.commit((token, limit), b"one"))
        assert store.state().given_back == {"made": 1, "lost": 0}
        # Then the token, which is never given back: it is spent for nobody, and the rate is free again.
        with cluster.members[NODES].server.paused():
            assert "only 0 of the 1 replicas" in detail(store.commit((token, limit), b"two"))
        assert store.state().given_back == {"made": 2, "lost": 0}
        assert isinstance(store.commit((token, limit), b"three"), Refused)
        seen = store.look((limit,))
        assert isinstance(seen, tuple)
        assert seen[0].before == limit.amount


def test_a_node_that_too_few_replicas_follow_is_not_counted_on_and_the_others_are(cluster: Cluster) -> None:
    first, second, *_ = cluster.members
    follower = cluster.members[NODES].server
    with connected_to(cluster, CLOCK, FOLLOWED) as store:
        follower.kill()
        try:
            wait_for(lambda: "followed by 0 replicas" in (store.note() or ""), lambda: f"the note: {store.note()}")
            assert "`store-min-replicas` wants 1" in detail(store.commit((at(cluster, first),), None))
            assert isinstance(store.commit((at(cluster, second),), None), Committed)
            assert store.ready()
        finally:
            follower.start()
        wait_for(lambda: store.note() is None, lambda: f"the replica to follow: {store.note()}")
        assert isinstance(store.commit((at(cluster, first),), None), Committed)


def test_what_was_admitted_with_a_replica_that_has_it_outlives_its_node() -> None:
    with (
        clustered("valkey", *AT_ONCE, replicas=True, timeout_ms=1500) as cluster,
        connected_to(cluster, CLOCK, WAITING) as store,
    ):
        first, heir = cluster.members[0], cluster.members[NODES]
        tokens = [at(cluster, first) for _ in range(50)]
        admitted = []
        for number, token in enumerate(tokens):
            if number == len(tokens) // 2:
                first.server.kill()
            if isinstance(store.commit((token,), None), Committed):
                admitted.append(token)
        assert len(admitted) >= len(tokens) // 2
        wait_for(lambda: cluster.holder(slot(tokens[0])) is heir, "the failover")
        with connected_to(cluster, CLOCK) as other:
            assert all(isinstance(other.commit((each,), None), Refused) for each in admitted)
        # Nobody follows the one that took over, until the node that died does.
        wait_for(lambda: "have the count in time" in (store.note() or ""), lambda: f"the note: {store.note()}")
        first.server.start()
        wait_for(lambda: isinstance(store.commit((at(cluster, heir),), None), Committed), "the node to follow")

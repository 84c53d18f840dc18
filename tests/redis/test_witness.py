"""A store that lost what it held is told, once by each replica; one that moved or restarted with its data is not."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import replace

import pytest

from extauthz.model.time import Seconds, SystemClock
from extauthz.replay.redis import Options, SharedStore
from extauthz.replay.redis.slots import slot_of
from extauthz.replay.store import Committed, Refused
from tests.redis.cluster import NODES, Cluster, Member, clustered, connected_to
from tests.redis.servers import KINDS, Server, connected, running, wait_for
from tests.redis.test_outage import is_back, use

CLOCK = SystemClock()
BRISK = Options(deadline=Seconds(1.0), check_every=Seconds(0.05))
WITNESS = b"x1:witness"


def emptied(store: SharedStore) -> int:
    """How often a store was seen to have lost what it held."""
    return store.state().emptied


def looks(server: Server, at_least: int = 3) -> None:
    """Wait until a server was looked at so often from now on."""
    with server.client() as client:

        def asked() -> int:
            return int(client.info("commandstats").get("cmdstat_get", {"calls": 0})["calls"])

        before = asked()
        wait_for(lambda: asked() >= before + at_least, "looks at the server")


@pytest.mark.parametrize("command", ["FLUSHALL", "FLUSHDB", "SWAPDB 0 1"])
def test_every_replica_tells_once_that_the_store_was_emptied(
    command: str, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    with ExitStack() as stack:
        replicas = [stack.enter_context(connected(server.target, CLOCK, BRISK)) for _ in range(3)]
        used = use()
        assert isinstance(replicas[0].commit((used,), None), Committed)
        with caplog.at_level(logging.ERROR), server.client() as client:
            client.execute_command(*command.split())
            wait_for(lambda: all(emptied(each) for each in replicas), "all replicas to see it")
            looks(server, 12)
        assert [emptied(each) for each in replicas] == [1, 1, 1]
        assert caplog.text.count("has lost what it held") == len(replicas)
        # It is told, and decides nothing.
        assert isinstance(replicas[1].commit((used,), None), Committed)
        assert isinstance(replicas[2].commit((used,), None), Refused)


def test_another_database_or_namespace_may_be_emptied_and_nothing_is_told(server: Server) -> None:
    ours = replace(BRISK, namespace=b"ours:")
    with connected(replace(server.target, database=1), CLOCK, ours) as store, server.client() as client:
        client.set("another", "1")
        client.flushdb()
        looks(server)
        assert emptied(store) == 0
        client.select(1)
        assert client.exists(b"ours:" + WITNESS)
        client.delete(b"ours:" + WITNESS)
        wait_for(lambda: emptied(store) == 1, "the loss to be seen")


def test_what_counts_come_and_go_is_no_loss_and_the_witness_stays_without_an_end(server: Server) -> None:
    with connected(server.target, CLOCK, BRISK) as store, server.client() as client:
        assert isinstance(store.commit((use(),), b"attempt"), Committed)
        looks(server)
        client.delete(*(key for key in client.scan_iter() if key != WITNESS))
        looks(server)
        assert emptied(store) == 0
        assert client.ttl(WITNESS) == -1


@pytest.mark.redis
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("saved", [True, False])
def test_a_restart_is_a_loss_only_where_the_data_did_not_come_back(kind: str, saved: bool) -> None:
    arguments = ("--appendonly", "yes", "--appendfsync", "always") if saved else ()
    with running(kind, *arguments) as server, connected(server.target, CLOCK, BRISK) as store:
        server.kill()
        wait_for(lambda: not is_back(store), "the outage")
        server.start()
        wait_for(lambda: is_back(store), "the server to be back")
        looks(server)
        assert store.state().restarts == 1
        assert emptied(store) == (0 if saved else 1)


def test_a_server_that_refuses_the_witness_is_counted_on_and_nothing_is_told(server: Server) -> None:
    with server.client() as client:
        client.lpush(WITNESS, "another's")
        with connected(server.target, CLOCK, BRISK) as store:
            looks(server)
            assert isinstance(store.commit((use(),), None), Committed)
            client.delete(WITNESS)
            wait_for(lambda: client.type(WITNESS) == b"string", "the witness")
            looks(server)
            assert emptied(store) == 0


def test_a_node_of_a_cluster_that_was_emptied_is_told_and_the_others_are_not(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    with connected_to(cluster, CLOCK, BRISK) as store, caplog.at_level(logging.ERROR):
        assert len(witnesses(cluster)) == NODES
        _empty(cluster.members[1])
        wait_for(lambda: emptied(store) == 1, "the loss to be seen")
        for each in cluster.members[:NODES]:
            looks(each.server)
        assert emptied(store) == 1
        assert f":{cluster.members[1].address[1]}` has lost" in caplog.text


def test_a_slot_that_moves_takes_its_witness_along_and_nothing_is_told(cluster: Cluster) -> None:
    with connected_to(cluster, CLOCK, BRISK) as store:
        for _ in range(2):
            for key in witnesses(cluster):
                slot = slot_of(key[key.index(b"{") + 1 : key.index(b"}")])
                home = cluster.holder(slot)
                for member in (*cluster.members[:NODES], home):
                    cluster.move(slot, member)
                    looks(member.server)
        assert emptied(store) == 0


@pytest.mark.slow
@pytest.mark.redis
@pytest.mark.timeout(180)
def test_a_replica_that_takes_over_with_the_data_is_no_loss_and_one_without_it_is() -> None:
    with clustered("valkey", replicas=True, timeout_ms=1500) as cluster, connected_to(cluster, CLOCK, BRISK) as store:
        first, second = cluster.members[0], cluster.members[1]
        _takes_over(cluster, store, first)
        assert emptied(store) == 0
        # A replica that lost what it had been sent, and goes on following.
        with cluster.members[cluster.members.index(second) + NODES].server.client() as copy:
            copy.config_set("replica-read-only", "no")
            copy.flushall()
        _takes_over(cluster, store, second)
        wait_for(lambda: emptied(store) == 1, "the loss to be seen")


def witnesses(cluster: Cluster) -> list[bytes]:
    """The witnesses on nodes that are primaries."""
    return [key for key in cluster.held_keys() if key.endswith(b"witness")]


def _empty(member: Member) -> None:
    with member.server.client() as client:
        client.flushall()


def _takes_over(cluster: Cluster, store: SharedStore, victim: Member) -> None:
    copy = cluster.members[cluster.members.index(victim) + NODES]
    victim.server.kill()
    wait_for(lambda: store.note() is not None or store.trouble() is not None, "the outage")
    wait_for(lambda: store.note() is None and store.trouble() is None, "the store to be whole")
    looks(copy.server)

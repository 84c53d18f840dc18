"""Exactness over three replicas as processes before a cluster, while slots move, nodes are killed and answers lost."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from extauthz.replay.redis.slots import slot_of
from tests.redis.cluster import NODES, Cluster, Member, clustered
from tests.redis.fleet import DURABLE, REPLICAS, Fleet, cluster_fleet, disturb, fresh_token, judge
from tests.redis.servers import wait_for

pytestmark = [pytest.mark.redis, pytest.mark.slow, pytest.mark.timeout(400)]

ROUNDS = 6


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Nodes that forget nothing that they answered, so that a restart may not give a use back."""
    with clustered("valkey", *DURABLE, timeout_ms=3000) as cluster:
        yield cluster


def test_F02_of_two_hundred_racing_checks_one_is_admitted_while_slots_move_and_nodes_are_killed(
    cluster: Cluster, tmp_path: Path
) -> None:
    chance, moved = random.Random(7), 0
    with cluster_fleet(cluster, tmp_path, maxUses=1) as ours:
        for number in range(ROUNDS):
            before, token = uses(cluster), fresh_token()
            what = disturb(ours, chance)
            answers = killing(cluster.members[number % NODES], ours, token) if number % 2 else ours.race(token)
            judge(answers, what)
            wait_for(cluster.settled, "the cluster to agree")
            ours.wait()
            # Neither a cut nor a restart gives it back, nor that its slot moves.
            for slot in uses(cluster) - before:
                answers += moving(cluster, slot, ours, token)
                moved += 1
            wait_for(cluster.settled, "the cluster to agree")
            ours.wait()
            judge(answers + ours.race(token, REPLICAS), what)
        assert moved > ROUNDS / 2


def uses(cluster: Cluster) -> set[int]:
    """The slots that hold uses of tokens."""
    keys = [key for key in cluster.held_keys() if key.endswith(b"u")]
    return {slot_of(key.partition(b"{")[2].partition(b"}")[0]) for key in keys}


def killing(member: Member, ours: Fleet, token: str) -> Counter[str]:
    """A race in which a node is killed and started again."""

    def kill() -> None:
        member.server.kill()
        member.server.start()

    killer = threading.Timer(0.05, kill)
    killer.start()
    answers = ours.race(token)
    killer.join()
    return answers


def moving(cluster: Cluster, slot: int, ours: Fleet, token: str) -> Counter[str]:
    """A race while a slot goes from node to node."""
    stop = threading.Event()

    def move() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            cluster.move(slot, cluster.members[number % NODES])

    mover = threading.Thread(target=move)
    mover.start()
    try:
        return ours.race(token)
    finally:
        stop.set()
        mover.join()
